//! The database.
//!
//! Rows are JSON, so that fields may come and go; what a defence should remember is one row of `postcard`.

use crate::attack::Attack;
use crate::error::Error;
use crate::mitigation::Mitigation;
use crate::pending::{Encoded, Pending};
use crate::process;
use crate::record::Record;
use redb::{
    Builder, ConcurrencyMode, Database, ReadOnlyDatabase, ReadTransaction, ReadableDatabase, ReadableTable,
    ReadableTableMetadata, TableDefinition, TableError, WriteTransaction,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs::{DirBuilder, File};
use std::io::{self, Read as _};
use std::os::unix::fs::DirBuilderExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use weir_detect::defence::Memory;

/// So many events are kept.
pub const EVENTS: u64 = 10_000;
/// So many captures: some 100 KiB each.
pub const CAPTURES: u64 = 250;

/// What the rows are like.
const VERSION: u64 = 1;
/// How a database of this library begins.
const MAGIC: &[u8] = b"redb";
/// Rows of what a defence should remember.
const PEOPLE: u64 = 0;
const LEARNT: u64 = 1;
/// Who wrote it last.
const PROCESS: u64 = 2;
/// The library would take a gigabyte.
const CACHE: usize = 8 << 20;

type Rows = TableDefinition<'static, u64, &'static [u8]>;
const ATTACKS: Rows = TableDefinition::new("attacks");
const MITIGATIONS: Rows = TableDefinition::new("mitigations");
const LOGGED: Rows = TableDefinition::new("events");
const CAPTURED: Rows = TableDefinition::new("captures");
const MEMORY: Rows = TableDefinition::new("memory");
const NUMBERS: TableDefinition<'static, &'static str, u64> = TableDefinition::new("numbers");

/// An event as it is kept.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Logged {
    /// Nanoseconds since 1970.
    pub at_ns: u64,
    /// For people.
    pub text: String,
    /// As [`Event`](weir_detect::defence::Event) writes it.
    pub event: serde_json::Value,
}

/// A database that is open for writing.
pub(crate) struct Store(Database);

/// Whatever can be read.
pub(crate) enum Reading {
    ReadOnly(ReadOnlyDatabase),
    /// What a killed process left has to be mended first.
    Mended(Store),
}

/// What was kept.
#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) record: Record,
    pub(crate) memory: Memory,
    /// When it was written last, in nanoseconds since 1970, and by whom.
    pub(crate) written_ns: u64,
    pub(crate) process: String,
}

impl Store {
    /// Opens it, or makes one, and reads what it has.
    pub(crate) fn open(path: &Path) -> Result<(Store, Kept), Error> {
        if let Some(directory) = path.parent().filter(|directory| !directory.exists()) {
            // What packets hold is not for everybody.
            DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        }
        if is_foreign(path)? {
            return Err(Error::Foreign);
        }
        guarded(|| {
            let database = builder().create(path)?;
            let store = Store(database);
            store.prepare()?;
            let kept = kept(&store.0.begin_read()?)?;
            Ok((store, kept))
        })
    }

    /// All tables, so that readers find them.
    fn prepare(&self) -> Result<(), Error> {
        let transaction = self.0.begin_write()?;
        for rows in [ATTACKS, MITIGATIONS, LOGGED, CAPTURED, MEMORY] {
            transaction.open_table(rows)?;
        }
        let mut numbers = transaction.open_table(NUMBERS)?;
        let version = numbers.get("version")?.map(|version| version.value());
        match version {
            Some(VERSION) => return Ok(()),
            Some(other) => return Err(Error::Version(other)),
            None => numbers.insert("version", VERSION)?,
        };
        drop(numbers);
        Ok(transaction.commit()?)
    }

    /// Writes what has changed, all of it or nothing.
    pub(crate) fn commit(&self, record: &Record, pending: &Pending, now_ns: u64) -> Result<(), Error> {
        guarded(|| {
            let transaction = self.0.begin_write()?;
            let changed = &record.changed;
            rows(&transaction, ATTACKS, changed.attacks.iter().map(|id| (*id, record.attack(*id))))?;
            let mitigations = changed.mitigations.iter().map(|id| (*id, record.mitigation(*id)));
            rows(&transaction, MITIGATIONS, mitigations)?;
            log(&transaction, &pending.events)?;
            captures(&transaction, record, pending)?;
            if let Some(memory) = &pending.memory {
                let mut table = transaction.open_table(MEMORY)?;
                table.insert(PEOPLE, memory.people.as_slice())?;
                table.insert(LEARNT, memory.learnt.as_slice())?;
            }
            let mut numbers = transaction.open_table(NUMBERS)?;
            numbers.insert("written", now_ns)?;
            drop(numbers);
            transaction.open_table(MEMORY)?.insert(PROCESS, process::own().as_bytes())?;
            Ok(transaction.commit()?)
        })
    }
}

/// Whether it is a file of something else: such are left alone. One that was begun and not finished begins with zeros.
fn is_foreign(path: &Path) -> Result<bool, Error> {
    let mut head = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(MAGIC.len() as u64).read_to_end(&mut head)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    Ok(!MAGIC.starts_with(&head) && head.iter().any(|byte| *byte != 0))
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder
        .set_cache_size(CACHE)
        .set_concurrency_mode(ConcurrencyMode::SingleWriter)
        .set_check_integrity_on_open(true);
    builder
}

/// What is damaged in a way that the library did not foresee makes it panic.
fn guarded<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(Error::Damaged("it makes no sense".into())))
}

fn json(row: &impl Serialize) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(row).map_err(|error| Error::Io(io::Error::other(error)))
}

/// Puts rows in, and takes out those that are not there any more.
fn rows<'a, T: Serialize + 'a>(
    transaction: &WriteTransaction,
    of: Rows,
    changed: impl Iterator<Item = (u64, Option<&'a T>)>,
) -> Result<(), Error> {
    let mut table = transaction.open_table(of)?;
    for (id, row) in changed {
        match row {
            Some(row) => drop(table.insert(id, json(row)?.as_slice())?),
            None => drop(table.remove(id)?),
        }
    }
    Ok(())
}

fn log(transaction: &WriteTransaction, events: &[Logged]) -> Result<(), Error> {
    let mut table = transaction.open_table(LOGGED)?;
    let next = table.last()?.map_or(0, |(number, _)| number.value() + 1);
    for (number, event) in (next..).zip(events) {
        table.insert(number, json(event)?.as_slice())?;
    }
    while table.len()? > EVENTS {
        table.pop_first()?;
    }
    Ok(())
}

/// Captures go with their mitigations, and when there are too many.
fn captures(transaction: &WriteTransaction, record: &Record, pending: &Pending) -> Result<(), Error> {
    let mut table = transaction.open_table(CAPTURED)?;
    for (id, capture) in &pending.captures {
        table.insert(id, capture.as_slice())?;
    }
    for id in record.changed.mitigations.iter().filter(|id| record.mitigation(**id).is_none()) {
        table.remove(id)?;
    }
    while table.len()? > CAPTURES {
        table.pop_first()?;
    }
    Ok(())
}

fn all<T: DeserializeOwned>(transaction: &ReadTransaction, of: Rows) -> Result<Vec<T>, Error> {
    let table = transaction.open_table(of)?;
    let rows = table.iter()?;
    rows.map(|row| {
        let (_, bytes) = row?;
        serde_json::from_slice(bytes.value()).map_err(|error| Error::Damaged(error.to_string()))
    })
    .collect()
}

fn one(transaction: &ReadTransaction, of: Rows, key: u64) -> Result<Option<Vec<u8>>, Error> {
    Ok(transaction.open_table(of)?.get(key)?.map(|bytes| bytes.value().to_vec()))
}

fn kept(transaction: &ReadTransaction) -> Result<Kept, Error> {
    let attacks: Vec<Attack> = all(transaction, ATTACKS)?;
    let mitigations: Vec<Mitigation> = all(transaction, MITIGATIONS)?;
    let numbers = transaction.open_table(NUMBERS)?;
    let written_ns = numbers.get("written")?.map_or(0, |written| written.value());
    let process = one(transaction, MEMORY, PROCESS)?.unwrap_or_default();
    let (people, learnt) = (one(transaction, MEMORY, PEOPLE)?, one(transaction, MEMORY, LEARNT)?);
    Ok(Kept {
        record: Record::of(attacks, mitigations),
        memory: Encoded::read(people.as_deref(), learnt.as_deref()),
        written_ns,
        process: String::from_utf8_lossy(&process).into_owned(),
    })
}

impl Reading {
    /// Opens it beside the process that writes it, if there is one.
    pub(crate) fn open(path: &Path) -> Result<Reading, Error> {
        if !path.exists() {
            return Err(Error::Missing(path.to_owned()));
        }
        if is_foreign(path)? {
            return Err(Error::Foreign);
        }
        match guarded(|| Ok(builder().open_read_only(path)?)) {
            Ok(database) => Ok(Reading::ReadOnly(database)),
            Err(Error::Damaged(_)) => Ok(Reading::Mended(Store::open(path)?.0)),
            Err(error) => Err(error),
        }
    }

    fn transaction(&self) -> Result<ReadTransaction, Error> {
        Ok(match self {
            Reading::ReadOnly(database) => database.begin_read()?,
            Reading::Mended(store) => store.0.begin_read()?,
        })
    }

    fn read<T: Default>(&self, what: impl FnOnce(&ReadTransaction) -> Result<T, Error>) -> Result<T, Error> {
        guarded(|| {
            let transaction = self.transaction()?;
            match transaction.open_table(NUMBERS) {
                // It was begun and not finished, or is somebody else's.
                Err(TableError::TableDoesNotExist(_)) => return Ok(T::default()),
                Err(error) => return Err(error.into()),
                Ok(numbers) => match numbers.get("version")?.map(|version| version.value()) {
                    Some(VERSION) => {}
                    other => return Err(Error::Version(other.unwrap_or(0))),
                },
            }
            what(&transaction)
        })
    }

    pub(crate) fn kept(&self) -> Result<Kept, Error> {
        self.read(kept)
    }

    pub(crate) fn events(&self) -> Result<Vec<Logged>, Error> {
        self.read(|transaction| all(transaction, LOGGED))
    }

    pub(crate) fn capture(&self, mitigation: u64) -> Result<Option<Vec<u8>>, Error> {
        self.read(|transaction| one(transaction, CAPTURED, mitigation))
    }
}

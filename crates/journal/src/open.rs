//! A database is opened, moved aside, or given up.

use crate::clock::now_ns;
use crate::error::Error;
use crate::record::Record;
use crate::shared::Shared;
use crate::store::{Kept, Reading, Store};
use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use weir_detect::defence::Memory;

/// A database, as far as it could be opened.
#[derive(Default)]
pub(crate) struct Opened {
    pub(crate) store: Option<Store>,
    pub(crate) record: Record,
    pub(crate) memory: Memory,
    /// Its rows are not known: it must not be written later, when they would be mixed with others.
    pub(crate) is_hopeless: bool,
    /// That it cannot be written was told.
    pub(crate) is_told: bool,
}

/// Opens it as far as that goes, and tells what is wrong.
pub(crate) fn open(file: &Path, shared: &Shared) -> Opened {
    let mut trouble = None;
    let mut opened = Store::open(file);
    if let Err(error) = &opened
        && error.is_damage()
    {
        shared.failures.fetch_add(1, Relaxed);
        shared.tell(moved(file, error));
        opened = Store::open(file);
    }
    let (store, kept) = match opened {
        Ok((store, kept)) => (Some(store), Ok(kept)),
        Err(error) => {
            let kept = read_at_least(file, &error);
            trouble = Some(error);
            (None, kept)
        }
    };
    let is_hopeless = kept.is_err();
    let Kept { mut record, memory, written_ns, .. } = kept.unwrap_or_default();
    record.interrupt(written_ns);
    let (attack, mitigation) = record.last();
    let memory = Memory {
        attacks: memory.attacks.max(attack),
        mitigations: memory.mitigations.max(mitigation),
        ..memory
    };
    if let Some(error) = &trouble {
        shared.failures.fetch_add(1, Relaxed);
        shared.tell(not_written(file, error));
    }
    Opened { store, record, memory, is_hopeless, is_told: trouble.is_some() }
}

/// What is in a database that cannot be written.
fn read_at_least(file: &Path, error: &Error) -> Result<Kept, Error> {
    match error {
        Error::Io(_) => match Reading::open(file) {
            Ok(reading) => reading.kept(),
            // It may come to be.
            Err(Error::Missing(_)) => Ok(Kept::default()),
            Err(error) => Err(error),
        },
        _ => Err(Error::Busy),
    }
}

/// Moves a damaged database out of the way; what to say of it.
pub(crate) fn moved(file: &Path, damage: &Error) -> String {
    let mut name = file.as_os_str().to_owned();
    name.push(format!(".damaged-{}", now_ns() / 1_000_000_000));
    let became = match fs::rename(file, &name) {
        Ok(()) => format!("it is `{}` now, and another one is begun", Path::new(&name).display()),
        Err(error) => format!("it cannot be moved aside: {}", Error::Io(error)),
    };
    format!("the journal `{}`: {damage}; {became}", file.display())
}

/// What to say of one that cannot be written.
pub(crate) fn not_written(file: &Path, error: &Error) -> String {
    let help = match error {
        Error::Busy => "\n  help: say another one by `--journal FILE`",
        _ => "",
    };
    format!("the journal `{}` is not written: {error}{help}", file.display())
}

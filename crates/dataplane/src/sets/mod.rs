//! Sets that change while running.
//!
//! An element has an expiry in `CLOCK_MONOTONIC` nanoseconds beside it, and the program compares it with its clock:
//! an expired element no longer matches, whether or not anybody has removed it. Single values are in a hash map,
//! prefixes in a trie (`prefixes`); a packet sees an element before or after a change, never half of one.

pub(crate) mod carry;
pub(crate) mod content;
mod element;
pub(crate) mod meta;
mod part;
pub(crate) mod prefixes;

use crate::Error;
use crate::instance::{Generation, Lock, Place, settle};
use content::FOREVER;
use element::Parsed;
use meta::SetMeta;
use part::PartMaps;
use prefixes::Prefixes;
use serde::Serialize;
use std::collections::HashMap;
use std::time::Duration;
use weir_compiler::diagnostic::nearest;
use weir_kernel::clock::monotonic_ns;

/// How long an element lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Lifetime {
    /// As the set's `timeout` says; for ever if it has none.
    #[default]
    Declared,
    /// From now on.
    For(Duration),
    /// Until it is deleted.
    Forever,
}

/// An element of a live set.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct LiveElement {
    /// As the policy would write it.
    pub element: String,
    /// Nanoseconds left; nothing for one that stays until it is deleted.
    pub remaining_ns: Option<u64>,
}

/// What `status` tells about a set.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct SetStatus {
    /// Its name.
    pub name: String,
    /// Its types as declared.
    pub types: String,
    /// Whether it can change while running.
    pub live: bool,
    /// Elements (single values and prefixes); expired ones that nobody has swept count too.
    pub elements: u64,
    /// How many it can hold (of each family, and of single addresses and prefixes each).
    pub max: Option<u64>,
}

/// A live set of a running instance. Every call works on the generation that runs at that moment.
#[derive(Debug)]
pub struct LiveSet {
    place: Place,
    name: String,
    /// Tables of prefixes that were read, by their map's id, with the number of changes at that time.
    tables: HashMap<u32, (u64, Prefixes)>,
}

/// A change under way: the lock, and the set as it runs.
struct Session {
    _lock: Lock,
    running: Generation,
    set: SetMeta,
}

impl LiveSet {
    pub(crate) fn of(place: Place, name: &str) -> Result<Self, Error> {
        find(&Generation::running(&place)?, name)?;
        Ok(Self { place, name: name.to_owned(), tables: HashMap::new() })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Adds elements, as the policy would write them; one that is there gets the new lifetime. Nothing is added if
    /// one of the texts is no element, or if the set has no room for all, not even after what has expired is gone.
    pub fn add<T: AsRef<str>>(&mut self, elements: &[T], lifetime: Lifetime) -> Result<(), Error> {
        let session = self.begin()?;
        let parsed = parse(&session.set, elements)?;
        let expiry = expiry(&session.set, lifetime);
        let mut changed: Vec<(usize, part::Undo)> = Vec::new();
        for part in 0..session.set.parts.len() {
            let of_part: Vec<&Parsed> = parsed.iter().filter(|element| element.part == part).collect();
            if of_part.is_empty() {
                continue;
            }
            let mut maps = self.open(&session, part)?;
            match maps.add(&of_part, expiry) {
                Ok(undo) => changed.push((part, undo)),
                Err(error) => {
                    for (part, undo) in changed {
                        self.open(&session, part)?.undo(undo)?;
                    }
                    return Err(error);
                }
            }
            self.remember(maps)?;
        }
        Ok(())
    }

    /// Deletes elements; answers how many were there. A range of addresses is as many elements as it has prefixes.
    pub fn delete<T: AsRef<str>>(&mut self, elements: &[T]) -> Result<u64, Error> {
        let session = self.begin()?;
        let parsed = parse(&session.set, elements)?;
        let mut deleted = 0;
        for part in 0..session.set.parts.len() {
            let of_part: Vec<&Parsed> = parsed.iter().filter(|element| element.part == part).collect();
            if of_part.is_empty() {
                continue;
            }
            let mut maps = self.open(&session, part)?;
            deleted += maps.delete(&of_part)?;
            self.remember(maps)?;
        }
        Ok(deleted)
    }

    /// The elements that have not expired.
    pub fn list(&mut self) -> Result<Vec<LiveElement>, Error> {
        let now = monotonic_ns();
        self.each(|maps| maps.list(now)).map(|lists| lists.concat())
    }

    /// Deletes all elements, also the policy's own (a reload brings those back); answers how many there were.
    pub fn flush(&mut self) -> Result<u64, Error> {
        self.each(PartMaps::flush).map(|counts| counts.iter().sum())
    }

    /// Removes what has expired; answers how many. It makes room, and changes no verdict.
    pub fn sweep(&mut self) -> Result<u64, Error> {
        let now = monotonic_ns();
        self.each(|maps| maps.sweep(now)).map(|counts| counts.iter().sum())
    }

    fn begin(&self) -> Result<Session, Error> {
        let lock = self.place.lock()?;
        let running = settle(&self.place)?;
        let set = find(&running, &self.name)?;
        Ok(Session { _lock: lock, running, set })
    }

    fn each<T>(&mut self, mut work: impl FnMut(&mut PartMaps) -> Result<T, Error>) -> Result<Vec<T>, Error> {
        let session = self.begin()?;
        let mut all = Vec::new();
        for part in 0..session.set.parts.len() {
            let mut maps = self.open(&session, part)?;
            all.push(work(&mut maps)?);
            self.remember(maps)?;
        }
        Ok(all)
    }

    fn open(&mut self, session: &Session, part: usize) -> Result<PartMaps, Error> {
        PartMaps::open(&session.running, &session.set, part, &mut self.tables)
    }

    /// Keeps what was read of a trie for the next call.
    fn remember(&mut self, maps: PartMaps) -> Result<(), Error> {
        if let Some((id, changes, prefixes)) = maps.into_table()? {
            self.tables.insert(id, (changes, prefixes));
        }
        Ok(())
    }
}

/// Finishes changes of prefixes whose process was killed: the trie says again what their lifetimes say.
pub(crate) fn mend(running: &Generation) -> Result<(), Error> {
    for set in running.meta.sets.iter().filter(|set| set.live.is_some()) {
        for part in (0..set.parts.len()).filter(|part| set.parts[*part].truth().is_some()) {
            PartMaps::mend(running, set, part)?;
        }
    }
    Ok(())
}

fn find(running: &Generation, name: &str) -> Result<SetMeta, Error> {
    let sets = &running.meta.sets;
    let Some(set) = sets.iter().find(|set| set.name == name) else {
        let nearest = nearest(name, sets.iter().map(|set| set.name.as_str())).map(str::to_owned);
        return Err(Error::NoSet { name: name.to_owned(), nearest });
    };
    if set.live.is_none() {
        return Err(Error::NotLive { name: name.to_owned(), types: set.types.join(", ") });
    }
    Ok(set.clone())
}

fn parse<T: AsRef<str>>(set: &SetMeta, elements: &[T]) -> Result<Vec<Parsed>, Error> {
    let mut parsed = Vec::with_capacity(elements.len());
    for text in elements {
        parsed.extend(element::parse(set, text.as_ref().trim())?);
    }
    Ok(parsed)
}

fn expiry(set: &SetMeta, lifetime: Lifetime) -> u64 {
    let nanoseconds = match lifetime {
        Lifetime::Forever => return FOREVER,
        Lifetime::For(time) => u64::try_from(time.as_nanos()).unwrap_or(u64::MAX),
        Lifetime::Declared => match set.live.and_then(|live| live.timeout) {
            Some(timeout) => timeout,
            None => return FOREVER,
        },
    };
    monotonic_ns().saturating_add(nanoseconds)
}

//! Sets that change while running.
//!
//! An element has an expiry in `CLOCK_MONOTONIC` nanoseconds beside it, and the program compares it with its clock:
//! an expired element no longer matches, whether or not anybody has removed it. Addresses and prefixes are in an index
//! (`index`, `truth`), all else in a hash map (`part`); a packet sees an element before or after a change, never half of
//! one.
//!
//! A section with an index begins small. When it is full, the set moves: another generation of the same policy with a
//! larger section is made, filled and swapped in, as in a reload.

pub(crate) mod carry;
pub(crate) mod content;
mod element;
mod index;
pub(crate) mod meta;
mod part;
mod truth;

pub(crate) use index::Index;

use crate::Error;
use crate::instance::{Generation, Lock, Place, grow, settle};
use carry::{Grown, alive};
use content::FOREVER;
use element::Parsed;
use meta::SetMeta;
use part::Exact;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;
use weir_compiler::diagnostic::nearest;
use weir_compiler::index::Prefix;
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
    /// How many it can hold (of each family).
    pub max: Option<u64>,
}

/// How far a change of many elements is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Filling {
    /// What is being done.
    pub what: &'static str,
    /// Elements that are done.
    pub done: usize,
    /// Of so many.
    pub of: usize,
}

/// So many elements are done between two looks at how far it is.
const TOLD: usize = 1 << 14;

/// A live set of a running instance. Every call works on the generation that runs at that moment.
#[derive(Debug)]
pub struct LiveSet {
    place: Place,
    name: String,
}

/// A change under way: the lock, and the set as it runs.
struct Session {
    _lock: Lock,
    place: Place,
    running: Generation,
    set: SetMeta,
}

/// A part of a set by where it lives.
enum Part {
    Exact(Exact),
    Index(Index),
}

/// What was there before an addition.
enum Undo {
    Exact(part::Undo),
    Index(index::Undo),
}

impl LiveSet {
    pub(crate) fn of(place: Place, name: &str) -> Result<Self, Error> {
        find(&Generation::running(&place)?, name)?;
        Ok(Self { place, name: name.to_owned() })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Adds elements, as the policy would write them; one that is there gets the new lifetime. Nothing is added if
    /// one of the texts is no element, or if the set has no room for all, not even after what has expired is gone.
    pub fn add<T: AsRef<str>>(&mut self, elements: &[T], lifetime: Lifetime) -> Result<(), Error> {
        self.add_telling(elements, lifetime, &mut |_| ())
    }

    /// The same for many, telling how far it is.
    pub fn add_telling<T: AsRef<str>>(
        &mut self,
        elements: &[T],
        lifetime: Lifetime,
        tell: &mut dyn FnMut(Filling),
    ) -> Result<(), Error> {
        let mut session = self.begin()?;
        let parsed = parse(&session.set, elements, tell)?;
        let expiry = expiry(&session.set, lifetime);
        let mut changed: Vec<(usize, Undo)> = Vec::new();
        for part in 0..session.set.parts.len() {
            let of_part: Vec<&Parsed> = parsed.iter().filter(|element| element.part == part).collect();
            if of_part.is_empty() {
                continue;
            }
            match session.add(part, &of_part, expiry, tell) {
                Ok(undo) => changed.push((part, undo)),
                Err(error) => {
                    for (part, undo) in changed {
                        session.undo(part, undo)?;
                    }
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Deletes elements; answers how many were there. A range of addresses is as many elements as it has prefixes.
    pub fn delete<T: AsRef<str>>(&mut self, elements: &[T]) -> Result<u64, Error> {
        let session = self.begin()?;
        let parsed = parse(&session.set, elements, &mut |_| ())?;
        let mut deleted = 0;
        for part in 0..session.set.parts.len() {
            let of_part: Vec<&Parsed> = parsed.iter().filter(|element| element.part == part).collect();
            if of_part.is_empty() {
                continue;
            }
            deleted += match session.open(part)? {
                Part::Exact(mut exact) => exact.delete(&of_part)?,
                Part::Index(mut index) => index.delete(&session.prefixes(part, &of_part))?,
            };
        }
        Ok(deleted)
    }

    /// The elements that have not expired: of each family the single ones, then the prefixes.
    pub fn list(&mut self) -> Result<Vec<LiveElement>, Error> {
        let session = self.begin()?;
        let now = monotonic_ns();
        let mut all = Vec::new();
        for part in 0..session.set.parts.len() {
            all.extend(match session.open(part)? {
                Part::Exact(exact) => exact.list(now)?,
                Part::Index(index) => session.list(part, &index, now)?,
            });
        }
        Ok(all)
    }

    /// Deletes all elements, also the policy's own (a reload brings those back); answers how many there were.
    pub fn flush(&mut self) -> Result<u64, Error> {
        self.each(Exact::flush, Index::flush)
    }

    /// Removes what has expired; answers how many. It makes room, and changes no verdict.
    pub fn sweep(&mut self) -> Result<u64, Error> {
        let now = monotonic_ns();
        self.each(|exact| exact.sweep(now), |index| index.sweep(now))
    }

    fn begin(&self) -> Result<Session, Error> {
        let lock = self.place.lock()?;
        let running = settle(&self.place)?;
        let set = find(&running, &self.name)?;
        Ok(Session { _lock: lock, place: self.place.clone(), running, set })
    }

    fn each(
        &mut self,
        exactly: impl Fn(&mut Exact) -> Result<u64, Error>,
        in_index: impl Fn(&mut Index) -> Result<u64, Error>,
    ) -> Result<u64, Error> {
        let session = self.begin()?;
        let mut count = 0;
        for part in 0..session.set.parts.len() {
            count += match session.open(part)? {
                Part::Exact(mut exact) => exactly(&mut exact)?,
                Part::Index(mut index) => in_index(&mut index)?,
            };
        }
        Ok(count)
    }
}

impl Session {
    fn open(&self, part: usize) -> Result<Part, Error> {
        Ok(match Index::open(&self.running, &self.set.parts[part])? {
            Some(index) => Part::Index(index),
            None => Part::Exact(Exact::open(&self.running, &self.set, part)?),
        })
    }

    fn prefixes(&self, part: usize, elements: &[&Parsed]) -> Vec<Prefix> {
        let Some(key) = self.set.parts[part].key() else { return Vec::new() };
        elements.iter().map(|element| key.prefix(&element.scalars, element.bits)).collect()
    }

    fn add(
        &mut self,
        part: usize,
        elements: &[&Parsed],
        expiry: u64,
        tell: &mut dyn FnMut(Filling),
    ) -> Result<Undo, Error> {
        let mut index = match self.open(part)? {
            Part::Exact(mut exact) => return Ok(Undo::Exact(exact.add(elements, expiry)?)),
            Part::Index(index) => index,
        };
        let prefixes = self.prefixes(part, elements);
        index.make_room(&self.set, part, &prefixes)?;
        let grows = index.wants_to_grow(prefixes.len());
        let mut undo = if grows { index::Undo::new() } else { index.add(&prefixes, expiry)? };
        let rest = &prefixes[undo.len()..];
        if rest.is_empty() {
            return Ok(Undo::Index(undo));
        }
        match self.grow(part, &index, rest, expiry, tell) {
            Ok(before) => {
                undo.extend(before);
                Ok(Undo::Index(undo))
            }
            Err(error) => {
                index.undo(undo)?;
                Err(error)
            }
        }
    }

    /// Moves a part to a section with room for more elements, and as many again.
    fn grow(
        &mut self,
        part: usize,
        index: &Index,
        new: &[Prefix],
        expiry: u64,
        tell: &mut dyn FnMut(Filling),
    ) -> Result<index::Undo, Error> {
        let now = monotonic_ns();
        let there = index.elements()?.into_iter().filter(|(_, expiry)| alive(*expiry, now));
        let mut all: BTreeMap<Prefix, u64> = there.collect();
        let before = new.iter().map(|prefix| (*prefix, all.insert(*prefix, expiry))).collect();
        let (set, part) = (self.set.name.clone(), self.set.parts[part].name.clone());
        let grown = Grown { set, part, elements: all.into_iter().collect() };
        self.running = grow(&self.place, &self.running, &grown, tell)?;
        self.set = find(&self.running, &self.set.name)?;
        Ok(before)
    }

    fn undo(&self, part: usize, undo: Undo) -> Result<(), Error> {
        match (self.open(part)?, undo) {
            (Part::Exact(mut exact), Undo::Exact(undo)) => exact.undo(undo),
            (Part::Index(mut index), Undo::Index(undo)) => index.undo(undo),
            // A part does not change its kind.
            _ => Ok(()),
        }
    }

    fn list(&self, part: usize, index: &Index, now: u64) -> Result<Vec<LiveElement>, Error> {
        let part = &self.set.parts[part];
        let Some(key) = part.key() else { return Ok(Vec::new()) };
        let mut elements = index.elements()?;
        elements.retain(|(_, expiry)| alive(*expiry, now));
        elements.sort_by_key(|(prefix, _)| u32::from(prefix.length) < key.bits());
        let one = |(prefix, expiry): &(Prefix, u64)| LiveElement {
            element: element::prefix_text(&self.set, part, key, *prefix),
            remaining_ns: element::left(*expiry, now),
        };
        Ok(elements.iter().map(one).collect())
    }
}

/// Finishes changes whose process was killed: indexes say again what their elements say.
pub(crate) fn mend(running: &Generation) -> Result<(), Error> {
    let live = running.meta.sets.iter().filter(|set| set.live.is_some());
    live.flat_map(|set| &set.parts).try_for_each(|part| Index::mend(running, part))
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

fn parse<T: AsRef<str>>(
    set: &SetMeta,
    elements: &[T],
    tell: &mut dyn FnMut(Filling),
) -> Result<Vec<Parsed>, Error> {
    let mut parsed = Vec::with_capacity(elements.len());
    for (done, text) in elements.iter().enumerate() {
        if done % TOLD == 0 {
            tell(Filling { what: "reading elements", done, of: elements.len() });
        }
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

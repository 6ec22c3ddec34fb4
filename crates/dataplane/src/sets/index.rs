//! One part of a live set that is in an index, at work.
//!
//! An element is changed in this order: the head of the section says which one, the truth ([`super::truth`]) is told, the
//! slots of the index follow, and the head says that nothing is under way. A process that is killed in between leaves
//! the head as it was, and the next one lets the index say of that element what the truth says ([`Index::mend`]).

use super::content::FOREVER;
use super::meta::{PartMeta, SetMeta};
use super::truth::{Timed, Truth};
use crate::Error;
use crate::instance::Generation;
use weir_compiler::index::edit::{self, Full};
use weir_compiler::index::{COUNT, HEAD, Key, PENDING, Prefix, Section, tick};
use weir_kernel::KernelError;
use weir_kernel::clock::monotonic_ns;
use weir_kernel::maps::Windows;

/// Nothing is being changed.
const NOTHING: u64 = 0;
/// One element is, with its length in the bits from 8 on.
const ELEMENT: u64 = 1;
/// All of them go.
const ALL: u64 = 2;
/// Some that have expired go, of which the index need not know.
const EXPIRED: u64 = 3;

/// An element in an index takes about so many bytes if it is added to one.
const ADDED: usize = 96;

/// A section in memory.
#[derive(Debug)]
struct Mapped(Windows);

impl Section for Mapped {
    fn bytes(&self) -> usize {
        self.0.len()
    }

    fn load(&self, at: usize) -> u64 {
        self.0.load(at)
    }

    fn store(&mut self, at: usize, word: u64) {
        self.0.store(at, word);
    }
}

/// What was there before an addition.
pub(crate) type Undo = Vec<(Prefix, Option<u64>)>;

#[derive(Debug)]
pub(crate) struct Index {
    key: Key,
    section: Mapped,
    truth: Truth,
}

impl Index {
    /// Of a part; nothing if it is in no index.
    pub(crate) fn open(running: &Generation, part: &PartMeta) -> Result<Option<Self>, KernelError> {
        let Some((key, truth)) = part.key().zip(part.truth()) else { return Ok(None) };
        let section = Mapped(running.map(&part.map)?.windows()?);
        Ok(Some(Self { key, section, truth: Truth::of(running.map(&truth)?, key) }))
    }

    /// How many elements a part with an index has, with those that have expired.
    pub(crate) fn count(running: &Generation, part: &PartMeta) -> Result<u64, KernelError> {
        Ok(running.map(&part.map)?.memory_up_to(HEAD)?.load(COUNT))
    }

    /// Finishes a change that was cut off.
    pub(crate) fn mend(running: &Generation, part: &PartMeta) -> Result<(), Error> {
        if part.key().is_none() || running.map(&part.map)?.memory_up_to(HEAD)?.load(PENDING) == NOTHING {
            return Ok(());
        }
        let Some(mut index) = Self::open(running, part)? else { return Ok(()) };
        match index.section.load(PENDING) & 0xff {
            ELEMENT => index.agree()?,
            ALL => drop(index.flush()?),
            _ => {}
        }
        let count = index.truth.elements()?.len() as u64;
        index.section.store(COUNT, count);
        index.section.store(PENDING, NOTHING);
        Ok(())
    }

    /// Lets the index say of the element under change what the truth says.
    fn agree(&mut self) -> Result<(), Error> {
        let half = |at: usize| u128::from(self.section.load(PENDING + at));
        let first = half(8) << 64 | half(16);
        let prefix = Prefix::of(first, (self.section.load(PENDING) >> 8) as u8);
        if let Some(expiry) = self.truth.find(prefix)?
            && edit::raise(&mut self.section, self.key, prefix, tick(expiry)).is_err()
        {
            // `set` leaves room for that.
            self.truth.remove(prefix)?;
        }
        Ok(self.lower(prefix)?)
    }

    pub(crate) fn elements(&self) -> Result<Vec<Timed>, KernelError> {
        self.truth.elements()
    }

    /// Says so if the set may not hold these too, even without what has expired.
    pub(crate) fn make_room(&mut self, set: &SetMeta, part: usize, new: &[Prefix]) -> Result<(), Error> {
        let max = u64::from(set.parts[part].max);
        if self.section.load(COUNT) + new.len() as u64 <= max {
            return Ok(());
        }
        let mut new = new.to_vec();
        new.sort_unstable();
        new.dedup();
        for swept in [false, true] {
            if swept {
                self.sweep(monotonic_ns())?;
            }
            let mut needed = self.section.load(COUNT);
            for prefix in &new {
                needed += u64::from(self.truth.find(*prefix)?.is_none());
            }
            if needed <= max {
                return Ok(());
            }
        }
        // As many of them as fit would fill it.
        Err(Error::SetFull { name: set.name.clone(), used: max, max, what: set.parts[part].noun() })
    }

    /// Whether it is better made anew than added so much to.
    pub(crate) fn wants_to_grow(&self, added: usize) -> bool {
        added * ADDED > edit::unused(&self.section)
    }

    /// Sets elements as long as there is room; what was there before those that were set.
    pub(crate) fn add(&mut self, new: &[Prefix], expiry: u64) -> Result<Undo, Error> {
        let mut undo = Undo::new();
        for prefix in new {
            match self.set((*prefix, expiry))? {
                Ok(before) => undo.push((*prefix, before)),
                Err(Full) => break,
            }
        }
        Ok(undo)
    }

    /// Sets one element; what was there before.
    fn set(&mut self, (prefix, expiry): Timed) -> Result<Result<Option<u64>, Full>, Error> {
        let before = self.truth.find(prefix)?;
        if before == Some(expiry) {
            return Ok(Ok(before));
        }
        // Room for a change that is cut off, and for finishing it.
        let cramped = edit::unused(&self.section) < 2 * self.key.most_growth();
        if cramped || before.is_none() && self.section.load(COUNT) >= self.truth.room() {
            return Ok(Err(Full));
        }
        self.begin(prefix);
        self.truth.set((prefix, expiry))?;
        let (now, then) = (tick(expiry), before.map_or(0, tick));
        edit::raise(&mut self.section, self.key, prefix, now).expect("there is room for two changes");
        if now < then {
            self.lower(prefix)?;
        }
        self.end(i64::from(before.is_none()));
        Ok(Ok(before))
    }

    /// Deletes elements; answers how many were there.
    pub(crate) fn delete(&mut self, prefixes: &[Prefix]) -> Result<u64, Error> {
        let mut deleted = 0;
        for prefix in prefixes {
            if self.truth.find(*prefix)?.is_some() {
                self.begin(*prefix);
                self.truth.remove(*prefix)?;
                self.lower(*prefix)?;
                self.end(-1);
                deleted += 1;
            }
        }
        Ok(deleted)
    }

    /// Puts back what was there before.
    pub(crate) fn undo(&mut self, undo: Undo) -> Result<(), Error> {
        // The same element may have been added twice: what was there first comes back last.
        for (prefix, before) in undo.into_iter().rev() {
            match before {
                Some(expiry) => drop(self.set((prefix, expiry))?),
                None => drop(self.delete(&[prefix])?),
            }
        }
        Ok(())
    }

    pub(crate) fn flush(&mut self) -> Result<u64, Error> {
        let prefixes: Vec<Prefix> = self.elements()?.into_iter().map(|(prefix, _)| prefix).collect();
        self.section.store(PENDING, ALL);
        edit::clear(&mut self.section);
        self.truth.remove_all(&prefixes)?;
        self.section.store(COUNT, 0);
        self.section.store(PENDING, NOTHING);
        Ok(prefixes.len() as u64)
    }

    pub(crate) fn sweep(&mut self, now: u64) -> Result<u64, Error> {
        let dead = |(_, expiry): &Timed| *expiry != FOREVER && *expiry <= now;
        let dead: Vec<Timed> = self.elements()?.into_iter().filter(dead).collect();
        // Packets know by themselves, but for what expires later than a slot can say.
        let (late, known): (Vec<Timed>, Vec<Timed>) =
            dead.iter().partition(|(_, expiry)| tick(*expiry) == tick(FOREVER));
        let prefixes = |some: &[Timed]| some.iter().map(|(prefix, _)| *prefix).collect::<Vec<_>>();
        self.delete(&prefixes(&late))?;
        self.section.store(PENDING, EXPIRED);
        self.truth.remove_all(&prefixes(&known))?;
        self.end(-(known.len() as i64));
        Ok(dead.len() as u64)
    }

    fn lower(&mut self, prefix: Prefix) -> Result<(), KernelError> {
        let truth = &self.truth;
        edit::lower(&mut self.section, self.key, prefix, |prefix| Ok(truth.find(prefix)?.map(tick)))
    }

    fn begin(&mut self, prefix: Prefix) {
        self.section.store(PENDING + 8, (prefix.first >> 64) as u64);
        self.section.store(PENDING + 16, prefix.first as u64);
        self.section.store(PENDING, ELEMENT | u64::from(prefix.length) << 8);
    }

    fn end(&mut self, more: i64) {
        let count = self.section.load(COUNT);
        self.section.store(COUNT, count.wrapping_add_signed(more));
        self.section.store(PENDING, NOTHING);
    }
}

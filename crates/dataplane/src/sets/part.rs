//! One part of a live set that is in a hash map, at work: single values and tuples.

use super::LiveElement;
use super::carry::alive;
use super::content::{FOREVER, key, value};
use super::element::{Parsed, hash_scalars, hash_text, left};
use super::meta::SetMeta;
use crate::Error;
use crate::counters::word;
use crate::instance::Generation;
use weir_compiler::ir::SetDecl;
use weir_kernel::KernelError;
use weir_kernel::clock::monotonic_ns;
use weir_kernel::maps::{Map, Update};

/// `E2BIG`: the map is full.
const FULL: i32 = 7;

/// `EEXIST`.
const EXISTS: i32 = 17;

/// What was there before an addition: keys with their expiries.
pub(crate) type Undo = Vec<(Vec<u8>, Option<u64>)>;

#[derive(Debug)]
pub(crate) struct Exact {
    set: SetMeta,
    part: usize,
    decl: SetDecl,
    map: Map,
}

impl Exact {
    pub(crate) fn open(running: &Generation, set: &SetMeta, index: usize) -> Result<Self, KernelError> {
        let part = &set.parts[index];
        Ok(Self { set: set.clone(), part: index, decl: part.decl(true), map: running.map(&part.map)? })
    }

    /// Adds elements; if there is no room for all, none of them.
    pub(crate) fn add(&mut self, elements: &[&Parsed], expiry: u64) -> Result<Undo, Error> {
        let mut undo = Undo::new();
        for element in elements {
            let key = key(&self.decl, &element.scalars, element.bits);
            match self.set(&key, expiry) {
                Ok(before) => undo.push((key, before)),
                Err(error) => {
                    self.undo(undo)?;
                    return Err(error);
                }
            }
        }
        Ok(undo)
    }

    /// Deletes elements; answers how many were there.
    pub(crate) fn delete(&mut self, elements: &[&Parsed]) -> Result<u64, Error> {
        let mut deleted = 0;
        for element in elements {
            deleted += u64::from(self.map.delete(&key(&self.decl, &element.scalars, element.bits))?);
        }
        Ok(deleted)
    }

    /// Puts back what was there before.
    pub(crate) fn undo(&mut self, undo: Undo) -> Result<(), Error> {
        // The same key may have been added twice: what was there first comes back last.
        for (key, before) in undo.into_iter().rev() {
            match before {
                Some(expiry) => self.map.update(&key, &value(expiry), Update::Any)?,
                None => drop(self.map.delete(&key)?),
            }
        }
        Ok(())
    }

    pub(crate) fn list(&self, now: u64) -> Result<Vec<LiveElement>, Error> {
        let part = &self.set.parts[self.part];
        let mut elements = self.map.entries()?;
        // By value: keys are in the machine's order, and maps in none.
        elements.sort_by_cached_key(|(key, _)| hash_scalars(&part.words, key));
        let elements = elements.iter().map(|(key, expiry)| (key, word(expiry)));
        let one = |(key, expiry): (&Vec<u8>, u64)| LiveElement {
            element: hash_text(&self.set, part, key),
            remaining_ns: left(expiry, now),
        };
        Ok(elements.filter(|(_, expiry)| alive(*expiry, now)).map(one).collect())
    }

    pub(crate) fn flush(&mut self) -> Result<u64, Error> {
        let keys: Vec<Vec<u8>> = self.map.entries()?.into_iter().map(|(key, _)| key).collect();
        self.map.delete_batch(&keys)?;
        Ok(keys.len() as u64)
    }

    pub(crate) fn sweep(&mut self, now: u64) -> Result<u64, Error> {
        let entries = self.map.entries()?.into_iter();
        let dead = entries.filter(|(_, expiry)| word(expiry) != FOREVER && word(expiry) <= now);
        let keys: Vec<Vec<u8>> = dead.map(|(key, _)| key).collect();
        self.map.delete_batch(&keys)?;
        Ok(keys.len() as u64)
    }

    /// Sets one value, and makes room if it must; answers what was there.
    fn set(&mut self, key: &[u8], expiry: u64) -> Result<Option<u64>, Error> {
        // Most are new: one call instead of two.
        match self.map.update(key, &value(expiry), Update::Create) {
            Ok(()) => return Ok(None),
            Err(error) if error.errno() == EXISTS => {
                let before = self.map.lookup(key)?.map(|bytes| word(&bytes));
                self.map.update(key, &value(expiry), Update::Any)?;
                return Ok(before);
            }
            Err(error) if error.errno() == FULL => {}
            Err(error) => return Err(error.into()),
        }
        self.sweep(monotonic_ns())?;
        match self.map.update(key, &value(expiry), Update::Any) {
            Ok(()) => Ok(None),
            Err(error) if error.errno() == FULL => Err(self.full()?),
            Err(error) => Err(error.into()),
        }
    }

    fn full(&self) -> Result<Error, KernelError> {
        let part = &self.set.parts[self.part];
        let used = self.map.entries()?.len() as u64;
        Ok(Error::SetFull { name: self.set.name.clone(), used, max: part.max.into(), what: part.noun() })
    }
}

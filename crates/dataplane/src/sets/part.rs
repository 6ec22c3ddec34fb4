//! One family's part of a live set, at work: its maps in the order in which packets may see them change.

use super::LiveElement;
use super::content::{FOREVER, Home, home, key, value};
use super::element::{Parsed, hash_scalars, hash_text, prefix_text};
use super::meta::SetMeta;
use super::prefixes::{PrefixMaps, Prefixes, write};
use crate::Error;
use crate::counters::word;
use crate::instance::Generation;
use std::collections::{BTreeMap, HashMap};
use weir_compiler::ir::SetDecl;
use weir_kernel::KernelError;
use weir_kernel::clock::monotonic_ns;
use weir_kernel::maps::{Map, Update};

/// `E2BIG`: a hash map is full. `ENOSPC`: a trie is.
const FULL: [i32; 2] = [7, 28];

/// `EEXIST`.
const EXISTS: i32 = 17;

/// What was there before an addition: keys with their expiries.
pub(crate) type Undo = Vec<(Home, Vec<u8>, Option<u64>)>;

#[derive(Debug)]
pub(crate) struct PartMaps {
    set: SetMeta,
    part: usize,
    decl: SetDecl,
    hash: Option<Map>,
    tries: Option<Tries>,
}

#[derive(Debug)]
struct Tries {
    maps: PrefixMaps,
    /// The number of prefixes that lets the program ask the trie.
    live: Map,
    table: Prefixes,
}

impl PartMaps {
    pub(crate) fn open(
        running: &Generation,
        set: &SetMeta,
        index: usize,
        tables: &mut HashMap<u32, (u64, Prefixes)>,
    ) -> Result<Self, Error> {
        let part = &set.parts[index];
        let hash = part.hash.as_ref().map(|name| running.map(name)).transpose()?;
        let tries = match prefix_maps(running, set, index)? {
            Some(maps) => Some(Tries::open(maps, running.map("live")?, &part.words, tables)?),
            None => None,
        };
        Ok(Self { set: set.clone(), part: index, decl: part.decl(true), hash, tries })
    }

    /// Makes the trie again if a change of it was not finished.
    pub(crate) fn mend(running: &Generation, set: &SetMeta, index: usize) -> Result<(), Error> {
        let Some(maps) = prefix_maps(running, set, index)? else { return Ok(()) };
        if maps.changes()?.is_multiple_of(2) {
            return Ok(());
        }
        let part = &set.parts[index];
        let table = maps.repair(&part.words)?;
        let count = value(table.len() as u64);
        running.map("live")?.update(&part.index.to_ne_bytes(), &count, Update::Any)?;
        Ok(maps.count_change()?)
    }

    /// Adds elements; if there is no room for all, none of them.
    pub(crate) fn add(&mut self, elements: &[&Parsed], expiry: u64) -> Result<Undo, Error> {
        let mut undo = Undo::new();
        let (singles, prefixes): (Vec<&Parsed>, Vec<&Parsed>) =
            elements.iter().copied().partition(|element| self.home(element) == Home::Hash);
        for element in singles {
            let key = self.key(Home::Hash, element);
            let before = match self.set_single(&key, expiry) {
                Ok(before) => before,
                Err(error) => {
                    self.undo(undo)?;
                    return Err(error);
                }
            };
            undo.push((Home::Hash, key, before));
        }
        let prefixes: Vec<Vec<u8>> = prefixes.iter().map(|element| self.key(Home::Trie, element)).collect();
        match self.add_prefixes(&prefixes, expiry) {
            Ok(more) => {
                undo.extend(more);
                Ok(undo)
            }
            Err(error) => {
                self.undo(undo)?;
                Err(error)
            }
        }
    }

    /// Deletes elements; answers how many were there.
    pub(crate) fn delete(&mut self, elements: &[&Parsed]) -> Result<u64, Error> {
        let mut deleted = 0;
        let mut prefixes = Vec::new();
        for element in elements {
            match (self.home(element), &self.hash) {
                (Home::Hash, Some(hash)) => {
                    deleted += u64::from(hash.delete(&self.key(Home::Hash, element))?)
                }
                _ => prefixes.push(self.key(Home::Trie, element)),
            }
        }
        Ok(deleted + self.remove_prefixes(&prefixes)?)
    }

    /// Puts back what was there before.
    pub(crate) fn undo(&mut self, undo: Undo) -> Result<(), Error> {
        let mut gone = Vec::new();
        // The same key may have been added twice: what was there first comes back last.
        for (home, key, before) in undo.into_iter().rev() {
            match (home, before, &self.hash) {
                (Home::Hash, Some(expiry), Some(hash)) => hash.update(&key, &value(expiry), Update::Any)?,
                (Home::Hash, None, Some(hash)) => drop(hash.delete(&key)?),
                (_, Some(expiry), _) => drop(self.add_prefixes(&[key], expiry)?),
                (_, None, _) => gone.push(key),
            }
        }
        self.remove_prefixes(&gone).map(drop)
    }

    pub(crate) fn list(&self, now: u64) -> Result<Vec<LiveElement>, Error> {
        let part = &self.set.parts[self.part];
        let alive = |expiry: u64| expiry == FOREVER || expiry > now;
        let left = |expiry: u64| (expiry != FOREVER).then(|| expiry - now);
        let mut elements = Vec::new();
        if let Some(hash) = &self.hash {
            let mut singles = hash.entries()?;
            // By value: keys are in the machine's order, and maps in none.
            singles.sort_by_cached_key(|(key, _)| hash_scalars(&part.words, key));
            let singles = singles.iter().map(|(key, expiry)| (key, word(expiry)));
            let one = |(key, expiry): (&Vec<u8>, u64)| LiveElement {
                element: hash_text(&self.set, part, key),
                remaining_ns: left(expiry),
            };
            elements.extend(singles.filter(|(_, expiry)| alive(*expiry)).map(one));
        }
        let prefixes = self.tries.iter().flat_map(|tries| tries.table.entries());
        let prefixes = prefixes.filter(|(_, expiry)| alive(*expiry));
        elements.extend(
            prefixes
                .map(|(key, expiry)| LiveElement { element: prefix_text(&key), remaining_ns: left(expiry) }),
        );
        Ok(elements)
    }

    pub(crate) fn flush(&mut self) -> Result<u64, Error> {
        let mut count = 0;
        if let Some(hash) = &self.hash {
            let keys: Vec<Vec<u8>> = hash.entries()?.into_iter().map(|(key, _)| key).collect();
            count += keys.len() as u64;
            hash.delete_batch(&keys)?;
        }
        let prefixes = self.tries.iter().flat_map(|tries| tries.table.entries());
        let prefixes: Vec<Vec<u8>> = prefixes.map(|(key, _)| key).collect();
        Ok(count + self.remove_prefixes(&prefixes)?)
    }

    pub(crate) fn sweep(&mut self, now: u64) -> Result<u64, Error> {
        let dead = |expiry: u64| expiry != FOREVER && expiry <= now;
        let mut count = 0;
        if let Some(hash) = &self.hash {
            let entries = hash.entries()?.into_iter();
            let keys: Vec<Vec<u8>> = entries.filter(|(_, at)| dead(word(at))).map(|(key, _)| key).collect();
            count += keys.len() as u64;
            hash.delete_batch(&keys)?;
        }
        let prefixes = self.tries.iter().flat_map(|tries| tries.table.entries());
        let prefixes: Vec<Vec<u8>> = prefixes.filter(|(_, at)| dead(*at)).map(|(key, _)| key).collect();
        Ok(count + self.remove_prefixes(&prefixes)?)
    }

    /// What was read of the trie: the id of its map, the number of changes, the table.
    pub(crate) fn into_table(self) -> Result<Option<(u32, u64, Prefixes)>, Error> {
        let Some(tries) = self.tries else { return Ok(None) };
        Ok(Some((tries.maps.truth.info().id, tries.maps.changes()?, tries.table)))
    }

    fn home(&self, element: &Parsed) -> Home {
        home(self.decl.kind, &self.decl.words, element.bits)
    }

    fn key(&self, home: Home, element: &Parsed) -> Vec<u8> {
        key(&self.decl, home, &element.scalars, element.bits)
    }

    /// Sets one value, and makes room if it must; answers what was there.
    fn set_single(&mut self, key: &[u8], expiry: u64) -> Result<Option<u64>, Error> {
        let Some(hash) = &self.hash else { return Ok(None) };
        // Most are new: one call instead of two.
        let full = match hash.update(key, &value(expiry), Update::Create) {
            Ok(()) => return Ok(None),
            Err(error) if error.errno() == EXISTS => {
                let before = hash.lookup(key)?.map(|bytes| word(&bytes));
                hash.update(key, &value(expiry), Update::Any)?;
                return Ok(before);
            }
            Err(error) if is_full(&error) => error,
            Err(error) => return Err(error.into()),
        };
        if self.sweep(monotonic_ns())? == 0 {
            return Err(self.full(full, false));
        }
        let Some(hash) = &self.hash else { return Ok(None) };
        match hash.update(key, &value(expiry), Update::Any) {
            Ok(()) => Ok(None),
            Err(error) => Err(self.full(error, false)),
        }
    }

    fn add_prefixes(&mut self, keys: &[Vec<u8>], expiry: u64) -> Result<Undo, Error> {
        if keys.is_empty() {
            return Ok(Undo::new());
        }
        self.make_room(keys)?;
        let index = self.set.parts[self.part].index;
        let Some(tries) = &mut self.tries else { return Ok(Undo::new()) };
        let undo = keys.iter().map(|key| (Home::Trie, key.clone(), tries.table.own(key))).collect();
        let table = &mut tries.table;
        keys.iter().for_each(|key| table.insert(key, expiry));
        tries.maps.count_change()?;
        // Raised before the first insertion: a program that sees 0 does not ask the trie.
        tries.live.update(&index.to_ne_bytes(), &value(table.len() as u64), Update::Any)?;
        write(&tries.maps.truth, &keys.iter().map(|key| (key.clone(), expiry)).collect::<Vec<_>>())?;
        write(&tries.maps.trie, &changed(table, keys))?;
        tries.maps.count_change()?;
        Ok(undo)
    }

    /// Says so if the trie has no room for these, even without what has expired.
    fn make_room(&mut self, keys: &[Vec<u8>]) -> Result<(), Error> {
        let max = u64::from(self.set.parts[self.part].max);
        let needs = |tries: &Tries| {
            let mut new: Vec<&Vec<u8>> = keys.iter().filter(|key| tries.table.own(key).is_none()).collect();
            new.sort_unstable();
            new.dedup();
            (tries.table.len() + new.len()) as u64
        };
        let fits = |part: &Self| part.tries.as_ref().is_none_or(|tries| needs(tries) <= max);
        if fits(self) {
            return Ok(());
        }
        self.sweep(monotonic_ns())?;
        if fits(self) {
            return Ok(());
        }
        let used = self.tries.as_ref().map_or(0, |tries| tries.table.len() as u64);
        let (name, what) = (self.set.name.clone(), self.set.parts[self.part].noun(true));
        Err(Error::SetFull { name, used, max, what })
    }

    fn remove_prefixes(&mut self, keys: &[Vec<u8>]) -> Result<u64, Error> {
        let index = self.set.parts[self.part].index;
        let Some(tries) = &mut self.tries else { return Ok(0) };
        let there: Vec<&Vec<u8>> = keys.iter().filter(|key| tries.table.remove(key).is_some()).collect();
        if there.is_empty() {
            return Ok(0);
        }
        tries.maps.count_change()?;
        for key in &there {
            tries.maps.truth.delete(key)?;
        }
        // First those that were covered lose what they were lent, then the element itself goes.
        let left: Vec<Vec<u8>> = there.iter().map(|key| (*key).clone()).collect();
        write(&tries.maps.trie, &changed(&tries.table, &left))?;
        for key in &there {
            tries.maps.trie.delete(key)?;
        }
        // Lowered after the last removal.
        let count = value(tries.table.len() as u64);
        tries.live.update(&index.to_ne_bytes(), &count, Update::Any)?;
        tries.maps.count_change()?;
        Ok(there.len() as u64)
    }

    fn full(&self, error: KernelError, prefixes: bool) -> Error {
        if !is_full(&error) {
            return error.into();
        }
        let part = &self.set.parts[self.part];
        let used =
            self.hash.as_ref().and_then(|hash| hash.entries().ok()).map_or(0, |entries| entries.len() as u64);
        Error::SetFull { name: self.set.name.clone(), used, max: part.max.into(), what: part.noun(prefixes) }
    }
}

impl Tries {
    fn open(
        maps: PrefixMaps,
        live: Map,
        words: &[u8],
        tables: &mut HashMap<u32, (u64, Prefixes)>,
    ) -> Result<Self, Error> {
        let changes = maps.changes()?;
        let remembered = tables.remove(&maps.truth.info().id).filter(|(then, _)| *then == changes);
        let table = match remembered {
            Some((_, table)) => table,
            None => maps.read(words)?,
        };
        Ok(Self { maps, live, table })
    }
}

fn prefix_maps(running: &Generation, set: &SetMeta, index: usize) -> Result<Option<PrefixMaps>, KernelError> {
    let part = &set.parts[index];
    let (Some(trie), Some(truth)) = (&part.trie, part.truth()) else { return Ok(None) };
    Ok(Some(PrefixMaps { trie: running.map(trie)?, truth: running.map(&truth)? }))
}

/// What the trie must hold after these keys changed. Many changes are cheaper as a walk over all.
fn changed(table: &Prefixes, keys: &[Vec<u8>]) -> Vec<(Vec<u8>, u64)> {
    if keys.len() * 32 > table.len() {
        return table.effective();
    }
    let under: BTreeMap<Vec<u8>, u64> = keys.iter().flat_map(|key| table.effective_under(key)).collect();
    under.into_iter().collect()
}

fn is_full(error: &KernelError) -> bool {
    FULL.contains(&error.errno())
}

//! What becomes of the contents of sets in a reload.
//!
//! A live set that is declared as before, and holds the policy's own elements, goes on in its maps: they are used by
//! both programs. Any other begins in new maps, which are filled before the swap, so that a reload that fails has
//! changed nothing: with the policy's own elements, and, if elements of the old set are elements of the new one, with
//! those that user space added, for the rest of their lives.

use super::content::{FOREVER, Home, home, key, value};
use super::meta::{PartMeta, SetMeta};
use super::prefixes::{PrefixMaps, Prefixes};
use crate::Error;
use crate::counters::word;
use crate::instance::build::Built;
use crate::instance::generation::Generation;
use std::collections::{BTreeMap, BTreeSet};
use weir_compiler::lower::set_elements;
use weir_kernel::KernelError;
use weir_kernel::clock::monotonic_ns;
use weir_kernel::load::{Loaded, Reuse};
use weir_kernel::maps::{Map, Update};

/// One part's way through a reload.
#[derive(Debug)]
pub(crate) enum Carry {
    /// It goes on in the same maps.
    Shared {
        /// The prefixes' own lifetimes.
        truth: Option<Map>,
        /// How many prefixes there are.
        prefixes: u64,
    },
    /// It begins in new maps with these beside its own elements: keys and expiries.
    Filled(Contents),
}

/// Elements by where they live.
#[derive(Clone, Default, Debug)]
pub(crate) struct Contents {
    hash: BTreeMap<Vec<u8>, u64>,
    prefixes: BTreeMap<Vec<u8>, u64>,
}

/// Chooses for every part of every set.
pub(crate) fn plan(
    sets: &[SetMeta],
    running: Option<&Generation>,
    reuse: &mut BTreeMap<String, Reuse>,
) -> Result<Vec<Vec<Carry>>, Error> {
    let one = |set: &SetMeta| -> Result<Vec<Carry>, Error> {
        let mut carries = Vec::new();
        for part in &set.parts {
            carries.push(plan_part(set, part, running, reuse)?);
        }
        Ok(carries)
    };
    sets.iter().map(one).collect()
}

/// Whether every set that changes while running goes on in its maps.
pub(crate) fn all_go_on(sets: &[SetMeta], carries: &[Vec<Carry>]) -> bool {
    let live = sets.iter().zip(carries).filter(|(set, _)| set.live.is_some());
    live.flat_map(|(_, carries)| carries).all(|carry| matches!(carry, Carry::Shared { .. }))
}

fn plan_part(
    set: &SetMeta,
    part: &PartMeta,
    running: Option<&Generation>,
    reuse: &mut BTreeMap<String, Reuse>,
) -> Result<Carry, Error> {
    let found = running
        .filter(|_| set.live.is_some())
        .and_then(|running| Some((running, old_part(running, set, part)?)));
    let Some((running, old)) = found else { return Ok(Carry::Filled(Contents::default())) };
    let contents = read(running, old)?;
    let own = own_entries(part, &part.own);
    let complete = own.iter().all(|(home, key)| contents.of(*home).get(key) == Some(&FOREVER));
    if old.max == part.max && old.own == part.own && complete {
        for (new, old) in [(&part.hash, &old.hash), (&part.trie, &old.trie)] {
            if let (Some(new), Some(old)) = (new, old) {
                reuse.insert(new.clone(), Reuse::Map(running.map(old)?));
            }
        }
        let truth = old.truth().map(|name| running.map(&name)).transpose()?;
        return Ok(Carry::Shared { truth, prefixes: contents.prefixes.len() as u64 });
    }
    carried(set, part, old, contents)
}

/// The live part of the running policy whose elements are elements of this one.
fn old_part<'a>(running: &'a Generation, set: &SetMeta, part: &PartMeta) -> Option<&'a PartMeta> {
    let old = running.meta.sets.iter().find(|old| old.name == set.name && old.live.is_some())?;
    let same_types = old.types == set.types;
    old.parts.iter().find(|old| same_types && old.is_like(part))
}

/// What user space added, without what has expired and without what only the old policy had.
fn carried(set: &SetMeta, part: &PartMeta, old: &PartMeta, mut contents: Contents) -> Result<Carry, Error> {
    for (home, key) in own_entries(old, &old.own) {
        let there = contents.of_mut(home);
        if there.get(&key) == Some(&FOREVER) {
            there.remove(&key);
        }
    }
    let now = monotonic_ns();
    for entries in [&mut contents.hash, &mut contents.prefixes] {
        entries.retain(|_, expiry| *expiry == FOREVER || *expiry > now);
    }
    for (home, key) in own_entries(part, &part.own) {
        contents.of_mut(home).insert(key, FOREVER);
    }
    for (entries, prefixes) in [(&contents.hash, false), (&contents.prefixes, true)] {
        let (used, max) = (entries.len() as u64, u64::from(part.max));
        if used > max {
            return Err(Error::SetFull { name: set.name.clone(), used, max, what: part.noun(prefixes) });
        }
    }
    Ok(Carry::Filled(contents))
}

fn own_entries(part: &PartMeta, own: &[(Vec<u64>, u32)]) -> Vec<(Home, Vec<u8>)> {
    let decl = part.decl(true);
    let entry = |(scalars, bits): &(Vec<u64>, u32)| {
        let home = home(decl.kind, &decl.words, *bits);
        (home, key(&decl, home, scalars, *bits))
    };
    own.iter().map(entry).collect()
}

fn read(running: &Generation, part: &PartMeta) -> Result<Contents, Error> {
    let mut contents = Contents::default();
    if let Some(hash) = &part.hash {
        let entries = running.map(hash)?.entries()?;
        contents.hash = entries.into_iter().map(|(key, expiry)| (key, word(&expiry))).collect();
    }
    if let (Some(trie), Some(truth)) = (&part.trie, part.truth()) {
        let maps = PrefixMaps { trie: running.map(trie)?, truth: running.map(&truth)? };
        contents.prefixes = maps.read(&part.words)?.entries().into_iter().collect();
    }
    Ok(contents)
}

impl Contents {
    fn of(&self, home: Home) -> &BTreeMap<Vec<u8>, u64> {
        match home {
            Home::Hash => &self.hash,
            Home::Trie => &self.prefixes,
        }
    }

    fn of_mut(&mut self, home: Home) -> &mut BTreeMap<Vec<u8>, u64> {
        match home {
            Home::Hash => &mut self.hash,
            Home::Trie => &mut self.prefixes,
        }
    }
}

/// Fills a part's maps; answers the map beside them, with the name of its pin.
pub(crate) fn fill(
    set: &SetMeta,
    part: &PartMeta,
    carry: &Carry,
    built: &Built,
    loaded: &Loaded,
) -> Result<Option<(String, Map)>, Error> {
    let (contents, shared) = match carry {
        Carry::Shared { truth, prefixes } => {
            count_prefixes(part, loaded, *prefixes)?;
            let truth = truth.as_ref().map(Map::try_clone).transpose()?;
            return Ok(part.truth().zip(truth));
        }
        Carry::Filled(contents) => (contents, &part.own),
    };
    let live = set.live.is_some();
    let own = if live { own_entries(part, shared) } else { constant_entries(part, built) };
    let mut all = contents.clone();
    for (home, key) in own {
        all.of_mut(home).insert(key, FOREVER);
    }
    write_batch(part.hash.as_deref(), loaded, &all.hash)?;
    let Some(trie) = part.trie.as_deref().and_then(|trie| loaded.map(trie)) else { return Ok(None) };
    if !live {
        write_batch(part.trie.as_deref(), loaded, &all.prefixes)?;
        return Ok(None);
    }
    let maps = PrefixMaps { trie: trie.try_clone()?, truth: PrefixMaps::truth_for(trie)? };
    let mut prefixes = Prefixes::new(&part.words);
    all.prefixes.iter().for_each(|(key, expiry)| prefixes.insert(key, *expiry));
    maps.fill(&prefixes)?;
    count_prefixes(part, loaded, prefixes.len() as u64)?;
    Ok(part.truth().map(|name| (name, maps.truth)))
}

fn constant_entries(part: &PartMeta, built: &Built) -> Vec<(Home, Vec<u8>)> {
    let name = built.lowered.sets[part.index as usize];
    own_entries(part, &set_elements(&built.analysis.policy, name))
}

fn write_batch(
    map: Option<&str>,
    loaded: &Loaded,
    entries: &BTreeMap<Vec<u8>, u64>,
) -> Result<(), KernelError> {
    let Some(map) = map.and_then(|map| loaded.map(map)) else { return Ok(()) };
    let pairs: Vec<(&[u8], Vec<u8>)> =
        entries.iter().map(|(key, expiry)| (key.as_slice(), value(*expiry))).collect();
    map.update_batch(&pairs)
}

/// The number that lets the program ask the trie.
fn count_prefixes(part: &PartMeta, loaded: &Loaded, prefixes: u64) -> Result<(), KernelError> {
    match loaded.map("live") {
        Some(live) if part.truth().is_some() && prefixes > 0 => {
            live.update(&part.index.to_ne_bytes(), &value(prefixes), Update::Any)
        }
        _ => Ok(()),
    }
}

/// Says what was kept, for the report.
pub(crate) fn report(
    sets: &[SetMeta],
    carries: &[Vec<Carry>],
    running: Option<&Generation>,
    (kept, fresh, gone): (&mut Vec<String>, &mut Vec<String>, &mut Vec<String>),
) {
    let live = |set: &&SetMeta| set.live.is_some();
    let known: BTreeSet<&str> = sets.iter().filter(live).map(|set| set.name.as_str()).collect();
    for (set, carries) in sets.iter().zip(carries).filter(|(set, _)| set.live.is_some()) {
        let had = running
            .is_some_and(|running| set.parts.iter().any(|part| old_part(running, set, part).is_some()));
        let shared = carries.iter().any(|carry| matches!(carry, Carry::Shared { .. }));
        let list = if had || shared { &mut *kept } else { &mut *fresh };
        list.push(format!("set {}", set.name));
    }
    let before = running.iter().flat_map(|running| running.meta.sets.iter()).filter(live);
    gone.extend(
        before.filter(|old| !known.contains(old.name.as_str())).map(|old| format!("set {}", old.name)),
    );
}

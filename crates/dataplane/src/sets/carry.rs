//! What becomes of the contents of sets in a reload.
//!
//! A live set that is declared as before, and holds the policy's own elements, goes on in its maps: they are used by
//! both programs. Any other begins in new maps, which are filled before the swap, so that a reload that fails has
//! changed nothing: with the policy's own elements, and, if elements of the old set are elements of the new one, with
//! those that user space added, for the rest of their lives. A set that outgrew its maps begins in new ones as well.

use super::content::{FOREVER, bytes, key, keys, value};
use super::meta::{PartMeta, SetMeta};
use super::truth::{Timed, Truth};
use super::{Filling, Index};
use crate::Error;
use crate::counters::word;
use crate::instance::build::{Beside, Built};
use crate::instance::generation::Generation;
use std::collections::{BTreeMap, BTreeSet};
use weir_compiler::codegen::indexes::bytes_around;
use weir_compiler::index::{self, Key, tick};
use weir_compiler::lower::set_elements;
use weir_kernel::clock::monotonic_ns;
use weir_kernel::load::{Loaded, Reuse};
use weir_kernel::maps::Map;

/// One part's way through a reload.
#[derive(Debug)]
pub(crate) enum Carry {
    /// It goes on in the same maps.
    Shared {
        map: Map,
        /// Its elements, if it is in an index.
        truth: Option<Map>,
        bytes: u32,
    },
    /// It begins in a new hash map or trie: keys and expiries.
    Entries(BTreeMap<Vec<u8>, u64>),
    /// It begins in a new index.
    Index { key: Key, elements: Vec<Timed>, image: Vec<u64> },
}

/// What a part holds from now on, which needs more room than it has.
#[derive(Debug)]
pub(crate) struct Grown {
    pub(crate) set: String,
    pub(crate) part: String,
    /// In order, each once.
    pub(crate) elements: Vec<Timed>,
}

/// Chooses for every part of every set.
pub(crate) fn plan(sets: &[SetMeta], beside: &Beside<'_>) -> Result<Vec<Vec<Carry>>, Error> {
    let one = |set: &SetMeta| -> Result<Vec<Carry>, Error> {
        set.parts.iter().map(|part| plan_part(set, part, beside)).collect()
    };
    sets.iter().map(one).collect()
}

/// Whether every set that changes while running goes on in its maps.
pub(crate) fn all_go_on(sets: &[SetMeta], carries: &[Vec<Carry>]) -> bool {
    let live = sets.iter().zip(carries).filter(|(set, _)| set.live.is_some());
    live.flat_map(|(_, carries)| carries).all(|carry| matches!(carry, Carry::Shared { .. }))
}

/// Notes which maps are used again.
pub(crate) fn share(
    sets: &[SetMeta],
    carries: &[Vec<Carry>],
    reuse: &mut BTreeMap<String, Reuse>,
) -> Result<(), Error> {
    let parts = sets.iter().zip(carries).flat_map(|(set, carries)| set.parts.iter().zip(carries));
    for (part, carry) in parts {
        if let Carry::Shared { map, .. } = carry {
            reuse.insert(part.map.clone(), Reuse::Map(map.try_clone()?));
        }
    }
    Ok(())
}

impl Carry {
    /// Bytes of the section that the part's index is in.
    pub(crate) fn bytes(&self) -> u32 {
        match self {
            Carry::Shared { bytes, .. } => *bytes,
            Carry::Entries(_) => 0,
            Carry::Index { image, .. } => bytes_around(8 * image.len()),
        }
    }
}

fn plan_part(set: &SetMeta, part: &PartMeta, beside: &Beside<'_>) -> Result<Carry, Error> {
    let running = beside.running.filter(|_| set.live.is_some());
    let found = running.and_then(|running| Some((running, old_part(running, set, part)?)));
    let grown = beside.grown.filter(|grown| grown.set == set.name && grown.part == part.name);
    match (part.key(), grown, found) {
        (_, _, Some((running, old))) if !beside.capture.is_empty() => go_on(running, old),
        (Some(key), Some(grown), _) => Ok(in_index(key, grown.elements.clone())),
        (Some(key), None, Some((running, old))) => plan_index(set, part, key, running, old),
        (Some(key), None, None) => Ok(in_index(key, own_elements(key, part))),
        (None, _, Some((running, old))) => plan_entries(set, part, running, old),
        (None, _, None) => Ok(Carry::Entries(BTreeMap::new())),
    }
}

fn go_on(running: &Generation, old: &PartMeta) -> Result<Carry, Error> {
    let truth = old.truth().map(|name| running.map(&name)).transpose()?;
    Ok(Carry::Shared { map: running.map(&old.map)?, truth, bytes: old.bytes })
}

fn in_index(key: Key, elements: Vec<Timed>) -> Carry {
    let ticks: Vec<_> = elements.iter().map(|(prefix, expiry)| (*prefix, tick(*expiry))).collect();
    Carry::Index { key, image: index::build(key, &ticks), elements }
}

fn own_elements(key: Key, part: &PartMeta) -> Vec<Timed> {
    let own = part.own.iter().map(|(scalars, bits)| (key.prefix(scalars, *bits), FOREVER));
    let mut own: Vec<Timed> = own.collect();
    own.sort_unstable();
    own.dedup();
    own
}

fn plan_index(
    set: &SetMeta,
    part: &PartMeta,
    key: Key,
    running: &Generation,
    old: &PartMeta,
) -> Result<Carry, Error> {
    let truth = Truth::of(running.map(&old.truth().unwrap_or_default())?, key);
    let (own, before) = (own_elements(key, part), own_elements(key, old));
    let mut complete = own == before;
    for (prefix, _) in &own {
        complete = complete && truth.find(*prefix)? == Some(FOREVER);
    }
    let (used, max) = (Index::count(running, old)?, u64::from(part.max));
    if complete && used <= max {
        return go_on(running, old);
    }
    // What user space added, without what has expired and without what only the old policy had.
    let now = monotonic_ns();
    let elements = truth.elements()?.into_iter();
    let added = elements.filter(|timed| alive(timed.1, now) && before.binary_search(timed).is_err());
    let mut all: BTreeMap<_, _> = added.collect();
    all.extend(own);
    check_size(set, part, all.len())?;
    Ok(in_index(key, all.into_iter().collect()))
}

fn plan_entries(
    set: &SetMeta,
    part: &PartMeta,
    running: &Generation,
    old: &PartMeta,
) -> Result<Carry, Error> {
    let map = running.map(&old.map)?;
    let (own, before) = (keys(part, &part.own), keys(old, &old.own));
    let mut complete = own == before;
    for key in &own {
        complete = complete && map.lookup(key)?.is_some_and(|expiry| word(&expiry) == FOREVER);
    }
    if old.max == part.max && complete {
        return go_on(running, old);
    }
    let now = monotonic_ns();
    let entries = map.entries()?.into_iter().map(|(key, expiry)| (key, word(&expiry)));
    let mut all: BTreeMap<Vec<u8>, u64> = entries.filter(|(_, expiry)| alive(*expiry, now)).collect();
    all.retain(|key, expiry| *expiry != FOREVER || !before.contains(key));
    all.extend(own.into_iter().map(|key| (key, FOREVER)));
    check_size(set, part, all.len())?;
    Ok(Carry::Entries(all))
}

/// Whether it has not expired.
pub(crate) fn alive(expiry: u64, now: u64) -> bool {
    expiry == FOREVER || expiry > now
}

/// The live part of the running policy whose elements are elements of this one.
fn old_part<'a>(running: &'a Generation, set: &SetMeta, part: &PartMeta) -> Option<&'a PartMeta> {
    let old = running.meta.sets.iter().find(|old| old.name == set.name && old.live.is_some())?;
    let same_types = old.types == set.types;
    old.parts.iter().find(|old| same_types && old.is_like(part))
}

fn check_size(set: &SetMeta, part: &PartMeta, used: usize) -> Result<(), Error> {
    let (used, max) = (used as u64, u64::from(part.max));
    if used > max {
        return Err(Error::SetFull { name: set.name.clone(), used, max, what: part.noun() });
    }
    Ok(())
}

/// Fills a part's maps; answers the map beside them, with the name of its pin.
pub(crate) fn fill(
    part: &PartMeta,
    carry: &Carry,
    built: &Built,
    loaded: &Loaded,
    tell: &mut dyn FnMut(Filling),
) -> Result<Option<(String, Map)>, Error> {
    let Some(map) = loaded.map(&part.map) else { return Ok(None) };
    match carry {
        Carry::Shared { truth, .. } => {
            let truth = truth.as_ref().map(Map::try_clone).transpose()?;
            Ok(part.truth().zip(truth))
        }
        Carry::Entries(entries) => {
            let own = own_keys(part, built);
            let own = own.iter().map(|key| (key, FOREVER));
            let entries = entries.iter().map(|(key, expiry)| (key, *expiry)).chain(own);
            let entries: Vec<_> = entries.map(|(key, expiry)| (key, value(expiry))).collect();
            map.update_batch(&entries)?;
            Ok(None)
        }
        Carry::Index { key, elements, image } => {
            map.memory()?.write(0, &bytes(image));
            let name = part.truth().unwrap_or_default();
            let truth = Truth::create(&part.name, *key, elements.len(), part.max)?;
            let of = elements.len();
            truth.fill(elements, |done| tell(Filling { what: "filling the set", done, of }))?;
            Ok(Some((name, truth.into_map())))
        }
    }
}

/// The keys of the policy's own elements, which parts that do not change have as well.
fn own_keys(part: &PartMeta, built: &Built) -> Vec<Vec<u8>> {
    let name = built.lowered.sets[part.index as usize];
    let decl = part.decl(true);
    let elements = set_elements(&built.analysis.policy, name);
    elements.iter().map(|(scalars, bits)| key(&decl, scalars, *bits)).collect()
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

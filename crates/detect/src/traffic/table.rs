//! Destinations in memory that has a bound: a table of sets of eight, from which the smallest goes.

use super::entry::Entry;
use super::sources::mix;
use super::window::{LONGEST, Moment, Sums};

const WAYS: usize = 8;

/// Keys and their windows.
///
/// A key that is new where its set is full takes the place of the one with the least recent weight (halved every second
/// without a sample), and starts from nothing; those that an alert holds stay. So sums are never above the truth. They
/// fall behind by what went with a key that was replaced, which [`Table::lost`] bounds; and a key that has more than an
/// eighth of its set's recent weight is above the average of its set, so never the one that goes.
///
/// Sets are made when first used: memory grows with the keys to its bound, and no further.
#[derive(Clone, Debug)]
pub(super) struct Table {
    sets: Vec<Option<Box<Set>>>,
    seed: u64,
}

#[derive(Clone, Debug)]
struct Set {
    used: usize,
    keys: [u128; WAYS],
    recent: [Recent; WAYS],
    /// Weight that went with keys that were replaced, or came for those that found no place.
    lost: u64,
    entries: [Entry; WAYS],
}

#[derive(Clone, Copy, Debug, Default)]
struct Recent {
    weight: u64,
    second: u32,
}

impl Recent {
    fn at(self, second: u32) -> u64 {
        self.weight >> second.saturating_sub(self.second).min(63)
    }

    fn add(&mut self, second: u32, weight: u64) {
        *self = Recent { weight: self.at(second).saturating_add(weight), second };
    }
}

impl Table {
    /// Room for as many keys at least.
    pub(super) fn new(keys: usize, seed: u64) -> Table {
        let sets = keys.div_ceil(WAYS).next_power_of_two();
        Table { sets: vec![None; sets], seed }
    }

    /// The most bytes that it takes.
    pub(super) fn bound(&self) -> usize {
        self.sets.len() * (size_of::<Set>() + size_of::<Option<Box<Set>>>())
    }

    /// The place of a key, made if need be; none where alerts hold all places that it could have.
    pub(super) fn enter(&mut self, key: u128, now: &Moment, sums: &Sums) -> Option<u32> {
        let at = self.set_of(key);
        let second = (now.nanos / 1_000_000_000) as u32;
        let set = self.sets[at].get_or_insert_with(Set::empty);
        let Some(way) = set.find(key).or_else(|| set.make(key, now)) else {
            set.lost = set.lost.saturating_add(sums.packets);
            return None;
        };
        set.recent[way].add(second, sums.packets);
        Some((at * WAYS + way) as u32)
    }

    pub(super) fn find(&self, key: u128) -> Option<u32> {
        let at = self.set_of(key);
        let way = self.sets[at].as_ref()?.find(key)?;
        Some((at * WAYS + way) as u32)
    }

    pub(super) fn entry(&self, slot: u32) -> Option<(u128, &Entry)> {
        let (at, way) = (slot as usize / WAYS, slot as usize % WAYS);
        let set = self.sets.get(at)?.as_ref()?;
        (way < set.used).then(|| (set.keys[way], &set.entries[way]))
    }

    pub(super) fn entry_mut(&mut self, slot: u32) -> Option<(u128, &mut Entry)> {
        let (at, way) = (slot as usize / WAYS, slot as usize % WAYS);
        let set = self.sets.get_mut(at)?.as_mut()?;
        (way < set.used).then(|| (set.keys[way], &mut set.entries[way]))
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (u128, &Entry)> {
        self.sets.iter().flatten().flat_map(|set| set.keys.iter().copied().zip(&set.entries).take(set.used))
    }

    pub(super) fn slots(&self) -> impl Iterator<Item = (u32, &Entry)> {
        let sets = self.sets.iter().enumerate().filter_map(|(at, set)| Some((at, set.as_ref()?)));
        sets.flat_map(|(at, set)| {
            let entries = set.entries.iter().take(set.used).enumerate();
            entries.map(move |(way, entry)| ((at * WAYS + way) as u32, entry))
        })
    }

    /// By how many packets the sums of a key may be below the truth, at most.
    pub(super) fn lost(&self, key: u128) -> u64 {
        self.sets[self.set_of(key)].as_ref().map_or(0, |set| set.lost)
    }

    /// Adds what another table of the same size and seed has. Its losses are losses of both.
    pub(super) fn merge(&mut self, other: &Table, now: &Moment) {
        for (at, theirs) in other.sets.iter().enumerate() {
            let Some(theirs) = theirs else { continue };
            let set = self.sets[at].get_or_insert_with(Set::empty);
            set.lost = set.lost.saturating_add(theirs.lost);
            for way in 0..theirs.used {
                set.merge(theirs.keys[way], theirs.recent[way], &theirs.entries[way], now);
            }
        }
    }

    pub(super) fn same_shape(&self, other: &Table) -> bool {
        self.sets.len() == other.sets.len() && self.seed == other.seed
    }

    fn set_of(&self, key: u128) -> usize {
        mix(key, self.seed) as usize & (self.sets.len() - 1)
    }
}

impl Set {
    fn empty() -> Box<Set> {
        Box::new(Set {
            used: 0,
            keys: [0; WAYS],
            recent: [Recent::default(); WAYS],
            lost: 0,
            entries: std::array::from_fn(|_| Entry::default()),
        })
    }

    fn find(&self, key: u128) -> Option<usize> {
        self.keys[..self.used].iter().position(|there| *there == key)
    }

    fn make(&mut self, key: u128, now: &Moment) -> Option<usize> {
        let way = if self.used < WAYS {
            self.used += 1;
            self.used - 1
        } else {
            self.smallest(now)?
        };
        let gone = self.entries[way].windows.over(LONGEST, now).packets;
        self.lost = self.lost.saturating_add(gone);
        self.keys[way] = key;
        self.recent[way] = Recent::default();
        self.entries[way] = Entry::default();
        Some(way)
    }

    fn smallest(&self, now: &Moment) -> Option<usize> {
        let second = (now.nanos / 1_000_000_000) as u32;
        let free = (0..WAYS).filter(|way| !self.entries[*way].is_held());
        free.min_by_key(|way| self.recent[*way].at(second))
    }

    fn merge(&mut self, key: u128, recent: Recent, theirs: &Entry, now: &Moment) {
        let Some(way) = self.find(key).or_else(|| self.make(key, now)) else {
            self.lost = self.lost.saturating_add(theirs.windows.over(LONGEST, now).packets);
            return;
        };
        self.recent[way].add(self.recent[way].second.max(recent.second), recent.weight);
        self.entries[way].windows.merge(&theirs.windows);
    }
}

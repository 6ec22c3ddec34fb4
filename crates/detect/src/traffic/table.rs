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
/// Windows are made when a place is first used: memory grows with the keys to its bound, and no further.
#[derive(Clone, Debug)]
pub(super) struct Table {
    sets: Vec<Set>,
    seed: u64,
}

/// What is looked at to find a key stands together, its windows apart from that.
#[derive(Clone, Debug, Default)]
struct Set {
    /// Bits of hashes that chose no set.
    tags: [u32; WAYS],
    used: usize,
    /// A bit for each that must stay.
    held: u32,
    /// Weight that went with keys that were replaced, or came for those that found no place.
    lost: u64,
    recent: [Recent; WAYS],
    keys: [u128; WAYS],
    entries: [Option<Box<Entry>>; WAYS],
}

#[derive(Clone, Copy, Debug, Default)]
struct Recent {
    weight: u32,
    second: u32,
}

impl Recent {
    fn at(self, second: u32) -> u32 {
        self.weight >> second.saturating_sub(self.second).min(31)
    }

    fn add(&mut self, second: u32, weight: u64) {
        let weight = u32::try_from(weight).unwrap_or(u32::MAX);
        *self = Recent { weight: self.at(second).saturating_add(weight), second };
    }
}

impl Table {
    /// Room for as many keys at least.
    pub(super) fn new(keys: usize, seed: u64) -> Table {
        let sets = keys.div_ceil(WAYS).next_power_of_two();
        Table { sets: vec![Set::default(); sets], seed }
    }

    /// The most bytes that it takes.
    pub(super) fn bound(&self) -> usize {
        self.sets.len() * (size_of::<Set>() + WAYS * size_of::<Entry>())
    }

    /// The place of a key, made if need be; none where alerts hold all places that it could have.
    pub(super) fn enter(&mut self, key: u128, now: &Moment, sums: &Sums) -> Option<(u32, &mut Entry)> {
        let (at, tag) = self.set_of(key);
        let set = &mut self.sets[at];
        let Some(way) = set.find(key, tag).or_else(|| set.make(key, tag, now)) else {
            set.lost = set.lost.saturating_add(sums.packets);
            return None;
        };
        set.recent[way].add(second(now), sums.packets);
        Some(((at * WAYS + way) as u32, set.entries[way].as_mut()?))
    }

    pub(super) fn find(&self, key: u128) -> Option<u32> {
        let (at, tag) = self.set_of(key);
        Some((at * WAYS + self.sets[at].find(key, tag)?) as u32)
    }

    pub(super) fn entry(&self, slot: u32) -> Option<(u128, &Entry)> {
        let (set, way) = (self.sets.get(slot as usize / WAYS)?, slot as usize % WAYS);
        Some((set.keys[way], set.entries[way].as_deref()?))
    }

    pub(super) fn entry_mut(&mut self, slot: u32) -> Option<(u128, &mut Entry)> {
        let (set, way) = (self.sets.get_mut(slot as usize / WAYS)?, slot as usize % WAYS);
        Some((set.keys[way], set.entries[way].as_deref_mut()?))
    }

    /// Whether a key stays in its place until this is said again.
    pub(super) fn hold(&mut self, slot: u32, is_held: bool) {
        if let Some(set) = self.sets.get_mut(slot as usize / WAYS) {
            let bit = 1 << (slot as usize % WAYS);
            set.held = if is_held { set.held | bit } else { set.held & !bit };
        }
    }

    pub(super) fn slots(&self) -> impl Iterator<Item = (u32, u128, &Entry)> {
        self.sets.iter().enumerate().flat_map(|(at, set)| {
            let entries = set.keys.iter().zip(&set.entries).enumerate();
            entries.filter_map(move |(way, (key, entry))| {
                Some(((at * WAYS + way) as u32, *key, entry.as_deref()?))
            })
        })
    }

    /// By how many packets the sums of a key may be below the truth, at most.
    pub(super) fn lost(&self, key: u128) -> u64 {
        self.sets[self.set_of(key).0].lost
    }

    /// Adds what another table of the same size and seed has. Its losses are losses of both.
    pub(super) fn merge(&mut self, other: &Table, now: &Moment) {
        for (set, theirs) in self.sets.iter_mut().zip(&other.sets) {
            set.lost = set.lost.saturating_add(theirs.lost);
            for way in 0..theirs.used {
                set.merge(theirs, way, now);
            }
        }
    }

    pub(super) fn same_shape(&self, other: &Table) -> bool {
        self.sets.len() == other.sets.len() && self.seed == other.seed
    }

    fn set_of(&self, key: u128) -> (usize, u32) {
        let hash = mix(key, self.seed);
        (hash as usize & (self.sets.len() - 1), (hash >> 32) as u32)
    }
}

impl Set {
    fn find(&self, key: u128, tag: u32) -> Option<usize> {
        (0..self.used).find(|way| self.tags[*way] == tag && self.keys[*way] == key)
    }

    fn make(&mut self, key: u128, tag: u32, now: &Moment) -> Option<usize> {
        let way = if self.used < WAYS {
            self.used += 1;
            self.used - 1
        } else {
            self.smallest(now)?
        };
        match &mut self.entries[way] {
            Some(entry) => {
                self.lost = self.lost.saturating_add(entry.windows.over(LONGEST, now).packets);
                **entry = Entry::default();
            }
            empty => *empty = Some(Box::default()),
        }
        (self.tags[way], self.keys[way], self.recent[way]) = (tag, key, Recent::default());
        Some(way)
    }

    fn smallest(&self, now: &Moment) -> Option<usize> {
        let free = (0..WAYS).filter(|way| self.held & (1 << way) == 0);
        free.min_by_key(|way| self.recent[*way].at(second(now)))
    }

    fn merge(&mut self, other: &Set, at: usize, now: &Moment) {
        let (tag, key, recent) = (other.tags[at], other.keys[at], other.recent[at]);
        let Some(theirs) = other.entries[at].as_deref() else { return };
        let Some(way) = self.find(key, tag).or_else(|| self.make(key, tag, now)) else {
            self.lost = self.lost.saturating_add(theirs.windows.over(LONGEST, now).packets);
            return;
        };
        self.recent[way].add(self.recent[way].second.max(recent.second), recent.weight.into());
        if let Some(entry) = &mut self.entries[way] {
            entry.windows.merge(&theirs.windows);
        }
    }
}

fn second(now: &Moment) -> u32 {
    (now.nanos / 1_000_000_000) as u32
}

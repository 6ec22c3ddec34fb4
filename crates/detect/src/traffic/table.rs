//! Destinations in memory that has a bound: a table of sets of eight, from which the smallest goes.

use std::hint::black_box;

use super::entry::Entry;
use super::sources::mix;
use super::window::{LONGEST, Moment};

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
    entries: Vec<Entry>,
    seed: u64,
}

/// What is looked at to find a key stands together, the keys and their windows apart from that: two cache lines that are
/// neighbours.
#[derive(Clone, Debug, Default)]
#[repr(C, align(128))]
struct Set {
    /// Where the entries are.
    slots: [u32; WAYS],
    /// Bits of hashes that chose no set.
    tags: [u16; WAYS],
    /// Weight that went with keys that were replaced, or came for those that found no place.
    lost: u64,
    used: u8,
    /// A bit for each that must stay.
    held: u8,
    recent: [Recent; WAYS],
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

/// Where a key is, or may be.
#[derive(Clone, Copy, Debug)]
struct Hash {
    set: usize,
    tag: u16,
}

impl Table {
    /// Room for as many keys at least.
    pub(super) fn new(keys: usize, seed: u64) -> Table {
        let sets = keys.div_ceil(WAYS).next_power_of_two();
        // Memory that no entry was put into is only reserved.
        Table { sets: vec![Set::default(); sets], entries: Vec::with_capacity(sets * WAYS), seed }
    }

    /// The most bytes that it takes.
    pub(super) fn bound(&self) -> usize {
        self.sets.len() * (size_of::<Set>() + WAYS * size_of::<Entry>())
    }

    /// The place of a key, made if need be; none where alerts hold all places that it could have.
    pub(super) fn enter(&mut self, key: u128, now: u64, weight: u32) -> Option<(u32, &mut Entry)> {
        let hash = self.hash(key);
        let Some(way) = self.way(hash, key).or_else(|| self.make(hash, key, now)) else {
            self.sets[hash.set].lose(weight.into());
            return None;
        };
        let set = &mut self.sets[hash.set];
        set.recent[way].add(second(now), weight.into());
        let slot = set.slots[way];
        Some((slot, &mut self.entries[slot as usize]))
    }

    /// Reads the memory that entering these keys begins with. Where no cache has it, it takes a hundred times as long as the
    /// rest; but a processor waits for many places at once, if it is told of them at once.
    pub(super) fn touch(&self, keys: impl Iterator<Item = u128> + Clone) {
        let hashes = keys.map(|key| self.hash(key));
        let sets = hashes.clone().map(|hash| self.sets[hash.set].touch());
        black_box(sets.fold(0, |all, one| all ^ one));
        let entries = hashes.filter_map(|hash| {
            let set = &self.sets[hash.set];
            let way = set.with_tag(hash.tag).trailing_zeros() as usize;
            self.entries.get(*set.slots.get(way)? as usize)
        });
        black_box(entries.fold(0, |all, entry| all ^ entry.touch()));
    }

    pub(super) fn find(&self, key: u128) -> Option<u32> {
        let hash = self.hash(key);
        Some(self.sets[hash.set].slots[self.way(hash, key)?])
    }

    pub(super) fn entry(&self, slot: u32) -> Option<&Entry> {
        self.entries.get(slot as usize)
    }

    pub(super) fn entry_mut(&mut self, slot: u32) -> Option<&mut Entry> {
        self.entries.get_mut(slot as usize)
    }

    /// Whether a key stays in its place until this is said again.
    pub(super) fn hold(&mut self, slot: u32, is_held: bool) {
        let Some(key) = self.entry(slot).map(|entry| entry.key) else { return };
        let hash = self.hash(key);
        let Some(way) = self.way(hash, key) else { return };
        let set = &mut self.sets[hash.set];
        set.held = if is_held { set.held | 1 << way } else { set.held & !(1 << way) };
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (u32, &Entry)> {
        self.entries.iter().enumerate().map(|(slot, entry)| (slot as u32, entry))
    }

    /// By how many packets the sums of a key may be below the truth, at most.
    pub(super) fn lost(&self, key: u128) -> u64 {
        self.sets[self.hash(key).set].lost
    }

    /// Adds what another table of the same size and seed has. Its losses are losses of both.
    pub(super) fn merge(&mut self, other: &Table, now: u64) {
        for (set, theirs) in self.sets.iter_mut().zip(&other.sets) {
            set.lose(theirs.lost);
        }
        for theirs in &other.sets {
            for way in 0..usize::from(theirs.used) {
                self.merge_one(theirs.recent[way], &other.entries[theirs.slots[way] as usize], now);
            }
        }
    }

    pub(super) fn same_shape(&self, other: &Table) -> bool {
        self.sets.len() == other.sets.len() && self.seed == other.seed
    }

    fn merge_one(&mut self, recent: Recent, theirs: &Entry, now: u64) {
        let hash = self.hash(theirs.key);
        let Some(way) = self.way(hash, theirs.key).or_else(|| self.make(hash, theirs.key, now)) else {
            self.sets[hash.set].lose(theirs.over(LONGEST, &Moment::at(now)).packets);
            return;
        };
        let set = &mut self.sets[hash.set];
        let second = set.recent[way].second.max(recent.second);
        set.recent[way].add(second, recent.weight.into());
        self.entries[set.slots[way] as usize].merge(theirs);
    }

    fn hash(&self, key: u128) -> Hash {
        let hash = mix(key, self.seed);
        Hash { set: hash as usize & (self.sets.len() - 1), tag: (hash >> 48) as u16 }
    }

    fn way(&self, hash: Hash, key: u128) -> Option<usize> {
        let set = &self.sets[hash.set];
        let mut ways = set.with_tag(hash.tag);
        while ways != 0 {
            let way = ways.trailing_zeros() as usize;
            if self.entries[set.slots[way] as usize].key == key {
                return Some(way);
            }
            ways &= ways - 1;
        }
        None
    }

    fn make(&mut self, hash: Hash, key: u128, now: u64) -> Option<usize> {
        let room = self.sets.len() * WAYS;
        let set = &mut self.sets[hash.set];
        let used = usize::from(set.used);
        let way = if used < WAYS {
            // A table that was cloned has no room yet.
            self.entries.reserve_exact(room - self.entries.len());
            set.slots[used] = self.entries.len() as u32;
            self.entries.push(Entry::of(key));
            set.used += 1;
            used
        } else {
            let way = set.smallest(second(now))?;
            let entry = &mut self.entries[set.slots[way] as usize];
            set.lose(entry.over(LONGEST, &Moment::at(now)).packets);
            entry.reset(key);
            way
        };
        (set.tags[way], set.recent[way]) = (hash.tag, Recent::default());
        Some(way)
    }
}

impl Set {
    /// A bit for each place with this tag. Without branches, which nobody could foresee.
    fn with_tag(&self, tag: u16) -> u32 {
        let bits: [u32; WAYS] = std::array::from_fn(|way| if self.tags[way] == tag { 1 << way } else { 0 });
        bits.iter().fold(0, |ways, bit| ways | bit) & ((1 << self.used) - 1)
    }

    /// A word of each of its cache lines.
    fn touch(&self) -> u32 {
        u32::from(self.tags[0]) ^ self.recent[0].second
    }

    fn smallest(&self, second: u32) -> Option<usize> {
        let free = (0..WAYS).filter(|way| self.held & (1 << way) == 0);
        free.min_by_key(|way| self.recent[*way].at(second))
    }

    fn lose(&mut self, packets: u64) {
        self.lost = self.lost.saturating_add(packets);
    }
}

fn second(now: u64) -> u32 {
    (now / 1_000_000_000) as u32
}

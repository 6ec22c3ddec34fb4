//! Destinations in memory that has a bound: a table of sets of eight, from which the smallest goes.

use std::hint::black_box;

use super::config::Limit;
use super::entry::Entry;
use super::row::Row;
use super::sources::mix;
use super::window::{Arrival, LONGEST, Moment};

const WAYS: usize = 8;

/// So many places are looked at, at most, for windows that somebody needs more.
const LOOKED_AT: usize = 8;

/// Keys and, as far as there are enough of them, their windows.
///
/// A key that is new where its set is full takes the place of the one with the least recent weight (halved every second
/// without a sample), and starts from nothing; those that an alert holds stay. So sums are never above the truth. They
/// fall behind by what went with a key that was replaced, which [`Table::lost`] bounds; and a key that has more than an
/// eighth of its set's recent weight is above the average of its set, so never the one that goes.
///
/// Windows take ten times the memory of a key. Where keys are many, most of them have next to no traffic, and what a sample
/// of theirs costs is memory that no cache has. So there are fewer windows than keys: once all are given away, a key is at
/// rest until a second of it is worth a look, and then takes the windows of one that has less. What of that second came before
/// is in them.
///
/// Memory is taken when a place is first used: it grows with the keys to its bound, and no further.
#[derive(Clone, Debug)]
pub(super) struct Table {
    sets: Vec<Set>,
    rows: Vec<Row>,
    entries: Vec<Entry>,
    /// How many entries there may be.
    windows: usize,
    /// What a key has in a second that is worth windows.
    worth: Limit,
    /// Where to look next for windows that somebody needs more.
    hand: usize,
    /// Where the keys of the samples are that come next.
    found: Vec<Hash>,
    seed: u64,
}

/// What is looked at to find a key: a cache line.
#[derive(Clone, Debug, Default)]
#[repr(C, align(64))]
struct Set {
    /// Bits of hashes that chose no set: 16 for each place.
    tags: u128,
    /// Where the rows are.
    rows: [u32; WAYS],
    /// Weight that went with keys that were replaced or were at rest, or came for those that found no place.
    lost: u64,
    used: u8,
    /// A bit for each that must stay.
    held: u8,
}

/// Where a key is, or may be.
#[derive(Clone, Copy, Debug)]
struct Hash {
    set: usize,
    tag: u16,
    /// Its row, in all likelihood.
    row: u32,
}

/// One in each 16 bits.
const ONES: u128 = u128::MAX / 0xffff;

impl Table {
    /// Room for as many keys at least, of which some have windows: all those that have so much in a second, as long as they
    /// are not more than that.
    pub(super) fn new(keys: usize, windows: usize, worth: Limit, seed: u64) -> Table {
        let sets = keys.div_ceil(WAYS).next_power_of_two();
        let windows = windows.clamp(1, sets * WAYS);
        // Memory that nothing was put into is only reserved.
        let (rows, entries) = (Vec::with_capacity(sets * WAYS), Vec::with_capacity(windows));
        Table {
            sets: vec![Set::default(); sets],
            rows,
            entries,
            windows,
            worth,
            hand: 0,
            found: Vec::new(),
            seed,
        }
    }

    /// The most bytes that it takes.
    pub(super) fn bound(&self) -> usize {
        self.sets.len() * (size_of::<Set>() + WAYS * size_of::<Row>()) + self.windows * size_of::<Entry>()
    }

    /// Looks for the keys of samples that come next, and reads what counting them begins with. Memory that no cache has takes a
    /// hundred times as long as the rest; but a processor waits for many places at once, if it is told of them at once.
    pub(super) fn find_all(&mut self, keys: impl Iterator<Item = u128>) {
        let mut found = std::mem::take(&mut self.found);
        found.clear();
        found.extend(keys.map(|key| self.hash(key)));
        black_box(found.iter().fold(0, |all, hash| all ^ self.sets[hash.set].touch()));
        for hash in &mut found {
            let set = &self.sets[hash.set];
            hash.row = set.ways(hash.tag).next().map_or(0, |way| set.rows[way]);
        }
        let rows = found.iter().filter_map(|hash| self.rows.get(hash.row as usize));
        black_box(rows.clone().fold(0, |all, row| all ^ row.touch()));
        let entries = rows.filter_map(|row| self.entry(row.windows()?));
        black_box(entries.fold(0, |all, entry| all ^ entry.touch()));
        self.found = found;
    }

    /// Counts a sample for a key, the one of this index among those that were looked for. Its place is made if need be. Gives
    /// its windows, unless it is at rest or alerts hold all places that it could have.
    pub(super) fn add(
        &mut self,
        at: usize,
        key: u128,
        now: u64,
        arrival: &Arrival,
    ) -> Option<(u32, &mut Entry)> {
        let hash = self.found[at];
        let is_there = self.rows.get(hash.row as usize).is_some_and(|row| row.key == key);
        let found = is_there.then_some(hash.row as usize).or_else(|| self.find_row(hash, key));
        let Some(at) = found.or_else(|| self.make(hash, key, now)) else {
            self.sets[hash.set].lose(arrival.weight.into());
            return None;
        };
        let row = &mut self.rows[at];
        let gone = row.turn(now);
        let slot = match row.windows() {
            Some(slot) => {
                row.count(arrival);
                slot
            }
            None => {
                let before = *row;
                row.count(arrival);
                // Those that have windows may have more: it is tried again with twice as much.
                let rises = row.doublings(&self.worth) > before.doublings(&self.worth);
                self.sets[hash.set].lose(gone);
                rises.then(|| self.rise(at, &before, now)).flatten()?
            }
        };
        let entry = &mut self.entries[slot as usize];
        entry.add(arrival);
        Some((slot, entry))
    }

    /// The windows of a key, if it has some.
    pub(super) fn find(&self, key: u128) -> Option<u32> {
        self.rows[self.find_row(self.hash(key), key)?].windows()
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
        let Some(way) = self.find_way(hash, key) else { return };
        let set = &mut self.sets[hash.set];
        set.held = if is_held { set.held | 1 << way } else { set.held & !(1 << way) };
    }

    /// Those that have windows.
    pub(super) fn entries(&self) -> impl Iterator<Item = (u32, &Entry)> {
        self.entries.iter().enumerate().map(|(slot, entry)| (slot as u32, entry))
    }

    /// By how many packets the sums of a key may be below the truth, at most.
    pub(super) fn lost(&self, key: u128) -> u64 {
        let hash = self.hash(key);
        let row = self.find_row(hash, key).map(|at| &self.rows[at]);
        let at_rest = row.filter(|row| row.windows().is_none()).map_or(0, Row::packets);
        self.sets[hash.set].lost.saturating_add(at_rest)
    }

    /// Adds what another table of the same size and seed has. Its losses are losses of both.
    pub(super) fn merge(&mut self, other: &Table, now: u64) {
        for (set, theirs) in self.sets.iter_mut().zip(&other.sets) {
            set.lose(theirs.lost);
        }
        for theirs in &other.rows {
            self.merge_one(theirs, theirs.windows().and_then(|slot| other.entry(slot)), now);
        }
    }

    pub(super) fn same_shape(&self, other: &Table) -> bool {
        self.sets.len() == other.sets.len() && self.windows == other.windows && self.seed == other.seed
    }

    fn merge_one(&mut self, theirs: &Row, windows: Option<&Entry>, now: u64) {
        let hash = self.hash(theirs.key);
        let Some(at) = self.find_row(hash, theirs.key).or_else(|| self.make(hash, theirs.key, now)) else {
            self.sets[hash.set].lose(sum(theirs, windows, now));
            return;
        };
        let mine = self.rows[at];
        let gone = self.rows[at].merge(theirs);
        let needs = windows.is_some() || self.rows[at].doublings(&self.worth) > 0;
        let slot = mine.windows().or_else(|| needs.then(|| self.rise(at, &mine, now)).flatten());
        match (slot.map(|slot| &mut self.entries[slot as usize]), windows) {
            (Some(entry), Some(windows)) => entry.merge(windows),
            (Some(entry), None) => entry.begin(theirs),
            (None, Some(_)) => self.sets[hash.set].lose(gone.saturating_add(sum(theirs, windows, now))),
            (None, None) => self.sets[hash.set].lose(gone),
        }
    }

    /// Gives a key that is at rest the windows of one that has less, if there soon is one: those of all would have to be gone
    /// through for the least.
    fn rise(&mut self, at: usize, before: &Row, now: u64) -> Option<u32> {
        let recent = self.rows[at].recent(now);
        let looked_at = (0..LOOKED_AT.min(self.entries.len())).filter_map(|_| {
            self.hand = (self.hand + 1) % self.entries.len();
            let entry = &self.entries[self.hand];
            let row = self.find_row(self.hash(entry.key), entry.key)?;
            let theirs = self.rows[row].recent(now);
            (entry.suspicion().is_none() && theirs < recent).then_some((theirs, self.hand, row))
        });
        let (_, slot, row) = looked_at.min()?;
        let hash = self.hash(self.rows[row].key);
        self.sets[hash.set].lose(sum(&self.rows[row], self.entries.get(slot), now));
        self.rows[row].give(None);
        self.rows[at].give(Some(slot as u32));
        self.entries[slot].reset(before.key);
        self.entries[slot].begin(before);
        Some(slot as u32)
    }

    fn hash(&self, key: u128) -> Hash {
        let hash = mix(key, self.seed);
        Hash { set: hash as usize & (self.sets.len() - 1), tag: (hash >> 48) as u16, row: 0 }
    }

    fn find_row(&self, hash: Hash, key: u128) -> Option<usize> {
        self.find_way(hash, key).map(|way| self.sets[hash.set].rows[way] as usize)
    }

    fn find_way(&self, hash: Hash, key: u128) -> Option<usize> {
        let set = &self.sets[hash.set];
        set.ways(hash.tag).find(|way| self.rows[set.rows[*way] as usize].key == key)
    }

    fn make(&mut self, hash: Hash, key: u128, now: u64) -> Option<usize> {
        let room = self.sets.len() * WAYS;
        let set = &mut self.sets[hash.set];
        let used = usize::from(set.used);
        if used == WAYS {
            let way = set.smallest(&self.rows, now)?;
            let row = &mut self.rows[set.rows[way] as usize];
            let mut windows = row.windows().map(|slot| &mut self.entries[slot as usize]);
            set.lose(sum(row, windows.as_deref(), now));
            if let Some(entry) = &mut windows {
                entry.reset(key);
            }
            *row = Row::of(key, row.windows());
            set.tag(way, hash.tag);
            return Some(set.rows[way] as usize);
        }
        // A table that was cloned has no room yet.
        self.rows.reserve_exact(room - self.rows.len());
        self.entries.reserve_exact(self.windows - self.entries.len());
        let is_free = self.entries.len() < self.windows;
        let windows = is_free.then_some(self.entries.len() as u32);
        if is_free {
            self.entries.push(Entry::of(key));
        }
        let at = self.rows.len();
        self.rows.push(Row::of(key, windows));
        set.tag(used, hash.tag);
        set.rows[used] = at as u32;
        set.used += 1;
        Some(at)
    }
}

/// Packets that are known of a key: those in its windows, or those of its row while it is at rest.
fn sum(row: &Row, windows: Option<&Entry>, now: u64) -> u64 {
    windows.map_or(row.packets(), |entry| entry.over(LONGEST, &Moment::at(now)).packets)
}

impl Set {
    /// Places that may have a key with this tag. All eight are compared at once, which is right up to the first that has it: behind
    /// it a carry may look like one more.
    fn ways(&self, tag: u16) -> impl Iterator<Item = usize> {
        let differ = self.tags ^ (ONES * u128::from(tag));
        let mut same = differ.wrapping_sub(ONES) & !differ & (ONES << 15);
        let used = usize::from(self.used);
        std::iter::from_fn(move || {
            let way = same.trailing_zeros() as usize / 16;
            same &= same.wrapping_sub(1);
            (way < used).then_some(way)
        })
    }

    fn tag(&mut self, way: usize, tag: u16) {
        let shift = 16 * way;
        self.tags = self.tags & !(0xffff << shift) | u128::from(tag) << shift;
    }

    fn touch(&self) -> u8 {
        self.used
    }

    fn smallest(&self, rows: &[Row], now: u64) -> Option<usize> {
        let free = (0..WAYS).filter(|way| self.held & (1 << way) == 0);
        free.min_by_key(|way| rows[self.rows[*way] as usize].recent(now))
    }

    fn lose(&mut self, packets: u64) {
        self.lost = self.lost.saturating_add(packets);
    }
}

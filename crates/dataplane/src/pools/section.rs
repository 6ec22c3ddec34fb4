//! A pool's section in memory: its layout is [`weir_compiler::codegen::pools`]'.
//!
//! Programs read it while it is written, so everything is stored a word at a time, and what a word names is stored before it.
//! Programs write nothing but flows.

use std::collections::BTreeMap;
use std::time::Duration;
use weir_compiler::codegen::pools::{BACKEND, BUSY, Layout, MOVED, Record, SECOND, WAY, WAYS, tag};
use weir_kernel::KernelError;
use weir_kernel::maps::{Map, Memory, wait_for_programs};
use weir_pool::flow;
use weir_pool::slots::{Update, Word};

/// User space's own words at the start of a section: when a slot last changed that is not settled, and whether entries of
/// settled slots may still be there.
const CHANGED: usize = 16;
const LEFT_OVER: usize = 24;

#[derive(Debug)]
pub(crate) struct Section {
    memory: Memory,
    layout: Layout,
}

/// A flow that is remembered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    /// Where it stands.
    place: usize,
    pub(crate) tag: u64,
    /// The backend's number.
    pub(crate) backend: u16,
    /// When its latest packet came, in units of 2^30 ns.
    seen: u32,
}

impl Entry {
    /// For how long it has been silent, within a second.
    pub(crate) fn silent(&self, now: Duration) -> Duration {
        let now = (now.as_nanos() >> SECOND) as u32;
        Duration::from_nanos(u64::from(now.saturating_sub(self.seen)) << SECOND)
    }
}

impl Section {
    pub(crate) fn open(map: &Map, layout: Layout) -> Result<Section, KernelError> {
        Ok(Section { memory: map.memory()?, layout })
    }

    /// By number: all that are known.
    pub(crate) fn records(&self) -> BTreeMap<u16, Record> {
        let first = self.layout.backend(0) as usize;
        let bytes = self.memory.read(first, (u32::from(self.layout.max()) + 1) as usize * BACKEND as usize);
        let records = (0..).zip(bytes.chunks_exact(BACKEND as usize));
        records.filter_map(|(number, bytes)| Some((number, Record::read(bytes)?))).collect()
    }

    /// Writes a record, or that there is none.
    pub(crate) fn write(&self, number: u16, record: Option<&Record>) {
        let bytes = record.map_or([0; BACKEND as usize], Record::to_bytes);
        let at = self.layout.backend(number) as usize;
        for (nth, word) in bytes.chunks_exact(8).enumerate() {
            let word = u64::from_ne_bytes(word.try_into().unwrap_or_default());
            let place = at + 8 * nth;
            if self.memory.load(place) != word {
                self.memory.store(place, word);
            }
        }
    }

    pub(crate) fn words(&self) -> Vec<Word> {
        let bytes = self.memory.read(self.layout.slots() as usize, 4 * self.layout.slot_count() as usize);
        let word = |bytes: &[u8]| Word(u32::from_ne_bytes(bytes.try_into().unwrap_or_default()));
        bytes.chunks_exact(4).map(word).collect()
    }

    /// Stores slots. Nobody else writes them, so that the neighbour in a word of eight bytes stays.
    pub(crate) fn store(&self, updates: &[Update]) {
        for Update { slot, word } in updates {
            let at = (self.layout.slots() + 4 * slot) as usize;
            let (place, shift) = (at & !7, 8 * (at & 4));
            let others = self.memory.load(place) & !(u64::from(u32::MAX) << shift);
            self.memory.store(place, others | u64::from(word.0) << shift);
        }
    }

    /// When a slot last changed that is not settled.
    pub(crate) fn changed(&self) -> Duration {
        Duration::from_nanos(self.memory.load(CHANGED))
    }

    /// How many flows had to move, of those that are known one by one.
    pub(crate) fn moved(&self) -> u64 {
        self.memory.load(MOVED as usize)
    }

    pub(crate) fn set_moved(&self, moved: u64) {
        self.memory.store(MOVED as usize, moved);
    }

    pub(crate) fn set_changed(&self, now: Duration) {
        self.memory.store(CHANGED, now.as_nanos() as u64);
    }

    /// All flows that are remembered.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let first = self.layout.flows() as usize;
        let bytes = (self.layout.lines() * WAYS * WAY) as usize;
        let copy = self.memory.read(first, bytes);
        let half = |way: &[u8], at: usize| u64::from_ne_bytes(way[at..at + 8].try_into().unwrap_or_default());
        let ways = copy.chunks_exact(WAY as usize).enumerate();
        let entry = |(nth, way): (usize, &[u8])| {
            let (tag, word) = (half(way, 0), half(way, 8));
            let place = first + nth * WAY as usize;
            (tag > BUSY).then_some(Entry { place, tag, backend: word as u16, seen: (word >> 32) as u32 })
        };
        ways.filter_map(entry).collect()
    }

    /// The slot of a flow.
    pub(crate) fn slot(&self, entry: &Entry) -> u32 {
        flow::slot(entry.tag, self.layout.slot_count())
    }

    /// Forgets flows. A packet that has found one may still write to its place, so that becomes free when no such packet is
    /// under way any longer.
    pub(crate) fn forget(&self, entries: &[Entry]) -> Result<(), KernelError> {
        let still = |entry: &&Entry| self.memory.load(entry.place) == entry.tag;
        let there: Vec<&Entry> = entries.iter().filter(still).collect();
        if there.is_empty() {
            return Ok(());
        }
        there.iter().for_each(|entry| self.memory.store(entry.place, BUSY));
        wait_for_programs()?;
        there.iter().for_each(|entry| self.memory.store(entry.place, 0));
        Ok(())
    }

    /// Puts a flow of another section into this one; not if its lines are full.
    pub(crate) fn adopt(&self, entry: &Entry, from: &Section) {
        let word = from.memory.load(entry.place + 8);
        let places = self.layout.lines_of(entry.tag).into_iter();
        let mut places = places.flat_map(|line| (0..WAYS).map(move |way| (line + way * WAY) as usize));
        if let Some(place) = places.find(|place| self.memory.load(*place) == 0) {
            self.memory.store(place + 8, word);
            self.memory.store(place, entry.tag);
        }
    }

    /// Stores that slots are settled, and forgets their flows; a process that is killed in between leaves a mark by which the next
    /// one does it.
    pub(crate) fn settle(&self, updates: &[Update]) -> Result<(), KernelError> {
        if updates.is_empty() {
            return Ok(());
        }
        self.memory.store(LEFT_OVER, 1);
        self.store(updates);
        self.clear()
    }

    /// Stores slots, and a mark that flows of settled ones may be there.
    pub(crate) fn leave_over(&self, updates: &[Update]) {
        self.store(updates);
        self.memory.store(LEFT_OVER, 1);
    }

    /// Forgets the flows of settled slots, if any may be there.
    pub(crate) fn mend(&self) -> Result<(), KernelError> {
        if self.memory.load(LEFT_OVER) == 0 { Ok(()) } else { self.clear() }
    }

    fn clear(&self) -> Result<(), KernelError> {
        // Packets that saw the old slots may still write flows down.
        wait_for_programs()?;
        let words = self.words();
        let settled = |entry: &Entry| words[self.slot(entry) as usize].is_settled();
        let entries: Vec<Entry> = self.entries().into_iter().filter(settled).collect();
        self.forget(&entries)?;
        self.memory.store(LEFT_OVER, 0);
        Ok(())
    }

    /// The backend that a flow of this hash has been given, if it is remembered.
    pub(crate) fn remembered(&self, hash: u64) -> Option<u16> {
        let tag = tag(hash);
        let places = self.layout.lines_of(tag).into_iter();
        let mut places = places.flat_map(|line| (0..WAYS).map(move |way| (line + way * WAY) as usize));
        let place = places.find(|place| self.memory.load(*place) == tag)?;
        Some(self.memory.load(place + 8) as u16)
    }
}

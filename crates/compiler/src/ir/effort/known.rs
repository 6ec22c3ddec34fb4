//! What is known of values where a walk is, and how to go back to what was known before.

use crate::ir::{Program, Value};

/// What is known of: a value, or whether some of its bits are set. In the order of values.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Key(u32);

impl Key {
    fn index(self) -> usize {
        self.0 as usize
    }
}

/// The mask of a key that is the whole value.
pub(super) const WHOLE: u64 = 0;

/// From the lowest to the highest value.
pub(super) type Range = (u64, u64);

/// Knowledge, and what it was before each thing that was learned.
pub(super) struct Known {
    /// The keys: a value and which of its bits, sorted.
    keys: Vec<(Value, u64)>,
    /// By value, its first key: that of the whole.
    wholes: Vec<Key>,
    /// By key.
    ranges: Vec<Range>,
    /// By key: whether knowing it can foretell anything.
    tracked: Vec<bool>,
    past: Vec<(Key, Range)>,
}

impl Known {
    /// Nothing but constants and types, of all values and the bits of some.
    pub(super) fn new(
        program: &Program,
        constants: &[Option<u64>],
        tracked: &[bool],
        bits: impl Iterator<Item = (Value, u64)>,
    ) -> Self {
        let values = (0..program.values.len() as u32).map(|value| (Value(value), WHOLE));
        let mut keys: Vec<_> = values.chain(bits).collect();
        keys.sort_unstable();
        keys.dedup();
        let whole = |(key, (_, mask)): (usize, &(Value, u64))| (*mask == WHOLE).then_some(Key(key as u32));
        let wholes = keys.iter().enumerate().filter_map(whole).collect();
        let range = |(value, mask): &(Value, u64)| match (constants[value.index()], *mask) {
            (Some(constant), WHOLE) => (constant, constant),
            (None, WHOLE) => (0, program.type_of(*value).max()),
            _ => (0, 1),
        };
        let ranges = keys.iter().map(range).collect();
        let tracked = keys.iter().map(|(value, _)| tracked[value.index()]).collect();
        Self { keys, wholes, ranges, tracked, past: Vec::new() }
    }

    /// The key of a whole value.
    pub(super) fn whole(&self, value: Value) -> Key {
        self.wholes[value.index()]
    }

    /// The key of some bits of a value, if anything asks for them.
    pub(super) fn key(&self, value: Value, mask: u64) -> Option<Key> {
        let first = self.whole(value);
        let keys = self.keys[first.index()..].iter().take_while(|(other, _)| *other == value);
        let nth = keys.map(|(_, bits)| *bits).position(|bits| bits == mask)?;
        Some(Key(first.0 + nth as u32))
    }

    /// The key of the same bits of another value.
    pub(super) fn same_of(&self, key: Key, other: Value) -> Option<Key> {
        self.key(other, self.keys[key.index()].1)
    }

    /// The value that a key is of.
    pub(super) fn value(&self, key: Key) -> Value {
        self.keys[key.index()].0
    }

    pub(super) fn range(&self, key: Key) -> Range {
        self.ranges[key.index()]
    }

    pub(super) fn learn(&mut self, key: Key, range: Range) {
        if self.tracked[key.index()] {
            let before = std::mem::replace(&mut self.ranges[key.index()], range);
            self.past.push((key, before));
        }
    }

    /// How much was learned so far.
    pub(super) fn learned(&self) -> usize {
        self.past.len()
    }

    /// Goes back to when so much was learned.
    pub(super) fn unlearn(&mut self, learned: usize) {
        for (key, before) in self.past.drain(learned..).rev() {
            self.ranges[key.index()] = before;
        }
    }
}

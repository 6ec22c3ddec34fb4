//! Choices that are the same every time.

use weir_packet::random::SplitMix;

/// Choices by a seed.
pub(super) struct Dice(SplitMix);

impl Dice {
    /// The choices of a seed.
    pub(super) fn new(seed: u64) -> Self {
        Self(SplitMix::new(seed))
    }

    /// Any number.
    pub(super) fn word(&mut self) -> u64 {
        self.0.bits()
    }

    /// A number below `limit`, which is not 0.
    pub(super) fn below(&mut self, limit: usize) -> usize {
        (self.word() % limit as u64) as usize
    }

    /// Any number in a range.
    pub(super) fn within(&mut self, (low, high): (u128, u128)) -> u128 {
        let wide = u128::from(self.word()) << 64 | u128::from(self.word());
        match (high - low).checked_add(1) {
            Some(count) => low + wide % count,
            None => wide,
        }
    }

    /// One of them.
    pub(super) fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        if items.is_empty() { None } else { items.get(self.below(items.len())) }
    }
}

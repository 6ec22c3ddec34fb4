//! Membership in constant ranges: one switch, or one over each half of a wide value.

use super::Lower;
use super::shape::Scalars;
use crate::ir::Target;
use std::collections::BTreeMap;

const LOW: u128 = u64::MAX as u128;

impl Lower<'_> {
    /// Goes to `then` if the value is in one of the ranges (sorted, disjoint).
    pub(super) fn in_ranges(&mut self, value: Scalars, ranges: &[(u128, u128)], then: Target, other: Target) {
        match value.high {
            None => {
                let narrow = ranges.iter().filter(|(low, _)| *low <= LOW);
                let cases =
                    narrow.map(|&(low, high)| (low as u64, high.min(LOW) as u64, then.clone())).collect();
                self.b.switch(value.low, cases, other);
            }
            Some(high) => {
                let halves = Halves::of(ranges);
                let mut cases: Vec<(u64, u64, Target)> =
                    halves.whole.iter().map(|&(first, last)| (first, last, then.clone())).collect();
                let mut partial = Vec::new();
                for (at, lows) in halves.partial {
                    let block = self.fresh();
                    cases.push((at, at, block.into()));
                    partial.push((block, lows));
                }
                self.b.switch(high, cases, other.clone());
                for (block, lows) in partial {
                    self.b.switch_to(block);
                    let cases = lows.into_iter().map(|(first, last)| (first, last, then.clone())).collect();
                    self.b.switch(value.low, cases, other.clone());
                }
            }
        }
    }
}

/// Ranges of wide values, by their high half.
#[derive(Default)]
struct Halves {
    /// High halves with which any low half is inside.
    whole: Vec<(u64, u64)>,
    /// High halves with which some low halves are inside.
    partial: BTreeMap<u64, Vec<(u64, u64)>>,
}

impl Halves {
    fn of(ranges: &[(u128, u128)]) -> Self {
        let mut halves = Self::default();
        for &(low, high) in ranges {
            halves.add(low, high);
        }
        halves
    }

    fn add(&mut self, low: u128, high: u128) {
        let (mut first, mut last) = ((low >> 64) as u64, (high >> 64) as u64);
        let (low, high) = (low as u64, high as u64);
        if first == last && (low, high) != (0, u64::MAX) {
            self.partial.entry(first).or_default().push((low, high));
            return;
        }
        if low != 0 {
            self.partial.entry(first).or_default().push((low, u64::MAX));
            first += 1;
        }
        if high != u64::MAX {
            self.partial.entry(last).or_default().push((0, high));
            // `last` cannot be 0 here: then `first` would have been equal to it.
            last -= 1;
        }
        if first <= last {
            self.whole.push((first, last));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(halves: &Halves, value: u128) -> bool {
        let (high, low) = ((value >> 64) as u64, value as u64);
        let partial = halves.partial.get(&high).into_iter().flatten();
        halves.whole.iter().any(|&(a, b)| a <= high && high <= b)
            || partial.into_iter().any(|&(a, b)| a <= low && low <= b)
    }

    #[test]
    fn halves_hold_what_the_ranges_hold() {
        let one = 1u128 << 64;
        let ranges = [
            (5, 9),
            (one - 1, one),
            (2 * one, 4 * one - 1),
            (5 * one + 7, 8 * one + 3),
            (u128::MAX, u128::MAX),
        ];
        let halves = Halves::of(&ranges);
        let edges = ranges
            .iter()
            .flat_map(|&(a, b)| [a.saturating_sub(1), a, b, b.saturating_add(1), (a + (b - a) / 2)]);
        for value in edges.chain([0, u128::MAX]) {
            let inside = ranges.iter().any(|&(a, b)| a <= value && value <= b);
            assert_eq!(holds(&halves, value), inside, "{value:#x}");
        }
    }
}

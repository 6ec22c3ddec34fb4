//! Ranges of values: those of relations, and those of a value's parts.

use super::linear::Ranges;
use crate::policy::Relation;

/// Values of the high bits that leave the same ranges to the low bits.
pub(super) struct Block {
    pub(super) from: u128,
    pub(super) to: u128,
    pub(super) inside: Vec<(u128, u128)>,
}

/// Splits ranges of values at multiples of 2^`low_bits`.
pub(super) fn blocks(ranges: &[(u128, u128)], low_bits: u32, most: u128) -> Vec<Block> {
    let mask = ones(low_bits);
    let high = |value: u128| value.checked_shr(low_bits).unwrap_or(0);
    let mut blocks: Vec<Block> = Vec::new();
    let mut add = |from: u128, to: u128, range: Option<(u128, u128)>| {
        let before = blocks.last().map(|block| block.to);
        if before.is_some_and(|before| before >= from) {
            blocks.last_mut().into_iter().for_each(|block| block.inside.extend(range));
            return;
        }
        let gap = before.map_or(0, |before| before + 1);
        if gap < from {
            blocks.push(Block { from: gap, to: from - 1, inside: Vec::new() });
        }
        blocks.push(Block { from, to, inside: range.into_iter().collect() });
    };
    for &(low, last) in ranges.iter().filter(|range| range.0 <= most) {
        let last = last.min(most);
        let (mut from, mut to) = (high(low), high(last));
        if from == to {
            add(from, to, Some((low & mask, last & mask)));
            continue;
        }
        let (head, tail) = (low & mask != 0, last & mask != mask);
        if head {
            add(from, from, Some((low & mask, mask)));
            from += 1;
        }
        if tail {
            to -= 1;
        }
        if from <= to {
            add(from, to, Some((0, mask)));
        }
        if tail {
            add(to + 1, to + 1, Some((0, last & mask)));
        }
    }
    let end = high(most);
    if blocks.last().is_none_or(|block| block.to < end) {
        let from = blocks.last().map_or(0, |block| block.to + 1);
        blocks.push(Block { from, to: end, inside: Vec::new() });
    }
    blocks
}

/// So many bits, all set.
pub(super) fn ones(bits: u32) -> u128 {
    if bits == 0 { 0 } else { u128::MAX >> (128 - bits.min(128)) }
}

/// Ranges in order without gaps between neighbours.
pub(super) fn joined(sorted: &[(u128, u128)]) -> Vec<(u128, u128)> {
    let mut joined: Vec<(u128, u128)> = Vec::new();
    for &(low, high) in sorted {
        match joined.last_mut() {
            Some(last) if low <= last.1.saturating_add(1) => last.1 = last.1.max(high),
            _ => joined.push((low, high)),
        }
    }
    joined
}

/// Sums have signs; intervals begin at 0.
pub fn shift(value: i128) -> u128 {
    value as u128 ^ 1 << 127
}

pub(super) fn mirrored(op: Relation) -> Relation {
    match op {
        Relation::Lt => Relation::Gt,
        Relation::Le => Relation::Ge,
        Relation::Gt => Relation::Lt,
        Relation::Ge => Relation::Le,
        same => same,
    }
}

/// The values that are in a relation to a constant. Of the relations with an order both sides are
/// below 2^64 or negative, and bits are never negative.
pub(super) fn unsigned(op: Relation, bound: u128) -> Vec<(u128, u128)> {
    const MOST: u128 = u128::MAX;
    let negative = (bound as i128) < 0;
    match op {
        Relation::Eq => vec![(bound, bound)],
        Relation::Ne => {
            let below = bound.checked_sub(1).map(|high| (0, high));
            let above = bound.checked_add(1).map(|low| (low, MOST));
            below.into_iter().chain(above).collect()
        }
        Relation::Lt | Relation::Le if negative => Vec::new(),
        Relation::Gt | Relation::Ge if negative => vec![(0, MOST)],
        Relation::Lt if bound == 0 => Vec::new(),
        Relation::Lt => vec![(0, bound - 1)],
        Relation::Le => vec![(0, bound)],
        Relation::Gt => vec![(bound + 1, MOST)],
        Relation::Ge => vec![(bound, MOST)],
    }
}

/// The differences of two values that are in a relation.
pub(super) fn signed(op: Relation) -> Ranges {
    const LEAST: i128 = i128::MIN;
    const MOST: i128 = i128::MAX;
    match op {
        Relation::Eq => vec![(0, 0)],
        Relation::Ne => vec![(LEAST, -1), (1, MOST)],
        Relation::Lt => vec![(LEAST, -1)],
        Relation::Le => vec![(LEAST, 0)],
        Relation::Gt => vec![(1, MOST)],
        Relation::Ge => vec![(0, MOST)],
    }
}

//! Which statements of two lists correspond.
//!
//! Where none of the other statements' conditions holds, both lists come to those that correspond,
//! in the same order: so the lists can only differ where one of the others' holds.

use std::collections::HashMap;

/// The positions in `old` and in `new` that are in no common list; names that are equal are the same
/// statement. Repeated names correspond in their order.
pub(super) fn unmatched(old: &[usize], new: &[usize]) -> (Vec<usize>, Vec<usize>) {
    let mut places: HashMap<usize, Vec<usize>> = HashMap::new();
    new.iter().enumerate().rev().for_each(|(at, name)| places.entry(*name).or_default().push(at));
    let pairs: Vec<(usize, usize)> =
        old.iter().enumerate().filter_map(|(at, name)| Some((at, places.get_mut(name)?.pop()?))).collect();
    let kept = rising(&pairs);
    let rest = |count: usize, kept: Vec<usize>| {
        let mut left = vec![true; count];
        kept.into_iter().for_each(|at| left[at] = false);
        (0..count).filter(|at| left[*at]).collect()
    };
    (
        rest(old.len(), kept.iter().map(|pair| pair.0).collect()),
        rest(new.len(), kept.iter().map(|pair| pair.1).collect()),
    )
}

/// A longest part of the pairs in which the second numbers rise (patience sorting).
fn rising(pairs: &[(usize, usize)]) -> Vec<(usize, usize)> {
    let mut tops: Vec<usize> = Vec::new();
    let mut before = vec![None; pairs.len()];
    for (index, pair) in pairs.iter().enumerate() {
        let pile = tops.partition_point(|&top| pairs[top].1 < pair.1);
        before[index] = pile.checked_sub(1).map(|pile| tops[pile]);
        match tops.get_mut(pile) {
            Some(top) => *top = index,
            None => tops.push(index),
        }
    }
    let mut kept: Vec<_> =
        std::iter::successors(tops.last().copied(), |&at| before[at]).map(|at| pairs[at]).collect();
    kept.reverse();
    kept
}

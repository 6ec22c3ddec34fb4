//! Where sets live: in the code as a comparison tree, in a table, or in a map.
//!
//! Measured on a 6.18 kernel with random keys: a comparison tree of 1,024 values costs 15 ns and of 8,192
//! 27 ns, a table of 1,000 or 10,000 elements 7 to 13 ns; a hash map 28 ns at any size that fits the
//! caches; an LPM trie of 10,000 prefixes 113 ns. So small sets are code, and others tables, unless they
//! change while running.

use crate::policy::{Part, Policy, Pred, Set, SetPart, Term};
use crate::table::Table;
use std::collections::BTreeMap;

/// Up to this many values, ranges or prefixes are a tree in the code. A longer one would be faster still up to some
/// hundred, but the kernel's verifier knows in each of its leaves what range the value is in, and goes through what
/// follows once for each if the value is asked for again: six statements with two trees of 46 took it 130,000 steps.
pub const TREE: usize = 16;

/// Tuples are compared one by one, up to this many.
const CHAIN: usize = 8;

/// Tuples of more words than keys of tables have are compared one by one, up to this many.
pub(super) const CHAIN_TUPLES: usize = 512;

/// Where a part of a set lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SetHome {
    /// In the code: one value, compared with ranges.
    Tree,
    /// In the code: tuples, compared one by one.
    Chain,
    /// In a table.
    Table,
    /// In a hash map.
    Hash,
    /// In an LPM trie.
    Lpm,
    /// In an index of prefixes: it changes while running.
    Index,
}

impl SetHome {
    /// Whether it is a map.
    pub fn is_map(self) -> bool {
        matches!(self, SetHome::Hash | SetHome::Lpm | SetHome::Index)
    }
}

/// Where each part of each set lives: `[set][part]`.
pub(super) type Homes = Vec<Vec<SetHome>>;

/// Chooses a home for every part of every set, and makes the tables of those that live in one.
pub(super) fn homes(policy: &Policy) -> (Homes, BTreeMap<SetPart, Table>) {
    let (mut homes, mut tables) = (Homes::new(), BTreeMap::new());
    for (number, set) in (0..).zip(&policy.sets) {
        let mut of_parts = Vec::new();
        for (nth, part) in (0..).zip(&set.parts) {
            let table = if wants_table(set, part) { part.table() } else { None };
            of_parts.push(if table.is_some() { SetHome::Table } else { home(set, part) });
            tables.extend(table.map(|table| (SetPart { set: number, part: nth }, table)));
        }
        homes.push(of_parts);
    }
    (homes, tables)
}

/// Sets that do not change and are too large for the code.
fn wants_table(set: &Set, part: &Part) -> bool {
    let most = if part.widths.len() == 1 { TREE } else { CHAIN };
    set.live.is_none() && part.elements.len() > most
}

/// The home of a part that is no table.
fn home(set: &Set, part: &Part) -> SetHome {
    let single_values = part.elements.are_single();
    let address = part.widths.len() == 1 && matches!(part.widths[0], 32 | 128);
    match (set.live.is_some(), part.widths.len()) {
        (true, 1) if address && !matches!(set.types[0], crate::policy::ValueType::Int(_)) => SetHome::Index,
        (true, _) => SetHome::Hash,
        (false, 1) if part.elements.len() <= TREE => SetHome::Tree,
        (false, 2..) if part.elements.len() <= CHAIN => SetHome::Chain,
        (false, _) if single_values => SetHome::Hash,
        (false, 1) => SetHome::Lpm,
        (false, _) => SetHome::Chain,
    }
}

/// Tuple sets that can be neither hashed nor, being too many, compared one by one.
pub(super) fn too_many_tuples(set: &Set, homes: &[SetHome]) -> bool {
    set.parts
        .iter()
        .zip(homes)
        .any(|(part, home)| *home == SetHome::Chain && part.elements.len() > CHAIN_TUPLES)
}

/// Replaces sets that live in the code by what they mean.
pub(super) fn inline(policy: &Policy, homes: &[Vec<SetHome>], pred: &Pred) -> Pred {
    let list = |all: &[Pred]| all.iter().map(|p| inline(policy, homes, p)).collect();
    match pred {
        Pred::Not(inner) => Pred::Not(Box::new(inline(policy, homes, inner))),
        Pred::And(all) => Pred::And(list(all)),
        Pred::Or(any) => Pred::Or(list(any)),
        Pred::InSet(terms, name) => in_set(policy, homes, terms, *name),
        other => other.clone(),
    }
}

fn in_set(policy: &Policy, homes: &[Vec<SetHome>], terms: &[Term], name: SetPart) -> Pred {
    let part = &policy.sets[name.set as usize].parts[name.part as usize];
    match homes[name.set as usize][name.part as usize] {
        SetHome::Tree => Pred::In(terms[0].clone(), part.elements.ranges().to_vec()),
        SetHome::Chain => {
            let one = |(term, range): (&Term, &(u128, u128))| Pred::In(term.clone(), vec![*range]);
            let row = |element: &[(u128, u128)]| Pred::And(terms.iter().zip(element).map(one).collect());
            Pred::Or(part.elements.iter().map(row).collect())
        }
        _ => Pred::InSet(terms.to_vec(), name),
    }
}

/// The prefixes that make up a range of values of `width` bits: `(first value, length)`.
pub fn ranges_to_prefixes(width: u8, low: u128, high: u128) -> Vec<(u128, u8)> {
    let mut prefixes = Vec::new();
    let mut at = low;
    loop {
        let aligned = if at == 0 { u32::from(width) } else { at.trailing_zeros().min(u32::from(width)) };
        let room = high - at;
        let fitting = if room == u128::MAX { 128 } else { 127 - (room + 1).leading_zeros() };
        let bits = aligned.min(fitting);
        prefixes.push((at, width - bits as u8));
        let step = if bits >= 128 { break } else { 1u128 << bits };
        if high - at < step || at + (step - 1) == high {
            break;
        }
        at += step;
    }
    prefixes
}

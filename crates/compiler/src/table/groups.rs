//! Which rows share a tree.
//!
//! A row that says nothing of a word lies in every part of a cut along it. So rows that are told apart by a
//! source address and rows that are told apart by a destination get a tree each, and the earlier of what
//! both find counts (EffiCuts, Vamanan et al. 2010, calls such trees separable).

use super::Table;

/// More trees cost more than the copies that they spare.
const MOST_TREES: usize = 6;

/// So few rows go with others.
const FEW: usize = 8;

/// A row tells of a word if it holds at most one in so many of its values, as a power of two.
const TELLS: [u32; 2] = [8, 2];

/// The rows of each tree, in their order; trees are in the order of their first rows.
pub(super) fn groups(table: &Table) -> Vec<Vec<u32>> {
    let mut left: Vec<u32> = (0..table.len() as u32).collect();
    let mut groups: Vec<Vec<u32>> = Vec::new();
    for bits in TELLS {
        while left.len() > FEW && groups.len() + 1 < MOST_TREES {
            let words = (0..table.words().len()).map(|word| told(table, &left, word, bits));
            let Some((gain, group)) = words.max_by_key(|(gain, _)| *gain) else { break };
            if gain <= FEW.max(left.len() / 8) {
                break;
            }
            left.retain(|row| group.binary_search(row).is_err());
            groups.push(group);
        }
    }
    match groups.first_mut() {
        Some(first) if left.len() <= FEW => first.append(&mut left),
        _ => groups.push(left),
    }
    groups.iter_mut().for_each(|group| group.sort_unstable());
    groups.sort_unstable();
    groups
}

/// The rows that tell of a word, and how many of them a cut along it spares a packet on average.
fn told(table: &Table, rows: &[u32], word: usize, bits: u32) -> (usize, Vec<u32>) {
    let width = u32::from(table.words()[word]);
    let (mut ranges, mut group) = (Vec::new(), Vec::new());
    for row in rows {
        let (low, high) = table.row(*row as usize).ranges[word];
        if width >= bits && high - low <= table.most(word) >> bits {
            ranges.push((low, high));
            group.push(*row);
        }
    }
    ranges.sort_unstable();
    let squares: usize =
        ranges.chunk_by(|one, next| one == next).map(|alike| alike.len() * alike.len()).sum();
    (group.len() - squares.checked_div(group.len()).unwrap_or(0), group)
}

/// Wide rows and narrow ones, by the word that tells them apart most evenly; `None` if none does.
pub(super) fn split(table: &Table, rows: &[u32]) -> Option<[Vec<u32>; 2]> {
    let parts = |word: usize, bits: u32| -> [Vec<u32>; 2] {
        let (wide, narrow) = rows.iter().partition(|row| {
            let (low, high) = table.row(**row as usize).ranges[word];
            high - low > table.most(word) >> bits
        });
        [wide, narrow]
    };
    let all = TELLS.iter().flat_map(|bits| (0..table.words().len()).map(|word| parts(word, *bits)));
    let least = |[wide, narrow]: &[Vec<u32>; 2]| wide.len().min(narrow.len());
    all.max_by_key(least).filter(|parts| least(parts) > 0)
}

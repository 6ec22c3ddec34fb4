//! Where the space of keys is cut.
//!
//! A cell is a range for each word. While more rows meet it than are worth trying one by one, it is cut
//! along one word into equal parts, a power of two wide each, as many as there are rows or more; what lies
//! beside the rows' ends is one more part. Of all words and widths that one is taken after which the
//! fewest rows are left to try, as long as the copies of rows that lie in several parts are few
//! enough (HiCuts, Gupta and McKeown 1999, chooses much the same).
//! A row that covers the cell hides all rows behind it, unless they only count.

use super::image::MOST_ROWS;
use super::{Hiding, Range, Table};
use std::collections::HashMap;
use std::sync::Arc;

/// A cell of the tree.
#[derive(Debug)]
pub(super) enum Node {
    /// Cut along a word: `(word - base) >> shift` is the number of the part, the last child for all others.
    Inner { word: usize, base: u64, shift: u8, children: Vec<Arc<Node>> },
    /// Rows by index, in their order.
    Rows(Vec<u32>),
}

/// So many rows are not cut further: another level costs about what they cost.
const FEW: usize = 2;

/// Parts for each row, at most: more take memory that caches do not have.
const PARTS: usize = 4;

/// A node has at most so many parts.
const MOST_PARTS: usize = 1 << 20;

/// What a level costs in rows that are tried.
const LEVEL: f64 = 2.5;

/// Cuts may make so many copies of each row in all.
const COPIES: usize = 6;

/// No way is longer.
const MOST_LEVELS: u32 = 12;

impl Node {
    /// The first of its rows that holds the key.
    pub(super) fn find(&self, table: &Table, key: &[u64]) -> Option<u32> {
        match self {
            Node::Inner { .. } => self.child(key)?.find(table, key),
            Node::Rows(rows) => rows.iter().copied().find(|row| table.row(*row as usize).holds(key)),
        }
    }

    /// Where a key's way goes on from an inner node.
    pub(super) fn child(&self, key: &[u64]) -> Option<&Node> {
        let Node::Inner { word, base, shift, children } = self else { return None };
        let part = key[*word].wrapping_sub(*base) >> shift;
        children.get(part.min(children.len() as u64 - 1) as usize).map(Arc::as_ref)
    }
}

pub(super) struct Cutter<'a> {
    table: &'a Table,
    /// How many more rows may be written.
    left: usize,
}

/// A way to cut a cell.
struct Cut {
    word: usize,
    base: u64,
    shift: u8,
    parts: usize,
    cost: f64,
}

type Cell = Vec<Range>;

impl<'a> Cutter<'a> {
    /// For so many of a table's rows.
    pub(super) fn new(table: &'a Table, rows: usize) -> Self {
        Self { table, left: 4096 + COPIES * rows }
    }

    /// The tree of some rows; `None` where they overlap in so many ways that no cuts part them.
    pub(super) fn cut(mut self, rows: Vec<u32>) -> Option<Node> {
        let cell: Cell = (0..self.table.words().len()).map(|word| (0, self.table.most(word))).collect();
        let rows = self.visible(rows, &cell);
        self.node(rows, &cell, 0)
    }

    fn ranges(&self, row: u32) -> &'a [Range] {
        self.table.row(row as usize).ranges
    }

    /// Rows up to the first that covers the cell, if it hides those behind it.
    fn visible(&self, mut rows: Vec<u32>, cell: &Cell) -> Vec<u32> {
        if self.table.hiding == Hiding::None {
            return rows;
        }
        let covers = |row: &u32| {
            self.ranges(*row).iter().zip(cell).all(|(range, cell)| range.0 <= cell.0 && range.1 >= cell.1)
        };
        if let Some(last) = rows.iter().position(covers) {
            rows.truncate(last + 1);
        }
        rows
    }

    fn node(&mut self, rows: Vec<u32>, cell: &Cell, level: u32) -> Option<Node> {
        let cut = match rows.len() <= FEW || level == MOST_LEVELS {
            true => None,
            false => self.best(&rows, cell),
        };
        match cut {
            Some(cut) => self.inner(&rows, cell, &cut, level),
            None if rows.len() <= MOST_ROWS => {
                self.left = self.left.checked_sub(rows.len())?;
                Some(Node::Rows(rows))
            }
            None => None,
        }
    }

    fn inner(&mut self, rows: &[u32], cell: &Cell, cut: &Cut, level: u32) -> Option<Node> {
        let mut parts: Vec<Vec<u32>> = vec![Vec::new(); cut.parts + 1];
        for row in rows {
            let (low, high) = self.ranges(*row)[cut.word];
            if low < cut.base || cut.number(high) >= cut.parts {
                parts[cut.parts].push(*row);
            }
            if high >= cut.base {
                let first = cut.number(low.max(cut.base));
                let last = cut.number(high).min(cut.parts - 1);
                (first..=last).for_each(|part| parts[part].push(*row));
            }
        }
        let mut children: Vec<Arc<Node>> = Vec::with_capacity(parts.len());
        let mut shared: HashMap<Vec<u32>, Arc<Node>> = HashMap::new();
        for (number, rows) in parts.into_iter().enumerate() {
            let mut inside = cell.clone();
            if number < cut.parts {
                inside[cut.word] = cut.part(number);
            }
            let rows = self.visible(rows, &inside);
            // Rows that all cover the part along this word make the same of it wherever it lies.
            let alike = rows.iter().all(|row| {
                let range = self.ranges(*row)[cut.word];
                number < cut.parts && range.0 <= inside[cut.word].0 && range.1 >= inside[cut.word].1
            });
            if let Some(node) = alike.then(|| shared.get(&rows)).flatten() {
                children.push(node.clone());
                continue;
            }
            // Outside lie two ranges; a cut there finds again where.
            let node = Arc::new(self.node(rows.clone(), &inside, level + 1)?);
            if alike {
                shared.insert(rows, node.clone());
            }
            children.push(node);
        }
        Some(Node::Inner { word: cut.word, base: cut.base, shift: cut.shift, children })
    }

    /// The cut that leaves the fewest rows to try.
    fn best(&self, rows: &[u32], cell: &Cell) -> Option<Cut> {
        let cuts = (0..self.table.words().len()).filter_map(|word| self.along(word, rows, cell[word]));
        let best = cuts.min_by(|a, b| a.cost.total_cmp(&b.cost))?;
        (best.cost + LEVEL < rows.len() as f64 || rows.len() > MOST_ROWS && best.cost < rows.len() as f64)
            .then_some(best)
    }

    /// The best cut along a word.
    fn along(&self, word: usize, rows: &[u32], cell: (u64, u64)) -> Option<Cut> {
        let ranges = rows.iter().map(|row| self.ranges(*row)[word]);
        // Rows meet the cell but may reach beyond it.
        let inside = ranges.map(|(low, high)| (low.max(cell.0), high.min(cell.1)));
        let mut ranges: Vec<(u64, u64)> = inside.filter(|range| *range != cell).collect();
        if ranges.is_empty() {
            return None;
        }
        let everywhere = rows.len() - ranges.len();
        ranges.sort_unstable();
        let low = ranges.iter().map(|range| if range.0 == cell.0 { range.1 } else { range.0 }).min()?;
        let high = ranges.iter().map(|range| if range.1 == cell.1 { range.0 } else { range.1 }).max()?;
        let most = (rows.len() * PARTS).clamp(2, MOST_PARTS) as u64;
        let bits = 64 - (high - low).leading_zeros() as u8;
        let mut best: Option<Cut> = None;
        for shift in (0..=bits.min(63)).rev() {
            let base = low >> shift << shift;
            let parts = ((high - base) >> shift) + 1;
            if parts > most {
                break;
            }
            let cut = Cut { word, base, shift, parts: parts as usize, cost: 0.0 };
            let (cost, copies) = weigh(&cut, &ranges, everywhere);
            if copies > rows.len() * PARTS + 64 {
                break;
            }
            if best.as_ref().is_none_or(|best| cost < best.cost * 0.97) {
                best = Some(Cut { cost, ..cut });
            }
        }
        best
    }
}

impl Cut {
    /// The part that a value at or above the base lies in.
    fn number(&self, value: u64) -> usize {
        ((value - self.base.min(value)) >> self.shift) as usize
    }

    fn part(&self, number: usize) -> (u64, u64) {
        let low = self.base + ((number as u64) << self.shift);
        (low, low + ((1u64 << self.shift) - 1))
    }
}

/// How many rows are met by a packet on average, where packets come as often as rows do, and how many
/// rows the parts have in all.
fn weigh(cut: &Cut, ranges: &[(u64, u64)], everywhere: usize) -> (f64, usize) {
    let mut change = vec![0i64; cut.parts + 1];
    let mut outside = everywhere;
    for (low, high) in ranges {
        outside += usize::from(*low < cut.base || cut.number(*high) >= cut.parts);
        if *high >= cut.base {
            change[cut.number((*low).max(cut.base)).min(cut.parts)] += 1;
            change[cut.number(*high).min(cut.parts - 1) + 1] -= 1;
        }
    }
    let (mut here, mut copies, mut squares) = (everywhere as i64, outside, (outside * outside) as f64);
    for step in &change[..cut.parts] {
        here += step;
        copies += here as usize;
        squares += (here * here) as f64;
    }
    // Half of the packets are taken to come evenly over the parts.
    let even = copies as f64 / (cut.parts + 1) as f64;
    ((squares / copies.max(1) as f64 + even) / 2.0, copies)
}

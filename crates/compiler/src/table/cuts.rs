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
use crate::hash::FastMap;
use std::slice;

/// How some rows are cut: a tree of cells, of which there may be millions.
#[derive(Debug)]
pub(super) struct Cells {
    pub(super) root: Cell,
    nodes: Vec<Node>,
    lists: Vec<Vec<u32>>,
}

/// What is in a cell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Cell {
    /// No row.
    Nothing,
    /// One row, by its index.
    Row(u32),
    /// A list of rows, in their order.
    Rows(u32),
    /// It is cut further.
    Node(u32),
}

/// A cell that is cut along a word: `(word - base) >> shift` is the number of the part, the last one for all others.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) word: usize,
    pub(super) base: u64,
    pub(super) shift: u8,
    pub(super) parts: Vec<Cell>,
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

impl Default for Cells {
    /// One, without rows.
    fn default() -> Self {
        Self { root: Cell::Nothing, nodes: Vec::new(), lists: Vec::new() }
    }
}

impl Cells {
    /// The cut of a cell that is cut further.
    pub(super) fn node(&self, cell: Cell) -> Option<&Node> {
        match cell {
            Cell::Node(number) => Some(&self.nodes[number as usize]),
            _ => None,
        }
    }

    /// The rows of a cell that is not.
    pub(super) fn rows<'a>(&'a self, cell: &'a Cell) -> &'a [u32] {
        match cell {
            Cell::Row(row) => slice::from_ref(row),
            Cell::Rows(list) => &self.lists[*list as usize],
            Cell::Nothing | Cell::Node(_) => &[],
        }
    }

    /// How many cuts there are.
    pub(super) fn cuts(&self) -> usize {
        self.nodes.len()
    }

    /// Cuts on a key's way, and the rows at its end.
    pub(super) fn way(&self, key: &[u64]) -> (usize, &[u32]) {
        let (mut cell, mut cuts) = (&self.root, 0);
        while let Some(node) = self.node(*cell) {
            (cell, cuts) = (node.part(key), cuts + 1);
        }
        (cuts, self.rows(cell))
    }

    /// The first row at the end of a key's way that holds it.
    pub(super) fn find(&self, table: &Table, key: &[u64]) -> Option<u32> {
        self.way(key).1.iter().copied().find(|row| table.row(*row as usize).holds(key))
    }
}

impl Node {
    /// Where a key's way goes on.
    fn part(&self, key: &[u64]) -> &Cell {
        let part = key[self.word].wrapping_sub(self.base) >> self.shift;
        &self.parts[part.min(self.parts.len() as u64 - 1) as usize]
    }
}

pub(super) struct Cutter<'a> {
    table: &'a Table,
    nodes: Vec<Node>,
    lists: Vec<Vec<u32>>,
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

/// A range for each word.
type Space = Vec<Range>;

/// The rows of each part of a cut, in their order; the last part is what lies beside the others.
struct Parts {
    /// Of all parts, one behind the other.
    rows: Vec<u32>,
    /// Where each part begins, and where the last one ends.
    starts: Vec<usize>,
}

impl<'a> Cutter<'a> {
    /// For so many of a table's rows.
    pub(super) fn new(table: &'a Table, rows: usize) -> Self {
        Self { table, nodes: Vec::new(), lists: Vec::new(), left: 4096 + COPIES * rows }
    }

    /// The cells of some rows; `None` where they overlap in so many ways that no cuts part them.
    pub(super) fn cut(mut self, rows: &[u32]) -> Option<Cells> {
        let space: Space = (0..self.table.words().len()).map(|word| (0, self.table.most(word))).collect();
        let root = self.cell(self.visible(rows, &space), &space, 0)?;
        Some(Cells { root, nodes: self.nodes, lists: self.lists })
    }

    fn ranges(&self, row: u32) -> &'a [Range] {
        self.table.row(row as usize).ranges
    }

    /// Rows up to the first that covers the space, if it hides those behind it.
    fn visible<'r>(&self, rows: &'r [u32], space: &Space) -> &'r [u32] {
        if self.table.hiding == Hiding::None {
            return rows;
        }
        let covers = |row: &u32| {
            self.ranges(*row).iter().zip(space).all(|(range, all)| range.0 <= all.0 && range.1 >= all.1)
        };
        rows.iter().position(covers).map_or(rows, |last| &rows[..=last])
    }

    fn cell(&mut self, rows: &[u32], space: &Space, level: u32) -> Option<Cell> {
        let cut = match rows.len() <= FEW || level == MOST_LEVELS {
            true => None,
            false => self.best(rows, space),
        };
        if let Some(cut) = cut {
            return self.node(rows, space, &cut, level);
        }
        if rows.len() > MOST_ROWS {
            return None;
        }
        self.left = self.left.checked_sub(rows.len())?;
        Some(match rows {
            [] => Cell::Nothing,
            [row] => Cell::Row(*row),
            _ => {
                self.lists.push(rows.to_vec());
                Cell::Rows(self.lists.len() as u32 - 1)
            }
        })
    }

    fn node(&mut self, rows: &[u32], space: &Space, cut: &Cut, level: u32) -> Option<Cell> {
        let met = Parts::of(cut, rows.iter().map(|row| (*row, self.ranges(*row)[cut.word])));
        let mut parts = Vec::with_capacity(cut.parts + 1);
        let mut shared: FastMap<&[u32], Cell> = FastMap::default();
        let mut inside = space.clone();
        for number in 0..=cut.parts {
            inside[cut.word] = if number < cut.parts { cut.part(number) } else { space[cut.word] };
            let rows = self.visible(met.rows(number), &inside);
            // Rows that all cover the part along this word make the same of it wherever it lies.
            let part = inside[cut.word];
            let covers = |row: &u32| {
                let range = self.ranges(*row)[cut.word];
                range.0 <= part.0 && range.1 >= part.1
            };
            let alike = number < cut.parts && !rows.is_empty() && rows.iter().all(covers);
            if let Some(cell) = alike.then(|| shared.get(rows)).flatten() {
                parts.push(*cell);
                continue;
            }
            // Outside lie two ranges; a cut there finds again where.
            let cell = self.cell(rows, &inside, level + 1)?;
            if alike {
                shared.insert(rows, cell);
            }
            parts.push(cell);
        }
        self.nodes.push(Node { word: cut.word, base: cut.base, shift: cut.shift, parts });
        Some(Cell::Node(self.nodes.len() as u32 - 1))
    }

    /// The cut that leaves the fewest rows to try.
    fn best(&self, rows: &[u32], space: &Space) -> Option<Cut> {
        let cuts = (0..self.table.words().len()).filter_map(|word| self.along(word, rows, space[word]));
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

impl Parts {
    /// Of rows with their ranges along the word that is cut.
    fn of(cut: &Cut, rows: impl Iterator<Item = (u32, Range)> + Clone) -> Parts {
        let mut starts = vec![0; cut.parts + 2];
        for (_, range) in rows.clone() {
            cut.met(range).for_each(|part| starts[part + 1] += 1);
        }
        for part in 1..starts.len() {
            starts[part] += starts[part - 1];
        }
        let (mut all, mut next) = (vec![0; starts[cut.parts + 1]], starts.clone());
        for (row, range) in rows {
            cut.met(range).for_each(|part| {
                all[next[part]] = row;
                next[part] += 1;
            });
        }
        Parts { rows: all, starts }
    }

    fn rows(&self, part: usize) -> &[u32] {
        &self.rows[self.starts[part]..self.starts[part + 1]]
    }
}

impl Cut {
    /// The parts that a range lies in.
    fn met(&self, (low, high): Range) -> impl Iterator<Item = usize> {
        let beside = low < self.base || self.number(high) >= self.parts;
        let first = self.number(low.max(self.base));
        let end = if high >= self.base { self.number(high).min(self.parts - 1) + 1 } else { 0 };
        (first..end).chain(beside.then_some(self.parts))
    }

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

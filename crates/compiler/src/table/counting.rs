//! Rows that count and go on.
//!
//! They stand among the rows of a [`Table`] that decide, in one order with them. A key counts by each of them that
//! holds it and stands before the row that decides; by all that hold it if none decides. None of them hides
//! another, so they are cut by themselves, and whoever walks to a list tries all of its rows.
//! A row counts by itself: what must be counted once has rows of which one holds a key at most.

use super::{FEW, Hiding, Range, Row, Table};
use std::sync::Arc;

/// Rows that count, and where they stand.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Counting {
    rows: Table,
    /// By row: how many of those that decide stand before it. Never less than for the row before.
    behind: Vec<u32>,
}

/// A row of either kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Entry<'t> {
    /// The first of these that holds a key is what the table finds.
    Decides(Row<'t>),
    /// Counts, and lets the key go on.
    Counts(Row<'t>),
}

impl<'t> Entry<'t> {
    /// The row.
    pub fn row(self) -> Row<'t> {
        match self {
            Entry::Decides(row) | Entry::Counts(row) => row,
        }
    }
}

impl Counting {
    /// The rows in their order. What they count is their result.
    pub fn rows(&self) -> &Table {
        &self.rows
    }

    /// How many of them stand before a row that decides; all if there is none.
    pub fn bound(&self, row: Option<u32>) -> usize {
        row.map_or(self.rows.len(), |row| self.behind.partition_point(|behind| *behind <= row))
    }

    /// Calls `count` with the result of each that holds a key which this row decides, or none.
    pub fn count(&self, key: &[u64], row: Option<u32>, mut count: impl FnMut(u32)) {
        let bound = self.bound(row);
        let mut ask = |number: usize| {
            let row = self.rows.row(number);
            if number < bound && row.holds(key) {
                count(row.result);
            }
        };
        match self.rows.trees().filter(|_| self.rows.len() > FEW) {
            Some(trees) => {
                let lists = trees.iter().flat_map(|tree| tree.cells.way(key).1);
                lists.for_each(|number| ask(*number as usize));
            }
            None => (0..bound).for_each(ask),
        }
    }
}

impl Table {
    /// Adds a row that counts and goes on, behind all others. One range for each word.
    pub fn push_counting(&mut self, ranges: &[Range], result: u32) {
        let behind = self.len() as u32;
        let none = || Counting {
            rows: Table { hiding: Hiding::None, ..Table::new(self.words.clone()) },
            behind: Vec::new(),
        };
        let counting = Arc::make_mut(self.counting.get_or_insert_with(|| Arc::new(none())));
        counting.rows.push(ranges, result);
        counting.behind.push(behind);
    }

    /// The rows that count, if there are any.
    pub fn counting(&self) -> Option<&Counting> {
        self.counting.as_deref()
    }

    /// The same rows, of which those that count have other results.
    pub fn map_counting(&self, result: impl FnMut(u32) -> u32) -> Self {
        let other = |counting: &Arc<Counting>| {
            let Counting { rows, behind } = &**counting;
            Arc::new(Counting { rows: rows.map_results(result), behind: behind.clone() })
        };
        Self { counting: self.counting.as_ref().map(other), ..self.clone() }
    }

    /// All rows of either kind in their order.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        let (mut decides, mut counts) = (0, 0);
        std::iter::from_fn(move || {
            let next = self.counting().filter(|counting| {
                counting.behind.get(counts).is_some_and(|behind| *behind as usize == decides)
            });
            if let Some(counting) = next {
                counts += 1;
                return Some(Entry::Counts(counting.rows.row(counts - 1)));
            }
            decides += 1;
            (decides <= self.len()).then(|| Entry::Decides(self.row(decides - 1)))
        })
    }
}

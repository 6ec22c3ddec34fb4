//! What a part of a set lists.

use super::Part;
use super::admitted::joined;
use crate::table::{MOST_WORDS, Table, words};
use std::slice::ChunksExact;
use std::sync::{Arc, OnceLock};

/// Values from the first to the last.
type Range = (u128, u128);

/// Elements: a range for each value, of all elements one behind the other, as there may be millions.
///
/// A copy is cheap: it shares them, and what they are as a table.
#[derive(Clone, Debug)]
pub struct Elements {
    values: usize,
    all: Arc<All>,
}

#[derive(Clone, Default, Debug)]
struct All {
    ranges: Vec<Range>,
    table: OnceLock<Option<Table>>,
}

impl Elements {
    /// None, of so many values each.
    pub fn new(values: usize) -> Elements {
        Elements { values: values.max(1), all: Arc::default() }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.ranges.len() / self.values
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.ranges.is_empty()
    }

    /// By element, its ranges.
    pub fn iter(&self) -> ChunksExact<'_, Range> {
        self.all.ranges.chunks_exact(self.values)
    }

    /// The ranges of all of them. Elements of one value are these.
    pub fn ranges(&self) -> &[Range] {
        &self.all.ranges
    }

    /// Whether each value of each is one value.
    pub fn are_single(&self) -> bool {
        self.all.ranges.iter().all(|(low, high)| low == high)
    }

    /// One more, with a range for each value.
    pub(crate) fn push(&mut self, element: &[Range]) {
        assert_eq!(element.len(), self.values, "a range for each value");
        self.change().extend_from_slice(element);
    }

    /// Sorts them, and joins those that touch. Of one value.
    pub(crate) fn join(&mut self) {
        let ranges = self.change();
        *ranges = joined(std::mem::take(ranges));
    }

    /// Sorts them; each is there once.
    pub(crate) fn sort(&mut self) {
        let mut all: Vec<&[Range]> = self.iter().collect();
        all.sort_unstable();
        all.dedup();
        *self.change() = all.concat();
    }

    fn change(&mut self) -> &mut Vec<Range> {
        let all = Arc::make_mut(&mut self.all);
        all.table.take();
        &mut all.ranges
    }
}

impl PartialEq for Elements {
    /// The table follows from them.
    fn eq(&self, other: &Self) -> bool {
        let same = Arc::ptr_eq(&self.all, &other.all) || self.all.ranges == other.all.ranges;
        self.values == other.values && same
    }
}

impl Eq for Elements {}

impl Part {
    /// The elements as a table, if keys have enough words and they can be cut apart; found once.
    pub(crate) fn table(&self) -> Option<Table> {
        let make = || {
            let words = self.widths.iter().copied().flat_map(words).count();
            let table = || Table::of_elements(&self.widths, self.elements.iter());
            (words <= MOST_WORDS).then(table).filter(Table::parts)
        };
        self.elements.all.table.get_or_init(make).clone()
    }
}

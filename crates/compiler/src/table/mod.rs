//! Many alike questions as one structure in memory: first match over boxes.
//!
//! A [`Table`] is a list of rows; a row is a box, a range for each word of the key, and a result.
//! Its meaning is [`Table::find`]: the result of the first row that holds the key. What runs is an
//! [`Image`]: trees that cut the space of keys into cells until few rows are left in each, as bytes
//! that a program walks ([`image`]) and that user space can change while it does. Which rows share a
//! tree is decided in [`groups`], how it cuts the space in [`cuts`]. Rows that count and go on stand among them
//! ([`counting`]).

pub mod image;

mod counting;
mod cuts;
mod groups;
mod shape;

pub use counting::{Counting, Entry};
pub use image::Image;
pub use shape::Shape;

use cuts::{Cells, Cutter};
use std::sync::{Arc, OnceLock};

/// Rows in the order in which they are tried.
///
/// A copy is cheap: it shares the rows, and how they are cut.
#[derive(Clone, Debug, Default)]
pub struct Table {
    words: Vec<u8>,
    /// Of all rows, one behind the other.
    ranges: Arc<Vec<Range>>,
    results: Arc<Vec<u32>>,
    hiding: Hiding,
    cuts: OnceLock<Option<Arc<Cuts>>>,
    counting: Option<Arc<Counting>>,
}

/// What rows that hold a key keep from those behind them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Hiding {
    /// The key: the first row is what is asked for.
    #[default]
    Key,
    /// Nothing: all rows are asked for.
    None,
}

/// Values of a word, from the first to the last.
pub type Range = (u64, u64);

/// A range for each word, and what a key inside all of them gives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Row<'t> {
    /// By word.
    pub ranges: &'t [Range],
    /// Not 0, which is for keys that no row holds.
    pub result: u32,
}

impl Row<'_> {
    fn holds(&self, key: &[u64]) -> bool {
        self.ranges.iter().zip(key).all(|(range, word)| (range.0..=range.1).contains(word))
    }
}

/// How the rows are cut, in trees in the order of their first rows.
#[derive(Debug)]
struct Cuts {
    trees: Vec<Tree>,
    /// The first image of them that was large.
    image: OnceLock<image::Kept>,
}

/// How some of the rows are cut.
#[derive(Debug)]
struct Tree {
    /// The first of them.
    first: u32,
    /// The words that any of them asks about, a bit each.
    words: u8,
    cells: Cells,
}

/// Keys have at most so many words: an image has three bits for the number of one.
pub const MOST_WORDS: usize = 8;

/// With more trees a table costs a packet more than people wait for.
const MOST_TREES: usize = 16;

/// So few rows are tried one after the other.
const FEW: usize = 64;

/// The words of a value of so many bits: what is above 64 bits first.
pub fn words(bits: u8) -> impl Iterator<Item = u8> {
    bits.checked_sub(64).filter(|high| *high > 0).into_iter().chain([bits.min(64)])
}

/// A range of values of so many bits as ranges of one word, or as boxes of a high and a low one: up to three, and
/// none if it lies beyond them.
pub fn boxes(bits: u8, (low, high): (u128, u128)) -> Vec<Vec<Range>> {
    let most = u128::MAX >> (128 - u32::from(bits));
    if low > most {
        return Vec::new();
    }
    let high = high.min(most);
    if bits <= 64 {
        return vec![vec![(low as u64, high as u64)]];
    }
    let halves = |value: u128| ((value >> 64) as u64, value as u64);
    let ((first, from), (last, to)) = (halves(low), halves(high));
    if first == last {
        return vec![vec![(first, last), (from, to)]];
    }
    // The whole middle, with the ends where they are whole as well.
    let (mut middle, mut boxes) = ((first, last), Vec::new());
    if from > 0 {
        boxes.push(vec![(first, first), (from, u64::MAX)]);
        middle.0 += 1;
    }
    if to < u64::MAX {
        boxes.push(vec![(last, last), (0, to)]);
        middle.1 -= 1;
    }
    if middle.0 <= middle.1 {
        boxes.push(vec![middle, (0, u64::MAX)]);
    }
    boxes
}

impl Table {
    /// Without rows; the width in bits of each word of the key, up to 64.
    pub fn new(words: Vec<u8>) -> Self {
        Self { words, ..Self::default() }
    }

    /// What holds tuples of values that lie in the ranges of one of the elements, with 1 as the result. Values have
    /// these widths in bits; one of more than 64 is two words of the key.
    pub fn of_elements<'e>(widths: &[u8], elements: impl IntoIterator<Item = &'e [(u128, u128)]>) -> Self {
        let mut table = Self::new(widths.iter().copied().flat_map(words).collect());
        let mut ranges = Vec::new();
        for element in elements {
            table.push_element(widths, element, &mut ranges);
        }
        table
    }

    /// One row for each way to choose a box of each value.
    fn push_element(&mut self, widths: &[u8], element: &[(u128, u128)], ranges: &mut Vec<Range>) {
        let Some((width, rest)) = widths.split_first() else {
            return self.push(ranges, 1);
        };
        for of_value in boxes(*width, element[0]) {
            let before = ranges.len();
            ranges.extend(of_value);
            self.push_element(rest, &element[1..], ranges);
            ranges.truncate(before);
        }
    }

    /// Adds a row behind the others. One range for each word.
    pub fn push(&mut self, ranges: &[Range], result: u32) {
        assert_eq!(ranges.len(), self.words.len(), "a range for each word");
        Arc::make_mut(&mut self.ranges).extend(ranges);
        Arc::make_mut(&mut self.results).push(result);
        self.cuts.take();
    }

    /// The same rows with other results.
    pub fn map_results(&self, result: impl FnMut(u32) -> u32) -> Self {
        Self { results: Arc::new(self.results.iter().copied().map(result).collect()), ..self.clone() }
    }

    /// Width in bits of each word of the key.
    pub fn words(&self) -> &[u8] {
        &self.words
    }

    /// All words, a bit each.
    pub fn all_words(&self) -> u8 {
        (0..self.words.len()).fold(0, |words, word| words | 1 << word)
    }

    /// The largest value of a word.
    fn most(&self, word: usize) -> u64 {
        u64::MAX >> (64 - self.words[word])
    }

    /// How many rows there are that decide.
    pub fn len(&self) -> usize {
        self.results.len()
    }

    /// Whether it finds no key.
    pub fn is_empty(&self) -> bool {
        self.results.is_empty()
    }

    /// A row that decides by its number, from 0.
    pub fn row(&self, number: usize) -> Row<'_> {
        let first = number * self.words.len();
        Row { ranges: &self.ranges[first..first + self.words.len()], result: self.results[number] }
    }

    /// How many rows there are from this one to the last.
    pub fn rank(&self, number: u32) -> u32 {
        self.len() as u32 - number
    }

    /// The rows that decide, in their order.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        (0..self.len()).map(|number| self.row(number))
    }

    /// The result of the first row that holds the key; 0 if none does.
    pub fn find(&self, key: &[u64]) -> u32 {
        self.rows().find(|row| row.holds(key)).map_or(0, |row| row.result)
    }

    /// The same, by the trees if there are many rows.
    pub fn find_fast(&self, key: &[u64]) -> u32 {
        self.first(key).map_or(0, |number| self.results[number as usize])
    }

    /// The number of the first row that holds the key; by the trees if there are many.
    pub fn first(&self, key: &[u64]) -> Option<u32> {
        match self.trees().filter(|_| self.len() > FEW) {
            Some(trees) => trees.iter().filter_map(|tree| tree.cells.find(self, key)).min(),
            None => self.rows().position(|row| row.holds(key)).map(|number| number as u32),
        }
    }

    /// Whether the rows can be cut apart, those that count as well, so that there is an [`Image`].
    pub fn parts(&self) -> bool {
        self.trees().is_some() && self.counting().is_none_or(|counting| counting.rows().parts())
    }

    /// The words that any of these rows asks about, a bit each.
    fn asked(&self, rows: &[u32]) -> u8 {
        let asks = |word: usize| {
            let all = (0, self.most(word));
            rows.iter().any(|row| self.row(*row as usize).ranges[word] != all)
        };
        (0..self.words.len()).filter(|word| asks(*word)).fold(0, |words, word| words | 1 << word)
    }

    /// By tree, the words that its rows ask about, a bit each; `None` if there are none.
    pub fn words_of_trees(&self) -> Option<Vec<u8>> {
        Some(self.trees()?.iter().map(|tree| tree.words).collect())
    }

    /// Into how many trees they are cut without those that count, 0 if they cannot be.
    pub fn cut(&self) -> usize {
        self.trees().map_or(0, <[Tree]>::len)
    }

    fn trees(&self) -> Option<&[Tree]> {
        Some(&self.cuts()?.trees)
    }

    /// How they are cut; found once.
    fn cuts(&self) -> Option<&Cuts> {
        self.cuts.get_or_init(|| self.cut_apart()).as_deref()
    }

    fn cut_apart(&self) -> Option<Arc<Cuts>> {
        let (mut left, mut trees) = (groups::groups(self), Vec::new());
        while let Some(rows) = left.pop() {
            let Some(first) = rows.first().copied() else { continue };
            match Cutter::new(self, rows.len()).cut(&rows) {
                Some(cells) => trees.push(Tree { first, words: self.asked(&rows), cells }),
                // Wide rows and narrow ones cost too many copies together.
                None if trees.len() + left.len() + 2 <= MOST_TREES => {
                    left.extend(groups::split(self, &rows)?)
                }
                None => return None,
            }
        }
        trees.sort_by_key(|tree| tree.first);
        Some(Arc::new(Cuts { trees, image: OnceLock::new() }))
    }
}

impl PartialEq for Table {
    /// Words, rows of either kind and results; how they are cut follows from them.
    fn eq(&self, other: &Self) -> bool {
        let rows = self.words == other.words && self.results == other.results && self.ranges == other.ranges;
        rows && self.hiding == other.hiding && self.counting == other.counting
    }
}

impl Eq for Table {}

#[cfg(test)]
mod tests;

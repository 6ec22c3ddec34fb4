//! The bytes of a table, as a program walks them.
//!
//! An image is nodes, lists of rows and *references* to both, all numbers in the machine's order (eBPF runs in it).
//! A reference is a `u32`:
//!
//! | bits | |
//! |---|---|
//! | 0–5 | how many rows, 0 for a node |
//! | 6–31 | where the node or the list begins, in [`UNIT`]s |
//!
//! A node is, behind [`HEADER`] bytes, references to its children:
//!
//! | bytes | |
//! |---|---|
//! | 0–7 | `u64`, base |
//! | 8–11 | `u32`, number of the last child |
//! | 12 | shift |
//! | 13 | eight times the number of the word |
//! | 16–… | references |
//!
//! An image begins with the references of its trees. A walk begins at one. At a node it takes `(word - base) >> shift`
//! modulo 2^64, at most the number of the last child, which is for all keys outside of what is cut, and goes on with that
//! child. At a list it tries the rows in order; a key that gets nowhere has the result 0. A cell without rows is
//! a list of one row whose result is 0: a program need not ask first whether there is a row.
//!
//! With one tree results are the rows' own. With several a result is the number of the row, from 1; the
//! smallest that is not 0 counts. Behind the trees' references stand then, as `u32`, the number of each tree's first row, from
//! 0, so that a tree need not be asked that has nothing better; and the rows' own results by their numbers, with a
//! place for no row.
//!
//! A row is, for each word in the order of falling width, its lowest value and how far its highest
//! is above it, each in the 1, 2, 4 or 8 bytes that the word takes; then the result as a `u32`.
//! Rows are padded to a multiple of 4 bytes, or of 8 if some word takes 8. A list that fits a line of the caches
//! lies in one. References are small and lists are apart from them, because what most packets look at, a reference
//! to a cell without rows, should stay in the caches whatever the number of rows.

use super::Table;
use super::cuts::Node;
use std::collections::HashMap;
use std::sync::Arc;

/// Bytes of a reference.
pub const REFERENCE: u32 = 4;
/// Where in a reference the place begins.
pub const PLACE: u32 = 6;
/// Places are multiples of this, in bytes.
pub const UNIT: u32 = 16;

/// Bytes of a node in front of its references; what they say.
pub const HEADER: u32 = 16;
/// Where in a node its base stands.
pub const BASE: u32 = 0;
/// Where the number of the last child stands.
pub const LAST: u32 = 8;
/// Where the shift stands.
pub const SHIFT: u32 = 12;
/// Where eight times the number of the word stands.
pub const WORD: u32 = 13;

/// A list has at most so many rows: the kernel's verifier walks through all of them.
pub const MOST_ROWS: usize = 32;

/// Bytes of a line of the processor's caches: an image begins at a multiple of this.
pub const LINE: u32 = 64;

/// Where the parts of a row lie.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RowLayout {
    /// By word of the key: where its lowest value lies, and how many bytes it and its span take.
    pub words: Vec<(u32, u32)>,
    /// Where the result lies.
    pub result: u32,
    /// Bytes of a row.
    pub bytes: u32,
}

impl RowLayout {
    /// For words of these widths in bits.
    pub fn of(words: &[u8]) -> RowLayout {
        let size = |word: usize| u32::from(words[word]).div_ceil(8).next_power_of_two();
        let mut order: Vec<usize> = (0..words.len()).collect();
        order.sort_by_key(|word| std::cmp::Reverse(size(*word)));
        let mut places = vec![(0, 0); words.len()];
        let mut end = 0;
        for word in order {
            places[word] = (end, size(word));
            end += 2 * size(word);
        }
        let result = end.next_multiple_of(4);
        let align = if words.iter().any(|bits| *bits > 32) { 8 } else { 4 };
        RowLayout { words: places, result, bytes: (result + 4).next_multiple_of(align) }
    }
}

/// A table made ready to be walked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Image {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The number of the first row of each tree.
    pub trees: Vec<u32>,
    /// Nodes on the longest way.
    pub levels: u32,
    /// Rows of the longest list.
    pub most_rows: u32,
    /// Of a row.
    pub layout: RowLayout,
}

impl Image {
    /// Writes a table; `None` if its rows cannot be cut apart, or take more than `most` bytes. Where it is cut into
    /// fewer trees than `least`, the others are empty.
    pub fn of(table: &Table, most: usize, least: usize) -> Option<Image> {
        let trees = table.trees()?;
        let count = trees.len().max(least);
        let layout = RowLayout::of(table.words());
        let mut firsts: Vec<u32> = trees.iter().map(|tree| tree.first).collect();
        firsts.resize(count, u32::MAX);
        let image = Image { bytes: Vec::new(), trees: firsts, levels: 0, most_rows: 0, layout };
        let (singles, lists) = (vec![0; table.len()], HashMap::new());
        let mut writer = Writer { table, numbers: count > 1, most, singles, lists, image };
        let references = writer.room(REFERENCE as usize * count, 1)?;
        writer.results()?;
        for nth in 0..count {
            let root = match trees.get(nth) {
                Some(tree) => writer.node(&tree.root, 0)?,
                None => writer.list(&[])?,
            };
            writer.put(references + nth * REFERENCE as usize, root);
        }
        Some(writer.image)
    }

    /// Where the numbers of the first rows begin, if there are so many trees and not one.
    pub fn firsts(trees: u32) -> u32 {
        trees * REFERENCE
    }

    /// Where the results begin.
    pub fn results(trees: u32) -> u32 {
        Self::firsts(trees) + trees * 4
    }

    /// What a program finds for a key.
    pub fn find(&self, key: &[u64]) -> u32 {
        let found = (0..self.trees.len()).map(|tree| self.walk(tree * REFERENCE as usize, key));
        let first = found.filter(|result| *result > 0).min().unwrap_or(0);
        match (first, self.trees.len()) {
            (0, _) | (_, 1) => first,
            (_, trees) => self.number(Self::results(trees as u32) as usize + 4 * first as usize, 4) as u32,
        }
    }

    fn walk(&self, root: usize, key: &[u64]) -> u32 {
        let mut reference = self.number(root, REFERENCE);
        loop {
            let place = (reference >> PLACE) as usize * UNIT as usize;
            match reference & ((1 << PLACE) - 1) {
                0 => {
                    let field = |at: u32, size: u32| self.number(place + at as usize, size);
                    let word = key[field(WORD, 1) as usize / 8];
                    let step = word.wrapping_sub(field(BASE, 8)) >> field(SHIFT, 1);
                    let child = step.min(field(LAST, 4)) as u32;
                    reference = field(HEADER + REFERENCE * child, REFERENCE);
                }
                rows => return self.list(key, place, rows as usize),
            }
        }
    }

    fn list(&self, key: &[u64], first: usize, rows: usize) -> u32 {
        let layout = &self.layout;
        for row in 0..rows {
            let at = first + row * layout.bytes as usize;
            let holds = layout.words.iter().zip(key).all(|(&(offset, size), word)| {
                let low = self.number(at + offset as usize, size);
                word.wrapping_sub(low) <= self.number(at + (offset + size) as usize, size)
            });
            if holds {
                return self.number(at + layout.result as usize, 4) as u32;
            }
        }
        0
    }

    fn number(&self, at: usize, size: u32) -> u64 {
        let mut bytes = [0; 8];
        bytes[..size as usize].copy_from_slice(&self.bytes[at..at + size as usize]);
        u64::from_le_bytes(bytes)
    }
}

struct Writer<'a> {
    table: &'a Table,
    /// Whether rows say their number and not their result.
    numbers: bool,
    most: usize,
    /// By row, the reference to the list of it alone, 0 if there is none yet.
    singles: Vec<u32>,
    /// References to other lists, by their rows.
    lists: HashMap<Vec<u32>, u32>,
    image: Image,
}

impl Writer<'_> {
    /// The numbers of the first rows, and the results with a place for no row.
    fn results(&mut self) -> Option<()> {
        if self.numbers {
            let trees = self.image.trees.clone();
            let mut at = self.room(4 * (trees.len() + self.table.len() + 1), 1)?;
            let results = self.table.rows().map(|row| row.result);
            for number in trees.into_iter().chain([0]).chain(results) {
                self.put(at, number);
                at += 4;
            }
        }
        Some(())
    }

    /// What a walk gives that ends at a row.
    fn result(&self, row: u32) -> u32 {
        if self.numbers { row + 1 } else { self.table.row(row as usize).result }
    }

    /// Writes a node and what is below it; its reference, or nothing if it does not fit.
    fn node(&mut self, node: &Node, level: u32) -> Option<u32> {
        let (word, base, shift, children) = match node {
            Node::Inner { word, base, shift, children } => (*word, *base, *shift, children),
            Node::Rows(rows) => return self.list(rows),
        };
        let at = self.room((HEADER + REFERENCE * children.len() as u32) as usize, UNIT as usize)?;
        let header = &mut self.image.bytes[at..at + HEADER as usize];
        header[BASE as usize..][..8].copy_from_slice(&base.to_le_bytes());
        header[LAST as usize..][..4].copy_from_slice(&(children.len() as u32 - 1).to_le_bytes());
        header[SHIFT as usize] = shift;
        header[WORD as usize] = 8 * word as u8;
        self.image.levels = self.image.levels.max(level + 1);
        let mut written: HashMap<*const Node, u32> = HashMap::new();
        for (nth, child) in children.iter().enumerate() {
            // Neighbours may share what is behind them.
            let shared = Arc::strong_count(child) > 1;
            let reference = match written.get(&Arc::as_ptr(child)).filter(|_| shared) {
                Some(reference) => *reference,
                None => self.node(child, level + 1)?,
            };
            if shared {
                written.insert(Arc::as_ptr(child), reference);
            }
            self.put(at + (HEADER + REFERENCE * nth as u32) as usize, reference);
        }
        Some(reference(at, 0))
    }

    /// A reference to a list of these rows, which may be there already.
    fn list(&mut self, rows: &[u32]) -> Option<u32> {
        let known = match rows {
            [row] => Some(self.singles[*row as usize]).filter(|reference| *reference > 0),
            _ => self.lists.get(rows).copied(),
        };
        if known.is_some() {
            return known;
        }
        let reference = self.new_list(rows)?;
        match rows {
            [row] => self.singles[*row as usize] = reference,
            _ => drop(self.lists.insert(rows.to_vec(), reference)),
        }
        Some(reference)
    }

    fn new_list(&mut self, rows: &[u32]) -> Option<u32> {
        let row_bytes = self.image.layout.bytes as usize;
        let count = rows.len().max(1);
        let (line, bytes) = (LINE as usize, count * row_bytes);
        let before = self.image.bytes.len().next_multiple_of(UNIT as usize) % line;
        let crosses = bytes <= line && before + bytes > line;
        let at = self.room(bytes, if crosses { line } else { UNIT as usize })?;
        for (nth, row) in rows.iter().enumerate() {
            self.row(at + nth * row_bytes, *row);
        }
        self.image.most_rows = self.image.most_rows.max(count as u32);
        Some(reference(at, count))
    }

    fn row(&mut self, at: usize, row: u32) {
        let result = self.result(row);
        let row = self.table.row(row as usize);
        let mut put = |at: usize, number: u64, size: u32| {
            let size = size as usize;
            self.image.bytes[at..at + size].copy_from_slice(&number.to_le_bytes()[..size]);
        };
        for ((offset, size), (low, high)) in self.image.layout.words.iter().zip(row.ranges) {
            put(at + *offset as usize, *low, *size);
            put(at + (offset + size) as usize, high - low, *size);
        }
        put(at + self.image.layout.result as usize, u64::from(result), 4);
    }

    fn put(&mut self, at: usize, number: u32) {
        self.image.bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
    }

    /// Zeroed room that begins at a multiple of `align`.
    fn room(&mut self, bytes: usize, align: usize) -> Option<usize> {
        let at = self.image.bytes.len().next_multiple_of(align);
        if at + bytes > self.most {
            return None;
        }
        self.image.bytes.resize(at + bytes, 0);
        Some(at)
    }
}

fn reference(at: usize, rows: usize) -> u32 {
    ((at / UNIT as usize) as u32) << PLACE | rows as u32
}

//! The bytes of a table, as a program walks them.
//!
//! An image is nodes of 16 bytes and lists of rows, all numbers in the machine's order (eBPF runs in
//! it). A node is `u64 base, u64 meta`; `meta` is, from its low bit:
//!
//! | bits | of an inner node | of a list | of a single |
//! |---|---|---|---|
//! | 0–5 | shift | 0 | shift |
//! | 6–7 | [`INNER`] | [`LIST`] | [`SINGLE`] |
//! | 8–10 | – | – | – |
//! | 11–13 | number of the word | 0 | number of the word |
//! | 14–37 | last child | how many rows | – |
//! | 38–63 | first child, in 16 bytes | first row, in 16 bytes | – |
//! | 32–63 | | | result |
//!
//! The first nodes are the roots, one of each tree. A walk begins at one. At an inner node it takes `(word - base) >> shift` modulo 2^64, at most the
//! number of the last child, which is for all keys outside of what is cut, and goes to that child. At
//! a list it tries the rows in order. A single holds a key for which `(word - base) >> shift` is 0. A
//! key that gets nowhere has the result 0; so has an empty list.
//!
//! With one tree results are the rows' own. With several a result is the number of the row, from 1; the
//! smallest that is not 0 counts. Behind the roots stand then, as `u32`, the number of each tree's first row, from
//! 0, so that a tree need not be asked that has nothing better; and the rows' own results by their numbers, with a
//! place for no row.
//!
//! A row is, for each word in the order of falling width, its lowest value and how far its highest
//! is above it, each in the 1, 2, 4 or 8 bytes that the word takes; then the result as a `u32`.
//! Rows are padded to a multiple of 4 bytes, or of 8 if some word takes 8.
//!
//! Changes while packets come: a node's `meta` and `base` are replaced only by putting a new node
//! elsewhere and then exchanging its parent, so that each packet sees all of a change or nothing.

use super::Table;
use super::cuts::Node;
use std::collections::HashMap;
use std::sync::Arc;

/// Kinds of nodes, in bits 6 and 7 of `meta`.
pub const INNER: u64 = 0;
/// Rows that are tried one after the other.
pub const LIST: u64 = 1;
/// One range of one word, whose size is a power of two.
pub const SINGLE: u64 = 2;

/// Bytes of a node.
pub const NODE: u32 = 16;
/// Where in `meta` the kind begins.
pub const KIND: u32 = 6;
/// Where in `meta` eight times the number of the word begins, with three zero bits below it.
pub const WORD: u32 = 8;
/// Where in `meta` the last child, or the number of rows, begins; it has [`COUNT_BITS`].
pub const COUNT: u32 = 14;
/// Bits of that.
pub const COUNT_BITS: u32 = 24;
/// Where in `meta` the place of what follows begins, in [`NODE`]s.
pub const PLACE: u32 = 38;
/// Where in `meta` a single's result begins.
pub const RESULT: u32 = 32;

/// A list has at most so many rows: the kernel's verifier walks through all of them.
pub const MOST_ROWS: usize = 32;

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
    /// Inner nodes on the longest way.
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
        // Zeros are inner nodes; an empty list gets nowhere.
        let root = [0, LIST << KIND].map(u64::to_le_bytes).concat();
        let mut firsts: Vec<u32> = trees.iter().map(|tree| tree.first).collect();
        firsts.resize(count, u32::MAX);
        let image = Image { bytes: root.repeat(count), trees: firsts, levels: 0, most_rows: 0, layout };
        let mut writer = Writer { table, numbers: count > 1, most, lists: HashMap::new(), image };
        writer.results()?;
        for (nth, tree) in trees.iter().enumerate() {
            writer.node(nth * NODE as usize, &tree.root, 0)?;
        }
        Some(writer.image)
    }

    /// Where the numbers of the first rows begin, if there are so many trees and not one.
    pub fn firsts(trees: u32) -> u32 {
        trees * NODE
    }

    /// Where the results begin.
    pub fn results(trees: u32) -> u32 {
        Self::firsts(trees) + trees * 4
    }

    /// What a program finds for a key.
    pub fn find(&self, key: &[u64]) -> u32 {
        let found = (0..self.trees.len()).map(|tree| self.walk(tree * NODE as usize, key));
        let first = found.filter(|result| *result > 0).min().unwrap_or(0);
        match (first, self.trees.len()) {
            (0, _) | (_, 1) => first,
            (_, trees) => self.number(Self::results(trees as u32) as usize + 4 * first as usize, 4) as u32,
        }
    }

    fn walk(&self, root: usize, key: &[u64]) -> u32 {
        let mut node = root;
        loop {
            let (base, meta) = (self.word(node), self.word(node + 8));
            let word = key[(meta >> (WORD + 3) & 7) as usize];
            let step = word.wrapping_sub(base) >> (meta & 63);
            match meta >> KIND & 3 {
                INNER => {
                    let child = step.min(meta >> COUNT & ((1 << COUNT_BITS) - 1));
                    node = ((meta >> PLACE) + child) as usize * NODE as usize;
                }
                SINGLE => return if step == 0 { (meta >> RESULT) as u32 } else { 0 },
                _ => return self.list(key, meta),
            }
        }
    }

    fn list(&self, key: &[u64], meta: u64) -> u32 {
        let layout = &self.layout;
        let first = (meta >> PLACE) as usize * NODE as usize;
        for row in 0..(meta >> COUNT & ((1 << COUNT_BITS) - 1)) as usize {
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

    fn word(&self, at: usize) -> u64 {
        self.number(at, 8)
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
    /// Where lists of the same rows stand.
    lists: HashMap<Vec<u32>, usize>,
    image: Image,
}

impl Writer<'_> {
    /// The numbers of the first rows, and the results with a place for no row.
    fn results(&mut self) -> Option<()> {
        if self.numbers {
            let trees = self.image.trees.clone();
            let firsts = self.room(4 * (trees.len() + self.table.len() + 1))?;
            for (nth, first) in trees.iter().enumerate() {
                let at = firsts + 4 * nth;
                self.image.bytes[at..at + 4].copy_from_slice(&first.to_le_bytes());
            }
            let at = firsts + 4 * trees.len();
            for (nth, row) in self.table.rows().enumerate() {
                let at = at + 4 * (nth + 1);
                self.image.bytes[at..at + 4].copy_from_slice(&row.result.to_le_bytes());
            }
        }
        Some(())
    }

    /// What a walk gives that ends at a row.
    fn result(&self, row: u32) -> u32 {
        if self.numbers { row + 1 } else { self.table.row(row as usize).result }
    }

    /// Writes a node at its place; `None` if it does not fit.
    fn node(&mut self, at: usize, node: &Node, level: u32) -> Option<()> {
        match node {
            Node::Inner { word, base, shift, children } => {
                let last = children.len() as u64 - 1;
                let first = self.room(children.len() * NODE as usize)?;
                let place = (first / NODE as usize) as u64;
                let meta = u64::from(*shift) | (*word as u64) << (WORD + 3) | last << COUNT | place << PLACE;
                self.put(at, *base, meta);
                self.image.levels = self.image.levels.max(level + 1);
                let mut written: HashMap<*const Node, usize> = HashMap::new();
                for (nth, child) in children.iter().enumerate() {
                    let to = first + nth * NODE as usize;
                    // Neighbours may share what is behind them.
                    match written.get(&Arc::as_ptr(child)) {
                        Some(from) => self.image.bytes.copy_within(*from..*from + NODE as usize, to),
                        None => {
                            self.node(to, child, level + 1)?;
                            written.insert(Arc::as_ptr(child), to);
                        }
                    }
                }
            }
            Node::Rows(rows) => match self.single(rows) {
                Some((base, meta)) => self.put(at, base, meta),
                None => self.list(at, rows)?,
            },
        }
        Some(())
    }

    fn put(&mut self, at: usize, base: u64, meta: u64) {
        self.image.bytes[at..at + 8].copy_from_slice(&base.to_le_bytes());
        self.image.bytes[at + 8..at + 16].copy_from_slice(&meta.to_le_bytes());
    }

    /// One row that asks of one word only whether it is in a range of a power of two.
    fn single(&self, rows: &[u32]) -> Option<(u64, u64)> {
        let [number] = rows else { return None };
        let row = self.table.row(*number as usize);
        let mut asked = row.ranges.iter().enumerate().filter(|(word, r)| **r != (0, self.table.most(*word)));
        let (word, (low, high)) = asked.next().unwrap_or((0, &row.ranges[0]));
        // A range of all 2^64 values would need a shift by 64.
        let span = (high - low).checked_add(1).filter(|span| span.is_power_of_two())?;
        if asked.next().is_some() {
            return None;
        }
        let meta = u64::from(span.trailing_zeros()) | SINGLE << KIND | (word as u64) << (WORD + 3);
        Some((*low, meta | u64::from(self.result(*number)) << RESULT))
    }

    fn list(&mut self, at: usize, rows: &[u32]) -> Option<()> {
        let place = match self.lists.get(rows) {
            Some(place) => *place,
            None => {
                let place = self.room(rows.len() * self.image.layout.bytes as usize)?;
                for (nth, row) in rows.iter().enumerate() {
                    self.row(place + nth * self.image.layout.bytes as usize, *row);
                }
                self.lists.insert(rows.to_vec(), place);
                place
            }
        };
        self.image.most_rows = self.image.most_rows.max(rows.len() as u32);
        let meta = LIST << KIND | (rows.len() as u64) << COUNT | ((place / NODE as usize) as u64) << PLACE;
        self.put(at, 0, meta);
        Some(())
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

    /// Zeroed room that begins at a multiple of a node.
    fn room(&mut self, bytes: usize) -> Option<usize> {
        let at = self.image.bytes.len();
        let end = (at + bytes).next_multiple_of(NODE as usize);
        if end > self.most {
            return None;
        }
        self.image.bytes.resize(end, 0);
        Some(at)
    }
}

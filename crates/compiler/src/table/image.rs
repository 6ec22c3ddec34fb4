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
//! An image begins with the roots of its trees, [`ROOT`] bytes each, so that programs know where they are:
//!
//! | bytes | |
//! |---|---|
//! | 0–13 | as of a node |
//! | 16–19 | `u32`, where the references to the children begin |
//! | 24–31 | `u64`, the most that the tree can find, if it is not the only one |
//!
//! A walk begins at one. At a node it takes `(word - base) >> shift` modulo 2^64, at most the number of the last child, which
//! is for all keys outside of what is cut, and goes on with that child. At a list it tries the rows in order; a key that
//! gets nowhere has the result 0. A cell without rows is a list of one row whose result is 0: a program need not ask
//! first whether there is a row.
//!
//! With one tree results are the rows' own. With several what a walk finds is a `u64`, the result in its lower half and in its
//! upper half the row's *rank*, which is 1 for the last row of the table and one more for each before it: the largest counts, and
//! its lower half is the table's result. A tree need not be asked that has nothing better than what was found.
//!
//! A row is, for each word that any row of its tree asks about in the order of falling width, its lowest value and how far
//! its highest is above it, each in the 1, 2, 4 or 8 bytes that the word takes; then the result as a `u32`, or as a `u64` with
//! the rank. Rows are padded to a multiple of 4 bytes, or of 8 if a part of them takes 8. A list that fits a line of the caches
//! lies in one. References are small and lists are apart from them, because what most packets look at, a reference
//! to a cell without rows, should stay in the caches whatever the number of rows.

use super::cuts::{Cell, Cells, Node};
use super::{Table, Tree};
use crate::hash::FastMap;
use std::slice;
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

/// Bytes of a root; what else it says.
pub const ROOT: u32 = 32;
/// Where in a root it stands where the references begin.
pub const CHILDREN: u32 = 16;
/// Where the most that the tree can find stands.
pub const MOST: u32 = 24;

/// A list has at most so many rows: the kernel's verifier walks through all of them.
pub const MOST_ROWS: usize = 32;

/// Bytes of a line of the processor's caches: an image begins at a multiple of this.
pub const LINE: u32 = 64;

/// Where the parts of a tree's rows lie.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RowLayout {
    /// The words that rows ask about.
    pub words: Vec<WordPlace>,
    /// Where the result lies, and how many bytes it takes.
    pub result: (u32, u32),
    /// Bytes of a row.
    pub bytes: u32,
}

/// What a row says of a word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WordPlace {
    /// The number of the word in the key.
    pub word: usize,
    /// Where its lowest value lies; behind it how far the highest is above.
    pub offset: u32,
    /// Bytes of each of the two.
    pub size: u32,
}

impl RowLayout {
    /// For a key of words of these widths in bits, those of them that are `asked`, a bit each, and an image of so many
    /// trees.
    pub fn of(words: &[u8], asked: u8, trees: usize) -> RowLayout {
        let size = |word: usize| u32::from(words[word]).div_ceil(8).next_power_of_two();
        let mut order: Vec<usize> = (0..words.len()).filter(|word| asked & 1 << word > 0).collect();
        order.sort_by_key(|word| std::cmp::Reverse(size(*word)));
        let (mut places, mut offset) = (Vec::new(), 0);
        for word in order {
            places.push(WordPlace { word, offset, size: size(word) });
            offset += 2 * size(word);
        }
        let size = if trees > 1 { 8 } else { 4 };
        let result = offset.next_multiple_of(size);
        let align = places.iter().map(|place| place.size).fold(size, u32::max);
        RowLayout { words: places, result: (result, size), bytes: (result + size).next_multiple_of(align) }
    }

    /// The words that rows ask about, a bit each.
    pub fn asked(&self) -> u8 {
        self.words.iter().fold(0, |asked, place| asked | 1 << place.word)
    }
}

/// A table made ready to be walked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Image {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// By tree, where the parts of its rows lie.
    pub trees: Vec<RowLayout>,
    /// Nodes on the longest way, without the root.
    pub levels: u32,
    /// Rows of the longest list.
    pub most_rows: u32,
}

/// An image of at least so many bytes is kept.
const LARGE: usize = 1 << 20;

/// An image, and what it was written for.
#[derive(Debug)]
pub(super) struct Kept {
    slots: Vec<u8>,
    results: Arc<Vec<u32>>,
    image: Arc<Image>,
}

impl Kept {
    fn find(&self, table: &Table, slots: &[u8]) -> Option<&Arc<Image>> {
        (self.slots == slots && self.results == table.results).then_some(&self.image)
    }
}

impl Image {
    /// Writes a table; `None` if its rows cannot be cut apart, or take more than `most` bytes. A program has `slots` for
    /// trees, and asks in each for certain words, a bit each: a tree gets the narrowest that asks for all of its own, or
    /// else one more. Those that are left over are empty.
    ///
    /// A large one is written once for all copies of a table.
    pub fn of(table: &Table, most: usize, slots: &[u8]) -> Option<Arc<Image>> {
        let kept = &table.cuts()?.image;
        if let Some(image) = kept.get().and_then(|kept| kept.find(table, slots)) {
            return Some(image.clone()).filter(|image| image.bytes.len() <= most);
        }
        let image = Arc::new(Image::write(table, most, slots)?);
        if image.bytes.len() >= LARGE {
            kept.get_or_init(|| Kept {
                slots: slots.to_vec(),
                results: table.results.clone(),
                image: image.clone(),
            });
        }
        Some(image)
    }

    fn write(table: &Table, most: usize, slots: &[u8]) -> Option<Image> {
        let trees = table.trees()?;
        let (asked, places) = places(trees, slots);
        let count = asked.len();
        let layouts = asked.iter().map(|asked| RowLayout::of(table.words(), *asked, count)).collect();
        let image = Image { bytes: Vec::new(), trees: layouts, levels: 0, most_rows: 0 };
        let mut writer = Writer {
            table,
            most,
            tree: 0,
            written: Vec::new(),
            singles: vec![0; table.len()],
            nothing: 0,
            lists: FastMap::default(),
            image,
        };
        writer.room(ROOT as usize * count, 1)?;
        for slot in 0..count {
            writer.open(slot);
            match places.iter().position(|place| *place == slot) {
                Some(tree) => writer.tree(&trees[tree])?,
                None => writer.root(&Cells::default())?,
            }
        }
        Some(writer.image)
    }

    /// What a program finds for a key.
    pub fn find(&self, key: &[u64]) -> u32 {
        let found = (0..self.trees.len()).map(|tree| self.walk(tree, key));
        found.max().unwrap_or(0) as u32
    }

    fn walk(&self, tree: usize, key: &[u64]) -> u64 {
        let root = tree * ROOT as usize;
        let mut reference = self.child(root, self.number(root + CHILDREN as usize, 4) as usize, key);
        loop {
            let place = (reference >> PLACE) as usize * UNIT as usize;
            match reference & ((1 << PLACE) - 1) {
                0 => reference = self.child(place, place + HEADER as usize, key),
                rows => return self.list(&self.trees[tree], key, place, rows as usize),
            }
        }
    }

    /// The reference to the child of a node for a key.
    fn child(&self, node: usize, references: usize, key: &[u64]) -> u64 {
        let field = |at: u32, size: u32| self.number(node + at as usize, size);
        let word = key[field(WORD, 1) as usize / 8];
        let step = word.wrapping_sub(field(BASE, 8)) >> field(SHIFT, 1);
        let child = step.min(field(LAST, 4)) as usize;
        self.number(references + REFERENCE as usize * child, REFERENCE)
    }

    fn list(&self, layout: &RowLayout, key: &[u64], first: usize, rows: usize) -> u64 {
        for row in 0..rows {
            let at = first + row * layout.bytes as usize;
            let holds = layout.words.iter().all(|&WordPlace { word, offset, size }| {
                let low = self.number(at + offset as usize, size);
                key[word].wrapping_sub(low) <= self.number(at + (offset + size) as usize, size)
            });
            if holds {
                return self.number(at + layout.result.0 as usize, layout.result.1);
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

/// The words that the program asks for in each slot, and the slots of the trees.
fn places(trees: &[Tree], slots: &[u8]) -> (Vec<u8>, Vec<usize>) {
    let (mut asked, mut places) = (slots.to_vec(), Vec::new());
    for tree in trees {
        let fits = |slot: &usize| asked[*slot] & tree.words == tree.words && !places.contains(slot);
        let narrowest = (0..asked.len()).filter(fits).min_by_key(|slot| asked[*slot].count_ones());
        places.push(narrowest.unwrap_or(asked.len()));
        if narrowest.is_none() {
            asked.push(tree.words);
        }
    }
    (asked, places)
}

struct Writer<'a> {
    table: &'a Table,
    most: usize,
    /// The number of the tree that is written.
    tree: usize,
    /// By node of the tree, the reference to it, 0 if it is not written yet.
    written: Vec<u32>,
    /// By row, the same of the list of it alone.
    singles: Vec<u32>,
    /// The same of the list of none.
    nothing: u32,
    /// References to other lists of the tree, by their rows.
    lists: FastMap<Vec<u32>, u32>,
    image: Image,
}

impl Writer<'_> {
    /// What a walk gives that ends at a row.
    fn found(&self, row: u32) -> u64 {
        let result = u64::from(self.table.row(row as usize).result);
        let rank = u64::from(self.table.rank(row));
        if self.image.trees.len() > 1 { rank << 32 | result } else { result }
    }

    fn layout(&self) -> &RowLayout {
        &self.image.trees[self.tree]
    }

    /// Begins with a tree: lists of others have other layouts.
    fn open(&mut self, tree: usize) {
        self.tree = tree;
        self.lists.clear();
        self.nothing = 0;
    }

    /// Writes a tree with what it finds at most, or nothing if it does not fit.
    fn tree(&mut self, tree: &Tree) -> Option<()> {
        let most = self.found(tree.first) | u64::from(u32::MAX);
        let at = self.tree * ROOT as usize + MOST as usize;
        self.image.bytes[at..at + 8].copy_from_slice(&most.to_le_bytes());
        self.root(&tree.cells)
    }

    /// Writes a tree's root and what is below it. One that is a list is below a node with one child.
    fn root(&mut self, cells: &Cells) -> Option<()> {
        self.written = vec![0; cells.cuts()];
        let at = self.tree * ROOT as usize;
        let (node, parts) = match cells.node(cells.root) {
            Some(node) => (Some(node), node.parts.as_slice()),
            None => (None, slice::from_ref(&cells.root)),
        };
        let references = self.room(REFERENCE as usize * parts.len(), UNIT as usize)?;
        self.put(at + CHILDREN as usize, references as u32);
        if let Some(node) = node {
            self.header(at, node);
        }
        self.children(references, cells, parts, 0)
    }

    /// Writes a node and what is below it; its reference, or nothing if it does not fit.
    fn node(&mut self, cells: &Cells, node: &Node, level: u32) -> Option<u32> {
        let bytes = HEADER as usize + REFERENCE as usize * node.parts.len();
        let at = self.room(bytes, UNIT as usize)?;
        self.header(at, node);
        self.image.levels = self.image.levels.max(level);
        self.children(at + HEADER as usize, cells, &node.parts, level)?;
        Some(reference(at, 0))
    }

    fn header(&mut self, at: usize, node: &Node) {
        let header = &mut self.image.bytes[at..at + HEADER as usize];
        header[BASE as usize..][..8].copy_from_slice(&node.base.to_le_bytes());
        header[LAST as usize..][..4].copy_from_slice(&(node.parts.len() as u32 - 1).to_le_bytes());
        header[SHIFT as usize] = node.shift;
        header[WORD as usize] = 8 * node.word as u8;
    }

    /// Writes what is below a node of a level, and the references to it.
    fn children(&mut self, references: usize, cells: &Cells, parts: &[Cell], level: u32) -> Option<()> {
        for (nth, cell) in parts.iter().enumerate() {
            let reference = match *cell {
                // Neighbours may share what is behind them.
                Cell::Node(number) if self.written[number as usize] > 0 => self.written[number as usize],
                Cell::Node(number) => {
                    let reference = self.node(cells, cells.node(*cell)?, level + 1)?;
                    self.written[number as usize] = reference;
                    reference
                }
                _ => self.list(cells.rows(cell))?,
            };
            self.put(references + REFERENCE as usize * nth, reference);
        }
        Some(())
    }

    /// A reference to a list of these rows, which may be there already.
    fn list(&mut self, rows: &[u32]) -> Option<u32> {
        let known = match rows {
            [] => Some(self.nothing).filter(|reference| *reference > 0),
            [row] => Some(self.singles[*row as usize]).filter(|reference| *reference > 0),
            _ => self.lists.get(rows).copied(),
        };
        if known.is_some() {
            return known;
        }
        let reference = self.new_list(rows)?;
        match rows {
            [] => self.nothing = reference,
            [row] => self.singles[*row as usize] = reference,
            _ => drop(self.lists.insert(rows.to_vec(), reference)),
        }
        Some(reference)
    }

    fn new_list(&mut self, rows: &[u32]) -> Option<u32> {
        let row_bytes = self.layout().bytes as usize;
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
        let found = self.found(row);
        let row = self.table.row(row as usize);
        let Image { bytes, trees, .. } = &mut self.image;
        let layout = &trees[self.tree];
        let mut put = |offset: u32, number: u64, size: u32| {
            let (at, size) = (at + offset as usize, size as usize);
            bytes[at..at + size].copy_from_slice(&number.to_le_bytes()[..size]);
        };
        for WordPlace { word, offset, size } in &layout.words {
            let (low, high) = row.ranges[*word];
            put(*offset, low, *size);
            put(offset + size, high - low, *size);
        }
        put(layout.result.0, found, layout.result.1);
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

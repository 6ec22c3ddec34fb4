//! Many alike questions as one structure in memory: first match over boxes.
//!
//! A [`Table`] is a list of rows; a row is a box, a range for each word of the key, and a result.
//! Its meaning is [`Table::find`]: the result of the first row that holds the key. What runs is an
//! [`Image`]: trees that cut the space of keys into cells until few rows are left in each, as bytes
//! that a program walks ([`image`]) and that user space can change while it does. Which rows share a
//! tree is decided in [`groups`], how it cuts the space in [`cuts`].

pub mod image;

mod cuts;
mod groups;

pub use image::Image;

/// A range for each word, both ends in it, and what a key inside all of them gives.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Row {
    /// By word.
    pub ranges: Vec<(u64, u64)>,
    /// Not 0, which is for keys that no row holds.
    pub result: u32,
}

impl Row {
    fn holds(&self, key: &[u64]) -> bool {
        self.ranges.iter().zip(key).all(|(range, word)| (range.0..=range.1).contains(word))
    }
}

/// Rows in the order in which they are tried.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Table {
    /// Width in bits of each word of the key, up to 64.
    pub words: Vec<u8>,
    /// The rows.
    pub rows: Vec<Row>,
}

/// Keys have at most so many words: an image has three bits for the number of one.
pub const MOST_WORDS: usize = 8;

/// A range of values of so many bits as ranges of one word, or as boxes of a high and a low one: up to three, and
/// none if it lies beyond them.
pub fn boxes(bits: u8, (low, high): (u128, u128)) -> Vec<Vec<(u64, u64)>> {
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
    /// Whether the rows can be cut apart, so that there is an [`Image`].
    pub fn parts(&self) -> bool {
        groups::groups(self).into_iter().all(|rows| cuts::Cutter::new(self).cut(rows).is_some())
    }

    /// The result of the first row that holds the key; 0 if none does.
    pub fn find(&self, key: &[u64]) -> u32 {
        self.rows.iter().find(|row| row.holds(key)).map_or(0, |row| row.result)
    }
}

#[cfg(test)]
mod tests;

//! How far a walk through a table goes.

use super::{Image, Table};

/// What a packet that meets nothing goes through, on average over keys whose words come from rows far apart.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Shape {
    /// Trees, each of which is walked.
    pub trees: usize,
    /// Inner nodes of all trees.
    pub levels: f64,
    /// Lists with rows.
    pub lists: f64,
    /// Rows that are tried.
    pub rows: f64,
    /// Bytes of the image.
    pub bytes: usize,
}

/// So many keys are followed.
const KEYS: usize = 256;

impl Table {
    /// How far walks go; `None` if the rows cannot be cut apart.
    pub fn shape(&self) -> Option<Shape> {
        let trees = self.trees()?;
        let bytes = Image::of(self, u32::MAX as usize, &[])?.bytes.len();
        let mut shape = Shape { trees: trees.len(), levels: 0.0, lists: 0.0, rows: 0.0, bytes };
        let keys = self.len().min(KEYS);
        for nth in 0..keys {
            let key = self.mixed_key(nth * self.len() / keys);
            for tree in trees {
                let (levels, rows) = tree.cells.way(&key);
                shape.levels += levels as f64 / keys as f64;
                shape.lists += f64::from(u8::from(!rows.is_empty())) / keys as f64;
                shape.rows += rows.len() as f64 / keys as f64;
            }
        }
        Some(shape)
    }

    /// How many rows a walk through all trees tries on average, without an image being made; `None` if they cannot be
    /// cut apart.
    pub fn tried(&self) -> Option<f64> {
        let (trees, keys) = (self.trees()?, self.len().min(KEYS));
        let rows = |nth: usize| {
            let key = self.mixed_key(nth * self.len() / keys);
            trees.iter().map(|tree| tree.cells.way(&key).1.len()).sum::<usize>()
        };
        Some((0..keys).map(rows).sum::<usize>() as f64 / keys.max(1) as f64)
    }

    /// Each word from another row.
    fn mixed_key(&self, row: usize) -> Vec<u64> {
        let words = 0..self.words().len();
        let apart = self.len() / self.words().len().max(1) + 1;
        words.map(|word| self.row((row + word * apart) % self.len()).ranges[word].0).collect()
    }
}

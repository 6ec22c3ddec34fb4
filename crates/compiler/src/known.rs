//! What was made of the files of sets before.
//!
//! A policy that runs is compiled again for each statement that stands in it against an attack. To read a file of a million elements
//! and to find how they are cut apart takes most of a second, and it is the same file each time. So a [`Loader`](crate::Loader) may
//! know what was made of the files that it gives.

use crate::policy::{Part, ValueType};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Shorter files are read again: that takes no time.
const LEAST_BYTES: usize = 64 * 1024;

/// Of so many files it is known; those that were asked for last.
const MOST: usize = 4;

/// Elements of constant sets, by the texts of their files. They share what they hold with the policies that have them.
#[derive(Debug, Default)]
pub struct Known(Mutex<Vec<File>>);

#[derive(Debug)]
struct File {
    text: String,
    types: Vec<ValueType>,
    parts: Vec<Part>,
}

impl Known {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.files().is_empty()
    }

    fn files(&self) -> MutexGuard<'_, Vec<File>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The parts of a set of these types that has the elements of a file with this text, and no others.
    pub(crate) fn parts(&self, text: &str, types: &[ValueType]) -> Option<Vec<Part>> {
        let mut files = self.files();
        let is_it = |file: &File| file.types == types && file.text == text;
        let found = files.iter().position(is_it)?;
        let file = files.remove(found);
        let parts = file.parts.clone();
        files.push(file);
        Some(parts)
    }

    /// That these are the parts.
    pub(crate) fn keep(&self, text: &str, types: &[ValueType], parts: &[Part]) {
        if text.len() < LEAST_BYTES {
            return;
        }
        let mut files = self.files();
        if files.len() == MOST {
            files.remove(0);
        }
        files.push(File { text: text.to_owned(), types: types.to_vec(), parts: parts.to_vec() });
    }
}

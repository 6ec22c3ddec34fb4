//! What a journal keeps, whatever happens to it.

#![allow(clippy::print_stdout, reason = "a skipped test says why")]

mod common;
mod kept;
mod kills;
mod trouble;

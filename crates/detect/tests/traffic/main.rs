//! The detection of floods, by its promises: who is told of, when, how surely, and never for nothing.

#![allow(clippy::print_stdout, reason = "a skipped test says why")]

mod baselines;
mod captures;
mod common;
mod estimates;
mod floods;
mod merging;
mod quiet;
mod services;

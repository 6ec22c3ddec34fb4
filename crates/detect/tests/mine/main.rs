//! The miner, judged by the compiler's own evaluator: every statement must compile, and match on whole frames what
//! the miner says that it matches.

#![allow(clippy::print_stdout, reason = "a skipped test says why, and what is found is for people")]

mod attacks;
mod captures;
mod judge;
mod properties;
mod recorded;
mod traffic;

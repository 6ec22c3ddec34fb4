//! sFlow: what holds for any bytes, and what tools make of ours that no one here wrote.
//!
//! Where a tool is missing, its test says so by its name and counts as skipped; with `WEIR_REQUIRE_KERNEL=1` that is a
//! failure.

#![allow(clippy::print_stdout, reason = "a skipped test says why, and figures are for people")]

mod common;

mod captures;
mod collectors;
mod malformed;
mod parser;
mod properties;
mod tshark;

//! Weir against tools that no one here wrote: tshark, tcpdump, bpftool, LLVM and a second loader.

#![allow(clippy::print_stdout, reason = "a skipped test says why, and figures are for people")]

mod common;

mod balance;
mod decap;
mod objects;
mod tcpdump;
mod tshark;

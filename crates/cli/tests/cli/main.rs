//! The `weir` command as its users meet it: as a process.

mod common;

mod analyze;
mod attached;
mod bad_input;
mod compile;
mod demo;
mod diff;
mod examples;
mod fleet;
mod import;
mod metrics;
mod protect;
mod replay;
mod sflow;
mod terminal;

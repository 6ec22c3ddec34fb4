//! Tests that need a kernel and its privileges.
//!
//! Without privileges each says so by its name and counts as skipped; with `WEIR_REQUIRE_KERNEL=1` that is a failure.
//! Namespaces, pins and links are guards, so that they go also after a panic. Traffic stays in namespaces made here.

mod attach;
mod bench;
mod load;
mod maps;
mod netns;
mod pins;
mod probe;
mod programs;
mod rings;
mod run;
mod support;

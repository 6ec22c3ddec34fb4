//! Bytes and meaning in user space: nothing here asks a kernel or sends a packet.
//!
//! * [`capture`] reads and writes pcap and pcapng files;
//! * [`checksum`] sums, updates, verifies and repairs Internet checksums;
//! * [`build`] makes frames of well-known protocols for traffic and tests;
//! * [`layers`] finds where the headers of a frame are;
//! * [`random`] draws numbers that a seed names for ever, for frames and policies made at random;
//! * [`view`] shows a frame as one line for people.

pub mod build;
pub mod capture;
pub mod checksum;
pub mod layers;
mod mac;
pub mod random;
pub mod view;

pub use mac::{Mac, NotAMac};

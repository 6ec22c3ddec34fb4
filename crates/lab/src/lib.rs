//! A network on one machine: hosts are namespaces, cables are veth pairs, traffic is real.
//!
//! * [`Topology`] describes hosts and links and builds a [`Lab`]; dropping it removes all of it;
//! * [`ready`] has topologies to start from: clients – edge – servers;
//! * [`wire`] sends, counts and records frames on an interface;
//! * [`traffic`] makes frames: floods, everyday traffic, captures; a seed names them for ever;
//! * [`service`] has what runs on hosts: an HTTP server, a UDP echo, and clients that measure; nginx and wrk as well;
//! * [`program`] runs what others wrote on hosts;
//! * [`sweep()`] removes what killed processes left behind.
//!
//! Nothing is sent outside of namespaces that were made here. Threads and programs end with the
//! process, so a kill leaves no more than names of namespaces and a few files, which the next
//! [`Topology::build`] or [`sweep()`] removes.

mod error;
mod lab;
pub mod program;
pub mod ready;
pub mod service;
mod sweep;
mod topology;
pub mod traffic;
pub mod wire;

pub use error::LabError;
pub use lab::{Host, Interface, Lab, LinkState};
pub use sweep::sweep;
pub use topology::{End, HostSpec, Link, NotAPrefix, Prefix, Topology};

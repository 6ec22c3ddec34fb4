//! Samples and counters to collectors, as sFlow version 5.
//!
//! * [`Agent`] says what is sent when: samples, time and counters in, datagrams out. It has no sockets and no clock.
//! * [`Collectors`] send datagrams by UDP. What becomes of them changes nothing else.
//! * [`Exporter`] puts the two together for an instance; whoever reads its samples hands them on.
//!
//! # How a policy looks to a collector
//! Each statement that samples is a sender of its own (a sub-agent), as it has an N, a pool and losses of its own; with
//! one statement there is one. In it each interface is a source. Programs count pools for each CPU and not for each
//! interface: what the pool grew by between two samples of a CPU is counted for the interface of the second one
//! ([`pool`]). So the sum over interfaces is exact, and with one interface its part is, too. The interfaces' counters go
//! with the first sender, by interface; those of statements too, as counters of the host (source 2:1).

mod agent;
mod collectors;
mod exporter;
mod interfaces;
pub mod pool;

pub use agent::{Agent, Counted, Dropped, Settings};
pub use collectors::{Collector, CollectorStatus, Collectors};
pub use exporter::Exporter;

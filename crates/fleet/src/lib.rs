//! Many machines: policies and mitigations in etcd, edges that run them, analysers that decide.
//!
//! ```text
//!  people ── policies ──► etcd ◄── mitigations ── analyser (one leads, all hear everything)
//!                          │                          ▲
//!                          ▼                          │ sFlow
//!                        edges ───────────────────────┘
//! ```
//!
//! | module | what |
//! |---|---|
//! | [`etcd`] | a copy of what etcd has, keys that go with their owner, transactions |
//! | [`keys`] | where things stand there |
//! | [`policy`] | policies there, with the files that they name |
//! | [`edge`] | runs what etcd says |
//! | [`listener`] | sFlow datagrams that agents and other analysers send |
//! | [`analyser`] | decides what etcd should say |
//!
//! etcd has the desired state and nothing else does: whoever lost it keeps what it has, and takes what etcd says when it is
//! back.

pub mod analyser;
pub mod edge;
mod error;
pub mod etcd;
pub mod keys;
pub mod listener;
mod mitigation;
pub mod policy;

pub use analyser::Analyser;
pub use edge::Edge;
pub use error::Error;
pub use listener::Listener;

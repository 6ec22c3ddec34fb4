//! What an edge says of itself.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// What it runs and what it counts: the value of its key in etcd.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Report {
    /// The name of its policy.
    pub policy: String,
    /// Whether anything runs.
    pub running: bool,
    /// The revision of the policy that runs; 0 as long as etcd's is not known.
    pub revision: i64,
    /// Why a newer one does not.
    pub trouble: Option<Trouble>,
    /// Mitigations that run, by number, with the packets that they were hit by here.
    pub mitigations: BTreeMap<String, u64>,
    /// Packets by statement, of those that have the most.
    pub packets: BTreeMap<String, u64>,
    /// The set of its policy whose sources it leaves out of all of them, whatever is added to it.
    pub never: Option<String>,
    /// Those that were refused, and why.
    pub refused: BTreeMap<String, String>,
    /// The address that its samples come from.
    pub agent: Option<IpAddr>,
    /// Since when it is there, in seconds since 1970.
    pub since: u64,
}

/// A policy that was refused.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Trouble {
    /// The revision that brought it; 0 if it could not be read.
    pub revision: i64,
    /// What is wrong with it.
    pub why: String,
}

//! What statements counted.

use serde::Serialize;

/// The counters of one statement, over all CPUs and all reloads since the name is in the policy.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct StatementCounters {
    /// The statement's name; `default` for packets that no statement decided.
    pub name: String,
    /// The verb: `pass`, `drop`, `count`, `limit`; for `default` what happens to them.
    pub action: String,
    /// Counts what it would do and does nothing.
    pub shadow: bool,
    /// Packets that it applied to.
    pub packets: u64,
    /// Their bytes, without FCS.
    pub bytes: u64,
    /// Of these, packets over the limit, where it is one.
    pub over_packets: u64,
    /// Their bytes.
    pub over_bytes: u64,
}

/// What the program counts beside statements.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Statistics {
    /// Captures that found the ring full.
    pub captures_lost: u64,
    /// Buckets of limits that were taken from keys that still needed them: a `max` is too small.
    pub evictions: u64,
}

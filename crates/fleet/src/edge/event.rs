//! What happens at an edge.

use serde::Serialize;
use std::fmt;

/// Something that an edge saw or did.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// etcd is there.
    Found,
    /// etcd is not there: what runs runs on.
    Lost {
        /// Why.
        why: String,
    },
    /// etcd has no policy of the name, and nothing runs yet.
    NoPolicy {
        /// The name.
        name: String,
    },
    /// A policy runs.
    Runs {
        /// Its name.
        policy: String,
        /// The revision of etcd that brought it.
        revision: i64,
    },
    /// A policy or a mitigation is not taken: what ran runs on.
    Refused {
        /// Which.
        what: String,
        /// Why.
        why: String,
    },
    /// A mitigation runs.
    Mitigates {
        /// Its name.
        name: String,
        /// Whether it only counts.
        shadow: bool,
    },
    /// A mitigation runs no more.
    Ended {
        /// Its name.
        name: String,
        /// Packets that it was hit by here.
        hits: u64,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Found => f.write_str("etcd is there"),
            Event::Lost { why } => write!(f, "{why}; what runs runs on"),
            Event::NoPolicy { name } => {
                write!(f, "etcd has no policy `{name}` yet: put it there with `weir fleet publish`")
            }
            Event::Runs { policy, revision } => write!(f, "policy `{policy}` of revision {revision} runs"),
            Event::Refused { what, why } => write!(f, "{what} is refused: {why}"),
            Event::Mitigates { name, shadow: true } => write!(f, "`{name}` is tried in shadow"),
            Event::Mitigates { name, shadow: false } => write!(f, "`{name}` runs"),
            Event::Ended { name, hits } => write!(f, "`{name}` ended after {hits} packets"),
        }
    }
}

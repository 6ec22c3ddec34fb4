//! What happens at an analyser.

use serde::Serialize;
use std::fmt;
use weir_detect::defence;

/// Something that an analyser saw or did.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Event {
    /// When, in nanoseconds of `CLOCK_MONOTONIC`.
    pub time_ns: u64,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What it was.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(untagged)]
pub enum What {
    /// Of attacks and mitigations; only the one that decides tells.
    Defence(defence::What),
    /// Of the fleet.
    Fleet(Fleet),
}

/// What happened in the fleet.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Fleet {
    /// etcd is there.
    Found,
    /// etcd is not there: nothing is decided until it is back.
    Lost {
        /// Why.
        why: String,
    },
    /// This analyser decides from here on.
    Leads,
    /// Another one does.
    Follows,
    /// Something of sFlow.
    Heard {
        /// In words.
        told: String,
    },
    /// What was decided could not be written.
    Trouble {
        /// Why.
        why: String,
    },
}

impl From<defence::Event> for Event {
    fn from(event: defence::Event) -> Event {
        Event { time_ns: event.time_ns, what: What::Defence(event.what) }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            What::Defence(what) => what.fmt(f),
            What::Fleet(what) => what.fmt(f),
        }
    }
}

impl fmt::Display for Fleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fleet::Found => f.write_str("etcd is there"),
            Fleet::Lost { why } => write!(f, "{why}; nothing is decided until it is back"),
            Fleet::Leads => f.write_str("this analyser decides"),
            Fleet::Follows => f.write_str("another analyser decides"),
            Fleet::Heard { told } => f.write_str(told),
            Fleet::Trouble { why } => write!(f, "nothing is decided: {why}"),
        }
    }
}

//! What the detection says.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::config::Rate;
use super::estimate::Estimate;
use super::prefix::Prefix;

/// Whom traffic goes to.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Victim {
    /// One address.
    Host(IpAddr),
    /// All addresses of a prefix together.
    Prefix(Prefix),
    /// What the configuration calls so.
    Service(String),
}

impl fmt::Display for Victim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Victim::Host(address) => address.fmt(f),
            Victim::Prefix(prefix) => prefix.fmt(f),
            Victim::Service(name) => f.write_str(name),
        }
    }
}

/// Something happened to an alert.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// It is new.
    Began(Alert),
    /// Its traffic is at least twice what was said of it last.
    Grew(Alert),
    /// It is over: the victim's traffic was low for long enough.
    Ended(Alert),
}

impl Event {
    /// The alert as it was then.
    pub fn alert(&self) -> &Alert {
        match self {
            Event::Began(alert) | Event::Grew(alert) | Event::Ended(alert) => alert,
        }
    }
}

/// More traffic to one victim than there should be. All times are those of samples.
#[derive(Clone, PartialEq, Debug)]
pub struct Alert {
    /// No other alert of this detector has it.
    pub id: u64,
    /// Whom it is about.
    pub victim: Victim,
    /// The victim's addresses, as prefixes of which none is in another: those of a service are several.
    pub prefixes: Vec<Prefix>,
    /// The highest rate of packets so far, by its lower bound. At the beginning the attack fills only a part of the
    /// window, so it is too low then, never too high.
    pub packets_per_second: Estimate,
    /// The highest rate of bits so far, likewise.
    pub bits_per_second: Estimate,
    /// How long the window was that the rates are of.
    pub window: Duration,
    /// How many samples were in it.
    pub samples: u32,
    /// What is usual for the victim at this hour, if that is known.
    pub usual: Option<Rate>,
    /// What it took to be one.
    pub limit: Rate,
    /// When it began.
    pub since: Duration,
    /// When the window had its first sample.
    pub first: Duration,
    /// How many sources there are, about; counted from half of the limit on.
    pub sources: u64,
    /// Which share of the packets was dropped, as far as their fate is known; counted like the sources.
    pub dropped: f64,
}

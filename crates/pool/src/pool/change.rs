//! What a change of a pool brings with it: stores for packets, and events for people.

use std::fmt;
use std::time::Duration;

use super::backend::STEPS;
use super::{AllDown, Endpoint};
use crate::slots::Update;

/// A change of a pool that has been made.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Change {
    /// The slots to store.
    pub updates: Vec<Update>,
    /// What happened, in this order.
    pub events: Vec<Event>,
}

/// What happened to a backend.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// When.
    pub at: Duration,
    /// To whom.
    pub backend: Endpoint,
    /// What.
    pub what: What,
    /// How the pool is after it.
    pub pool: Summary,
}

/// The kinds of events.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum What {
    /// It is new.
    Added {
        /// With this weight.
        weight: u16,
    },
    /// It was taken out.
    Removed,
    /// It takes no new flows.
    Draining {
        /// It is removed then.
        deadline: Duration,
    },
    /// Its deadline has passed, so it was removed.
    Drained,
    /// It takes new flows again.
    Undrained,
    /// It has another weight.
    Weighed {
        /// Before.
        from: u16,
        /// Now.
        to: u16,
    },
    /// Checks succeed.
    Up,
    /// Checks fail.
    Down {
        /// Why.
        reason: String,
    },
    /// More of its weight counts.
    Warmer {
        /// So many parts of [`STEPS`].
        step: u32,
    },
}

/// A pool in a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Summary {
    /// How many backends take new flows.
    pub taking: usize,
    /// How many there are.
    pub of: usize,
    /// What happens if none takes any.
    pub all_down: AllDown,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "backend {} {}; {}", self.backend, self.what, self.pool)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added { weight } => write!(f, "was added with weight {weight}"),
            Self::Removed => write!(f, "was removed"),
            Self::Draining { .. } => write!(f, "is draining"),
            Self::Drained => write!(f, "was removed: the deadline of its drain has passed"),
            Self::Undrained => write!(f, "is no longer draining"),
            Self::Weighed { from, to } => write!(f, "has weight {to} instead of {from}"),
            Self::Up => write!(f, "is up"),
            Self::Down { reason } => write!(f, "is down: {reason}"),
            Self::Warmer { step } => write!(f, "takes {step} of {STEPS} parts of its weight"),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary { taking, of, all_down } = self;
        match (taking, all_down) {
            (1.., _) => write!(f, "{taking} of {of} take new flows"),
            (0, AllDown::All) => write!(f, "none of {of} is well, so all are used as if they were"),
            (0, AllDown::Pass) => write!(f, "none of {of} is well, so packets pass untouched"),
            (0, AllDown::Drop) => write!(f, "none of {of} is well, so packets are dropped"),
        }
    }
}

//! A mitigation that runs here.

use std::time::Duration;
use weir_detect::life::Hits;

/// Its text, and what it is hit by. Times are of the machine's clock.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    pub(super) name: String,
    pub(super) text: String,
    pub(super) hits: Hits,
    since: Duration,
}

impl Standing {
    pub(super) fn new(name: String, text: String, now: Duration) -> Standing {
        Standing { name, text, hits: Hits::new(now), since: now }
    }

    /// One that an edge before this one left: how it was hit nobody knows.
    pub(super) fn left(name: String, text: String, now: Duration) -> Standing {
        Standing { hits: Hits::going_on(0, 0.0, now), ..Standing::new(name, text, now) }
    }

    /// The same with another text, as when it is enforced.
    pub(super) fn with(self, text: String, now: Duration) -> Standing {
        match self.text == text {
            true => self,
            false => Standing { hits: self.hits.of_another(now), text, ..self },
        }
    }

    /// Whether it goes, if nobody else decides.
    pub(super) fn is_over(&self, idle: Duration, longest: Duration, now: Duration) -> bool {
        self.hits.is_idle(idle, now) || now.saturating_sub(self.since) >= longest
    }
}

//! A mitigation that runs here.

use std::time::{Duration, Instant};

/// Its text, and what it is hit by.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    pub(super) name: String,
    pub(super) text: String,
    pub(super) hits: u64,
    since: Instant,
    last_hit: Instant,
}

impl Standing {
    pub(super) fn new(name: String, text: String) -> Standing {
        let now = Instant::now();
        Standing { name, text, hits: 0, since: now, last_hit: now }
    }

    /// The same with another text, as when it is enforced.
    pub(super) fn with(self, text: String) -> Standing {
        Standing { text, ..self }
    }

    /// What its counter says.
    pub(super) fn hit(&mut self, packets: u64) {
        if packets != self.hits {
            (self.hits, self.last_hit) = (packets, Instant::now());
        }
    }

    /// Its time begins now.
    pub(super) fn begin_anew(&mut self) {
        self.last_hit = Instant::now();
    }

    /// Whether it goes, if nobody else decides.
    pub(super) fn is_over(&self, idle: Duration, longest: Duration) -> bool {
        self.last_hit.elapsed() >= idle || self.since.elapsed() >= longest
    }
}

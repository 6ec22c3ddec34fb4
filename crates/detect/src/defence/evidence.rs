//! The samples that a mitigation was found by.

use super::recent::Kept;
use crate::sample::Sample;
use std::sync::Arc;

/// Samples of an attack, and the good ones that they were compared with.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// The mitigation's number.
    pub mitigation: u64,
    samples: Arc<Compared>,
}

/// What the miner looked at. Statements that were found together share it.
#[derive(Debug, Default)]
pub(super) struct Compared {
    pub(super) attack: Vec<Kept>,
    pub(super) good: Vec<Kept>,
}

impl Evidence {
    pub(super) fn new(mitigation: u64, samples: &Arc<Compared>) -> Evidence {
        Evidence { mitigation, samples: Arc::clone(samples) }
    }

    /// Those of the attack, the oldest first.
    pub fn attack(&self) -> impl DoubleEndedIterator<Item = Sample<'_>> {
        self.samples.attack.iter().map(Kept::sample)
    }

    /// The good ones, likewise.
    pub fn good(&self) -> impl DoubleEndedIterator<Item = Sample<'_>> {
        self.samples.good.iter().map(Kept::sample)
    }
}

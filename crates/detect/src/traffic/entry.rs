//! What is kept of one destination.

use super::config::Limit;
use super::window::{HORIZONS, LONGEST, Moment, Windows};

/// Windows, and from which rates on they are worth a look.
#[derive(Clone, Debug, Default)]
pub(super) struct Entry {
    pub(super) windows: Windows,
    /// The limit that its baseline gives it, in the era that it was looked up in; before that, that of the table.
    pub(super) limit: Limit,
    pub(super) era: u32,
    /// Whether it is among those whose baseline is learnt.
    pub(super) is_notable: bool,
    /// One more than the index of its suspicion; 0 if there is none.
    pub(super) suspicion: u32,
}

impl Entry {
    /// Whether a horizon has half of what an alert takes, in samples and in traffic.
    pub(super) fn is_suspect(&self, now: &Moment, limit: &Limit, samples: u32) -> bool {
        (0..HORIZONS.len()).any(|level| {
            let sums = self.windows.over(level, now);
            sums.samples.saturating_mul(2) >= samples && limit.is_part_reached(2, &sums, level)
        })
    }

    /// Whether its last ten seconds have this part of what an alert takes.
    pub(super) fn is_worth_learning(&self, now: &Moment, limit: &Limit, parts: u64, samples: u32) -> bool {
        let sums = self.windows.over(LONGEST, now);
        sums.samples.saturating_mul(2) >= samples && limit.is_part_reached(parts, &sums, LONGEST)
    }

    pub(super) fn limit(&self, era: u32, of_table: &Limit) -> Limit {
        if self.era == era { self.limit } else { *of_table }
    }

    pub(super) fn suspicion(&self) -> Option<usize> {
        (self.suspicion as usize).checked_sub(1)
    }
}

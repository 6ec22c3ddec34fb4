//! How samples come in.

use std::net::IpAddr;

use crate::sample::Sample;

use super::detector::Detector;
use super::entry::{is_suspect, is_worth_learning};
use super::judge::is_above;
use super::tally::Seen;
use super::window::{LONGEST, Moment};

/// Samples that are counted together, as their places are then waited for together.
const TOGETHER: usize = 32;

impl Detector {
    /// Takes a sample, and judges its destination if its last tenth of a second is suspicious. Samples are counted a few at a
    /// time: what is asked of the detector knows of those before the last [`Detector::tick`], which also says what came of
    /// them. Gives the address that it went to, if it has an IP header that can be read.
    pub fn observe(&mut self, sample: &Sample<'_>) -> Option<IpAddr> {
        let Some((seen, to)) = Seen::of(sample) else {
            self.catch_up();
            self.tally.skip(sample);
            return None;
        };
        self.waiting.push(seen);
        if self.waiting.len() == TOGETHER {
            self.catch_up();
        }
        Some(to)
    }

    /// Counts what waits.
    pub(super) fn catch_up(&mut self) {
        let mut waiting = std::mem::take(&mut self.waiting);
        self.tally.find_all(&waiting);
        waiting.drain(..).enumerate().for_each(|(at, seen)| self.count(at, &seen));
        self.waiting = waiting;
    }

    fn count(&mut self, at: usize, seen: &Seen) {
        let arrival = self.tally.arrive(seen);
        self.feed();
        let now = self.tally.clock.now();
        let (era, bounds) = (self.tally.era, self.tally.bounds);
        let Detector { tally, suspicions, config, due, notable, .. } = self;
        tally.add(at, seen, &arrival, |place, entry, of_table| {
            if let Some(suspicion) = entry.suspicion().and_then(|slot| suspicions.at_mut(slot)) {
                suspicion.see(seen);
                if suspicion.alert.is_none()
                    && now >= suspicion.rest_until
                    && is_above(&entry.over(0, &Moment::at(now)), 0, &suspicion.limit, config)
                {
                    due.push(place);
                }
                return;
            }
            if entry.is_quiet(era) {
                return;
            }
            let sums = entry.horizons(&Moment::at(now));
            if is_suspect(&sums, &entry.limit(era, of_table), bounds.samples) {
                due.push(place);
            }
            if !entry.is_notable && is_worth_learning(&sums[LONGEST], of_table, &bounds) {
                entry.is_notable = true;
                notable.push(place);
            }
            entry.looked(&sums, era, of_table, &bounds);
        });
        // Hosts first: they may explain what is around them.
        let mut due = std::mem::take(&mut self.due);
        for place in due.drain(..) {
            if let Some(slot) = self.suspect(place) {
                self.judge(slot);
            }
        }
        self.due = due;
    }
}

//! What the detection learns, once a second.

use std::time::Duration;

use super::alert::Victim;
use super::baseline::Lesson;
use super::config::Rate;
use super::detector::Detector;
use super::entry::{Bounds, is_worth_learning};
use super::judge::{estimates, freshest};
use super::tally::Place;
use super::window::LONGEST;

const HOUR: u64 = 3600;

impl Detector {
    /// Learns from the destinations whose traffic matters, but for those that have to do with an alert.
    pub(super) fn lesson(&mut self) {
        let second = self.tally.clock.now() / 1_000_000_000;
        if second == self.second || !std::mem::take(&mut self.is_fed) {
            return;
        }
        self.second = second;
        self.hour();
        let mut notable = std::mem::take(&mut self.notable);
        notable.sort_unstable();
        notable.dedup();
        notable.retain(|place| self.learn(*place));
        self.notable = notable;
        self.graduate();
    }

    fn hour(&mut self) {
        let time = self.tally.clock.shown().saturating_add(self.config.origin);
        let Some(over) = self.baselines.turn(time.as_secs() / HOUR) else { return };
        self.tally.era += 1;
        if self.is_learning {
            self.baselines.accept_over(over);
            return;
        }
        let config = &self.config;
        let floors: Vec<Rate> = (0..config.levels.len() + 2).map(|kind| config.floor_of(kind)).collect();
        let floor = |victim: &Victim| match victim {
            Victim::Service(name) => config.floor_of_service(name),
            other => self.tally.kind(other).map_or(config.floor, |kind| floors[kind]),
        };
        self.baselines.close(over, floor, &floors);
    }

    /// Whether the destination is still one to learn of.
    fn learn(&mut self, place: Place) -> bool {
        let now = self.tally.clock.moment();
        let limit = self.tally.limit(place);
        let half = Bounds { samples: self.config.samples / 2, parts: 2 * self.config.notable_parts() };
        let Some(entry) = self.tally.entry_mut(place) else { return false };
        if !entry.is_notable {
            return false;
        }
        let sums = entry.horizons(&now);
        if !is_worth_learning(&sums[LONGEST], &limit, &half) {
            entry.is_notable = false;
            entry.look_again();
            return false;
        }
        let spans = self.tally.spans(place);
        if self.suspicions.iter().any(|one| one.alert.is_some() && one.meets(&spans)) {
            return true;
        }
        let level = freshest(&sums, self.config.samples);
        let (packets, bits) = estimates(&sums[level], level, self.config.sigmas);
        let Some(victim) = self.tally.victim(place) else { return false };
        let seen = Rate { packets: packets.value, bits: bits.value };
        let floor = self.config.bounds(place.kind, place.slot).0;
        self.baselines.learn(&Lesson { victim: &victim, kind: place.kind, seen }, floor);
        true
    }

    /// The time of learning everything ends.
    fn graduate(&mut self) {
        let now = self.tally.clock.now();
        if self.is_learning && self.learn_until.is_some_and(|until| now >= until) {
            self.is_learning = false;
            self.baselines.accept();
            self.tally.era += 1;
        }
    }

    /// How long it goes on learning everything; nothing if it does not.
    pub fn learns_for(&self) -> Option<Duration> {
        let now = self.tally.clock.now();
        let left = self
            .learn_until
            .map_or(self.config.learn, |until| Duration::from_nanos(until.saturating_sub(now)));
        self.is_learning.then_some(left)
    }
}

//! What is kept of one destination.

use super::config::Limit;
use super::row::Row;
use super::window::{Arrival, HORIZONS, LONGEST, Moment, Sums, Windows};

/// Samples that are kept as they are before windows count them.
const WAITING: usize = 8;

/// The sums of all horizons.
pub(super) type Horizons = [Sums; HORIZONS.len()];

/// Windows, and from which rates on they are worth a look.
///
/// Where destinations are many, what a sample costs is memory that no cache has. So it touches two cache lines here and not
/// all eleven: samples wait beside the key until windows count them eight at a time, and windows are looked at only
/// when what came since could matter.
#[derive(Clone, Debug, Default)]
#[repr(C, align(64))]
pub(super) struct Entry {
    pub(super) key: u128,
    /// The limit that its baseline gives it, in the era that it was looked up in; before that, that of the table.
    pub(super) limit: Limit,
    /// What may come until it must be looked at again, in the era that it was last looked at.
    room: Limit,
    pub(super) era: u32,
    /// When it was looked at; 0 if it must be again.
    looked: u32,
    /// One more than the index of its suspicion; 0 if there is none.
    pub(super) suspicion: u32,
    /// Whether it is among those whose baseline is learnt.
    pub(super) is_notable: bool,
    /// Whether what may come was found without those horizons that had too few samples.
    is_partial: bool,
    /// How many samples wait.
    waits: u8,
    waiting: [Arrival; WAITING],
    windows: Windows,
}

/// From when on destinations are looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Samples that an alert takes.
    pub(super) samples: u32,
    /// A baseline is learnt from this part of a limit on.
    pub(super) parts: u64,
}

impl Entry {
    pub(super) fn of(key: u128) -> Entry {
        Entry { key, ..Entry::default() }
    }

    /// Counts a sample.
    pub(super) fn add(&mut self, arrival: &Arrival) {
        if usize::from(self.waits) == WAITING {
            self.settle();
            if self.is_partial {
                self.look_again();
            }
        }
        self.waiting[usize::from(self.waits)] = *arrival;
        self.waits += 1;
        if !self.room.spend(arrival.weight.into(), arrival.bytes()) {
            self.look_again();
        }
    }

    /// A word of each of the cache lines that a sample touches.
    pub(super) fn touch(&self) -> u32 {
        self.looked ^ self.waiting[0].weight ^ self.waiting[WAITING - 1].weight
    }

    /// The sums over one horizon.
    pub(super) fn over(&self, level: usize, now: &Moment) -> Sums {
        let mut sums = self.windows.over(level, now);
        let waiting = self.waiting().iter().filter(|arrival| arrival.is_within(level, now));
        waiting.for_each(|arrival| sums.add(&arrival.sums()));
        sums
    }

    pub(super) fn horizons(&self, now: &Moment) -> Horizons {
        std::array::from_fn(|level| self.over(level, now))
    }

    /// When the first sample of a horizon was, to the microsecond; none without one.
    pub(super) fn first(&self, level: usize, now: &Moment) -> Option<u64> {
        let waiting = self.waiting().iter().filter(|arrival| arrival.is_within(level, now));
        let waiting = waiting.map(|arrival| arrival.nanos / 1000 * 1000);
        self.windows.first(level, now).into_iter().chain(waiting).min()
    }

    /// Adds what another observer saw.
    pub(super) fn merge(&mut self, other: &Entry) {
        self.settle();
        self.windows.merge(&other.windows);
        self.windows.add(other.waiting());
        self.look_again();
    }

    /// What came before its windows were its own: as if all of it had come at the beginning, so that no horizon has more than
    /// it should.
    pub(super) fn begin(&mut self, row: &Row) {
        let (since, sums) = row.sums();
        self.windows.add_at(since, &sums);
        self.look_again();
    }

    /// Becomes that of another destination, of which nothing was seen.
    pub(super) fn reset(&mut self, key: u128) {
        self.key = key;
        (self.era, self.looked, self.suspicion, self.is_notable, self.waits) = Default::default();
        self.windows.clear();
    }

    /// Whether what came since it was looked at cannot matter.
    pub(super) fn is_quiet(&self, era: u32) -> bool {
        self.looked == era
    }

    /// It was looked at: more can only be said of it when what comes could reach a bound. Horizons with too few samples have none
    /// until windows count those that wait.
    pub(super) fn looked(&mut self, sums: &Horizons, era: u32, of_table: &Limit, bounds: &Bounds) {
        let limit = self.limit(era, of_table);
        let may_have_enough = |sums: &Sums| is_half(sums.samples + WAITING as u32, bounds.samples);
        let levels = (0..HORIZONS.len()).filter(|level| may_have_enough(&sums[*level]));
        self.is_partial = levels.clone().count() < HORIZONS.len();
        let suspect = levels.map(|level| limit.left(2, &sums[level], level));
        let learnt = may_have_enough(&sums[LONGEST]) && !self.is_notable;
        let learnt = learnt.then(|| of_table.left(bounds.parts, &sums[LONGEST], LONGEST));
        self.room = suspect.chain(learnt).fold(Limit::NONE, Limit::min);
        self.looked = era;
    }

    pub(super) fn look_again(&mut self) {
        self.looked = 0;
    }

    pub(super) fn limit(&self, era: u32, of_table: &Limit) -> Limit {
        if self.era == era { self.limit } else { *of_table }
    }

    pub(super) fn suspicion(&self) -> Option<usize> {
        (self.suspicion as usize).checked_sub(1)
    }

    fn waiting(&self) -> &[Arrival] {
        &self.waiting[..usize::from(self.waits)]
    }

    fn settle(&mut self) {
        let waits = usize::from(std::mem::take(&mut self.waits));
        self.windows.add(&self.waiting[..waits]);
    }
}

/// Whether a horizon has half of what an alert takes, in samples and in traffic.
pub(super) fn is_suspect(sums: &Horizons, limit: &Limit, samples: u32) -> bool {
    (0..HORIZONS.len())
        .any(|level| is_half(sums[level].samples, samples) && limit.is_part_reached(2, &sums[level], level))
}

/// Whether the last ten seconds have this part of what an alert takes.
pub(super) fn is_worth_learning(sums: &Sums, limit: &Limit, bounds: &Bounds) -> bool {
    is_half(sums.samples, bounds.samples) && limit.is_part_reached(bounds.parts, sums, LONGEST)
}

fn is_half(samples: u32, of: u32) -> bool {
    samples.saturating_mul(2) >= of
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::config::Rate;
    use super::*;

    proptest! {
        /// An entry that is left alone never has what somebody would have had to be told of.
        #[test]
        fn what_is_quiet_is_below_all_bounds(
            steps in proptest::collection::vec((0u64..100_000_000, 1u32..100, 60u32..1500), 0..300),
            packets in 100f64..20e3,
            samples in 1u32..40,
            is_notable: bool,
        ) {
            let limit = Limit::of(Rate { packets, bits: packets * 5e3 });
            let bounds = Bounds { samples, parts: 12 };
            let mut entry = Entry { is_notable, ..Entry::of(1) };
            let (mut nanos, era) = (0, 1);
            for (step, weight, length) in steps {
                nanos += step;
                entry.add(&Arrival { nanos, weight, length });
                let sums = entry.horizons(&Moment::at(nanos));
                if entry.is_quiet(era) {
                    prop_assert!(!is_suspect(&sums, &limit, samples));
                    prop_assert!(is_notable || !is_worth_learning(&sums[LONGEST], &limit, &bounds));
                } else {
                    entry.looked(&sums, era, &limit, &bounds);
                }
            }
        }
    }
}

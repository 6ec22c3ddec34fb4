//! Sums of what came lately, over a tenth of a second, a second and ten.
//!
//! Each horizon is four buckets, of which the last is still filling: a sum covers three quarters of its horizon to all of
//! it, so a rate made of it (sum / horizon) may be a quarter too low, and is never too high. Buckets begin at multiples
//! of their width of the clock's time, so those of two observers add up.

use std::time::Duration;

/// How long the windows are.
pub(super) const HORIZONS: [Duration; 3] =
    [Duration::from_millis(100), Duration::from_secs(1), Duration::from_secs(10)];

/// The index of the longest.
pub(super) const LONGEST: usize = HORIZONS.len() - 1;

const BUCKETS: u64 = 4;

/// Those that do not fill any more.
const PAST: u64 = BUCKETS - 1;

/// A moment as the numbers of the buckets that it falls into.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Moment {
    pub(super) nanos: u64,
    epochs: [u64; HORIZONS.len()],
}

impl Moment {
    pub(super) fn at(nanos: u64) -> Moment {
        // Epochs start late enough for an empty window (epoch 0) to be long ago.
        Moment { nanos, epochs: std::array::from_fn(|level| nanos / width(level) + BUCKETS) }
    }
}

fn width(level: usize) -> u64 {
    HORIZONS[level].as_nanos() as u64 / BUCKETS
}

/// Sums over samples. They stay at their largest value when they would pass it, so the order of additions never matters.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Sums {
    /// Frames: the sum of weights.
    pub(super) packets: u64,
    /// The sum of weight times length.
    pub(super) bytes: u64,
    /// The variance of `packets`: the sum of w(w-1).
    packets_variance: u64,
    /// That of `bytes`, in units of 256 square bytes, lengths rounded up to 16.
    bytes_variance: u64,
    pub(super) samples: u32,
    /// When the first one was, in microseconds from the start of the bucket. Only a bucket has it.
    first: u32,
}

impl Sums {
    pub(super) fn of(weight: u32, length: u32) -> Sums {
        let weight = u64::from(weight);
        let variance = weight * (weight - 1);
        let sixteens = u64::from(length).div_ceil(16);
        Sums {
            packets: weight,
            bytes: weight * u64::from(length),
            packets_variance: variance,
            bytes_variance: variance.saturating_mul(sixteens * sixteens),
            samples: 1,
            first: u32::MAX,
        }
    }

    pub(super) fn add(&mut self, other: &Sums) {
        self.packets = self.packets.saturating_add(other.packets);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.packets_variance = self.packets_variance.saturating_add(other.packets_variance);
        self.bytes_variance = self.bytes_variance.saturating_add(other.bytes_variance);
        self.first = match (self.samples, other.samples) {
            (0, _) => other.first,
            (_, 0) => self.first,
            _ => self.first.min(other.first),
        };
        self.samples = self.samples.saturating_add(other.samples);
    }

    /// What is left without a part of it.
    pub(super) fn without(mut self, part: &Sums) -> Sums {
        self.packets = self.packets.saturating_sub(part.packets);
        self.bytes = self.bytes.saturating_sub(part.bytes);
        self.packets_variance = self.packets_variance.saturating_sub(part.packets_variance);
        self.bytes_variance = self.bytes_variance.saturating_sub(part.bytes_variance);
        self.samples = self.samples.saturating_sub(part.samples);
        self
    }

    pub(super) fn packets_variance(&self) -> f64 {
        self.packets_variance as f64
    }

    /// In bits.
    pub(super) fn bits(&self) -> f64 {
        self.bytes as f64 * 8.0
    }

    /// In square bits.
    pub(super) fn bits_variance(&self) -> f64 {
        self.bytes_variance as f64 * 256.0 * 64.0
    }
}

/// Three horizons of one destination: 648 bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct Windows {
    levels: [Ring; HORIZONS.len()],
}

/// What a sample touches stands first, and stale buckets are left as they are: most destinations have samples so rarely that
/// a ring starts anew with each.
#[derive(Clone, Debug, Default)]
struct Ring {
    /// The bucket that is filling.
    epoch: u64,
    current: Sums,
    /// The closed ones that count, together.
    before: Sums,
    /// How many of them there are; the others are stale.
    closed: u64,
    /// By their number modulo 3.
    past: [Sums; PAST as usize],
}

impl Windows {
    /// What comes late goes where it belongs, if that is not gone.
    pub(super) fn add(&mut self, at: &Moment, sums: &Sums) {
        for (level, (ring, epoch)) in self.levels.iter_mut().zip(at.epochs).enumerate() {
            let first = (at.nanos % width(level) / 1000) as u32;
            ring.add(epoch, &Sums { first, ..*sums });
        }
    }

    /// The sums over one horizon.
    pub(super) fn over(&self, level: usize, now: &Moment) -> Sums {
        self.levels[level].until(now.epochs[level])
    }

    /// When the first sample of a horizon was, to the microsecond; none without one.
    pub(super) fn first(&self, level: usize, now: &Moment) -> Option<u64> {
        let (epoch, sums) = self.levels[level].oldest((now.epochs[level] + 1).saturating_sub(BUCKETS))?;
        Some((epoch - BUCKETS) * width(level) + u64::from(sums.first) * 1000)
    }

    /// Adds what another observer saw; what is older than the newer one's horizon is left out of both.
    pub(super) fn merge(&mut self, other: &Windows) {
        for (mine, theirs) in self.levels.iter_mut().zip(&other.levels) {
            mine.merge(theirs);
        }
    }
}

impl Ring {
    fn add(&mut self, epoch: u64, sums: &Sums) {
        self.turn(epoch);
        if epoch == self.epoch {
            self.current.add(sums);
        } else if epoch + BUCKETS > self.epoch {
            self.add_late(epoch, sums);
        }
    }

    fn add_late(&mut self, epoch: u64, sums: &Sums) {
        while self.closed < self.epoch - epoch {
            self.closed += 1;
            self.past[((self.epoch - self.closed) % PAST) as usize] = Sums::default();
        }
        self.past[(epoch % PAST) as usize].add(sums);
        self.before.add(sums);
    }

    fn turn(&mut self, epoch: u64) {
        if epoch <= self.epoch {
            return;
        }
        if epoch - self.epoch >= BUCKETS {
            (self.epoch, self.closed) = (epoch, 0);
            (self.current, self.before) = (Sums::default(), Sums::default());
            return;
        }
        while self.epoch < epoch {
            self.past[(self.epoch % PAST) as usize] = std::mem::take(&mut self.current);
            self.epoch += 1;
            self.closed = (self.closed + 1).min(PAST);
        }
        self.before = self.closed(0);
    }

    /// The sum of the closed buckets from an epoch on.
    fn closed(&self, from: u64) -> Sums {
        let mut sum = Sums::default();
        for epoch in from.max(self.epoch - self.closed)..self.epoch {
            sum.add(&self.past[(epoch % PAST) as usize]);
        }
        sum
    }

    fn until(&self, now: u64) -> Sums {
        let first = (now + 1).saturating_sub(BUCKETS);
        if first > self.epoch {
            return Sums::default();
        }
        let mut sum = if now <= self.epoch { self.before } else { self.closed(first) };
        sum.add(&self.current);
        sum
    }

    /// The oldest bucket that has samples, from an epoch on.
    fn oldest(&self, from: u64) -> Option<(u64, &Sums)> {
        let closed = from.max(self.epoch - self.closed)..self.epoch;
        let closed = closed.map(|epoch| (epoch, &self.past[(epoch % PAST) as usize]));
        let current = (self.epoch >= from).then_some((self.epoch, &self.current));
        closed.chain(current).find(|(_, sums)| sums.samples > 0)
    }

    fn merge(&mut self, other: &Ring) {
        self.turn(other.epoch);
        for epoch in other.epoch - other.closed..other.epoch {
            self.add(epoch, &other.past[(epoch % PAST) as usize]);
        }
        self.add(other.epoch, &other.current);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MILLI: u64 = 1_000_000;

    #[test]
    fn what_is_old_is_gone() {
        let mut windows = Windows::default();
        windows.add(&Moment::at(0), &Sums::of(10, 100));
        windows.add(&Moment::at(80 * MILLI), &Sums::of(1, 100));
        let packets = |level, at| windows.over(level, &Moment::at(at * MILLI)).packets;
        assert_eq!([packets(0, 99), packets(0, 100), packets(0, 200)], [11, 1, 0]);
        assert_eq!(
            [packets(1, 999), packets(1, 1_000), packets(2, 9_999), packets(2, 10_000)],
            [11, 0, 11, 0]
        );
    }

    #[test]
    fn sums_that_are_full_stay_full() {
        let mut full = Sums::of(u32::MAX, u32::MAX);
        for _ in 0..3 {
            full.add(&full.clone());
        }
        assert_eq!(full.packets_variance, u64::MAX);
    }

    proptest! {
        /// However samples are shared out among observers, their sums are those of one that saw all.
        #[test]
        fn halves_that_are_merged_are_the_whole(
            steps in proptest::collection::vec((0u64..400, 1u32..1000, 60u32..1500, any::<bool>()), 0..200),
            later in 0u64..12_000,
        ) {
            let (mut whole, mut halves) = (Windows::default(), [Windows::default(), Windows::default()]);
            let mut now = 0;
            for (step, weight, length, half) in steps {
                now += step * MILLI;
                let sums = Sums::of(weight, length);
                whole.add(&Moment::at(now), &sums);
                halves[usize::from(half)].add(&Moment::at(now), &sums);
            }
            let [mut left, right] = halves;
            let mut other = right.clone();
            other.merge(&left);
            left.merge(&right);
            let at = Moment::at(now + later * MILLI);
            for level in 0..HORIZONS.len() {
                prop_assert_eq!(left.over(level, &at), whole.over(level, &at));
                prop_assert_eq!(other.over(level, &at), whole.over(level, &at));
            }
        }
    }
}

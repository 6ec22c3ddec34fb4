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

const fn width(level: usize) -> u64 {
    HORIZONS[level].as_nanos() as u64 / BUCKETS
}

/// Sums over samples. They stay at their largest value when they would pass it, so the order of additions never matters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
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

impl Default for Sums {
    fn default() -> Sums {
        Sums { packets: 0, bytes: 0, packets_variance: 0, bytes_variance: 0, samples: 0, first: u32::MAX }
    }
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

    /// Of several samples, of which only the largest weight and the largest length are known: with a variance that is no less
    /// than theirs.
    pub(super) fn at_most(packets: u64, bytes: u64, samples: u32, heaviest: u32, longest: u32) -> Sums {
        let others = u64::from(heaviest.saturating_sub(1));
        let sixteens = (bytes / 16).saturating_add(packets).saturating_mul(u64::from(longest).div_ceil(16));
        Sums {
            packets,
            bytes,
            packets_variance: others.saturating_mul(packets),
            bytes_variance: others.saturating_mul(sixteens),
            samples,
            first: u32::MAX,
        }
    }

    pub(super) fn add(&mut self, other: &Sums) {
        self.packets = self.packets.saturating_add(other.packets);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.packets_variance = self.packets_variance.saturating_add(other.packets_variance);
        self.bytes_variance = self.bytes_variance.saturating_add(other.bytes_variance);
        self.first = self.first.min(other.first);
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

/// A sample as windows count it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Arrival {
    pub(super) nanos: u64,
    pub(super) weight: u32,
    pub(super) length: u32,
}

impl Arrival {
    pub(super) fn sums(&self) -> Sums {
        Sums::of(self.weight, self.length)
    }

    pub(super) fn bytes(&self) -> u64 {
        u64::from(self.weight) * u64::from(self.length)
    }

    /// The number of the smallest bucket that it falls into: the larger ones are made of whole smaller ones.
    fn bucket(&self) -> u64 {
        self.nanos / width(0)
    }

    /// Whether a horizon reaches back to it.
    pub(super) fn is_within(&self, level: usize, now: &Moment) -> bool {
        Moment::at(self.nanos).epochs[level] + BUCKETS > now.epochs[level]
    }
}

/// Three horizons of one destination: 512 bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct Windows {
    /// The buckets that are filling.
    epochs: [u64; HORIZONS.len()],
    /// How many buckets before those count; the others are stale, and left as they are: most destinations have samples so
    /// rarely that windows start anew with each.
    closed: [u8; HORIZONS.len()],
    rings: [Ring; HORIZONS.len()],
}

/// By their number modulo 4.
type Ring = [Sums; BUCKETS as usize];

impl Windows {
    /// What comes late goes where it belongs, if that is not gone.
    pub(super) fn add(&mut self, arrivals: &[Arrival]) {
        for together in arrivals.chunk_by(|one, other| one.bucket() == other.bucket()) {
            let mut sums = Sums::default();
            together.iter().for_each(|arrival| sums.add(&arrival.sums()));
            self.add_at(together.iter().map(|arrival| arrival.nanos).min().unwrap_or_default(), &sums);
        }
    }

    /// Adds what came in one bucket, the first of it at this time.
    pub(super) fn add_at(&mut self, nanos: u64, sums: &Sums) {
        let (first, mut sums) = (Moment::at(nanos), *sums);
        for level in 0..HORIZONS.len() {
            sums.first = (nanos % width(level) / 1000) as u32;
            self.add_to(level, first.epochs[level], &sums);
        }
    }

    /// The sums over one horizon.
    pub(super) fn over(&self, level: usize, now: &Moment) -> Sums {
        let mut sum = Sums::default();
        self.since(level, now).for_each(|(_, bucket)| sum.add(bucket));
        sum
    }

    /// When the first sample of a horizon was, to the microsecond; none without one.
    pub(super) fn first(&self, level: usize, now: &Moment) -> Option<u64> {
        let (epoch, sums) = self.since(level, now).find(|(_, sums)| sums.samples > 0)?;
        Some((epoch - BUCKETS) * width(level) + u64::from(sums.first) * 1000)
    }

    /// Adds what another observer saw; what is older than the newer one's horizon is left out of both.
    pub(super) fn merge(&mut self, other: &Windows) {
        for level in 0..HORIZONS.len() {
            for (epoch, bucket) in other.buckets(level, 0) {
                self.add_to(level, epoch, bucket);
            }
        }
    }

    /// Nothing was seen.
    pub(super) fn clear(&mut self) {
        (self.epochs, self.closed) = Default::default();
    }

    fn add_to(&mut self, level: usize, epoch: u64, sums: &Sums) {
        let newest = self.epochs[level];
        if epoch > newest {
            self.turn(level, epoch);
        } else if epoch + BUCKETS <= newest {
            return;
        }
        while u64::from(self.closed[level]) < self.epochs[level] - epoch {
            self.closed[level] += 1;
            let oldest = self.epochs[level] - u64::from(self.closed[level]);
            self.rings[level][(oldest % BUCKETS) as usize] = Sums::default();
        }
        self.rings[level][(epoch % BUCKETS) as usize].add(sums);
    }

    fn turn(&mut self, level: usize, epoch: u64) {
        let passed = epoch - self.epochs[level];
        self.closed[level] = match passed {
            0..BUCKETS => (u64::from(self.closed[level]) + passed).min(BUCKETS - 1) as u8,
            _ => 0,
        };
        for fresh in 0..passed.min(u64::from(self.closed[level]) + 1) {
            self.rings[level][((epoch - fresh) % BUCKETS) as usize] = Sums::default();
        }
        self.epochs[level] = epoch;
    }

    /// Those that a horizon has, the oldest first.
    fn since(&self, level: usize, now: &Moment) -> impl Iterator<Item = (u64, &Sums)> {
        self.buckets(level, (now.epochs[level] + 1).saturating_sub(BUCKETS))
    }

    fn buckets(&self, level: usize, from: u64) -> impl Iterator<Item = (u64, &Sums)> {
        let newest = self.epochs[level];
        let ring = &self.rings[level];
        (from.max(newest - u64::from(self.closed[level]))..=newest)
            .map(|epoch| (epoch, &ring[(epoch % BUCKETS) as usize]))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MILLI: u64 = 1_000_000;

    fn arrival(nanos: u64, weight: u32, length: u32) -> Arrival {
        Arrival { nanos, weight, length }
    }

    #[test]
    fn what_is_old_is_gone() {
        let mut windows = Windows::default();
        windows.add(&[arrival(0, 10, 100)]);
        windows.add(&[arrival(80 * MILLI, 1, 100)]);
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
                whole.add(&[arrival(now, weight, length)]);
                halves[usize::from(half)].add(&[arrival(now, weight, length)]);
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

//! Samples: one in N packets, drawn at random.
//!
//! Whether a packet is drawn is not asked of chance for each packet. How many go by before the next one is drawn is
//! asked once, so that nearly all packets cost a subtraction. That number has a geometric distribution, which has no
//! memory: what went by says nothing of what comes, and each packet is drawn with the same probability, 1 in N. So it may be
//! asked in *stretches* of [`STRETCH`] packets at most: where none of a stretch is drawn, chance is asked again
//! behind it, and a change of N holds from there on.
//!
//! The bits of such a number are independent of each other (`P(2^i is in it) = q^(2^i) / (1 + q^(2^i))` with `q = 1 - 1/N`), so
//! a program makes one of [`BITS`] comparisons of random numbers with constants, which are the [`Odds`]. They are data:
//! user space changes N by writing others. All engines follow [`Sampler::draw`].

/// Bits of the number of packets that go by.
pub const BITS: usize = 10;
/// For how many packets chance is asked at a time.
pub const STRETCH: u64 = 1 << BITS;
/// Of so many random numbers one is as likely as another.
const CERTAIN: u64 = 1 << 32;

/// How likely things are for one N, as parts of 2^32.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Odds {
    /// N.
    pub one_in: u32,
    /// That no packet of a whole stretch is drawn.
    pub none: u64,
    /// That each bit of the number of packets before the drawn one is set, where one of the stretch is.
    pub bits: [u64; BITS],
}

/// Bytes of [`Odds`] in memory.
pub const ODDS: usize = 16 + 8 * BITS;

impl Odds {
    /// For one packet in so many, at least one. Only arithmetic that IEEE 754 defines to the bit is used, so that the same
    /// policy gives the same bytes on every machine.
    pub fn of(one_in: u32) -> Odds {
        let mut q = 1.0 - 1.0 / f64::from(one_in.max(1));
        let part = |p: f64| (p * CERTAIN as f64).round() as u64;
        let bits = [(); BITS].map(|()| {
            let odds = part(q / (1.0 + q));
            q *= q;
            odds
        });
        Odds { one_in: one_in.max(1), none: part(q), bits }
    }

    /// Not at random: after `gap` packets (fewer than a stretch) each time. For tests.
    pub fn fixed(one_in: u32, gap: u16) -> Odds {
        let bit = |nth: usize| if gap >> nth & 1 == 1 { CERTAIN } else { 0 };
        Odds { one_in, none: 0, bits: std::array::from_fn(bit) }
    }

    /// As they stand in memory: `{ u32 N, u32 0, u64 none, u64 bits[10] }`, in the machine's order.
    pub fn bytes(&self) -> [u8; ODDS] {
        let mut bytes = [0; ODDS];
        bytes[..4].copy_from_slice(&self.one_in.to_ne_bytes());
        let words = [self.none].into_iter().chain(self.bits);
        for (place, word) in bytes[8..].chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
        bytes
    }
}

/// Random numbers as a program gets them: a known sequence, for the engines in user space.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Default for Dice {
    fn default() -> Self {
        Dice(0x9e37_79b9_7f4a_7c15)
    }
}

impl Dice {
    /// Another sequence for each seed.
    pub fn of(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next one (xorshift64*).
    pub fn roll(&mut self) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32
    }
}

/// What a statement that samples keeps, on each CPU for itself. Zeros are the beginning.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sampler {
    /// How many packets go by before chance is asked again.
    pub left: u64,
    /// The N of the packet that comes then, which is drawn; 0 if none was drawn in this stretch.
    pub one_in: u32,
    /// How many packets chance was asked for, with those that are [left](Self::left).
    pub asked: u64,
}

impl Sampler {
    /// The N with which a packet is drawn; nothing if it is not.
    pub fn draw(&mut self, odds: &Odds, dice: &mut Dice) -> Option<u32> {
        if self.left == 0 && self.one_in == 0 {
            self.ask(odds, dice);
        }
        if self.left > 0 {
            self.left -= 1;
            return None;
        }
        let one_in = self.one_in;
        self.ask(odds, dice);
        Some(one_in)
    }

    fn ask(&mut self, odds: &Odds, dice: &mut Dice) {
        let mut happens = |odds: u64| u64::from(dice.roll()) < odds;
        if happens(odds.none) {
            (self.left, self.one_in) = (STRETCH, 0);
        } else {
            let gap = odds.bits.iter().rev().fold(0, |gap, odds| gap << 1 | u64::from(happens(*odds)));
            (self.left, self.one_in) = (gap, odds.one_in);
        }
        self.asked += self.left + u64::from(self.one_in > 0);
    }

    /// How many packets came to the statement.
    pub fn pool(&self) -> u64 {
        self.asked.wrapping_sub(self.left + u64::from(self.one_in > 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers of packets from one drawn to the next.
    fn distances(odds: &Odds, samples: usize) -> Vec<u64> {
        let (mut sampler, mut dice, mut distance) = (Sampler::default(), Dice::default(), 0);
        let mut all = Vec::new();
        while all.len() < samples {
            distance += 1;
            if sampler.draw(odds, &mut dice).is_some() {
                all.push(std::mem::take(&mut distance));
            }
        }
        assert_eq!(sampler.pool(), all.iter().sum::<u64>());
        all
    }

    #[test]
    fn one_in_one_is_each_packet() {
        assert_eq!(distances(&Odds::of(1), 100), [1; 100]);
    }

    #[test]
    fn fixed_gaps_are_kept() {
        assert_eq!(distances(&Odds::fixed(7, 6), 100), [7; 100]);
    }

    #[test]
    fn distances_have_the_mean_and_variance_of_a_geometric_distribution() {
        for one_in in [2, 10, 1000, 5000] {
            let n = f64::from(one_in);
            let samples = 40_000;
            let all = distances(&Odds::of(one_in), samples);
            let mean = all.iter().sum::<u64>() as f64 / samples as f64;
            let variance = all.iter().map(|d| (*d as f64 - mean).powi(2)).sum::<f64>() / samples as f64;
            // The mean's standard error is N / sqrt(samples), half a percent; five of them.
            assert!((mean / n - 1.0).abs() < 0.025, "mean {mean} for one in {one_in}");
            let expected = n * (n - 1.0);
            assert!((variance / expected - 1.0).abs() < 0.1, "variance {variance} for one in {one_in}");
        }
    }

    #[test]
    fn the_rarest_are_drawn_with_their_probability() {
        let odds = Odds::of(u32::MAX);
        assert_eq!(CERTAIN - odds.none, STRETCH, "1,024 of 2^32");
    }
}

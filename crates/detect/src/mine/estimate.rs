//! What a share of few samples says of all packets.

use serde::{Deserialize, Serialize};

/// A share of packets with its confidence interval.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Estimate {
    /// The share in the samples, 0 to 1.
    pub share: f64,
    /// The true share is not below this, with 95 % confidence.
    pub low: f64,
    /// The true share is not above this, with 95 % confidence.
    pub high: f64,
    /// How many samples of one weight the estimate is worth.
    pub samples: f64,
}

/// The error of each bound.
const ALPHA: f64 = 0.05;

impl Estimate {
    /// A share of so many samples: bounds of Clopper and Pearson (Biometrika 26, 1934), with the effective number of
    /// samples where weights differ (Korn and Graubard, Survey Methodology 24, 1998). Without a hit the upper one is
    /// close to 3 / n, the rule of three. Nothing is known without samples.
    pub(super) fn new(share: f64, samples: f64) -> Estimate {
        if samples <= 0.0 {
            return Estimate { share: 0.0, low: 0.0, high: 1.0, samples: 0.0 };
        }
        let hits = (share * samples).clamp(0.0, samples);
        let low = if hits == 0.0 { 0.0 } else { quantile(ALPHA, hits, samples - hits + 1.0) };
        let high = if hits >= samples { 1.0 } else { quantile(1.0 - ALPHA, hits + 1.0, samples - hits) };
        Estimate { share, low, high, samples }
    }
}

/// Where the cumulative beta distribution reaches `p`, by halving: 60 times is beyond what an `f64` can tell.
fn quantile(p: f64, a: f64, b: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        match beta(middle, a, b) < p {
            true => low = middle,
            false => high = middle,
        }
    }
    high
}

/// The regularised incomplete beta function (DLMF 8.17.1), by its continued fraction (8.17.22) on the side where that
/// converges fast.
fn beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return if x <= 0.0 { 0.0 } else { 1.0 };
    }
    let front = (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (1.0 - x).ln()).exp();
    if x < (a + 1.0) / (a + b + 2.0) {
        front * fraction(x, a, b) / a
    } else {
        1.0 - front * fraction(1.0 - x, b, a) / b
    }
}

/// The continued fraction of DLMF 8.17.22, by Lentz' method; near the mean it takes O(√max(a, b)) turns.
fn fraction(x: f64, a: f64, b: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let away = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / away(1.0 - (a + b) * x / (a + 1.0));
    let mut result = d;
    for turn in 1..2_000 {
        let m = f64::from(turn);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut change = 1.0;
        for step in [even, odd] {
            d = 1.0 / away(1.0 + step * d);
            c = away(1.0 + step / c);
            change = c * d;
            result *= change;
        }
        if (change - 1.0).abs() < 1e-12 {
            break;
        }
    }
    result
}

/// By Stirling's series (DLMF 5.11.1), from 10 on; below by the recurrence.
fn ln_gamma(mut x: f64) -> f64 {
    let mut below = 0.0;
    while x < 10.0 {
        below += x.ln();
        x += 1.0;
    }
    let inverse = 1.0 / (x * x);
    let series = (1.0 / 12.0 - inverse * (1.0 / 360.0 - inverse * (1.0 / 1260.0 - inverse / 1680.0))) / x;
    (x - 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + series - below
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn close(value: f64, expected: f64) {
        assert!((value - expected).abs() < 1e-4, "{value} is not {expected}");
    }

    /// With no hit the bound has a closed form: 1 - α^(1/n).
    #[test]
    fn no_hit_is_the_rule_of_three() {
        for samples in [1.0, 20.0, 1000.0, 100_000.0] {
            let estimate = Estimate::new(0.0, samples);
            assert!((estimate.high - (1.0 - ALPHA.powf(1.0 / samples))).abs() < 1e-9);
            assert_eq!(estimate.low, 0.0);
        }
        assert!((Estimate::new(0.0, 3000.0).high - 0.001).abs() < 2e-6);
    }

    /// Values of R: `binom.test(k, n, conf.level = 0.9)$conf.int`, whose two bounds err by 5 % each.
    #[test]
    fn the_bounds_of_clopper_and_pearson() {
        let five = Estimate::new(5.0 / 10.0, 10.0);
        close(five.low, 0.222_441);
        close(five.high, 0.777_559);
        let one = Estimate::new(1.0 / 20.0, 20.0);
        close(one.low, 0.002_561);
        close(one.high, 0.216_106);
    }

    #[test]
    fn all_or_nothing() {
        assert_eq!(Estimate::new(1.0, 7.0).high, 1.0);
        assert_eq!(Estimate::new(0.0, 0.0).high, 1.0);
    }
}

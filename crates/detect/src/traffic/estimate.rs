//! What samples say of the traffic that they were taken from, and how sure that is.

/// A rate, with its error.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Estimate {
    /// The estimate itself, a second.
    pub value: f64,
    /// Its standard deviation, a second.
    pub error: f64,
    /// The rate that it is above, at the confidence of the configuration.
    pub low: f64,
}

impl Estimate {
    /// From a sum of weights over `seconds`, its variance, and standard deviations of confidence.
    pub(super) fn over(seconds: f64, sum: f64, variance: f64, sigmas: f64) -> Estimate {
        Estimate {
            value: sum / seconds,
            error: variance.sqrt() / seconds,
            low: lower(sum, variance, sigmas) / seconds,
        }
    }
}

/// The bound that a sum of weights is above, one-sided, at so many standard deviations of a normal distribution.
///
/// A sample that was taken with probability 1/w stands for w frames, so the sum of the weights is an estimate without
/// bias, and the sum of w(w-1) is one of its variance (Horvitz and Thompson, JASA 47, 1952, for independent samples).
/// At w = 1 nothing was left out and the error is nil.
///
/// With few samples the sum is skewed and `sum - sigmas * error` would promise too little or less than nothing. A sum of
/// weights is treated as a scaled Poisson count of the same mean and variance instead (Fay and Feuer, Statistics in
/// Medicine 16, 1997), whose limit is a quantile of the chi-squared distribution, by the cube root of Wilson and Hilferty
/// (PNAS 17, 1931).
pub(super) fn lower(sum: f64, variance: f64, sigmas: f64) -> f64 {
    if variance <= 0.0 {
        return sum;
    }
    let count = sum * sum / variance;
    let root = 1.0 - 1.0 / (9.0 * count) - sigmas / (3.0 * count.sqrt());
    if root > 0.0 { sum * root * root * root } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Exact limits of Poisson counts: the means at which 10, 50, 200 or more have a probability of 0.135 %, found by
    /// bisection of the sum of the distribution.
    #[test]
    fn the_bound_is_that_of_a_poisson_count() {
        for (count, exact) in [(10.0, 3.084), (50.0, 31.422), (200.0, 160.227)] {
            let found = lower(count, count, 3.0);
            assert!((found - exact).abs() / exact < 0.02, "{count}: {found} and not {exact}");
        }
    }

    #[test]
    fn nothing_was_left_out_at_one_in_one() {
        assert_eq!(lower(7.0, 0.0, 3.0), 7.0);
    }

    #[test]
    fn one_sample_says_next_to_nothing() {
        assert!(lower(1000.0, 1000.0 * 999.0, 3.0) < 1.0);
    }
}

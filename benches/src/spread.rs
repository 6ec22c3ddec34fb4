//! The middle and the quartiles of noisy figures.

use serde::Serialize;

/// The kernel tells whole nanoseconds only; the mean of the middle half tells finer steps than the median, and
/// minds outliers no more.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    /// The mean of the middle half.
    pub(crate) middle: f64,
    /// The first quartile.
    pub(crate) low: f64,
    /// The third quartile.
    pub(crate) high: f64,
}

impl Spread {
    pub(crate) fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let quarter = values.len() / 4;
        let half = &values[quarter..values.len() - quarter];
        let middle = half.iter().sum::<f64>() / half.len().max(1) as f64;
        let (low, high) = (half.first().copied(), half.last().copied());
        Self { middle, low: low.unwrap_or(middle), high: high.unwrap_or(middle) }
    }

    /// The standard error of the middle of so many values, as if they lay like a bell: a quartile is then 0.674
    /// standard deviations away, and the mean of the middle half 1.09 times less sure than the mean of all.
    fn error(self, values: usize) -> f64 {
        1.09 * (self.high - self.low) / (2.0 * 0.674) / (values.max(1) as f64).sqrt()
    }
}

/// One figure over another. Both were taken in turns, and turns differ by more than the figures do: so it is their
/// differences, turn by turn, whose middle counts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Ratio {
    pub(crate) middle: f64,
    /// The standard error of that.
    pub(crate) error: f64,
}

impl Ratio {
    pub(crate) fn of(ours: &[f64], theirs: &[f64]) -> Self {
        let differences = Spread::of(ours.iter().zip(theirs).map(|(ours, theirs)| ours - theirs).collect());
        let one = Spread::of(theirs.to_vec()).middle.max(0.1);
        Self { middle: 1.0 + differences.middle / one, error: differences.error(ours.len()) / one }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_half_counts() {
        let spread = Spread::of(vec![900.0, 1.0, 2.0, 3.0, 4.0, 0.0, 2.0, 3.0]);
        assert_eq!(spread, Spread { middle: 2.5, low: 2.0, high: 3.0 });
    }

    #[test]
    fn four_times_the_values_halve_the_error() {
        let spread = Spread { middle: 1.0, low: 0.9, high: 1.1 };
        assert!((spread.error(100) - 0.0162).abs() < 0.0001);
        assert!((spread.error(400) - 0.0081).abs() < 0.0001);
    }

    #[test]
    fn what_disturbs_both_does_not_count() {
        let theirs = [5.0, 9.0, 5.0, 20.0, 5.0, 5.0, 7.0, 5.0];
        let ours = theirs.map(|figure| figure + 1.0);
        let ratio = Ratio::of(&ours, &theirs);
        assert_eq!((ratio.middle, ratio.error), (1.0 + 1.0 / 5.5, 0.0));
    }
}

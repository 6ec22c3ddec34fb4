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

    /// The ratio of two figures that were taken in turns: of the middles, and at the far ends of both quartiles.
    pub(crate) fn over(self, other: Spread) -> Self {
        let at_least = |value: f64| value.max(0.1);
        let middle = self.middle / at_least(other.middle);
        Self { middle, low: self.low / at_least(other.high), high: self.high / at_least(other.low) }
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
    fn ratios_of_middles_and_far_ends() {
        let ours = Spread { middle: 6.0, low: 5.0, high: 8.0 };
        let theirs = Spread { middle: 3.0, low: 2.0, high: 5.0 };
        assert_eq!(ours.over(theirs), Spread { middle: 2.0, low: 1.0, high: 4.0 });
    }
}

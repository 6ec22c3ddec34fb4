//! How long things took.

use std::time::Duration;

/// Measured times, all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Latencies(Vec<Duration>);

impl Latencies {
    /// Adds one.
    pub fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// Takes over those of another.
    pub fn append(&mut self, mut other: Latencies) {
        self.0.append(&mut other.0);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The time that `percent` of a hundred did not exceed; `None` when there is none.
    pub fn percentile(&self, percent: f64) -> Option<Duration> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (percent.clamp(0.0, 100.0) / 100.0 * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.saturating_sub(1)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_measured_values() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.percentile(50.0), None);
        for ms in [40, 10, 30, 20] {
            latencies.add(Duration::from_millis(ms));
        }
        for (percent, ms) in [(0.0, 10), (50.0, 20), (51.0, 30), (100.0, 40), (900.0, 40)] {
            assert_eq!(latencies.percentile(percent), Some(Duration::from_millis(ms)), "{percent}");
        }
    }
}

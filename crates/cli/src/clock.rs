//! Clocks: the time of day, and the one that a replay hands to a policy.

use std::time::{Duration, SystemTime, UNIX_EPOCH};
use weir_kernel::clock::monotonic_ns;

/// What is added to the kernel's monotonic clock, the one of samples, to get the time of day.
pub(crate) fn epoch() -> Duration {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.saturating_sub(Duration::from_nanos(monotonic_ns()))
}

/// A capture's time stamps as a monotonic clock: it starts with the first frame.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CaptureClock {
    first: Option<u64>,
    last: u64,
}

/// What comes before the first frame, so that frames out of order have a time too.
const BEFORE: i128 = 3_600_000_000_000;

impl CaptureClock {
    /// The time of a frame in nanoseconds.
    pub(crate) fn at(&mut self, timestamp_ns: u64) -> u64 {
        let first = *self.first.get_or_insert(timestamp_ns);
        self.last = timestamp_ns;
        let since = i128::from(timestamp_ns) - i128::from(first) + BEFORE;
        since.clamp(0, i128::from(u64::MAX >> 8)) as u64
    }

    /// Whether a capture that starts at this time belongs before what was played: then it is a story of its own.
    pub(crate) fn goes_back_to(&self, timestamp_ns: u64) -> bool {
        self.first.is_some() && timestamp_ns < self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_starts_with_the_first_frame() {
        let mut clock = CaptureClock::default();
        let start = clock.at(1_700_000_000_000_000_000);
        assert_eq!(clock.at(1_700_000_000_000_000_500), start + 500);
        assert_eq!(clock.at(1_699_999_999_999_999_900), start - 100);
        assert_eq!(clock.at(0), 0);
    }
}

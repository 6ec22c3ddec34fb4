//! The time of samples as one that only goes on.

use std::time::Duration;

use super::window::Moment;

/// How far a sample's time may be behind another's, as several queues or agents deliver them, without being a new time.
const DISORDER: Duration = Duration::from_secs(10);

/// Follows the clock of samples. Should it be set back, which it must not be, windows stand still for a moment instead of
/// piling up everything until it is where it was.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clock {
    /// What the samples' clock showed last.
    shown: Option<Duration>,
    /// In nanoseconds.
    now: u64,
}

impl Clock {
    /// Goes on to a time, and gives the nanoseconds that it is, which are before now for what comes late.
    pub(super) fn advance(&mut self, time: Duration) -> u64 {
        let shown = *self.shown.get_or_insert_with(|| {
            self.now = nanos(time);
            time
        });
        if time < shown && shown - time <= DISORDER {
            return self.now.saturating_sub(nanos(shown - time));
        }
        if time > shown {
            self.now = self.now.saturating_add(nanos(time - shown));
        }
        self.shown = Some(time);
        self.now
    }

    /// Goes on to where another one is, if that is later.
    pub(super) fn follow(&mut self, other: &Clock) {
        if let Some(time) = other.shown.filter(|time| self.shown.is_none_or(|shown| shown < *time)) {
            self.advance(time);
        }
    }

    pub(super) fn now(&self) -> u64 {
        self.now
    }

    pub(super) fn moment(&self) -> Moment {
        Moment::at(self.now)
    }

    pub(super) fn shown(&self) -> Duration {
        self.shown.unwrap_or_default()
    }
}

/// 584 years, then it stands still.
pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_goes_on() {
        let mut clock = Clock::default();
        let mut at = |millis: u64| {
            let moment = clock.advance(Duration::from_millis(millis));
            (moment / 1_000_000, clock.now() / 1_000_000)
        };
        assert_eq!([at(5_000), at(5_100), at(4_900)], [(5_000, 5_000), (5_100, 5_100), (4_900, 5_100)]);
        // Set back by thirty seconds: from here on time goes on from where it was.
        assert_eq!(at(35_100), (35_100, 35_100));
        assert_eq!([at(5_000), at(5_300)], [(35_100, 35_100), (35_400, 35_400)]);
    }
}

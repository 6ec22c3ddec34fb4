//! When samples were taken: what agents say, by our clock.

use std::time::Duration;

/// An agent's clock may be faster than ours by one part in so many, and is still followed.
const DRIFT: u32 = 10_000;
/// What is further behind than this is no delay: the agent's clock stands still.
const LONGEST: Duration = Duration::from_secs(5);
/// One that goes back by more than datagrams overtake each other has begun anew.
const BACK: Duration = Duration::from_secs(1);

/// The clock of an agent's sender, by the datagrams that were the fastest. Datagrams that waited, here or on their way, are so
/// given the time when they were sent: a queue that is read at once is no burst of traffic.
#[derive(Clone, Copy, Debug)]
pub(super) struct AgentClock {
    /// Our time at the agent's beginning, in nanoseconds; before ours for one that has been there for longer.
    offset: i64,
    /// Our time when that was estimated last.
    at: Duration,
    uptime: Duration,
}

impl AgentClock {
    /// Of a datagram that came now and says how long its agent is there.
    pub(super) fn new(now: Duration, uptime: Duration) -> AgentClock {
        AgentClock { offset: nanos(now) - nanos(uptime), at: now, uptime }
    }

    /// When a datagram was sent.
    pub(super) fn time(&mut self, now: Duration, uptime: Duration) -> Duration {
        let newest = nanos(now) - nanos(uptime);
        let drift = nanos(now.saturating_sub(self.at) / DRIFT);
        if newest - self.offset > nanos(LONGEST) || uptime + BACK < self.uptime {
            self.offset = newest;
        }
        self.offset = (self.offset + drift).min(newest);
        (self.at, self.uptime) = (now, uptime);
        Duration::from_nanos(u64::try_from(self.offset + nanos(uptime)).unwrap_or(0))
    }
}

/// 292 years, then it stands still.
fn nanos(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn what_waited_has_the_time_when_it_was_sent() {
        let mut clock = AgentClock::new(ms(10_005), ms(500_000));
        assert_eq!(clock.time(ms(10_102), ms(500_100)), ms(10_102), "this one was faster");
        // Nobody read for two seconds.
        for sent in (500_200..502_200).step_by(100) {
            let time = clock.time(ms(12_200), ms(sent));
            assert!(time.abs_diff(ms(sent - 489_998)) < ms(1), "{time:?}");
        }
        let behind = clock.time(ms(12_301), ms(502_300));
        assert!(behind <= ms(12_303));
    }

    #[test]
    fn an_agent_that_begins_anew_or_stands_still_is_followed() {
        let mut clock = AgentClock::new(ms(10_000), ms(500_000));
        assert_eq!(clock.time(ms(11_000), ms(3)), ms(11_000));
        assert_eq!(clock.time(ms(11_100), ms(103)), ms(11_100));
        assert_eq!(clock.time(ms(14_100), ms(3_103)), ms(14_100));
        assert_eq!(clock.time(ms(14_700), ms(0)), ms(14_700), "again, soon");
        let mut still = AgentClock::new(ms(10_000), ms(0));
        for now in (10_000..60_000).step_by(500) {
            let time = still.time(ms(now), ms(0));
            assert!(time <= ms(now) && ms(now) - time <= ms(5_500), "{now}: {time:?}");
        }
    }

    #[test]
    fn a_clock_that_is_slower_than_ours_is_followed() {
        let mut clock = AgentClock::new(ms(0), ms(0));
        let mut worst = ms(0);
        for second in 1..10_000u64 {
            // By 50 parts in a million.
            let (now, uptime) = (ms(1000 * second), Duration::from_micros(999_950 * second));
            worst = worst.max(now - clock.time(now, uptime));
        }
        assert!(worst < ms(1), "{worst:?}");
    }
}

//! How long a backend that falls again and again must be well before it is trusted.

use std::time::Duration;

/// Falls are counted, and a long time without one takes one off the count. From the second on, being well must last: `first`
/// for the second, twice as long for each further one, and never longer than `ceiling`. (RFC 2439 damps routes that flap by
/// a penalty that decays exponentially; counting is the same in steps that can be explained.)
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Damping {
    /// How long a backend must be well after its second fall. Zero damps nothing.
    pub first: Duration,
    /// The longest that it ever must.
    pub ceiling: Duration,
    /// How long a time without a fall takes one off the count.
    pub forget: Duration,
}

impl Default for Damping {
    /// 10 s for the second fall, at most 5 min; a fall is forgotten after 10 min.
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Damping { first: seconds(10), ceiling: seconds(300), forget: seconds(600) }
    }
}

/// The falls of one backend that are not forgotten.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Falls {
    count: u32,
    last: Duration,
}

impl Falls {
    /// Counts one more. The count ends where longer holds would, so that what is forgotten shows.
    pub(crate) fn fall(&mut self, damping: &Damping, now: Duration) {
        let quiet = now.saturating_sub(self.last).as_nanos();
        let forgotten = quiet.checked_div(damping.forget.as_nanos()).unwrap_or(0);
        let count = u128::from(self.count).saturating_sub(forgotten) as u32;
        let longest = damping.hold(count) == damping.ceiling && count > 1;
        *self = Falls { count: if longest { count } else { count + 1 }, last: now };
    }

    /// How long being well must last.
    pub(crate) fn hold(&self, damping: &Damping) -> Duration {
        damping.hold(self.count)
    }
}

impl Damping {
    fn hold(&self, falls: u32) -> Duration {
        match falls {
            0 | 1 => Duration::ZERO,
            _ => {
                let times = 1_u32.checked_shl(falls - 2).unwrap_or(u32::MAX);
                self.first.saturating_mul(times).min(self.ceiling)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAMPING: Damping = Damping {
        first: Duration::from_secs(10),
        ceiling: Duration::from_secs(60),
        forget: Duration::from_secs(600),
    };

    fn holds(damping: &Damping, falls: &mut Falls, times: &[u64]) -> Vec<u64> {
        let mut fall = |time: &u64| {
            falls.fall(damping, Duration::from_secs(*time));
            falls.hold(damping).as_secs()
        };
        times.iter().map(&mut fall).collect()
    }

    #[test]
    fn each_fall_doubles_the_hold_up_to_the_ceiling() {
        let mut falls = Falls::default();
        assert_eq!(holds(&DAMPING, &mut falls, &[1, 2, 3, 4, 5, 6, 7]), [0, 10, 20, 40, 60, 60, 60]);
        assert_eq!(falls.count, 5);
    }

    #[test]
    fn quiet_times_are_counted_down() {
        let mut falls = Falls::default();
        holds(&DAMPING, &mut falls, &[1, 2, 3, 4]);
        assert_eq!(holds(&DAMPING, &mut falls, &[4 + 599]), [60], "not yet");
        assert_eq!(
            holds(&DAMPING, &mut falls, &[603 + 1800]),
            [20],
            "three of five are forgotten, one is new"
        );
        assert_eq!(holds(&DAMPING, &mut falls, &[100_000]), [0]);
    }

    #[test]
    fn nothing_is_damped_without_a_hold() {
        let damping = Damping { first: Duration::ZERO, ..DAMPING };
        let times: Vec<u64> = (1..200).collect();
        assert!(holds(&damping, &mut Falls::default(), &times).iter().all(|hold| *hold == 0));
    }

    /// Nor is anything forgotten in no time.
    #[test]
    fn what_is_never_forgotten() {
        let damping = Damping { forget: Duration::ZERO, ..DAMPING };
        assert_eq!(holds(&damping, &mut Falls::default(), &[1, 1_000_000]), [0, 10]);
    }
}

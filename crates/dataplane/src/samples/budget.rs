//! How rarely to sample, so that there are no more samples than there may be: a pure function.

use std::time::Duration;

/// Of the budget so much is aimed at, so that traffic which grows a little stays inside.
const AIM: f64 = 0.9;
/// With less than so much of it samples come more often again.
const LITTLE: f64 = 0.7;
/// They come this much more often at most with each look, as traffic that went may come back.
const STEP: f64 = 2.0;

/// What a statement was seen to do.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Seen {
    /// One in so many, as the policy says: it is never less.
    pub declared: u32,
    /// How many samples there may be in a second.
    pub budget: u64,
    /// One in so many, as it was.
    pub one_in: u32,
    /// How many samples were taken so.
    pub taken: u64,
    /// In which time.
    pub time: Duration,
}

/// One in how many packets should be sampled from now on.
pub fn next_one_in(seen: &Seen) -> u32 {
    let seconds = seen.time.as_secs_f64();
    if seconds <= 0.0 {
        return seen.one_in.max(seen.declared);
    }
    let of_budget = seen.taken as f64 / seconds / (seen.budget.max(1)) as f64;
    let now = f64::from(seen.one_in);
    let aimed_at = now * of_budget / AIM;
    let next = match of_budget {
        too_much if too_much > 1.0 => aimed_at,
        little if little < LITTLE => aimed_at.max(now / STEP),
        _ => now,
    };
    // Out of range becomes the range's end.
    (next.ceil() as u32).max(seen.declared)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks each second at traffic of so many packets a second.
    fn after(declared: u32, budget: u64, packets: impl Fn(u32) -> u64, looks: u32) -> Vec<u32> {
        let mut one_in = declared;
        (0..looks)
            .map(|second| {
                let taken = packets(second) / u64::from(one_in);
                let time = Duration::from_secs(1);
                one_in = next_one_in(&Seen { declared, budget, one_in, taken, time });
                one_in
            })
            .collect()
    }

    #[test]
    fn little_traffic_is_sampled_as_declared() {
        assert_eq!(after(1000, 10_000, |_| 100_000, 5), [1000; 5]);
    }

    #[test]
    fn too_many_become_as_many_as_there_may_be_at_once() {
        let steps = after(1, 10_000, |_| 10_000_000, 5);
        assert_eq!(steps, [1112, 1112, 1112, 1112, 1112], "10,000,000 / 1,112 is nine tenths of the budget");
    }

    #[test]
    fn what_goes_is_followed_step_by_step_and_not_beyond_what_is_declared() {
        let steps = after(100, 1000, |second| if second == 0 { 10_000_000 } else { 0 }, 12);
        assert_eq!(steps[..3], [11_112, 5556, 2778]);
        assert_eq!(steps[11], 100);
    }

    #[test]
    fn traffic_that_stays_leaves_it_alone() {
        for packets in [1_000, 123_456, 9_999_999] {
            let steps = after(10, 500, |_| packets, 60);
            assert_eq!(steps[40..].iter().min(), steps[40..].iter().max(), "{packets} packets a second");
            assert!(packets / u64::from(steps[59]) <= 500);
        }
    }

    #[test]
    fn no_time_and_no_budget_are_no_reason_to_panic() {
        let seen = Seen { declared: 5, budget: 0, one_in: 1, taken: u64::MAX, time: Duration::ZERO };
        assert_eq!(next_one_in(&seen), 5);
        assert_eq!(next_one_in(&Seen { time: Duration::from_secs(1), ..seen }), u32::MAX);
    }
}

//! Whether a mitigation is still hit.

use std::time::Duration;

/// Being hit at less than this part of its highest rate is not being hit: one in 100. A rule that catches an everyday packet now and then has lost its
/// reason.
const ALIVE: f64 = 0.01;

/// Rates are of so long at least: packets that come one by one have none.
const LATELY: Duration = Duration::from_secs(1);

/// What the counter of a mitigation has said. Times are of any clock that does not go back.
///
/// Whoever takes a mitigation away when it is not hit asks here, so that all of them mean the same by that.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Hits {
    /// Packets, in shadow and since.
    pub packets: u64,
    /// What the counter said last.
    counter: u64,
    /// Packets since a moment.
    lately: (u64, Duration),
    /// Their rate in the time before that, a second.
    before: f64,
    highest: f64,
    last: Duration,
}

impl Hits {
    /// Of a mitigation that begins now.
    pub fn new(now: Duration) -> Hits {
        // It is hit from its first moment on, and maybe not for long.
        Hits { before: f64::INFINITY, ..Hits::going_on(0, 0.0, now) }
    }

    /// Of one that was hit by so many packets, at this rate at most as far as is known, before anybody looks from here.
    pub fn going_on(packets: u64, highest: f64, now: Duration) -> Hits {
        Hits { packets, counter: 0, lately: (0, now), before: 0.0, highest, last: now }
    }

    /// Of another statement in its place, which the same counter counts for.
    #[must_use]
    pub fn of_another(self, now: Duration) -> Hits {
        Hits { packets: self.packets, counter: self.counter, ..Hits::new(now) }
    }

    /// What the counter says now; one that is lower than before began anew.
    pub fn read(&mut self, counter: u64, now: Duration) {
        let more = if counter < self.counter { counter } else { counter - self.counter };
        self.counter = counter;
        self.packets = self.packets.saturating_add(more);
        self.lately.0 = self.lately.0.saturating_add(more);
        let (hits, since) = self.lately;
        let time = now.saturating_sub(since);
        if time < LATELY {
            return;
        }
        let rate = hits as f64 / time.as_secs_f64();
        // Twice running: a counter that was out of sight for a while jumps, and that is no rate.
        self.highest = self.highest.max(rate.min(self.before));
        (self.lately, self.before) = ((0, now), rate);
        if hits > 0 && rate >= self.highest * ALIVE {
            self.last = now;
        }
    }

    /// Whether it was not hit for so long.
    pub fn is_idle(&self, time: Duration, now: Duration) -> bool {
        now.saturating_sub(self.last) >= time
    }

    /// The time without hits begins now.
    pub fn wait_from(&mut self, now: Duration) {
        self.last = now;
    }

    /// The highest rate, packets a second.
    pub fn highest(&self) -> f64 {
        self.highest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(60);

    /// A counter that is read twice a second.
    struct Counter {
        hits: Hits,
        packets: u64,
        halves: u64,
    }

    impl Counter {
        fn new() -> Counter {
            Counter { hits: Hits::new(Duration::ZERO), packets: 0, halves: 0 }
        }

        fn now(&self) -> Duration {
            Duration::from_millis(500 * self.halves)
        }

        /// So many packets a second, and whether it is idle then.
        fn go(&mut self, rate: u64, seconds: u64) -> bool {
            for half in 0..2 * seconds {
                self.halves += 1;
                self.packets += if half % 2 == 0 { rate / 2 } else { rate - rate / 2 };
                self.hits.read(self.packets, self.now());
            }
            self.hits.is_idle(IDLE, self.now())
        }
    }

    #[test]
    fn a_rate_keeps_it_and_a_trickle_does_not() {
        let mut counter = Counter::new();
        assert!(!counter.go(30_000, 300) && !counter.go(400, 300), "one in 75 is still an attack");
        assert!(!counter.go(15, 50) && counter.go(15, 20));
        assert!(!counter.go(30_000, 2), "it is back");
    }

    #[test]
    fn pulses_keep_it() {
        let mut counter = Counter::new();
        for _ in 0..20 {
            assert!(!counter.go(30_000, 3) && !counter.go(15, 50));
        }
        assert!(counter.go(15, 20));
    }

    #[test]
    fn an_attack_of_a_moment_is_a_rate() {
        let mut counter = Counter::new();
        assert!(!counter.go(30_000, 1) && counter.go(15, 61));
    }

    #[test]
    fn what_came_while_nobody_looked_is_no_rate() {
        let mut counter = Counter::new();
        counter.go(1000, 10);
        // Ten minutes of it.
        counter.packets += 600_000;
        assert!(!counter.go(1000, 300));
        assert_eq!((counter.hits.highest(), counter.hits.packets), (1000.0, 910_000));
        // Somebody else looks now.
        counter.hits = Hits::going_on(0, 0.0, counter.now());
        assert!(!counter.go(1000, 300) && counter.go(9, 61));
        counter.hits = Hits::going_on(0, 1000.0, counter.now());
        assert!(counter.go(9, 61), "the highest rate was told");
    }

    #[test]
    fn another_statement_has_a_rate_of_its_own() {
        let mut counter = Counter::new();
        counter.go(30_000, 10);
        counter.hits = counter.hits.of_another(counter.now());
        assert!(!counter.go(15, 100));
        assert_eq!(counter.hits.packets, 301_500);
    }
}

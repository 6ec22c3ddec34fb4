//! Checks by a clock that the test owns.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use weir_pool::damping::Damping;
use weir_pool::health::{Checks, Due, Health, Outcome, Rhythm, RhythmError, State};

const EVERY: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_secs(1);
const UNDAMPED: Damping =
    Damping { first: Duration::ZERO, ceiling: Duration::ZERO, forget: Duration::from_secs(60) };

fn rhythm(fall: u32, rise: u32) -> Rhythm {
    Rhythm::new(EVERY, TIMEOUT, fall, rise).expect("a rhythm")
}

fn failed() -> Outcome {
    Outcome::Failed("connection refused".to_owned())
}

/// One check, number 7, and the time.
struct One {
    checks: Checks,
    now: Duration,
}

impl One {
    fn new(rhythm: Rhythm, damping: Damping) -> One {
        let mut checks = Checks::new(damping);
        checks.add(7, rhythm, State::up(Duration::ZERO), Duration::ZERO);
        One { checks, now: Duration::ZERO }
    }

    /// Waits for the next probe; its number.
    fn probe(&mut self) -> u64 {
        self.now = self.checks.wake().expect("a check");
        match self.checks.next(self.now) {
            Some(Due::Probe { check: 7, probe, deadline }) => {
                assert_eq!(deadline, self.now + TIMEOUT);
                probe
            }
            other => panic!("{other:?} instead of a probe"),
        }
    }

    fn tell(&mut self, probe: u64, outcome: Outcome) -> Option<State> {
        self.checks.result(7, probe, outcome, self.now)
    }

    /// One probe with this outcome; whether the health is another one now.
    fn check(&mut self, outcome: Outcome) -> Option<Health> {
        let probe = self.probe();
        self.tell(probe, outcome).map(|state| state.health)
    }
}

#[test]
fn the_third_failure_in_a_row_takes_down() {
    let mut one = One::new(rhythm(3, 2), UNDAMPED);
    let outcomes = [failed(), failed(), Outcome::Ok, failed(), failed()];
    assert!(outcomes.into_iter().all(|outcome| one.check(outcome).is_none()));
    assert_eq!(one.check(failed()), Some(Health::Down));
    let state = one.checks.state(7).unwrap();
    assert_eq!((state.since, state.reason.as_deref()), (one.now, Some("connection refused")));
    assert_eq!(one.check(Outcome::Ok), None);
    assert_eq!(one.check(Outcome::Ok), Some(Health::Up));
    assert_eq!(*one.checks.state(7).unwrap(), State::up(one.now));
}

#[test]
fn silence_is_a_failure_once() {
    let mut one = One::new(rhythm(1, 1), UNDAMPED);
    let probe = one.probe();
    let begun = one.now;
    assert_eq!(one.checks.wake(), Some(begun + TIMEOUT));
    assert_eq!(one.checks.next(begun + TIMEOUT - Duration::from_nanos(1)), None);
    let due = one.checks.next(begun + TIMEOUT);
    let reason = Some("no answer within 1s".to_owned());
    let state = State { health: Health::Down, since: begun + TIMEOUT, reason };
    assert_eq!(due, Some(Due::Changed { check: 7, state }));
    assert_eq!(one.tell(probe, Outcome::Ok), None, "late");
    assert_eq!(one.checks.state(7).unwrap().health, Health::Down);
    assert_eq!(one.checks.wake(), Some(begun + EVERY));
}

#[test]
fn old_results_change_nothing() {
    let mut one = One::new(rhythm(1, 1), UNDAMPED);
    let first = one.probe();
    assert_eq!(one.tell(first, Outcome::Ok), None);
    assert_eq!(one.tell(first, failed()), None, "twice");
    let second = one.probe();
    assert_eq!(one.tell(first, failed()), None, "of another probe");
    one.checks.add(7, rhythm(1, 1), State::up(one.now), one.now);
    assert_eq!(one.tell(second, failed()), None, "of a check that was replaced");
    one.checks.remove(7);
    assert_eq!((one.checks.wake(), one.checks.state(7)), (None, None));
    assert_eq!(one.tell(second, failed()), None, "of none");
}

#[test]
fn a_checker_that_cannot_check_says_nothing() {
    let mut one = One::new(rhythm(2, 1), UNDAMPED);
    assert_eq!(one.check(unmade()), None);
    assert_eq!(one.check(failed()), None);
    assert_eq!(one.check(unmade()), None, "nor does it end a row");
    assert_eq!(one.check(failed()), Some(Health::Down));
}

/// What is known of the backend stays; that it may be old is told once, and when it is not any longer.
#[test]
fn a_checker_that_cannot_check_for_long_says_why() {
    let mut one = One::new(rhythm(2, 1), UNDAMPED);
    let mut tell = |outcome| {
        let probe = one.probe();
        let told = one.tell(probe, outcome)?;
        Some((told.health, told.reason.unwrap_or_default()))
    };
    assert_eq!(tell(unmade()), None);
    assert_eq!(tell(unmade()), Some((Health::Up, "not asked any longer: no memory".to_owned())));
    assert_eq!(tell(unmade()), None, "once");
    assert_eq!(tell(failed()), Some((Health::Up, String::new())), "asked again");
    assert_eq!(tell(failed()).map(|told| told.0), Some(Health::Down));
    assert_eq!(tell(unmade()), None);
    let (health, reason) = tell(unmade()).expect("news");
    assert!(reason.ends_with("; not asked any longer: no memory"), "{reason}");
    assert_eq!(health, Health::Down);
}

fn unmade() -> Outcome {
    Outcome::NotMade("no memory".to_owned())
}

/// The caller stood still for longer than the timeout: an answer that is there counts, and no probe is made up for.
#[test]
fn a_caller_that_stood_still_blames_no_one() {
    let mut one = One::new(rhythm(1, 1), UNDAMPED);
    let probe = one.probe();
    let begun = one.now;
    one.now += 10 * EVERY + TIMEOUT / 2;
    assert_eq!(one.tell(probe, Outcome::Ok), None);
    let Some(Due::Probe { probe, .. }) = one.checks.next(one.now) else { panic!("no probe") };
    assert_eq!(one.tell(probe, Outcome::Ok), None);
    assert_eq!(one.checks.next(one.now), None);
    assert_eq!(one.checks.wake(), Some(begun + 11 * EVERY), "where it would have been");
}

#[test]
fn who_flaps_must_be_well_for_longer() {
    let damping = Damping { first: 4 * EVERY, ceiling: 10 * EVERY, forget: 1000 * EVERY };
    let mut one = One::new(rhythm(1, 2), damping);
    let (mut holds, mut needed) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        assert_eq!(one.check(failed()), Some(Health::Down));
        holds.push(one.checks.hold(7).unwrap());
        needed.push((1..).find(|_| one.check(Outcome::Ok) == Some(Health::Up)).unwrap());
    }
    assert_eq!(holds, [0, 4, 8, 10, 10].map(|periods| periods * EVERY));
    // The time from the first success on, and that one.
    assert_eq!(needed, [2, 5, 9, 11, 11]);
}

#[test]
fn no_success_before_a_failure_counts_for_the_hold() {
    let damping = Damping { first: 4 * EVERY, ceiling: 10 * EVERY, forget: 1000 * EVERY };
    let mut one = One::new(rhythm(1, 1), damping);
    for outcome in [failed(), Outcome::Ok, failed()] {
        one.check(outcome);
    }
    assert!((0..4).all(|_| one.check(Outcome::Ok).is_none()));
    assert_eq!(one.check(failed()), None);
    assert!((0..4).all(|_| one.check(Outcome::Ok).is_none()));
    assert_eq!(one.check(Outcome::Ok), Some(Health::Up));
}

/// Many checks over ten periods: each has its ten probes at a distance of a period, spread over it.
#[test]
fn checks_are_spread_and_keep_time() {
    const COUNT: u64 = 5000;
    let mut checks = Checks::new(UNDAMPED);
    (0..COUNT).for_each(|check| checks.add(check, rhythm(3, 2), State::up(Duration::ZERO), Duration::ZERO));
    let mut begun: BTreeMap<u64, Vec<Duration>> = BTreeMap::new();
    while let Some(now) = checks.wake().filter(|now| *now < 10 * EVERY) {
        while let Some(due) = checks.next(now) {
            let Due::Probe { check, probe, .. } = due else { panic!("{due:?} instead of a probe") };
            begun.entry(check).or_default().push(now);
            assert_eq!(checks.result(check, probe, Outcome::Ok, now), None);
        }
        assert!(checks.wake().is_none_or(|next| next > now));
    }
    assert_eq!(begun.len() as u64, COUNT);
    let mut tenths = [0; 10];
    for times in begun.values() {
        assert_eq!(times.len(), 10);
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] == EVERY));
        tenths[(times[0].as_nanos() * 10 / EVERY.as_nanos()) as usize] += 1;
    }
    // Five standard deviations of what chance would put into a tenth.
    assert!(tenths.iter().all(|tenth| (394..=606).contains(tenth)), "{tenths:?}");
}

#[test]
fn rhythms_that_no_check_can_follow_are_refused() {
    let refused = |timeout, fall, rise| Rhythm::new(EVERY, timeout, fall, rise).unwrap_err();
    assert_eq!(
        refused(EVERY * 2, 1, 1).to_string(),
        "a check every 2s cannot have a timeout of 4s: use more than nothing, and 2s at most"
    );
    assert!(matches!(refused(Duration::ZERO, 1, 1), RhythmError::Timeout { .. }));
    assert_eq!(refused(TIMEOUT, 1, 0).to_string(), "a check cannot have a `rise` of 0: use 1 or more");
    assert_eq!(refused(TIMEOUT, 0, 1), RhythmError::Zero { what: "fall" });
    assert!(Rhythm::new(EVERY, EVERY, 1, 1).is_ok());
}

/// Health from all that was said, from the first result on.
fn from_history(said: &[bool], fall: u32, rise: u32) -> Health {
    let mut health = Health::Up;
    let mut row = 0;
    for well in said {
        row = if *well == (health == Health::Up) { 0 } else { row + 1 };
        let (needed, other) = match health {
            Health::Up => (fall, Health::Down),
            Health::Down => (rise, Health::Up),
        };
        if row == needed {
            (health, row) = (other, 0);
        }
    }
    health
}

proptest! {
    #[test]
    fn rows_decide(
        outcomes in prop::collection::vec(0..4_u8, 0..60), fall in 1..5_u32, rise in 1..5_u32,
    ) {
        let mut one = One::new(rhythm(fall, rise), UNDAMPED);
        let mut said = Vec::new();
        for outcome in outcomes {
            let before = one.checks.state(7).unwrap().health;
            let probe = one.probe();
            let changed = match outcome {
                0 => one.tell(probe, Outcome::Ok),
                1 => one.tell(probe, failed()),
                2 => one.tell(probe, unmade()),
                _ => match one.checks.next(one.now + TIMEOUT) {
                    Some(Due::Changed { state, .. }) => Some(state),
                    _ => None,
                },
            };
            said.extend((outcome != 2).then_some(outcome == 0));
            let health = one.checks.state(7).unwrap().health;
            prop_assert_eq!(health, from_history(&said, fall, rise));
            let news = changed.filter(|state| state.health != before);
            prop_assert_eq!(news.map(|state| state.health), (health != before).then_some(health));
        }
    }
}

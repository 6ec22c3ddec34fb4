//! When backends are checked, and what the results say of them.
//!
//! The caller tells results by [`Checks::result`] as they come, asks [`Checks::next`] what is to be done until it answers nothing,
//! and sleeps until [`Checks::wake`]. In this order: a result is late when its probe has been timed out, not by the clock, so a
//! caller that was held up blames no backend whose answer was there in time.
//!
//! A probe has its result or is timed out before the check's next one begins. What comes later, or twice, or from a
//! check that was taken out, changes nothing.
//!
//! `fall` failures one after the other take a backend down; `rise` successes bring it back, if they have also lasted as long as
//! [`Damping`] says for one that falls again and again. A probe that could not be made says nothing of the backend: neither
//! does it count, nor does it end a row.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use crate::damping::{Damping, Falls};
use crate::flow;

/// How often a backend is checked, and how many results decide.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rhythm {
    every: Duration,
    timeout: Duration,
    fall: u32,
    rise: u32,
}

impl Rhythm {
    /// Refuses what no check can follow: a probe must be over before the next one begins.
    pub fn new(every: Duration, timeout: Duration, fall: u32, rise: u32) -> Result<Rhythm, RhythmError> {
        if timeout.is_zero() || timeout > every {
            return Err(RhythmError::Timeout { every, timeout });
        }
        match (fall, rise) {
            (0, _) => Err(RhythmError::Zero { what: "fall" }),
            (_, 0) => Err(RhythmError::Zero { what: "rise" }),
            _ => Ok(Rhythm { every, timeout, fall, rise }),
        }
    }

    /// Where in a period a check begins: the same for the same check, and all over the period for many.
    fn phase(&self, check: u64) -> Duration {
        let part = flow::hash(0, &[check]) >> 32;
        let nanoseconds = (self.every.as_nanos() * u128::from(part)) >> 32;
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }
}

/// Why there is no such rhythm.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RhythmError {
    /// Probes would overlap, or have no time.
    Timeout {
        /// From one probe to the next.
        every: Duration,
        /// For one probe.
        timeout: Duration,
    },
    /// No results would decide.
    Zero {
        /// `fall` or `rise`.
        what: &'static str,
    },
}

impl fmt::Display for RhythmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout { every, timeout } => write!(
                f,
                "a check every {every:?} cannot have a timeout of {timeout:?}: use more than nothing, and {every:?} at most"
            ),
            Self::Zero { what } => write!(f, "a check cannot have a `{what}` of 0: use 1 or more"),
        }
    }
}

impl std::error::Error for RhythmError {}

/// What came of a probe.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The backend is well.
    Ok,
    /// It is not, and why.
    Failed(String),
    /// There was no answer in time.
    TimedOut,
    /// The probe could not be made, and why: that is not the backend's fault.
    NotMade(String),
}

/// What is known of a backend.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Health {
    /// It answers as it should.
    Up,
    /// It does not.
    Down,
}

/// A backend's health, and how it came to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct State {
    /// What holds.
    pub health: Health,
    /// Since when.
    pub since: Duration,
    /// Why: the failure that took it down, or nothing. Where it is not asked any longer that is said as well.
    pub reason: Option<String>,
}

impl State {
    /// What is assumed of a backend until checks say something else.
    pub fn up(since: Duration) -> State {
        State { health: Health::Up, since, reason: None }
    }
}

/// What is to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Due {
    /// Begin a probe, whose result is told by its number.
    Probe {
        /// Of which check.
        check: u64,
        /// The number of the probe.
        probe: u64,
        /// When it will be timed out.
        deadline: Duration,
    },
    /// A backend is down by a probe that timed out.
    Changed {
        /// Which check.
        check: u64,
        /// What is so now.
        state: State,
    },
}

/// All checks of all backends.
#[derive(Clone, Default, Debug)]
pub struct Checks {
    damping: Damping,
    checks: BTreeMap<u64, Check>,
    /// When each check next needs something: the end of its probe, or its next one.
    queue: BTreeSet<(Duration, u64)>,
    /// How many probes there were.
    probes: u64,
}

impl Checks {
    /// None yet.
    pub fn new(damping: Damping) -> Checks {
        Checks { damping, ..Checks::default() }
    }

    /// Adds a check by a number that the caller has chosen, in place of one of that number. `state` is what is known already.
    pub fn add(&mut self, check: u64, rhythm: Rhythm, state: State, now: Duration) {
        self.remove(check);
        let next = now.saturating_add(rhythm.phase(check));
        self.queue.insert((next, check));
        let fresh = Check {
            rhythm,
            state,
            next,
            probe: None,
            row: Row::default(),
            falls: Falls::default(),
            unmade: Unmade::default(),
        };
        self.checks.insert(check, fresh);
    }

    /// Takes a check out. What its probe says is ignored.
    pub fn remove(&mut self, check: u64) {
        if let Some(removed) = self.checks.remove(&check) {
            self.queue.remove(&(removed.needs(), check));
        }
    }

    /// What is known of a backend.
    pub fn state(&self, check: u64) -> Option<&State> {
        self.checks.get(&check).map(|check| &check.state)
    }

    /// How long a backend that is down must be well before it is up, besides `rise`: nothing unless it falls again and again.
    pub fn hold(&self, check: u64) -> Option<Duration> {
        self.checks.get(&check).map(|check| check.falls.hold(&self.damping))
    }

    /// When [`next`](Self::next) will have something to say.
    pub fn wake(&self) -> Option<Duration> {
        self.queue.first().map(|(time, _)| *time)
    }

    /// One thing that is to be done, or nothing as yet.
    pub fn next(&mut self, now: Duration) -> Option<Due> {
        while let Some((time, number)) = self.queue.first().copied().filter(|(time, _)| *time <= now) {
            let check = self.checks.get_mut(&number)?;
            self.queue.remove(&(time, number));
            let due = if check.probe.is_some() {
                let changed = check.end(Outcome::TimedOut, &self.damping, now);
                changed.map(|state| Due::Changed { check: number, state })
            } else {
                self.probes += 1;
                let deadline = check.begin(self.probes, now);
                Some(Due::Probe { check: number, probe: self.probes, deadline })
            };
            self.queue.insert((check.needs(), number));
            if due.is_some() {
                return due;
            }
        }
        None
    }

    /// The result of a probe; what is so now, if that is another thing than before.
    pub fn result(&mut self, check: u64, probe: u64, outcome: Outcome, now: Duration) -> Option<State> {
        let number = check;
        let check = self.checks.get_mut(&number)?;
        if check.probe.as_ref().is_none_or(|current| current.number != probe) {
            return None;
        }
        self.queue.remove(&(check.needs(), number));
        let changed = check.end(outcome, &self.damping, now);
        self.queue.insert((check.needs(), number));
        changed
    }
}

#[derive(Clone, Debug)]
struct Check {
    rhythm: Rhythm,
    state: State,
    /// When the next probe begins.
    next: Duration,
    /// The one that is under way.
    probe: Option<Probe>,
    row: Row,
    falls: Falls,
    unmade: Unmade,
}

/// Probes one after the other that could not be made.
#[derive(Clone, Default, Debug)]
struct Unmade {
    length: u32,
    /// What was told of it.
    told: Option<String>,
}

#[derive(Clone, Debug)]
struct Probe {
    number: u64,
    deadline: Duration,
}

/// Results one after the other that speak against the state.
#[derive(Clone, Copy, Default, Debug)]
struct Row {
    length: u32,
    /// When the first one came.
    since: Duration,
}

impl Check {
    fn needs(&self) -> Duration {
        self.probe.as_ref().map_or(self.next, |probe| probe.deadline)
    }

    /// Begins a probe; until when it has time. Those that were missed are not made up for.
    fn begin(&mut self, number: u64, now: Duration) -> Duration {
        let late = now.saturating_sub(self.next).as_nanos() % self.rhythm.every.as_nanos();
        let late = Duration::from_nanos(u64::try_from(late).unwrap_or(0));
        let deadline = now.saturating_add(self.rhythm.timeout);
        self.next = now.saturating_add(self.rhythm.every - late);
        self.probe = Some(Probe { number, deadline });
        deadline
    }

    /// Nothing is known of the backend by that. If it happens as often as failures would take it down, that is told, as is the
    /// end of it: what holds of the backend may be old.
    fn not_made(&mut self, why: String) -> Option<State> {
        self.unmade.length = self.unmade.length.saturating_add(1);
        if self.unmade.length < self.rhythm.fall || self.unmade.told.as_ref() == Some(&why) {
            return None;
        }
        let state = &self.state;
        let before = state.reason.as_ref().map(|reason| format!("{reason}; ")).unwrap_or_default();
        let told = State { reason: Some(format!("{before}not asked any longer: {why}")), ..state.clone() };
        self.unmade.told = Some(why);
        Some(told)
    }

    /// Ends the probe; the state, if it is another one now.
    fn end(&mut self, outcome: Outcome, damping: &Damping, now: Duration) -> Option<State> {
        self.probe = None;
        let (says, reason) = match outcome {
            Outcome::NotMade(why) => return self.not_made(why),
            Outcome::Ok => (Health::Up, None),
            Outcome::Failed(reason) => (Health::Down, Some(reason)),
            Outcome::TimedOut => (Health::Down, Some(format!("no answer within {:?}", self.rhythm.timeout))),
        };
        let asked_again = std::mem::take(&mut self.unmade).told.is_some();
        if says == self.state.health {
            self.row = Row::default();
            return asked_again.then(|| self.state.clone());
        }
        if self.row.length == 0 {
            self.row.since = now;
        }
        self.row.length = self.row.length.saturating_add(1);
        let lasted = now.saturating_sub(self.row.since);
        let decided = match says {
            Health::Down => self.row.length >= self.rhythm.fall,
            Health::Up => self.row.length >= self.rhythm.rise && lasted >= self.falls.hold(damping),
        };
        if !decided {
            return asked_again.then(|| self.state.clone());
        }
        if says == Health::Down {
            self.falls.fall(damping, now);
        }
        self.row = Row::default();
        self.state = State { health: says, since: now, reason };
        Some(self.state.clone())
    }
}

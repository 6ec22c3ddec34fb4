//! An attack that goes on: what to mine, and when.

use super::recent::{Kept, Recent};
use super::sources::Witnesses;
use std::net::IpAddr;
use std::time::Duration;
use weir_detect::mine::{self, Budget, Findings, Prefix, Protected, Request, Statement};
use weir_detect::sample::{Fate, Sample};
use weir_detect::traffic::{Alert, Victim};

/// The pause after the first look; each later one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// But not longer.
const LAST_PAUSE: Duration = Duration::from_secs(2);
/// What is left of an attack is worth a look from this part of the alert's limit on.
const WORTH: f64 = 0.25;
/// And from so many samples on.
const LEAST: usize = 20;

/// An alert, as the protection goes on from it.
#[derive(Clone, Debug)]
pub(super) struct Attack {
    pub(super) alert: Alert,
    pub(super) victim: Prefix,
    /// When to look again, and the pause after that.
    next: Duration,
    pause: Duration,
    looked: bool,
    /// What came before says nothing of the mitigations that stand now.
    settled: Duration,
}

/// The addresses of a victim; none of a service, whose addresses alerts do not say.
pub(super) fn prefix(victim: &Victim) -> Option<Prefix> {
    match victim {
        Victim::Host(address) => Some(Prefix::host(*address)),
        Victim::Prefix(prefix) => Some(Prefix::new(prefix.address(), prefix.length())),
        Victim::Service(_) => None,
    }
}

impl Attack {
    pub(super) fn of(alert: &Alert) -> Option<Attack> {
        let victim = prefix(&alert.victim)?;
        let (next, settled) = (Duration::ZERO, alert.first);
        Some(Attack { alert: alert.clone(), victim, next, pause: FIRST_PAUSE, looked: false, settled })
    }

    /// Those who sent to the victim before.
    pub(super) fn witnesses(&self, recent: &Recent) -> Witnesses {
        Witnesses::of(&recent.before(&self.victim, self.alert.first), self.alert.first)
    }

    /// Something new stands in the policy since then.
    pub(super) fn settle(&mut self, now: Duration) {
        self.settled = now;
    }

    /// Looks for rules against what still comes through, if it is time to.
    pub(super) fn look<'a>(
        &mut self,
        now: Duration,
        recent: &'a Recent,
        standing: impl Iterator<Item = &'a Statement>,
        protected: &Protected,
        attacked: impl Fn(IpAddr) -> bool,
    ) -> Option<Findings> {
        if now < self.next {
            return None;
        }
        (self.next, self.pause) = (now + self.pause, (self.pause * 2).min(LAST_PAUSE));
        let standing: Vec<&Statement> = standing.filter(|one| one.victim().meets(&self.victim)).collect();
        let left = |kept: &&&Kept| {
            let sample = kept.sample();
            sample.fate == Fate::Passed && !standing.iter().any(|one| one.matches(&sample) == Some(true))
        };
        let all = recent.since(&self.victim, self.alert.first);
        let left: Vec<&Kept> = all.iter().filter(left).copied().collect();
        let again = std::mem::replace(&mut self.looked, true);
        if left.len() < LEAST || (again && !self.is_much(&left, now)) {
            return None;
        }
        let samples =
            |kept: &[&'a Kept]| -> Vec<Sample<'a>> { kept.iter().map(|kept| kept.sample()).collect() };
        let (attack, good) = (samples(&left), samples(&recent.before(&self.victim, self.alert.first)));
        let network = samples(&recent.others(attacked));
        let (good, network, budget) = (good.as_slice(), network.as_slice(), Budget::default());
        Some(mine::mine(&Request { victim: self.victim, attack: &attack, good, network, protected, budget }))
    }

    /// Whether enough comes through since the mitigations stand.
    fn is_much(&self, left: &[&Kept], now: Duration) -> bool {
        let seconds = now.saturating_sub(self.settled).as_secs_f64();
        let lately: Vec<Sample<'_>> =
            left.iter().filter(|kept| kept.time() >= self.settled).map(|kept| kept.sample()).collect();
        if seconds <= 0.0 || lately.len() < LEAST {
            return false;
        }
        let packets: f64 = lately.iter().map(|one| f64::from(one.one_in)).sum();
        let bits: f64 = lately.iter().map(|one| 8.0 * f64::from(one.one_in) * f64::from(one.frame_len)).sum();
        let limit = &self.alert.limit;
        packets / seconds >= WORTH * limit.packets || bits / seconds >= WORTH * limit.bits
    }
}

//! An attack that goes on: what to mine, and when.

use super::recent::{Kept, Recent};
use super::sources::Witnesses;
use std::net::IpAddr;
use std::time::Duration;
use weir_detect::mine::{self, Budget, Findings, Prefix, Protected, Request, Statement};
use weir_detect::sample::{Fate, Sample};
use weir_detect::traffic::{Alert, Victim};

/// The pause between two looks; twice as long after each that found nothing, while there was something to find.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// But not longer.
const LAST_PAUSE: Duration = Duration::from_secs(2);
/// What is left of an attack is worth a look from this part of the alert's limit on, beside twice what came before.
const WORTH: f64 = 0.25;
/// Over so long is looked what comes through: more would hide an attack that changes.
const LATELY: Duration = Duration::from_millis(500);
/// So long before the attack is what came before.
const BEFORE: Duration = Duration::from_secs(1);
/// A rule is for so many samples at least, and for such a part of them: fewer may be a good client's.
const COVERED: f64 = 12.0;
const SHARE: f64 = 0.05;
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
    /// Packets and bits a second before it.
    before: (f64, f64),
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
    pub(super) fn of(alert: &Alert, recent: &Recent) -> Option<Attack> {
        let victim = prefix(&alert.victim)?;
        let before = recent.before(&victim, alert.first);
        let from = alert.first.saturating_sub(BEFORE);
        let before = rates(before.into_iter().filter(|kept| kept.time() >= from), BEFORE);
        let (next, settled) = (Duration::ZERO, alert.first);
        Some(Attack {
            alert: alert.clone(),
            victim,
            next,
            pause: FIRST_PAUSE,
            looked: false,
            before,
            settled,
        })
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
        self.next = now + self.pause;
        let standing: Vec<&Statement> = standing.filter(|one| one.victim().meets(&self.victim)).collect();
        let left = |kept: &&&Kept| {
            let sample = kept.sample();
            sample.fate == Fate::Passed && !standing.iter().any(|one| one.matches(&sample) == Some(true))
        };
        let all = recent.since(&self.victim, self.alert.first);
        let left: Vec<&Kept> = all.iter().filter(left).copied().collect();
        let again = std::mem::replace(&mut self.looked, true);
        if left.len() < LEAST || (again && !self.is_much(&left, now)) {
            self.pause = FIRST_PAUSE;
            return None;
        }
        self.pause = (self.pause * 2).min(LAST_PAUSE);
        let samples =
            |kept: &[&'a Kept]| -> Vec<Sample<'a>> { kept.iter().map(|kept| kept.sample()).collect() };
        let (attack, good) = (samples(&left), samples(&recent.before(&self.victim, self.alert.first)));
        let network = samples(&recent.others(attacked));
        let min_share = (COVERED / attack.len() as f64).clamp(SHARE, 1.0);
        let budget = Budget { min_share, ..Budget::default() };
        let (good, network) = (good.as_slice(), network.as_slice());
        Some(mine::mine(&Request { victim: self.victim, attack: &attack, good, network, protected, budget }))
    }

    /// Whether enough comes through since the mitigations stand.
    fn is_much(&self, left: &[&Kept], now: Duration) -> bool {
        let from = self.settled.max(now.saturating_sub(LATELY));
        let lately: Vec<&Kept> = left.iter().filter(|kept| kept.time() >= from).copied().collect();
        let time = now.saturating_sub(from);
        if time.is_zero() || lately.len() < LEAST {
            return false;
        }
        let ((packets, bits), limit) = (rates(lately.into_iter(), time), &self.alert.limit);
        packets >= WORTH * limit.packets + 2.0 * self.before.0
            || bits >= WORTH * limit.bits + 2.0 * self.before.1
    }
}

/// Packets and bits a second.
fn rates<'a>(samples: impl Iterator<Item = &'a Kept>, time: Duration) -> (f64, f64) {
    let (mut packets, mut bits) = (0.0, 0.0);
    for sample in samples.map(Kept::sample) {
        packets += f64::from(sample.one_in);
        bits += 8.0 * f64::from(sample.one_in) * f64::from(sample.frame_len);
    }
    (packets / time.as_secs_f64(), bits / time.as_secs_f64())
}

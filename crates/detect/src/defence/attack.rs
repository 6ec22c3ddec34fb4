//! An attack that goes on: what to mine, and when.

use super::evidence::Compared;
use super::recent::{Kept, Recent};
use super::sources::Witnesses;
use crate::mine::{self, Budget, Findings, Prefix, Protected, Request, Statement};
use crate::sample::{Fate, Sample};
use crate::traffic::{Alert, Victim};
use std::net::IpAddr;
use std::time::Duration;

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
/// Where the good traffic of just before has too much of the attack in it, the time before that is asked, from so many
/// samples of it on. Within two seconds it was the attack's beginning, which comes late when samples of several agents do; of
/// one that grew for longer only kinds that tell themselves are taken for it, as it may be a new service.
const EARLIER: [(Duration, bool); 3] =
    [(BEGINNING, false), (Duration::from_secs(60), true), (Duration::from_secs(600), true)];
const BEGINNING: Duration = Duration::from_secs(2);
const EARLIER_SAMPLES: usize = 30;
/// It has too much in it if rules against so much of the attack would meet it.
const ENOUGH: f64 = 0.5;
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
    /// Since when something comes through that no mitigation meets, if so.
    hot: Option<Duration>,
    /// When nothing did last.
    calm: Duration,
    /// Packets and bits a second before it.
    before: (f64, f64),
    /// What came before says nothing of the mitigations that stand now.
    settled: Duration,
    /// Until when there was good traffic alone, as far as is known.
    good_until: Duration,
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
        let beginning = alert.first.saturating_sub(BEGINNING);
        let earlier = before.iter().filter(|kept| kept.time() < beginning).count();
        let good_until = if earlier >= EARLIER_SAMPLES { beginning } else { alert.first };
        let from = alert.first.saturating_sub(BEFORE);
        let before = rates(before.into_iter().filter(|kept| kept.time() >= from), BEFORE);
        let (next, settled) = (Duration::ZERO, alert.first);
        Some(Attack {
            alert: alert.clone(),
            victim,
            next,
            pause: FIRST_PAUSE,
            looked: false,
            hot: Some(settled),
            calm: settled,
            before,
            settled,
            good_until,
        })
    }

    /// Those who sent to the victim before.
    pub(super) fn witnesses(&self, recent: &Recent) -> Witnesses {
        Witnesses::of(&recent.before(&self.victim, self.good_until), self.alert.first)
    }

    /// Until when there was good traffic alone.
    pub(super) fn good_until(&self) -> Duration {
        self.good_until
    }

    /// Something new stands in the policy since then.
    pub(super) fn settle(&mut self, now: Duration) {
        self.settled = now;
    }

    /// It is over: what came of it is no history of good traffic.
    pub(super) fn end(&self, now: Duration, recent: &mut Recent) {
        recent.release(self.victim, self.hot.unwrap_or(now), now);
    }

    /// Looks for rules against what still comes through, if it is time to; with the samples that it looked at.
    pub(super) fn look<'a>(
        &mut self,
        now: Duration,
        recent: &mut Recent,
        standing: impl Iterator<Item = (&'a Statement, bool)>,
        protected: &Protected,
        attacked: impl Fn(IpAddr) -> bool,
    ) -> Option<(Findings, Compared)> {
        if now < self.next {
            return None;
        }
        self.next = now + self.pause;
        let standing: Vec<(&Statement, bool)> =
            standing.filter(|(one, _)| one.victim().meets(&self.victim)).collect();
        let is_left = |kept: &&Kept| {
            let sample = kept.sample();
            sample.fate == Fate::Passed && !standing.iter().any(|(one, _)| one.matches(&sample) == Some(true))
        };
        let first = !std::mem::replace(&mut self.looked, true);
        if !first && !self.is_much(now, recent, is_left) {
            self.pause = FIRST_PAUSE;
            if standing.iter().all(|(_, in_shadow)| !in_shadow) {
                self.cool(now, recent);
            }
            return None;
        }
        // Between the last look that saw nothing and this one it began.
        let hot = *self.hot.get_or_insert(self.settled.max(self.calm.saturating_sub(LATELY)));
        recent.hold(self.victim);
        let samples =
            |kept: Vec<&'_ Kept>| -> Vec<Kept> { kept.into_iter().filter(is_left).cloned().collect() };
        let attack = samples(recent.since(&self.victim, hot));
        if attack.len() < LEAST {
            return None;
        }
        self.pause = (self.pause * 2).min(LAST_PAUSE);
        let network = samples(recent.others(attacked));
        let min_share = (COVERED / attack.len() as f64).clamp(SHARE, 1.0);
        let [seen_attack, network] = [&attack, &network].map(|kept| seen(kept));
        let victim = self.victim;
        let mine = |good: &[Kept]| {
            let (attack, good, network) = (&seen_attack[..], &seen(good)[..], &network[..]);
            let budget = Budget { min_share, ..Budget::default() };
            mine::mine(&Request { victim, attack, good, network, protected, budget })
        };
        let mut good = samples(recent.before(&victim, hot));
        let mut found = mine(&good);
        for (earlier, must_tell) in EARLIER {
            let until = hot.saturating_sub(earlier);
            let before = samples(recent.before(&victim, until));
            if found.covered >= ENOUGH || before.len() < EARLIER_SAMPLES {
                break;
            }
            let again = mine(&before);
            let fits = !must_tell || again.statements.iter().all(|one| one.is_telling);
            if again.covered >= ENOUGH && fits {
                (found, good, self.good_until) = (again, before, until);
            }
        }
        Some((found, Compared { attack, good }))
    }

    /// Nothing comes through. What did, until the last mitigation stood, is no history of good traffic.
    fn cool(&mut self, now: Duration, recent: &mut Recent) {
        if now.saturating_sub(self.settled) < LATELY {
            return;
        }
        self.calm = now;
        if let Some(hot) = self.hot.take() {
            recent.release(self.victim, hot, self.settled.max(now.saturating_sub(LATELY)));
        }
    }

    /// Whether enough comes through since the mitigations stand.
    fn is_much(&self, now: Duration, recent: &Recent, is_left: impl Fn(&&Kept) -> bool) -> bool {
        let from = self.settled.max(now.saturating_sub(LATELY));
        let lately: Vec<&Kept> = recent.since(&self.victim, from).into_iter().filter(is_left).collect();
        let time = now.saturating_sub(from);
        if time.is_zero() || lately.len() < LEAST {
            return false;
        }
        let ((packets, bits), limit) = (rates(lately.into_iter(), time), &self.alert.limit);
        packets >= WORTH * limit.packets + 2.0 * self.before.0
            || bits >= WORTH * limit.bits + 2.0 * self.before.1
    }
}

fn seen(kept: &[Kept]) -> Vec<Sample<'_>> {
    kept.iter().map(Kept::sample).collect()
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

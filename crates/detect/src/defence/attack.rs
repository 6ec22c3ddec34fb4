//! An attack that goes on: what to mine, and when.

use super::evidence::Compared;
use super::recent::{Kept, Recent};
use super::sources::Witnesses;
use super::watched::Watched;
use crate::mine::{self, Budget, Destinations, Findings, Protected, Request, Statement};
use crate::sample::{Fate, Sample};
use crate::traffic::Alert;
use std::collections::HashSet;
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
/// The first rules are found by few samples. So long after they stand, the whole attack is looked at again, and then after twice
/// as long each time,
const FIRST_AGAIN: Duration = Duration::from_secs(1);
/// but not longer.
const LAST_AGAIN: Duration = Duration::from_secs(16);
/// What comes with it in so long a time is of it, if it would be by itself; later it may be anybody's.
const YOUNG: Duration = Duration::from_secs(8);
/// At so much of it.
const LOOKED_AT: Duration = Duration::from_secs(2);
/// A rule is better than those of its kind if it meets more of the attack's samples: this share, and so many at least.
const BETTER: (f64, usize) = (0.002, 3);

/// An alert, as the protection goes on from it.
#[derive(Clone, Debug)]
pub(super) struct Attack {
    pub(super) alert: Alert,
    pub(super) victim: Destinations,
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
    /// When to look at the whole again, if rules stand, and the pause after that.
    again: Option<Duration>,
    again_pause: Duration,
}

/// What a look found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) findings: Findings,
    /// The samples that it looked at.
    pub(super) compared: Compared,
    /// The statements are better than what stands against the same kinds.
    pub(super) instead: bool,
}

impl Attack {
    pub(super) fn of(alert: &Alert, recent: &Recent) -> Attack {
        let victim = Destinations::of(alert);
        let before = recent.before(&victim, alert.first);
        let beginning = alert.first.saturating_sub(BEGINNING);
        let earlier = before.iter().filter(|kept| kept.time() < beginning).count();
        let good_until = if earlier >= EARLIER_SAMPLES { beginning } else { alert.first };
        let from = alert.first.saturating_sub(BEFORE);
        let before = rates(before.into_iter().filter(|kept| kept.time() >= from), BEFORE);
        let (next, settled) = (Duration::ZERO, alert.first);
        Attack {
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
            again: None,
            again_pause: FIRST_AGAIN,
        }
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
        self.again.get_or_insert(now + self.again_pause);
    }

    /// It is over: what came of it is no history of good traffic.
    pub(super) fn end(&self, now: Duration, recent: &mut Recent) {
        recent.release(&self.victim, self.hot.unwrap_or(now), now);
    }

    /// Looks for rules if it is time to: against what still comes through, or for better ones.
    pub(super) fn look(
        &mut self,
        now: Duration,
        recent: &mut Recent,
        standing: &[&Watched],
        protected: &Protected,
        attacked: impl Fn(IpAddr) -> bool,
    ) -> Option<Found> {
        let victim = &self.victim;
        let standing: Vec<&Watched> =
            standing.iter().copied().filter(|one| one.victim().meets(victim)).collect();
        if now >= self.next {
            self.next = now + self.pause;
            let found = self.look_at_the_rest(now, recent, &standing, protected, &attacked);
            if found.is_some() {
                return found;
            }
        }
        if self.again.is_some_and(|again| now >= again) {
            self.again_pause = (self.again_pause * 2).min(LAST_AGAIN);
            self.again = (!standing.is_empty()).then_some(now + self.again_pause);
            return self.look_again(now, recent, &standing, protected, &attacked);
        }
        None
    }

    fn look_at_the_rest(
        &mut self,
        now: Duration,
        recent: &mut Recent,
        standing: &[&Watched],
        protected: &Protected,
        attacked: &impl Fn(IpAddr) -> bool,
    ) -> Option<Found> {
        let is_left = |kept: &&Kept| {
            kept.sample().fate == Fate::Passed && !standing.iter().any(|one| one.meets(&kept.sample()))
        };
        let first = !std::mem::replace(&mut self.looked, true);
        if !first && !self.is_much(now, recent, is_left) {
            self.pause = FIRST_PAUSE;
            if !standing.iter().any(|one| one.is_on_trial()) {
                self.cool(now, recent);
            }
            return None;
        }
        // Between the last look that saw nothing and this one it began.
        let hot = *self.hot.get_or_insert(self.settled.max(self.calm.saturating_sub(LATELY)));
        recent.hold(&self.victim);
        let attack = picked(recent.since(&self.victim, hot), is_left);
        if attack.len() < LEAST {
            return None;
        }
        self.pause = (self.pause * 2).min(LAST_PAUSE);
        let network = picked(recent.others(attacked), is_left);
        let mine = |good: &[Kept]| mined(&self.victim, &attack, good, &network, protected);
        let mut good = picked(recent.before(&self.victim, hot), is_left);
        let mut findings = mine(&good);
        let mut good_until = self.good_until;
        for (earlier, must_tell) in EARLIER {
            let until = hot.saturating_sub(earlier);
            let before = picked(recent.before(&self.victim, until), is_left);
            if findings.covered >= ENOUGH || before.len() < EARLIER_SAMPLES {
                break;
            }
            let again = mine(&before);
            let fits = !must_tell || again.statements.iter().all(|one| one.is_telling);
            if again.covered >= ENOUGH && fits {
                (findings, good, good_until) = (again, before, until);
            }
        }
        self.good_until = good_until;
        Some(Found { findings, compared: Compared { attack, good }, instead: false })
    }

    /// Looks at all that the attack sends, whatever becomes of it: with more samples a rule says more. What stands is left as it is
    /// unless another rule of the kind is better; kinds that nothing stands against may have been too few to be seen.
    fn look_again(
        &self,
        now: Duration,
        recent: &Recent,
        standing: &[&Watched],
        protected: &Protected,
        attacked: &impl Fn(IpAddr) -> bool,
    ) -> Option<Found> {
        let passed = |kept: &&Kept| kept.sample().fate == Fate::Passed;
        let good = picked(recent.before(&self.victim, self.good_until), passed);
        // Most of what comes through is good by now: who sent before is not looked at.
        let known: HashSet<IpAddr> = good.iter().map(Kept::source).collect();
        let met = |kept: &Kept| standing.iter().any(|one| one.meets(&kept.sample()));
        let is_of_it = |kept: &&Kept| met(kept) || passed(kept) && !known.contains(&kept.source());
        let from = self.alert.first.max(now.saturating_sub(LOOKED_AT));
        let attack = picked(recent.since(&self.victim, from), is_of_it);
        // What is mostly something else is no more of the same.
        if attack.len() < LEAST || attack.iter().filter(|kept| met(kept)).count() < attack.len() / 2 {
            return None;
        }
        let network = picked(recent.others(attacked), passed);
        let mut findings = mined(&self.victim, &attack, &good, &network, protected);
        let is_young = now.saturating_sub(self.alert.first) < YOUNG;
        findings.statements.retain(|one| match against(one, standing) {
            // A small vector beside a large one is no attack by itself; with this one it came.
            old if old.is_empty() => is_young,
            old => is_better(one, &old, &attack),
        });
        findings.left.clear();
        let found = Found { findings, compared: Compared { attack, good }, instead: true };
        (!found.findings.statements.is_empty()).then_some(found)
    }

    /// Nothing comes through. What did, until the last mitigation stood, is no history of good traffic.
    fn cool(&mut self, now: Duration, recent: &mut Recent) {
        if now.saturating_sub(self.settled) < LATELY {
            return;
        }
        self.calm = now;
        if let Some(hot) = self.hot.take() {
            recent.release(&self.victim, hot, self.settled.max(now.saturating_sub(LATELY)));
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

/// What stands against the same kind as a statement.
fn against<'a>(statement: &Statement, standing: &[&'a Watched]) -> Vec<&'a Watched> {
    standing.iter().copied().filter(|one| one.statement.is_against_the_same(statement)).collect()
}

/// Whether a statement meets more of an attack than these old ones, or as much by itself. What a person wrote stays.
fn is_better(statement: &Statement, old: &[&Watched], attack: &[Kept]) -> bool {
    if old.iter().any(|one| !one.is_mined()) {
        return false;
    }
    let by_old = attack.iter().filter(|kept| old.iter().any(|one| one.meets(&kept.sample()))).count();
    let by_new = attack.iter().filter(|kept| statement.matches(&kept.sample()) == Some(true)).count();
    let (share, least) = BETTER;
    let more = ((share * attack.len() as f64) as usize).max(least);
    by_new >= if old.len() == 1 { by_old + more } else { by_old }
}

fn mined(
    victim: &Destinations,
    attack: &[Kept],
    good: &[Kept],
    network: &[Kept],
    protected: &Protected,
) -> Findings {
    let min_share = (COVERED / attack.len() as f64).clamp(SHARE, 1.0);
    let budget = Budget { min_share, ..Budget::default() };
    let [attack, good, network] = [attack, good, network].map(seen);
    mine::mine(&Request { victim, attack: &attack, good: &good, network: &network, protected, budget })
}

fn picked<'a>(kept: Vec<&'a Kept>, which: impl Fn(&&'a Kept) -> bool) -> Vec<Kept> {
    kept.into_iter().filter(which).cloned().collect()
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

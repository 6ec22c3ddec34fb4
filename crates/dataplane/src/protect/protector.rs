//! The loop.

use super::attack::Attack;
use super::event::{Event, Named, What};
use super::options::Options;
use super::put::Put;
use super::recent::{Recent, ends};
use super::sources::Witnesses;
use super::watched::Watched;
use crate::{Error, Instance, Samples};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;
use weir_compiler::Analysis;
use weir_detect::life::{Mitigation, Mitigations, Proposal, Refusal};
use weir_detect::mine::{Answer, Findings, Prefix, Protected};
use weir_detect::sample::Fate;
use weir_detect::traffic::{self, Detector};
use weir_kernel::clock::monotonic_ns;

/// How often counters are read.
const COUNT: Duration = Duration::from_millis(250);
/// How often is looked whether somebody else reloaded.
const FOLLOW: Duration = Duration::from_secs(2);
/// So many attacks are met at a time; others are told of.
const ATTACKS: usize = 64;
/// A part of an attack that nothing fits is told of from this share on: good traffic is always among it.
const WORTH_TELLING: f64 = 0.25;
/// Protects what is behind a running policy, as long as somebody turns it.
#[derive(Debug)]
pub struct Protector {
    options: Options,
    pub(super) put: Put,
    samples: Samples,
    /// The statement whose samples are taken: one packet must not be counted twice.
    sampler: String,
    protected: Protected,
    detector: Detector,
    recent: Recent,
    pub(super) attacks: BTreeMap<u64, Attack>,
    pub(super) lives: Mitigations,
    pub(super) watched: BTreeMap<u64, Watched>,
    pub(super) witnesses: BTreeMap<Prefix, Witnesses>,
    /// Refusals that were told: each look finds them again.
    told: BTreeSet<String>,
    counted: Duration,
    followed: Duration,
    /// The last reload was refused; the policy does not have what it should.
    pub(super) owing: bool,
    /// When to try it again.
    pub(super) again: Duration,
    events: Vec<Event>,
}

impl Protector {
    /// Begins with what runs. Nobody else may read the samples.
    pub fn start(instance: Instance, options: Options) -> Result<Protector, Error> {
        let samples = instance.samples()?;
        let (put, analysis) = Put::open(instance)?;
        let sampler = sampler(&analysis)?;
        let protected = options.protected(&analysis.policy)?;
        let mut life = options.life.clone();
        life.protected = protected.clone();
        life.idle = options.idle.unwrap_or(life.idle);
        let mut protector = Protector {
            detector: Detector::new(options.traffic()),
            lives: Mitigations::new(life),
            options,
            put,
            samples,
            sampler,
            protected,
            recent: Recent::default(),
            attacks: BTreeMap::new(),
            watched: BTreeMap::new(),
            witnesses: BTreeMap::new(),
            told: BTreeSet::new(),
            counted: Duration::ZERO,
            followed: now(),
            // What an earlier process left has nobody who watches it: it goes.
            owing: true,
            again: Duration::ZERO,
            events: Vec::new(),
        };
        protector.apply()?;
        Ok(protector)
    }

    /// Waits up to `timeout` for samples, does what is due, and says what happened.
    pub fn turn(&mut self, timeout: Duration) -> Result<Vec<Event>, Error> {
        self.read(timeout)?;
        let now = now();
        self.hear(now);
        self.look(now);
        if now.saturating_sub(self.counted) >= COUNT {
            self.counted = now;
            self.count(now)?;
        }
        if now.saturating_sub(self.followed) >= FOLLOW {
            self.followed = now;
            if let Some(analysis) = self.put.follow()? {
                self.adopt(&analysis)?;
            }
        }
        self.apply()?;
        Ok(std::mem::take(&mut self.events))
    }

    /// The mitigations that stand, the oldest first.
    pub fn mitigations(&self) -> impl Iterator<Item = &Mitigation> {
        self.lives.standing()
    }

    /// A person wants a mitigation to stay, or not any more. Whether there is such a one.
    pub fn pin(&mut self, id: u64, pinned: bool) -> bool {
        self.lives.pin(id, pinned)
    }

    /// A person does not want a mitigation, now or again. Whether there is such a one.
    pub fn forbid(&mut self, id: u64) -> bool {
        self.lives.forbid(id)
    }

    /// Takes all mitigations out of the policy.
    pub fn stop(mut self) -> Result<(), Error> {
        self.put.follow()?;
        self.put.put(&[]).map(drop)
    }

    fn read(&mut self, timeout: Duration) -> Result<(), Error> {
        let Self { samples, sampler, detector, recent, lives, watched, witnesses, events, .. } = self;
        samples.read(timeout, &mut |sample| {
            if sample.statement != sampler {
                return;
            }
            let seen = sample.detected();
            detector.observe(&seen);
            let Some((source, destination)) = ends(seen.header) else { return };
            recent.add(&seen, (source, destination));
            if seen.fate == Fate::Dropped
                && let Some((id, one)) = watched.iter_mut().find(|(_, one)| one.is_first_drop(sample.decider))
            {
                one.drops = true;
                let named = Named { id: *id, name: one.name.clone() };
                events.push(Event { time_ns: sample.record.time, what: What::Drops(named) });
            }
            for (victim, witnesses) in witnesses.iter_mut().filter(|(victim, _)| victim.contains(destination))
            {
                if !witnesses.vouch(source, seen.time) {
                    continue;
                }
                for (id, one) in watched.iter_mut().filter(|(_, one)| one.statement.victim() == *victim) {
                    let matched = one.statement.matches(&seen) == Some(true);
                    lives.looked_good(*id, 1, matched.into());
                    one.see(seen.fate);
                }
            }
        })?;
        Ok(())
    }

    /// What the detector says.
    fn hear(&mut self, now: Duration) {
        let events: Vec<traffic::Event> = self.detector.tick(now).collect();
        for event in events {
            let alert = event.alert();
            match &event {
                traffic::Event::Began(_) => {
                    if let Some(attack) =
                        Attack::of(alert, &self.recent).filter(|_| self.attacks.len() < ATTACKS)
                    {
                        let witnesses = attack.witnesses(&self.recent);
                        self.witnesses.entry(attack.victim).or_insert(witnesses);
                        self.attacks.insert(alert.id, attack);
                    }
                }
                traffic::Event::Grew(_) => {}
                traffic::Event::Ended(_) => {
                    if let Some(attack) = self.attacks.remove(&alert.id) {
                        attack.end(now, &mut self.recent);
                    }
                    self.told.clear();
                    let victim = alert.victim.to_string();
                    self.tell(now, What::AttackEnded { alert: alert.id, victim });
                    continue;
                }
            }
            let what = What::Attack {
                alert: alert.id,
                victim: alert.victim.to_string(),
                packets_per_second: alert.packets_per_second.low as u64,
                bits_per_second: alert.bits_per_second.low as u64,
                sources: alert.sources,
                first_ns: alert.first.as_nanos() as u64,
                grew: matches!(event, traffic::Event::Grew(_)),
            };
            self.tell(now, what);
        }
    }

    /// Looks for rules against what comes through.
    fn look(&mut self, now: Duration) {
        let victims: Vec<Prefix> = self.attacks.values().map(|attack| attack.victim).collect();
        let attacked = |address: IpAddr| victims.iter().any(|victim| victim.contains(address));
        let mut found = None;
        let Self { attacks, watched, recent, protected, .. } = self;
        for attack in attacks.values_mut() {
            let standing = watched.values().map(|one| (&one.statement, one.enforced.is_none()));
            let findings = attack.look(now, recent, standing, protected, attacked);
            found = findings.map(|findings| (attack.alert.id, findings));
            // One in a turn: samples must be read meanwhile.
            if found.is_some() {
                break;
            }
        }
        if let Some((alert, findings)) = found {
            self.propose(now, alert, findings);
        }
    }

    fn propose(&mut self, now: Duration, alert: u64, findings: Findings) {
        let samples = (findings.attack_samples as u64, findings.good_samples as u64);
        for statement in findings.statements {
            let proposal = Proposal::of(&statement);
            let rule = proposal.rest.clone();
            match self.lives.propose(proposal) {
                Ok(id) => {
                    let one = self.lives.standing().find(|one| one.id == id);
                    let Some((name, text)) = one.map(|one| (one.name(), one.text())) else { continue };
                    let what = What::Found {
                        alert,
                        id,
                        name: name.clone(),
                        cause: statement.cause.to_owned(),
                        covered: statement.covered,
                        collateral_at_most: statement.collateral.high,
                        samples,
                        text,
                    };
                    self.tell(now, what);
                    self.watched.insert(id, Watched::new(statement, name));
                }
                Err(Refusal::Known) => {}
                Err(why) if self.told.insert(rule.clone()) => {
                    self.tell(now, What::NotTried { rule, why: why.words().to_owned() });
                }
                Err(_) => {}
            }
        }
        for left in findings.left {
            let is_worth = left.share >= WORTH_TELLING && left.answer != Answer::Usual;
            if is_worth && self.told.insert(format!("{alert} {}", left.cause)) {
                let (cause, share) = (left.cause.to_owned(), left.share);
                self.tell(now, What::NothingFits { alert, cause, share });
            }
        }
    }

    /// What the mitigations' counters say.
    fn count(&mut self, now: Duration) -> Result<(), Error> {
        if self.watched.is_empty() {
            return Ok(());
        }
        let counters = self.put.instance().counters()?;
        let names: Vec<(u64, String)> = self.lives.standing().map(|one| (one.id, one.name())).collect();
        for (id, name) in names {
            match counters.iter().find(|counter| counter.name == name) {
                Some(counter) => self.lives.hit(id, counter.packets),
                // Somebody loaded a policy without it.
                None => self.followed = Duration::ZERO,
            }
            if self.watched.get(&id).is_some_and(|one| one.has_fallen(now)) {
                self.lives.fell(id);
            }
        }
        Ok(())
    }

    /// Somebody else loaded another policy: the mitigations stand in it, too.
    pub(super) fn adopt(&mut self, analysis: &Analysis) -> Result<(), Error> {
        self.sampler = sampler(analysis)?;
        self.protected = self.options.protected(&analysis.policy)?;
        self.lives.protect(self.protected.clone());
        self.owing = true;
        Ok(())
    }

    pub(super) fn tell(&mut self, now: Duration, what: What) {
        self.events.push(Event { time_ns: now.as_nanos() as u64, what });
    }
}

pub(super) fn now() -> Duration {
    Duration::from_nanos(monotonic_ns())
}

/// The first statement that samples.
fn sampler(analysis: &Analysis) -> Result<String, Error> {
    let first = analysis.policy.statements.iter().find(|one| one.verb() == "sample" && !one.shadow);
    let none = || Error::Protect("the policy samples nothing: add `sample all 1 in 100` at its top".into());
    first.map(|one| one.name.clone()).ok_or_else(none)
}

//! The loop, but for what it is done with.

use super::attack::{Attack, Found};
use super::event::{Event, Named, What};
use super::evidence::Evidence;
use super::handover::Standing;
use super::recent::{Recent, ends};
use super::sources::Witnesses;
use super::watched::Watched;
use super::written::Matcher;
use crate::life::{self, Command, Mitigation, Mitigations, Proposal, Refusal, Written};
use crate::mine::{Answer, Destinations, Protected};
use crate::sample::{Fate, Sample};
use crate::traffic::{self, Alert, Detector, Service};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// So many attacks are met at a time; others are told of.
const ATTACKS: usize = 64;
/// A part of an attack that nothing fits is told of from this share on: good traffic is always among it.
const WORTH_TELLING: f64 = 0.25;

/// Finds attacks and what to do about them, as long as somebody turns it. All times are of the samples' clock.
#[derive(Debug)]
pub struct Defence {
    protected: Protected,
    pub(super) detector: Detector,
    recent: Recent,
    attacks: BTreeMap<u64, Attack>,
    pub(super) lives: Mitigations,
    pub(super) watched: BTreeMap<u64, Watched>,
    witnesses: BTreeMap<Destinations, Witnesses>,
    /// Refusals that were told: each look finds them again.
    told: BTreeSet<String>,
    events: Vec<Event>,
    evidence: Vec<Evidence>,
}

impl Defence {
    /// Knows of nothing yet.
    pub fn new(traffic: traffic::Config, life: life::Config) -> Defence {
        Defence {
            protected: life.protected.clone(),
            detector: Detector::new(traffic),
            recent: Recent::default(),
            attacks: BTreeMap::new(),
            lives: Mitigations::new(life),
            watched: BTreeMap::new(),
            witnesses: BTreeMap::new(),
            told: BTreeSet::new(),
            events: Vec::new(),
            evidence: Vec::new(),
        }
    }

    /// Takes a sample. A packet must not be in two of them.
    pub fn observe(&mut self, sample: &Sample<'_>) {
        self.detector.observe(sample);
        let Some((source, destination)) = ends(sample.header) else { return };
        self.recent.add(sample, (source, destination));
        let Defence { lives, watched, witnesses, events, .. } = self;
        if sample.fate == Fate::Dropped
            && let Some(decider) = sample.statement
            && let Some((id, one)) = watched.iter_mut().find(|(_, one)| one.is_first_drop(decider))
        {
            one.drops = true;
            let named = Named { id: *id, name: one.name.clone() };
            events.push(Event { time_ns: nanos(sample.time), what: What::Drops(named) });
        }
        for (victim, witnesses) in witnesses.iter_mut().filter(|(victim, _)| victim.contains(destination)) {
            if !witnesses.vouch(source, sample.time) {
                continue;
            }
            for (id, one) in watched.iter_mut().filter(|(_, one)| one.victim() == victim) {
                lives.looked_good(*id, 1, one.harms(sample).into());
                one.see(sample.fate);
            }
        }
    }

    /// Hears the detector and looks for rules. To be called some fifty times a second.
    pub fn turn(&mut self, now: Duration) {
        self.evidence.clear();
        self.hear(now);
        self.look(now);
    }

    /// Only hears the detector: another defence looks for rules, and this one is ready to go on for it.
    pub fn stand_by(&mut self, now: Duration) {
        self.hear(now);
    }

    /// A mitigation that stands, as another defence can go on with it.
    pub fn standing_one(&self, id: u64) -> Option<Standing> {
        let life = self.lives.standing().find(|one| one.id == id)?;
        let statement = self.watched.get(&id)?.statement.clone();
        let (in_shadow, pinned) = (life.in_shadow(), life.pinned);
        let (hits, highest) = (life.hits.packets, life.hits.highest());
        Some(Standing { id, statement, in_shadow, pinned, hits, highest, written: life.written() })
    }

    /// Goes on with a mitigation of another defence, which is `age` old. Whether it was not there yet.
    pub fn adopt(&mut self, now: Duration, standing: Standing, age: Duration) -> bool {
        let (proposal, past) = standing.life(age);
        let Standing { id, statement, in_shadow, written, .. } = standing;
        if !self.lives.adopt(id, proposal, past) {
            return false;
        }
        if let Some(one) = self.lives.standing().find(|one| one.id == id) {
            let mut watched = Watched::new(statement, one.name());
            (watched.tried, watched.enforced) = (in_shadow.then_some(now), (!in_shadow).then_some(now));
            if let Some(written) = &written {
                watched.write(written);
            }
            self.watched.insert(id, watched);
        }
        true
    }

    /// Forgets its mitigations: another defence goes on with them. Nothing is told of it.
    pub fn abandon(&mut self) {
        self.lives.abandon();
        self.watched.clear();
    }

    /// A person forbade all that is against this, or has nothing against it any more.
    pub fn forbid_all(&mut self, against: String, forbidden: bool) {
        self.lives.forbid_all(against, forbidden);
    }

    /// Takes what the counters of the mitigations that stand say, by their names. Whether each has one.
    pub fn count(&mut self, now: Duration, packets: impl Fn(&str) -> Option<u64>) -> bool {
        let names: Vec<(u64, String)> = self.lives.standing().map(|one| (one.id, one.name())).collect();
        let mut all = true;
        for (id, name) in names {
            match packets(&name) {
                Some(packets) => self.lives.hit(id, packets),
                None => all = false,
            }
            if self.watched.get(&id).is_some_and(|one| one.has_fallen(now)) {
                self.lives.fell(id);
            }
        }
        all
    }

    /// What is to be done now. Whoever does it says so by [`Defence::done`] or [`Defence::refused`].
    pub fn commands(&mut self, now: Duration) -> Vec<Command> {
        let commands = self.lives.tick(now);
        for (one, reason) in self.lives.harmful() {
            let named = Named { id: one.id, name: one.name() };
            self.tell(now, What::Harms { named, why: reason.words().to_owned() });
        }
        commands
    }

    /// What was commanded is in force.
    pub fn done(&mut self, now: Duration, commands: &[Command]) {
        for command in commands {
            let one = command.mitigation();
            let named = Named { id: one.id, name: one.name() };
            let victim = &one.proposal.victim;
            match command {
                Command::Try(_) => {
                    self.watched.entry(one.id).and_modify(|watched| watched.tried = Some(now));
                    self.tell(now, What::Tried(named));
                }
                Command::Enforce(_) => {
                    self.watched.entry(one.id).and_modify(|watched| watched.enforced = Some(now));
                    self.tell(now, What::Enforced(named));
                }
                Command::Remove(_, reason) => {
                    self.watched.remove(&one.id);
                    let why = reason.words().to_owned();
                    self.tell(now, What::Ended { named, why, hits: one.hits.packets });
                }
            }
            self.settle(now, victim);
        }
        let Self { witnesses, watched, attacks, .. } = self;
        witnesses.retain(|victim, _| {
            attacks.values().any(|attack| attack.victim == *victim)
                || watched.values().any(|one| one.victim() == victim)
        });
    }

    /// What was commanded is not in force, but what was to go has to: the new ones end.
    pub fn refused(&mut self, now: Duration, commands: Vec<Command>, why: String) {
        self.tell(now, What::Refused { why });
        let (gone, new): (Vec<_>, Vec<_>) =
            commands.into_iter().partition(|command| matches!(command, Command::Remove(..)));
        for command in new {
            if let Command::Try(one) | Command::Enforce(one) = command {
                self.lives.refused(one.id);
            }
        }
        self.done(now, &gone);
    }

    /// The mitigations that should stand, the oldest first.
    pub fn standing(&self) -> impl Iterator<Item = &Mitigation> {
        self.lives.standing()
    }

    /// Something else is protected from now on.
    pub fn protect(&mut self, protected: Protected) {
        self.protected = protected.clone();
        self.lives.protect(protected);
    }

    /// These are the destinations with a name from now on. What stands against attacks on others lives on.
    pub fn serve(&mut self, services: Vec<Service>) {
        self.detector.serve(services);
    }

    /// No edge takes a mitigation: it ends.
    pub fn refuse(&mut self, id: u64) {
        self.lives.refused(id);
    }

    /// A person wants a mitigation to stay, or not any more. Whether there is such a one.
    pub fn pin(&mut self, id: u64, pinned: bool) -> bool {
        self.lives.pin(id, pinned)
    }

    /// A person does not want a mitigation, now or again. Whether there is such a one.
    pub fn forbid(&mut self, id: u64) -> bool {
        self.lives.forbid(id)
    }

    /// What is protected.
    pub fn protected(&self) -> &Protected {
        &self.protected
    }

    /// A person wrote another statement in the place of a mitigation, which is in force; `matcher` says what it matches. Whether there
    /// is such a mitigation.
    pub fn edit(&mut self, now: Duration, id: u64, written: &Written, matcher: Matcher) -> bool {
        let present = self.lives.standing().find(|one| one.id == id).and_then(Mitigation::written);
        if present.as_ref() == Some(written) {
            return true;
        }
        let Some(old) = self.lives.edit(id, written) else { return false };
        if let Some(watched) = self.watched.get_mut(&id) {
            watched.edit(written, now);
            watched.match_by(matcher);
        }
        let Some(new) = self.lives.standing().find(|one| one.id == id).map(Mitigation::text) else {
            return false;
        };
        let named = Named { id, name: old.name() };
        self.tell(now, What::Edited { named, old: old.text(), new, shadow: written.in_shadow });
        self.settle(now, &old.proposal.victim);
        true
    }

    /// What a person wrote leaves out what is to be protected, and matches this.
    pub fn fits(&mut self, id: u64, protected: &Protected, matcher: Matcher) {
        self.lives.spares_too(id, protected);
        if let Some(watched) = self.watched.get_mut(&id) {
            watched.match_by(matcher);
        }
    }

    /// Where mitigations stand, something else does, or something else is to be protected: what people wrote is read once more. `read`
    /// says, of a name and a text, what it matches, or why it has no place any more.
    pub fn read_again(
        &mut self,
        now: Duration,
        protected: &Protected,
        read: impl Fn(&str, &str) -> Result<Matcher, String>,
    ) {
        let written = self.lives.standing().filter_map(|one| Some((one.id, one.name(), one.written()?)));
        for (id, name, written) in written.collect::<Vec<_>>() {
            let text = written.text(&name);
            match read(&name, &text) {
                Ok(matcher) => self.fits(id, protected, matcher),
                Err(why) => self.fits_no_more(now, id, text, why),
            }
        }
    }

    /// What a person wrote has no place any more where it stood: it ends, if it stands.
    pub fn fits_no_more(&mut self, now: Duration, id: u64, rule: String, why: String) {
        self.lives.refused(id);
        self.tell(now, What::NotTried { rule, why });
    }

    /// What happened since the last call.
    pub fn events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// The samples behind what was found in the last turn; the next one lets go of them.
    pub fn evidence(&mut self) -> Vec<Evidence> {
        std::mem::take(&mut self.evidence)
    }

    /// What the detector says.
    fn hear(&mut self, now: Duration) {
        let events: Vec<traffic::Event> = self.detector.tick(now).collect();
        for event in events {
            let alert = event.alert();
            let addresses = addresses(alert);
            match &event {
                traffic::Event::Began(_) => {
                    if self.attacks.len() < ATTACKS {
                        let attack = Attack::of(alert, &self.recent);
                        let witnesses = attack.witnesses(&self.recent);
                        self.witnesses.entry(attack.victim.clone()).or_insert(witnesses);
                        self.recent.hold(&attack.victim);
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
                    self.tell(now, What::AttackEnded { alert: alert.id, victim, addresses });
                    continue;
                }
            }
            let what = What::Attack {
                alert: alert.id,
                victim: alert.victim.to_string(),
                addresses,
                packets_per_second: alert.packets_per_second.low as u64,
                bits_per_second: alert.bits_per_second.low as u64,
                sources: alert.sources,
                first_ns: nanos(alert.first),
                grew: matches!(event, traffic::Event::Grew(_)),
            };
            self.tell(now, what);
        }
    }

    /// Looks for rules against what comes through.
    fn look(&mut self, now: Duration) {
        let victims: Vec<Destinations> = self.attacks.values().map(|attack| attack.victim.clone()).collect();
        let attacked = |address: IpAddr| victims.iter().any(|victim| victim.contains(address));
        let mut found = None;
        let Self { attacks, watched, witnesses, recent, protected, .. } = self;
        let standing: Vec<&Watched> = watched.values().collect();
        for attack in attacks.values_mut() {
            let good_until = attack.good_until();
            let looked = attack.look(now, recent, &standing, protected, attacked);
            if attack.good_until() != good_until {
                witnesses.insert(attack.victim.clone(), attack.witnesses(recent));
            }
            found = looked.map(|found| (attack.alert.id, found));
            // One in a turn: samples must be read meanwhile.
            if found.is_some() {
                break;
            }
        }
        if let Some((alert, found)) = found {
            self.propose(now, alert, found);
        }
    }

    fn propose(&mut self, now: Duration, alert: u64, found: Found) {
        let Found { findings, compared, instead } = found;
        let compared = Arc::new(compared);
        let samples = (findings.attack_samples as u64, findings.good_samples as u64);
        let limits = findings.left.iter().filter_map(|left| left.statement.clone());
        for statement in findings.statements.into_iter().chain(limits) {
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
                        cause: statement.cause.to_string(),
                        covered: statement.covered,
                        collateral_at_most: statement.collateral.high,
                        samples,
                        text,
                    };
                    self.tell(now, what);
                    if instead {
                        let same = |one: &Watched| one.statement.is_against_the_same(&statement);
                        let older = self.watched.iter().filter(|(_, one)| same(one)).map(|(id, _)| *id);
                        self.lives.replace(older.collect(), id);
                    }
                    self.evidence.push(Evidence::new(id, &compared));
                    self.watched.insert(id, Watched::new(statement, name));
                }
                Err(Refusal::Known) => {}
                Err(why) if self.told.insert(rule.clone()) => {
                    self.tell(now, What::NotTried { rule, why: why.words().to_owned() });
                }
                Err(_) => {}
            }
        }
        for left in findings.left.into_iter().filter(|left| left.statement.is_none()) {
            let is_worth = left.share >= WORTH_TELLING && left.answer != Answer::Usual;
            if is_worth && self.told.insert(format!("{alert} {}", left.cause)) {
                let (cause, share) = (left.cause.to_owned(), left.share);
                let cookies = left.answer == Answer::SynCookies;
                self.tell(now, What::NothingFits { alert, cause, share, cookies });
            }
        }
    }

    /// Something new stands for a victim.
    fn settle(&mut self, now: Duration, victim: &Destinations) {
        let meant = self.attacks.values_mut().filter(|attack| attack.victim.meets(victim));
        meant.for_each(|attack| attack.settle(now));
    }

    fn tell(&mut self, now: Duration, what: What) {
        self.events.push(Event { time_ns: nanos(now), what });
    }
}

fn addresses(alert: &Alert) -> Vec<String> {
    Destinations::of(alert).prefixes().iter().map(ToString::to_string).collect()
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

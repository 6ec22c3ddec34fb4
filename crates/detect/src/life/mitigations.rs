//! All mitigations of an edge.

use super::{Command, Config, Hits, Mitigation, Past, Proposal, Reason, Refusal, Stage, Written};
use crate::mine::Protected;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A step of the clock is no longer than this. See [the module](super).
const STEP: Duration = Duration::from_secs(1);

/// How many conditions are kept away for a while; the oldest make room.
const RESTING: usize = 256;

/// Mitigations, and what is not to be one.
#[derive(Clone, Debug)]
pub struct Mitigations {
    config: Config,
    lives: BTreeMap<u64, Mitigation>,
    next: u64,
    /// What people forbade: [`Proposal::against`].
    forbidden: BTreeSet<String>,
    /// What is kept away, and until when.
    resting: BTreeMap<String, Duration>,
    commands: Vec<Command>,
    /// The time that was given last, and the time that has gone by in steps.
    given: Option<Duration>,
    now: Duration,
}

impl Mitigations {
    /// None yet.
    pub fn new(config: Config) -> Mitigations {
        Mitigations {
            config,
            lives: BTreeMap::new(),
            next: 1,
            forbidden: BTreeSet::new(),
            resting: BTreeMap::new(),
            commands: Vec::new(),
            given: None,
            now: Duration::ZERO,
        }
    }

    /// Takes in what the miner found, or says why not. What to do with it, the next [`Mitigations::tick`] says.
    pub fn propose(&mut self, proposal: Proposal) -> Result<u64, Refusal> {
        self.admit(&proposal)?;
        let shadow = self.config.shadow(&proposal);
        let stage = match shadow.is_zero() {
            true => Stage::Enforced,
            false => Stage::Shadow { until: self.now + shadow },
        };
        let id = self.next;
        self.next += 1;
        let one = Mitigation::new(id, proposal, stage, self.now);
        self.commands.push(match one.in_shadow() {
            true => Command::Try(one.clone()),
            false => Command::Enforce(one.clone()),
        });
        self.lives.insert(id, one);
        Ok(id)
    }

    /// One is better than others: they end as soon as it is enforced, but for those that people want to stay, or wrote.
    pub fn replace(&mut self, older: Vec<u64>, by: u64) {
        if let Some(one) = self.lives.get_mut(&by) {
            one.replaces = older;
        }
    }

    /// Numbers up to this one were given before a restart.
    pub fn number_behind(&mut self, last: u64) {
        self.next = self.next.max(last.saturating_add(1));
    }

    /// The last number that was given.
    pub fn last_id(&self) -> u64 {
        self.next - 1
    }

    /// What people forbade.
    pub fn forbidden(&self) -> &BTreeSet<String> {
        &self.forbidden
    }

    fn admit(&self, proposal: &Proposal) -> Result<(), Refusal> {
        if !self.spares(proposal) {
            return Err(Refusal::Protected);
        }
        let share = proposal.collateral.share;
        if share.is_nan() || share > self.config.max_collateral {
            return Err(Refusal::Wide);
        }
        if self.lives.values().any(|one| one.proposal.rest == proposal.rest) {
            return Err(Refusal::Known);
        }
        if proposal.is_forbidden(&self.forbidden) || self.resting.contains_key(&proposal.rest) {
            return Err(Refusal::Forbidden);
        }
        let is_edited = |one: &Mitigation| one.edited && one.proposal.against() == proposal.against();
        if self.lives.values().any(is_edited) {
            return Err(Refusal::Edited);
        }
        match self.lives.len() < self.config.most {
            true => Ok(()),
            false => Err(Refusal::Full),
        }
    }

    /// Whether it leaves out what is protected.
    fn spares(&self, proposal: &Proposal) -> bool {
        let protected = &self.config.protected;
        proposal.spares == *protected
            && !protected.victims.iter().any(|prefix| proposal.victim.meets_prefix(prefix))
    }

    /// What its counter says now; a counter that is lower than before began anew.
    pub fn hit(&mut self, id: u64, packets: u64) {
        if let Some(one) = self.lives.get_mut(&id) {
            one.hits.read(packets, self.now);
        }
    }

    /// So many more samples of its victim look good, and it matches so many of them.
    pub fn looked_good(&mut self, id: u64, good: u64, matched: u64) {
        if let Some(one) = self.lives.get_mut(&id) {
            one.good = one.good.saturating_add(good);
            one.harmed = one.harmed.saturating_add(matched);
        }
    }

    /// The good traffic of its victim fell since it is enforced.
    pub fn fell(&mut self, id: u64) {
        if let Some(one) = self.lives.get_mut(&id).filter(|one| !one.in_shadow()) {
            one.fell = true;
        }
    }

    /// A person wants it to stay, or not any more. Whether there is such a one.
    pub fn pin(&mut self, id: u64, pinned: bool) -> bool {
        self.lives.get_mut(&id).map(|one| one.pinned = pinned).is_some()
    }

    /// A person does not want it, nor anything else that is against the same. Whether there is such a one.
    pub fn forbid(&mut self, id: u64) -> bool {
        let Some(one) = self.lives.remove(&id) else { return false };
        self.forbidden.insert(one.proposal.against());
        self.commands.push(Command::Remove(one, Reason::Forbidden));
        true
    }

    /// A person wrote another statement in its place, which stands there now. What it was, if there is such a one.
    pub fn edit(&mut self, id: u64, written: &Written) -> Option<Mitigation> {
        let one = self.lives.get_mut(&id)?;
        let edited = one.edited_as(written, self.now);
        // It stands: what was to be done of the one before is done with.
        self.commands
            .retain(|command| !matches!(command, Command::Try(one) | Command::Enforce(one) if one.id == id));
        Some(std::mem::replace(one, edited))
    }

    /// What a person wrote was shown to leave out what is to be protected next.
    pub fn spares_too(&mut self, id: u64, protected: &Protected) {
        if let Some(one) = self.lives.get_mut(&id).filter(|one| one.edited) {
            one.proposal.spares = protected.clone();
        }
    }

    /// Those that people wrote, if they do harm and were not given by the last call.
    pub fn harmful(&mut self) -> Vec<(Mitigation, Reason)> {
        let config = &self.config;
        let new = self.lives.values_mut().filter(|one| one.edited && !one.is_told);
        let harmful = new.filter_map(|one| {
            let reason = harm(config, one)?;
            one.is_told = true;
            Some((one.clone(), reason))
        });
        harmful.collect()
    }

    /// Something else is protected from now on. What does not spare it ends, also if people want it to stay.
    pub fn protect(&mut self, protected: Protected) {
        self.config.protected = protected;
        let ended: Vec<u64> =
            self.lives.values().filter(|one| !self.spares(&one.proposal)).map(|one| one.id).collect();
        for id in ended {
            self.end(id, Reason::Protected);
        }
    }

    /// A person does not want anything against this ([`Proposal::against`]), or has nothing against it any more.
    pub fn forbid_all(&mut self, against: String, forbidden: bool) {
        match forbidden {
            true => drop(self.forbidden.insert(against)),
            false => drop(self.forbidden.remove(&against)),
        }
    }

    /// Goes on with one that another one of these let live, under its number, and as it was; it is `age` old. Whether there
    /// is none of that number yet.
    pub fn adopt(&mut self, id: u64, proposal: Proposal, past: Past) -> bool {
        if self.lives.contains_key(&id) {
            return false;
        }
        let until = self.now + self.config.shadow(&proposal);
        let stage = match past.in_shadow {
            true if past.edited => Stage::WATCHED,
            true => Stage::Shadow { until },
            false => Stage::Enforced,
        };
        let is_protected = !self.spares(&proposal);
        let mut one = Mitigation::new(id, proposal, stage, self.now);
        (one.pinned, one.edited, one.before) = (past.pinned, past.edited, past.age);
        one.hits = Hits::going_on(past.hits, past.highest, self.now);
        self.lives.insert(id, one);
        self.next = self.next.max(id.saturating_add(1));
        if is_protected {
            self.end(id, Reason::Protected);
        }
        true
    }

    /// Likewise with one from before a restart: it stands in no policy yet.
    pub fn restore(&mut self, id: u64, proposal: Proposal, past: Past) -> bool {
        let is_new = self.adopt(id, proposal, past);
        if let Some(one) = self.lives.get(&id).filter(|_| is_new) {
            self.commands.push(match one.in_shadow() {
                true => Command::Try(one.clone()),
                false => Command::Enforce(one.clone()),
            });
        }
        is_new
    }

    /// Forgets those that there are, without a word: another one lets them live. What was forbidden stays so.
    pub fn abandon(&mut self) {
        self.lives.clear();
        self.commands.clear();
    }

    /// The edge did not take it.
    pub fn refused(&mut self, id: u64) {
        self.end(id, Reason::Refused);
    }

    /// Time goes on: what is to be done since the last call, in its order. To be called several times a second.
    pub fn tick(&mut self, now: Duration) -> Vec<Command> {
        let step = now.saturating_sub(self.given.unwrap_or(now)).min(STEP);
        self.given = Some(now);
        self.now += step;
        let now = self.now;
        self.resting.retain(|_, until| *until > now);
        let over: Vec<(u64, Reason)> =
            self.lives.values().filter_map(|one| Some((one.id, self.verdict(one)?))).collect();
        for (id, reason) in over {
            self.end(id, reason);
        }
        for one in self.lives.values_mut() {
            // One that nothing has hit yet has shown nothing.
            if matches!(one.stage, Stage::Shadow { until } if until <= now) && one.hits.packets > 0 {
                one.stage = Stage::Enforced;
                self.commands.push(Command::Enforce(one.clone()));
            }
        }
        // In the same step, so that the attack meets one of them all the time.
        let enforced = self.lives.values_mut().filter(|one| !one.in_shadow());
        let replaced: Vec<u64> = enforced.flat_map(|one| std::mem::take(&mut one.replaces)).collect();
        for id in replaced {
            if self.lives.get(&id).is_some_and(|one| !one.pinned && !one.edited) {
                self.end(id, Reason::Replaced);
            }
        }
        std::mem::take(&mut self.commands)
    }

    /// Why it is over, if it is.
    fn verdict(&self, one: &Mitigation) -> Option<Reason> {
        let config = &self.config;
        if one.pinned {
            return None;
        }
        // People may know better than samples: what they wrote, they take away.
        if let Some(reason) = harm(config, one).filter(|_| !one.edited) {
            return Some(reason);
        }
        if one.hits.is_idle(config.idle, self.now) {
            return Some(Reason::Unused);
        }
        (!one.edited && one.age(self.now) >= config.longest).then_some(Reason::Old)
    }

    fn end(&mut self, id: u64, reason: Reason) {
        let Some(one) = self.lives.remove(&id) else { return };
        if matches!(reason, Reason::Harm | Reason::Fell | Reason::Refused) {
            if self.resting.len() >= RESTING
                && let Some(first) =
                    self.resting.iter().min_by_key(|(_, until)| **until).map(|(rest, _)| rest.clone())
            {
                self.resting.remove(&first);
            }
            self.resting.insert(one.proposal.rest.clone(), self.now + self.config.rest);
        }
        self.commands.push(Command::Remove(one, reason));
    }

    /// Those that are to stand in the policy, the oldest first.
    pub fn standing(&self) -> impl Iterator<Item = &Mitigation> {
        self.lives.values()
    }

    /// The time that has gone by, in steps.
    pub fn now(&self) -> Duration {
        self.now
    }
}

/// What harm it does, if it does some.
fn harm(config: &Config, one: &Mitigation) -> Option<Reason> {
    let share = config.harmful_share * one.good as f64;
    if one.harmed >= config.harmful_samples && one.harmed as f64 > share {
        return Some(Reason::Harm);
    }
    one.fell.then_some(Reason::Fell)
}

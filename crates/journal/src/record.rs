//! Attacks and mitigations, as events make them.

use crate::attack::{Attack, Moment, Step};
use crate::mitigation::{Mitigation, State};
use std::collections::{BTreeMap, BTreeSet};
use weir_detect::defence::{Event, Named, What};

/// So many attacks are remembered.
pub const ATTACKS: usize = 1000;
/// So many mitigations: those of an attack that is forgotten are, too.
pub const MITIGATIONS: usize = 2000;
/// So many moments of one attack: one that goes on for weeks and changes all the time has more.
const MOMENTS: usize = 100;

/// All that is remembered.
#[derive(Clone, Debug, Default)]
pub struct Record {
    attacks: BTreeMap<u64, Attack>,
    mitigations: BTreeMap<u64, Mitigation>,
    pub(crate) changed: Changed,
}

/// What is not in the database as it is here; what is in neither is to be taken out of it.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Changed {
    pub(crate) attacks: BTreeSet<u64>,
    pub(crate) mitigations: BTreeSet<u64>,
}

impl Changed {
    pub(crate) fn is_empty(&self) -> bool {
        self.attacks.is_empty() && self.mitigations.is_empty()
    }
}

impl Record {
    /// Of what was kept.
    pub(crate) fn of(attacks: Vec<Attack>, mitigations: Vec<Mitigation>) -> Record {
        Record {
            attacks: attacks.into_iter().map(|attack| (attack.id, attack)).collect(),
            mitigations: mitigations.into_iter().map(|one| (one.id, one)).collect(),
            changed: Changed::default(),
        }
    }

    /// Attacks, the oldest first.
    pub fn attacks(&self) -> impl DoubleEndedIterator<Item = &Attack> {
        self.attacks.values()
    }

    /// Mitigations, the oldest first.
    pub fn mitigations(&self) -> impl DoubleEndedIterator<Item = &Mitigation> {
        self.mitigations.values()
    }

    pub(crate) fn attack(&self, id: u64) -> Option<&Attack> {
        self.attacks.get(&id)
    }

    pub(crate) fn mitigation(&self, id: u64) -> Option<&Mitigation> {
        self.mitigations.get(&id)
    }

    /// The last numbers of an attack and of a mitigation.
    pub(crate) fn last(&self) -> (u64, u64) {
        let attack = self.attacks.last_key_value().map_or(0, |(id, _)| *id);
        let mitigation = self.mitigations.last_key_value().map_or(0, |(id, _)| *id);
        (attack, mitigation)
    }

    /// Takes note of an event. `epoch_ns` is what is added to the event's clock to get the time of day.
    pub(crate) fn hear(&mut self, event: &Event, epoch_ns: u64) {
        let at_ns = event.time_ns.saturating_add(epoch_ns);
        match &event.what {
            What::Attack { .. } => self.attacked(&event.what, at_ns, epoch_ns),
            What::AttackEnded { alert, .. } => {
                self.moment(*alert, at_ns, Step::Over, None);
                self.change_attack(*alert, |attack| attack.ended_ns = Some(at_ns));
            }
            What::Found { .. } => self.found(&event.what, at_ns),
            What::NothingFits { alert, .. } => self.moment(*alert, at_ns, Step::NothingFits, None),
            What::Tried(named) => self.went(named, at_ns, Step::Tried, State::Shadow),
            What::Enforced(named) => self.went(named, at_ns, Step::Enforced, State::Enforced),
            What::Drops(named) => self.moment_of(named, at_ns, Step::FirstDrop),
            What::Edited { named, new, shadow, .. } => {
                let state = if *shadow { State::Shadow } else { State::Enforced };
                self.went(named, at_ns, Step::Edited, state);
                self.change_mitigation(named.id, |one| (one.text, one.edited) = (new.clone(), true));
            }
            What::Harms { named, .. } => self.moment_of(named, at_ns, Step::Harms),
            What::Ended { named, why, hits } => {
                self.went(named, at_ns, Step::Removed, State::Ended);
                self.change_mitigation(named.id, |one| (one.why, one.hits) = (Some(why.clone()), *hits));
            }
            What::NotTried { .. } | What::Refused { .. } => {}
        }
    }

    fn attacked(&mut self, what: &What, at_ns: u64, epoch_ns: u64) {
        let What::Attack {
            alert,
            victim,
            addresses,
            packets_per_second,
            bits_per_second,
            sources,
            first_ns,
            ..
        } = what
        else {
            return;
        };
        if self.attacks.contains_key(alert) {
            self.change_attack(*alert, |attack| {
                attack.packets_per_second = attack.packets_per_second.max(*packets_per_second);
                attack.bits_per_second = attack.bits_per_second.max(*bits_per_second);
                attack.sources = attack.sources.max(*sources);
            });
            return self.moment(*alert, at_ns, Step::Grew, None);
        }
        // What comes after is not before it, whatever the clocks did.
        let first_ns = first_ns.saturating_add(epoch_ns).min(at_ns);
        let attack = Attack {
            id: *alert,
            victim: victim.clone(),
            addresses: addresses.clone(),
            packets_per_second: *packets_per_second,
            bits_per_second: *bits_per_second,
            sources: *sources,
            first_ns,
            ended_ns: None,
            timeline: vec![
                Moment { at_ns: first_ns, step: Step::FirstPacket, mitigation: None },
                Moment { at_ns, step: Step::Alert, mitigation: None },
            ],
        };
        self.attacks.insert(*alert, attack);
        self.changed.attacks.insert(*alert);
        self.forget_attacks();
    }

    fn found(&mut self, what: &What, at_ns: u64) {
        let What::Found { alert, id, name, cause, covered, collateral_at_most, text, .. } = what else {
            return;
        };
        let one = Mitigation {
            id: *id,
            attack: *alert,
            name: name.clone(),
            cause: cause.clone(),
            state: State::Found,
            pinned: false,
            edited: false,
            hits: 0,
            covered: *covered,
            collateral_at_most: *collateral_at_most,
            why: None,
            text: text.clone(),
        };
        self.mitigations.insert(*id, one);
        self.changed.mitigations.insert(*id);
        self.moment(*alert, at_ns, Step::Rule, Some(*id));
        while self.mitigations.len() > MITIGATIONS {
            let Some((id, _)) = self.mitigations.pop_first() else { return };
            self.changed.mitigations.insert(id);
        }
    }

    /// A mitigation has come so far. One that a restart brought back has no reason to be gone any more.
    fn went(&mut self, named: &Named, at_ns: u64, step: Step, state: State) {
        self.moment_of(named, at_ns, step);
        self.change_mitigation(named.id, |one| (one.state, one.why) = (state, None));
    }

    fn moment_of(&mut self, named: &Named, at_ns: u64, step: Step) {
        if let Some(attack) = self.mitigations.get(&named.id).map(|one| one.attack) {
            self.moment(attack, at_ns, step, Some(named.id));
        }
    }

    fn moment(&mut self, attack: u64, at_ns: u64, step: Step, mitigation: Option<u64>) {
        self.change_attack(attack, |attack| {
            // Samples are heard of later than they were taken: a first drop may be older than what was heard last.
            let behind = attack.timeline.partition_point(|moment| moment.at_ns <= at_ns);
            attack.timeline.insert(behind, Moment { at_ns, step, mitigation });
            if attack.timeline.len() > MOMENTS {
                // How it began is worth more than what came in between.
                attack.timeline.remove(MOMENTS / 2);
            }
        });
    }

    /// What stands was hit so often by now.
    pub(crate) fn hit(&mut self, id: u64, hits: u64, pinned: bool) {
        if self.mitigations.get(&id).is_some_and(|one| one.hits != hits || one.pinned != pinned) {
            self.change_mitigation(id, |one| (one.hits, one.pinned) = (hits, pinned));
        }
    }

    /// Nobody watches any longer: what goes on is interrupted.
    pub(crate) fn interrupt(&mut self, at_ns: u64) {
        let going: Vec<u64> = self.attacks().filter(|one| one.ended_ns.is_none()).map(|one| one.id).collect();
        for id in going {
            let last = self.attacks[&id].timeline.last().map_or(0, |moment| moment.at_ns);
            let at_ns = at_ns.max(last);
            self.moment(id, at_ns, Step::Interrupted, None);
            self.change_attack(id, |attack| attack.ended_ns = Some(at_ns));
        }
        let standing = self.mitigations().filter(|one| one.state != State::Ended);
        let standing: Vec<u64> = standing.map(|one| one.id).collect();
        for id in standing {
            self.change_mitigation(id, |one| {
                (one.state, one.why) = (State::Ended, Some("the protection ended".to_owned()));
            });
        }
    }

    /// All of it is to be written: another database takes the place of the one that was.
    pub(crate) fn change_all(&mut self) {
        self.changed.attacks.extend(self.attacks.keys());
        self.changed.mitigations.extend(self.mitigations.keys());
    }

    /// Whether something goes on.
    pub(crate) fn is_going(&self) -> bool {
        self.attacks().any(|attack| attack.ended_ns.is_none())
            || self.mitigations().any(|one| one.state != State::Ended)
    }

    fn change_attack(&mut self, id: u64, change: impl FnOnce(&mut Attack)) {
        if let Some(attack) = self.attacks.get_mut(&id) {
            change(attack);
            self.changed.attacks.insert(id);
        }
    }

    fn change_mitigation(&mut self, id: u64, change: impl FnOnce(&mut Mitigation)) {
        if let Some(one) = self.mitigations.get_mut(&id) {
            change(one);
            self.changed.mitigations.insert(id);
        }
    }

    /// The oldest that are over, with their mitigations.
    fn forget_attacks(&mut self) {
        while self.attacks.len() > ATTACKS {
            let over = self.attacks().find(|attack| attack.ended_ns.is_some()).map(|attack| attack.id);
            let Some(id) = over.or_else(|| self.attacks.keys().next().copied()) else { return };
            self.attacks.remove(&id);
            self.changed.attacks.insert(id);
            let of = self.mitigations().filter(|one| one.attack == id).map(|one| one.id);
            for mitigation in of.collect::<Vec<u64>>() {
                self.mitigations.remove(&mitigation);
                self.changed.mitigations.insert(mitigation);
            }
        }
    }
}

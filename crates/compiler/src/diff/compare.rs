//! Where two policies differ, class by class, for all packets at once.

use super::Settings;
use super::align::unmatched;
use super::joint::Joint;
use crate::ir::Verdict;
use crate::policy::{Action, Balance, Limit, Policy, Sample, Statement};
use crate::symbolic::{Node, Outcome, Outcomes, Space, TooLarge};
use std::collections::HashMap;

/// The packets of a class for which the policies may do different things.
pub(super) struct Region {
    /// The class.
    pub class: usize,
    /// A leaf of [`Outcomes::pair`] for each pair of outcomes.
    pub differ: Node,
}

/// What was found.
#[derive(Default)]
pub(super) struct Compared {
    /// Where there may be a difference.
    pub regions: Vec<Region>,
    /// Classes that are too large to be compared.
    pub too_large: Vec<usize>,
}

/// A policy's part of the joint one.
struct List {
    /// Statements that count, by their place in the joint policy.
    statements: Vec<usize>,
    default: Verdict,
}

/// Both lists.
pub(super) struct Lists<'j> {
    joint: &'j Joint,
    old: List,
    new: List,
    /// Statements that are in one list only, or elsewhere in the other.
    loose: Vec<usize>,
    /// What each statement is called among the things that packets meet, and by whom they are judged.
    called: Vec<u32>,
}

/// The statement that is called so is the default.
pub(super) const DEFAULT: u32 = u32::MAX;

impl<'j> Lists<'j> {
    /// Of the policies that were joined.
    pub(super) fn new(joint: &'j Joint, defaults: [Verdict; 2], settings: &Settings) -> Self {
        let all = &joint.policy.statements;
        let counts = |index: &usize| settings.counts || all[*index].has_a_say();
        let list = |range: std::ops::Range<usize>, default| List {
            statements: range.filter(counts).collect(),
            default,
        };
        let old = list(0..joint.split, defaults[0]);
        let new = list(joint.split..all.len(), defaults[1]);
        let names = |list: &List| list.statements.iter().map(|&at| joint.same[at]).collect::<Vec<_>>();
        let (first, second) = unmatched(&names(&old), &names(&new));
        let mut loose: Vec<usize> = first.into_iter().map(|at| old.statements[at]).collect();
        loose.extend(second.into_iter().map(|at| new.statements[at]));
        let called = called(joint, settings);
        Self { joint, old, new, loose, called }
    }

    /// Statements that are not in both lists at the same place.
    pub(super) fn loose(&self) -> &[usize] {
        &self.loose
    }

    /// Compares the lists in all classes.
    pub(super) fn compare(&self, space: &mut Space, outcomes: &mut Outcomes) -> Compared {
        let mut compared = Compared::default();
        for class in 0..space.classes.len() {
            space.enter(class);
            match self.class(space, outcomes, class) {
                Ok(Node::FALSE) => {}
                Ok(differ) => compared.regions.push(Region { class, differ }),
                Err(TooLarge) => compared.too_large.push(class),
            }
        }
        compared
    }

    fn class(&self, space: &mut Space, outcomes: &mut Outcomes, class: usize) -> Result<Node, TooLarge> {
        let packets = space.classes[class].packets;
        let region = match self.old.default == self.new.default {
            true => self.where_loose(space, packets)?,
            false => packets,
        };
        if region == Node::FALSE {
            return Ok(region);
        }
        let old = self.list(space, outcomes, &self.old, region)?;
        let new = self.list(space, outcomes, &self.new, region)?;
        outcomes.differ(&mut space.diagrams, old, new)
    }

    /// The packets of a class to which a statement applies that is not in both lists at the same place:
    /// first by how statements are written, then by what they mean in this class.
    fn where_loose(&self, space: &mut Space, packets: Node) -> Result<Node, TooLarge> {
        let mut written = false;
        for &at in &self.loose {
            let holds = space.statement(at)?;
            written |= space.diagrams.and(packets, holds)? != Node::FALSE;
        }
        if !written {
            return Ok(Node::FALSE);
        }
        let mut numbers = HashMap::new();
        let old = self.meaning(space, &self.old, packets, &mut numbers)?;
        let new = self.meaning(space, &self.new, packets, &mut numbers)?;
        let names = |list: &[(usize, Node)]| list.iter().map(|statement| statement.0).collect::<Vec<_>>();
        let (first, second) = unmatched(&names(&old), &names(&new));
        let first = first.into_iter().map(|at| old[at].1);
        let loose = first.chain(second.into_iter().map(|at| new[at].1)).collect();
        space.diagrams.any(loose)
    }

    /// The statements of a list that apply to any packet of a class: which packets, and a number that is the
    /// same for statements that do the same to the same packets.
    fn meaning(
        &self,
        space: &mut Space,
        list: &List,
        packets: Node,
        numbers: &mut HashMap<(Node, Option<Verdict>, u32), usize>,
    ) -> Result<Vec<(usize, Node)>, TooLarge> {
        let mut meaning = Vec::new();
        for &at in &list.statements {
            let holds = space.statement(at)?;
            let here = space.diagrams.and(packets, holds)?;
            if here != Node::FALSE {
                let verdict = self.outcome(at).end.map(|end| end.0);
                let next = numbers.len();
                let number = *numbers.entry((here, verdict, self.called[at])).or_insert(next);
                meaning.push((number, here));
            }
        }
        Ok(meaning)
    }

    /// What a list does to the packets of a region.
    fn list(
        &self,
        space: &mut Space,
        outcomes: &mut Outcomes,
        list: &List,
        region: Node,
    ) -> Result<Node, TooLarge> {
        let mut parts = Vec::new();
        for &at in &list.statements {
            let holds = space.statement(at)?;
            let here = space.diagrams.and(region, holds)?;
            if here != Node::FALSE {
                let leaf = outcomes.leaf(self.outcome(at));
                parts.push(space.diagrams.and(here, leaf)?);
            }
        }
        let default = outcomes.leaf(Outcome { meets: Vec::new(), end: Some((list.default, DEFAULT)) });
        parts.push(space.diagrams.and(region, default)?);
        outcomes.list(&mut space.diagrams, parts)
    }

    fn outcome(&self, at: usize) -> Outcome {
        let statement = &self.joint.policy.statements[at];
        // What `decap` does to a packet has a name of its own, whatever else passes it.
        let verdict = statement.decides().or(statement.ends().then_some(Verdict::Pass));
        match verdict {
            Some(verdict) => {
                let by = self.joint.same[at] as u32;
                Outcome { meets: self.name_of_decider(at), end: Some((verdict, by)) }
            }
            None => Outcome { meets: vec![self.called[at]], end: None },
        }
    }

    /// With `--counts` who decides makes a difference; `decap` always does.
    fn name_of_decider(&self, at: usize) -> Vec<u32> {
        if self.called[at] == DEFAULT { Vec::new() } else { vec![self.called[at]] }
    }
}

impl Statement {
    /// Whether it can change what happens to a packet.
    pub(super) fn has_a_say(&self) -> bool {
        !self.shadow && !matches!(self.action, Action::Count | Action::Sample(_))
    }
}

/// What a limit is known by: two are the same if they count the same packets in the same buckets.
pub(super) fn same_limit(limit: &Limit) -> String {
    format!("{:?} {} {} {:?}", limit.unit, limit.interval, limit.tolerance, limit.keys)
}

/// What a sample is known by: two are the same if they take as many of the same packets.
pub(super) fn same_sample(statement: &Statement, sample: &Sample) -> String {
    format!("{} sample {} {}", statement.name, sample.one_in, statement.shadow)
}

/// What an answer with cookies is known by: all are the same.
pub(super) const SYNCOOKIE: &str = "syncookie";

/// What a `balance` is known by: two are the same if they send the same packets to the same backends.
fn same_balance(policy: &Policy, balance: &Balance) -> String {
    let pool = policy.pools[balance.pool as usize].meaning();
    format!("balance {pool} {:?} {:?}", balance.keys, balance.via)
}

/// A number for each statement that packets can meet: the same for limits that are the same, for all that decap and, where
/// counts matter, for statements of the same name and kind.
fn called(joint: &Joint, settings: &Settings) -> Vec<u32> {
    let mut numbers: HashMap<String, u32> = HashMap::new();
    let number = |statement: &Statement| {
        let what = match &statement.action {
            Action::Limit(limit) => format!("{} limit {}", statement.name, same_limit(limit)),
            Action::Syncookie if !settings.counts => SYNCOOKIE.to_owned(),
            Action::Decap | Action::Echo if !settings.counts => statement.verb().to_owned(),
            Action::Balance(balance) if !settings.counts => same_balance(&joint.policy, balance),
            Action::Answer(balance) if !settings.counts => {
                format!("answer {}", same_balance(&joint.policy, balance))
            }
            _ if !settings.counts => return DEFAULT,
            Action::Sample(sample) => same_sample(statement, sample),
            _ => format!("{} {} {}", statement.name, statement.verb(), statement.shadow),
        };
        let next = numbers.len() as u32;
        *numbers.entry(what).or_insert(next)
    };
    joint.policy.statements.iter().map(number).collect()
}

//! What becomes of one frame in one policy, by the evaluator.

use super::Settings;
use super::compare::{SYNCOOKIE, same_limit, same_sample};
use crate::eval::{Evaluator, LiveElement};
use crate::ir::Verdict;
use crate::policy::{Action, Policy, SetPart};
use std::collections::HashMap;

/// What becomes of a frame while all limits, and all answers with cookies, let it go on.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Fate {
    /// The verdict.
    pub verdict: Verdict,
    /// The statement that decides; `None` for the default.
    pub by: Option<usize>,
    /// Whether its tunnel is taken off.
    pub decapsulated: bool,
    /// The limits, and the answers with cookies, that it meets on its way.
    pub limits: Vec<usize>,
    /// Statements, the deciding one not among them, that count it.
    counted: Vec<usize>,
}

/// Values that are in live sets, by part.
pub(super) type Live = HashMap<SetPart, Vec<Vec<u128>>>;

/// A policy whose limits and answers let everything pass.
pub(super) struct Judge<'p> {
    policy: &'p Policy,
    open: Policy,
}

impl<'p> Judge<'p> {
    /// For a policy.
    pub(super) fn new(policy: &'p Policy) -> Self {
        let mut open = policy.clone();
        for statement in &mut open.statements {
            match &mut statement.action {
                // Packets that cost nothing find every bucket full.
                Action::Limit(limit) => limit.interval = 0,
                // What it does depends on sockets: it is met, and lets everything go on.
                Action::Syncookie => statement.action = Action::Count,
                // What it may take counts as taken.
                Action::Sample(sample) => sample.one_in = 1,
                _ => {}
            }
        }
        Self { policy, open }
    }

    /// Judges a frame.
    pub(super) fn fate(&self, frame: &[u8], live: &Live) -> Fate {
        let mut evaluator = Evaluator::new(&self.open);
        for (part, keys) in live {
            let element = |key: &Vec<u128>| LiveElement {
                ranges: key.iter().map(|&value| (value, value)).collect(),
                expires: None,
            };
            evaluator.live.insert(*part, keys.iter().map(element).collect());
        }
        let outcome = evaluator.judge(frame);
        let applied: Vec<usize> = (0..self.policy.statements.len())
            .filter(|&index| evaluator.counters[index].packets > 0 && outcome.by != Some(index))
            .collect();
        let limit = |index: &usize| {
            let statement = &self.policy.statements[*index];
            matches!(statement.action, Action::Limit(_) | Action::Syncookie) && !statement.shadow
        };
        let limits = applied.iter().copied().filter(limit).collect();
        let decapsulated = outcome.frame.is_some() && outcome.verdict == Verdict::Pass;
        Fate { verdict: outcome.verdict, by: outcome.by, decapsulated, limits, counted: applied }
    }

    /// What must be equal for two policies to treat a packet alike.
    pub(super) fn counts(&self, fate: &Fate, settings: &Settings) -> (Verdict, bool, Vec<String>) {
        let name = |&index: &usize| {
            let statement = &self.policy.statements[index];
            match &statement.action {
                Action::Limit(limit) => {
                    format!("{} {} {}", statement.name, same_limit(limit), statement.shadow)
                }
                Action::Sample(sample) => same_sample(statement, sample),
                Action::Syncookie if !settings.counts => SYNCOOKIE.to_owned(),
                _ => format!("{} {} {}", statement.name, statement.verb(), statement.shadow),
            }
        };
        let met = if settings.counts { &fate.counted } else { &fate.limits };
        let decider = fate.by.as_ref().filter(|_| settings.counts);
        (fate.verdict, fate.decapsulated, met.iter().chain(decider).map(name).collect())
    }
}

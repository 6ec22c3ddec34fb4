//! What was chosen, and what else would have cost how much.

use serde::Serialize;
use weir_compiler::plan::{COSTS, Choice, Choices, Plan, SetHome};
use weir_compiler::policy::{Policy, SetPart};

/// A structure that something has or could have.
#[derive(Serialize, PartialEq)]
pub(super) struct ChoiceFact {
    pub(super) structure: &'static str,
    pub(super) chosen: bool,
    /// Estimated nanoseconds of a packet that meets nothing in it.
    pub(super) ns: Option<f64>,
    /// Why it could not be chosen.
    pub(super) impossible: Option<&'static str>,
}

/// Neighbouring statements that could be matched as one.
#[derive(Serialize, PartialEq)]
pub(super) struct GroupFact {
    pub(super) first: String,
    pub(super) last: String,
    pub(super) statements: usize,
    pub(super) choices: Vec<ChoiceFact>,
}

/// Wherever in the program; those that are alike are told once.
pub(super) fn groups(policy: &Policy, plan: &Plan) -> Vec<GroupFact> {
    let mut facts = Vec::new();
    for group in plan.statement_choices(policy) {
        let fact = group_fact(policy, &group);
        if !facts.contains(&fact) {
            facts.push(fact);
        }
    }
    facts
}

fn group_fact(policy: &Policy, group: &Choices) -> GroupFact {
    let name = |index: Option<&usize>| index.map_or("", |&index| &policy.statements[index].name).to_owned();
    GroupFact {
        first: name(group.statements.first()),
        last: name(group.statements.last()),
        statements: group.statements.len(),
        choices: group.choices.iter().map(choice_fact).collect(),
    }
}

/// Of a part of a set.
pub(super) fn of_set(policy: &Policy, plan: &Plan, name: SetPart) -> Vec<ChoiceFact> {
    plan.set_choices(policy, name).iter().map(choice_fact).collect()
}

fn choice_fact(choice: &Choice) -> ChoiceFact {
    ChoiceFact {
        structure: structure(choice.home),
        chosen: choice.chosen,
        ns: choice.ns.ok().map(rounded),
        impossible: choice.ns.err(),
    }
}

/// In words.
pub(super) fn structure(home: SetHome) -> &'static str {
    match home {
        SetHome::Tree => "comparison tree",
        SetHome::Chain => "comparison chain",
        SetHome::Table => "table",
        SetHome::Hash => "hash map",
        SetHome::Lpm => "LPM trie",
        SetHome::Index => "index of prefixes",
    }
}

/// Estimates of packets that no statement decides, by class.
pub(super) fn estimates(policy: &Policy, plan: &Plan) -> Estimates {
    let estimate = plan.estimate(policy, &COSTS);
    let by_class = (0..plan.classes.len() as u32)
        .map(|class| estimate.classes.get(&weir_compiler::plan::ClassId(class)).copied().map(rounded))
        .collect();
    let (least, most) = estimate.range();
    Estimates { by_class, least: rounded(least), most: rounded(most) }
}

/// In nanoseconds.
pub(super) struct Estimates {
    pub(super) by_class: Vec<Option<f64>>,
    pub(super) least: f64,
    pub(super) most: f64,
}

/// More digits would say more than is known.
fn rounded(ns: f64) -> f64 {
    (ns * 10.0).round() / 10.0
}

/// What was chosen, in nanoseconds, and the others in words.
pub(super) fn shown(choices: &[ChoiceFact]) -> (String, String) {
    let chosen = choices.iter().find(|choice| choice.chosen).and_then(|choice| choice.ns);
    let others: Vec<String> = choices.iter().filter(|choice| !choice.chosen).map(other).collect();
    (chosen.map_or(String::new(), |ns| format!("{ns:.1} ns")), others.join("; "))
}

fn other(choice: &ChoiceFact) -> String {
    match (choice.ns, choice.impossible) {
        (Some(ns), _) => format!("{} {ns:.1} ns", choice.structure),
        (None, why) => format!("no {}: {}", choice.structure, why.unwrap_or("it cannot be")),
    }
}

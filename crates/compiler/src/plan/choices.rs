//! What else could have been chosen, and what it would have cost.

use super::cost::{COSTS, Costs};
use super::tables::{Group, Members, Run};
use super::{Plan, SetHome, Site};
use crate::policy::{Policy, SetPart};
use std::collections::{BTreeMap, BTreeSet};

/// A structure that a set or a group of statements could have.
#[derive(Clone, PartialEq, Debug)]
pub struct Choice {
    /// The structure.
    pub home: SetHome,
    /// Estimated nanoseconds of a packet that meets nothing in it; why it is not possible otherwise.
    pub ns: Result<f64, &'static str>,
    /// Whether it is the one that was chosen.
    pub chosen: bool,
}

/// Neighbouring statements that could be matched as one, and what they are matched as.
#[derive(Clone, PartialEq, Debug)]
pub struct Choices {
    /// Where they are decided.
    pub site: Site,
    /// The statements by number.
    pub statements: Vec<usize>,
    /// What they were and could have been matched as.
    pub choices: Vec<Choice>,
}

impl Plan {
    /// What the structures of a set's part would cost.
    pub fn set_choices(&self, policy: &Policy, name: SetPart) -> Vec<Choice> {
        let set = &policy.sets[name.set as usize];
        let part = &set.parts[name.part as usize];
        let home = self.sets[name.set as usize][name.part as usize];
        let in_code = if part.widths.len() == 1 { SetHome::Tree } else { SetHome::Chain };
        let made = self.set_tables.get(&name).cloned().or_else(|| part.table());
        let choice = |other: SetHome| {
            let ns = match (home, other) {
                (SetHome::Index, SetHome::Hash) => Err("prefixes may come"),
                _ => COSTS.set(set, part, made.as_ref(), other),
            };
            Choice { home: other, ns, chosen: other == home }
        };
        let mut choices: Vec<Choice> =
            [in_code, SetHome::Table, SetHome::Hash, SetHome::Lpm].map(choice).into_iter().collect();
        if set.live.is_some() {
            choices.push(choice(SetHome::Index));
        }
        choices
    }

    /// What a look-up in each part of each set costs as it is.
    pub fn set_costs(&self, policy: &Policy, costs: &Costs) -> BTreeMap<SetPart, f64> {
        let mut found = BTreeMap::new();
        for (number, (set, homes)) in (0..).zip(policy.sets.iter().zip(&self.sets)) {
            for (nth, (part, home)) in (0..).zip(set.parts.iter().zip(homes)) {
                let name = SetPart { set: number, part: nth };
                let ns = costs.set(set, part, self.set_tables.get(&name), *home);
                found.extend(ns.ok().map(|ns| (name, ns)));
            }
        }
        found
    }

    /// Neighbouring statements that are boxes, with what they cost as a table, as a chain, and as hash maps.
    pub fn statement_choices(&self, policy: &Policy) -> Vec<Choices> {
        let sets = self.set_costs(policy, &COSTS);
        let members = Members::new(policy, &self.static_headers);
        let of_site = |site: &Site| -> Vec<Choices> {
            let (first, conditions) = self.conditions(*site);
            let groups = self.groups(&members, *site).into_iter();
            let chain = |group: &Group| -> f64 {
                let of = |index: &usize| COSTS.condition(&conditions[index - first], &sets);
                group.statements.iter().map(of).sum()
            };
            let choices = |group: Group| Choices {
                site: *site,
                choices: choices(&group, chain(&group)),
                statements: group.statements,
            };
            groups.map(choices).collect()
        };
        self.steps.keys().flat_map(of_site).collect()
    }
}

fn choices(group: &Group, chain: f64) -> Vec<Choice> {
    let table = COSTS.run(&group.run.table);
    let choice = |home, ns, chosen| Choice { home, ns, chosen };
    vec![
        choice(SetHome::Chain, Ok(chain), !group.is_run),
        choice(SetHome::Table, table.ok_or("their rows cannot be cut apart"), group.is_run),
        choice(SetHome::Hash, hash_maps(&group.run), false),
    ]
}

/// A hash map for each tuple of words that some rows ask for exactly.
fn hash_maps(run: &Run) -> Result<f64, &'static str> {
    let mut tuples: BTreeMap<BTreeSet<usize>, usize> = BTreeMap::new();
    if run.table.counting().is_some() {
        return Err("they count and go on");
    }
    for row in run.table.rows() {
        let asked = |word: &usize| row.ranges[*word] != (0, u64::MAX >> (64 - run.table.words()[*word]));
        let words: BTreeSet<usize> = (0..row.ranges.len()).filter(asked).collect();
        if words.iter().any(|word| row.ranges[*word].0 != row.ranges[*word].1) {
            return Err("they ask for ranges or prefixes");
        }
        *tuples.entry(words).or_default() += 1;
    }
    Ok(tuples.values().map(|rows| COSTS.hash(*rows)).sum())
}

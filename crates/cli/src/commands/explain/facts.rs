//! What `explain` tells, in the shape of its JSON.

use super::choices::{self, ChoiceFact, Estimates, GroupFact};
use super::pools::{self, PoolFact};
use serde::Serialize;
use weir_bpf::map::{MapDef, MapKind};
use weir_compiler::ir::effort::Effort;
use weir_compiler::plan::{Decided, Plan, Run, SetHome, StateId, Step, TREE, Word, pred_cost, width};
use weir_compiler::policy::{
    Family46, Policy, Pred, Protocols, Set, SetPart, header_text, pred_text, term_text,
};
use weir_compiler::{Compilation, Options};

#[derive(Serialize)]
pub(super) struct Facts {
    pub(super) policy: String,
    pub(super) statements: Vec<StatementFact>,
    pub(super) default: &'static str,
    pub(super) parser_states: usize,
    pub(super) classes: Vec<ClassFact>,
    pub(super) early: Vec<EarlyFact>,
    pub(super) tables: Vec<TableFact>,
    pub(super) groups: Vec<GroupFact>,
    pub(super) sets: Vec<SetFact>,
    pub(super) limits: Vec<LimitFact>,
    pub(super) pools: Vec<PoolFact>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) samples: Vec<SampleFact>,
    pub(super) maps: Vec<MapFact>,
    pub(super) program: ProgramFact,
    pub(super) target: String,
}

#[derive(Serialize)]
pub(super) struct StatementFact {
    pub(super) name: String,
    pub(super) action: String,
    pub(super) shadow: bool,
    pub(super) condition: String,
    /// In how many classes it can match.
    pub(super) classes: usize,
}

#[derive(Serialize)]
pub(super) struct ClassFact {
    pub(super) headers: Vec<String>,
    pub(super) statements: Vec<String>,
    pub(super) comparisons: u64,
    /// Estimated nanoseconds of a packet that no statement decides; none where every packet is decided before.
    pub(super) ns: Option<f64>,
}

/// Statements that are decided before the packet is parsed to its end.
#[derive(Serialize)]
pub(super) struct EarlyFact {
    /// The header behind which they are, and the static ones before it.
    pub(super) behind: Vec<String>,
    pub(super) statements: Vec<String>,
}

/// Statements that are matched as one.
#[derive(Serialize, PartialEq)]
pub(super) struct TableFact {
    pub(super) first: String,
    pub(super) last: String,
    pub(super) statements: usize,
    /// Those of them that only count.
    pub(super) counting: usize,
    pub(super) rows: usize,
    pub(super) key: Vec<String>,
}

#[derive(Serialize)]
pub(super) struct SetFact {
    pub(super) name: String,
    pub(super) family: Option<&'static str>,
    pub(super) elements: usize,
    pub(super) structure: &'static str,
    pub(super) why: String,
    pub(super) choices: Vec<ChoiceFact>,
}

#[derive(Serialize)]
pub(super) struct LimitFact {
    pub(super) name: String,
    pub(super) rate: String,
    pub(super) keys: u32,
}

#[derive(Serialize)]
pub(super) struct SampleFact {
    pub(super) name: String,
    pub(super) one_in: u32,
    pub(super) bytes: u16,
    pub(super) budget: u64,
}

#[derive(Serialize)]
pub(super) struct MapFact {
    pub(super) name: String,
    pub(super) kind: &'static str,
    pub(super) key_bytes: u32,
    pub(super) value_bytes: u32,
    pub(super) entries: u32,
    pub(super) bytes: u64,
}

#[derive(Serialize)]
pub(super) struct ProgramFact {
    pub(super) name: String,
    pub(super) section: String,
    pub(super) instructions: usize,
    pub(super) max_instructions: u32,
    /// More than one where the verifier would not follow it to its end.
    pub(super) functions: usize,
    /// About how many instructions the kernel's verifier goes through, with repetitions.
    pub(super) verified: u64,
    /// Of all classes, and of the longest one.
    pub(super) comparisons: u64,
    pub(super) longest_class: u64,
    /// Estimated nanoseconds of a packet that no statement decides: of the cheapest class and of the dearest.
    pub(super) least_ns: f64,
    pub(super) most_ns: f64,
}

impl Facts {
    pub(super) fn of(compilation: &Compilation, options: &Options) -> Option<Facts> {
        let analysis = &compilation.analysis;
        let (policy, plan) = (&analysis.policy, analysis.plan.as_ref()?);
        let estimates = choices::estimates(policy, plan);
        let classes = classes(policy, plan, &estimates);
        let program = &compilation.object.programs[0];
        let program = ProgramFact {
            name: program.name.clone(),
            section: program.section.clone(),
            instructions: program.slots(),
            max_instructions: options.target.max_instructions,
            functions: program.functions.len(),
            verified: verified(compilation),
            comparisons: plan.cost,
            longest_class: classes.iter().map(|class| class.comparisons).max().unwrap_or(0),
            least_ns: estimates.least,
            most_ns: estimates.most,
        };
        Some(Facts {
            policy: analysis.sources[analysis.main].name.clone(),
            statements: statements(policy, plan),
            default: crate::judge::word(policy.default_verdict()),
            parser_states: plan.graph.states.len(),
            classes,
            early: early(policy, plan),
            tables: tables(policy, plan),
            groups: choices::groups(policy, plan),
            sets: sets(policy, plan),
            limits: limits(policy),
            pools: pools::facts(policy),
            samples: samples(policy),
            maps: compilation.object.maps.iter().map(|map| map_fact(map, options.target.cpus)).collect(),
            program,
            target: options.target.to_string(),
        })
    }
}

/// Functions are gone through once each.
fn verified(compilation: &Compilation) -> u64 {
    let effort = Effort::of(&compilation.lowered.program);
    let cut = compilation.object.programs[0].functions.iter().skip(1).any(|function| function.global);
    if cut { effort.once } else { effort.steps }
}

fn statements(policy: &Policy, plan: &Plan) -> Vec<StatementFact> {
    let can_match =
        |index: usize| plan.classes.iter().filter(|class| possible(&class.conditions[index])).count();
    let fact = |(index, statement): (usize, &weir_compiler::policy::Statement)| StatementFact {
        name: statement.name.clone(),
        action: statement.verb().to_owned(),
        shadow: statement.shadow,
        condition: pred_text(policy, &statement.when),
        classes: can_match(index),
    };
    policy.statements.iter().enumerate().map(fact).collect()
}

fn classes(policy: &Policy, plan: &Plan, estimates: &Estimates) -> Vec<ClassFact> {
    let fact = |(class, ns): (&weir_compiler::plan::Class, &Option<f64>)| ClassFact {
        headers: class.headers.iter().map(|header| header_text(&policy.protocols, *header)).collect(),
        statements: reached(policy, &class.conditions),
        comparisons: class.conditions.iter().map(pred_cost).sum(),
        ns: *ns,
    };
    plan.classes.iter().zip(&estimates.by_class).map(fact).collect()
}

fn early(policy: &Policy, plan: &Plan) -> Vec<EarlyFact> {
    let fact = |((state, _), decided): (&(StateId, usize), &Decided)| {
        let state = &plan.graph.states[state.0 as usize];
        let mut headers = plan.graph.classes[state.last.0 as usize].clone();
        headers.insert(state.header);
        let statements = &policy.statements[decided.first..decided.end()];
        let possible = statements.iter().zip(&decided.conditions).filter(|(_, left)| possible(left));
        EarlyFact {
            behind: headers.into_iter().map(|header| header_text(&policy.protocols, header)).collect(),
            statements: possible.map(|(statement, _)| statement.name.clone()).collect(),
        }
    };
    plan.early.iter().map(fact).filter(|fact| !fact.statements.is_empty()).collect()
}

/// What is matched as one, wherever in the program; places with the same table share it.
fn tables(policy: &Policy, plan: &Plan) -> Vec<TableFact> {
    let mut facts = Vec::new();
    for step in plan.steps.values().flatten() {
        let Step::Run(run) = step else { continue };
        let fact = table(policy, run);
        if !facts.contains(&fact) {
            facts.push(fact);
        }
    }
    facts
}

fn table(policy: &Policy, run: &Run) -> TableFact {
    let numbers = run.statements();
    let name = |number: Option<&usize>| number.map_or("", |&index| &policy.statements[index].name).to_owned();
    TableFact {
        first: name(numbers.first()),
        last: name(numbers.last()),
        statements: numbers.len(),
        counting: numbers.iter().filter(|index| policy.statements[**index].only_counts()).count(),
        rows: run.table.entries().count(),
        key: run.words.iter().map(|word| word_text(&policy.protocols, word)).collect(),
    }
}

fn word_text(protocols: &Protocols, word: &Word) -> String {
    match word {
        Word::Low(term) if width(protocols, term) <= 64 => term_text(protocols, term),
        Word::Low(term) => format!("{} (low half)", term_text(protocols, term)),
        Word::High(term) => format!("{} (high half)", term_text(protocols, term)),
        Word::Header(header) => format!("{}?", header_text(protocols, *header)),
        Word::There(term) => format!("{}?", term_text(protocols, term)),
    }
}

/// Statements that can match, up to one that decides about all that come by.
fn reached(policy: &Policy, conditions: &[Pred]) -> Vec<String> {
    let mut names = Vec::new();
    for (statement, condition) in policy.statements.iter().zip(conditions) {
        if possible(condition) {
            names.push(statement.name.clone());
        }
    }
    names
}

fn possible(condition: &Pred) -> bool {
    *condition != Pred::Const(false)
}

fn sets(policy: &Policy, plan: &Plan) -> Vec<SetFact> {
    let mut facts = Vec::new();
    for (number, (set, homes)) in (0..).zip(policy.sets.iter().zip(&plan.sets)) {
        for (nth, (part, home)) in (0..).zip(set.parts.iter().zip(homes)) {
            let family = part.family.map(|family| match family {
                Family46::V4 => "IPv4",
                Family46::V6 => "IPv6",
            });
            let elements = part.elements.len();
            let (structure, why) = (choices::structure(*home), chosen(set, *home, elements));
            let choices = choices::of_set(policy, plan, SetPart { set: number, part: nth });
            facts.push(SetFact { name: set.name.clone(), family, elements, structure, why, choices });
        }
    }
    facts
}

/// Why.
fn chosen(set: &Set, home: SetHome, elements: usize) -> String {
    match home {
        SetHome::Tree => "it is constant and small: its values are in the code".to_owned(),
        SetHome::Chain => format!("{elements} tuples, compared one by one in the code"),
        SetHome::Hash if set.live.is_some() => "it changes while running".to_owned(),
        SetHome::Hash if set.types.len() > 1 => "whole tuples are looked up at once".to_owned(),
        SetHome::Table => format!("more than {TREE}: comparisons in the code would be slower"),
        SetHome::Hash => "single values".to_owned(),
        SetHome::Lpm => "prefixes that no table can part".to_owned(),
        SetHome::Index => "it changes while running, and prefixes may come".to_owned(),
    }
}

fn limits(policy: &Policy) -> Vec<LimitFact> {
    let limit = |statement: &weir_compiler::policy::Statement| match &statement.action {
        weir_compiler::policy::Action::Limit(limit) => {
            Some(LimitFact { name: statement.name.clone(), rate: limit.text.clone(), keys: limit.max })
        }
        _ => None,
    };
    policy.statements.iter().filter_map(limit).collect()
}

fn samples(policy: &Policy) -> Vec<SampleFact> {
    let fact = |(index, sample): (usize, &weir_compiler::policy::Sample)| SampleFact {
        name: policy.statements[index].name.clone(),
        one_in: sample.one_in,
        bytes: sample.bytes,
        budget: sample.budget,
    };
    policy.samples().map(fact).collect()
}

/// What a map takes of the kernel's memory, about: keys and values, rounded up as the kernel does.
fn map_fact(map: &MapDef, cpus: u32) -> MapFact {
    let (key_bytes, value_bytes) = (map.key.size(), map.value.size());
    let round = |bytes: u32| u64::from(bytes.next_multiple_of(8));
    let copies = if map.kind.per_cpu() { u64::from(cpus) } else { 1 };
    let each = match map.kind {
        MapKind::RingBuf => 1,
        // A hash map's element has a head of 48 bytes, a trie's node one of 40.
        MapKind::Hash | MapKind::LruHash => 48 + round(key_bytes) + round(value_bytes) * copies,
        MapKind::LpmTrie => 40 + round(key_bytes) + round(value_bytes),
        _ => round(value_bytes) * copies,
    };
    MapFact {
        name: map.name.clone(),
        kind: map.kind.name(),
        key_bytes,
        value_bytes,
        entries: map.max_entries,
        bytes: each * u64::from(map.max_entries),
    }
}

//! What `explain` tells, in the shape of its JSON.

use serde::Serialize;
use weir_bpf::map::{MapDef, MapKind};
use weir_compiler::plan::{Plan, SetHome, TREE, pred_cost};
use weir_compiler::policy::{Family46, Policy, Pred, Set, header_text, pred_text};
use weir_compiler::{Compilation, Options};

#[derive(Serialize)]
pub(super) struct Facts {
    pub(super) policy: String,
    pub(super) statements: Vec<StatementFact>,
    pub(super) default: &'static str,
    pub(super) parser_states: usize,
    pub(super) classes: Vec<ClassFact>,
    pub(super) sets: Vec<SetFact>,
    pub(super) limits: Vec<LimitFact>,
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
}

#[derive(Serialize)]
pub(super) struct SetFact {
    pub(super) name: String,
    pub(super) family: Option<&'static str>,
    pub(super) elements: usize,
    pub(super) structure: &'static str,
    pub(super) why: String,
}

#[derive(Serialize)]
pub(super) struct LimitFact {
    pub(super) name: String,
    pub(super) rate: String,
    pub(super) keys: u32,
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
    /// Of all classes, and of the longest one.
    pub(super) comparisons: u64,
    pub(super) longest_class: u64,
}

impl Facts {
    pub(super) fn of(compilation: &Compilation, options: &Options) -> Option<Facts> {
        let analysis = &compilation.analysis;
        let (policy, plan) = (&analysis.policy, analysis.plan.as_ref()?);
        let classes = classes(policy, plan);
        let program = &compilation.object.programs[0];
        let program = ProgramFact {
            name: program.name.clone(),
            section: program.section.clone(),
            instructions: program.slots(),
            max_instructions: options.target.max_instructions,
            comparisons: plan.cost,
            longest_class: classes.iter().map(|class| class.comparisons).max().unwrap_or(0),
        };
        Some(Facts {
            policy: analysis.sources[analysis.main].name.clone(),
            statements: statements(policy, plan),
            default: crate::judge::word(policy.default_verdict()),
            parser_states: plan.graph.states.len(),
            classes,
            sets: sets(policy, plan),
            limits: limits(policy),
            maps: compilation.object.maps.iter().map(|map| map_fact(map, options.target.cpus)).collect(),
            program,
            target: options.target.to_string(),
        })
    }
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

fn classes(policy: &Policy, plan: &Plan) -> Vec<ClassFact> {
    let fact = |class: &weir_compiler::plan::Class| ClassFact {
        headers: class.headers.iter().map(|header| header_text(&policy.protocols, *header)).collect(),
        statements: reached(policy, &class.conditions),
        comparisons: class.conditions.iter().map(pred_cost).sum(),
    };
    plan.classes.iter().map(fact).collect()
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
    for (set, homes) in policy.sets.iter().zip(&plan.sets) {
        for (part, home) in set.parts.iter().zip(homes) {
            let family = part.family.map(|family| match family {
                Family46::V4 => "IPv4",
                Family46::V6 => "IPv6",
            });
            let elements = part.elements.len();
            let (structure, why) = chosen(set, *home, elements);
            facts.push(SetFact { name: set.name.clone(), family, elements, structure, why });
        }
    }
    facts
}

fn chosen(set: &Set, home: SetHome, elements: usize) -> (&'static str, String) {
    let tuples = set.types.len() > 1;
    match home {
        SetHome::Tree => {
            ("comparison tree", "it is constant and small: its values are in the code".to_owned())
        }
        SetHome::Chain => ("comparison chain", format!("{elements} tuples, compared one by one in the code")),
        SetHome::Hash if set.live.is_some() => ("hash map", "it changes while running".to_owned()),
        SetHome::Hash if tuples => ("hash map", "whole tuples are looked up at once".to_owned()),
        SetHome::Table => ("table", format!("more than {TREE}: comparisons in the code would be slower")),
        SetHome::Hash => ("hash map", "single values".to_owned()),
        SetHome::Lpm => ("LPM trie", "prefixes that no table can part".to_owned()),
        SetHome::HashAndLpm => (
            "hash map and LPM trie",
            "it changes while running: addresses in the map, prefixes in the trie".to_owned(),
        ),
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

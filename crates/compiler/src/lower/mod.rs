//! Plan → IR.
//!
//! The parser's states become blocks that hand on a cursor and the values found so far; the
//! packet classes become chains of statements over those values. Values of one header are loaded
//! where the header is found, behind its one bounds check, and never again.

mod balance;
mod class;
mod cookie;
mod decap;
mod echo;
mod field;
mod frequency;
mod nat;
mod options;
mod parser;
mod pred;
mod ranges;
mod shape;

pub use frequency::Frequencies;

use crate::codegen::indexes::bytes_around;
use crate::index::{self, Key};
use crate::ir::build::Builder;
use crate::ir::{
    self, BalanceRef, LimitDecl, LimitRef, Line, LineInfo, NatRef, SampleDecl, SampleRef, SetDecl, SetKind,
    SetRef, StatementId, TableDecl, TableRef,
};
use crate::plan::{ClassId, Plan, SetHome, StateId, Steps};
use crate::policy::{Action, HeaderRef, Policy, SetPart, Statement, Unsent};
use crate::source::{Sources, Span};
use crate::state::PoolState;
use parser::Crossing;
use shape::Shape;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Which counter slot belongs to what: a statement's name, `NAME/over` for packets over a limit,
/// `default`. Given back to the next compilation, so that counters survive a reload.
pub type Slots = BTreeMap<String, u32>;

/// What a lowering is asked for beside the policy.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Slots that names have already.
    pub slots: Slots,
    /// Names of statements whose packets are copied to the capture ring.
    pub capture: Vec<String>,
    /// How often statements are met, by what was counted.
    pub frequencies: Frequencies,
    /// So many statements at least are matched as one; if not said, as many as are worth it.
    pub shortest_run: Option<usize>,
    /// Names of statements that are matched by themselves, for benches.
    pub alone: BTreeSet<String>,
}

impl Options {
    /// How statements are matched: as planned, unless these ask for something else.
    fn steps<'p>(&self, policy: &Policy, plan: &'p Plan) -> Cow<'p, Steps> {
        if self.capture.is_empty() && self.alone.is_empty() && self.shortest_run.is_none() {
            return Cow::Borrowed(&plan.steps);
        }
        let alone = |index: usize| {
            let name = &policy.statements[index].name;
            self.capture.contains(name) || self.alone.contains(name)
        };
        Cow::Owned(plan.steps_with(policy, self.shortest_run.unwrap_or(plan.shortest_run), &alone))
    }
}

/// A policy in IR, and what user space must know of it.
#[derive(Clone, Debug)]
pub struct Lowered {
    /// The program.
    pub program: ir::Program,
    /// Which part of which set each declared set is, by [`SetRef`].
    pub sets: Vec<SetPart>,
    /// Which statement each declared limit is, by [`LimitRef`].
    pub limits: Vec<usize>,
    /// The counter slots.
    pub slots: Slots,
}

/// Lowers a plan.
pub fn lower(policy: &Policy, plan: &Plan, sources: &Sources, options: &Options) -> Lowered {
    let steps = options.steps(policy, plan);
    let mut lower = Lower::new(policy, plan, &steps, sources, options);
    lower.program();
    Lowered {
        program: lower.b.finish(),
        sets: lower.set_parts,
        limits: lower.limit_statements,
        slots: lower.slots,
    }
}

struct Lower<'a> {
    policy: &'a Policy,
    plan: &'a Plan,
    steps: &'a Steps,
    sources: &'a Sources,
    options: &'a Options,
    b: Builder,
    shape: Shape,
    lines: HashMap<Span, Line>,
    statement_ids: Vec<StatementId>,
    set_refs: HashMap<SetPart, SetRef>,
    /// Sets that live in tables.
    table_refs: HashMap<SetPart, TableRef>,
    set_parts: Vec<SetPart>,
    limit_refs: HashMap<usize, LimitRef>,
    limit_statements: Vec<usize>,
    balance_refs: HashMap<usize, BalanceRef>,
    sample_refs: HashMap<usize, SampleRef>,
    /// By statement and whether it is for packets of IPv6: where all classes lead to.
    balance_tails: HashMap<(usize, bool), ir::Block>,
    nat_refs: HashMap<usize, NatRef>,
    /// By statement, family and kind of packets: where all classes lead to.
    nat_tails: HashMap<(usize, bool, nat::Shape), ir::Block>,
    unsent_blocks: HashMap<(usize, Unsent), ir::Block>,
    /// By statement and whether it is for packets of IPv6: where SYNs are answered.
    answer_blocks: HashMap<(usize, bool), ir::Block>,
    /// By statement: where acknowledgements without a cookie are dropped.
    invalid_blocks: HashMap<usize, ir::Block>,
    slots: Slots,
    /// Blocks of states and classes, by how many statements were decided before them.
    state_blocks: HashMap<(StateId, usize), ir::Block>,
    class_blocks: HashMap<(ClassId, usize), ir::Block>,
    /// Scratch slots that walks over a header's options use, wherever in the parser they stand.
    walk_slots: HashMap<HeaderRef, Vec<u32>>,
    /// The state whose blocks are being made.
    current_state: Option<StateId>,
    /// The cursor at hand has taken a detour already.
    detoured: bool,
    /// How many states share what follows them.
    crossings: HashMap<Crossing, usize>,
    crossing_blocks: HashMap<(Crossing, usize), ir::Block>,
    crossings_to_do: Vec<((Crossing, usize), ir::Block)>,
    states_to_do: Vec<(StateId, usize)>,
    classes_to_do: Vec<(ClassId, usize)>,
}

impl<'a> Lower<'a> {
    fn new(
        policy: &'a Policy,
        plan: &'a Plan,
        steps: &'a Steps,
        sources: &'a Sources,
        options: &'a Options,
    ) -> Self {
        let mut lower = Self {
            policy,
            plan,
            steps,
            sources,
            options,
            b: Builder::new(),
            shape: Shape::new(policy, plan, steps),
            lines: HashMap::new(),
            statement_ids: Vec::new(),
            set_refs: HashMap::new(),
            table_refs: HashMap::new(),
            set_parts: Vec::new(),
            limit_refs: HashMap::new(),
            limit_statements: Vec::new(),
            balance_refs: HashMap::new(),
            sample_refs: HashMap::new(),
            balance_tails: HashMap::new(),
            nat_refs: HashMap::new(),
            nat_tails: HashMap::new(),
            unsent_blocks: HashMap::new(),
            answer_blocks: HashMap::new(),
            invalid_blocks: HashMap::new(),
            slots: Slots::new(),
            state_blocks: HashMap::new(),
            class_blocks: HashMap::new(),
            walk_slots: HashMap::new(),
            current_state: None,
            detoured: false,
            crossings: HashMap::new(),
            crossing_blocks: HashMap::new(),
            crossings_to_do: Vec::new(),
            states_to_do: Vec::new(),
            classes_to_do: Vec::new(),
        };
        for state in &plan.graph.states {
            if let Some(key) = parser::crossing(state, &policy.protocols[state.header.protocol]) {
                *lower.crossings.entry(key).or_insert(0) += 1;
            }
        }
        lower.declare();
        lower
    }

    fn declare(&mut self) {
        for _ in 0..self.shape.scratch {
            self.b.scratch();
        }
        for statement in &self.policy.statements {
            let id = self.b.statement(statement.name.clone());
            self.statement_ids.push(id);
        }
        for (index, statement) in self.policy.statements.iter().enumerate() {
            if let Action::Limit(limit) = &statement.action {
                let words = limit.keys.first().map_or(Vec::new(), |key| {
                    key.iter().flat_map(|part| part.words().iter().copied()).collect()
                });
                let (interval, tolerance, max) = (limit.interval, limit.tolerance, limit.max);
                let decl = LimitDecl { name: statement.name.clone(), interval, tolerance, words, max };
                let id = self.b.limit(decl);
                self.limit_refs.insert(index, id);
                self.limit_statements.push(index);
            }
        }
        self.declare_pools();
        for (set, homes) in self.plan.sets.iter().enumerate() {
            for (part, home) in homes.iter().enumerate() {
                let name = SetPart { set: set as u32, part: part as u32 };
                if home.is_map() {
                    self.declare_set(name, *home);
                }
            }
        }
        for (name, table) in &self.plan.set_tables {
            let id = self.b.table(TableDecl { table: table.clone(), rules: Vec::new() });
            self.table_refs.insert(*name, id);
        }
        self.assign_slots();
        self.declare_samples();
        self.expect();
    }

    fn declare_set(&mut self, name: SetPart, home: SetHome) {
        let set = &self.policy.sets[name.set as usize];
        let part = &set.parts[name.part as usize];
        let family = match part.family {
            None => "",
            Some(crate::policy::Family46::V4) => ".4",
            Some(crate::policy::Family46::V6) => ".6",
        };
        let kind = match home {
            SetHome::Lpm => SetKind::Lpm,
            SetHome::Index => SetKind::Index,
            _ => SetKind::Hash,
        };
        let max = match (set.live, home) {
            (Some(live), _) => live.max,
            (None, SetHome::Lpm) => prefix_count(part).max(1),
            (None, _) => (part.elements.len() as u32).max(1),
        };
        let words = match part.widths.as_slice() {
            // Tries want whole bytes; a narrower value fills up from the top with zeros.
            [width @ ..=64] => vec![padded(*width)],
            widths => widths.iter().copied().flat_map(crate::table::words).collect(),
        };
        let expires = set.live.is_some();
        let decl = SetDecl { name: format!("{}{family}", set.name), kind, words, expires, max };
        let id = self.b.set(decl);
        self.set_refs.insert(name, id);
        self.set_parts.push(name);
    }

    fn declare_samples(&mut self) {
        for (index, sample) in self.policy.samples() {
            let statement = &self.policy.statements[index];
            let slot = |name: &str| self.slots[name];
            let decl = SampleDecl {
                statement: self.statement_ids[index],
                one_in: sample.one_in,
                bytes: sample.bytes,
                counter: slot(&statement.name),
                lost: slot(&format!("{}/lost", statement.name)),
                shadow: statement.shadow,
            };
            let id = self.b.sample(decl);
            self.sample_refs.insert(index, id);
        }
        if !self.sample_refs.is_empty() {
            let names = self.policy.statements.iter().map(|statement| statement.name.as_str());
            self.b.tells(names.chain(["default"]).map(|name| self.slots[name]).collect());
        }
    }

    /// Keeps the slots that names have, and gives new names the lowest free ones.
    fn assign_slots(&mut self) {
        let mut names: Vec<String> = self.policy.statements.iter().flat_map(Statement::counters).collect();
        names.push("default".into());
        let kept = |name: &String| self.options.slots.get(name).copied();
        let mut taken: BTreeSet<u32> = names.iter().filter_map(kept).collect();
        let mut next = 0;
        for name in names {
            let slot = kept(&name).unwrap_or_else(|| {
                while !taken.insert(next) {
                    next += 1;
                }
                next
            });
            self.slots.insert(name, slot);
        }
        let count = self.slots.values().max().map_or(0, |max| max + 1);
        for _ in 0..count {
            self.b.counter();
        }
    }

    fn program(&mut self) {
        let start = self.b.start();
        let mut env = shape::Env::default();
        self.shape.begin(&mut self.b, &mut env);
        let target = self.goto(self.plan.graph.start, 0, start, &env);
        self.b.jump(target);
        loop {
            if let Some((state, first)) = self.states_to_do.pop() {
                self.state(state, first);
            } else if let Some(((key, first), block)) = self.crossings_to_do.pop() {
                self.crossing(&key, first, block);
            } else if let Some((class, first)) = self.classes_to_do.pop() {
                self.class(class, first);
            } else {
                break;
            }
        }
    }

    /// What follows belongs to this place.
    fn at(&mut self, span: Span) {
        let line = match self.lines.get(&span) {
            Some(line) => *line,
            None => {
                let source = &self.sources[span.source];
                let (line, column) = source.line_column(span.start);
                let (file, text) = (source.name.clone(), source.line(line).trim().to_owned());
                let id = self.b.line(LineInfo { span: Some(span), file, line, column, text });
                self.lines.insert(span, id);
                id
            }
        };
        self.b.at_line(line);
    }
}

/// The width of the scalar in which a single value of at most 64 bits is kept.
fn padded(width: u8) -> u8 {
    width.next_power_of_two().max(8)
}

fn prefix_count(part: &crate::policy::Part) -> u32 {
    let width = part.widths[0];
    part.elements.iter().map(|e| crate::plan::ranges_to_prefixes(width, e[0].0, e[0].1).len() as u32).sum()
}

impl Lowered {
    /// The state that the program begins with: constant elements of sets that live in maps.
    pub fn state(&self, policy: &Policy) -> crate::state::State {
        let mut state = crate::state::State::new(&self.program);
        for (index, name) in self.sets.iter().enumerate() {
            let decl = &self.program.sets[index];
            for (key, bits) in set_elements(policy, *name) {
                state.sets[index].insert(decl, &key, bits, None);
            }
        }
        state.pools = policy.pools.iter().map(PoolState::of).collect();
        state
    }
}

/// The constant elements of a part of a set as a map holds them: scalars, and how many bits of
/// them count.
pub fn set_elements(policy: &Policy, name: SetPart) -> Vec<(Vec<u64>, u32)> {
    let part = &policy.sets[name.set as usize].parts[name.part as usize];
    let total: u32 = part.widths.iter().map(|&w| u32::from(w)).sum();
    let mut elements = Vec::with_capacity(part.elements.len());
    for element in part.elements.iter() {
        if let ([width], [(low, high)]) = (part.widths.as_slice(), element) {
            for (first, length) in crate::plan::ranges_to_prefixes(*width, *low, *high) {
                let zeros = if *width > 64 { 0 } else { padded(*width) - width };
                elements.push((scalars(*width, first), u32::from(length + zeros)));
            }
        } else {
            let key =
                part.widths.iter().zip(element).flat_map(|(&w, &(value, _))| scalars(w, value)).collect();
            elements.push((key, total));
        }
    }
    elements
}

impl Lowered {
    /// The index of a set with the policy's own elements, which stay for ever; nothing if it has none.
    pub fn index(&self, policy: &Policy, set: SetRef) -> Option<Vec<u64>> {
        let decl = &self.program.sets[set.index()];
        let key = Key::of(&decl.words).filter(|_| decl.kind == SetKind::Index)?;
        let elements = set_elements(policy, self.sets[set.index()]).into_iter();
        let mut elements: Vec<_> =
            elements.map(|(scalars, bits)| (key.prefix(&scalars, bits), index::NEVER)).collect();
        elements.sort_unstable();
        elements.dedup();
        Some(index::build(key, &elements))
    }

    /// How many bytes the sections of indexes must have, by their sets' names.
    pub fn index_bytes(&self, policy: &Policy) -> BTreeMap<String, u32> {
        let sets = (0..).map(SetRef).zip(&self.program.sets);
        let one = |(set, decl): (SetRef, &SetDecl)| {
            let index = self.index(policy, set)?;
            Some((decl.name.clone(), bytes_around(8 * index.len())))
        };
        sets.filter_map(one).collect()
    }
}

/// The scalars of a value of `width` bits.
pub fn scalars(width: u8, value: u128) -> Vec<u64> {
    match width {
        0..=64 => vec![value as u64],
        _ => vec![(value >> 64) as u64, value as u64],
    }
}

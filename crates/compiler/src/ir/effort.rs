//! What the kernel's verifier has to go through, as an estimate.
//!
//! The verifier follows every way through a program with all that it knows on it, and leaves one only where it
//! comes to a place that it has been at knowing no more of what matters there (`is_state_visited`,
//! kernel/bpf/verifier.c). What matters is what some comparison behind the place was foretold by. It gives up after
//! a million instructions, or when so many ways wait for it ([`MOST_PENDING`]). This is the same walk over blocks:
//! what is known are the ranges of the values that several tests look at, and a block counts for the
//! instructions that it will about be.
//!
//! Not modelled: what is known of pointers (lowering takes detours for that), of results of arithmetic, and
//! that the verifier forgets states which have been of no use.

use super::analysis::{Def, Graph, constants, definitions, use_counts};
use super::{
    BinaryOp, Block, Line, Op, Program, Relation, SetDecl, SetKind, TableRef, Target, Terminator, Value,
};

/// The verifier gives up after so many instructions (`BPF_COMPLEXITY_LIMIT_INSNS`).
pub const MOST_STEPS: u64 = 1_000_000;

/// It keeps so many ways for later (`BPF_COMPLEXITY_LIMIT_JMP_SEQ`).
pub const MOST_PENDING: usize = 8_192;

/// What the verifier has to go through.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Effort {
    /// Instructions, with repetitions; far beyond [`MOST_STEPS`] the count was given up.
    pub steps: u64,
    /// What it would be if it went through each block once.
    pub once: u64,
    /// How many ways wait at most while it follows one.
    pub pending: usize,
    /// How often a value was why a place had to be gone through again, by [`Value`].
    pub blame: Vec<u32>,
    /// Values that foretold some test, by [`Value`].
    pub foretold: Vec<bool>,
    /// The line of the policy in whose blocks most steps were.
    pub line: Line,
}

/// Of so many visits of a place the last ones are compared with; the verifier also drops what was of no use.
const VISITS: usize = 64;

impl Effort {
    /// Goes through a program as the verifier would.
    pub fn of(program: &Program) -> Effort {
        Effort::up_to(program, MOST_STEPS)
    }

    /// The same, given up when it goes through blocks again for so many steps.
    pub fn up_to(program: &Program, again: u64) -> Effort {
        let walk = Walk::new(program);
        let most = walk.effort.once + again;
        walk.run(most)
    }

    /// The steps in blocks that it has been in before.
    pub fn again(&self) -> u64 {
        self.steps.saturating_sub(self.once)
    }
}

/// What is known of: a value, or whether some of its bits are set.
type Key = (Value, u64);

/// The mask of a key that is the whole value.
const WHOLE: u64 = 0;

/// From the lowest to the highest value.
type Range = (u64, u64);

/// What is known on a way, sorted.
type Known = Vec<(Key, Range)>;

/// What a branch asks.
#[derive(Clone, Copy)]
struct Test {
    key: Key,
    relation: Relation,
    constant: u64,
}

/// A place that was gone through: what was known, and what of it mattered.
struct Visit {
    known: Known,
    mattered: Vec<Key>,
}

struct Frame<'a> {
    block: Block,
    /// How it was come to.
    via: Option<&'a Target>,
    /// Edges that are still to be followed, the next one last.
    edges: Vec<(&'a Target, Known)>,
    /// Where its visit is kept, if ways meet here.
    visit: Option<usize>,
    mattered: Vec<Key>,
}

struct Walk<'a> {
    program: &'a Program,
    graph: Graph,
    constants: Vec<Option<u64>>,
    /// What the branch at each block's end asks.
    tests: Vec<Option<Test>>,
    /// Whether knowing the value can foretell anything.
    tracked: Vec<bool>,
    weights: Vec<u64>,
    visits: Vec<Vec<Visit>>,
    /// Steps by line.
    lines: Vec<u64>,
    effort: Effort,
}

impl<'a> Walk<'a> {
    fn new(program: &'a Program) -> Self {
        let graph = Graph::new(program);
        let constants = constants(program);
        let tests = tests(program, &constants);
        let tracked = tracked(program, &graph, &tests, &constants);
        let mut weights: Vec<u64> = program.block_ids().map(|block| weight(program, block)).collect();
        turn_loops(program, &graph, &mut weights);
        let visits = program.blocks.iter().map(|_| Vec::new()).collect();
        let values = program.values.len();
        // What counts for the rows of a table is a function, gone through by itself.
        let counting = program.tables.iter().filter_map(|decl| decl.table.counting());
        let functions = counting.map(|counting| TREE * counting.rows().cut() as u64).sum::<u64>();
        let effort = Effort {
            steps: functions,
            once: functions + graph.order.iter().map(|block| weights[block.index()]).sum::<u64>(),
            pending: 0,
            blame: vec![0; values],
            foretold: vec![false; values],
            line: Line(0),
        };
        let lines = vec![0; program.lines.len().max(1)];
        Self { program, graph, constants, tests, tracked, weights, visits, lines, effort }
    }

    fn run(mut self, most: u64) -> Effort {
        let mut frames = Vec::new();
        let mut pending = 0;
        self.enter(Block(0), None, Known::new(), &mut frames);
        while let Some(frame) = frames.last_mut() {
            if let Some((target, known)) = frame.edges.pop() {
                pending += frame.edges.len();
                self.effort.pending = self.effort.pending.max(pending);
                pending -= frame.edges.len();
                if self.graph.goes_back(frame.block, target.block) {
                    continue;
                }
                let known = self.through(target, known);
                match self.was_here(target.block, &known) {
                    Some(mattered) => self.matter(frame, target, &mattered),
                    None => {
                        pending += frame.edges.len();
                        self.enter(target.block, Some(target), known, &mut frames);
                    }
                }
                if self.effort.steps > most {
                    break;
                }
                continue;
            }
            let Some(done) = frames.pop() else { break };
            if let Some(visit) = done.visit {
                self.visits[done.block.index()][visit].mattered.clone_from(&done.mattered);
            }
            if let (Some(parent), Some(target)) = (frames.last_mut(), done.via) {
                pending -= parent.edges.len();
                self.matter(parent, target, &done.mattered);
            }
        }
        let most = (1..self.lines.len()).max_by_key(|line| self.lines[*line]);
        self.effort.line = Line(most.unwrap_or(0) as u32);
        self.effort
    }

    fn enter(&mut self, block: Block, via: Option<&'a Target>, known: Known, frames: &mut Vec<Frame<'a>>) {
        self.effort.steps += self.weights[block.index()];
        self.lines[self.program[block].end_line.index()] += self.weights[block.index()];
        let visit = (self.graph.predecessors(block).len() > 1).then(|| {
            let visits = &mut self.visits[block.index()];
            visits.push(Visit { known: known.clone(), mattered: Vec::new() });
            visits.len() - 1
        });
        let mut mattered = Vec::new();
        let edges = self.edges(block, known, &mut mattered);
        mattered.iter().for_each(|(value, _)| self.effort.foretold[value.index()] = true);
        frames.push(Frame { block, via, edges, visit, mattered });
    }

    /// What mattered at a place where no more is known than was known before.
    fn was_here(&mut self, block: Block, known: &Known) -> Option<Vec<Key>> {
        let mut blamed = None;
        for visit in self.visits[block.index()].iter().rev().take(VISITS) {
            let more = visit.mattered.iter().find(|key| {
                let (before, now) = (self.range(&visit.known, **key), self.range(known, **key));
                now.0 < before.0 || now.1 > before.1
            });
            match more {
                None => return Some(visit.mattered.clone()),
                Some(key) => blamed = blamed.or(Some(key.0)),
            }
        }
        if let Some(value) = blamed {
            self.effort.blame[value.index()] += 1;
        }
        None
    }

    /// Hands what mattered behind an edge on to the block before it.
    fn matter(&self, frame: &mut Frame<'a>, target: &Target, behind: &[Key]) {
        let params = &self.program[target.block].params;
        for &(value, mask) in behind {
            let value = match params.iter().position(|param| *param == value) {
                Some(nth) => target.args[nth],
                None => value,
            };
            if let Err(at) = frame.mattered.binary_search(&(value, mask)) {
                frame.mattered.insert(at, (value, mask));
            }
        }
    }

    fn range(&self, known: &Known, key: Key) -> Range {
        match known.binary_search_by_key(&key, |(key, _)| *key) {
            Ok(at) => known[at].1,
            Err(_) => match (self.constants[key.0.index()], key.1) {
                (Some(constant), WHOLE) => (constant, constant),
                (_, WHOLE) => (0, self.program.type_of(key.0).max()),
                _ => (0, 1),
            },
        }
    }

    fn learn(&self, known: &Known, key: Key, range: Range) -> Known {
        let mut known = known.clone();
        if self.tracked[key.0.index()] {
            match known.binary_search_by_key(&key, |(key, _)| *key) {
                Ok(at) => known[at].1 = range,
                Err(at) => known.insert(at, (key, range)),
            }
        }
        known
    }

    /// What is known where an edge leads.
    fn through(&self, target: &Target, known: Known) -> Known {
        let mut behind = known;
        for (param, arg) in self.program[target.block].params.iter().zip(&target.args) {
            let range = self.range(&behind, (*arg, WHOLE));
            if range != (0, self.program.type_of(*param).max()) {
                behind = self.learn(&behind, (*param, WHOLE), range);
            }
        }
        behind
    }

    /// The ways on from a block, the first one last.
    fn edges(&self, block: Block, known: Known, mattered: &mut Vec<Key>) -> Vec<(&'a Target, Known)> {
        match &self.program[block].end {
            Terminator::Return { .. } => Vec::new(),
            Terminator::Jump(target) | Terminator::Match { otherwise: target, .. } => vec![(target, known)],
            Terminator::Fits { then, other, .. } => vec![(other, known.clone()), (then, known)],
            Terminator::Branch { then, other, .. } => {
                let Some(test) = self.tests[block.index()] else {
                    return vec![(then, known.clone()), (other, known)];
                };
                let range = self.range(&known, test.key);
                match (test.narrow(range, true), test.narrow(range, false)) {
                    (Some(yes), Some(no)) => vec![
                        (then, self.learn(&known, test.key, yes)),
                        (other, self.learn(&known, test.key, no)),
                    ],
                    (yes, _) => {
                        mattered.push(test.key);
                        vec![(if yes.is_some() { then } else { other }, known)]
                    }
                }
            }
            Terminator::Switch { value, cases, default } => {
                self.cases((*value, WHOLE), cases, default, &known, mattered)
            }
        }
    }

    /// The ways on from a tree of comparisons, in each of whose leaves a range is known.
    fn cases(
        &self,
        key: Key,
        cases: &'a [(u64, u64, Target)],
        default: &'a Target,
        known: &Known,
        mattered: &mut Vec<Key>,
    ) -> Vec<(&'a Target, Known)> {
        let (low, high) = self.range(known, key);
        let mut leaves = Vec::new();
        let mut next = Some(low);
        for (first, last, target) in cases.iter().filter(|case| case.0 <= high && case.1 >= low) {
            let first = (*first).max(low);
            if let Some(gap) = next.filter(|next| *next < first) {
                leaves.push((default, self.learn(known, key, (gap, first - 1))));
            }
            leaves.push((target, self.learn(known, key, (first, (*last).min(high)))));
            next = last.checked_add(1);
        }
        if let Some(gap) = next.filter(|next| *next <= high) {
            leaves.push((default, self.learn(known, key, (gap, high))));
        }
        if (low, high) != (0, self.program.type_of(key.0).max()) {
            mattered.push(key);
        }
        leaves
    }
}

impl Test {
    /// The values of a range for which the answer is this; `None` if there are none.
    fn narrow(&self, (low, high): Range, answer: bool) -> Option<Range> {
        let c = self.constant;
        let range = match (self.relation, answer) {
            (Relation::Eq, true) | (Relation::Ne, false) => (c.max(low), c.min(high)),
            (Relation::Eq, false) | (Relation::Ne, true) if low == c => (c.checked_add(1)?, high),
            (Relation::Eq, false) | (Relation::Ne, true) if high == c => (low, c.checked_sub(1)?),
            (Relation::Lt, true) | (Relation::Ge, false) => (low, high.min(c.checked_sub(1)?)),
            (Relation::Le, true) | (Relation::Gt, false) => (low, high.min(c)),
            (Relation::Gt, true) | (Relation::Le, false) => (low.max(c.checked_add(1)?), high),
            (Relation::Ge, true) | (Relation::Lt, false) => (low.max(c), high),
            _ => (low, high),
        };
        (range.0 <= range.1).then_some(range)
    }
}

/// What each block's branch asks, where that is a value beside a constant.
fn tests(program: &Program, constants: &[Option<u64>]) -> Vec<Option<Test>> {
    let (defs, uses) = (definitions(program), use_counts(program));
    let op = |value: Value| match defs[value.index()]? {
        Def::Inst(block, nth) => Some((block, &program[block].insts[nth as usize].op)),
        Def::Param(..) => None,
    };
    let test = |asked_in: Block, cond: Value| {
        let (relation, left, right) = match op(cond) {
            // Elsewhere it is a truth value in a register.
            Some((block, Op::Compare(relation, left, right)))
                if uses[cond.index()] == 1 && block == asked_in =>
            {
                (*relation, *left, *right)
            }
            _ => return Some(Test { key: (cond, WHOLE), relation: Relation::Ne, constant: 0 }),
        };
        let (relation, value, constant) = match (constants[left.index()], constants[right.index()]) {
            (None, Some(constant)) => (relation, left, constant),
            (Some(constant), None) => (relation.mirrored(), right, constant),
            _ => return None,
        };
        let bit = match op(value) {
            Some((_, Op::Binary(BinaryOp::And, masked, mask))) if constant == 0 => {
                constants[mask.index()].filter(|mask| mask.is_power_of_two()).map(|mask| (*masked, mask))
            }
            _ => None,
        };
        Some(Test { key: bit.unwrap_or((value, WHOLE)), relation, constant })
    };
    let of_block = |block: Block| match program[block].end {
        Terminator::Branch { cond, .. } => test(block, cond),
        _ => None,
    };
    program.block_ids().map(of_block).collect()
}

/// Values that more than one test looks at, or a test that an edge may foretell by a constant.
fn tracked(program: &Program, graph: &Graph, tests: &[Option<Test>], constants: &[Option<u64>]) -> Vec<bool> {
    let mut looks = vec![0u32; program.values.len()];
    let mut told = vec![false; program.values.len()];
    for &block in &graph.order {
        if let Some(test) = &tests[block.index()] {
            looks[test.key.0.index()] += 1;
        }
        if let Terminator::Switch { value, .. } = &program[block].end {
            looks[value.index()] += 1;
        }
        program[block].end.targets(|target| {
            for (param, arg) in program[target.block].params.iter().zip(&target.args) {
                told[param.index()] |= constants[arg.index()].is_some();
                // What is known of an argument is known of the parameter.
                looks[arg.index()] += 1;
            }
        });
    }
    looks.iter().zip(told).map(|(looks, told)| *looks > 1 || *looks > 0 && told).collect()
}

/// About how many instructions a block will be.
fn weight(program: &Program, block: Block) -> u64 {
    let data = &program[block];
    let walk = |table: TableRef| {
        let table = &program.tables[table.index()].table;
        if table.is_empty() { 0 } else { TREE * table.cut() as u64 }
    };
    let of_op = |op: &Op| match op {
        Op::Const(_) | Op::Compare(..) | Op::Start | Op::Skip { .. } => 0,
        Op::Load { .. } | Op::FrameLen | Op::Binary(..) => 3,
        Op::Stash { .. } | Op::Unstash { .. } => 2,
        Op::Count { .. } => 13,
        Op::Advance { .. } | Op::Detour { .. } | Op::Offset(_) => 8,
        Op::InSet { set, .. } => in_set(&program.sets[set.index()]),
        Op::Capture { .. } => 40,
        Op::Take { .. } => 1_500,
        Op::InTable { table, .. } => walk(*table),
    };
    let of_end = match &data.end {
        Terminator::Switch { cases, .. } => 3 * cases.len() as u64,
        Terminator::Match { table, .. } => walk(*table),
        Terminator::Fits { .. } => 4,
        Terminator::Jump(_) => 1,
        Terminator::Branch { .. } => 2,
        Terminator::Return { .. } => 4,
    };
    let insts: u64 = data.insts.iter().map(|inst| of_op(&inst.op)).sum();
    insts + of_end
}

fn in_set(set: &SetDecl) -> u64 {
    let bits: u64 = set.words.iter().map(|bits| u64::from(*bits)).sum();
    match set.kind {
        SetKind::Hash | SetKind::Lpm => 40,
        SetKind::Index => 40 + NIBBLE * bits / 4,
    }
}

/// Lets blocks of a loop weigh as often as it turns.
fn turn_loops(program: &Program, graph: &Graph, weights: &mut [u64]) {
    for &latch in &graph.order {
        for &header in graph.successors(latch).iter().filter(|header| graph.goes_back(latch, **header)) {
            // In most turns most of the body's ways are known already.
            let bound = u64::from(program[header].loop_bound.unwrap_or(1).div_ceil(3));
            let (mut inside, mut todo) = (vec![header], vec![latch]);
            while let Some(block) = todo.pop() {
                if !inside.contains(&block) {
                    inside.push(block);
                    todo.extend(graph.predecessors(block));
                }
            }
            inside.iter().for_each(|block| weights[block.index()] *= bound);
        }
    }
}

/// A walk through one of a table's trees, mostly the rows of its longest list.
const TREE: u64 = 3_000;

/// And for four bits of a key of an index.
const NIBBLE: u64 = 150;

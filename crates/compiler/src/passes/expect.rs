//! Marks blocks as cold or likely by how often counters count, and asks for hot values before their switch.
//!
//! A block that counts, and one that is on the way to no other count, runs about as often as it is counted. Nothing
//! else is concluded: how often a packet class or a protocol is met, counters do not say.
//!
//! Earns: a tenth where one value of a switch is hot. In chains nothing, on processors that guess well
//! (`docs/benchmarks.md`, profiles).

use crate::ir::analysis::{Dominators, Graph};
use crate::ir::{
    BOOL, Block, BlockData, Frequency, Inst, MILLION, Op, Program, Relation, Target, Terminator, Value,
};
use std::collections::BTreeMap;

/// What at most this part of all packets runs is cold.
const COLD: u32 = MILLION / 50;

/// A value is hot if so many of so many packets that are still in the switch have it: half of what a balanced tree
/// of eight values costs is then spared.
const HOT: (u64, u64) = (1, 3);

/// Up to so many values are asked for before a switch.
const FIRST: usize = 3;

/// The pass.
pub(super) fn expect(program: &mut Program) -> bool {
    if program.frequencies.is_empty() {
        return false;
    }
    let graph = Graph::new(program);
    let counts = counts(program, &graph);
    let mut changed = peel(program, &graph, &counts);
    for &block in graph.order.iter().filter(|block| **block != Block(0)) {
        let known = counts[block.index()].frequency(program);
        let Some(Frequency { all, met }) = known else { continue };
        let only = graph.predecessors(block).len() == 1;
        let data = &mut program[block];
        let before = (data.cold, data.likely);
        data.cold |= all <= COLD;
        data.likely = !data.cold && only && met.is_some_and(|met| met > MILLION / 2);
        changed |= before != (data.cold, data.likely);
    }
    changed
}

/// What is counted by packets that run a block, before anything else is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Counts {
    Nothing,
    One(u32),
    Several,
}

impl Counts {
    fn or(self, other: Counts) -> Counts {
        match (self, other) {
            (Counts::Nothing, counts) | (counts, Counts::Nothing) => counts,
            (one, same) if one == same => one,
            _ => Counts::Several,
        }
    }

    fn frequency(self, program: &Program) -> Option<Frequency> {
        match self {
            Counts::One(counter) => program.frequencies.get(&counter).copied(),
            _ => None,
        }
    }
}

/// By block: what it counts, or else what the blocks do that are reached through it alone.
fn counts(program: &Program, graph: &Graph) -> Vec<Counts> {
    let dominators = Dominators::new(graph);
    let mut counts = vec![Counts::Nothing; program.blocks.len()];
    for &block in dominators.preorder.iter().rev() {
        let data = &program[block];
        let own = data.insts.iter().find_map(|inst| match inst.op {
            Op::Count { counter } => Some(Counts::One(counter)),
            _ => None,
        });
        let found = match own {
            Some(own) => own,
            None if matches!(data.end, Terminator::Match { .. }) => Counts::Several,
            None => counts[block.index()],
        };
        counts[block.index()] = found;
        if let Some(above) = dominators.immediate(block) {
            counts[above.index()] = counts[above.index()].or(found);
        }
    }
    counts
}

/// Lets hot values be asked for before the switches that they are in.
fn peel(program: &mut Program, graph: &Graph, counts: &[Counts]) -> bool {
    let mut changed = false;
    for &block in &graph.order {
        let Terminator::Switch { value, cases, default } = &program[block].end else { continue };
        let most = program.type_of(*value).max();
        let hot = Hot { program, counts, most }.of(cases, default);
        if hot.is_empty() {
            continue;
        }
        changed = true;
        let (value, default) = (*value, default.clone());
        let rest = cases.iter().filter(|case| !hot.contains(case)).cloned().collect();
        ask(program, block, value, &hot, Terminator::Switch { value, cases: rest, default });
    }
    changed
}

/// Finds the hot values of a switch.
struct Hot<'a> {
    program: &'a Program,
    counts: &'a [Counts],
    /// The largest value.
    most: u64,
}

impl Hot<'_> {
    fn all(&self, target: &Target) -> u64 {
        let known = self.counts[target.block.index()].frequency(self.program);
        known.map_or(0, |frequency| u64::from(frequency.all))
    }

    /// The hottest first.
    fn of(&self, cases: &[(u64, u64, Target)], default: &Target) -> Vec<(u64, u64, Target)> {
        let mut values: BTreeMap<Block, usize> = BTreeMap::new();
        cases.iter().for_each(|case| *values.entry(case.2.block).or_default() += 1);
        let mut left: u64 = self.all(default);
        let mut weighed: Vec<(u64, &(u64, u64, Target))> = Vec::new();
        for case in cases {
            let weight = self.all(&case.2) / values[&case.2.block] as u64;
            left += weight;
            weighed.push((weight, case));
        }
        weighed.retain(|(weight, case)| *weight > 0 && case.0 == case.1 && case.1 <= self.most);
        weighed.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
        let hot = weighed.into_iter().take(FIRST).take_while(|(weight, _)| {
            let is_hot = weight * HOT.1 >= left * HOT.0;
            left -= weight;
            is_hot
        });
        hot.map(|(_, case)| case.clone()).collect()
    }
}

/// Ends a block with comparisons, one block each, and the last of them with what is left of its switch.
fn ask(program: &mut Program, block: Block, value: Value, hot: &[(u64, u64, Target)], rest: Terminator) {
    let (line, ty) = (program[block].end_line, program.type_of(value));
    let mut at = block;
    for (number, _, then) in hot {
        let (constant, cond) = (program.new_value(ty), program.new_value(BOOL));
        let next = Block(program.blocks.len() as u32);
        let cold = program[block].cold;
        program.blocks.push(BlockData {
            params: Vec::new(),
            insts: Vec::new(),
            end: rest.clone(),
            end_line: line,
            cold,
            likely: false,
            loop_bound: None,
        });
        let inst = |result, op| Inst { result: Some(result), op, line };
        let data = &mut program[at];
        data.insts.push(inst(constant, Op::Const(*number)));
        data.insts.push(inst(cond, Op::Compare(Relation::Eq, value, constant)));
        let other = Target { block: next, args: Vec::new() };
        data.end = Terminator::Branch { cond, then: then.clone(), other };
        at = next;
    }
}

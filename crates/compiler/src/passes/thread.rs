//! Jump threading: an edge whose end already knows which way the next block goes skips that block.
//!
//! Known are the constants among the arguments, what the edge itself says (`branch`, `switch`,
//! `fits`) and the bytes that are proved. Blocks that do nothing are skipped always.
//!
//! Earns: `a and b or c` becomes a graph of tests without a truth value in a register; a check that
//! one way has made is not made again where ways meet.

use super::knowledge::Knowledge;
use super::ranges::{Range, binary_range, exactly, given, meet, opposite, relation_holds, single};
use crate::ir::analysis::{Def, Dominators, Graph, definitions, used_elsewhere};
use crate::ir::facts::Reach;
use crate::ir::{Block, BlockData, Inst, Op, Program, Target, Terminator, Value};
use std::collections::HashMap;

/// How many operations a block may have that is looked through, and how many blocks in a row.
const LONGEST: usize = 8;
const FURTHEST: usize = 20_000;

/// Steps of all edges together: after a match in a long list of tests on one field, each of the
/// others is known to fail, which is a step for every pair of them.
const STEPS: usize = 2_000_000;

/// The pass.
pub(super) fn thread(program: &mut Program) -> bool {
    let graph = Graph::new(program);
    let defs = definitions(program);
    let dominators = Dominators::new(&graph);
    let mut threader = Threader {
        elsewhere: used_elsewhere(program, &defs),
        reach: Reach::new(program, &graph),
        known: Knowledge::new(program),
        numbers: HashMap::new(),
        steps: STEPS,
    };
    let mut changed = false;
    // An edge that skips a block does what the way through it would have done, so what was known
    // behind that block before stays true.
    for &block in &dominators.preorder {
        threader.known.enter(program, &graph, &dominators, block);
        threader.learn_results(program, block);
        changed |= threader.block(program, block);
    }
    super::edit::remove_unreachable(program) || changed
}

struct Threader {
    elsewhere: Vec<bool>,
    reach: Reach,
    known: Knowledge,
    /// The constants that this pass has made.
    numbers: HashMap<Value, u64>,
    /// Steps that may still be taken.
    steps: usize,
}

/// What an edge says.
struct Edge {
    from: Block,
    ranges: Vec<(Value, Range)>,
    fits: Option<(Value, u16, bool)>,
}

/// A value of a block that is looked through, as the edge sees it.
#[derive(Clone, Copy)]
struct Seen {
    range: Range,
    /// The value outside of the block that it is, if it is one.
    outer: Option<Value>,
}

/// The few values of a block that is looked through.
struct Inside(Vec<(Value, Seen)>);

impl Inside {
    fn get(&self, value: Value) -> Option<Seen> {
        self.0.iter().find(|seen| seen.0 == value).map(|seen| seen.1)
    }
}

impl Threader {
    fn learn_results(&mut self, program: &Program, block: Block) {
        for inst in &program[block].insts {
            let Some(result) = inst.result.filter(|result| !self.numbers.contains_key(result)) else {
                continue;
            };
            let range = self.known.result_range(&inst.op);
            self.known.learn(result, range);
        }
    }

    fn block(&mut self, program: &mut Program, block: Block) -> bool {
        let mut end = program[block].end.clone();
        let mut index = 0;
        let mut changed = false;
        let before = end.clone();
        end.targets_mut(|target| {
            let edge = self.edge(program, block, &before, index);
            index += 1;
            for _ in 0..FURTHEST.min(self.steps) {
                self.steps -= 1;
                let Some(next) = self.step(program, &edge, target) else {
                    break;
                };
                *target = next;
                changed = true;
            }
        });
        if changed {
            program[block].end = end;
        }
        changed
    }

    /// What the edge to the target of an index says.
    fn edge(&self, program: &Program, from: Block, end: &Terminator, index: usize) -> Edge {
        let mut edge = Edge { from, ranges: Vec::new(), fits: None };
        match end {
            Terminator::Branch { cond, then, other } if then.block != other.block => {
                let truth = index == 0;
                edge.ranges.push((*cond, exactly(u64::from(truth))));
                self.given_compare(program, *cond, truth, &mut edge.ranges);
            }
            Terminator::Switch { value, cases, .. } => {
                edge.ranges.extend(cases.get(index).map(|(first, last, _)| (*value, (*first, *last))));
            }
            Terminator::Fits { cursor, bytes, .. } => edge.fits = Some((*cursor, *bytes, index == 0)),
            _ => {}
        }
        edge
    }

    fn given_compare(&self, program: &Program, cond: Value, truth: bool, known: &mut Vec<(Value, Range)>) {
        let Some(Def::Inst(block, index)) = self.known.defs.get(cond.index()).copied().flatten() else {
            return;
        };
        let Op::Compare(relation, a, b) = program[block].insts[index as usize].op else {
            return;
        };
        let relation = if truth { relation } else { opposite(relation) };
        let (range_a, range_b) = (self.range(a), self.range(b));
        known.push((a, given(relation, range_a, range_b)));
        known.push((b, given(relation.mirrored(), range_b, range_a)));
    }

    /// Where the edge leads if it skips its target.
    fn step(&mut self, program: &mut Program, edge: &Edge, target: &Target) -> Option<Target> {
        let data = &program[target.block];
        if target.block == edge.from || !self.can_skip(data) {
            return None;
        }
        let seen = self.look_through(program, edge, target);
        let next = self.decide(data, edge, &seen)?.clone();
        self.outside(program, edge.from, next, &seen)
    }

    /// Whether a block has no effects and no values that others use.
    fn can_skip(&self, data: &BlockData) -> bool {
        let results = data.insts.iter().filter_map(|inst| inst.result);
        data.loop_bound.is_none()
            && data.insts.len() <= LONGEST
            && !matches!(
                data.end,
                Terminator::Match { .. }
                    | Terminator::Return { .. }
                    | Terminator::Decap { .. }
                    | Terminator::Send(_)
                    | Terminator::Forward(_)
                    | Terminator::Refuse(_)
                    | Terminator::Echo(_)
                    | Terminator::SynAck(_)
            )
            && data.insts.iter().all(|inst| inst.op.is_pure())
            && data.params.iter().copied().chain(results).all(|value| !self.used_elsewhere(value))
    }

    /// Values that this pass has made are used where they stand.
    fn used_elsewhere(&self, value: Value) -> bool {
        self.elsewhere.get(value.index()).copied().unwrap_or(false)
    }

    fn look_through(&self, program: &Program, edge: &Edge, target: &Target) -> Inside {
        let data = &program[target.block];
        let mut seen = Inside(Vec::with_capacity(data.params.len() + data.insts.len()));
        for (&param, &arg) in data.params.iter().zip(&target.args) {
            seen.0.push((param, Seen { range: self.known(edge, arg), outer: Some(arg) }));
        }
        for inst in &data.insts {
            let Some(result) = inst.result else { continue };
            let range =
                |value: Value| seen.get(value).map_or_else(|| self.known(edge, value), |seen| seen.range);
            let known = match inst.op {
                Op::Const(number) => exactly(number),
                Op::Binary(op, a, b) => binary_range(op, range(a), range(b)),
                Op::Compare(relation, a, b) => relation_holds(relation, range(a), range(b))
                    .map_or((0, 1), |holds| exactly(u64::from(holds))),
                _ => (0, u64::MAX),
            };
            let range = meet(known, (0, program.type_of(result).max())).unwrap_or(known);
            seen.0.push((result, Seen { range, outer: None }));
        }
        seen
    }

    fn range(&self, value: Value) -> Range {
        self.numbers.get(&value).map_or_else(|| self.known.range(value), |&number| exactly(number))
    }

    fn known(&self, edge: &Edge, value: Value) -> Range {
        let mut range = self.range(value);
        for &(_, known) in edge.ranges.iter().filter(|known| known.0 == value) {
            range = meet(range, known).unwrap_or(range);
        }
        range
    }

    fn decide<'a>(&self, data: &'a BlockData, edge: &Edge, seen: &Inside) -> Option<&'a Target> {
        let range =
            |value: &Value| seen.get(*value).map_or_else(|| self.known(edge, *value), |seen| seen.range);
        match &data.end {
            Terminator::Jump(target) => Some(target),
            Terminator::Branch { cond, then, other } => {
                single(range(cond)).map(|truth| if truth == 1 { then } else { other })
            }
            Terminator::Switch { value, cases, default } => decide_switch(range(value), cases, default),
            Terminator::Fits { cursor, bytes, then, other } => {
                let cursor = seen.get(*cursor).map_or(Some(*cursor), |seen| seen.outer)?;
                let known = edge.fits.filter(|fits| fits.0 == cursor);
                let here = known.filter(|fits| fits.2).map_or(0, |fits| fits.1);
                if self.reach.at(edge.from, cursor).max(here) >= (*bytes).max(1) {
                    return Some(then);
                }
                known.filter(|fits| !fits.2 && fits.1 <= *bytes).map(|_| other)
            }
            Terminator::Match { .. }
            | Terminator::Return { .. }
            | Terminator::Decap { .. }
            | Terminator::Send(_)
            | Terminator::Forward(_)
            | Terminator::Refuse(_)
            | Terminator::Echo(_)
            | Terminator::SynAck(_) => None,
        }
    }

    /// The target with what it hands over said in values from outside of the skipped block.
    fn outside(
        &mut self,
        program: &mut Program,
        from: Block,
        mut target: Target,
        seen: &Inside,
    ) -> Option<Target> {
        let inner = |arg: &Value| {
            seen.get(*arg).is_some_and(|seen| seen.outer.is_none() && single(seen.range).is_none())
        };
        if target.args.iter().any(inner) {
            return None;
        }
        for arg in &mut target.args {
            let Some(seen) = seen.get(*arg) else { continue };
            *arg = match (seen.outer, single(seen.range)) {
                (Some(outer), _) => outer,
                (None, number) => self.constant(program, from, *arg, number?)?,
            };
        }
        Some(target)
    }

    /// Says a constant anew at the edge's beginning.
    fn constant(&mut self, program: &mut Program, from: Block, like: Value, number: u64) -> Option<Value> {
        let ty = program.type_of(like);
        if number > ty.max() {
            return None;
        }
        let value = program.new_value(ty);
        self.numbers.insert(value, number);
        program[from].insts.push(Inst::new(Some(value), Op::Const(number)));
        Some(value)
    }
}

fn decide_switch<'a>(
    range: Range,
    cases: &'a [(u64, u64, Target)],
    default: &'a Target,
) -> Option<&'a Target> {
    let first = cases.partition_point(|case| case.1 < range.0);
    match cases.get(first) {
        Some((least, most, target)) if *least <= range.0 && range.1 <= *most => Some(target),
        Some((least, ..)) if *least <= range.1 => None,
        _ => Some(default),
    }
}

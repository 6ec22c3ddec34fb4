//! What branches ask, as far as the verifier learns from it.

use super::known::{Key, Known, Range, WHOLE};
use crate::ir::analysis::{Def, Graph, constants, definitions, use_counts};
use crate::ir::{BinaryOp, Block, Op, Program, Relation, Terminator, Value};

/// What a branch asks.
#[derive(Clone, Copy)]
pub(super) struct Test {
    pub(super) key: Key,
    relation: Relation,
    constant: u64,
}

/// What the branch at each block's end asks, where that is a value beside a constant.
pub(super) struct Tests(Vec<Option<Test>>);

impl Tests {
    pub(super) fn of(&self, block: Block) -> Option<&Test> {
        self.0[block.index()].as_ref()
    }
}

/// A program's tests, and what is known before the first of them.
pub(super) fn of(program: &Program, graph: &Graph) -> (Tests, Known) {
    let constants = constants(program);
    let asked = asked(program, &constants);
    let tracked = tracked(program, graph, &asked, &constants);
    let known = Known::new(program, &constants, &tracked, asked.iter().flatten().map(|asked| asked.of));
    let test = |asked: Asked| {
        let (value, mask) = asked.of;
        let key = known.key(value, mask)?;
        Some(Test { key, relation: asked.relation, constant: asked.constant })
    };
    let tests = asked.into_iter().map(|asked| test(asked?)).collect();
    (Tests(tests), known)
}

impl Test {
    /// The values of a range for which the answer is this; `None` if there are none.
    pub(super) fn narrow(&self, (low, high): Range, answer: bool) -> Option<Range> {
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

/// A test of a value, or of some of its bits.
#[derive(Clone, Copy)]
struct Asked {
    of: (Value, u64),
    relation: Relation,
    constant: u64,
}

/// What each block's branch asks.
fn asked(program: &Program, constants: &[Option<u64>]) -> Vec<Option<Asked>> {
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
            _ => return Some(Asked { of: (cond, WHOLE), relation: Relation::Ne, constant: 0 }),
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
        Some(Asked { of: bit.unwrap_or((value, WHOLE)), relation, constant })
    };
    let of_block = |block: Block| match program[block].end {
        Terminator::Branch { cond, .. } => test(block, cond),
        _ => None,
    };
    program.block_ids().map(of_block).collect()
}

/// Values that more than one test looks at, or a test that an edge may foretell by a constant.
fn tracked(
    program: &Program,
    graph: &Graph,
    asked: &[Option<Asked>],
    constants: &[Option<u64>],
) -> Vec<bool> {
    let mut looks = vec![0u32; program.values.len()];
    let mut told = vec![false; program.values.len()];
    for &block in &graph.order {
        if let Some(asked) = &asked[block.index()] {
            looks[asked.of.0.index()] += 1;
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

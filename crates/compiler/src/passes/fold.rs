//! Constant folding and range knowledge.
//!
//! Walks down the dominator tree with what is known of each value there: its type, its definition,
//! and what the edge into the block says (`branch`, `switch`). Operations with one possible result
//! become constants, branches with one possible way become jumps, cases that cannot come up go.
//!
//! Earns: a policy's tests that earlier tests imply cost nothing; one rule's `ip.proto == 6` is
//! not asked again by the next.

use super::edit::remove_unreachable;
use super::knowledge::Knowledge;
use super::ranges::{Range, meet, opposite, single};
use crate::ir::analysis::{Def, Dominators, Graph};
use crate::ir::{BOOL, BinaryOp, Block, Op, Program, Relation, Target, Terminator, Type, Value};

/// The pass.
pub(super) fn fold(program: &mut Program) -> bool {
    let graph = Graph::new(program);
    let dominators = Dominators::new(&graph);
    let mut folder = Folder { known: Knowledge::new(program), changed: false };
    for &block in &dominators.preorder {
        folder.known.enter(program, &graph, &dominators, block);
        folder.insts(program, block);
        folder.end(program, block);
    }
    let Folder { known, changed } = folder;
    let replaced = known.aliases.apply(program);
    let removed = remove_unreachable(program);
    changed || replaced || removed
}

struct Folder {
    known: Knowledge,
    changed: bool,
}

/// Instructions.
impl Folder {
    fn insts(&mut self, program: &mut Program, block: Block) {
        for index in 0..program[block].insts.len() {
            let Some(result) = program[block].insts[index].result else {
                continue;
            };
            self.simplify(program, block, index);
            let op = &program[block].insts[index].op;
            let range = self.known.result_range(op);
            self.known.learn(result, range);
            if op.is_pure() && !matches!(op, Op::Const(_)) {
                self.settle(program, block, index, result, range);
            }
        }
    }

    /// Makes a constant of a result that can only be one number, or lets an operand stand for it.
    fn settle(&mut self, program: &mut Program, block: Block, index: usize, result: Value, range: Range) {
        let ty = program.type_of(result);
        // A result beyond its type would be a fault when run, and is left to be one.
        if let (Type::Int(_), Some(number)) = (ty, single(range))
            && number <= ty.max()
        {
            program[block].insts[index].op = Op::Const(number);
            self.changed = true;
            return;
        }
        if let Some(operand) = self.same_as(&program[block].insts[index].op)
            && program.type_of(operand).widens_to(ty)
        {
            self.known.aliases.replace(result, operand);
        }
    }

    /// The operand that an operation merely hands on.
    fn same_as(&self, op: &Op) -> Option<Value> {
        let is = |value: Value, number: u64| single(self.known.range(value)) == Some(number);
        let value = match *op {
            Op::Binary(BinaryOp::Add | BinaryOp::Or | BinaryOp::Xor, a, b) if is(b, 0) => a,
            Op::Binary(BinaryOp::Add | BinaryOp::Or | BinaryOp::Xor, a, b) if is(a, 0) => b,
            Op::Binary(BinaryOp::Sub | BinaryOp::Shl | BinaryOp::Shr, a, b) if is(b, 0) => a,
            Op::Binary(BinaryOp::Mul, a, b) if is(b, 1) => a,
            Op::Binary(BinaryOp::And, a, b) => {
                let mask = single(self.known.range(b))?;
                // A mask of ones from the lowest bit on, that no possible number is beyond.
                let low_ones = mask & mask.wrapping_add(1) == 0;
                return (low_ones && self.known.range(a).1 <= mask).then(|| self.known.aliases.resolve(a));
            }
            Op::Compare(Relation::Ne, a, b) if self.known.range(a).1 <= 1 && is(b, 0) => a,
            Op::Compare(Relation::Eq, a, b) if self.known.range(a).1 <= 1 && is(b, 1) => a,
            Op::Skip { cursor, bytes: 0 } => cursor,
            _ => return None,
        };
        Some(self.known.aliases.resolve(value))
    }

    /// Constants go to the right; what is not a bool's truth becomes the opposite compare.
    fn simplify(&mut self, program: &mut Program, block: Block, index: usize) {
        let known = |value: Value| single(self.known.range(value));
        let simpler = match program[block].insts[index].op {
            Op::Binary(
                op @ (BinaryOp::Add | BinaryOp::Mul | BinaryOp::And | BinaryOp::Or | BinaryOp::Xor),
                a,
                b,
            ) if known(a).is_some() && known(b).is_none() => Op::Binary(op, b, a),
            Op::Compare(relation, a, b) if known(a).is_some() && known(b).is_none() => {
                Op::Compare(relation.mirrored(), b, a)
            }
            Op::Compare(Relation::Eq, a, b) if known(b) == Some(0) && program.type_of(a) == BOOL => {
                match self.known.defs[self.known.aliases.resolve(a).index()]
                    .map(|def| self.compare_at(program, def))
                {
                    Some(Some((relation, a, b))) => Op::Compare(opposite(relation), a, b),
                    _ => return,
                }
            }
            Op::Advance { cursor, by, max } => match known(by) {
                Some(bytes) if bytes <= u64::from(max) => Op::Skip { cursor, bytes: bytes as u16 },
                _ => return,
            },
            _ => return,
        };
        program[block].insts[index].op = simpler;
        self.changed = true;
    }

    fn compare_at(&self, program: &Program, def: Def) -> Option<(Relation, Value, Value)> {
        let Def::Inst(block, index) = def else {
            return None;
        };
        match program[block].insts[index as usize].op {
            Op::Compare(relation, a, b) => Some((relation, a, b)),
            _ => None,
        }
    }
}

/// Ends.
impl Folder {
    fn end(&mut self, program: &mut Program, block: Block) {
        let simpler = match &program[block].end {
            Terminator::Branch { then, other, .. } if then == other => Terminator::Jump(then.clone()),
            Terminator::Branch { cond, then, other } => match single(self.known.range(*cond)) {
                Some(1) => Terminator::Jump(then.clone()),
                Some(_) => Terminator::Jump(other.clone()),
                None => return,
            },
            Terminator::Fits { then, other, .. } if then == other => Terminator::Jump(then.clone()),
            Terminator::Switch { value, cases, default } => {
                let end = simpler_switch(*value, self.known.range(*value), cases, default);
                if end == program[block].end {
                    return;
                }
                end
            }
            _ => return,
        };
        program[block].end = simpler;
        self.changed = true;
    }
}

fn simpler_switch(value: Value, known: Range, cases: &[(u64, u64, Target)], default: &Target) -> Terminator {
    let possible = cases.iter().filter(|(_, _, target)| target != default);
    let cases: Vec<_> = possible
        .filter_map(|(first, last, target)| {
            meet(known, (*first, *last)).map(|range| (range.0, range.1, target.clone()))
        })
        .collect();
    match cases.first() {
        None => Terminator::Jump(default.clone()),
        Some((first, last, target)) if (*first, *last) == known => Terminator::Jump(target.clone()),
        Some(_) => Terminator::Switch { value, cases, default: default.clone() },
    }
}

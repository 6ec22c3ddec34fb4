//! Common subexpressions: what a dominating block has computed is not computed again.
//!
//! Constants are shared within a block only: they are immediates, a register held for one would be
//! worse than saying it again.
//!
//! Earns: each field is loaded and each set asked once, however many rules look at it.

use super::edit::Substitution;
use crate::hash::FastMap;
use crate::ir::analysis::{Dominators, Graph, constants};
use crate::ir::{BinaryOp, Block, Op, Program, Relation, Value};

/// The pass.
pub(super) fn cse(program: &mut Program) -> bool {
    let graph = Graph::new(program);
    let dominators = Dominators::new(&graph);
    let mut substitution = Substitution::new(program);
    let named = one_name_each(program);
    let mut seen: FastMap<Op, Vec<(Block, Value)>> = FastMap::default();
    for &block in &dominators.preorder {
        for inst in &program[block].insts {
            let Some(result) = inst.result.filter(|_| inst.op.is_pure()) else {
                continue;
            };
            let mut op = inst.op.clone();
            op.operands_mut(|value| *value = named.resolve(substitution.resolve(*value)));
            order_operands(&mut op);
            let alone = matches!(op, Op::Const(_));
            let before = seen.entry(op).or_default();
            // In preorder, what does not dominate this block dominates none that follows either.
            while before.last().is_some_and(|&(home, _)| !dominators.dominates(home, block)) {
                before.pop();
            }
            let at_hand = before.iter().rev().take_while(|(home, _)| *home == block || !alone);
            let same = at_hand
                .map(|(_, value)| *value)
                .find(|value| program.type_of(*value).widens_to(program.type_of(result)));
            match same {
                Some(value) => substitution.replace(result, value),
                None => before.push((block, result)),
            }
        }
    }
    substitution.apply(program)
}

/// Lets one constant of each number stand for all, to compare operations by.
fn one_name_each(program: &Program) -> Substitution {
    let mut named = Substitution::new(program);
    let mut first = FastMap::default();
    for (index, number) in constants(program).into_iter().enumerate() {
        let Some(number) = number else { continue };
        let value = Value(index as u32);
        let name = *first.entry(number).or_insert(value);
        if name != value {
            named.replace(value, name);
        }
    }
    named
}

/// Where the order of operands does not matter, makes it one and the same.
fn order_operands(op: &mut Op) {
    use BinaryOp::{Add, And, Mul, Or, Xor};
    if let Op::Binary(Add | Mul | And | Or | Xor, a, b) | Op::Compare(Relation::Eq | Relation::Ne, a, b) = op
        && b < a
    {
        std::mem::swap(a, b);
    }
}

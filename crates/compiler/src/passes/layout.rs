//! Lays the blocks out: each behind those that lead to it, cold ones last; numbers blocks and
//! values by that.
//!
//! Earns: the common way falls through, and what hardly runs stays out of the instruction cache.

use super::edit::{remove_unreachable, reorder};
use crate::ir::analysis::Graph;
use crate::ir::{Block, Program, Value};

/// The pass.
pub(super) fn layout(program: &mut Program) -> bool {
    let removed = remove_unreachable(program);
    let moved = place(program);
    number_values(program) || removed || moved
}

fn place(program: &mut Program) -> bool {
    let graph = Graph::new(program);
    let mut cold = vec![false; program.blocks.len()];
    for &block in &graph.order {
        let forward = |from: &&Block| !graph.goes_back(**from, block);
        let mut preds = graph.predecessors(block).iter().filter(forward).peekable();
        // What only cold blocks lead to is cold as well.
        cold[block.index()] =
            program[block].cold || preds.peek().is_some() && preds.all(|from| cold[from.index()]);
    }
    cold[0] = false;
    let (behind, mut order): (Vec<Block>, Vec<Block>) =
        graph.order.iter().copied().partition(|block| cold[block.index()]);
    order.extend(behind);
    if order.iter().zip(0..).all(|(block, number)| block.0 == number) {
        return false;
    }
    reorder(program, &order);
    true
}

/// Numbers values in the order of their definitions; those without one go.
fn number_values(program: &mut Program) -> bool {
    let mut numbers = vec![Value(u32::MAX); program.values.len()];
    let mut types = Vec::new();
    let mut changed = false;
    for block in &mut program.blocks {
        let results = block.insts.iter_mut().filter_map(|inst| inst.result.as_mut());
        for value in block.params.iter_mut().chain(results) {
            let number = Value(types.len() as u32);
            types.push(program.values[value.index()]);
            changed |= *value != number;
            numbers[value.index()] = number;
            *value = number;
        }
    }
    changed |= types.len() < program.values.len();
    program.values = types;
    let rename = |value: &mut Value| *value = numbers[value.index()];
    for block in &mut program.blocks {
        block.insts.iter_mut().for_each(|inst| inst.op.operands_mut(rename));
        block.end.operands_mut(rename);
    }
    changed
}

//! Joins blocks that always follow each other.
//!
//! Earns: a jump each, and neighbours for the passes that look at one block at a time.

use super::edit::{Substitution, remove_unreachable};
use crate::ir::analysis::Graph;
use crate::ir::{Block, Program, Terminator};

/// The pass.
pub(super) fn merge(program: &mut Program) -> bool {
    let graph = Graph::new(program);
    let mut substitution = Substitution::new(program);
    let mut changed = false;
    // A chain is taken over from its head, so that no instruction moves twice.
    for &block in &graph.order {
        while let Some(next) = sole_successor(program, &graph, block) {
            join(program, &mut substitution, block, next);
            changed = true;
        }
    }
    substitution.apply(program);
    remove_unreachable(program) || changed
}

/// The block that follows `block` and nothing else.
fn sole_successor(program: &Program, graph: &Graph, block: Block) -> Option<Block> {
    let Terminator::Jump(target) = &program[block].end else {
        return None;
    };
    let next = target.block;
    let alone = graph.predecessors(next).len() == 1 && next != block && next != Block(0);
    (alone && program[next].loop_bound.is_none()).then_some(next)
}

fn join(program: &mut Program, substitution: &mut Substitution, block: Block, next: Block) {
    let data = &mut program[next];
    let (params, insts, end_line) =
        (std::mem::take(&mut data.params), std::mem::take(&mut data.insts), data.end_line);
    // The empty block that is left behind leads nowhere.
    let by = Terminator::Return { verdict: crate::ir::Verdict::Pass, by: None };
    let end = std::mem::replace(&mut data.end, by);
    let data = &mut program[block];
    if let Terminator::Jump(target) = std::mem::replace(&mut data.end, end) {
        params.iter().zip(&target.args).for_each(|(&param, &arg)| substitution.replace(param, arg));
    }
    data.insts.extend(insts);
    data.end_line = end_line;
}

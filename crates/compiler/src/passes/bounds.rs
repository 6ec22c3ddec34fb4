//! Takes out `fits` that an earlier one implies, and lets one that is followed by a wider one with
//! the same way out ask for all of it at once.
//!
//! Earns: one comparison with the frame's end for each run of headers instead of one for each.

use super::edit::remove_unreachable;
use crate::ir::analysis::Graph;
use crate::ir::facts::Reach;
use crate::ir::{Block, Program, Target, Terminator, Value};

/// The pass.
pub(super) fn bounds(program: &mut Program) -> bool {
    let widened = widen(program);
    let implied = drop_implied(program);
    let removed = remove_unreachable(program);
    widened || implied || removed
}

/// A check that wants more can be made earlier if all that happens in between is undone by its
/// failing: nothing but pure operations, and the same place to go to.
fn widen(program: &mut Program) -> bool {
    let graph = Graph::new(program);
    let mut changed = false;
    // From the back, so that a run of checks gathers in its first.
    for &block in graph.order.iter().rev() {
        let Some((cursor, bytes, next, other)) = check(program, block) else {
            continue;
        };
        let follows = graph.predecessors(next).len() == 1 && program[next].loop_bound.is_none();
        if !follows || program[next].insts.iter().any(|inst| inst.op.has_effect()) {
            continue;
        }
        let Some((same, wider, _, way_out)) = check(program, next) else {
            continue;
        };
        if same != cursor || wider <= bytes || way_out != other {
            continue;
        }
        if let Terminator::Fits { bytes, .. } = &mut program[block].end {
            *bytes = wider;
            changed = true;
        }
    }
    changed
}

/// A block's check: what it asks, where it goes on, where it goes out.
fn check(program: &Program, block: Block) -> Option<(Value, u16, Block, &Target)> {
    match &program[block].end {
        Terminator::Fits { cursor, bytes, then, other } => Some((*cursor, *bytes, then.block, other)),
        _ => None,
    }
}

fn drop_implied(program: &mut Program) -> bool {
    let graph = Graph::new(program);
    let reach = Reach::new(program, &graph);
    let mut changed = false;
    for &block in &graph.order {
        let Terminator::Fits { cursor, bytes, then, .. } = &program[block].end else {
            continue;
        };
        if reach.at(block, *cursor) >= *bytes && *bytes > 0 {
            program[block].end = Terminator::Jump(then.clone());
            changed = true;
        }
    }
    changed
}

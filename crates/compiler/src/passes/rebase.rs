//! Reads through the cursor that a `skip` started from: `load (skip c + 14) + 2` is `load c + 16`.
//!
//! A cursor whose uses all allow it (it is no block's argument) moves to its base with all of them,
//! so every `fits` that proved bytes of it now proves them of the base.
//!
//! Earns: headers at fixed distances share one register, and their checks become one.

use crate::ir::analysis::{Dominators, Graph};
use crate::ir::{Op, Program, Terminator, Value};

/// eBPF's loads reach 32767 bytes behind a register.
const FURTHEST: u16 = i16::MAX as u16;

/// The pass.
pub(super) fn rebase(program: &mut Program) -> bool {
    let graph = Graph::new(program);
    let order = Dominators::new(&graph).preorder;
    let reach = furthest_uses(program);
    let mut bases: Vec<Option<(Value, u16)>> = vec![None; program.values.len()];
    // Definitions come before uses in this order, so a base is final when it is asked for.
    for &block in &order {
        for inst in &program[block].insts {
            let (Op::Skip { cursor, bytes }, Some(result)) = (&inst.op, inst.result) else {
                continue;
            };
            let (base, before) = bases[cursor.index()].unwrap_or((*cursor, 0));
            let Some(distance) = before.checked_add(*bytes) else {
                continue;
            };
            if reach[result.index()].is_some_and(|reach| reach.saturating_add(distance) <= FURTHEST) {
                bases[result.index()] = Some((base, distance));
            }
        }
    }
    rewrite(program, &bases)
}

/// How far the uses of each cursor reach; `None` if one of them needs the cursor itself.
fn furthest_uses(program: &Program) -> Vec<Option<u16>> {
    let mut reach = vec![Some(0u16); program.values.len()];
    let mut note = |value: Value, bytes: Option<u16>| {
        let known = &mut reach[value.index()];
        *known = known.zip(bytes).map(|(known, bytes)| known.max(bytes));
    };
    for block in &program.blocks {
        for inst in &block.insts {
            match inst.op {
                Op::Load { cursor, offset, bytes } => note(cursor, offset.checked_add(u16::from(bytes))),
                Op::Skip { cursor, bytes } => note(cursor, Some(bytes)),
                _ => {}
            }
        }
        if let Terminator::Fits { cursor, bytes, .. } = block.end {
            note(cursor, Some(bytes));
        }
        block.end.targets(|target| target.args.iter().for_each(|&arg| note(arg, None)));
    }
    reach
}

fn rewrite(program: &mut Program, bases: &[Option<(Value, u16)>]) -> bool {
    let mut changed = false;
    let mut step = |at: &mut Value, bytes: &mut u16| {
        if let Some((base, distance)) = bases[at.index()] {
            (*at, *bytes, changed) = (base, *bytes + distance, true);
        }
    };
    for block in &mut program.blocks {
        for inst in &mut block.insts {
            match &mut inst.op {
                Op::Load { cursor, offset, .. } => step(cursor, offset),
                Op::Skip { cursor, bytes } => step(cursor, bytes),
                _ => {}
            }
        }
        if let Terminator::Fits { cursor, bytes, .. } = &mut block.end {
            step(cursor, bytes);
        }
    }
    changed
}

//! Values that many tests look at go through scratch memory, where that would tell the kernel's verifier too much.
//!
//! Each test tells the verifier a range of the value on either way behind it. Where ways meet again and later
//! tests ask for the same few values, it goes through what follows once for each combination of ranges: sixty
//! statements that only count, by four fields, took it a million steps. Of what lies in a map it knows nothing.
//! So the values that are to blame are kept there, and each block that asks for one reads it anew.
//!
//! Earns: such policies load. Costs a read from the first cache for each test, and is left alone where the verifier
//! has little to do.

use crate::ir::analysis::definitions;
use crate::ir::effort::Effort;
use crate::ir::{BOOL, BinaryOp, Block, Inst, Line, Op, Program, Terminator, Value};
use std::collections::BTreeMap;

/// So many instructions the kernel goes through in some ten milliseconds.
const ENOUGH: u64 = 100_000;

/// First the values that are most to blame are forgotten, then all that foretold a test, and truth values, of which long
/// programs have many with two uses.
const ROUNDS: usize = 40;

/// The pass.
pub(super) fn forget(program: &mut Program) -> bool {
    let mut changed = false;
    for round in 0..ROUNDS {
        let effort = Effort::up_to(program, ENOUGH);
        let most = effort.blame.iter().copied().max().unwrap_or(0);
        if effort.again() < ENOUGH {
            break;
        }
        let chosen = |value: usize| match round {
            0 => effort.blame[value] > most / 8,
            _ => effort.foretold[value] || program.values[value] == BOOL,
        };
        let readers = readers(program, &chosen);
        if readers.is_empty() {
            break;
        }
        for (value, (home, readers)) in readers {
            keep_in_memory(program, value, home, &readers);
        }
        changed = true;
    }
    changed
}

/// The chosen values with the block that defines each, and the other blocks that test it.
fn readers(program: &Program, chosen: &dyn Fn(usize) -> bool) -> BTreeMap<Value, (Block, Vec<Block>)> {
    let defs = definitions(program);
    let mut readers = BTreeMap::<Value, (Block, Vec<Block>)>::new();
    for block in program.block_ids() {
        let data = &program[block];
        let mut note = |value: Value| {
            let Some(def) = defs[value.index()].filter(|def| chosen(value.index()) && def.block() != block)
            else {
                return;
            };
            let (_, blocks) = readers.entry(value).or_insert_with(|| (def.block(), Vec::new()));
            if blocks.last() != Some(&block) {
                blocks.push(block);
            }
        };
        data.insts.iter().filter(|inst| is_test(&inst.op)).for_each(|inst| inst.op.operands(&mut note));
        match data.end {
            Terminator::Branch { cond: asked, .. } | Terminator::Switch { value: asked, .. } => note(asked),
            _ => {}
        }
    }
    readers
}

/// Keeps a value in a slot of its own where it is defined, and lets the tests of other blocks read it there.
fn keep_in_memory(program: &mut Program, value: Value, home: Block, readers: &[Block]) {
    let slot = program.scratch;
    for &block in readers {
        let read = program.new_value(program.type_of(value));
        let data = &mut program[block];
        for inst in data.insts.iter_mut().filter(|inst| is_test(&inst.op)) {
            inst.op.operands_mut(|operand| replace(operand, value, read));
        }
        match &mut data.end {
            Terminator::Branch { cond: asked, .. } | Terminator::Switch { value: asked, .. } => {
                replace(asked, value, read);
            }
            _ => {}
        }
        let line = data.insts.first().map_or(data.end_line, |inst| inst.line);
        data.insts.insert(0, Inst { result: Some(read), op: Op::Unstash { slot }, line });
    }
    program.scratch += 1;
    let insts = &mut program[home].insts;
    let (at, line) = match insts.iter().position(|inst| inst.result == Some(value)) {
        Some(nth) => (nth + 1, insts[nth].line),
        None => (0, Line(0)),
    };
    insts.insert(at, Inst { result: None, op: Op::Stash { slot, value }, line });
}

fn replace(operand: &mut Value, old: Value, new: Value) {
    if *operand == old {
        *operand = new;
    }
}

/// What the verifier learns from, or by way of.
fn is_test(op: &Op) -> bool {
    matches!(op, Op::Compare(..) | Op::Binary(BinaryOp::And, ..))
}

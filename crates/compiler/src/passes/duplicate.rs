//! Tail duplication: a short block that others jump to is copied to their ends.
//!
//! Earns: a jump each, and a copy's parameters are known where it stands: `match` becomes the test
//! itself, and a counter with its `return` follows the test that leads there.

use crate::ir::analysis::{definitions, used_elsewhere};
use crate::ir::{Block, BlockData, Inst, Program, Terminator, Value};
use std::collections::HashMap;

/// The longest block that is copied: about what a jump and its moves cost anyway.
const LONGEST: usize = 3;

/// The pass. All copies together add at most an eighth to the program.
pub(super) fn duplicate(program: &mut Program) -> bool {
    let defs = definitions(program);
    let elsewhere = used_elsewhere(program, &defs);
    let size: usize = program.blocks.iter().map(|block| block.insts.len() + 1).sum();
    let mut budget = size / 8 + 32;
    let mut changed = false;
    for block in program.block_ids() {
        let Terminator::Jump(target) = &program[block].end else {
            continue;
        };
        let tail = &program[target.block];
        let cost = tail.insts.len() + 1;
        if target.block == block || cost > budget || !is_short(tail, &elsewhere) {
            continue;
        }
        budget -= cost;
        copy(program, block);
        changed = true;
    }
    changed
}

fn is_short(tail: &BlockData, elsewhere: &[bool]) -> bool {
    let mut defined = tail.params.iter().copied().chain(tail.insts.iter().filter_map(|inst| inst.result));
    let ends =
        !matches!(tail.end, Terminator::Switch { .. } | Terminator::Match { .. } | Terminator::Jump(_));
    // A value that later blocks use would have two definitions. Copies of copies (whose values are
    // new) are not looked at.
    ends && tail.loop_bound.is_none()
        && tail.insts.len() <= LONGEST
        && defined.all(|value| elsewhere.get(value.index()) == Some(&false))
}

/// Puts a copy of the block that `block` jumps to in the jump's place.
fn copy(program: &mut Program, block: Block) {
    let Terminator::Jump(target) = program[block].end.clone() else {
        return;
    };
    let tail = program[target.block].clone();
    let mut names: HashMap<Value, Value> = tail.params.iter().copied().zip(target.args).collect();
    for mut inst in tail.insts {
        inst.op.operands_mut(|value| *value = names.get(value).copied().unwrap_or(*value));
        let result = inst.result.map(|result| {
            let copied = program.new_value(program.type_of(result));
            names.insert(result, copied);
            copied
        });
        program[block].insts.push(Inst { result, ..inst });
    }
    let mut end = tail.end;
    end.operands_mut(|value| *value = names.get(value).copied().unwrap_or(*value));
    program[block].end = end;
    program[block].end_line = tail.end_line;
}

//! Scratch slots hold what their readers expect.
//!
//! A slot may be read where only some ways have kept something in it: a presence bit tells the
//! reader which. What lies in it otherwise is left over from an earlier packet. After passes have
//! copied blocks there may even be a read on ways that all keep nothing, behind a bit that is never
//! set there; so no read is refused for that.

use super::{Errors, Location};
use crate::ir::analysis::Graph;
use crate::ir::{Inst, Op, Program};

/// The width of what each slot holds, 0 for nothing.
type Slots = Vec<u8>;

/// Holds every read of a slot to what the ways there may have kept in it.
pub(super) fn check_slots(program: &Program, graph: &Graph, errors: &mut Errors) {
    if nothing_too_wide(program) {
        return;
    }
    let mut entries: Vec<Option<Slots>> = vec![None; program.blocks.len()];
    entries[0] = Some(vec![0; program.scratch as usize]);
    while round(program, graph, &mut entries) {}
    for &block in &graph.order {
        let mut slots = entries[block.index()].clone().unwrap_or_default();
        for (index, inst) in program[block].insts.iter().enumerate() {
            if let (Op::Unstash { slot }, Some(result)) = (&inst.op, inst.result) {
                let (kept, ty) = (slots[*slot as usize], program.type_of(result));
                let at = Location::Inst(block, index);
                errors.require(Some(kept) <= ty.bits(), at, || {
                    format!("scratch slot {slot} holds {kept} bits")
                });
            }
            apply(program, inst, &mut slots);
        }
    }
}

/// Whether no slot is ever kept more bits in than each of its reads has room for; then the ways do not matter.
fn nothing_too_wide(program: &Program) -> bool {
    let mut kept = vec![0; program.scratch as usize];
    let mut room = vec![u8::MAX; program.scratch as usize];
    for inst in program.blocks.iter().flat_map(|block| &block.insts) {
        if let (Op::Unstash { slot }, Some(result)) = (&inst.op, inst.result) {
            let room = &mut room[*slot as usize];
            *room = (*room).min(program.type_of(result).bits().unwrap_or(0));
        }
        if let Op::Stash { slot, value } = inst.op {
            let kept = &mut kept[slot as usize];
            *kept = (*kept).max(program.type_of(value).bits().unwrap_or(0));
        }
    }
    kept.iter().zip(&room).all(|(kept, room)| kept <= room)
}

fn round(program: &Program, graph: &Graph, entries: &mut [Option<Slots>]) -> bool {
    let mut again = false;
    for &block in &graph.order {
        let Some(mut slots) = entries[block.index()].clone() else {
            continue;
        };
        program[block].insts.iter().for_each(|inst| apply(program, inst, &mut slots));
        program[block].end.targets(|target| {
            let changed = meet(&mut entries[target.block.index()], &slots);
            again |= changed && graph.goes_back(block, target.block);
        });
    }
    again
}

fn apply(program: &Program, inst: &Inst, slots: &mut Slots) {
    if let Op::Stash { slot, value } = inst.op {
        slots[slot as usize] = program.type_of(value).bits().unwrap_or(0);
    }
}

fn meet(entry: &mut Option<Slots>, slots: &Slots) -> bool {
    let Some(known) = entry else {
        *entry = Some(slots.clone());
        return true;
    };
    let before = known.clone();
    for (known, &kept) in known.iter_mut().zip(slots) {
        *known = (*known).max(kept);
    }
    *known != before
}

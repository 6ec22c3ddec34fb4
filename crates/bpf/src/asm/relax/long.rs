//! Far jumps by `gotol`: a conditional one becomes its inverse around a `gotol`.

use super::{Plan, REACH, Stop};
use crate::asm::{Assembler, Item};

/// After so many passes every branch gets its long form, which ends the search; real programs
/// settle in two or three.
const MAX_PASSES: u32 = 12;

pub(super) fn plan(asm: &Assembler) -> Plan {
    let mut plan = Plan {
        slots: asm.items.iter().map(Item::slots).collect(),
        islands: Vec::new(),
        stops: vec![Stop::Label; asm.items.len()],
    };
    for pass in 0..=MAX_PASSES {
        let reach = if pass == MAX_PASSES { 0 } else { REACH };
        if !grow(asm, &mut plan, reach) {
            break;
        }
    }
    plan
}

/// Lengthens what does not reach. Forms only ever grow, so what reached stays right.
fn grow(asm: &Assembler, plan: &mut Plan, reach: u32) -> bool {
    let layout = plan.layout();
    let mut grown = false;
    for (at, item) in asm.items.iter().enumerate() {
        let Item::Branch(cond, .., label) = item else {
            continue;
        };
        let to = layout.items[asm.place(*label)];
        if plan.slots[at] == 1 && layout.items[at].abs_diff(to) > reach {
            plan.slots[at] = if cond.inverse().is_some() { 2 } else { 3 };
            grown = true;
        }
    }
    grown
}

//! Bytes are inside the frame where they are loaded.

use super::{Errors, Location};
use crate::ir::analysis::Graph;
use crate::ir::facts::Reach;
use crate::ir::{Op, Program};

/// Holds every load to what is proved of its cursor.
pub(super) fn check_loads(program: &Program, graph: &Graph, errors: &mut Errors) {
    let reach = Reach::new(program, graph);
    for &block in &graph.order {
        for (index, inst) in program[block].insts.iter().enumerate() {
            let Op::Load { cursor, offset, bytes } = inst.op else {
                continue;
            };
            let (wanted, proved) = (u32::from(offset) + u32::from(bytes), u32::from(reach.at(block, cursor)));
            errors.require(wanted <= proved, Location::Inst(block, index), || {
                format!("{cursor} + {wanted} may lie outside the frame: only {proved} bytes are proved")
            });
        }
    }
}

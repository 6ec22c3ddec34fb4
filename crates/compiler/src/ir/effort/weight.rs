//! How many instructions blocks will be.

use crate::ir::analysis::Graph;
use crate::ir::{Block, Op, Program, TableRef, Terminator};

/// A walk through one of a table's trees, mostly the rows of its longest list.
const TREE: u64 = 3_000;

/// By block, those of loops as often as they turn.
pub(super) fn weights(program: &Program, graph: &Graph) -> Vec<u64> {
    let mut weights: Vec<u64> = program.block_ids().map(|block| weight(program, block)).collect();
    turn_loops(program, graph, &mut weights);
    weights
}

/// About how many instructions a block will be.
fn weight(program: &Program, block: Block) -> u64 {
    let data = &program[block];
    let walk = |table: TableRef| TREE * program.tables[table.index()].table.cut() as u64;
    let of_op = |op: &Op| match op {
        Op::Const(_) | Op::Compare(..) | Op::Start | Op::Skip { .. } => 0,
        Op::Load { .. } | Op::FrameLen | Op::Binary(..) => 3,
        Op::Stash { .. } | Op::Unstash { .. } => 2,
        Op::Count { .. } => 13,
        Op::Advance { .. } | Op::Detour { .. } | Op::Offset(_) => 8,
        Op::InSet { .. } | Op::Capture { .. } => 40,
        Op::Take { .. } => 1_500,
        Op::InTable { table, .. } => walk(*table),
    };
    let of_end = match &data.end {
        Terminator::Switch { cases, .. } => 3 * cases.len() as u64,
        Terminator::Match { table, .. } => walk(*table),
        Terminator::Fits { .. } => 4,
        Terminator::Jump(_) => 1,
        Terminator::Branch { .. } => 2,
        Terminator::Return { .. } => 4,
    };
    let insts: u64 = data.insts.iter().map(|inst| of_op(&inst.op)).sum();
    insts + of_end
}

/// Lets blocks of a loop weigh as often as it turns.
fn turn_loops(program: &Program, graph: &Graph, weights: &mut [u64]) {
    for &latch in &graph.order {
        for &header in graph.successors(latch).iter().filter(|header| graph.goes_back(latch, **header)) {
            // In most turns most of the body's ways are known already.
            let bound = u64::from(program[header].loop_bound.unwrap_or(1).div_ceil(3));
            let (mut inside, mut todo) = (vec![header], vec![latch]);
            while let Some(block) = todo.pop() {
                if !inside.contains(&block) {
                    inside.push(block);
                    todo.extend(graph.predecessors(block));
                }
            }
            inside.iter().for_each(|block| weights[block.index()] *= bound);
        }
    }
}

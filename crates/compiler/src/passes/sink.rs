//! Moves pure operations to the block that needs them first, where not every packet gets that far.
//!
//! Earns: a packet pays for a load or a set only on the way that looks at it.

use crate::ir::analysis::{Def, Dominators, Graph, definitions, use_counts};
use crate::ir::{Block, BlockData, Inst, Op, Program, Target, Terminator, Value};

/// The pass.
pub(super) fn sink(program: &mut Program) -> bool {
    let split = split_edges(program);
    let graph = Graph::new(program);
    let dominators = Dominators::new(&graph);
    let loops = enclosing_loops(program, &graph, &dominators);
    let mut users: Vec<Vec<Block>> = vec![Vec::new(); program.values.len()];
    let mut sunk: Vec<Vec<Inst>> = vec![Vec::new(); program.blocks.len()];
    // Users come before definitions in this order, so a whole expression moves at once.
    for &block in dominators.preorder.iter().rev() {
        program[block].end.operands(|value| note(&mut users, value, block));
        let insts = std::mem::take(&mut program[block].insts);
        let mut kept = Vec::with_capacity(insts.len());
        // What was moved here lies in the order of uses before definitions as well.
        for inst in insts.into_iter().rev() {
            let home = new_home(&inst, block, &users, &dominators, &loops);
            inst.op.operands(|value| note(&mut users, value, home));
            if home == block { kept.push(inst) } else { sunk[home.index()].push(inst) }
        }
        kept.reverse();
        program[block].insts = kept;
    }
    let changed = sunk.iter().any(|insts| !insts.is_empty());
    for (data, mut insts) in program.blocks.iter_mut().zip(sunk) {
        insts.reverse();
        insts.append(&mut data.insts);
        data.insts = insts;
    }
    changed || split
}

/// Gives a block of its own to each edge for which alone something is computed, so that there is where to move it.
fn split_edges(program: &mut Program) -> bool {
    let (uses, defs) = (use_counts(program), definitions(program));
    let before = program.blocks.len();
    for block in program.block_ids() {
        let mut end = program[block].end.clone();
        if matches!(end, Terminator::Jump(_)) {
            continue;
        }
        let costs = |value: &Value| match defs[value.index()] {
            Some(Def::Inst(home, index)) if home == block && uses[value.index()] == 1 => {
                let op = &program[home].insts[index as usize].op;
                op.is_pure() && !matches!(op, Op::Const(_) | Op::Skip { .. })
            }
            _ => false,
        };
        let (line, first, mut edges) = (program[block].end_line, program.blocks.len(), Vec::new());
        end.targets_mut(|target| {
            if target.args.iter().any(costs) {
                let edge = Block((first + edges.len()) as u32);
                let target = std::mem::replace(target, Target { block: edge, args: Vec::new() });
                edges.push(target);
            }
        });
        for target in edges {
            let cold = program[block].cold || program[target.block].cold;
            let (params, insts, end) = (Vec::new(), Vec::new(), Terminator::Jump(target));
            let likely = false;
            program.blocks.push(BlockData {
                params,
                insts,
                end,
                end_line: line,
                cold,
                likely,
                loop_bound: None,
            });
        }
        if program.blocks.len() > first {
            program[block].end = end;
        }
    }
    program.blocks.len() > before
}

fn note(users: &mut [Vec<Block>], value: Value, block: Block) {
    let users = &mut users[value.index()];
    if users.last() != Some(&block) {
        users.push(block);
    }
}

/// The one user that all others are behind of, unless the operation has to stay.
fn new_home(
    inst: &Inst,
    block: Block,
    users: &[Vec<Block>],
    dominators: &Dominators,
    loops: &[Option<Block>],
) -> Block {
    let Some(result) = inst.result.filter(|_| inst.op.is_pure()) else {
        return block;
    };
    let users = &users[result.index()];
    // One pass finds the only candidate, a second one checks it.
    let higher = |a: Block, b: Block| if dominators.dominates(b, a) { b } else { a };
    let Some(first) = users.iter().copied().reduce(higher) else {
        return block;
    };
    if !users.iter().all(|&user| dominators.dominates(first, user)) {
        return block;
    }
    // Into a loop it would run more often than before.
    if loops[first.index()] == loops[block.index()] { first } else { block }
}

/// The header of the innermost loop around each block.
fn enclosing_loops(program: &Program, graph: &Graph, dominators: &Dominators) -> Vec<Option<Block>> {
    let mut loops = vec![None; program.blocks.len()];
    // Outer loops come first in reverse postorder, inner ones overwrite them.
    for &header in &graph.order {
        if program[header].loop_bound.is_none() {
            continue;
        }
        let back = graph.predecessors(header).iter().filter(|&&from| dominators.dominates(header, from));
        let mut left: Vec<Block> = back.copied().collect();
        let mut inside = std::collections::HashSet::from([header]);
        while let Some(block) = left.pop() {
            if inside.insert(block) {
                left.extend(graph.predecessors(block));
            }
        }
        inside.into_iter().for_each(|block| loops[block.index()] = Some(header));
    }
    loops
}

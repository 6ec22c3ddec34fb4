//! How many instructions blocks will be.

use crate::ir::analysis::Graph;
use crate::ir::{Block, NatCall, Op, Program, SetDecl, SetKind, TableRef, Terminator};

/// A walk through one of a table's trees, mostly the rows of its longest list.
const TREE: u64 = 3_000;

/// And for four bits of a key of an index.
const NIBBLE: u64 = 150;

/// What counts for the rows of tables are functions, gone through by themselves.
pub(super) fn functions(program: &Program) -> u64 {
    let counting = program.tables.iter().filter_map(|decl| decl.table.counting());
    counting.map(|counting| TREE * counting.rows().cut() as u64).sum()
}

/// By block, those of loops as often as they turn.
pub(super) fn weights(program: &Program, graph: &Graph) -> Vec<u64> {
    let mut weights: Vec<u64> = program.block_ids().map(|block| weight(program, block)).collect();
    turn_loops(program, graph, &mut weights);
    weights
}

/// About how many instructions a block will be.
fn weight(program: &Program, block: Block) -> u64 {
    let data = &program[block];
    let walk = |table: TableRef| {
        let table = &program.tables[table.index()].table;
        if table.is_empty() { 0 } else { TREE * table.cut() as u64 }
    };
    let of_op = |op: &Op| match op {
        Op::Const(_) | Op::Compare(..) | Op::Start | Op::Skip { .. } => 0,
        Op::Load { .. } | Op::FrameLen | Op::Binary(..) => 3,
        Op::Stash { .. } | Op::Unstash { .. } => 2,
        Op::Count { .. } => 13,
        Op::Advance { .. } | Op::Detour { .. } | Op::Offset(_) => 8,
        Op::InSet { set, .. } => in_set(&program.sets[set.index()]),
        Op::Capture { .. } => 40,
        Op::Draw { .. } => 12,
        Op::Take { .. } => 1_500,
        Op::Pick { .. } => 400,
        Op::Nat { call: NatCall::Part(_), .. } | Op::Backend { .. } => 8,
        Op::Nat { .. } => 600,
        Op::Note { .. } | Op::Recall { .. } | Op::Room { .. } | Op::Route { .. } => 100,
        Op::Cookie { .. } => 150,
        Op::InTable { table, .. } => walk(*table),
    };
    let of_end = match &data.end {
        Terminator::Switch { cases, .. } => 3 * cases.len() as u64,
        Terminator::Match { table, .. } => walk(*table),
        Terminator::Fits { .. } => 4,
        Terminator::Jump(_) => 1,
        Terminator::Branch { .. } => 2,
        Terminator::Return { .. } => 4,
        Terminator::Decap { .. } => 100,
        Terminator::Send(_) => 400,
        Terminator::Forward(_) => 200,
        Terminator::Refuse(_) => 200,
        Terminator::Echo(_) => 70,
        Terminator::SynAck(_) => 100,
    };
    let insts: u64 = data.insts.iter().map(|inst| of_op(&inst.op)).sum();
    insts + of_end
}

fn in_set(set: &SetDecl) -> u64 {
    let bits: u64 = set.words.iter().map(|bits| u64::from(*bits)).sum();
    match set.kind {
        SetKind::Hash | SetKind::Lpm => 40,
        SetKind::Index => 40 + NIBBLE * bits / 4,
    }
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

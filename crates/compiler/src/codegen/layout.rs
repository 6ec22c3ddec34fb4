//! The order of blocks in the code: traces along the likely successors, cold blocks last.
//!
//! Blocks that hold nothing but a jump are skipped, and blocks that only return are one for each
//! value. Blocks that nothing leads to any more must go: the kernel refuses unreachable code.

use super::machine::{Function, Kind};
use regalloc2::{Block, Function as _, InstOrEdit, Output};
use weir_bpf::insn::Cond;

/// What becomes of each block.
pub(super) struct Layout {
    /// Blocks in order of emission.
    pub(super) order: Vec<Block>,
    /// Where a jump to a block really goes.
    pub(super) real: Vec<Block>,
}

impl Layout {
    pub(super) fn of(function: &Function, output: &Output) -> Layout {
        let real = real_targets(function, output);
        let entries = entries(function, &real);
        let order = order(function, &real, &entries);
        Layout { order, real }
    }

    /// The place of the successor that block's code should go to.
    pub(super) fn real(&self, block: Block) -> Block {
        self.real[block.index()]
    }
}

/// The value that a block returns if it does nothing else.
pub(super) fn only_returns(function: &Function, block: Block) -> Option<i32> {
    let range = function.block_insns(block);
    match &function.insts[range.first().index()].kind {
        Kind::Return(code) if range.len() == 1 => Some(*code),
        _ => None,
    }
}

/// The last instruction of a block.
pub(super) fn end(function: &Function, block: Block) -> &Kind {
    &function.insts[function.block_insns(block).last().index()].kind
}

/// The successors that are jumped to.
fn successors(function: &Function, block: Block) -> Vec<Block> {
    let all = function.block_succs(block);
    match end(function, block) {
        Kind::Switch(tree) => tree.edges().map(|edge| all[edge as usize]).collect(),
        _ => all.to_vec(),
    }
}

fn real_targets(function: &Function, output: &Output) -> Vec<Block> {
    let count = function.num_blocks();
    let mut real: Vec<Block> = (0..count).map(Block::new).collect();
    let mut returns: Vec<(i32, Block)> = Vec::new();
    // Successors of edge blocks mostly come later, so that going backwards finds them resolved.
    for nth in (0..count).rev() {
        let block = Block::new(nth);
        let mut work = output.block_insts_and_edits(function, block);
        let first = match work.next() {
            Some(InstOrEdit::Inst(inst)) => &function.insts[inst.index()].kind,
            _ => continue,
        };
        match first {
            Kind::Jump => {
                let target = real[function.block_succs(block)[0].index()];
                if target != block {
                    real[nth] = target;
                }
            }
            Kind::Return(code) => match returns.iter().find(|known| known.0 == *code) {
                Some(known) => real[nth] = known.1,
                None => returns.push((*code, block)),
            },
            _ => {}
        }
    }
    for nth in 0..count {
        real[nth] = follow(&real, real[nth]);
    }
    real
}

/// Follows redirections of redirections, which loops leave behind.
fn follow(real: &[Block], block: Block) -> Block {
    let mut block = block;
    for _ in 0..real.len() {
        match real[block.index()] {
            next if next == block => break,
            next => block = next,
        }
    }
    block
}

/// How many blocks lead to each block that is needed.
fn entries(function: &Function, real: &[Block]) -> Vec<u32> {
    let entry = real[0];
    let mut entries = vec![0; function.num_blocks()];
    entries[entry.index()] = 1;
    let mut work = vec![entry];
    while let Some(block) = work.pop() {
        let jump = matches!(end(function, block), Kind::Jump);
        for successor in successors(function, block) {
            let target = real[successor.index()];
            // A jump to a return is replaced by the return.
            if jump && only_returns(function, target).is_some() {
                continue;
            }
            entries[target.index()] += 1;
            if entries[target.index()] == 1 {
                work.push(target);
            }
        }
    }
    entries
}

fn order(function: &Function, real: &[Block], entries: &[u32]) -> Vec<Block> {
    let mut placed: Vec<bool> = entries.iter().map(|count| *count == 0).collect();
    let mut order = Vec::new();
    let cold = |block: Block| function.blocks[block.index()].cold;
    let all = (0..function.num_blocks()).map(Block::new);
    let starts = all.clone().filter(|b| !cold(*b)).chain(all.filter(|b| cold(*b)));
    for start in std::iter::once(real[0]).chain(starts) {
        let mut next = Some(start);
        while let Some(block) = next.filter(|block| !placed[block.index()]) {
            placed[block.index()] = true;
            order.push(block);
            let likely = likely(function, block).into_iter().map(|b| real[b.index()]);
            let open = likely.filter(|b| !placed[b.index()] && (!cold(*b) || cold(block)));
            // Where many ways meet, one of them is as good as another: go on with this one's own.
            // A test of bits has no opposite that could fall through.
            let bits = matches!(end(function, block), Kind::Branch(Cond::Set, ..));
            let expected = |b: &Block| !bits && function.blocks[b.index()].likely;
            next = open.min_by_key(|b| (!expected(b), entries[b.index()] > 1));
        }
    }
    order
}

/// Successors, the one to fall through to first. Isel puts the unlikely one of two first.
fn likely(function: &Function, block: Block) -> Vec<Block> {
    let all = function.block_succs(block);
    match end(function, block) {
        Kind::Branch(..) => all.iter().rev().copied().collect(),
        Kind::Switch(_) => all[..2].to_vec(),
        _ => all.to_vec(),
    }
}

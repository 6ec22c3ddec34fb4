//! Changes that several passes make.

use crate::ir::analysis::Graph;
use crate::ir::{Block, Program, Value};

/// Values that others stand for from now on.
pub(super) struct Substitution {
    to: Vec<Value>,
    any: bool,
}

impl Substitution {
    pub(super) fn new(program: &Program) -> Self {
        Self { to: (0..program.values.len() as u32).map(Value).collect(), any: false }
    }

    /// Lets `new` stand for `old`.
    pub(super) fn replace(&mut self, old: Value, new: Value) {
        self.to[old.index()] = self.resolve(new);
        self.any = true;
    }

    /// What stands for a value. Chains are short: a replacement is resolved when it is noted.
    pub(super) fn resolve(&self, mut value: Value) -> Value {
        while let Some(&next) = self.to.get(value.index()).filter(|&&next| next != value) {
            value = next;
        }
        value
    }

    /// Rewrites all operands; whether there was anything to rewrite.
    pub(super) fn apply(mut self, program: &mut Program) -> bool {
        if !self.any {
            return false;
        }
        for index in 0..self.to.len() {
            self.to[index] = self.resolve(Value(index as u32));
        }
        let rewrite = |value: &mut Value| *value = self.to.get(value.index()).copied().unwrap_or(*value);
        for block in &mut program.blocks {
            block.insts.iter_mut().for_each(|inst| inst.op.operands_mut(rewrite));
            block.end.operands_mut(rewrite);
        }
        true
    }
}

/// Takes out the blocks that cannot be reached; whether there were any.
pub(super) fn remove_unreachable(program: &mut Program) -> bool {
    let graph = Graph::new(program);
    if graph.order.len() == program.blocks.len() {
        return false;
    }
    let order: Vec<Block> = program.block_ids().filter(|&block| graph.is_reachable(block)).collect();
    reorder(program, &order);
    true
}

/// Puts the blocks into the given order and numbers them by it; blocks that are not in it go.
pub(super) fn reorder(program: &mut Program, order: &[Block]) {
    let mut numbers = vec![Block(u32::MAX); program.blocks.len()];
    for (block, number) in order.iter().zip(0..) {
        numbers[block.index()] = Block(number);
    }
    let mut old: Vec<_> = std::mem::take(&mut program.blocks).into_iter().map(Some).collect();
    program.blocks = order.iter().filter_map(|block| old[block.index()].take()).collect();
    for block in &mut program.blocks {
        block.end.targets_mut(|target| target.block = numbers[target.block.index()]);
    }
}

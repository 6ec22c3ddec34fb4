//! Facts about a program that instruction selection asks for, each gathered in one pass.

use super::samples::drawn_before;
use crate::ir::analysis::{Def, Dominators, Graph, definitions, use_counts};
use crate::ir::{BinaryOp, Block, Inst, Op, Program, Relation, Terminator, Type, Value};

/// The facts.
#[derive(Debug)]
pub(super) struct Analysis<'a> {
    program: &'a Program,
    definitions: Vec<Option<Def>>,
    uses: Vec<u32>,
    /// Uses as the condition of a branch.
    conditions: Vec<u32>,
    /// Values that stay in the packet's byte order, with their bytes; 0 for others.
    raw: Vec<u8>,
    /// How many instructions count.
    pub(super) counts: usize,
    /// How many instructions read scratch memory.
    pub(super) recalled: usize,
    /// By block, whether some packet that comes there may have been drawn.
    drawn: Vec<bool>,
    pub(super) graph: Graph,
    pub(super) dominators: Dominators,
}

impl<'a> Analysis<'a> {
    pub(super) fn of(program: &'a Program) -> Analysis<'a> {
        let graph = Graph::new(program);
        let number = |is: fn(&Op) -> bool| {
            program.blocks.iter().flat_map(|block| &block.insts).filter(|inst| is(&inst.op)).count()
        };
        let mut analysis = Analysis {
            program,
            definitions: definitions(program),
            uses: use_counts(program),
            conditions: conditions(program),
            raw: vec![0; program.values.len()],
            counts: number(|op| matches!(op, Op::Count { .. })),
            recalled: number(|op| matches!(op, Op::Unstash { .. })),
            drawn: drawn_before(program, &graph),
            dominators: Dominators::new(&graph),
            graph,
        };
        analysis.find_raw();
        analysis
    }

    /// Whether some packet that comes to a block's end may have been drawn.
    pub(super) fn may_be_drawn(&self, block: Block) -> bool {
        self.drawn[block.index()]
    }

    /// The instruction that defines a value.
    pub(super) fn inst(&self, value: Value) -> Option<&'a Inst> {
        match self.definitions[value.index()]? {
            Def::Param(..) => None,
            Def::Inst(block, nth) => Some(&self.program[block].insts[nth as usize]),
        }
    }

    /// The block that defines a value.
    pub(super) fn home(&self, value: Value) -> Option<Block> {
        self.definitions[value.index()].map(Def::block)
    }

    /// The value of a constant.
    pub(super) fn constant(&self, value: Value) -> Option<u64> {
        match self.inst(value)?.op {
            Op::Const(constant) => Some(constant),
            _ => None,
        }
    }

    pub(super) fn uses(&self, value: Value) -> u32 {
        self.uses[value.index()]
    }

    /// Whether nothing but branches look at the value.
    pub(super) fn only_branches(&self, value: Value) -> bool {
        self.uses[value.index()] == self.conditions[value.index()]
    }

    /// The bytes of a value that is kept in the packet's order.
    pub(super) fn raw(&self, value: Value) -> Option<u8> {
        Some(self.raw[value.index()]).filter(|bytes| *bytes > 0)
    }

    /// How many bits a value's register may have set.
    pub(super) fn width(&self, value: Value) -> u8 {
        match (self.raw(value), self.program.values[value.index()]) {
            (Some(bytes), _) => bytes * 8,
            (None, Type::Int(bits)) => bits,
            (None, Type::Cursor) => 64,
        }
    }

    /// What the kernel's verifier knows a value to be at most, when it knows as little as the oldest
    /// one that we support: byte swaps and joins tell it nothing.
    pub(super) fn known_bound(&self, value: Value) -> Option<u64> {
        self.bound(value, 8)
    }

    fn bound(&self, value: Value, depth: u32) -> Option<u64> {
        let inst = self.inst(value).filter(|_| depth > 0)?;
        let of = |value| self.bound(value, depth - 1);
        match inst.op {
            Op::Const(constant) => Some(constant),
            Op::Load { bytes: 1, .. } => Some(255),
            Op::Binary(op, left, right) => {
                let constant = self.constant(right);
                match op {
                    BinaryOp::And => constant.or_else(|| self.constant(left)),
                    BinaryOp::Add => of(left)?.checked_add(of(right)?),
                    BinaryOp::Shl => of(left)?.checked_mul(1 << constant.filter(|by| *by < 32)?),
                    BinaryOp::Shr => Some(of(left)? >> constant.filter(|by| *by < 64)?),
                    BinaryOp::Mul => of(left)?.checked_mul(constant?),
                    _ => None,
                }
            }
            _ => None,
        }
        .filter(|bound| *bound <= u64::from(u32::MAX))
    }

    /// A load needs no byte swap if all that is asked of it is whether it, or some of its bits,
    /// equal constants: then the constants are swapped.
    fn find_raw(&mut self) {
        let mut fixed = vec![false; self.program.values.len()];
        for block in self.graph.order.iter().rev() {
            let data = &self.program.blocks[block.index()];
            self.fix_end(&data.end, &mut fixed);
            for inst in data.insts.iter().rev() {
                self.fix_operands(inst, &mut fixed);
            }
        }
        for block in &self.graph.order {
            for inst in &self.program.blocks[block.index()].insts {
                let Some(result) = inst.result else { continue };
                self.raw[result.index()] = match inst.op {
                    Op::Load { bytes, .. } if bytes > 1 && !fixed[result.index()] => bytes,
                    Op::Binary(op, left, right) if bitwise(op) => match self.constant(right) {
                        Some(_) => self.raw[left.index()],
                        None => self.raw[right.index()],
                    },
                    _ => 0,
                };
            }
        }
    }

    /// Marks operands whose value must be in the machine's order.
    fn fix_operands(&self, inst: &Inst, fixed: &mut [bool]) {
        let fits = |constant: Option<u64>, value: Value| {
            constant.is_some_and(|constant| constant <= self.load_mask(value))
        };
        match (&inst.op, inst.result) {
            (Op::Compare(Relation::Eq | Relation::Ne, left, right), _)
                if fits(self.constant(*right), *left) => {}
            (Op::Binary(op, left, right), Some(result))
                if bitwise(*op) && fits(self.constant(*right), *left) =>
            {
                fixed[left.index()] |= fixed[result.index()];
            }
            (op, _) => op.operands(|value| fixed[value.index()] = true),
        }
    }

    fn fix_end(&self, end: &Terminator, fixed: &mut [bool]) {
        match end {
            Terminator::Switch { value, cases, .. } => {
                let mask = self.load_mask(*value);
                let single = cases.iter().all(|(low, high, _)| low == high && *high <= mask);
                let neighbours = cases.windows(2);
                let merged =
                    neighbours.filter(|pair| pair[0].1 + 1 == pair[1].0 && pair[0].2 == pair[1].2).count();
                if !single || merged * 4 > cases.len() {
                    fixed[value.index()] = true;
                }
                end.targets(|target| {
                    target.args.iter().for_each(|value| fixed[value.index()] = true);
                });
            }
            _ => end.operands(|value| fixed[value.index()] = true),
        }
    }

    /// All bits of the load that a value is, or is computed from bit by bit.
    fn load_mask(&self, value: Value) -> u64 {
        let mut value = value;
        loop {
            match self.inst(value).map(|inst| &inst.op) {
                Some(Op::Load { bytes, .. }) => return u64::MAX >> (64 - 8 * u32::from(*bytes)),
                Some(Op::Binary(op, left, _)) if bitwise(*op) => value = *left,
                _ => return 0,
            }
        }
    }
}

fn bitwise(op: BinaryOp) -> bool {
    matches!(op, BinaryOp::And | BinaryOp::Or | BinaryOp::Xor)
}

/// How often each value is the condition of a branch.
fn conditions(program: &Program) -> Vec<u32> {
    let mut counts = vec![0; program.values.len()];
    for block in &program.blocks {
        if let Terminator::Branch { cond, .. } = block.end {
            counts[cond.index()] += 1;
        }
    }
    counts
}

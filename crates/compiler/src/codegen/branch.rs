//! Comparisons and block ends.
//!
//! The allocator puts moves for a block's parameters on edges, so an edge from a block with several
//! successors gets a block of its own, except where it is the only one into its target. Edge
//! blocks that stay empty vanish in emission.

use super::Hook;
use super::isel::Isel;
use super::machine::Kind;
use super::switch::{Case, Tree};
use crate::ir::{self, BinaryOp, Op, Relation, Target, Terminator, Value, Verdict};
use regalloc2::{Block, Operand, VReg};
use std::collections::HashMap;
use weir_bpf::insn::{AluOp, Cond, Width};
use weir_bpf::target::Feature;

/// A comparison's operands: a register with an immediate or another register.
struct Condition {
    cond: Cond,
    width: Width,
    left: VReg,
    right: Result<VReg, i32>,
}

impl Condition {
    fn operands(&self) -> Vec<Operand> {
        let uses = [Some(self.left), self.right.ok()];
        uses.into_iter().flatten().map(Operand::reg_use).collect()
    }
}

impl Isel<'_> {
    /// Whether a comparison is part of the branch that ends its block.
    pub(super) fn fused(&self, block: ir::Block, result: Value) -> bool {
        let end = &self.program.blocks[block.index()].end;
        self.analysis.uses(result) == 1 && matches!(end, Terminator::Branch { cond, .. } if *cond == result)
    }

    /// Whether `value & constant` is part of a branch on its being zero.
    pub(super) fn tests_bits(&self, block: ir::Block, value: Value) -> bool {
        let Terminator::Branch { cond, .. } = self.program.blocks[block.index()].end else {
            return false;
        };
        self.fused(block, cond)
            && self.analysis.uses(value) == 1
            && self.bit_test(cond).is_some_and(|test| test.0 == value)
    }

    /// For `(left & mask) ==/!= 0`: the conjunction, `left`, the mask as the instruction has it,
    /// whether it asks for zero.
    fn bit_test(&self, cond: Value) -> Option<(Value, Value, i32, bool)> {
        let Op::Compare(relation @ (Relation::Eq | Relation::Ne), masked, zero) =
            self.analysis.inst(cond)?.op
        else {
            return None;
        };
        let Op::Binary(BinaryOp::And, left, mask) = self.analysis.inst(masked)?.op else {
            return None;
        };
        if self.analysis.constant(zero) != Some(0)
            || self.analysis.uses(masked) != 1
            || self.analysis.home(masked) != self.analysis.home(cond)
            || self.analysis.constant(left).is_some()
        {
            return None;
        }
        let mask = self.in_order_of(left, self.analysis.constant(mask)?);
        let mask = i32::try_from(mask).ok()?;
        Some((masked, left, mask, relation == Relation::Eq))
    }

    pub(super) fn compare(&mut self, relation: Relation, left: Value, right: Value, result: Value) {
        let condition = self.condition(relation, left, right);
        let def = self.define(result);
        let mut operands = vec![Operand::reg_def_at_start(def)];
        operands.extend(condition.operands());
        let imm = condition.right.err();
        self.emit(Kind::Compare(condition.cond, condition.width, imm), &operands);
    }

    fn condition(&mut self, relation: Relation, left: Value, right: Value) -> Condition {
        if self.analysis.constant(left).is_some() && self.analysis.constant(right).is_none() {
            return self.condition(relation.mirrored(), right, left);
        }
        let cond = cond_of(relation);
        let left_reg = self.value(left);
        let Some(constant) = self.analysis.constant(right) else {
            let right = Ok(self.value(right));
            return Condition { cond, width: Width::W64, left: left_reg, right };
        };
        let constant = self.in_order_of(left, constant);
        let (width, right) = self.comparable(cond, self.analysis.width(left), constant);
        Condition { cond, width, left: left_reg, right }
    }

    /// A constant as the right side of a comparison: 64 bits sign-extend it, 32 bits do not care.
    fn comparable(&mut self, cond: Cond, bits: u8, constant: u64) -> (Width, Result<VReg, i32>) {
        if let Ok(imm) = i32::try_from(constant as i64) {
            return (Width::W64, Err(imm));
        }
        let signed = matches!(cond, Cond::Sgt | Cond::Sge | Cond::Slt | Cond::Sle);
        let narrow = bits <= 32 && !signed && self.options.target.has(Feature::Jmp32);
        match u32::try_from(constant) {
            Ok(imm) if narrow => (Width::W32, Err(imm as i32)),
            _ => (Width::W64, Ok(self.constant(constant))),
        }
    }

    pub(super) fn end(&mut self, block: ir::Block, end: &Terminator) {
        match end {
            Terminator::Jump(target) => {
                let args = self.arguments(block, target);
                self.jump_with(self.machine_block(target.block), &args);
            }
            Terminator::Branch { cond, then, other } => self.branch_end(block, *cond, then, other),
            Terminator::Fits { cursor, bytes, then, other } => {
                self.fits(block, *cursor, *bytes, then, other);
            }
            Terminator::Switch { value, cases, default } => {
                self.switch(block, *value, cases, default);
            }
            Terminator::Match { table, key, otherwise } => self.match_table(block, *table, key, otherwise),
            Terminator::Return { verdict, by } => {
                self.tell(block, *verdict, *by);
                let code = return_code(self.options.hook, *verdict);
                self.emit(Kind::Return(code), &[]);
            }
            Terminator::Decap { by, inner, link, ecn } => {
                self.tell(block, Verdict::Pass, Some(*by));
                self.decap(*inner, *link, *ecn);
            }
            Terminator::Send(send) => self.apart(|isel| isel.send(block, send)),
            Terminator::Forward(forward) => self.apart(|isel| isel.forward(block, forward)),
            Terminator::Refuse(refuse) => {
                self.tell(block, Verdict::Send, Some(refuse.by));
                self.refuse(refuse);
            }
            Terminator::Echo(echo) => {
                self.tell(block, Verdict::Send, Some(echo.by));
                self.echo(echo);
            }
            Terminator::SynAck(answer) => {
                self.tell(block, Verdict::Send, Some(answer.by));
                self.syn_ack(answer);
            }
        }
    }

    fn branch_end(&mut self, block: ir::Block, cond: Value, then: &Target, other: &Target) {
        let same = then == other;
        match self.analysis.constant(cond) {
            Some(0) => return self.end(block, &Terminator::Jump(other.clone())),
            _ if same => return self.end(block, &Terminator::Jump(other.clone())),
            Some(_) => return self.end(block, &Terminator::Jump(then.clone())),
            None => {}
        }
        let (condition, then, other) = match self.bit_test(cond) {
            Some((masked, left, mask, zero)) if self.tests_bits(block, masked) => {
                let left = self.value(left);
                let (cond, width, right) = (Cond::Set, Width::W64, Err(mask));
                let condition = Condition { cond, width, left, right };
                if zero { (condition, other, then) } else { (condition, then, other) }
            }
            _ => (self.branch_condition(block, cond), then, other),
        };
        let mut edges = Edges::default();
        let (then, other) = (self.edge(&mut edges, then), self.edge(&mut edges, other));
        let (then, other) = (edges.block(then), edges.block(other));
        let kind = Kind::Branch(condition.cond, condition.width, condition.right.err());
        self.branch(kind, &condition.operands(), then, other);
        self.finish_edges(block, edges);
    }

    fn branch_condition(&mut self, block: ir::Block, cond: Value) -> Condition {
        if self.fused(block, cond)
            && let Some(Op::Compare(relation, left, right)) = self.analysis.inst(cond).map(|inst| &inst.op)
            && self.analysis.home(cond) == Some(block)
        {
            return self.condition(*relation, *left, *right);
        }
        let (left, right) = (self.value(cond), Err(0));
        Condition { cond: Cond::Ne, width: Width::W64, left, right }
    }

    fn fits(&mut self, block: ir::Block, cursor: Value, bytes: u16, then: &Target, other: &Target) {
        if then == other {
            return self.end(block, &Terminator::Jump(then.clone()));
        }
        let (base, delta) = self.cursor(cursor);
        let end = match delta + i32::from(bytes) {
            0 => base,
            distance => self.alu_imm(Width::W64, AluOp::Add, base, distance),
        };
        let mut edges = Edges::default();
        let (out, inside) = (self.edge(&mut edges, other), self.edge(&mut edges, then));
        let (out, inside) = (edges.block(out), edges.block(inside));
        let operands = [Operand::reg_use(end), Operand::reg_use(self.data_end)];
        self.branch(Kind::Branch(Cond::Gt, Width::W64, None), &operands, out, inside);
        self.finish_edges(block, edges);
    }

    fn switch(&mut self, block: ir::Block, value: Value, cases: &[(u64, u64, Target)], default: &Target) {
        let mut edges = Edges::default();
        let default_edge = self.edge(&mut edges, default);
        let mut rows: Vec<Case> = Vec::with_capacity(cases.len());
        for (low, high, target) in cases {
            let edge = self.edge(&mut edges, target);
            let (low, high) = (self.in_order_of(value, *low), self.in_order_of(value, *high));
            let cold = self.program.blocks[target.block.index()].cold;
            rows.push(Case { low, high, edge, cold });
        }
        let short = self.options.target.has(Feature::Jmp32);
        if edges.all.len() == 1 {
            self.jump(edges.block(default_edge));
            return self.finish_edges(block, edges);
        }
        let tree = Tree::new(rows, default_edge, self.analysis.width(value), short);
        let mut operands = vec![Operand::reg_use(self.value(value))];
        if tree.needs_temporary() {
            operands.push(Operand::reg_temp(self.builder.vreg()));
        }
        self.emit(Kind::Switch(Box::new(tree)), &operands);
        self.builder.blocks[self.current.index()].successors = edges.all.clone();
        self.finish_edges(block, edges);
    }

    /// The successor that leads to a target; the same for the same target and arguments.
    fn edge(&mut self, edges: &mut Edges, target: &Target) -> u32 {
        if let Some(edge) = edges.known.get(target) {
            return *edge;
        }
        let only = self.analysis.graph.predecessors(target.block).len() == 1;
        let block = if only && self.program[target.block].params.is_empty() {
            self.machine_block(target.block)
        } else {
            let block = self.builder.block_like(&self.program[target.block]);
            edges.open.push((block, target.clone()));
            block
        };
        let edge = edges.all.len() as u32;
        edges.known.insert(target.clone(), edge);
        edges.all.push(block);
        edge
    }

    /// Fills the edge blocks, once the block before them has its end.
    fn finish_edges(&mut self, from: ir::Block, edges: Edges) {
        for (block, target) in edges.open {
            self.builder.place(block);
            self.current = block;
            let args = self.arguments(from, &target);
            self.jump_with(self.machine_block(target.block), &args);
        }
    }
}

/// The edges out of one block.
#[derive(Default)]
struct Edges {
    known: HashMap<Target, u32>,
    all: Vec<Block>,
    open: Vec<(Block, Target)>,
}

impl Edges {
    fn block(&self, edge: u32) -> Block {
        self.all[edge as usize]
    }
}

/// XDP: `XDP_PASS`, `XDP_DROP`. tc: `TC_ACT_UNSPEC`, which is also `TCX_NEXT` and lets other programs
/// go on, and `TC_ACT_SHOT`.
pub(super) fn return_code(hook: Hook, verdict: Verdict) -> i32 {
    match (hook, verdict) {
        (Hook::Xdp, Verdict::Pass) => 2,
        (Hook::Xdp, Verdict::Drop) => 1,
        (Hook::Xdp, Verdict::Send) => 3,
        (_, Verdict::Pass) => -1,
        // Frames are sent at XDP only.
        (_, Verdict::Drop | Verdict::Send) => 2,
    }
}

fn cond_of(relation: Relation) -> Cond {
    match relation {
        Relation::Eq => Cond::Eq,
        Relation::Ne => Cond::Ne,
        Relation::Lt => Cond::Lt,
        Relation::Le => Cond::Le,
        Relation::Gt => Cond::Gt,
        Relation::Ge => Cond::Ge,
        Relation::Slt => Cond::Slt,
        Relation::Sle => Cond::Sle,
        Relation::Sgt => Cond::Sgt,
        Relation::Sge => Cond::Sge,
    }
}

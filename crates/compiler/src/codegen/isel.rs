//! Instruction selection: IR → machine IR, block by block in an order that sees definitions first.
//!
//! * Constants have no register: each use gets an immediate, or loads the constant anew.
//! * A cursor is a base register and a constant distance; [`Op::Skip`] costs nothing.
//! * A comparison whose only user is the branch of its block becomes that branch.
//! * Loads that are only compared with constants keep the packet's byte order (see
//!   [`Analysis::raw`]).
//! * What is read once and needed often (a chunk of counters, the time) is shared with the blocks
//!   that its block dominates.

use super::analysis::Analysis;
use super::machine::{Builder, Kind};
use super::maps::Maps;
use super::parts::Parts;
use super::{CodegenError, Options, counters};
use crate::ir::{self, BinaryOp, Inst, Line, Op, Program, Type, Value};
use regalloc2::{Block, Operand, VReg};
use std::collections::BTreeMap;
use weir_bpf::insn::{AluOp, Size, Width};

/// Where a value is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// Not selected: unused, constant, or part of its user.
    None,
    Register(VReg),
    /// `base` and so many bytes.
    Cursor(VReg, i32),
    /// In scratch memory: another function defines it.
    Elsewhere,
}

/// A value that serves all blocks below.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Shared {
    /// The counters' chunk.
    Chunk(u32),
    /// The time in sixteenths of a nanosecond.
    Now,
    /// The frame's length, where it takes more than a load.
    FrameLen,
    /// What statements that sample keep on this CPU.
    Sampling,
}

const SHARED: usize = counters::SHARED_CHUNKS + 3;

/// The state of selection.
pub(super) struct Isel<'a> {
    pub(super) program: &'a Program,
    pub(super) options: &'a Options,
    pub(super) analysis: &'a Analysis<'a>,
    pub(super) maps: &'a Maps,
    pub(super) parts: &'a Parts,
    /// Which of the functions this is.
    pub(super) function: u32,
    pub(super) builder: Builder,
    /// The machine block that instructions go to.
    pub(super) current: Block,
    pub(super) line: Line,
    pub(super) context: VReg,
    /// The frame's first byte and the byte behind its last.
    pub(super) data: VReg,
    pub(super) data_end: VReg,
    /// The scratch memory's address, as instructions that use it name it.
    pub(super) scratch: Option<Operand>,
    /// Where the space of tables in use begins.
    pub(super) space: Option<VReg>,
    /// Bytes of stack that the functions take which are called and all parts share.
    pub(super) below: u32,
    places: Vec<Place>,
    /// Machine blocks by IR block, of those that this function has or leads to.
    blocks: Vec<Block>,
    /// By their machine blocks, what is at hand at their ends.
    at_hand: Vec<[Option<VReg>; SHARED]>,
    /// By loop header: how often it has run.
    turns: BTreeMap<ir::Block, VReg>,
    pub(super) here: [Option<VReg>; SHARED],
    /// A chunk that was looked up in this block, where there are too many to share.
    chunk: Option<(u32, VReg)>,
    pub(super) error: Option<CodegenError>,
    /// By backends that were picked here: where is counted for them.
    pub(super) picked: BTreeMap<Value, VReg>,
}

/// A function in machine IR.
pub(super) struct Selected {
    pub(super) builder: Builder,
    pub(super) below: u32,
}

/// Selects instructions for one of a program's functions.
pub(super) fn select(
    program: &Program,
    options: &Options,
    analysis: &Analysis<'_>,
    maps: &Maps,
    parts: &Parts,
    function: u32,
) -> Result<Selected, CodegenError> {
    let mut isel = Isel::new(program, options, analysis, maps, parts, function);
    isel.check_capture()?;
    isel.check_samples()?;
    isel.check_changes()?;
    isel.check_cookies()?;
    isel.prologue();
    for &block in parts.blocks(function) {
        match parts.function(block) == function {
            true => isel.block(block),
            false => isel.stub(block),
        }
    }
    match isel.error {
        Some(error) => Err(error),
        None => Ok(Selected { builder: isel.builder, below: isel.below }),
    }
}

impl<'a> Isel<'a> {
    fn new(
        program: &'a Program,
        options: &'a Options,
        analysis: &'a Analysis<'a>,
        maps: &'a Maps,
        parts: &'a Parts,
        function: u32,
    ) -> Isel<'a> {
        let mut builder = Builder::default();
        let current = builder.block(false);
        let mut blocks = vec![Block::invalid(); program.blocks.len()];
        for &block in parts.blocks(function) {
            blocks[block.index()] = builder.block_like(&program[block]);
        }
        let at_hand = vec![[None; SHARED]; builder.blocks.len()];
        let (context, data, data_end) = (builder.vreg(), builder.vreg(), builder.vreg());
        Isel {
            program,
            options,
            analysis,
            maps,
            parts,
            function,
            builder,
            current,
            line: Line(0),
            context,
            data,
            data_end,
            scratch: None,
            space: None,
            below: 0,
            places: vec![Place::None; program.values.len()],
            blocks,
            at_hand,
            turns: BTreeMap::new(),
            here: [None; SHARED],
            chunk: None,
            error: None,
            picked: BTreeMap::new(),
        }
    }

    fn block(&mut self, block: ir::Block) {
        let data = &self.program.blocks[block.index()];
        self.current = self.machine_block(block);
        self.builder.place(self.current);
        let above = self.analysis.dominators.immediate(block);
        self.here = match above.filter(|above| self.parts.function(*above) == self.function) {
            None => [None; SHARED],
            Some(dominator) => self.at_hand[self.machine_block(dominator).index()],
        };
        self.chunk = None;
        for param in &data.params {
            let vreg = self.builder.vreg();
            self.builder.blocks[self.current.index()].params.push(vreg);
            self.places[param.index()] = match self.program.values[param.index()] {
                Type::Cursor => Place::Cursor(vreg, 0),
                Type::Int(_) => Place::Register(vreg),
            };
        }
        data.params.iter().for_each(|param| self.keep_for_others(*param));
        if let Some(bound) = data.loop_bound {
            self.count_turns(block, bound);
        }
        for inst in &data.insts {
            self.line = inst.line;
            self.inst(block, inst);
            inst.result.into_iter().for_each(|result| self.keep_for_others(result));
        }
        self.line = data.end_line;
        self.end(block, &data.end);
        let own = self.machine_block(block);
        self.at_hand[own.index()] = self.here;
    }

    /// The kernel's verifier walks through a loop until it sees it end, so a header counts its turns in
    /// a last parameter of its own, which the verifier can follow where it cannot follow the packet.
    fn count_turns(&mut self, block: ir::Block, bound: u32) {
        let param = self.builder.vreg();
        self.builder.blocks[self.current.index()].params.push(param);
        let turns = self.alu_imm(Width::W64, AluOp::Add, param, 1);
        let turns = self.in_place(Kind::Bound(bound), turns);
        self.turns.insert(block, turns);
    }

    /// What an edge gives to the parameters of its target.
    pub(super) fn arguments(&mut self, from: ir::Block, target: &ir::Target) -> Vec<VReg> {
        let mut args: Vec<VReg> = target.args.iter().map(|arg| self.value(*arg)).collect();
        if self.program[target.block].loop_bound.is_some() {
            let back = self.analysis.graph.goes_back(from, target.block);
            let turns = self.turns.get(&target.block).copied().filter(|_| back);
            args.push(turns.unwrap_or_else(|| self.constant(0)));
        }
        args
    }

    pub(super) fn machine_block(&self, block: ir::Block) -> Block {
        self.blocks[block.index()]
    }

    fn inst(&mut self, block: ir::Block, inst: &'a Inst) {
        if inst.result.is_some_and(|result| self.analysis.uses(result) == 0) && !inst.op.has_effect() {
            return;
        }
        match (&inst.op, inst.result) {
            (Op::Count { counter }, _) => self.count(*counter),
            (Op::Capture { statement, verdict }, _) => self.capture(*statement, *verdict),
            (Op::Draw { sample }, _) => self.draw(*sample),
            (Op::Stash { slot, value }, _) => self.stash(*slot, *value),
            (Op::InTable { table, key }, Some(result)) => self.in_table(*table, key, result),
            (Op::InSet { set, key }, _) => self.in_set(inst, *set, key),
            (Op::Take { limit, key, cost }, _) => self.take(inst, *limit, key, *cost),
            (Op::Pick { pool, hash, begins, held }, _) => self.pick(inst, *pool, (*hash, *begins), *held),
            (Op::Backend { pool, backend, part }, Some(result)) => {
                self.backend_part(result, *pool, *backend, *part)
            }
            (Op::Nat { nat, six, call, args }, _) => self.nat(inst, (*nat, *six), *call, args),
            (Op::Cookie { call, six, packet }, _) => self.cookie(inst, *call, *six, *packet),
            (Op::Route { to }, Some(result)) => self.room_by_route(result, to),
            (Op::Note { key, word }, _) => self.note(*key, *word),
            (Op::Recall { key }, _) => self.recall(inst, *key),
            (Op::Room { balance, backend }, Some(result)) => self.room(result, *balance, *backend),
            (op, Some(result)) => self.pure(block, op, result),
            _ => {}
        }
    }

    /// Operations without effects.
    fn pure(&mut self, block: ir::Block, op: &Op, result: Value) {
        match *op {
            Op::Binary(..) if self.tests_bits(block, result) => {}
            Op::Compare(..) if self.fused(block, result) => {}
            Op::Binary(op, left, right) => self.binary(op, left, right, result),
            Op::Compare(relation, left, right) => self.compare(relation, left, right, result),
            Op::Start => self.place(result, Place::Cursor(self.data, 0)),
            Op::Skip { cursor, bytes } => {
                let (base, delta) = self.cursor(cursor);
                self.place(result, Place::Cursor(base, delta + i32::from(bytes)));
            }
            Op::Advance { cursor, by, max } => self.advance(cursor, by, max, result),
            Op::Load { cursor, offset, bytes } => self.load_packet(cursor, offset, bytes, result),
            Op::Detour { cursor, max } => self.detour(cursor, max, result),
            Op::Offset(cursor) => self.offset(cursor, result),
            Op::FrameLen => self.frame_len(result),
            Op::Unstash { slot } => self.unstash(slot, result),
            _ => {}
        }
    }

    fn binary(&mut self, op: BinaryOp, left: Value, right: Value, result: Value) {
        let commutes = !matches!(op, BinaryOp::Sub | BinaryOp::Shl | BinaryOp::Shr);
        let (left, right) = match self.analysis.constant(left) {
            Some(_) if commutes && self.analysis.constant(right).is_none() => (right, left),
            _ => (left, right),
        };
        let source = self.value(left);
        let vreg = match self.analysis.constant(right) {
            Some(constant) => {
                let constant = self.in_order_of(left, constant);
                self.binary_constant(op, source, constant, self.analysis.width(result))
            }
            None => {
                let right = self.value(right);
                self.alu(Width::W64, alu_op(op), source, right)
            }
        };
        self.place(result, Place::Register(vreg));
    }

    fn binary_constant(&mut self, op: BinaryOp, left: VReg, constant: u64, width: u8) -> VReg {
        if op == BinaryOp::Mul && constant.is_power_of_two() {
            let shift = constant.trailing_zeros() as i32;
            return self.alu_imm(Width::W64, AluOp::Lsh, left, shift);
        }
        if let Ok(imm) = i32::try_from(constant as i64) {
            return self.alu_imm(Width::W64, alu_op(op), left, imm);
        }
        // A mask of 32 bits clears what is above; the other operations' results have none there.
        let narrow = op == BinaryOp::And || width <= 32 && op != BinaryOp::Shr;
        match u32::try_from(constant) {
            Ok(imm) if narrow => self.alu_imm(Width::W32, alu_op(op), left, imm as i32),
            _ => {
                let right = self.constant(constant);
                self.alu(Width::W64, alu_op(op), left, right)
            }
        }
    }

    /// A constant as it compares with, or masks, a value that may be in the packet's order.
    pub(super) fn in_order_of(&self, value: Value, constant: u64) -> u64 {
        match self.analysis.raw(value) {
            Some(bytes) => constant.swap_bytes() >> (64 - 8 * u32::from(bytes)),
            None => constant,
        }
    }

    /// Gives the result a place.
    pub(super) fn place(&mut self, result: Value, place: Place) {
        self.places[result.index()] = place;
    }

    /// A new register for a result.
    pub(super) fn define(&mut self, result: Value) -> VReg {
        let vreg = self.builder.vreg();
        self.place(result, Place::Register(vreg));
        vreg
    }

    /// A register that holds the value.
    pub(super) fn value(&mut self, value: Value) -> VReg {
        match self.places[value.index()] {
            Place::Register(vreg) => vreg,
            Place::Cursor(base, 0) => base,
            Place::Cursor(base, delta) => self.alu_imm(Width::W64, AluOp::Add, base, delta),
            Place::Elsewhere => self.read_slot(value),
            Place::None => {
                let constant = self.analysis.constant(value).unwrap_or(0);
                self.constant(constant)
            }
        }
    }

    /// A cursor's base register and distance.
    pub(super) fn cursor(&self, value: Value) -> (VReg, i32) {
        match self.places[value.index()] {
            Place::Cursor(base, delta) => (base, delta),
            Place::Register(vreg) => (vreg, 0),
            Place::None | Place::Elsewhere => (self.data, 0),
        }
    }

    /// A value that `make` makes, unless a block above has.
    pub(super) fn shared(&mut self, what: Shared, make: impl FnOnce(&mut Self) -> VReg) -> VReg {
        let chunks = self.program.counters.div_ceil(counters::SLOTS) as usize;
        let slot = match what {
            Shared::Now => counters::SHARED_CHUNKS,
            Shared::FrameLen => counters::SHARED_CHUNKS + 1,
            Shared::Sampling => counters::SHARED_CHUNKS + 2,
            Shared::Chunk(chunk) if chunks <= counters::SHARED_CHUNKS => chunk as usize,
            Shared::Chunk(chunk) => {
                if let Some((_, vreg)) = self.chunk.filter(|(at_hand, _)| *at_hand == chunk) {
                    return vreg;
                }
                let vreg = make(self);
                self.chunk = Some((chunk, vreg));
                return vreg;
            }
        };
        if let Some(vreg) = self.here[slot] {
            return vreg;
        }
        let vreg = make(self);
        self.here[slot] = Some(vreg);
        vreg
    }

    /// Emits what not all ways to the code behind it go through: what is shared there is not at hand.
    pub(super) fn apart(&mut self, emit: impl FnOnce(&mut Self)) {
        let before = (self.here, self.chunk);
        emit(self);
        (self.here, self.chunk) = before;
    }

    pub(super) fn emit(&mut self, kind: Kind, operands: &[Operand]) {
        self.builder.push(self.current, kind, self.line, operands);
    }

    pub(super) fn constant(&mut self, value: u64) -> VReg {
        let def = self.builder.vreg();
        self.emit(Kind::Const(value), &[Operand::reg_def(def)]);
        def
    }

    pub(super) fn alu(&mut self, width: Width, op: AluOp, left: VReg, right: VReg) -> VReg {
        let def = self.builder.vreg();
        let operands = [Operand::reg_reuse_def(def, 1), Operand::reg_use(left), Operand::reg_use(right)];
        self.emit(Kind::Alu(width, op), &operands);
        def
    }

    pub(super) fn alu_imm(&mut self, width: Width, op: AluOp, left: VReg, imm: i32) -> VReg {
        self.in_place(Kind::AluImm(width, op, imm), left)
    }

    pub(super) fn big_endian(&mut self, size: Size, value: VReg) -> VReg {
        self.in_place(Kind::BigEndian(size), value)
    }

    /// An instruction that changes a copy of its operand.
    pub(super) fn in_place(&mut self, kind: Kind, value: VReg) -> VReg {
        let def = self.builder.vreg();
        self.emit(kind, &[Operand::reg_reuse_def(def, 1), Operand::reg_use(value)]);
        def
    }

    pub(super) fn load(&mut self, size: Size, base: VReg, offset: i16) -> VReg {
        let def = self.builder.vreg();
        let operands = [Operand::reg_def(def), Operand::reg_use(base)];
        self.emit(Kind::Load(size, offset), &operands);
        def
    }

    pub(super) fn store(&mut self, size: Size, base: VReg, offset: i16, value: VReg) {
        let operands = [Operand::reg_use(base), Operand::reg_use(value)];
        self.emit(Kind::Store(size, offset), &operands);
    }

    pub(super) fn store_vreg(&mut self, size: Size, offset: i16, value: VReg) {
        self.emit(Kind::StoreStack(size, offset), &[Operand::reg_use(value)]);
    }

    /// Stores a value, a constant as an immediate where it fits one.
    pub(super) fn store_stack(&mut self, size: Size, offset: i16, value: Value) {
        let imm = self.analysis.constant(value).and_then(|constant| match size {
            Size::DW => i32::try_from(constant as i64).ok(),
            _ => Some(constant as i32),
        });
        match imm {
            Some(imm) => self.emit(Kind::StoreStackImm(size, offset, imm), &[]),
            None => {
                let value = self.value(value);
                self.store_vreg(size, offset, value);
            }
        }
    }
}

fn alu_op(op: BinaryOp) -> AluOp {
    match op {
        BinaryOp::Add => AluOp::Add,
        BinaryOp::Sub => AluOp::Sub,
        BinaryOp::Mul => AluOp::Mul,
        BinaryOp::And => AluOp::And,
        BinaryOp::Or => AluOp::Or,
        BinaryOp::Xor => AluOp::Xor,
        BinaryOp::Shl => AluOp::Lsh,
        BinaryOp::Shr => AluOp::Rsh,
    }
}

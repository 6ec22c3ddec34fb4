//! The packet: entry code, cursors, bounds, loads, the frame's length.
//!
//! | | XDP | tc |
//! |---|---|---|
//! | frame | first buffer | linear part, pulled at entry up to what the program can read |
//! | frame's length | `data_end - data`, or `xdp_get_buff_len` where frames can have more buffers | `skb->len` |
//!
//! The verifier gives a packet pointer a range when `pointer + bytes` is compared with `data_end`; all
//! pointers that differ from it by constants share the range (`find_good_pkt_pointers`). So a
//! bounds check compares a copy of the cursor's base, and loads use the base with an offset.
//! Adding a variable makes a new pointer, whose offset must be known to stay below 64 KiB.

use super::emit::Emitter;
use super::isel::{Isel, Place, Shared};
use super::machine::{Kind, physical};
use super::{CodegenError, Hook};
use crate::ir::{BlockData, Op, Terminator, Value};
use regalloc2::{Block, Operand, VReg};
use weir_bpf::helpers;
use weir_bpf::insn::{AluOp, Cond, Insn, Reg, Size, Width};

/// Offsets in the context (`struct xdp_md`, `struct __sk_buff`, include/uapi/linux/bpf.h).
struct Context {
    data: i16,
    data_end: i16,
}

const XDP: Context = Context { data: 0, data_end: 4 };
const SKB: Context = Context { data: 76, data_end: 80 };
const SKB_LEN: i16 = 0;

/// How far a packet pointer can go (`MAX_PACKET_OFF`, kernel/bpf/verifier.c).
const MAX_PACKET_OFFSET: u64 = 0xffff;
/// A mask that lets more than this through would eat up the pointer's way; then compare.
const MASK_MAX: u16 = 4095;

fn context(hook: Hook) -> Context {
    match hook {
        Hook::Xdp => XDP,
        Hook::TcIngress | Hook::TcEgress => SKB,
    }
}

impl Isel<'_> {
    /// The entry block: the context, the packet's ends, scratch memory.
    pub(super) fn prologue(&mut self) {
        self.builder.place(self.current);
        self.keep_context();
        match self.options.hook {
            Hook::TcIngress | Hook::TcEgress if self.function == 0 => self.pull(),
            _ => self.load_ends(self.data, self.data_end),
        }
        self.open_scratch();
        self.open_space();
        self.place_foreign();
        if let Some(part) = (self.function as usize).checked_sub(1).map(|nth| &self.parts.list[nth]) {
            return self.enter_part(part);
        }
        let first = self.machine_block(crate::ir::Block(0));
        self.jump(first);
    }

    /// Takes the context from `r1`. Where there are calls it moves out of their way at once: left to
    /// itself the allocator does so on each way to a call.
    fn keep_context(&mut self) {
        let mut blocks = self.program.blocks.iter();
        let calls = |block: &BlockData| {
            let changes = matches!(
                block.end,
                Terminator::Decap { .. }
                    | Terminator::Send(_)
                    | Terminator::Forward(_)
                    | Terminator::Refuse(_)
                    | Terminator::Echo(_)
                    | Terminator::SynAck(_)
            );
            changes || block.insts.iter().any(|inst| may_call(&inst.op))
        };
        let calls = !self.parts.list.is_empty() || blocks.any(calls);
        let first = if calls { self.builder.vreg() } else { self.context };
        let operand = Operand::reg_fixed_def(first, physical(Reg::R1));
        self.emit(Kind::Context, &[operand]);
        if calls {
            let kept = Operand::reg_fixed_def(self.context, physical(Reg::R6));
            self.emit(Kind::Copy, &[kept, Operand::reg_use(first)]);
        }
    }

    pub(super) fn load_ends(&mut self, data: VReg, data_end: VReg) {
        let Context { data: start, data_end: end } = context(self.options.hook);
        for (def, offset) in [(data, start), (data_end, end)] {
            let operands = [Operand::reg_def(def), Operand::reg_use(self.context)];
            self.emit(Kind::Load(Size::W, offset), &operands);
        }
    }

    pub(super) fn jump(&mut self, to: Block) {
        self.emit(Kind::Jump, &[]);
        self.builder.blocks[self.current.index()].successors = vec![to];
    }

    pub(super) fn branch(&mut self, kind: Kind, operands: &[Operand], then: Block, other: Block) {
        self.emit(kind, operands);
        self.builder.blocks[self.current.index()].successors = vec![then, other];
    }

    /// Makes what the program reads linear. A failing pull leaves the linear part as it was.
    fn pull(&mut self) {
        let wanted = self.reach();
        if wanted == 0 {
            return self.load_ends(self.data, self.data_end);
        }
        let [short, slow, fetch, ready] = [true, true, true, false].map(|cold| self.builder.block(cold));
        let (quick, whole) = (self.builder.block(false), self.builder.block(true));
        let (data, end) = (self.builder.vreg(), self.builder.vreg());
        self.load_ends(data, end);
        let last = self.alu_imm(Width::W64, AluOp::Add, data, wanted as i32);
        let operands = [Operand::reg_use(last), Operand::reg_use(end)];
        self.branch(Kind::Branch(Cond::Gt, Width::W64, None), &operands, short, quick);
        self.open(quick);
        self.jump_with(ready, &[data, end]);

        self.open(short);
        let linear = self.alu(Width::W64, AluOp::Sub, end, data);
        let len = self.load(Size::W, self.context, SKB_LEN);
        let operands = [Operand::reg_use(linear), Operand::reg_use(len)];
        self.branch(Kind::Branch(Cond::Ge, Width::W64, None), &operands, whole, slow);
        self.open(whole);
        self.jump_with(ready, &[data, end]);

        self.open(slow);
        // The smaller of both without a branch's block: pulling 0 bytes asks for the linear part,
        // so the constant is used only where the packet has that much.
        let wanted_reg = self.constant(wanted);
        let (all, part) = (self.builder.block(true), self.builder.block(true));
        let operands = [Operand::reg_use(len), Operand::reg_use(wanted_reg)];
        self.branch(Kind::Branch(Cond::Lt, Width::W64, None), &operands, all, part);
        self.open(all);
        self.jump_with(fetch, &[len]);
        self.open(part);
        self.jump_with(fetch, &[wanted_reg]);

        self.open(fetch);
        let amount = self.param(fetch);
        let operands = [
            Operand::reg_fixed_use(self.context, physical(Reg::R1)),
            Operand::reg_fixed_use(amount, physical(Reg::R2)),
        ];
        self.emit(Kind::Call(helpers::SKB_PULL_DATA), &operands);
        let (data, end) = (self.builder.vreg(), self.builder.vreg());
        self.load_ends(data, end);
        self.jump_with(ready, &[data, end]);

        self.open(ready);
        self.builder.blocks[ready.index()].params = vec![self.data, self.data_end];
    }

    pub(super) fn open(&mut self, block: Block) {
        self.builder.place(block);
        self.current = block;
    }

    fn param(&mut self, block: Block) -> VReg {
        let vreg = self.builder.vreg();
        self.builder.blocks[block.index()].params.push(vreg);
        vreg
    }

    pub(super) fn jump_with(&mut self, to: Block, args: &[VReg]) {
        self.jump(to);
        self.builder.blocks[self.current.index()].args = args.to_vec();
    }

    /// How many bytes of the packet the program can look at; all, where it loops.
    fn reach(&self) -> u64 {
        let program = self.program;
        if program.blocks.iter().any(|block| block.loop_bound.is_some()) {
            return MAX_PACKET_OFFSET;
        }
        let mut reach = vec![0u64; program.values.len()];
        let mut most = 0;
        for block in &self.analysis.graph.order {
            let data = &program[*block];
            for inst in &data.insts {
                let Some(result) = inst.result else { continue };
                reach[result.index()] = match inst.op {
                    Op::Skip { cursor, bytes } => reach[cursor.index()] + u64::from(bytes),
                    Op::Advance { cursor, max, .. } => reach[cursor.index()] + u64::from(max),
                    Op::Detour { max, .. } => u64::from(max),
                    _ => 0,
                };
            }
            if let Terminator::Fits { cursor, bytes, .. } = data.end {
                most = most.max(reach[cursor.index()] + u64::from(bytes));
            }
            data.end.targets(|target| {
                for (param, arg) in program[target.block].params.iter().zip(&target.args) {
                    reach[param.index()] = reach[param.index()].max(reach[arg.index()]);
                }
            });
        }
        most.min(MAX_PACKET_OFFSET)
    }

    pub(super) fn advance(&mut self, cursor: Value, by: Value, max: u16, result: Value) {
        let (base, delta) = self.cursor(cursor);
        if let Some(constant) = self.analysis.constant(by) {
            let delta = delta + constant.min(u64::from(max)) as i32;
            return self.place(result, Place::Cursor(base, delta));
        }
        let by_reg = self.value(by);
        let bounded = match self.analysis.known_bound(by) {
            Some(bound) if bound <= u64::from(max) => by_reg,
            _ => self.bound(by_reg, max),
        };
        let moved = self.alu(Width::W64, AluOp::Add, base, bounded);
        self.place(result, Place::Cursor(moved, delta));
    }

    /// The distance of two packet pointers is any number to the verifier; and a fresh start has none
    /// of the ranges that the one at hand may have got on one way and not on another.
    pub(super) fn detour(&mut self, cursor: Value, max: u16, result: Value) {
        let (base, delta) = self.cursor(cursor);
        let start = self.load(Size::W, self.context, context(self.options.hook).data);
        let distance = self.alu(Width::W64, AluOp::Sub, base, start);
        let distance =
            if delta == 0 { distance } else { self.alu_imm(Width::W64, AluOp::Add, distance, delta) };
        let bounded = self.bound(distance, max);
        let moved = self.alu(Width::W64, AluOp::Add, start, bounded);
        self.place(result, Place::Cursor(moved, 0));
    }

    /// A value that is at most `max`, in a way that the verifier sees.
    fn bound(&mut self, value: VReg, max: u16) -> VReg {
        let mask = (u32::from(max) + 1).next_power_of_two() - 1;
        if mask <= u32::from(MASK_MAX) {
            self.alu_imm(Width::W64, AluOp::And, value, mask as i32)
        } else {
            self.in_place(Kind::Bound(u32::from(max)), value)
        }
    }

    pub(super) fn load_packet(&mut self, cursor: Value, offset: u16, bytes: u8, result: Value) {
        let (base, delta) = self.cursor(cursor);
        let offset = self.near(i64::from(delta) + i64::from(offset));
        let size = super::sets::size_of(u32::from(bytes));
        let loaded = self.load(size, base, offset);
        let swap = bytes > 1 && self.analysis.raw(result).is_none();
        let vreg = if swap { self.big_endian(size, loaded) } else { loaded };
        self.place(result, Place::Register(vreg));
    }

    fn near(&mut self, bytes: i64) -> i16 {
        i16::try_from(bytes).unwrap_or_else(|_| {
            self.error = Some(CodegenError::PacketOffset { bytes });
            0
        })
    }

    pub(super) fn offset(&mut self, cursor: Value, result: Value) {
        let (base, delta) = self.cursor(cursor);
        let vreg = if base == self.data {
            self.constant(delta as u64)
        } else {
            let distance = self.alu(Width::W64, AluOp::Sub, base, self.data);
            match delta {
                0 => distance,
                delta => self.alu_imm(Width::W64, AluOp::Add, distance, delta),
            }
        };
        self.place(result, Place::Register(vreg));
    }

    /// The length of the frame.
    pub(super) fn frame_len(&mut self, result: Value) {
        let len = self.counted_len();
        self.place(result, Place::Register(len));
    }

    /// The length of the frame from the context: two loads are better than two pointers kept for so
    /// long, of which the verifier would remember on every way how far they may be read.
    pub(super) fn counted_len(&mut self) -> VReg {
        match self.options.hook {
            Hook::TcIngress | Hook::TcEgress => self.load(Size::W, self.context, SKB_LEN),
            Hook::Xdp if self.options.multi_buffer() => self.shared(Shared::FrameLen, Isel::buffer_len),
            Hook::Xdp => self.shared(Shared::FrameLen, |isel| {
                let end = isel.load(Size::W, isel.context, XDP.data_end);
                let data = isel.load(Size::W, isel.context, XDP.data);
                isel.alu(Width::W64, AluOp::Sub, end, data)
            }),
        }
    }

    fn buffer_len(&mut self) -> VReg {
        let len = self.builder.vreg();
        let operands = [
            Operand::reg_fixed_def(len, physical(Reg::R0)),
            Operand::reg_fixed_use(self.context, physical(Reg::R1)),
        ];
        self.emit(Kind::Call(helpers::XDP_GET_BUFF_LEN), &operands);
        len
    }
}

/// Whether the operation may call a helper.
fn may_call(op: &Op) -> bool {
    matches!(
        op,
        Op::Count { .. }
            | Op::InSet { .. }
            | Op::InTable { .. }
            | Op::Take { .. }
            | Op::Capture { .. }
            | Op::Draw { .. }
            | Op::Cookie { .. }
            | Op::FrameLen
    )
}

impl Emitter<'_> {
    /// `r0` = the frame's length. Loses `r1`–`r5`.
    pub(super) fn frame_len(&mut self, context: Reg) {
        match self.hook {
            Hook::TcIngress | Hook::TcEgress => {
                self.asm.emit(Insn::load(Size::W, Reg::R0, context, SKB_LEN));
            }
            Hook::Xdp if self.frags => {
                self.asm.emit(Insn::mov(Reg::R1, context));
                self.asm.emit(Insn::Call(helpers::XDP_GET_BUFF_LEN));
            }
            Hook::Xdp => {
                self.asm.emit(Insn::load(Size::W, Reg::R0, context, XDP.data_end));
                self.asm.emit(Insn::load(Size::W, Reg::R1, context, XDP.data));
                self.asm.emit(Insn::alu(AluOp::Sub, Reg::R0, Reg::R1));
            }
        }
    }
}

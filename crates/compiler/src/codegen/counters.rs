//! `Count`: packets and bytes in the per-CPU array `counters`.
//!
//! A value of the map is a chunk of 256 slots, `{ u64 packets, u64 bytes }` each: slot `n` is slot
//! `n % 256` of entry `n / 256`. One look-up serves a chunk, and everything that it dominates.
//! Where too many statements count to share a few look-ups, a global function does: the kernel patches each
//! look-up into the program, which costs it the program's length, so that ten thousand of them took it half a minute.
//! Increments are plain: a CPU's values are written by nobody else, and neither XDP nor tc is
//! interrupted by another run on the same CPU.

use super::emit::{Emitter, FRAME};
use super::isel::{Isel, Shared};
use super::machine::{Kind, physical};
use regalloc2::{Operand, VReg};
use weir_bpf::asm::Label;
use weir_bpf::insn::{AluOp, Cond, Insn, MapId, Reg, Size, Width};
use weir_bpf::map::{MapDef, MapKind, MapType};
use weir_bpf::target::Feature;

/// Slots in one value of the map: 4 KiB, so that policies with a few hundred statements need one
/// look-up, and far below the 32 KiB that per-CPU values may have.
pub const SLOTS: u32 = 256;
/// Room for 4,096 slots at least, so that a policy can grow and keep its map.
const ENTRIES_MIN: u32 = 16;
/// Where on the stack the index of a [`Kind::LookupAt`] stands.
pub(super) const INDEX: i16 = -8;
/// With more chunks than this each pointer would only crowd the stack.
pub(super) const SHARED_CHUNKS: usize = 6;

/// More instructions that count, each with a look-up of its own, are calls.
const MANY: usize = SHARED_CHUNKS * SLOTS as usize;

pub(super) fn map(counters: u32) -> MapDef {
    let slot = MapType::structure("counter", [("packets", MapType::U64), ("bytes", MapType::U64)]);
    let entries = counters.div_ceil(SLOTS).next_power_of_two().max(ENTRIES_MIN);
    let value = MapType::array(slot, SLOTS);
    MapDef::new("counters", MapKind::PerCpuArray, MapType::U32, value, entries)
}

/// A look-up in an array by a constant index that is in bounds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Lookup {
    pub(super) map: MapId,
    pub(super) index: u32,
}

impl Isel<'_> {
    pub(super) fn count(&mut self, counter: u32) {
        let Some(map) = self.maps.counters else {
            return;
        };
        if self.analysis.counts > MANY && self.options.target.has(Feature::GlobalFunctions) {
            let slot = self.constant(u64::from(counter));
            let operands = [
                Operand::reg_fixed_use(self.context, physical(Reg::R1)),
                Operand::reg_fixed_use(slot, physical(Reg::R2)),
            ];
            self.below = self.below.max(FRAME);
            return self.emit(Kind::CallCount, &operands);
        }
        let chunk = counter / SLOTS;
        let base = self.shared(Shared::Chunk(chunk), |isel| isel.lookup(Lookup { map, index: chunk }));
        self.count_in(base, (counter % SLOTS * 16) as i16);
    }

    /// Counts for a slot that only a run knows.
    pub(super) fn count_at(&mut self, map: MapId, counter: VReg) {
        let chunk = self.alu_imm(Width::W64, AluOp::Rsh, counter, SLOTS.trailing_zeros() as i32);
        self.builder.reserve(8);
        self.store_vreg(Size::W, INDEX, chunk);
        let chunk = self.builder.vreg();
        self.emit(Kind::LookupAt(map), &[Operand::reg_fixed_def(chunk, physical(Reg::R0))]);
        let slot = self.alu_imm(Width::W64, AluOp::And, counter, SLOTS as i32 - 1);
        let offset = self.alu_imm(Width::W64, AluOp::Lsh, slot, 4);
        let base = self.alu(Width::W64, AluOp::Add, chunk, offset);
        self.count_in(base, 0);
    }

    pub(super) fn count_in(&mut self, base: VReg, offset: i16) {
        let packets = self.load(Size::DW, base, offset);
        let more = self.alu_imm(Width::W64, AluOp::Add, packets, 1);
        self.store(Size::DW, base, offset, more);
        let len = self.counted_len();
        let bytes = self.load(Size::DW, base, offset + 8);
        let more = self.alu(Width::W64, AluOp::Add, bytes, len);
        self.store(Size::DW, base, offset + 8, more);
    }

    /// The value's address; `null` cannot happen and ends the program.
    pub(super) fn lookup(&mut self, lookup: Lookup) -> VReg {
        let result = self.builder.vreg();
        self.builder.reserve(8);
        let operand = Operand::reg_fixed_def(result, physical(Reg::R0));
        self.emit(Kind::Lookup(lookup), &[operand]);
        result
    }
}

impl Emitter<'_> {
    /// The function: `r1` the context, `r2` the slot.
    ///
    /// `r6` = context, `r7` = slot, `r8` = the frame's length.
    pub(super) fn count_function(&mut self, count: Label) {
        let Some(map) = self.maps.counters else { return };
        self.shared_function("count", 2, count);
        let none = self.asm.label();
        self.asm.emit(Insn::mov(Reg::R6, Reg::R1));
        self.asm.emit(Insn::mov(Reg::R7, Reg::R2));
        self.frame_len(Reg::R6);
        self.asm.emit(Insn::mov(Reg::R8, Reg::R0));
        self.asm.emit(Insn::mov(Reg::R1, Reg::R7));
        self.asm.emit(Insn::alu(AluOp::Rsh, Reg::R1, SLOTS.trailing_zeros() as i32));
        self.asm.emit(Insn::store(Size::W, Reg::R10, INDEX, Reg::R1));
        self.lookup(map, INDEX);
        self.asm.branch(Cond::Eq, Width::W64, Reg::R0, 0, none);
        self.asm.emit(Insn::alu(AluOp::And, Reg::R7, SLOTS as i32 - 1));
        self.asm.emit(Insn::alu(AluOp::Lsh, Reg::R7, 4));
        self.asm.emit(Insn::alu(AluOp::Add, Reg::R0, Reg::R7));
        self.asm.emit(Insn::load(Size::DW, Reg::R1, Reg::R0, 0));
        self.asm.emit(Insn::alu(AluOp::Add, Reg::R1, 1));
        self.asm.emit(Insn::store(Size::DW, Reg::R0, 0, Reg::R1));
        self.asm.emit(Insn::load(Size::DW, Reg::R1, Reg::R0, 8));
        self.asm.emit(Insn::alu(AluOp::Add, Reg::R1, Reg::R8));
        self.asm.emit(Insn::store(Size::DW, Reg::R0, 8, Reg::R1));
        self.asm.bind(none);
        self.asm.emit(Insn::mov(Reg::R0, 0));
        self.asm.emit(Insn::Exit);
    }
}

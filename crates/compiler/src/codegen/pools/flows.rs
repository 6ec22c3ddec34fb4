//! Which backend a flow gets, in instructions: the slot's, or what `flow` finds.

use super::{ALIVE, BACKENDS, BUSY, CONFIRMED, FLAGS, LINES, Layout, MOVED, RECORD_SHIFT, SECOND, WAY, WAYS};
use crate::codegen::counters::INDEX;
use crate::codegen::emit::{Emitter, FRAME};
use crate::codegen::isel::Isel;
use crate::codegen::machine::{Kind, physical};
use crate::ir::{Inst, PoolRef, Value};
use regalloc2::{Block, Operand, VReg};
use weir_bpf::asm::Label;
use weir_bpf::insn::{AluOp, AtomicOp, Cond, Insn, MapId, Reg, Size, Width};
use weir_bpf::target::Feature;
use weir_pool::slots::SAME;

/// Seconds (of 2^30 ns) for which a flow is kept of which only the first packet came.
const HALF: i32 = 4;

/// Ways that a flow can be written to, as they are tried.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Room {
    /// Free ones.
    Free,
    /// Those of flows that give way.
    Taken,
}

/// What `flow` must know of its pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::codegen) struct FlowSite {
    pub(in crate::codegen) pool: PoolRef,
    pub(in crate::codegen) map: MapId,
    pub(in crate::codegen) layout: Layout,
    /// For how many seconds (of 2^30 ns) flows may be silent and keep their place, if all are remembered.
    pub(in crate::codegen) silence: Option<i32>,
}

/// A time in seconds of 2^30 ns, as the difference of two that were rounded down must be at least.
fn seconds(nanoseconds: u64) -> i32 {
    i32::try_from(nanoseconds.div_ceil(1 << SECOND) + 1).unwrap_or(i32::MAX)
}

impl Isel<'_> {
    pub(in crate::codegen) fn pick(
        &mut self,
        inst: &Inst,
        pool: PoolRef,
        (hash, begins): (Value, Value),
        held: Option<Value>,
    ) {
        let decl = &self.program.pools[pool.index()];
        let (layout, map) = (Layout::of(decl), self.maps.pools[pool.index()]);
        let site = FlowSite { pool, map, layout, silence: decl.silence.map(seconds) };
        let [hash, begins] = [hash, begins].map(|value| self.value(value));
        let met = self.builder.block(false);
        held.into_iter().for_each(|held| self.stay(pool, layout, held, met));
        let high = self.alu_imm(Width::W64, AluOp::Rsh, hash, 32);
        let scaled = self.alu_imm(Width::W64, AluOp::Mul, high, layout.slots as i32);
        let slot = self.alu_imm(Width::W64, AluOp::Rsh, scaled, 32);
        let offset = self.alu_imm(Width::W64, AluOp::Lsh, slot, 2);
        let slots = self.section(map, layout.slots());
        let place = self.alu(Width::W64, AluOp::Add, slots, offset);
        let word = self.load(Size::W, place, 0);
        let result = match inst.result {
            Some(result) => self.define(result),
            None => self.builder.vreg(),
        };
        self.builder.blocks[met.index()].params.push(result);
        if site.silence.is_none() {
            self.slot_alone(word, met);
        }
        let found = self.call_flow(site, hash, word, begins);
        self.jump_with(met, &[found]);
        self.open(met);
        let counted = self.count_backend(self.maps.backends[pool.index()], result, begins);
        self.picked.extend(inst.result.map(|backend| (backend, counted)));
    }

    /// Takes the slot's backend where that decides alone; else goes on.
    fn slot_alone(&mut self, word: VReg, met: Block) {
        let now = self.alu_imm(Width::W64, AluOp::And, word, 0xffff);
        let before = self.alu_imm(Width::W64, AluOp::Rsh, word, 16);
        let [settled, open] = [false, true].map(|cold| self.builder.block(cold));
        let operands = [Operand::reg_use(now), Operand::reg_use(before)];
        self.branch(Kind::Branch(Cond::Eq, Width::W64, None), &operands, settled, open);
        self.open(settled);
        self.jump_with(met, &[now]);
        self.open(open);
    }

    /// A flow that is held by a backend that is alive stays there.
    fn stay(&mut self, pool: PoolRef, layout: Layout, held: Value, met: Block) {
        let (_, flags) = self.record(pool, layout, held);
        let (stays, other) = (self.builder.block(false), self.builder.block(false));
        let alive = Kind::Branch(Cond::Set, Width::W64, Some(ALIVE.into()));
        self.branch(alive, &[Operand::reg_use(flags)], stays, other);
        self.open(stays);
        let held = self.value(held);
        self.jump_with(met, &[held]);
        self.open(other);
    }

    /// Counts for a backend; where that stands.
    fn count_backend(&mut self, map: MapId, number: VReg, begins: VReg) -> VReg {
        self.builder.reserve(8);
        self.store_vreg(Size::W, INDEX, number);
        let counted = self.builder.vreg();
        self.emit(Kind::LookupAt(map), &[Operand::reg_fixed_def(counted, physical(Reg::R0))]);
        self.count_in(counted, 0);
        let flows = self.load(Size::DW, counted, 16);
        let more = self.alu(Width::W64, AluOp::Add, flows, begins);
        self.store(Size::DW, counted, 16, more);
        counted
    }

    fn call_flow(&mut self, site: FlowSite, hash: VReg, word: VReg, begins: VReg) -> VReg {
        let found = self.builder.vreg();
        let operands = [
            Operand::reg_fixed_def(found, physical(Reg::R0)),
            Operand::reg_fixed_use(hash, physical(Reg::R1)),
            Operand::reg_fixed_use(word, physical(Reg::R2)),
            Operand::reg_fixed_use(begins, physical(Reg::R3)),
        ];
        self.emit(Kind::Flow(site), &operands);
        self.below = self.below.max(FRAME);
        found
    }

    /// The address of a byte of a data section.
    pub(in crate::codegen) fn section(&mut self, map: MapId, offset: u32) -> VReg {
        let def = self.builder.vreg();
        self.emit(Kind::Section(map, offset), &[Operand::reg_def(def)]);
        def
    }
}

/// Where a way's word stands.
const WORD: i16 = 8;

impl Emitter<'_> {
    /// The function: `r1` the hash, `r2` the slot's word, `r3` whether the flow begins; `r0` = the number of its backend.
    ///
    /// | register | holds |
    /// |---|---|
    /// | `r1` | the first line, then the second one |
    /// | `r5` | a way |
    /// | `r6` | the tag |
    /// | `r7` | the slot's word |
    /// | `r8` | whether the flow begins |
    /// | `r9` | the time in 2^30 ns, shifted to its place in a flow's word |
    pub(in crate::codegen) fn flow_function(&mut self, site: &FlowSite, start: Label) {
        self.asm.function(&format!("flow_{}", site.pool.0), 3, start);
        for (to, from) in [(Reg::R6, Reg::R1), (Reg::R7, Reg::R2), (Reg::R8, Reg::R3)] {
            self.asm.emit(Insn::mov(to, from));
        }
        self.asm.emit(Insn::alu(AluOp::Or, Reg::R6, 2));
        self.clock();
        self.asm.emit(Insn::mov(Reg::R9, Reg::R0));
        self.asm.emit(Insn::alu(AluOp::Rsh, Reg::R9, SECOND));
        self.asm.emit(Insn::alu(AluOp::Lsh, Reg::R9, 32));
        let (found, unknown, full) = (self.asm.label(), self.asm.label(), self.asm.label());
        for nth in 0..2 {
            self.flow_line(site, nth);
            self.ways(|emitter, offset| {
                let next = emitter.asm.label();
                emitter.asm.emit(Insn::load(Size::DW, Reg::R0, Reg::R1, offset));
                emitter.asm.branch(Cond::Ne, Width::W64, Reg::R0, Reg::R6, next);
                emitter.way(offset);
                emitter.asm.jump(found);
                emitter.asm.bind(next);
            });
        }
        self.remember(site, unknown, full);
        self.asm.bind(found);
        self.found(site);
        self.asm.bind(full);
        self.asm.bind(unknown);
        self.unknown();
        self.asm.emit(Insn::Exit);
    }

    /// `r1` = the first line or the second one. Loses `r2`.
    fn flow_line(&mut self, site: &FlowSite, nth: i32) {
        let FlowSite { map, layout, .. } = *site;
        self.asm.emit(Insn::mov(Reg::R2, Reg::R6));
        self.asm.emit(Insn::alu(AluOp::Rsh, Reg::R2, LINES[nth as usize]));
        self.asm.emit(Insn::alu(AluOp::And, Reg::R2, layout.lines as i32 - 1));
        self.asm.emit(Insn::alu(AluOp::Lsh, Reg::R2, 6));
        self.asm.emit(Insn::LdMapValue { dst: Reg::R1, map, off: layout.flows() });
        self.asm.emit(Insn::alu(AluOp::Add, Reg::R1, Reg::R2));
    }

    fn ways(&mut self, mut each: impl FnMut(&mut Self, i16)) {
        for way in 0..WAYS {
            each(self, (way * WAY) as i16);
        }
    }

    /// `r5` = a way of the line.
    fn way(&mut self, offset: i16) {
        self.asm.emit(Insn::mov(Reg::R5, Reg::R1));
        self.asm.emit(Insn::alu(AluOp::Add, Reg::R5, i32::from(offset)));
    }

    /// `r0` = whose flows those are that no one remembers. Loses `r1`.
    fn unknown(&mut self) {
        let other = self.asm.label();
        self.asm.emit(Insn::mov(Reg::R0, Reg::R7));
        self.asm.emit(Insn::alu(AluOp::Rsh, Reg::R0, 16));
        self.asm.branch(Cond::Ne, Width::W64, Reg::R0, i32::from(SAME), other);
        self.now(Reg::R0);
        self.asm.bind(other);
    }

    fn now(&mut self, to: Reg) {
        self.asm.emit(Insn::mov(to, Reg::R7));
        self.asm.emit(Insn::alu(AluOp::And, to, 0xffff));
    }

    /// One more flow had to move. Loses `r1`, `r2`.
    pub(in crate::codegen) fn count_moved(&mut self, pool: MapId) {
        self.asm.emit(Insn::LdMapValue { dst: Reg::R1, map: pool, off: MOVED });
        self.asm.emit(Insn::mov(Reg::R2, 1));
        let (op, size) = (AtomicOp::Add, Size::DW);
        self.asm.emit(Insn::Atomic { op, fetch: false, size, base: Reg::R1, off: 0, src: Reg::R2 });
    }

    /// The way in `r5` is the flow's: returns the backend that it names, or the slot's new one if that is dead.
    fn found(&mut self, site: &FlowSite) {
        let FlowSite { map, layout, .. } = *site;
        let (dead, fine) = (self.asm.label(), self.asm.label());
        self.asm.emit(Insn::load(Size::DW, Reg::R4, Reg::R5, WORD));
        self.asm.emit(Insn::mov(Reg::R0, Reg::R4));
        self.asm.emit(Insn::alu(AluOp::And, Reg::R0, 0xffff));
        self.asm.branch(Cond::Gt, Width::W64, Reg::R0, i32::from(layout.max), dead);
        self.asm.emit(Insn::mov(Reg::R2, Reg::R0));
        self.asm.emit(Insn::alu(AluOp::Lsh, Reg::R2, RECORD_SHIFT));
        self.asm.emit(Insn::LdMapValue { dst: Reg::R1, map, off: BACKENDS });
        self.asm.emit(Insn::alu(AluOp::Add, Reg::R1, Reg::R2));
        self.asm.emit(Insn::load(Size::B, Reg::R1, Reg::R1, FLAGS));
        self.asm.branch(Cond::Set, Width::W64, Reg::R1, i32::from(ALIVE), fine);
        self.asm.bind(dead);
        self.count_moved(map);
        self.now(Reg::R0);
        self.asm.bind(fine);
        // What was seen of the flow stays; what is seen now is added. Most packets of a second add nothing, and need not
        // take the line from other processors.
        let (begins, same) = (self.asm.label(), self.asm.label());
        self.asm.emit(Insn::mov(Reg::R3, Reg::R4));
        self.asm.emit(Insn::alu(AluOp::And, Reg::R4, CONFIRMED as i32));
        self.asm.branch(Cond::Ne, Width::W64, Reg::R8, 0, begins);
        self.asm.emit(Insn::alu(AluOp::Or, Reg::R4, CONFIRMED as i32));
        self.asm.bind(begins);
        self.asm.emit(Insn::alu(AluOp::Or, Reg::R4, Reg::R9));
        self.asm.emit(Insn::alu(AluOp::Or, Reg::R4, Reg::R0));
        self.asm.branch(Cond::Eq, Width::W64, Reg::R3, Reg::R4, same);
        self.asm.emit(Insn::store(Size::DW, Reg::R5, WORD, Reg::R4));
        self.asm.bind(same);
        self.asm.emit(Insn::Exit);
    }

    /// Writes down a flow that is not there, and returns its backend; goes to `unknown` if nothing is to be remembered of it, and to
    /// `full` if there is no room. One that began before is known to be no flood's if only those are remembered that a change
    /// would move; else it must show by a second packet.
    fn remember(&mut self, site: &FlowSite, unknown: Label, full: Label) {
        let begins = self.asm.label();
        self.unknown();
        self.now(Reg::R3);
        if site.silence.is_none() {
            self.asm.branch(Cond::Eq, Width::W64, Reg::R0, Reg::R3, unknown);
        }
        let seen = if site.silence.is_none() { CONFIRMED } else { 0 };
        self.asm.emit(Insn::mov(Reg::R4, seen as i32));
        self.asm.branch(Cond::Eq, Width::W64, Reg::R8, 0, begins);
        self.asm.emit(Insn::mov(Reg::R4, 0));
        self.asm.emit(Insn::mov(Reg::R0, Reg::R3));
        self.asm.bind(begins);
        // Without a backend there is nothing to remember.
        let nobody = self.asm.label();
        self.asm.branch(Cond::Eq, Width::W64, Reg::R0, 0, nobody);
        self.asm.emit(Insn::alu(AluOp::Or, Reg::R4, Reg::R0));
        self.asm.emit(Insn::alu(AluOp::Or, Reg::R4, Reg::R9));
        for room in [Room::Free, Room::Taken] {
            for nth in 0..2 {
                self.flow_line(site, nth);
                self.ways(|emitter, offset| emitter.claim_way(site, offset, room));
            }
        }
        self.asm.jump(full);
        self.asm.bind(nobody);
        self.asm.emit(Insn::Exit);
    }

    /// Puts the word in `r4` into a way of the line in `r1`, and returns its backend. Loses `r0`, `r2`, `r3`, `r5`.
    fn claim_way(&mut self, site: &FlowSite, offset: i16, room: Room) {
        let next = self.asm.label();
        self.asm.emit(Insn::load(Size::DW, Reg::R0, Reg::R1, offset));
        match room {
            Room::Free => self.asm.branch(Cond::Ne, Width::W64, Reg::R0, 0, next),
            Room::Taken => {
                self.asm.branch(Cond::Le, Width::W64, Reg::R0, BUSY as i32, next);
                self.gives_way(site, offset, next);
            }
        }
        if self.target.has(Feature::Atomics) {
            self.asm.emit(Insn::mov(Reg::R2, Reg::R0));
            self.asm.emit(Insn::mov(Reg::R3, BUSY as i32));
            let (op, size) = (AtomicOp::CmpXchg, Size::DW);
            self.asm.emit(Insn::Atomic { op, fetch: true, size, base: Reg::R1, off: offset, src: Reg::R3 });
            self.asm.branch(Cond::Ne, Width::W64, Reg::R0, Reg::R2, next);
        }
        self.asm.emit(Insn::store(Size::DW, Reg::R1, offset + WORD, Reg::R4));
        self.asm.emit(Insn::store(Size::DW, Reg::R1, offset, Reg::R6));
        self.asm.emit(Insn::mov(Reg::R0, Reg::R4));
        self.asm.emit(Insn::alu(AluOp::And, Reg::R0, 0xffff));
        self.asm.emit(Insn::Exit);
        self.asm.bind(next);
    }

    /// Goes to `next` if the flow of a way keeps its place: it is half open for too short a time; or it is more than that, and was
    /// not silent for long enough, or only flows are remembered that would move. Loses `r2`, `r3`, `r5`.
    fn gives_way(&mut self, site: &FlowSite, offset: i16, next: Label) {
        self.asm.emit(Insn::load(Size::DW, Reg::R2, Reg::R1, offset + WORD));
        if site.silence.is_none() {
            self.asm.branch(Cond::Set, Width::W64, Reg::R2, CONFIRMED as i32, next);
        }
        self.asm.emit(Insn::mov(Reg::R5, Reg::R2));
        self.asm.emit(Insn::alu(AluOp::Rsh, Reg::R5, 32));
        self.asm.emit(Insn::mov(Reg::R3, Reg::R9));
        self.asm.emit(Insn::alu(AluOp::Rsh, Reg::R3, 32));
        self.asm.emit(Insn::alu(AluOp::Sub, Reg::R3, Reg::R5));
        self.asm.branch(Cond::Lt, Width::W64, Reg::R3, HALF, next);
        if let Some(silence) = site.silence {
            let half_open = self.asm.label();
            self.asm.emit(Insn::alu(AluOp::And, Reg::R2, CONFIRMED as i32));
            self.asm.branch(Cond::Eq, Width::W64, Reg::R2, 0, half_open);
            self.asm.branch(Cond::Lt, Width::W64, Reg::R3, silence, next);
            self.asm.bind(half_open);
        }
    }
}

//! The functions `draw` and `tell`.

use super::{SampleMaps, record, row, sampler};
use crate::codegen::Hook;
use crate::codegen::counters::SLOTS;
use crate::codegen::emit::{Emitter, FRAME};
use crate::ir::SampleDecl;
use crate::sampling::{BITS, ODDS, STRETCH};
use weir_bpf::asm::Label;
use weir_bpf::helpers;
use weir_bpf::insn::{AluOp, Cond, Insn, Reg, Size, Width};

/// Stack slots, from `r10`.
const INDEX: i16 = -8;
const BASE: i16 = -16;
const TIME: i16 = -16;
const VERDICT: i16 = -24;
const DECIDER: i16 = -32;
/// Bytes of stack of `tell`.
pub(super) const TELL_FRAME: u32 = FRAME;

/// `BPF_RB_NO_WAKEUP`.
const NO_WAKEUP: i32 = 1;
/// Where the interface's number is: `ingress_ifindex` of `xdp_md`, `ifindex` of `__sk_buff`.
const XDP_INTERFACE: i16 = 12;
const SKB_INTERFACE: i16 = 40;

impl Emitter<'_> {
    /// The function: asks chance for the statement of number `r2`, of which no packets are left to let by.
    ///
    /// `r6` = the number, `r7` = its sampler, `r8` = its odds in use.
    pub(in crate::codegen) fn draw_function(&mut self, maps: &SampleMaps, samples: usize, start: Label) {
        self.shared_function("draw", 2, start);
        let (none, drawn) = (self.asm.label(), self.asm.label());
        self.asm.emit(Insn::mov(Reg::R6, Reg::R2));
        self.asm.branch(Cond::Ge, Width::W64, Reg::R6, samples as i32, none);
        self.lookup_index(maps.sampling, INDEX, 0);
        self.asm.branch(Cond::Eq, Width::W64, Reg::R0, 0, none);
        self.asm.emit(Insn::store(Size::DW, Reg::R10, BASE, Reg::R0));
        self.asm.emit(Insn::mov(Reg::R1, Reg::R6));
        self.asm.emit(Insn::alu(AluOp::Mul, Reg::R1, sampler::BYTES as i32));
        self.asm.emit(Insn::mov(Reg::R7, Reg::R0));
        self.asm.emit(Insn::alu(AluOp::Add, Reg::R7, Reg::R1));
        self.asm.emit(Insn::LdMapValue { dst: Reg::R8, map: maps.section, off: 0 });
        self.asm.emit(Insn::mov(Reg::R1, Reg::R6));
        self.asm.emit(Insn::alu(AluOp::Mul, Reg::R1, row::BYTES as i32));
        self.asm.emit(Insn::alu(AluOp::Add, Reg::R8, Reg::R1));
        self.asm.emit(Insn::load(Size::DW, Reg::R1, Reg::R8, row::USED as i16));
        self.asm.branch(Cond::Gt, Width::W64, Reg::R1, 1, none);
        self.asm.emit(Insn::alu(AluOp::Mul, Reg::R1, ODDS as i32));
        self.asm.emit(Insn::alu(AluOp::Add, Reg::R8, Reg::R1));
        self.asm.emit(Insn::load(Size::W, Reg::R1, Reg::R7, of(sampler::ONE_IN)));
        self.asm.branch(Cond::Ne, Width::W64, Reg::R1, 0, drawn);
        // The stretch is over, and nothing in it was drawn: this packet is the first of the next one.
        self.ask();
        self.asm.emit(Insn::load(Size::DW, Reg::R1, Reg::R7, of(sampler::LEFT)));
        self.asm.branch(Cond::Eq, Width::W64, Reg::R1, 0, drawn);
        self.asm.emit(Insn::alu(AluOp::Sub, Reg::R1, 1));
        self.asm.emit(Insn::store(Size::DW, Reg::R7, of(sampler::LEFT), Reg::R1));
        self.asm.jump(none);
        self.asm.bind(drawn);
        self.asm.emit(Insn::load(Size::W, Reg::R1, Reg::R7, of(sampler::ONE_IN)));
        self.asm.emit(Insn::store(Size::W, Reg::R7, of(sampler::DRAWN), Reg::R1));
        self.ask();
        self.asm.emit(Insn::load(Size::DW, Reg::R2, Reg::R10, BASE));
        self.asm.emit(Insn::mov(Reg::R1, 1));
        self.asm.emit(Insn::alu(AluOp::Lsh, Reg::R1, Reg::R6));
        self.asm.emit(Insn::load(Size::DW, Reg::R3, Reg::R2, 0));
        self.asm.emit(Insn::alu(AluOp::Or, Reg::R3, Reg::R1));
        self.asm.emit(Insn::store(Size::DW, Reg::R2, 0, Reg::R3));
        self.asm.bind(none);
        self.asm.emit(Insn::mov(Reg::R0, 0));
        self.asm.emit(Insn::Exit);
    }

    /// `Sampler::ask` for the sampler in `r7` by the odds in `r8`. Loses `r0`–`r5`, `r9`.
    ///
    /// No bit is branched on: the kernel's verifier would go through all combinations of them.
    fn ask(&mut self) {
        let (blank, asked) = (self.asm.label(), self.asm.label());
        let at = |place: usize| (row::ODDS_AT + place) as i16;
        self.roll();
        self.asm.emit(Insn::load(Size::DW, Reg::R1, Reg::R8, at(8)));
        self.asm.branch(Cond::Lt, Width::W64, Reg::R0, Reg::R1, blank);
        self.asm.emit(Insn::mov(Reg::R9, 0));
        for bit in (0..BITS).rev() {
            self.roll();
            self.asm.emit(Insn::load(Size::DW, Reg::R1, Reg::R8, at(16 + 8 * bit)));
            self.asm.emit(Insn::alu(AluOp::Sub, Reg::R0, Reg::R1));
            self.asm.emit(Insn::alu(AluOp::Rsh, Reg::R0, 63));
            self.asm.emit(Insn::alu(AluOp::Lsh, Reg::R9, 1));
            self.asm.emit(Insn::alu(AluOp::Or, Reg::R9, Reg::R0));
        }
        self.asm.emit(Insn::store(Size::DW, Reg::R7, of(sampler::LEFT), Reg::R9));
        self.asm.emit(Insn::load(Size::W, Reg::R1, Reg::R8, at(0)));
        self.asm.emit(Insn::store(Size::W, Reg::R7, of(sampler::ONE_IN), Reg::R1));
        self.asm.emit(Insn::alu(AluOp::Add, Reg::R9, 1));
        self.asm.jump(asked);
        self.asm.bind(blank);
        self.asm.emit(Insn::mov(Reg::R9, STRETCH as i32));
        self.asm.emit(Insn::store(Size::DW, Reg::R7, of(sampler::LEFT), Reg::R9));
        self.asm.emit(Insn::store(Size::W, Reg::R7, of(sampler::ONE_IN), 0));
        self.asm.bind(asked);
        self.asm.emit(Insn::load(Size::DW, Reg::R1, Reg::R7, of(sampler::ASKED)));
        self.asm.emit(Insn::alu(AluOp::Add, Reg::R1, Reg::R9));
        self.asm.emit(Insn::store(Size::DW, Reg::R7, of(sampler::ASKED), Reg::R1));
    }

    /// `r0` = a random number of 32 bits. Loses `r1`–`r5`.
    fn roll(&mut self) {
        self.asm.emit(Insn::Call(helpers::GET_PRANDOM_U32));
        self.asm.emit(Insn::mov32(Reg::R0, Reg::R0));
    }

    /// The function: a record for each statement that has drawn the packet. `r1` the context, `r2` who decided, `r3` the
    /// verdict.
    ///
    /// `r6` = the context, `r7` = what is kept on this CPU, `r8` = the frame's length, `r9` = the record.
    pub(in crate::codegen) fn tell_function(
        &mut self,
        maps: &SampleMaps,
        samples: &[SampleDecl],
        start: Label,
    ) {
        self.shared_function("tell", 3, start);
        let none = self.asm.label();
        self.asm.emit(Insn::mov(Reg::R6, Reg::R1));
        self.asm.emit(Insn::store(Size::DW, Reg::R10, DECIDER, Reg::R2));
        self.asm.emit(Insn::store(Size::DW, Reg::R10, VERDICT, Reg::R3));
        self.frame_len(Reg::R6);
        self.asm.emit(Insn::mov(Reg::R8, Reg::R0));
        self.asm.emit(Insn::Call(helpers::KTIME_GET_NS));
        self.asm.emit(Insn::store(Size::DW, Reg::R10, TIME, Reg::R0));
        self.lookup_index(maps.sampling, INDEX, 0);
        self.asm.branch(Cond::Eq, Width::W64, Reg::R0, 0, none);
        self.asm.emit(Insn::mov(Reg::R7, Reg::R0));
        for (number, sample) in samples.iter().enumerate() {
            let next = self.asm.label();
            self.asm.emit(Insn::load(Size::DW, Reg::R1, Reg::R7, 0));
            self.asm.emit(Insn::alu(AluOp::And, Reg::R1, 1 << number));
            self.asm.branch(Cond::Eq, Width::W64, Reg::R1, 0, next);
            if !sample.shadow {
                self.hand_on(maps, number, sample);
            }
            self.add_to(sample.counter);
            self.asm.bind(next);
        }
        self.asm.emit(Insn::store(Size::DW, Reg::R7, 0, 0));
        self.asm.bind(none);
        self.asm.emit(Insn::mov(Reg::R0, 0));
        self.asm.emit(Insn::Exit);
    }

    fn hand_on(&mut self, maps: &SampleMaps, number: usize, sample: &SampleDecl) {
        let (lost, done) = (self.asm.label(), self.asm.label());
        let kept = sampler::AT + number * sampler::BYTES;
        let bytes = (record::HEADER + usize::from(sample.bytes)).next_multiple_of(8);
        self.asm.emit(Insn::LdMap { dst: Reg::R1, map: maps.ring });
        self.asm.emit(Insn::mov(Reg::R2, bytes as i32));
        self.asm.emit(Insn::mov(Reg::R3, 0));
        self.asm.emit(Insn::Call(helpers::RINGBUF_RESERVE));
        self.asm.branch(Cond::Eq, Width::W64, Reg::R0, 0, lost);
        self.asm.emit(Insn::mov(Reg::R9, Reg::R0));
        self.fill(kept, sample);
        self.copy_bytes(sample);
        self.asm.emit(Insn::mov(Reg::R1, Reg::R9));
        self.asm.emit(Insn::mov(Reg::R2, NO_WAKEUP));
        self.asm.emit(Insn::Call(helpers::RINGBUF_SUBMIT));
        self.asm.jump(done);
        self.asm.bind(lost);
        let at = (kept + sampler::LOST) as i16;
        self.asm.emit(Insn::load(Size::DW, Reg::R1, Reg::R7, at));
        self.asm.emit(Insn::alu(AluOp::Add, Reg::R1, 1));
        self.asm.emit(Insn::store(Size::DW, Reg::R7, at, Reg::R1));
        self.add_to(sample.lost);
        self.asm.bind(done);
    }

    /// All of the record in `r9` but the frame's bytes and how many they are. Loses `r0`–`r5`.
    fn fill(&mut self, kept: usize, sample: &SampleDecl) {
        let to = |size, place: usize, src| Insn::store(size, Reg::R9, place as i16, src);
        self.asm.emit(Insn::Call(helpers::GET_SMP_PROCESSOR_ID));
        self.asm.emit(to(Size::W, record::CPU, Reg::R0));
        for (slot, size, place) in [
            (TIME, Size::DW, record::TIME),
            (DECIDER, Size::W, record::DECIDER),
            (VERDICT, Size::W, record::VERDICT),
        ] {
            self.asm.emit(Insn::load(Size::DW, Reg::R1, Reg::R10, slot));
            self.asm.emit(to(size, place, Reg::R1));
        }
        self.asm.emit(to(Size::W, record::LENGTH, Reg::R8));
        self.asm.emit(Insn::store(Size::W, Reg::R9, record::STATEMENT as i16, sample.counter as i32));
        let interface = if self.hook == Hook::Xdp { XDP_INTERFACE } else { SKB_INTERFACE };
        self.asm.emit(Insn::load(Size::W, Reg::R1, Reg::R6, interface));
        self.asm.emit(to(Size::W, record::INTERFACE, Reg::R1));
        let from = |size, dst, place: usize| Insn::load(size, dst, Reg::R7, (kept + place) as i16);
        self.asm.emit(from(Size::W, Reg::R1, sampler::DRAWN));
        self.asm.emit(to(Size::W, record::ONE_IN, Reg::R1));
        self.asm.emit(from(Size::DW, Reg::R1, sampler::LOST));
        self.asm.emit(to(Size::DW, record::LOST, Reg::R1));
        // `Sampler::pool`: what chance was asked for, less what is to come.
        self.asm.emit(from(Size::DW, Reg::R1, sampler::ASKED));
        self.asm.emit(from(Size::DW, Reg::R2, sampler::LEFT));
        self.asm.emit(Insn::alu(AluOp::Sub, Reg::R1, Reg::R2));
        self.asm.emit(from(Size::W, Reg::R2, sampler::ONE_IN));
        self.asm.emit(Insn::Neg { width: Width::W64, dst: Reg::R2 });
        self.asm.emit(Insn::alu(AluOp::Rsh, Reg::R2, 63));
        self.asm.emit(Insn::alu(AluOp::Sub, Reg::R1, Reg::R2));
        self.asm.emit(to(Size::DW, record::POOL, Reg::R1));
    }

    /// The frame's first bytes to the record in `r9`.
    fn copy_bytes(&mut self, sample: &SampleDecl) {
        let (short, empty) = (self.asm.label(), self.asm.label());
        let most = i32::from(sample.bytes);
        self.asm.emit(Insn::mov(Reg::R4, Reg::R8));
        self.asm.branch(Cond::Lt, Width::W64, Reg::R4, most, short);
        self.asm.emit(Insn::mov(Reg::R4, most));
        self.asm.bind(short);
        self.asm.emit(Insn::store(Size::W, Reg::R9, record::CAPTURED as i16, Reg::R4));
        // The helpers' length is an `ARG_CONST_SIZE`: the verifier wants it to be at least 1.
        self.asm.branch(Cond::Eq, Width::W64, Reg::R4, 0, empty);
        self.asm.emit(Insn::mov(Reg::R1, Reg::R6));
        self.asm.emit(Insn::mov(Reg::R2, 0));
        self.asm.emit(Insn::mov(Reg::R3, Reg::R9));
        self.asm.emit(Insn::alu(AluOp::Add, Reg::R3, record::HEADER as i32));
        self.asm.emit(Insn::Call(match self.hook {
            Hook::Xdp => helpers::XDP_LOAD_BYTES,
            _ => helpers::SKB_LOAD_BYTES,
        }));
        self.asm.bind(empty);
    }

    /// Counts the packet. Loses `r0`–`r5`.
    fn add_to(&mut self, counter: u32) {
        let Some(map) = self.maps.counters else { return };
        let none = self.asm.label();
        self.lookup_index(map, INDEX, counter / SLOTS);
        self.asm.branch(Cond::Eq, Width::W64, Reg::R0, 0, none);
        let at = (counter % SLOTS * 16) as i16;
        self.asm.emit(Insn::load(Size::DW, Reg::R1, Reg::R0, at));
        self.asm.emit(Insn::alu(AluOp::Add, Reg::R1, 1));
        self.asm.emit(Insn::store(Size::DW, Reg::R0, at, Reg::R1));
        self.asm.emit(Insn::load(Size::DW, Reg::R1, Reg::R0, at + 8));
        self.asm.emit(Insn::alu(AluOp::Add, Reg::R1, Reg::R8));
        self.asm.emit(Insn::store(Size::DW, Reg::R0, at + 8, Reg::R1));
        self.asm.bind(none);
    }
}

/// Where a part of a sampler is, from `sampling`'s start and as many samplers on as the statement's number.
fn of(place: usize) -> i16 {
    (sampler::AT + place) as i16
}

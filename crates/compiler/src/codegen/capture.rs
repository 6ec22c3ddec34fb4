//! `Capture`: a copy of the frame, with what was decided about it, to the ring buffer `capture`.
//!
//! A record is [`RECORD`] bytes: `u64` time (`CLOCK_MONOTONIC`, ns), `u32` length of the frame, `u32`
//! bytes captured, `u32` statement, `u32` verdict (0 pass, 1 drop), then the bytes captured; the
//! rest of the record is whatever the ring held before. A full ring loses the capture and counts it
//! ([`Statistic::CapturesLost`](super::Statistic)).

use super::emit::Emitter;
use super::isel::Isel;
use super::machine::Kind;
use super::{CodegenError, Hook, Statistic};
use crate::ir::{Line, StatementId, Verdict};
use regalloc2::Operand;
use weir_bpf::helpers;
use weir_bpf::insn::{AluOp, Cond, Insn, Reg, Size, Width};
use weir_bpf::map::MapDef;
use weir_bpf::target::Feature;

/// Bytes before the frame's.
pub const HEADER: u32 = 24;
/// Bytes of the frame that a record holds.
pub const SNAPSHOT: u32 = 2048;
/// Bytes of a record.
pub const RECORD: u32 = HEADER + SNAPSHOT;
/// Some 2,000 records.
const RING: u32 = 4 << 20;

/// Stack slots, from `r10`: what must outlive calls.
const RECORD_AT: i16 = -8;
const LENGTH_AT: i16 = -16;
const TIME_AT: i16 = -24;
const INDEX_AT: i16 = -8;

pub(super) fn map() -> MapDef {
    MapDef::ring("capture", RING)
}

/// What a record says about its frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct CaptureSite {
    statement: StatementId,
    verdict: Verdict,
}

impl Isel<'_> {
    pub(super) fn capture(&mut self, statement: StatementId, verdict: Verdict) {
        self.builder.reserve(24);
        let context = Operand::reg_use_at_end(self.context);
        let site = CaptureSite { statement, verdict };
        self.emit(Kind::Capture(site), &[context]);
    }

    /// Whether the target has what captures need.
    pub(super) fn check_capture(&self) -> Result<(), CodegenError> {
        let needs = match self.options.hook {
            // `bpf_xdp_load_bytes` came with multi-buffer XDP.
            Hook::Xdp => &[Feature::RingBuf, Feature::XdpFrags][..],
            _ => &[Feature::RingBuf],
        };
        let missing = needs.iter().find(|f| !self.options.target.has(**f));
        match missing {
            Some(feature) if self.maps.capture.is_some() => {
                Err(CodegenError::Missing { feature: *feature, purpose: "capturing frames", line: Line(0) })
            }
            _ => Ok(()),
        }
    }
}

impl Emitter<'_> {
    /// Loses `r0`–`r5`; `context` is one of the others.
    pub(super) fn capture(&mut self, site: CaptureSite, context: Reg) {
        let (Some(ring), Some(statistics)) = (self.maps.capture, self.maps.statistics) else {
            return;
        };
        let (lost, done) = (self.asm.label(), self.asm.label());
        self.asm.emit(Insn::Call(helpers::KTIME_GET_NS));
        self.asm.emit(Insn::store(Size::DW, Reg::R10, TIME_AT, Reg::R0));
        self.frame_len(context);
        self.asm.emit(Insn::store(Size::DW, Reg::R10, LENGTH_AT, Reg::R0));
        self.asm.emit(Insn::LdMap { dst: Reg::R1, map: ring });
        self.asm.emit(Insn::mov(Reg::R2, RECORD as i32));
        self.asm.emit(Insn::mov(Reg::R3, 0));
        self.asm.emit(Insn::Call(helpers::RINGBUF_RESERVE));
        self.asm.branch(Cond::Eq, Width::W64, Reg::R0, 0, lost);
        self.asm.emit(Insn::store(Size::DW, Reg::R10, RECORD_AT, Reg::R0));
        self.fill_record(site);
        self.copy_frame(context);
        self.asm.emit(Insn::load(Size::DW, Reg::R1, Reg::R10, RECORD_AT));
        self.asm.emit(Insn::mov(Reg::R2, 0));
        self.asm.emit(Insn::Call(helpers::RINGBUF_SUBMIT));
        self.asm.jump(done);
        self.asm.bind(lost);
        self.count_statistic(statistics, Statistic::CapturesLost, INDEX_AT);
        self.asm.bind(done);
    }

    /// `r0` = the record; leaves the number of bytes to copy in `r4`.
    fn fill_record(&mut self, site: CaptureSite) {
        let store = |size, offset, src| Insn::store(size, Reg::R0, offset, src);
        let verdict = i32::from(site.verdict == Verdict::Drop);
        self.asm.emit(Insn::load(Size::DW, Reg::R1, Reg::R10, TIME_AT));
        self.asm.emit(store(Size::DW, 0, Reg::R1));
        self.asm.emit(Insn::load(Size::DW, Reg::R4, Reg::R10, LENGTH_AT));
        self.asm.emit(store(Size::W, 8, Reg::R4));
        self.asm.emit(Insn::store(Size::W, Reg::R0, 16, site.statement.0 as i32));
        self.asm.emit(Insn::store(Size::W, Reg::R0, 20, verdict));
        let short = self.asm.label();
        let most = SNAPSHOT as i32;
        self.asm.branch(Cond::Lt, Width::W64, Reg::R4, most, short);
        self.asm.emit(Insn::mov(Reg::R4, most));
        self.asm.bind(short);
        self.asm.emit(store(Size::W, 12, Reg::R4));
    }

    /// Copies `r4` bytes of the frame behind the header of the record in `r0`.
    fn copy_frame(&mut self, context: Reg) {
        let empty = self.asm.label();
        // The helpers' length is an `ARG_CONST_SIZE`: the verifier wants it to be at least 1.
        self.asm.branch(Cond::Eq, Width::W64, Reg::R4, 0, empty);
        self.asm.emit(Insn::mov(Reg::R3, Reg::R0));
        self.asm.emit(Insn::alu(AluOp::Add, Reg::R3, HEADER as i32));
        self.asm.emit(Insn::mov(Reg::R1, context));
        self.asm.emit(Insn::mov(Reg::R2, 0));
        self.asm.emit(Insn::Call(match self.hook {
            Hook::Xdp => helpers::XDP_LOAD_BYTES,
            _ => helpers::SKB_LOAD_BYTES,
        }));
        self.asm.bind(empty);
    }
}

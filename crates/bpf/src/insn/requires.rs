//! Which instructions need which kernel, and which combinations exist at all.

use super::{AluOp, AtomicOp, Cond, Insn, Reg, Size, Width};
use crate::target::Feature;

impl Insn {
    /// The feature that a target must have for this instruction.
    pub fn requires(&self) -> Option<Feature> {
        match *self {
            Insn::Alu { op: AluOp::Sdiv | AluOp::Smod, .. } => Some(Feature::SignedDivision),
            Insn::MovSx { .. } | Insn::LoadSx { .. } => Some(Feature::SignExtension),
            Insn::Bswap { .. } => Some(Feature::Bswap),
            Insn::Atomic { op: AtomicOp::Add, fetch: false, .. } => None,
            Insn::Atomic { .. } => Some(Feature::Atomics),
            Insn::LdMapValue { .. } => Some(Feature::GlobalData),
            Insn::LdFunc { .. } => Some(Feature::Loop),
            Insn::JaLong { .. } => Some(Feature::Gotol),
            Insn::CallLocal { .. } => Some(Feature::BpfToBpfCalls),
            Insn::Jump { width, cond, .. } => match (width, cond) {
                (Width::W32, _) => Some(Feature::Jmp32),
                (_, Cond::Lt | Cond::Le | Cond::Slt | Cond::Sle) => Some(Feature::ShortJumps),
                _ => None,
            },
            _ => None,
        }
    }

    /// Why no kernel takes this combination of fields, if none does.
    pub fn malformed(&self) -> Option<&'static str> {
        match *self {
            Insn::MovSx { width: Width::W32, from: Size::W | Size::DW, .. } => {
                Some("a 32-bit move extends 8 or 16 bits")
            }
            Insn::MovSx { from: Size::DW, .. } | Insn::LoadSx { size: Size::DW, .. } => {
                Some("64 bits have nothing to extend to, use the plain form")
            }
            Insn::Endian { size: Size::B, .. } | Insn::Bswap { size: Size::B, .. } => {
                Some("one byte has no order")
            }
            Insn::Atomic { size: Size::B | Size::H, .. } => Some("atomics work on 4 or 8 bytes"),
            Insn::Atomic { op: AtomicOp::Xchg | AtomicOp::CmpXchg, fetch: false, .. } => {
                Some("exchanges always fetch")
            }
            _ if self.writes() == Some(Reg::R10) => Some("`r10` is read-only"),
            _ => None,
        }
    }

    /// The register that the instruction itself writes; calls write `r0` and lose `r1`–`r5`.
    pub fn writes(&self) -> Option<Reg> {
        match *self {
            Insn::Alu { dst, .. }
            | Insn::Neg { dst, .. }
            | Insn::MovSx { dst, .. }
            | Insn::Endian { dst, .. }
            | Insn::Bswap { dst, .. }
            | Insn::Load { dst, .. }
            | Insn::LoadSx { dst, .. }
            | Insn::LdImm64 { dst, .. }
            | Insn::LdMap { dst, .. }
            | Insn::LdMapValue { dst, .. }
            | Insn::LdFunc { dst, .. } => Some(dst),
            Insn::Atomic { op: AtomicOp::CmpXchg, .. } => Some(Reg::R0),
            Insn::Atomic { fetch: true, src, .. } => Some(src),
            Insn::Call(_) | Insn::CallLocal { .. } | Insn::CallKfunc { .. } => Some(Reg::R0),
            _ => None,
        }
    }
}

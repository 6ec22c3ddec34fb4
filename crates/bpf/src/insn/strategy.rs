//! Random instructions for property tests.

use proptest::prelude::*;

use super::encode::{ATOMICS, CONDS};
use super::*;

fn reg() -> impl Strategy<Value = Reg> {
    proptest::sample::select(&Reg::ALL[..])
}

fn operand() -> impl Strategy<Value = Operand> {
    prop_oneof![
        reg().prop_map(Operand::Reg),
        any::<i32>().prop_map(Operand::Imm),
        (-3i32..3).prop_map(Operand::Imm),
    ]
}

fn width() -> impl Strategy<Value = Width> {
    prop_oneof![Just(Width::W32), Just(Width::W64)]
}

fn size() -> impl Strategy<Value = Size> {
    prop_oneof![Just(Size::B), Just(Size::H), Just(Size::W), Just(Size::DW)]
}

fn alu() -> impl Strategy<Value = Insn> {
    let ops: Vec<AluOp> = AluOp::all().collect();
    let op = proptest::sample::select(ops);
    prop_oneof![
        4 => (width(), op, reg(), operand()).prop_map(|(width, op, dst, src)| Insn::Alu {
            width, op, dst, src
        }),
        1 => (width(), reg()).prop_map(|(width, dst)| Insn::Neg { width, dst }),
        1 => (width(), size(), reg(), reg()).prop_map(|(width, from, dst, src)| Insn::MovSx {
            width, from, dst, src
        }),
        1 => (reg(), any::<bool>(), size()).prop_map(|(dst, big, size)| Insn::Endian {
            dst, to: if big { Order::Be } else { Order::Le }, size
        }),
        1 => (reg(), size()).prop_map(|(dst, size)| Insn::Bswap { dst, size }),
    ]
}

fn memory() -> impl Strategy<Value = Insn> {
    let atomic = proptest::sample::select(ATOMICS);
    prop_oneof![
        (size(), reg(), reg(), any::<i16>()).prop_map(|(size, dst, base, off)| Insn::Load {
            size,
            dst,
            base,
            off
        }),
        (size(), reg(), reg(), any::<i16>()).prop_map(|(size, dst, base, off)| Insn::LoadSx {
            size,
            dst,
            base,
            off
        }),
        (size(), reg(), any::<i16>(), operand()).prop_map(|(size, base, off, src)| Insn::Store {
            size,
            base,
            off,
            src
        }),
        (atomic, any::<bool>(), size(), reg(), any::<i16>(), reg()).prop_map(
            |((op, _, always), fetch, size, base, off, src)| Insn::Atomic {
                op,
                fetch: fetch || always,
                size,
                base,
                off,
                src
            }
        ),
    ]
}

fn control() -> impl Strategy<Value = Insn> {
    let cond = proptest::sample::select(CONDS);
    prop_oneof![
        3 => (cond, width(), reg(), operand(), any::<i16>()).prop_map(
            |((cond, _), width, dst, src, off)| Insn::Jump { cond, width, dst, src, off }
        ),
        1 => any::<i16>().prop_map(|off| Insn::Ja { off }),
        1 => any::<i32>().prop_map(|off| Insn::JaLong { off }),
        1 => (0u32..300).prop_map(Insn::Call),
        1 => any::<i32>().prop_map(|off| Insn::CallLocal { off }),
        1 => any::<i32>().prop_map(|btf_id| Insn::CallKfunc { btf_id }),
        1 => Just(Insn::Exit),
    ]
}

fn wide() -> impl Strategy<Value = Insn> {
    prop_oneof![
        (reg(), any::<u64>()).prop_map(|(dst, value)| Insn::LdImm64 { dst, value }),
        (reg(), any::<u32>()).prop_map(|(dst, map)| Insn::LdMap { dst, map: MapId(map) }),
        (reg(), any::<u32>(), any::<u32>()).prop_map(|(dst, map, off)| Insn::LdMapValue {
            dst,
            map: MapId(map),
            off
        }),
        (reg(), any::<i32>()).prop_map(|(dst, off)| Insn::LdFunc { dst, off }),
    ]
}

/// Any well-formed instruction.
pub(crate) fn insn() -> impl Strategy<Value = Insn> {
    prop_oneof![alu(), memory(), control(), wide()]
        .prop_filter("well-formed", |insn| matches!(insn.malformed(), None | Some("`r10` is read-only")))
}

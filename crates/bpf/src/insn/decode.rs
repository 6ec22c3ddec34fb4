//! Slots → typed instruction.

use std::fmt;

use super::encode::{
    ALU_END, ALU_MOV, ALU_NEG, ALU_OPS, ATOMICS, CONDS, FETCH, JMP_CALL, JMP_EXIT, JMP_JA, LD_IMM64, SIZES,
    SRC_REG, Slot, class, mode, pseudo,
};
use super::{AluOp, Insn, MapId, Operand, Order, Reg, Size, Width};

/// Bytes that are no instruction that this crate knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecodeError {
    /// The code's length is not a multiple of 8, or the second half of a 64-bit load is missing.
    Truncated {
        /// The slot where the code ends.
        slot: usize,
    },
    /// No such instruction.
    Unknown {
        /// Where, counted from 0.
        slot: usize,
        /// What stands there.
        found: Slot,
    },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DecodeError::Truncated { slot } => {
                write!(f, "slot {slot}: the code ends within an instruction")
            }
            DecodeError::Unknown { slot, found } => write!(
                f,
                "slot {slot}: no instruction has opcode 0x{:02x} with r{}, r{}, offset {}, immediate {}",
                found.code, found.dst, found.src, found.off, found.imm
            ),
        }
    }
}

impl std::error::Error for DecodeError {}

/// All instructions of little-endian code.
pub fn decode_all(bytes: &[u8]) -> Result<Vec<Insn>, DecodeError> {
    let (chunks, rest) = bytes.as_chunks::<8>();
    if !rest.is_empty() {
        return Err(DecodeError::Truncated { slot: chunks.len() });
    }
    let slots: Vec<Slot> = chunks.iter().map(|c| Slot::from_bytes(*c)).collect();
    let mut insns = Vec::with_capacity(slots.len());
    let mut at = 0;
    while at < slots.len() {
        let insn = decode(&slots, at)?;
        at += insn.slots();
        insns.push(insn);
    }
    Ok(insns)
}

/// The instruction that starts at slot `at`.
pub fn decode(slots: &[Slot], at: usize) -> Result<Insn, DecodeError> {
    let Some(&slot) = slots.get(at) else {
        return Err(DecodeError::Truncated { slot: at });
    };
    let unknown = DecodeError::Unknown { slot: at, found: slot };
    if slot.code == LD_IMM64 {
        let Some(&second) = slots.get(at + 1) else {
            return Err(DecodeError::Truncated { slot: at + 1 });
        };
        return wide(slot, second).ok_or(unknown);
    }
    let insn = match slot.code & 7 {
        class::LDX => load(slot),
        class::ST => store_imm(slot),
        class::STX => store_reg(slot),
        class::ALU => alu(slot, Width::W32),
        class::ALU64 => alu(slot, Width::W64),
        class::JMP => jump(slot, Width::W64),
        class::JMP32 => jump(slot, Width::W32),
        _ => None,
    };
    insn.ok_or(unknown)
}

fn wide(first: Slot, second: Slot) -> Option<Insn> {
    let dst = Reg::new(first.dst)?;
    let reserved = Slot { imm: second.imm, ..Slot::default() };
    if first.off != 0 || second != reserved {
        return None;
    }
    let (low, high) = (first.imm as u32, second.imm as u32);
    let map = MapId(low);
    match (first.src, high) {
        (pseudo::NONE, _) => Some(Insn::LdImm64 { dst, value: u64::from(high) << 32 | u64::from(low) }),
        (pseudo::MAP_FD, 0) => Some(Insn::LdMap { dst, map }),
        (pseudo::MAP_VALUE, off) => Some(Insn::LdMapValue { dst, map, off }),
        (pseudo::FUNC, 0) => Some(Insn::LdFunc { dst, off: first.imm }),
        _ => None,
    }
}

fn size(slot: Slot) -> Option<Size> {
    SIZES.iter().find(|row| row.1 == slot.code & 0x18).map(|row| row.0)
}

fn load(slot: Slot) -> Option<Insn> {
    let (dst, base, size, off) = (Reg::new(slot.dst)?, Reg::new(slot.src)?, size(slot)?, slot.off);
    match slot.code & 0xe0 {
        _ if slot.imm != 0 => None,
        mode::MEM => Some(Insn::Load { size, dst, base, off }),
        mode::MEMSX if size != Size::DW => Some(Insn::LoadSx { size, dst, base, off }),
        _ => None,
    }
}

fn store_imm(slot: Slot) -> Option<Insn> {
    (slot.code & 0xe0 == mode::MEM && slot.src == 0).then_some(Insn::Store {
        size: size(slot)?,
        base: Reg::new(slot.dst)?,
        off: slot.off,
        src: Operand::Imm(slot.imm),
    })
}

fn store_reg(slot: Slot) -> Option<Insn> {
    let (base, src, size, off) = (Reg::new(slot.dst)?, Reg::new(slot.src)?, size(slot)?, slot.off);
    match slot.code & 0xe0 {
        mode::MEM if slot.imm == 0 => Some(Insn::Store { size, base, off, src: Operand::Reg(src) }),
        mode::ATOMIC if matches!(size, Size::W | Size::DW) => {
            let fetch = slot.imm & FETCH != 0;
            let row = ATOMICS.iter().find(|row| row.1 == slot.imm & !FETCH)?;
            (fetch || !row.2).then_some(Insn::Atomic { op: row.0, fetch, size, base, off, src })
        }
        _ => None,
    }
}

fn alu(slot: Slot, width: Width) -> Option<Insn> {
    let dst = Reg::new(slot.dst)?;
    let by_reg = slot.code & SRC_REG != 0;
    match slot.code & 0xf0 {
        ALU_END => swap(slot, width),
        ALU_NEG => {
            (!by_reg && slot.src == 0 && slot.imm == 0 && slot.off == 0).then_some(Insn::Neg { width, dst })
        }
        ALU_MOV if by_reg && slot.off != 0 => {
            let from = bits(i32::from(slot.off))?;
            let fits = match width {
                Width::W32 => matches!(from, Size::B | Size::H),
                Width::W64 => from != Size::DW,
            };
            (fits && slot.imm == 0).then_some(Insn::MovSx { width, from, dst, src: Reg::new(slot.src)? })
        }
        code => {
            let row = ALU_OPS.iter().find(|row| (row.1, row.2) == (code, slot.off))?;
            Some(Insn::Alu { width, op: row.0, dst, src: operand(slot)? })
        }
    }
}

fn swap(slot: Slot, width: Width) -> Option<Insn> {
    let dst = Reg::new(slot.dst)?;
    let size = bits(slot.imm).filter(|size| *size != Size::B)?;
    let big = slot.code & SRC_REG != 0;
    match width {
        _ if slot.src != 0 || slot.off != 0 => None,
        Width::W32 => Some(Insn::Endian { dst, to: if big { Order::Be } else { Order::Le }, size }),
        Width::W64 => (!big).then_some(Insn::Bswap { dst, size }),
    }
}

fn bits(bits: i32) -> Option<Size> {
    [Size::B, Size::H, Size::W, Size::DW].into_iter().find(|size| size.bits() as i32 == bits)
}

fn jump(slot: Slot, width: Width) -> Option<Insn> {
    let code = slot.code & 0xf0;
    let unused = slot.dst == 0 && slot.off == 0 && slot.code & SRC_REG == 0;
    match (code, width) {
        (JMP_JA, Width::W64) => (slot.code & SRC_REG == 0 && (slot.dst, slot.src, slot.imm) == (0, 0, 0))
            .then_some(Insn::Ja { off: slot.off }),
        (JMP_JA, Width::W32) => (unused && slot.src == 0).then_some(Insn::JaLong { off: slot.imm }),
        (JMP_CALL, Width::W64) if unused => call(slot),
        (JMP_EXIT, Width::W64) => (unused && slot.src == 0 && slot.imm == 0).then_some(Insn::Exit),
        _ => {
            let row = CONDS.iter().find(|row| row.1 == code)?;
            Some(Insn::Jump {
                cond: row.0,
                width,
                dst: Reg::new(slot.dst)?,
                src: operand(slot)?,
                off: slot.off,
            })
        }
    }
}

fn call(slot: Slot) -> Option<Insn> {
    match slot.src {
        pseudo::NONE => Some(Insn::Call(slot.imm as u32)),
        pseudo::CALL_LOCAL => Some(Insn::CallLocal { off: slot.imm }),
        pseudo::CALL_KFUNC => Some(Insn::CallKfunc { btf_id: slot.imm }),
        _ => None,
    }
}

fn operand(slot: Slot) -> Option<Operand> {
    if slot.code & SRC_REG == 0 {
        return (slot.src == 0).then_some(Operand::Imm(slot.imm));
    }
    (slot.imm == 0).then_some(Operand::Reg(Reg::new(slot.src)?))
}

impl AluOp {
    /// All operations.
    pub fn all() -> impl Iterator<Item = AluOp> {
        ALU_OPS.iter().map(|row| row.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::strategy::insn;
    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]
        #[test]
        fn what_is_encoded_decodes(insn in insn()) {
            let slots: Vec<Slot> = insn.encode().collect();
            prop_assert_eq!(slots.len(), insn.slots());
            prop_assert_eq!(decode(&slots, 0), Ok(insn));
        }

        #[test]
        fn what_decodes_encodes_to_the_same_bytes(bytes in any::<[u8; 16]>(), code in any::<u8>()) {
            let mut bytes = bytes;
            bytes[0] = code;
            bytes[8..12].fill(0);
            let slots = [
                Slot::from_bytes(bytes[..8].try_into().unwrap()),
                Slot::from_bytes(bytes[8..].try_into().unwrap()),
            ];
            if let Ok(insn) = decode(&slots, 0) {
                let again: Vec<Slot> = insn.encode().collect();
                prop_assert_eq!(&again[..], &slots[..again.len()]);
            }
        }
    }

    #[test]
    fn ends_are_named() {
        assert_eq!(decode_all(&[0x18, 0, 0, 0, 0, 0, 0, 0]), Err(DecodeError::Truncated { slot: 1 }));
        let error = decode_all(&[0xff; 8]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "slot 0: no instruction has opcode 0xff with r15, r15, offset -1, immediate -1"
        );
    }
}

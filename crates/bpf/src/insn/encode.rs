//! Typed instruction → slots. The tables below are RFC 9669, sections 3 to 5; the decoder reads
//! the same tables backwards.

use super::{AluOp, AtomicOp, Cond, Insn, Operand, Order, Reg, Size, Width};

/// Instruction classes, the low 3 bits of an opcode.
pub(super) mod class {
    pub(crate) const LD: u8 = 0x00;
    pub(crate) const LDX: u8 = 0x01;
    pub(crate) const ST: u8 = 0x02;
    pub(crate) const STX: u8 = 0x03;
    pub(crate) const ALU: u8 = 0x04;
    pub(crate) const JMP: u8 = 0x05;
    pub(crate) const JMP32: u8 = 0x06;
    pub(crate) const ALU64: u8 = 0x07;
}

/// Modes of loads and stores, the high 3 bits of an opcode.
pub(super) mod mode {
    pub(crate) const IMM: u8 = 0x00;
    pub(crate) const MEM: u8 = 0x60;
    pub(crate) const MEMSX: u8 = 0x80;
    pub(crate) const ATOMIC: u8 = 0xc0;
}

/// Bit 3 of arithmetic and jumps: the second operand is a register.
pub(super) const SRC_REG: u8 = 0x08;
pub(super) const ALU_NEG: u8 = 0x80;
pub(super) const ALU_END: u8 = 0xd0;
pub(super) const ALU_MOV: u8 = 0xb0;
pub(super) const JMP_JA: u8 = 0x00;
pub(super) const JMP_CALL: u8 = 0x80;
pub(super) const JMP_EXIT: u8 = 0x90;
pub(super) const LD_IMM64: u8 = class::LD | mode::IMM | 0x18;
/// Bit 0 of an atomic's immediate: the old value is fetched.
pub(super) const FETCH: i32 = 0x01;

/// What the source register field of a 64-bit load says about the immediate.
pub(super) mod pseudo {
    pub(crate) const NONE: u8 = 0;
    pub(crate) const MAP_FD: u8 = 1;
    pub(crate) const MAP_VALUE: u8 = 2;
    pub(crate) const FUNC: u8 = 4;
    pub(crate) const CALL_LOCAL: u8 = 1;
    pub(crate) const CALL_KFUNC: u8 = 2;
}

/// Operation, code in the high 4 bits, offset field (1 = signed form of division).
pub(super) const ALU_OPS: &[(AluOp, u8, i16)] = &[
    (AluOp::Add, 0x00, 0),
    (AluOp::Sub, 0x10, 0),
    (AluOp::Mul, 0x20, 0),
    (AluOp::Div, 0x30, 0),
    (AluOp::Sdiv, 0x30, 1),
    (AluOp::Or, 0x40, 0),
    (AluOp::And, 0x50, 0),
    (AluOp::Lsh, 0x60, 0),
    (AluOp::Rsh, 0x70, 0),
    (AluOp::Mod, 0x90, 0),
    (AluOp::Smod, 0x90, 1),
    (AluOp::Xor, 0xa0, 0),
    (AluOp::Mov, 0xb0, 0),
    (AluOp::Arsh, 0xc0, 0),
];

pub(super) const CONDS: &[(Cond, u8)] = &[
    (Cond::Eq, 0x10),
    (Cond::Gt, 0x20),
    (Cond::Ge, 0x30),
    (Cond::Set, 0x40),
    (Cond::Ne, 0x50),
    (Cond::Sgt, 0x60),
    (Cond::Sge, 0x70),
    (Cond::Lt, 0xa0),
    (Cond::Le, 0xb0),
    (Cond::Slt, 0xc0),
    (Cond::Sle, 0xd0),
];

pub(super) const SIZES: &[(Size, u8)] =
    &[(Size::W, 0x00), (Size::H, 0x08), (Size::B, 0x10), (Size::DW, 0x18)];

/// Operation, immediate, whether fetching is part of the operation.
pub(super) const ATOMICS: &[(AtomicOp, i32, bool)] = &[
    (AtomicOp::Add, 0x00, false),
    (AtomicOp::Or, 0x40, false),
    (AtomicOp::And, 0x50, false),
    (AtomicOp::Xor, 0xa0, false),
    (AtomicOp::Xchg, 0xe0, true),
    (AtomicOp::CmpXchg, 0xf0, true),
];

/// Eight bytes of code: opcode, registers, offset, immediate.
#[allow(missing_docs)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Slot {
    pub code: u8,
    pub dst: u8,
    pub src: u8,
    pub off: i16,
    pub imm: i32,
}

impl Slot {
    /// The little-endian form: `code, src:4|dst:4, off, imm`.
    pub fn to_bytes(self) -> [u8; 8] {
        let mut bytes = [self.code, self.src << 4 | self.dst & 15, 0, 0, 0, 0, 0, 0];
        bytes[2..4].copy_from_slice(&self.off.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.imm.to_le_bytes());
        bytes
    }

    /// The reverse of [`Slot::to_bytes`].
    pub fn from_bytes(bytes: [u8; 8]) -> Slot {
        Slot {
            code: bytes[0],
            dst: bytes[1] & 15,
            src: bytes[1] >> 4,
            off: i16::from_le_bytes([bytes[2], bytes[3]]),
            imm: i32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
        }
    }
}

/// The one or two slots of an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slots {
    slots: [Slot; 2],
    next: usize,
    len: usize,
}

impl Slots {
    fn one(slot: Slot) -> Slots {
        Slots { slots: [slot, Slot::default()], next: 0, len: 1 }
    }

    fn two(dst: Reg, src: u8, low: u32, high: u32) -> Slots {
        let first = Slot { code: LD_IMM64, dst: dst.number(), src, off: 0, imm: low as i32 };
        let second = Slot { imm: high as i32, ..Slot::default() };
        Slots { slots: [first, second], next: 0, len: 2 }
    }
}

impl Iterator for Slots {
    type Item = Slot;

    fn next(&mut self) -> Option<Slot> {
        let slot = self.slots[..self.len].get(self.next).copied();
        self.next += 1;
        slot
    }
}

impl Insn {
    /// The slots of this instruction, [`Insn::slots`] many.
    ///
    /// Combinations that do not exist (a sign-extending load of 8 bytes, a byte swap of one
    /// byte) encode as the nearest that does; the assembler refuses them.
    pub fn encode(&self) -> Slots {
        match *self {
            Insn::LdImm64 { dst, value } => Slots::two(dst, pseudo::NONE, value as u32, (value >> 32) as u32),
            Insn::LdMap { dst, map } => Slots::two(dst, pseudo::MAP_FD, map.0, 0),
            Insn::LdMapValue { dst, map, off } => Slots::two(dst, pseudo::MAP_VALUE, map.0, off),
            Insn::LdFunc { dst, off } => Slots::two(dst, pseudo::FUNC, off as u32, 0),
            _ => Slots::one(self.slot()),
        }
    }

    fn slot(&self) -> Slot {
        match *self {
            Insn::Alu { width, op, dst, src } => {
                let (code, off) = alu_code(op);
                with_operand(alu_class(width) | code, dst, src, off)
            }
            Insn::Neg { width, dst } => plain(alu_class(width) | ALU_NEG, dst.number(), 0, 0, 0),
            Insn::MovSx { width, from, dst, src } => {
                let code = alu_class(width) | ALU_MOV | SRC_REG;
                plain(code, dst.number(), src.number(), from.bits() as i16, 0)
            }
            Insn::Endian { dst, to, size } => {
                let order = if to == Order::Be { SRC_REG } else { 0 };
                let code = class::ALU | ALU_END | order;
                plain(code, dst.number(), 0, 0, size.bits() as i32)
            }
            Insn::Bswap { dst, size } => {
                let code = class::ALU64 | ALU_END;
                plain(code, dst.number(), 0, 0, size.bits() as i32)
            }
            Insn::Load { size, dst, base, off } => memory(class::LDX | mode::MEM, size, dst, base, off),
            Insn::LoadSx { size, dst, base, off } => memory(class::LDX | mode::MEMSX, size, dst, base, off),
            Insn::Store { size, base, off, src: Operand::Reg(src) } => {
                memory(class::STX | mode::MEM, size, base, src, off)
            }
            Insn::Store { size, base, off, src: Operand::Imm(imm) } => {
                let code = class::ST | mode::MEM | size_code(size);
                plain(code, base.number(), 0, off, imm)
            }
            Insn::Atomic { op, fetch, size, base, off, src } => {
                let slot = memory(class::STX | mode::ATOMIC, size, base, src, off);
                Slot { imm: atomic_code(op, fetch), ..slot }
            }
            Insn::Jump { cond, width, dst, src, off } => {
                with_operand(jump_class(width) | cond_code(cond), dst, src, off)
            }
            Insn::Ja { off } => plain(class::JMP | JMP_JA, 0, 0, off, 0),
            Insn::JaLong { off } => plain(class::JMP32 | JMP_JA, 0, 0, 0, off),
            Insn::Call(helper) => plain(class::JMP | JMP_CALL, 0, 0, 0, helper as i32),
            Insn::CallLocal { off } => plain(class::JMP | JMP_CALL, 0, pseudo::CALL_LOCAL, 0, off),
            Insn::CallKfunc { btf_id } => plain(class::JMP | JMP_CALL, 0, pseudo::CALL_KFUNC, 0, btf_id),
            Insn::Exit
            | Insn::LdImm64 { .. }
            | Insn::LdMap { .. }
            | Insn::LdMapValue { .. }
            | Insn::LdFunc { .. } => plain(class::JMP | JMP_EXIT, 0, 0, 0, 0),
        }
    }
}

fn plain(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> Slot {
    Slot { code, dst, src, off, imm }
}

fn with_operand(code: u8, dst: Reg, src: Operand, off: i16) -> Slot {
    match src {
        Operand::Reg(src) => plain(code | SRC_REG, dst.number(), src.number(), off, 0),
        Operand::Imm(imm) => plain(code, dst.number(), 0, off, imm),
    }
}

fn memory(code: u8, size: Size, dst: Reg, src: Reg, off: i16) -> Slot {
    plain(code | size_code(size), dst.number(), src.number(), off, 0)
}

fn alu_class(width: Width) -> u8 {
    match width {
        Width::W32 => class::ALU,
        Width::W64 => class::ALU64,
    }
}

fn jump_class(width: Width) -> u8 {
    match width {
        Width::W32 => class::JMP32,
        Width::W64 => class::JMP,
    }
}

fn alu_code(op: AluOp) -> (u8, i16) {
    let row = ALU_OPS.iter().find(|row| row.0 == op);
    row.map_or((0, 0), |row| (row.1, row.2))
}

fn cond_code(cond: Cond) -> u8 {
    CONDS.iter().find(|row| row.0 == cond).map_or(0, |row| row.1)
}

fn size_code(size: Size) -> u8 {
    SIZES.iter().find(|row| row.0 == size).map_or(0, |row| row.1)
}

fn atomic_code(op: AtomicOp, fetch: bool) -> i32 {
    let row = ATOMICS.iter().find(|row| row.0 == op);
    let (code, always) = row.map_or((0, false), |row| (row.1, row.2));
    if fetch || always { code | FETCH } else { code }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes as `llvm-mc -triple bpfel -mcpu=v3 -show-encoding` and clang 14 print them.
    #[test]
    fn known_bytes() {
        let bytes = |insn: Insn| -> Vec<u8> { insn.encode().flat_map(Slot::to_bytes).collect() };
        let r = Reg::R1;
        assert_eq!(bytes(Insn::mov(Reg::R0, r)), [0xbf, 0x10, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes(Insn::alu(AluOp::Mul, Reg::R0, 3)), [0x27, 0, 0, 0, 3, 0, 0, 0]);
        assert_eq!(bytes(Insn::load(Size::W, r, r, 0)), [0x61, 0x11, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes(Insn::Exit), [0x95, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(
            bytes(Insn::LdImm64 { dst: r, value: 0x1122_3344_5566_7788 }),
            [0x18, 1, 0, 0, 0x88, 0x77, 0x66, 0x55, 0, 0, 0, 0, 0x44, 0x33, 0x22, 0x11]
        );
        assert_eq!(bytes(Insn::CallLocal { off: -1 }), [0x85, 0x10, 0, 0, 255, 255, 255, 255]);
    }
}

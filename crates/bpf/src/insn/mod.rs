//! Typed eBPF instructions (RFC 9669) and their 8-byte encoding.
//!
//! Jump distances are what the instruction set says they are: slots counted from the
//! instruction that follows. Programs with names instead of distances are written with
//! [`crate::asm::Assembler`].

mod decode;
mod encode;
mod requires;
#[cfg(test)]
pub(crate) mod strategy;

pub use decode::{DecodeError, decode, decode_all};
pub use encode::{Slot, Slots};

/// A register: `r0` result, `r1`–`r5` arguments (lost in a call), `r6`–`r9` kept, `r10` the frame.
#[allow(missing_docs)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Reg {
    R0,
    R1,
    R2,
    R3,
    R4,
    R5,
    R6,
    R7,
    R8,
    R9,
    R10,
}

impl Reg {
    /// All registers, in order.
    pub const ALL: [Reg; 11] =
        [Reg::R0, Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5, Reg::R6, Reg::R7, Reg::R8, Reg::R9, Reg::R10];

    /// The register with this number, 0 to 10.
    pub fn new(number: u8) -> Option<Reg> {
        Reg::ALL.get(usize::from(number)).copied()
    }

    /// 0 to 10.
    pub fn number(self) -> u8 {
        self as u8
    }
}

/// The width of an arithmetic or comparing instruction; 32-bit results are zero-extended.
#[allow(missing_docs)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Width {
    W32,
    W64,
}

/// The size of a memory access.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Size {
    /// One byte.
    B,
    /// Two bytes.
    H,
    /// Four bytes.
    W,
    /// Eight bytes.
    DW,
}

impl Size {
    /// 1, 2, 4 or 8.
    pub fn bytes(self) -> usize {
        match self {
            Size::B => 1,
            Size::H => 2,
            Size::W => 4,
            Size::DW => 8,
        }
    }

    /// 8, 16, 32 or 64.
    pub fn bits(self) -> u32 {
        self.bytes() as u32 * 8
    }
}

/// Arithmetic with two operands: `dst = dst op src`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AluOp {
    /// Wrapping sum.
    Add,
    /// Wrapping difference.
    Sub,
    /// Wrapping product.
    Mul,
    /// Unsigned quotient; 0 when the divisor is 0.
    Div,
    /// Bitwise or.
    Or,
    /// Bitwise and.
    And,
    /// Left shift; the count is masked to the width.
    Lsh,
    /// Logical right shift; the count is masked to the width.
    Rsh,
    /// Unsigned remainder; the dividend when the divisor is 0.
    Mod,
    /// Bitwise exclusive or.
    Xor,
    /// Copy.
    Mov,
    /// Arithmetic right shift; the count is masked to the width.
    Arsh,
    /// Signed quotient (cpu v4).
    Sdiv,
    /// Signed remainder (cpu v4).
    Smod,
}

/// The relation that a conditional jump asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cond {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
    /// Unsigned greater.
    Gt,
    /// Unsigned greater or equal.
    Ge,
    /// Unsigned less (cpu v2).
    Lt,
    /// Unsigned less or equal (cpu v2).
    Le,
    /// Signed greater.
    Sgt,
    /// Signed greater or equal.
    Sge,
    /// Signed less (cpu v2).
    Slt,
    /// Signed less or equal (cpu v2).
    Sle,
    /// Any common bit set; the one relation that has no opposite.
    Set,
}

impl Cond {
    /// The relation that holds exactly when this one does not; `Set` has none.
    pub fn inverse(self) -> Option<Cond> {
        Some(match self {
            Cond::Eq => Cond::Ne,
            Cond::Ne => Cond::Eq,
            Cond::Gt => Cond::Le,
            Cond::Le => Cond::Gt,
            Cond::Ge => Cond::Lt,
            Cond::Lt => Cond::Ge,
            Cond::Sgt => Cond::Sle,
            Cond::Sle => Cond::Sgt,
            Cond::Sge => Cond::Slt,
            Cond::Slt => Cond::Sge,
            Cond::Set => return None,
        })
    }
}

/// A second operand: a register, or 32 bits that are sign-extended where 64 are needed.
#[allow(missing_docs)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operand {
    Reg(Reg),
    Imm(i32),
}

impl From<Reg> for Operand {
    fn from(reg: Reg) -> Operand {
        Operand::Reg(reg)
    }
}

impl From<i32> for Operand {
    fn from(imm: i32) -> Operand {
        Operand::Imm(imm)
    }
}

/// A byte order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Order {
    /// Big endian, the order of the network.
    Be,
    /// Little endian.
    Le,
}

/// The atomic operations of RFC 9669, section 5.3.
#[allow(missing_docs)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AtomicOp {
    Add,
    Or,
    And,
    Xor,
    /// Always fetches.
    Xchg,
    /// Compares with `r0`, always fetches into `r0`.
    CmpXchg,
}

/// A map of the object: its place in [`crate::object::Object::maps`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MapId(pub u32);

/// One instruction. Fields named `off` of jumps and calls count slots from the next instruction.
#[allow(missing_docs)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Insn {
    /// `dst = dst op src`.
    Alu { width: Width, op: AluOp, dst: Reg, src: Operand },
    /// `dst = -dst`.
    Neg { width: Width, dst: Reg },
    /// `dst = (s8|s16|s32)src`, cpu v4; 32 bits only with [`Width::W64`], never `Size::DW`.
    MovSx { width: Width, from: Size, dst: Reg, src: Reg },
    /// `dst = be16|be32|be64|le16|le32|le64 dst`: converts between the machine's order and `to`,
    /// and clears what is above. `size` is never `Size::B`.
    Endian { dst: Reg, to: Order, size: Size },
    /// `dst = bswap16|32|64 dst`, cpu v4. `size` is never `Size::B`.
    Bswap { dst: Reg, size: Size },
    /// `dst = *(size *)(base + off)`, zero-extended.
    Load { size: Size, dst: Reg, base: Reg, off: i16 },
    /// `dst = *(size *)(base + off)`, sign-extended, cpu v4; never `Size::DW`.
    LoadSx { size: Size, dst: Reg, base: Reg, off: i16 },
    /// `*(size *)(base + off) = src`.
    Store { size: Size, base: Reg, off: i16, src: Operand },
    /// `lock *(size *)(base + off) op= src`; `fetch` gives the old value in `src`
    /// (`r0` for `CmpXchg`). `size` is `W` or `DW`.
    Atomic { op: AtomicOp, fetch: bool, size: Size, base: Reg, off: i16, src: Reg },
    /// `dst = value ll`. Two slots.
    LdImm64 { dst: Reg, value: u64 },
    /// `dst = ` the map, for a helper. Two slots; the loader puts the descriptor in.
    LdMap { dst: Reg, map: MapId },
    /// `dst = ` the address of a byte of a data-section map's value. Two slots.
    LdMapValue { dst: Reg, map: MapId, off: u32 },
    /// `dst = ` a function of this program, for a callback helper such as `loop`. Two slots;
    /// `off` counts from the slot after the first.
    LdFunc { dst: Reg, off: i32 },
    /// `if dst cond src goto off`.
    Jump { cond: Cond, width: Width, dst: Reg, src: Operand, off: i16 },
    /// `goto off`.
    Ja { off: i16 },
    /// `gotol off`, cpu v4.
    JaLong { off: i32 },
    /// `call helper`.
    Call(u32),
    /// A call of a function of this program.
    CallLocal { off: i32 },
    /// A call of a kernel function by its number in the kernel's BTF.
    CallKfunc { btf_id: i32 },
    /// Returns `r0`.
    Exit,
}

impl Insn {
    /// How many 8-byte slots the instruction takes: 1 or 2.
    pub fn slots(&self) -> usize {
        match self {
            Insn::LdImm64 { .. } | Insn::LdMap { .. } | Insn::LdMapValue { .. } | Insn::LdFunc { .. } => 2,
            _ => 1,
        }
    }

    /// True where the next instruction is never reached from this one.
    pub fn ends_block(&self) -> bool {
        matches!(self, Insn::Ja { .. } | Insn::JaLong { .. } | Insn::Exit)
    }

    /// The distance that the instruction names in code, in slots from the slot that follows its
    /// first one: jumps, local calls and function addresses.
    pub fn distance(&self) -> Option<i32> {
        match *self {
            Insn::Jump { off, .. } | Insn::Ja { off } => Some(i32::from(off)),
            Insn::JaLong { off } | Insn::CallLocal { off } | Insn::LdFunc { off, .. } => Some(off),
            _ => None,
        }
    }

    /// `dst = src`, 64 bits.
    pub fn mov(dst: Reg, src: impl Into<Operand>) -> Insn {
        Insn::alu(AluOp::Mov, dst, src)
    }

    /// `dst = src`, 32 bits, the upper half cleared.
    pub fn mov32(dst: Reg, src: impl Into<Operand>) -> Insn {
        Insn::alu32(AluOp::Mov, dst, src)
    }

    /// `dst = dst op src`, 64 bits.
    pub fn alu(op: AluOp, dst: Reg, src: impl Into<Operand>) -> Insn {
        Insn::Alu { width: Width::W64, op, dst, src: src.into() }
    }

    /// `dst = dst op src`, 32 bits.
    pub fn alu32(op: AluOp, dst: Reg, src: impl Into<Operand>) -> Insn {
        Insn::Alu { width: Width::W32, op, dst, src: src.into() }
    }

    /// `dst = *(size *)(base + off)`.
    pub fn load(size: Size, dst: Reg, base: Reg, off: i16) -> Insn {
        Insn::Load { size, dst, base, off }
    }

    /// `*(size *)(base + off) = src`.
    pub fn store(size: Size, base: Reg, off: i16, src: impl Into<Operand>) -> Insn {
        Insn::Store { size, base, off, src: src.into() }
    }

    /// `dst = value` in the fewest slots: a move where sign extension gives the value.
    pub fn load_constant(dst: Reg, value: u64) -> Insn {
        match i32::try_from(value as i64) {
            Ok(imm) => Insn::mov(dst, imm),
            Err(_) => match u32::try_from(value) {
                Ok(low) => Insn::mov32(dst, low as i32),
                Err(_) => Insn::LdImm64 { dst, value },
            },
        }
    }
}

//! One instruction as text.

use std::fmt;

use crate::insn::{AluOp, AtomicOp, Cond, Insn, MapId, Operand, Order, Reg, Size, Width};

pub(super) const ALU_SIGNS: &[(AluOp, &str)] = &[
    (AluOp::Mov, "="),
    (AluOp::Add, "+="),
    (AluOp::Sub, "-="),
    (AluOp::Mul, "*="),
    (AluOp::Sdiv, "s/="),
    (AluOp::Div, "/="),
    (AluOp::Or, "|="),
    (AluOp::And, "&="),
    (AluOp::Lsh, "<<="),
    (AluOp::Arsh, "s>>="),
    (AluOp::Rsh, ">>="),
    (AluOp::Smod, "s%="),
    (AluOp::Mod, "%="),
    (AluOp::Xor, "^="),
];

pub(super) const COND_SIGNS: &[(Cond, &str)] = &[
    (Cond::Eq, "=="),
    (Cond::Ne, "!="),
    (Cond::Gt, ">"),
    (Cond::Ge, ">="),
    (Cond::Lt, "<"),
    (Cond::Le, "<="),
    (Cond::Sgt, "s>"),
    (Cond::Sge, "s>="),
    (Cond::Slt, "s<"),
    (Cond::Sle, "s<="),
    (Cond::Set, "&"),
];

/// Operation, its sign, its name where the old value is fetched.
pub(super) const ATOMIC_SIGNS: &[(AtomicOp, &str, &str)] = &[
    (AtomicOp::Add, "+=", "atomic_fetch_add"),
    (AtomicOp::Or, "|=", "atomic_fetch_or"),
    (AtomicOp::And, "&=", "atomic_fetch_and"),
    (AtomicOp::Xor, "^=", "atomic_fetch_xor"),
];

impl fmt::Display for Reg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}", self.number())
    }
}

impl fmt::Display for MapId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "map[{}]", self.0)
    }
}

/// A register under the name of its width: `r1` or `w1`.
struct Named(Width, Reg);

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = if self.0 == Width::W32 { 'w' } else { 'r' };
        write!(f, "{letter}{}", self.1.number())
    }
}

/// `*(u32 *)(r2 + 4)`.
struct Place(char, Size, Reg, i16);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place(letter, size, base, off) = self;
        write!(f, "*({letter}{} *)({base} {})", size.bits(), Offset(*off))
    }
}

/// `+ 4`.
struct Offset(i16);

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { '-' } else { '+' };
        write!(f, "{sign} {}", self.0.unsigned_abs())
    }
}

/// The text of an instruction with `place` for what a jump, call or function address names.
pub(super) fn write_insn(f: &mut dyn fmt::Write, insn: &Insn, place: &dyn fmt::Display) -> fmt::Result {
    match *insn {
        Insn::Alu { width, op, dst, src } => {
            let sign = sign(ALU_SIGNS, op);
            let dst = Named(width, dst);
            match src {
                Operand::Reg(src) => write!(f, "{dst} {sign} {}", Named(width, src)),
                Operand::Imm(imm) => write!(f, "{dst} {sign} {imm}"),
            }
        }
        Insn::Neg { width, dst } => {
            let dst = Named(width, dst);
            write!(f, "{dst} = -{dst}")
        }
        Insn::MovSx { width, from, dst, src } => {
            let (dst, src) = (Named(width, dst), Named(width, src));
            write!(f, "{dst} = (s{}){src}", from.bits())
        }
        Insn::Endian { dst, to, size } => {
            let order = if to == Order::Be { "be" } else { "le" };
            write!(f, "{dst} = {order}{} {dst}", size.bits())
        }
        Insn::Bswap { dst, size } => write!(f, "{dst} = bswap{} {dst}", size.bits()),
        Insn::Load { size, dst, base, off } => write!(f, "{dst} = {}", Place('u', size, base, off)),
        Insn::LoadSx { size, dst, base, off } => write!(f, "{dst} = {}", Place('s', size, base, off)),
        Insn::Store { size, base, off, src } => {
            let place = Place('u', size, base, off);
            match src {
                Operand::Reg(src) => write!(f, "{place} = {src}"),
                Operand::Imm(imm) => write!(f, "{place} = {imm}"),
            }
        }
        Insn::Atomic { .. } => write_atomic(f, insn),
        Insn::LdImm64 { dst, value } => write!(f, "{dst} = {value:#x} ll"),
        Insn::LdMap { dst, map } => write!(f, "{dst} = {map} ll"),
        Insn::LdMapValue { dst, map, off } => write!(f, "{dst} = {map} + {off} ll"),
        Insn::LdFunc { dst, .. } => write!(f, "{dst} = func {place} ll"),
        Insn::Jump { cond, width, dst, src, .. } => {
            let (dst, sign) = (Named(width, dst), sign(COND_SIGNS, cond));
            match src {
                Operand::Reg(src) => {
                    write!(f, "if {dst} {sign} {} goto {place}", Named(width, src))
                }
                Operand::Imm(imm) => write!(f, "if {dst} {sign} {} goto {place}", Hex(imm)),
            }
        }
        Insn::Ja { .. } => write!(f, "goto {place}"),
        Insn::JaLong { .. } => write!(f, "gotol {place}"),
        Insn::Call(helper) => write!(f, "call {helper}"),
        Insn::CallLocal { .. } => write!(f, "call {place}"),
        Insn::CallKfunc { btf_id } => write!(f, "call kfunc {btf_id}"),
        Insn::Exit => f.write_str("exit"),
    }
}

fn write_atomic(f: &mut dyn fmt::Write, insn: &Insn) -> fmt::Result {
    let Insn::Atomic { op, fetch, size, base, off, src } = *insn else {
        return Ok(());
    };
    // 32-bit forms name `w` registers, and compare with `w0`, as llvm-objdump does.
    let width = if size == Size::W { Width::W32 } else { Width::W64 };
    let (bits, value) = (size.bits(), Named(width, src));
    let tail = if size == Size::W { "32_" } else { "_" };
    let offset = Offset(off);
    match (op, ATOMIC_SIGNS.iter().find(|row| row.0 == op)) {
        (AtomicOp::CmpXchg, _) => {
            let old = Named(width, Reg::R0);
            write!(f, "{old} = cmpxchg{tail}{bits}({base} {offset}, {old}, {value})")
        }
        (AtomicOp::Xchg, _) | (_, None) => {
            write!(f, "{value} = xchg{tail}{bits}({base} {offset}, {value})")
        }
        (_, Some((_, _, name))) if fetch => {
            let place = format!("(u{bits} *)({base} {offset})");
            write!(f, "{value} = {name}({place}, {value})")
        }
        (_, Some((_, sign, _))) => {
            // llvm-objdump 14 names the value `r` here in the 32-bit form of `+=` too.
            write!(f, "lock {} {sign} {src}", Place('u', size, base, off))
        }
    }
}

/// Immediates of jumps stand in hexadecimal, signed ones with their sign.
struct Hex(i32);

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(f, "{sign}{:#x}", self.0.unsigned_abs())
    }
}

fn sign<T: PartialEq + Copy>(table: &[(T, &'static str)], key: T) -> &'static str {
    table.iter().find(|row| row.0 == key).map_or("?", |row| row.1)
}

impl fmt::Display for Insn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let distance = self.distance().unwrap_or(0);
        write_insn(f, self, &format_args!("{distance:+}"))
    }
}

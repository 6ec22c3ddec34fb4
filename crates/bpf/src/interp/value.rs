//! Register values: numbers, and pointers that know their region.

use super::fault::FaultKind;
use crate::insn::{AluOp, Cond, MapId, Size, Width};

/// What a register holds; offsets stand in [`Value::bits`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tag {
    Uninit,
    Number,
    Context,
    /// An offset in the packet's buffer, made at this generation of it.
    Packet(u32),
    /// An offset in a frame of the stack, whose top is `r10`.
    Stack(u32),
    Map(u32),
    /// An offset in a value: map, slot. The narrow map keeps a value at 16 bytes.
    MapValue(u16, u32),
    /// A reserved ring buffer record.
    Record(u32),
    /// A socket that was looked up.
    Socket(u32),
    /// The slot where a function starts.
    Function,
}

impl Tag {
    pub(super) fn map_value(map: MapId, slot: u32) -> Result<Tag, FaultKind> {
        match u16::try_from(map.0) {
            Ok(map) => Ok(Tag::MapValue(map, slot)),
            Err(_) => Err(FaultKind::UnknownMap(map.0)),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) bits: u64,
    pub(super) tag: Tag,
}

impl Value {
    pub(super) const UNINIT: Value = Value { bits: 0, tag: Tag::Uninit };

    pub(super) const fn number(bits: u64) -> Value {
        Value { bits, tag: Tag::Number }
    }

    pub(super) const fn pointer(tag: Tag, off: u64) -> Value {
        Value { bits: off, tag }
    }

    pub(super) fn is_number(self) -> bool {
        self.tag == Tag::Number
    }

    pub(super) fn as_number(self) -> Result<u64, FaultKind> {
        match self.tag {
            Tag::Number => Ok(self.bits),
            _ => Err(FaultKind::NotANumber),
        }
    }
}

/// `a op b`; neither is uninitialised (`Mov` does not look at `a`).
#[inline(always)]
pub(super) fn alu(width: Width, op: AluOp, a: Value, b: Value) -> Result<Value, FaultKind> {
    if op == AluOp::Mov {
        return match (width, b.tag) {
            (Width::W64, _) => Ok(b),
            (Width::W32, Tag::Number) => Ok(Value::number(u64::from(b.bits as u32))),
            _ => Err(FaultKind::NotANumber),
        };
    }
    if !(a.is_number() && b.is_number()) {
        return pointer_alu(width, op, a, b);
    }
    Ok(Value::number(match width {
        Width::W64 => alu64(op, a.bits, b.bits),
        Width::W32 => u64::from(alu32(op, a.bits as u32, b.bits as u32)),
    }))
}

#[cold]
#[inline(never)]
fn pointer_difference(a: Value, b: Value) -> Result<Value, FaultKind> {
    match a.tag == b.tag {
        true => Ok(Value::number(a.bits.wrapping_sub(b.bits))),
        false => Err(FaultKind::PointerArithmetic),
    }
}

fn pointer_alu(width: Width, op: AluOp, a: Value, b: Value) -> Result<Value, FaultKind> {
    let movable = |v: Value| !matches!(v.tag, Tag::Map(_) | Tag::Function | Tag::Context);
    match (width, op) {
        (Width::W64, AluOp::Add) if b.is_number() && movable(a) => {
            Ok(Value::pointer(a.tag, a.bits.wrapping_add(b.bits)))
        }
        (Width::W64, AluOp::Add) if a.is_number() && movable(b) => {
            Ok(Value::pointer(b.tag, b.bits.wrapping_add(a.bits)))
        }
        (Width::W64, AluOp::Sub) if b.is_number() && movable(a) => {
            Ok(Value::pointer(a.tag, a.bits.wrapping_sub(b.bits)))
        }
        (Width::W64, AluOp::Sub) if !a.is_number() => pointer_difference(a, b),
        _ => Err(FaultKind::PointerArithmetic),
    }
}

/// RFC 9669, section 4.1; division by 0 gives 0, remainder by 0 the dividend.
#[inline(always)]
fn alu64(op: AluOp, a: u64, b: u64) -> u64 {
    match op {
        AluOp::Add => a.wrapping_add(b),
        AluOp::Sub => a.wrapping_sub(b),
        AluOp::Mul => a.wrapping_mul(b),
        AluOp::Div => a.checked_div(b).unwrap_or(0),
        AluOp::Or => a | b,
        AluOp::And => a & b,
        AluOp::Lsh => a << (b & 63),
        AluOp::Rsh => a >> (b & 63),
        AluOp::Mod => a.checked_rem(b).unwrap_or(a),
        AluOp::Xor => a ^ b,
        AluOp::Mov => b,
        AluOp::Arsh => (a as i64 >> (b & 63)) as u64,
        AluOp::Sdiv if b == 0 => 0,
        AluOp::Sdiv => (a as i64).wrapping_div(b as i64) as u64,
        AluOp::Smod if b == 0 => a,
        AluOp::Smod => (a as i64).wrapping_rem(b as i64) as u64,
    }
}

#[inline(always)]
fn alu32(op: AluOp, a: u32, b: u32) -> u32 {
    match op {
        AluOp::Lsh => a << (b & 31),
        AluOp::Rsh => a >> (b & 31),
        AluOp::Arsh => (a as i32 >> (b & 31)) as u32,
        AluOp::Sdiv if b == 0 => 0,
        AluOp::Sdiv => (a as i32).wrapping_div(b as i32) as u32,
        AluOp::Smod if b == 0 => a,
        AluOp::Smod => (a as i32).wrapping_rem(b as i32) as u32,
        _ => alu64(op, u64::from(a), u64::from(b)) as u32,
    }
}

/// Whether `a cond b`.
#[inline(always)]
pub(super) fn compare(width: Width, cond: Cond, a: Value, b: Value) -> Result<bool, FaultKind> {
    if !(a.is_number() && b.is_number()) {
        return compare_pointers(width, cond, a, b);
    }
    Ok(match width {
        Width::W64 => holds(cond, a.bits, b.bits, a.bits as i64, b.bits as i64),
        Width::W32 => {
            let (a, b) = (a.bits as u32, b.bits as u32);
            let (c, d) = (i64::from(a as i32), i64::from(b as i32));
            holds(cond, u64::from(a), u64::from(b), c, d)
        }
    })
}

/// Pointers are never null here; a failed look-up gives the number 0.
fn compare_pointers(width: Width, cond: Cond, a: Value, b: Value) -> Result<bool, FaultKind> {
    let null = |v: Value| v.is_number() && v.bits == 0;
    match (width, cond) {
        (Width::W32, _) => Err(FaultKind::PointerArithmetic),
        (_, Cond::Eq) if null(a) || null(b) => Ok(false),
        (_, Cond::Ne) if null(a) || null(b) => Ok(true),
        _ if a.tag == b.tag => Ok(holds(cond, a.bits, b.bits, a.bits as i64, b.bits as i64)),
        _ => Err(FaultKind::PointerArithmetic),
    }
}

#[inline(always)]
fn holds(cond: Cond, a: u64, b: u64, c: i64, d: i64) -> bool {
    match cond {
        Cond::Eq => a == b,
        Cond::Ne => a != b,
        Cond::Gt => a > b,
        Cond::Ge => a >= b,
        Cond::Lt => a < b,
        Cond::Le => a <= b,
        Cond::Sgt => c > d,
        Cond::Sge => c >= d,
        Cond::Slt => c < d,
        Cond::Sle => c <= d,
        Cond::Set => a & b != 0,
    }
}

pub(super) fn negate(width: Width, value: u64) -> u64 {
    match width {
        Width::W64 => value.wrapping_neg(),
        Width::W32 => u64::from((value as u32).wrapping_neg()),
    }
}

/// Keeps the low bits and repeats their sign.
pub(super) fn sign_extend(width: Width, from: Size, value: u64) -> u64 {
    let shift = 64 - from.bits();
    let wide = ((value << shift) as i64 >> shift) as u64;
    match width {
        Width::W64 => wide,
        Width::W32 => u64::from(wide as u32),
    }
}

/// Reverses the low bytes and clears the others.
pub(super) fn swap(size: Size, value: u64) -> u64 {
    value.swap_bytes() >> (64 - size.bits())
}

/// Keeps the low bytes.
pub(super) fn truncate(size: Size, value: u64) -> u64 {
    value & (u64::MAX >> (64 - size.bits()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corners_of_division() {
        assert_eq!(alu64(AluOp::Div, 7, 0), 0);
        assert_eq!(alu64(AluOp::Mod, 7, 0), 7);
        let min = i64::MIN as u64;
        assert_eq!(alu64(AluOp::Sdiv, min, u64::MAX), min);
        assert_eq!(alu64(AluOp::Smod, min, u64::MAX), 0);
        assert_eq!(alu32(AluOp::Sdiv, -7i32 as u32, 2), -3i32 as u32);
    }

    #[test]
    fn sizes() {
        assert_eq!(swap(Size::H, 0xff_1234), 0x3412);
        assert_eq!(swap(Size::DW, 1), 1 << 56);
        assert_eq!(truncate(Size::W, u64::MAX), 0xffff_ffff);
        assert_eq!(sign_extend(Width::W32, Size::B, 0x80), 0xffff_ff80);
        assert_eq!(sign_extend(Width::W64, Size::B, 0x80), -128i64 as u64);
    }

    #[test]
    fn pointers_stay_in_their_region() {
        let a = Value::pointer(Tag::Packet(0), 10);
        let b = Value::pointer(Tag::Stack(0), 10);
        assert_eq!(alu(Width::W64, AluOp::Sub, a, b), Err(FaultKind::PointerArithmetic));
        assert_eq!(alu(Width::W64, AluOp::Sub, a, a), Ok(Value::number(0)));
        assert_eq!(compare(Width::W64, Cond::Ne, a, Value::number(0)), Ok(true));
    }
}

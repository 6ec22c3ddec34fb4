//! Intervals: between which numbers a value lies.

use crate::ir::build::upper_bound;
use crate::ir::interp::binary;
use crate::ir::{BinaryOp, Relation};

/// The least and the largest number.
pub(super) type Range = (u64, u64);

/// One number.
pub(super) fn exactly(number: u64) -> Range {
    (number, number)
}

/// The number, if there is only one.
pub(super) fn single(range: Range) -> Option<u64> {
    (range.0 == range.1).then_some(range.0)
}

/// What both ranges hold.
pub(super) fn meet(a: Range, b: Range) -> Option<Range> {
    let both = (a.0.max(b.0), a.1.min(b.1));
    (both.0 <= both.1).then_some(both)
}

/// The range of an operation's result.
pub(super) fn binary_range(op: BinaryOp, a: Range, b: Range) -> Range {
    if let (Some(a), Some(b)) = (single(a), single(b)) {
        return exactly(binary(op, a, b));
    }
    let most = upper_bound(op, a.1, b.0..=b.1);
    match op {
        BinaryOp::Add if a.1.checked_add(b.1).is_some() => (a.0 + b.0, most),
        BinaryOp::Add => (0, u64::MAX),
        BinaryOp::Sub if a.0 >= b.1 => (a.0 - b.1, a.1 - b.0),
        BinaryOp::Sub => (0, u64::MAX),
        BinaryOp::Mul if a.1.checked_mul(b.1).is_some() => (a.0 * b.0, most),
        BinaryOp::Mul => (0, u64::MAX),
        BinaryOp::Or => (a.0.max(b.0), most),
        BinaryOp::Shl | BinaryOp::And | BinaryOp::Xor => (0, most),
        BinaryOp::Shr => (a.0 >> b.1.min(63), most),
    }
}

/// Whether a relation holds, where the ranges decide it.
pub(super) fn relation_holds(relation: Relation, a: Range, b: Range) -> Option<bool> {
    let certain = |always: bool, never: bool| match (always, never) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    };
    let relation = as_unsigned(relation, a, b)?;
    match relation {
        Relation::Eq => certain(single(a).is_some() && a == b, meet(a, b).is_none()),
        Relation::Lt => certain(a.1 < b.0, a.0 >= b.1),
        Relation::Le => certain(a.1 <= b.0, a.0 > b.1),
        relation => relation_holds(opposite(relation), a, b).map(|holds| !holds),
    }
}

/// The unsigned relation that means the same for these ranges.
fn as_unsigned(relation: Relation, a: Range, b: Range) -> Option<Relation> {
    let unsigned = match relation {
        Relation::Slt => Relation::Lt,
        Relation::Sle => Relation::Le,
        Relation::Sgt => Relation::Gt,
        Relation::Sge => Relation::Ge,
        relation => return Some(relation),
    };
    (a.1.max(b.1) <= i64::MAX as u64).then_some(unsigned)
}

/// The relation that holds when this one does not.
pub(super) fn opposite(relation: Relation) -> Relation {
    match relation {
        Relation::Eq => Relation::Ne,
        Relation::Ne => Relation::Eq,
        Relation::Lt => Relation::Ge,
        Relation::Le => Relation::Gt,
        Relation::Gt => Relation::Le,
        Relation::Ge => Relation::Lt,
        Relation::Slt => Relation::Sge,
        Relation::Sle => Relation::Sgt,
        Relation::Sgt => Relation::Sle,
        Relation::Sge => Relation::Slt,
    }
}

/// Where `a` lies if it is known to have the relation to `b`.
pub(super) fn given(relation: Relation, a: Range, b: Range) -> Range {
    let Some(relation) = as_unsigned(relation, a, b) else {
        return a;
    };
    let within = match relation {
        Relation::Eq => b,
        Relation::Ne => return without(a, b),
        Relation::Lt => (0, b.1.saturating_sub(1)),
        Relation::Le => (0, b.1),
        Relation::Gt => (b.0.saturating_add(1), u64::MAX),
        Relation::Ge => (b.0, u64::MAX),
        Relation::Slt | Relation::Sle | Relation::Sgt | Relation::Sge => return a,
    };
    // Nothing in both means that the packet does not come here; then any range is right.
    meet(a, within).unwrap_or(a)
}

/// Takes one number off the end of a range.
fn without(a: Range, b: Range) -> Range {
    match single(b) {
        Some(number) if number == a.0 && a.0 < a.1 => (a.0 + 1, a.1),
        Some(number) if number == a.1 && a.0 < a.1 => (a.0, a.1 - 1),
        _ => a,
    }
}

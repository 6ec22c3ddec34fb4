//! Makes conditions of a definition true, and computed values what they should be, by setting the
//! fields that they look at. Good for what definitions say in practice: conjunctions of flags,
//! comparisons with constants, and values that grow with one field.

use super::header::Header;
use crate::policy::{Compare, FieldRef, Pred, Relation, Term};
use crate::syntax::ast::ArithmeticOp;

/// Tries to make a condition hold.
pub(super) fn satisfy(header: &mut Header, pred: &Pred) {
    match pred {
        Pred::And(list) => list.iter().for_each(|p| satisfy(header, p)),
        Pred::Or(list) => {
            if let (false, Some(first)) = (header.holds(pred), list.first()) {
                satisfy(header, first);
            }
        }
        Pred::In(term, ranges) => {
            if let (false, Some(range)) = (header.holds(pred), ranges.first()) {
                reach(header, term, range.0);
            }
        }
        Pred::Compare(compare) => relation(header, pred, compare),
        Pred::Not(inner) => refute(header, inner),
        _ => {}
    }
}

fn relation(header: &mut Header, pred: &Pred, compare: &Compare) {
    let Term::Const(bound) = compare.right else { return };
    if header.holds(pred) {
        return;
    }
    let value = match compare.op {
        Relation::Eq | Relation::Le | Relation::Ge => bound,
        Relation::Ne => bound ^ 1,
        Relation::Lt => bound.saturating_sub(1),
        Relation::Gt => bound + 1,
    };
    reach(header, &compare.left, value);
}

fn refute(header: &mut Header, pred: &Pred) {
    match pred {
        Pred::Compare(Compare { op: Relation::Ne, left, right: Term::Const(bound) }) => {
            reach(header, left, *bound);
        }
        Pred::And(list) if header.holds(pred) => {
            if let Some(first) = list.first() {
                refute(header, first);
            }
        }
        Pred::Or(list) => list.iter().for_each(|p| refute(header, p)),
        _ => {}
    }
}

/// Sets the one field that a term grows with so that the term gets a value, or the next above it.
pub(super) fn reach(header: &mut Header, term: &Term, value: u128) {
    match term {
        Term::Field(FieldRef { field, .. }) => header.set_default(*field, value),
        Term::Binary(ArithmeticOp::Mul, a, b) => {
            if let Term::Const(factor @ 1..) = **b {
                reach(header, a, value.div_ceil(factor));
            }
        }
        Term::Binary(ArithmeticOp::Add, a, b) => {
            if let Term::Const(more) = **b {
                reach(header, a, value.saturating_sub(more));
            }
        }
        Term::Binary(ArithmeticOp::And, a, b) => {
            if let (Term::Field(FieldRef { field, .. }), Term::Const(mask)) = (&**a, &**b) {
                let now = header.value(a).unwrap_or(0);
                header.set_default(*field, now & !mask | value & mask);
            }
        }
        _ => {}
    }
}

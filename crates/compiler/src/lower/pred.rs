//! Conditions as control flow: where each is true and where it is false.

use super::Lower;
use super::field::Own;
use super::shape::{Bit, Env, Scalars};
use crate::check::interval_of;
use crate::ir::{BinaryOp, Relation as IrRelation, TableDecl, Target, Type, Value};
use crate::plan::{TREE, base_terms, is_optional, width};
use crate::policy::{Compare, Pred, Relation, Term};
use crate::syntax::ast::ArithmeticOp;
use crate::table::Table;
use std::collections::BTreeSet;

/// Where terms get their values: from what travels along, or from the header being parsed.
pub(super) enum Values<'v> {
    Env(&'v Env),
    Own(&'v Own),
}

impl Lower<'_> {
    /// Goes to `then` if a condition of a definition holds for the header being parsed.
    pub(super) fn own_cond(&mut self, pred: &Pred, own: &Own, then: Target, other: Target) {
        self.cond(pred, &Values::Own(own), then, other);
    }

    /// The value of a term of a definition.
    pub(super) fn own_value(&mut self, term: &Term, own: &Own) -> Value {
        self.value(term, &Values::Own(own)).low
    }

    /// Goes to `then` if the condition holds, else to `other`.
    pub(super) fn cond(&mut self, pred: &Pred, values: &Values, then: Target, other: Target) {
        match pred {
            Pred::Const(true) => self.b.jump(then),
            Pred::Const(false) => self.b.jump(other),
            Pred::Not(inner) => self.cond(inner, values, other, then),
            Pred::And(list) => self.each(list, values, then, other, false),
            Pred::Or(list) => self.each(list, values, other, then, true),
            Pred::Header(header) => {
                let Values::Env(env) = values else { return self.b.jump(then) };
                match self.shape.bit(&mut self.b, env, &Bit::Header(*header)) {
                    Some(bit) => self.branch_bit(bit, then, other),
                    None => self.b.jump(then),
                }
            }
            Pred::There(term) => {
                self.guard(&base_terms(&Pred::There(term.clone())), values, &other);
                self.b.jump(then);
            }
            Pred::Compare(compare) => {
                self.guard(&base_terms(pred), values, &other);
                self.compare(compare, values, then, other);
            }
            Pred::In(term, ranges) => {
                self.guard(&base_terms(&Pred::There(term.clone())), values, &other);
                let scalars = self.value(term, values);
                match ranges.len() > TREE {
                    true => self.in_table(term, scalars, ranges, then, other),
                    false => self.in_ranges(scalars, ranges, then, other),
                }
            }
            Pred::InSet(terms, part) => {
                self.guard(&base_terms(pred), values, &other);
                let widths = &self.policy.sets[part.set as usize].parts[part.part as usize].widths;
                let mut key = Vec::new();
                for (term, width) in terms.iter().zip(widths) {
                    let scalars = self.value(term, values);
                    self.key_words(scalars, *width, &mut key);
                }
                let held = match self.table_refs.get(part) {
                    Some(table) => self.b.in_table(*table, &key),
                    None => self.b.in_set(self.set_refs[part], &key),
                };
                self.b.branch(held, then, other);
            }
        }
    }

    /// Many ranges, as a table.
    fn in_table(
        &mut self,
        term: &Term,
        scalars: Scalars,
        ranges: &[(u128, u128)],
        then: Target,
        other: Target,
    ) {
        let bits = width(&self.policy.protocols, term);
        let table = Table::of_elements(&[bits], ranges.iter().map(std::slice::from_ref));
        let Some(table) = self.shared_table(TableDecl { table, rules: Vec::new() }) else {
            return self.in_ranges(scalars, ranges, then, other);
        };
        let mut key = Vec::new();
        self.key_words(scalars, bits, &mut key);
        let held = self.b.in_table(table, &key);
        self.b.branch(held, then, other);
    }

    /// The words of a key that a value of so many bits takes ([`crate::table::words`]).
    fn key_words(&mut self, scalars: Scalars, bits: u8, key: &mut Vec<Value>) {
        if bits > 64 {
            key.push(scalars.high.unwrap_or_else(|| self.b.constant(0)));
        }
        key.push(self.narrowed(scalars.low, bits.min(64)));
    }

    /// Conditions one after the other: `early` is where the first that decides leads, `late` where
    /// the way leads when none does. For an `and` a false one decides, for an `or` a true one.
    ///
    /// Conditions change nothing, so those that look into maps come last: a comparison costs less than a nanosecond,
    /// a look-up tens.
    fn each(&mut self, list: &[Pred], values: &Values, late: Target, early: Target, is_or: bool) {
        let (dear, cheap): (Vec<_>, Vec<_>) = list.iter().partition(|pred| looks_up(pred));
        for pred in cheap.into_iter().chain(dear) {
            let next = self.fresh();
            let go_on = Target { block: next, args: Vec::new() };
            match is_or {
                true => self.cond(pred, values, early.clone(), go_on),
                false => self.cond(pred, values, go_on, early.clone()),
            }
            self.b.switch_to(next);
        }
        self.b.jump(late);
    }

    fn branch_bit(&mut self, bit: Value, then: Target, other: Target) {
        let set = self.b.compare_const(IrRelation::Ne, bit, 0);
        self.b.branch(set, then, other);
    }

    /// Goes on only if all terms are in the packet.
    fn guard(&mut self, terms: &BTreeSet<Term>, values: &Values, missing: &Target) {
        for term in terms {
            let Some(there) = self.presence(term, values) else { continue };
            let next = self.fresh();
            self.branch_bit(there, next.into(), missing.clone());
            self.b.switch_to(next);
        }
    }

    /// Whether a term is there, as a value that is not zero; `None` where it is certain.
    pub(super) fn presence(&mut self, term: &Term, values: &Values) -> Option<Value> {
        match values {
            Values::Own(own) => own.there.get(term).copied(),
            Values::Env(env) => {
                let header = match term {
                    Term::Field(field) => field.header,
                    Term::Slice(slice) => slice.header,
                    Term::Begin(header) => *header,
                    _ => return None,
                };
                let bit = match is_optional(&self.policy.protocols, term) {
                    true => Bit::Term(term.clone()),
                    false => Bit::Header(header),
                };
                self.shape.bit(&mut self.b, env, &bit)
            }
        }
    }

    fn compare(&mut self, compare: &Compare, values: &Values, then: Target, other: Target) {
        let (left, right) = (self.value(&compare.left, values), self.value(&compare.right, values));
        if left.high.is_some() || right.high.is_some() {
            return self.compare_wide(compare.op, left, right, then, other);
        }
        let signed = self.may_be_negative(&compare.left) || self.may_be_negative(&compare.right);
        let relation = match (compare.op, signed) {
            (Relation::Eq, _) => IrRelation::Eq,
            (Relation::Ne, _) => IrRelation::Ne,
            (Relation::Lt, false) => IrRelation::Lt,
            (Relation::Le, false) => IrRelation::Le,
            (Relation::Gt, false) => IrRelation::Gt,
            (Relation::Ge, false) => IrRelation::Ge,
            (Relation::Lt, true) => IrRelation::Slt,
            (Relation::Le, true) => IrRelation::Sle,
            (Relation::Gt, true) => IrRelation::Sgt,
            (Relation::Ge, true) => IrRelation::Sge,
        };
        let holds = self.b.compare(relation, left.low, right.low);
        self.b.branch(holds, then, other);
    }

    /// Equality of values of more than 64 bits; the checker lets no other relation through.
    fn compare_wide(&mut self, op: Relation, left: Scalars, right: Scalars, then: Target, other: Target) {
        let (equal, unequal) = if op == Relation::Ne { (other, then) } else { (then, other) };
        let zero = self.b.constant(0);
        let (a, b) = (left.high.unwrap_or(zero), right.high.unwrap_or(zero));
        let high = self.b.compare(IrRelation::Eq, a, b);
        let next = self.fresh();
        self.b.branch(high, next, unequal.clone());
        self.b.switch_to(next);
        let low = self.b.compare(IrRelation::Eq, left.low, right.low);
        self.b.branch(low, equal, unequal);
    }

    fn may_be_negative(&self, term: &Term) -> bool {
        matches!(term, Term::Binary(..)) && interval_of(&self.policy.protocols, term).0 < 0
    }

    /// The scalars of a term; what may be missing was guarded before.
    pub(super) fn value(&mut self, term: &Term, values: &Values) -> Scalars {
        let low = match term {
            Term::Const(value) if *value > u128::from(u64::MAX) => {
                let high = Some(self.b.constant((value >> 64) as u64));
                return Scalars { high, low: self.b.constant(*value as u64) };
            }
            Term::Const(value) => self.b.constant(*value as u64),
            Term::FrameLen => self.b.frame_len(),
            Term::Field(_) | Term::Slice(_) | Term::Begin(_) => {
                return match values {
                    Values::Own(own) => own.values[term],
                    Values::Env(env) => self.shape.value(&mut self.b, env, &self.policy.protocols, term),
                };
            }
            Term::Binary(op, a, b) => {
                let (a, b) = (self.value(a, values).low, self.value(b, values).low);
                self.arithmetic(*op, a, b)
            }
            Term::Truth(pred) => self.truth(pred, values),
        };
        Scalars { high: None, low }
    }

    fn arithmetic(&mut self, op: ArithmeticOp, a: Value, b: Value) -> Value {
        match op {
            // Operands may be negative themselves, which the widths of the IR do not know.
            ArithmeticOp::Add => self.b.binary_as(BinaryOp::Add, a, b, Type::Int(64)),
            ArithmeticOp::Sub => self.b.binary_as(BinaryOp::Sub, a, b, Type::Int(64)),
            ArithmeticOp::Mul => self.b.binary_as(BinaryOp::Mul, a, b, Type::Int(64)),
            ArithmeticOp::And => self.b.binary(BinaryOp::And, a, b),
        }
    }

    /// A condition as 0 or 1.
    fn truth(&mut self, pred: &Pred, values: &Values) -> Value {
        let done = self.b.block(&[Type::Int(1)]);
        let (yes, no) = (self.b.constant(1), self.b.constant(0));
        let (then, other) = (Target { block: done, args: vec![yes] }, Target { block: done, args: vec![no] });
        self.cond(pred, values, then, other);
        self.b.switch_to(done);
        self.b.param(done, 0)
    }
}

/// Whether a condition asks a map.
fn looks_up(pred: &Pred) -> bool {
    match pred {
        Pred::InSet(..) => true,
        Pred::Not(inner) => looks_up(inner),
        Pred::And(list) | Pred::Or(list) => list.iter().any(looks_up),
        _ => false,
    }
}

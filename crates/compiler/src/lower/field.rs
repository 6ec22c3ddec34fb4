//! Fields and slices: from the header's bytes to scalars.

use super::Lower;
use super::options;
use super::shape::{Bit, Env, Scalars};
use crate::ir::{BinaryOp, Block, Relation, Target, Type, Value};
use crate::plan::{base_terms, is_optional, width};
use crate::policy::{
    FieldRef, HeaderRef, MAX_HEADER, Place, Pred, Protocol, Protocols, Selector, SliceRef, Term,
};
use std::collections::{BTreeSet, HashMap};

/// A header that is there.
pub(super) struct Found {
    pub(super) cursor: Value,
    /// Its length in bytes.
    pub(super) length: Value,
    /// Its length where its definition always gives the same.
    pub(super) fixed: Option<u16>,
    /// Its own values so far.
    pub(super) own: Own,
}

/// Values of the header whose definition is being followed, named by [`Protocols::THIS`].
#[derive(Clone, Default)]
pub(super) struct Own {
    pub(super) values: HashMap<Term, Scalars>,
    /// For values that may be missing: a `u1`.
    pub(super) there: HashMap<Term, Value>,
}

impl Lower<'_> {
    /// Loads fixed fields of the header at `cursor` that its own definition looks at.
    pub(super) fn own_fixed(
        &mut self,
        protocol: &Protocol,
        cursor: Value,
        terms: &BTreeSet<Term>,
        own: &mut Own,
    ) {
        for term in terms {
            let Term::Field(FieldRef { field, .. }) = term else { continue };
            let field = &protocol.fields[*field as usize];
            if let (Place::Bit(bit), false) = (&field.place, own.values.contains_key(term)) {
                let scalars = self.load_bits(cursor, *bit, field.ty.bits(), protocol.fixed);
                own.values.insert(term.clone(), scalars);
            }
        }
    }

    /// Loads everything of a header that its definition needs to say what follows.
    pub(super) fn own_values(&mut self, protocol: &Protocol, found: &Found) -> Own {
        let mut own = found.own.clone();
        let asked_here = own_terms(protocol);
        self.own_fixed(protocol, found.cursor, &asked_here, &mut own);
        for term in &asked_here {
            self.own_optional(protocol, found, term, &mut own);
        }
        own
    }

    /// Loads everything of a header that statements ask for.
    pub(super) fn values(
        &mut self,
        header: HeaderRef,
        protocol: &Protocol,
        found: &Found,
        own: &Own,
        env: &mut Env,
    ) {
        let plan = self.plan;
        let Some(demanded) = plan.demand.values.get(&header) else { return };
        let mut own = own.clone();
        for term in demanded {
            self.demanded(protocol, found, term, &mut own, env);
        }
        options::walk(self, header, protocol, found, demanded, env);
    }

    /// A field of the header's own that is not always there.
    fn own_optional(&mut self, protocol: &Protocol, found: &Found, term: &Term, own: &mut Own) {
        let Term::Field(FieldRef { field, .. }) = term else { return };
        let definition = &protocol.fields[*field as usize];
        if definition.when.is_none() && !matches!(definition.place, Place::Computed(..))
            || own.values.contains_key(term)
        {
            return;
        }
        let (there, scalars) = self.optional_field(protocol, found, *field, own);
        own.values.insert(term.clone(), scalars);
        own.there.insert(term.clone(), there);
    }

    fn demanded(&mut self, protocol: &Protocol, found: &Found, term: &Term, own: &mut Own, env: &mut Env) {
        let protocols = &self.policy.protocols;
        let may_be_missing = is_optional(protocols, term);
        let (there, scalars) = match term {
            Term::Field(f) => {
                let this = Term::Field(FieldRef { header: Protocols::THIS, field: f.field });
                match &protocol.fields[f.field as usize].place {
                    Place::Bit(bit) if !may_be_missing => {
                        let bits = width(protocols, term);
                        let scalars = match own.values.get(&this) {
                            Some(scalars) => *scalars,
                            None => self.load_bits(found.cursor, *bit, bits, protocol.fixed),
                        };
                        (None, scalars)
                    }
                    Place::Bit(_) | Place::Computed(..) => {
                        self.own_optional(protocol, found, &this, own);
                        (Some(own.there[&this]), own.values[&this])
                    }
                    // Options are walked once for all that is asked of them.
                    Place::Option(..) | Place::OptionThere(_) => return,
                }
            }
            Term::Begin(_) => (None, Scalars { high: None, low: self.b.offset(found.cursor) }),
            Term::Slice(slice) if may_be_missing => {
                let (there, scalars) = self.slice(found, *slice);
                (Some(there), scalars)
            }
            Term::Slice(slice) => {
                let bit = u32::from(slice.offset) * 8;
                (None, self.load_bits(found.cursor, bit, slice.length * 8, protocol.fixed))
            }
            _ => return,
        };
        if let Some(there) = there {
            self.shape.set_bit(&mut self.b, env, &Bit::Term(term.clone()), Some(there));
        }
        self.shape.put(&mut self.b, env, term, scalars);
    }

    /// Bytes of a header beyond its fixed part, or behind it.
    fn slice(&mut self, found: &Found, slice: SliceRef) -> (Value, Scalars) {
        let bits = slice.length * 8;
        let last = slice.offset + u16::from(slice.length);
        let merge = self.merge(bits);
        let base = match slice.payload {
            true => self.end_of(found),
            false => {
                let ok = self.b.compare_const(Relation::Ge, found.length, u64::from(last));
                let inside = self.fresh();
                let missing = merge.missing(self);
                self.b.branch(ok, inside, missing);
                self.b.switch_to(inside);
                found.cursor
            }
        };
        let there = self.fresh();
        let missing = merge.missing(self);
        self.b.fits(base, last, there, missing);
        self.b.switch_to(there);
        let scalars = self.load_bits(base, u32::from(slice.offset) * 8, bits, last);
        merge.done(self, scalars)
    }

    /// A field with a condition or a computed place: whether it is there, and its value.
    fn optional_field(
        &mut self,
        protocol: &Protocol,
        found: &Found,
        field: u32,
        own: &mut Own,
    ) -> (Value, Scalars) {
        let definition = &protocol.fields[field as usize];
        let bits = definition.ty.bits();
        let mut needed = BTreeSet::new();
        if let Some(when) = &definition.when {
            needed.extend(base_terms(when));
        }
        if let Place::Computed(start, _) = &definition.place {
            needed.extend(base_terms(&Pred::There(start.clone())));
        }
        self.own_fixed(protocol, found.cursor, &needed, own);
        for term in &needed {
            self.own_optional(protocol, found, term, own);
        }
        let merge = self.merge(bits);
        if let Some(when) = &definition.when {
            let (there, missing) = (self.fresh(), merge.missing(self));
            self.own_cond(when, own, there.into(), missing);
            self.b.switch_to(there);
        }
        let (cursor, bit, room) = match &definition.place {
            Place::Computed(start, bit) => {
                let bytes = (*bit + u32::from(bits)).div_ceil(8) as u16;
                (self.computed_place(found, start, bytes, own, &merge), *bit, bytes)
            }
            Place::Bit(bit) => (found.cursor, *bit, protocol.fixed),
            _ => unreachable!("options are walked elsewhere"),
        };
        let scalars = self.load_bits(cursor, bit, bits, room);
        merge.done(self, scalars)
    }

    /// A cursor at a computed place of the header where `bytes` can be read.
    fn computed_place(&mut self, found: &Found, start: &Term, bytes: u16, own: &Own, merge: &Merge) -> Value {
        let at = self.own_value(start, own);
        let end = self.b.add_const(at, u64::from(bytes));
        let checks = [(Relation::Sge, at, None), (Relation::Sle, end, Some(found.length))];
        for (relation, value, bound) in checks {
            let bound = bound.unwrap_or_else(|| self.b.constant(0));
            let ok = self.b.compare(relation, value, bound);
            let (next, missing) = (self.fresh(), merge.missing(self));
            self.b.branch(ok, next, missing);
            self.b.switch_to(next);
        }
        let cursor = self.b.advance(found.cursor, at, MAX_HEADER);
        let (there, missing) = (self.fresh(), merge.missing(self));
        self.b.fits(cursor, bytes, there, missing);
        self.b.switch_to(there);
        cursor
    }

    /// A block where a value that may be missing is there or not.
    pub(super) fn merge(&mut self, bits: u8) -> Merge {
        let wide = bits > 64;
        let mut types = vec![Type::Int(1), Type::Int(bits.min(64))];
        if wide {
            types.push(Type::Int(bits - 64));
        }
        Merge { block: self.b.block(&types), wide }
    }

    /// `width` bits from `bit` on, at a cursor behind which `room` bytes may be read.
    pub(super) fn load_bits(&mut self, cursor: Value, bit: u32, width: u8, room: u16) -> Scalars {
        if width > 64 {
            let high = self.load_bits(cursor, bit, width - 64, room);
            let low = self.load_bits(cursor, bit + u32::from(width) - 64, 64, room);
            return Scalars { high: Some(high.low), low: low.low };
        }
        let (first, last) = (bit / 8, (bit + u32::from(width) - 1) / 8);
        let (bytes, after) = (last - first + 1, 7 - (bit + u32::from(width) - 1) % 8);
        let low = match container(first, bytes, u32::from(room)) {
            Some((start, size)) => {
                let loaded = self.b.load(cursor, start as u16, size as u8);
                let shift = (start + size - 1 - last) * 8 + after;
                self.b.bits(loaded, shift as u8, width)
            }
            None => {
                let whole = self.load_pieces(cursor, first, bytes.min(8));
                if bytes <= 8 {
                    self.b.bits(whole, after as u8, width)
                } else {
                    self.ninth_byte(cursor, whole, last, after, width)
                }
            }
        };
        Scalars { high: None, low }
    }

    /// A number of bytes that is no power of two, from several loads.
    fn load_pieces(&mut self, cursor: Value, first: u32, bytes: u32) -> Value {
        let mut value: Option<Value> = None;
        let (mut at, mut left) = (first, bytes);
        while left > 0 {
            let size = 1 << left.ilog2();
            let piece = self.b.load(cursor, at as u16, size as u8);
            value = Some(match value {
                None => piece,
                Some(high) => {
                    let high = self.b.binary_const(BinaryOp::Shl, high, u64::from(size * 8));
                    self.b.binary(BinaryOp::Or, high, piece)
                }
            });
            (at, left) = (at + size, left - size);
        }
        value.expect("at least one byte")
    }

    /// A value of up to 64 bits that straddles nine bytes.
    fn ninth_byte(&mut self, cursor: Value, eight: Value, last: u32, after: u32, width: u8) -> Value {
        let ninth = self.b.load(cursor, last as u16, 1);
        let low = self.b.binary_const(BinaryOp::Shr, ninth, u64::from(after));
        let shift = self.b.constant(u64::from(8 - after));
        let high = self.b.binary_as(BinaryOp::Shl, eight, shift, Type::Int(64));
        let whole = self.b.binary_as(BinaryOp::Or, high, low, Type::Int(64));
        if width == 64 { whole } else { self.b.bits(whole, 0, width) }
    }
}

/// A power-of-two load inside `room` bytes that covers `bytes` from `first` on: start and size.
fn container(first: u32, bytes: u32, room: u32) -> Option<(u32, u32)> {
    let size = bytes.next_power_of_two();
    if size > 8 || size > room {
        return None;
    }
    let start = first.min(room - size);
    (start + size >= first + bytes).then_some((start, size))
}

/// Terms of its own that a definition needs to say what follows.
fn own_terms(protocol: &Protocol) -> BTreeSet<Term> {
    let mut terms = BTreeSet::new();
    terms.extend(protocol.carries.iter().flat_map(base_terms));
    for next in &protocol.next {
        terms.extend(next.when.iter().flat_map(base_terms));
        if let Selector::Term(term) = &next.selector {
            terms.extend(base_terms(&Pred::There(term.clone())));
        }
    }
    terms
}

/// Where the ways on which a value is there and on which it is not meet.
pub(super) struct Merge {
    block: Block,
    wide: bool,
}

impl Merge {
    /// The way on which the value is missing.
    pub(super) fn missing(&self, lower: &mut Lower) -> Target {
        let zero = lower.b.constant(0);
        let args = if self.wide { vec![zero; 3] } else { vec![zero; 2] };
        Target { block: self.block, args }
    }

    /// Ends the way on which it is there and goes on behind both.
    pub(super) fn done(&self, lower: &mut Lower, scalars: Scalars) -> (Value, Scalars) {
        let one = lower.b.constant(1);
        let mut args = vec![one, scalars.low];
        args.extend(scalars.high);
        lower.b.jump(Target { block: self.block, args });
        lower.b.switch_to(self.block);
        let high = self.wide.then(|| lower.b.param(self.block, 2));
        (lower.b.param(self.block, 0), Scalars { high, low: lower.b.param(self.block, 1) })
    }
}

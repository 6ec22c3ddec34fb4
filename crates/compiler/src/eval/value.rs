//! Values of terms and truth of conditions, for one frame.

use super::walk::Header;
use crate::policy::{
    Compare, FieldRef, HeaderRef, Options, Place, Pred, Protocols, Relation, SetPart, SliceRef, Term,
};

/// `count` bits (at most 128) from bit `first` on, as a number; `None` if they are not all inside.
pub fn bits(bytes: &[u8], first: usize, count: u32) -> Option<u128> {
    let end = first + count as usize;
    if end > bytes.len() * 8 {
        return None;
    }
    let bit = |value, at: usize| value << 1 | u128::from(bytes[at / 8] >> (7 - at % 8) & 1);
    Some((first..end).fold(0, bit))
}

/// Answers whether a set holds a key.
pub(super) type Membership<'a> = dyn Fn(SetPart, &[u128]) -> bool + 'a;

/// A frame with its headers: where terms have values.
pub struct Scope<'a> {
    protocols: &'a Protocols,
    frame: &'a [u8],
    headers: &'a [Header],
    /// The header whose own definition is being evaluated.
    this: Option<&'a Header>,
    sets: Option<&'a Membership<'a>>,
}

impl<'a> Scope<'a> {
    /// For the conditions of a policy.
    pub(super) fn of_frame(
        protocols: &'a Protocols,
        frame: &'a [u8],
        headers: &'a [Header],
        sets: &'a Membership<'a>,
    ) -> Self {
        Self { protocols, frame, headers, this: None, sets: Some(sets) }
    }

    /// For the terms of a header's own definition.
    pub fn inside(protocols: &'a Protocols, frame: &'a [u8], header: &'a Header) -> Self {
        Self { protocols, frame, headers: &[], this: Some(header), sets: None }
    }

    fn header(&self, name: HeaderRef) -> Option<&Header> {
        if name == Protocols::THIS {
            return self.this;
        }
        self.headers.iter().find(|h| h.name == name)
    }

    /// The value of a term, if the packet has it.
    pub fn term(&self, term: &Term) -> Option<u128> {
        match term {
            Term::Const(value) => Some(*value),
            Term::FrameLen => Some(self.frame.len() as u128),
            Term::Begin(header) => Some(self.header(*header)?.offset as u128),
            Term::Field(field) => self.field(*field),
            Term::Slice(slice) => self.slice(*slice),
            Term::Truth(pred) => Some(u128::from(self.holds(pred))),
            Term::Binary(op, a, b) => Some(op.apply(self.term(a)?, self.term(b)?)),
        }
    }

    /// Whether a condition holds.
    pub fn holds(&self, pred: &Pred) -> bool {
        match pred {
            Pred::Const(value) => *value,
            Pred::Not(inner) => !self.holds(inner),
            Pred::And(all) => all.iter().all(|p| self.holds(p)),
            Pred::Or(any) => any.iter().any(|p| self.holds(p)),
            Pred::Header(name) => self.header(*name).is_some(),
            Pred::There(term) => self.term(term).is_some(),
            Pred::Compare(compare) => self.compare(compare).unwrap_or(false),
            Pred::In(term, ranges) => {
                self.term(term).is_some_and(|v| ranges.iter().any(|&(low, high)| low <= v && v <= high))
            }
            Pred::InSet(terms, part) => {
                let key: Option<Vec<u128>> = terms.iter().map(|t| self.term(t)).collect();
                key.is_some_and(|key| self.sets.is_some_and(|sets| sets(*part, &key)))
            }
        }
    }

    fn compare(&self, compare: &Compare) -> Option<bool> {
        let (left, right) = (self.term(&compare.left)?, self.term(&compare.right)?);
        let (signed_left, signed_right) = (left as i128, right as i128);
        Some(match compare.op {
            Relation::Eq => left == right,
            Relation::Ne => left != right,
            Relation::Lt => signed_left < signed_right,
            Relation::Le => signed_left <= signed_right,
            Relation::Gt => signed_left > signed_right,
            Relation::Ge => signed_left >= signed_right,
        })
    }

    fn slice(&self, slice: SliceRef) -> Option<u128> {
        let header = self.header(slice.header)?;
        let (start, end) = match slice.payload {
            true => (header.offset + header.length, self.frame.len()),
            false => (header.offset, header.offset + header.length),
        };
        bits(&self.frame[start..end], usize::from(slice.offset) * 8, u32::from(slice.length) * 8)
    }

    fn field(&self, name: FieldRef) -> Option<u128> {
        let header = *self.header(name.header)?;
        let definition = &self.protocols[header.name.protocol];
        let field = &definition.fields[name.field as usize];
        let own = Scope::inside(self.protocols, self.frame, &header);
        if field.when.as_ref().is_some_and(|p| !own.holds(p)) {
            return None;
        }
        let width = u32::from(field.ty.bits());
        let bytes = &self.frame[header.offset..header.offset + header.length];
        match &field.place {
            Place::Bit(first) => bits(bytes, *first as usize, width),
            Place::Computed(term, first) => {
                let start = usize::try_from(own.term(term)? as i128).ok()?;
                bits(bytes, start.checked_mul(8)? + *first as usize, width)
            }
            Place::Option(kind, first) => {
                let options = definition.options.as_ref()?;
                bits(option(options, bytes, options.kinds[*kind as usize].0)?, *first as usize, width)
            }
            Place::OptionThere(kind) => {
                let options = definition.options.as_ref()?;
                option(options, bytes, options.kinds[*kind as usize].0).map(|_| 1)
            }
        }
    }
}

/// The value of the first option of a kind. Options are read one after the other; one that is
/// shorter than its own kind and length, or longer than the header, ends the walk.
pub fn option<'a>(options: &Options, header: &'a [u8], kind: u8) -> Option<&'a [u8]> {
    let mut at = usize::from(options.from);
    for _ in 0..Options::TURNS {
        let here = *header.get(at)?;
        if Some(here) == options.end {
            return None;
        }
        if Some(here) == options.nop {
            at += 1;
            continue;
        }
        let claimed = usize::from(*header.get(at + 1)?);
        let whole = claimed + if options.length_of_value { 2 } else { 0 };
        if whole < 2 || at + whole > header.len() {
            return None;
        }
        if here == kind {
            return Some(&header[at + 2..at + whole]);
        }
        at += whole;
    }
    None
}

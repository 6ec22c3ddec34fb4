//! One header in the making.

use super::solve;
use crate::eval::{self, Scope};
use crate::policy::{
    FieldRef, HeaderRef, Options, Place, Pred, Protocol, ProtocolId, Protocols, Selector, Term,
};
use std::collections::BTreeMap;

/// A header in the making.
pub(super) struct Header<'a> {
    protocols: &'a Protocols,
    /// Which.
    pub(super) name: HeaderRef,
    /// Its bytes so far.
    pub(super) bytes: Vec<u8>,
    /// Fields that the packet names: they are never changed for the sake of others.
    pub(super) given: BTreeMap<u32, u128>,
}

impl<'a> Header<'a> {
    pub(super) fn new(protocols: &'a Protocols, name: HeaderRef) -> Self {
        let fixed = usize::from(protocols[name.protocol].fixed);
        Self { protocols, name, bytes: vec![0; fixed], given: BTreeMap::new() }
    }

    pub(super) fn definition(&self) -> &'a Protocol {
        &self.protocols[self.name.protocol]
    }

    fn place(&self) -> eval::Header {
        eval::Header { name: self.name, offset: 0, length: self.bytes.len() }
    }

    pub(super) fn holds(&self, pred: &Pred) -> bool {
        Scope::inside(self.protocols, &self.bytes, &self.place()).holds(pred)
    }

    pub(super) fn value(&self, term: &Term) -> Option<u128> {
        Scope::inside(self.protocols, &self.bytes, &self.place()).term(term)
    }

    /// Sets a field unless the packet names it.
    pub(super) fn set_default(&mut self, field: u32, value: u128) {
        if !self.overlaps_given(field) {
            self.write(field, value);
        }
    }

    /// Whether a field shares bits with one that the packet names.
    fn overlaps_given(&self, field: u32) -> bool {
        let fields = &self.definition().fields;
        let span = |index: u32| match fields[index as usize].place {
            Place::Bit(bit) => Some((bit, bit + u32::from(fields[index as usize].ty.bits()))),
            _ => None,
        };
        self.given.keys().any(|&given| {
            given == field
                || matches!((span(given), span(field)), (Some(a), Some(b)) if a.0 < b.1 && b.0 < a.1)
        })
    }

    /// Sets what the packet names, and what that needs: the flag of an optional field.
    pub(super) fn give(&mut self) {
        for field in self.given.keys().copied().collect::<Vec<_>>() {
            if let Some(when) = self.definition().fields[field as usize].when.clone() {
                solve::satisfy(self, &when);
            }
        }
        self.write_given();
    }

    /// Writes every named field.
    pub(super) fn write_given(&mut self) {
        for (field, value) in self.given.clone() {
            self.write(field, value);
        }
    }

    fn write(&mut self, field: u32, value: u128) {
        let definition = &self.definition().fields[field as usize];
        let first = match &definition.place {
            Place::Bit(bit) => Some(*bit as usize),
            Place::Computed(start, bit) => {
                self.value(start).and_then(|s| usize::try_from(s).ok()).map(|s| s * 8 + *bit as usize)
            }
            _ => None,
        };
        let width = usize::from(definition.ty.bits());
        if let Some(first) = first.filter(|first| first + width <= self.bytes.len() * 8) {
            write_bits(&mut self.bytes, first, width, value);
        }
    }

    /// Makes the header as long as its fields and options want it.
    pub(super) fn grow(&mut self) {
        let options = self.option_bytes();
        let definition = self.definition();
        if !options.is_empty() {
            let from = definition.options.as_ref().map_or(0, |o| usize::from(o.from));
            self.bytes.resize(from.max(self.bytes.len()), 0);
            self.bytes.truncate(from.max(usize::from(definition.fixed)));
            self.bytes.splice(from.., options);
            let granule = granule(&definition.length) as usize;
            let padded = self.bytes.len().div_ceil(granule) * granule;
            self.bytes.resize(padded.max(usize::from(definition.fixed)), 0);
        }
        let wanted = self.bytes.len() as u128;
        if self.value(&definition.length).is_none_or(|length| length < wanted) {
            solve::reach(self, &definition.length, wanted);
        }
        let length = self.value(&definition.length).unwrap_or(wanted);
        if (wanted..=4096).contains(&length) {
            self.bytes.resize(length as usize, 0);
        }
        self.write_given();
    }

    /// Kind, length and value of every option that the packet names, then an end where there is one.
    fn option_bytes(&self) -> Vec<u8> {
        let Some(options) = &self.definition().options else { return Vec::new() };
        let mut values: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
        for (&field, &value) in &self.given {
            let definition = &self.definition().fields[field as usize];
            match definition.place {
                Place::OptionThere(kind) if value != 0 => {
                    values.entry(kind).or_default();
                }
                Place::Option(kind, bit) => {
                    let whole = self.option_width(kind);
                    let bytes = values.entry(kind).or_default();
                    bytes.resize(whole, 0);
                    write_bits(bytes, bit as usize, usize::from(definition.ty.bits()), value);
                }
                _ => {}
            }
        }
        values.into_iter().flat_map(|(kind, value)| one_option(options, kind, &value)).collect()
    }

    /// How many bytes all fields of an option take.
    fn option_width(&self, wanted: u32) -> usize {
        let ends = self.definition().fields.iter().filter_map(|f| match f.place {
            Place::Option(kind, bit) if kind == wanted => Some(bit + u32::from(f.ty.bits())),
            _ => None,
        });
        ends.max().unwrap_or(0).div_ceil(8) as usize
    }

    /// Makes `next` select a protocol.
    pub(super) fn select(&mut self, next: ProtocolId) {
        let definition = self.definition();
        if let Some(carries) = &definition.carries {
            solve::satisfy(self, carries);
        }
        for entry in &definition.next {
            let Some(row) = entry.table.iter().find(|row| row.1 == next) else { continue };
            if let Some(when) = &entry.when {
                solve::satisfy(self, when);
            }
            if let Selector::Term(term) = &entry.selector {
                if let Term::Field(FieldRef { field, .. }) = term
                    && let Some(when) = &definition.fields[*field as usize].when
                {
                    solve::satisfy(self, when);
                }
                solve::reach(self, term, row.0);
            }
            return;
        }
    }
}

fn one_option(options: &Options, kind: u32, value: &[u8]) -> Vec<u8> {
    let counted = if options.length_of_value { value.len() } else { value.len() + 2 };
    let mut bytes = vec![options.kinds[kind as usize].0, counted as u8];
    bytes.extend(value);
    bytes
}

/// The steps in which a header's length grows.
fn granule(length: &Term) -> u64 {
    match length {
        Term::Binary(crate::syntax::ast::ArithmeticOp::Mul, _, factor) => match **factor {
            Term::Const(factor) => factor.max(1) as u64,
            _ => 1,
        },
        Term::Binary(crate::syntax::ast::ArithmeticOp::Add, a, _) => granule(a),
        _ => 1,
    }
}

/// Writes the low `width` bits of a number.
pub(crate) fn write_bits(bytes: &mut [u8], first: usize, width: usize, value: u128) {
    for bit in 0..width {
        let at = first + bit;
        let mask = 0x80 >> (at % 8);
        match value >> (width - 1 - bit) & 1 {
            0 => bytes[at / 8] &= !mask,
            _ => bytes[at / 8] |= mask,
        }
    }
}

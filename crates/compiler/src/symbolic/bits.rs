//! Which bits of a packet are asked for, cut so that no two questions overlap by halves.
//!
//! `tcp.flags & 0x12`, `tcp.flags.syn` and `tcp[12:2]` share bits. Every place where one of them (or
//! a run of a mask) begins or ends is a cut, and what lies between two cuts is a variable of its own.

use super::rename::{about, term_about};
use crate::policy::{FieldRef, HeaderRef, Place, Pred, Protocols, Term};
use crate::syntax::ast::ArithmeticOp;
use std::collections::{BTreeMap, BTreeSet};

/// Where bits are counted from.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Region {
    /// The header's first bit.
    Header,
    /// The first bit behind it.
    Payload,
    /// The first bit of an option's value; index into [`crate::policy::Options::kinds`].
    Option(u32),
    /// So many bytes into the header, as its definition computes it.
    At(Box<Term>),
}

/// Bits of a packet.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Spot {
    /// Whose.
    pub header: HeaderRef,
    /// Counted from where.
    pub region: Region,
    /// The first.
    pub first: u32,
    /// How many, at most 128.
    pub width: u32,
}

/// The bits of a field or slice; an option's presence has none.
pub fn spot(protocols: &Protocols, term: &Term) -> Option<Spot> {
    match term {
        Term::Slice(slice) => Some(Spot {
            header: slice.header,
            region: if slice.payload { Region::Payload } else { Region::Header },
            first: u32::from(slice.offset) * 8,
            width: u32::from(slice.length) * 8,
        }),
        Term::Field(FieldRef { header, field }) => {
            let field = &protocols[header.protocol].fields[*field as usize];
            let (region, first) = match &field.place {
                Place::Bit(first) => (Region::Header, *first),
                Place::Computed(start, first) => (Region::At(Box::new(start.clone())), *first),
                Place::Option(kind, first) => (Region::Option(*kind), *first),
                Place::OptionThere(_) => return None,
            };
            Some(Spot { header: *header, region, first, width: u32::from(field.ty.bits()) })
        }
        _ => None,
    }
}

/// A field or slice with a constant mask over it.
pub(super) fn masked(term: &Term) -> Option<(&Term, u128)> {
    match term {
        Term::Field(_) | Term::Slice(_) => Some((term, u128::MAX)),
        Term::Binary(ArithmeticOp::And, a, b) => match (&**a, &**b) {
            (Term::Const(mask), inner) | (inner, Term::Const(mask)) => {
                let (inner, outer) = masked(inner)?;
                Some((inner, outer & mask))
            }
            _ => None,
        },
        _ => None,
    }
}

/// What a spot or a set of them is filed under.
pub type Home = (HeaderRef, Region);

/// All bits that are asked for.
#[derive(Default)]
pub(super) struct Asked {
    spans: BTreeMap<Home, BTreeSet<(u32, u32)>>,
    cuts: BTreeMap<Home, BTreeSet<u32>>,
    /// How many bytes must follow a header, for any question.
    pub behind: BTreeMap<HeaderRef, BTreeSet<u32>>,
    /// Whether the frame's length matters.
    pub frame_len: bool,
}

impl Asked {
    /// Adds what a condition asks for.
    pub(super) fn pred(&mut self, protocols: &Protocols, pred: &Pred) {
        visit(pred, &mut |term| self.term(protocols, term));
    }

    fn term(&mut self, protocols: &Protocols, term: &Term) {
        if let Some((inner, mask)) = masked(term) {
            self.bits(protocols, inner, mask);
            return;
        }
        match term {
            Term::FrameLen => self.frame_len = true,
            Term::Binary(_, a, b) => {
                self.term(protocols, a);
                self.term(protocols, b);
            }
            Term::Truth(pred) => self.pred(protocols, pred),
            _ => {}
        }
    }

    fn bits(&mut self, protocols: &Protocols, term: &Term, mask: u128) {
        if let Some(presence) = presence(protocols, term) {
            self.pred(protocols, &presence);
        }
        let Some(Spot { header, region, first, width }) = spot(protocols, term) else { return };
        if region == Region::Payload {
            self.behind.entry(header).or_default().insert((first + width).div_ceil(8));
        }
        let home = (header, region);
        self.spans.entry(home.clone()).or_default().insert((first, first + width));
        let cuts = self.cuts.entry(home).or_default();
        cuts.extend([first, first + width]);
        let bit = |at: u32| mask >> (width - 1 - at) & 1;
        cuts.extend((1..width).filter(|&at| bit(at) != bit(at - 1)).map(|at| first + at));
    }

    /// Whether a definition's condition touches bits that are asked for.
    pub(super) fn touches(&self, protocols: &Protocols, pred: &Pred) -> bool {
        let mut touched = false;
        visit(pred, &mut |term| {
            leaves(term, &mut |leaf| {
                touched |= match spot(protocols, leaf) {
                    Some(spot) => self.overlaps(&spot),
                    None => *leaf == Term::FrameLen && self.frame_len,
                }
            })
        });
        touched
    }

    fn overlaps(&self, spot: &Spot) -> bool {
        let home = (spot.header, spot.region.clone());
        let spans = self.spans.get(&home).into_iter().flatten();
        spans.into_iter().any(|&(from, to)| from < spot.first + spot.width && spot.first < to)
    }

    /// The bits between neighbouring cuts, where they are asked for: first and width.
    pub(super) fn segments(&self) -> Vec<(Home, Vec<(u32, u32)>)> {
        let of_home = |(home, cuts): (&Home, &BTreeSet<u32>)| {
            let cuts: Vec<u32> = cuts.iter().copied().collect();
            let between = cuts.windows(2).map(|pair| (pair[0], pair[1]));
            let asked = between
                .filter(|(from, to)| self.spans[home].iter().any(|span| span.0 <= *from && *to <= span.1));
            (home.clone(), asked.map(|(from, to)| (from, to - from)).collect())
        };
        self.cuts.iter().map(of_home).collect()
    }
}

/// When a field or slice is there, given that its header is; nothing if always.
pub(super) fn presence(protocols: &Protocols, term: &Term) -> Option<Pred> {
    use crate::policy::{Compare, Relation};
    let spot = spot(protocols, term)?;
    let definition = &protocols[spot.header.protocol];
    let length = term_about(spot.header, &definition.length);
    let at_least = |left: Term, right: Term| Pred::Compare(Compare { op: Relation::Ge, left, right });
    let end = (spot.first + spot.width).div_ceil(8);
    let mut all = Vec::new();
    if let Term::Field(FieldRef { header, field }) = term {
        all.extend(definition.fields[*field as usize].when.as_ref().map(about(*header)));
    }
    match &spot.region {
        Region::Header if end > u32::from(definition.fixed) => {
            all.push(at_least(length, Term::Const(u128::from(end))));
        }
        Region::At(start) => {
            let start = term_about(spot.header, start);
            let behind = Term::Binary(ArithmeticOp::Sub, Box::new(length), Box::new(start.clone()));
            all.push(at_least(start, Term::Const(0)));
            all.push(at_least(behind, Term::Const(u128::from(end))));
        }
        _ => {}
    }
    (!all.is_empty()).then_some(Pred::And(all))
}

/// The terms that a condition compares, as it writes them.
pub(super) fn visit<'p>(pred: &'p Pred, see: &mut dyn FnMut(&'p Term)) {
    match pred {
        Pred::Const(_) | Pred::Header(_) => {}
        Pred::Not(inner) => visit(inner, see),
        Pred::And(list) | Pred::Or(list) => list.iter().for_each(|p| visit(p, see)),
        Pred::There(term) | Pred::In(term, _) => see(term),
        Pred::Compare(compare) => {
            see(&compare.left);
            see(&compare.right);
        }
        Pred::InSet(terms, _) => terms.iter().for_each(see),
    }
}

/// The terms that a term is made of.
pub(super) fn leaves<'t>(term: &'t Term, see: &mut dyn FnMut(&'t Term)) {
    match term {
        Term::Binary(_, a, b) => {
            leaves(a, see);
            leaves(b, see);
        }
        Term::Truth(pred) => visit(pred, &mut |inner| leaves(inner, see)),
        other => see(other),
    }
}

/// The fields and slices that a condition looks at.
pub fn asked_terms(pred: &Pred) -> Vec<Term> {
    let mut terms = Vec::new();
    visit(pred, &mut |term| leaves(term, &mut |leaf| terms.push(leaf.clone())));
    terms.retain(|term| matches!(term, Term::Field(_) | Term::Slice(_)));
    terms
}

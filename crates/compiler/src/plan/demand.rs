//! What the statements of a policy ask of a packet.

use crate::policy::{HeaderRef, Place, Policy, Pred, Protocols, SliceRef, Term};
use std::collections::{BTreeMap, BTreeSet};

/// Headers and values that some statement asks for.
#[derive(Clone, Default, Debug)]
pub struct Demand {
    /// Headers whose presence matters.
    pub headers: BTreeSet<HeaderRef>,
    /// Fields and slices whose values matter, by header.
    pub values: BTreeMap<HeaderRef, BTreeSet<Term>>,
}

impl Demand {
    /// Adds what a condition asks for.
    fn pred(&mut self, pred: &Pred) {
        visit_pred(pred, &mut |asked| match asked {
            Asked::Header(header) => {
                self.headers.insert(header);
            }
            Asked::Term(term) => {
                if let Some(header) = header_of(term) {
                    self.headers.insert(header);
                    self.values.entry(header).or_default().insert(term.clone());
                }
            }
        });
    }

    /// Which headers to know statically, the most first: all; those that other headers hang on
    /// (the outer ones); the outer address families and transports; none.
    pub fn static_choices(&self, protocols: &Protocols) -> Vec<BTreeSet<HeaderRef>> {
        let outer: BTreeSet<_> = self.headers.iter().copied().filter(|h| h.level == 0).collect();
        let families: BTreeSet<_> = outer
            .iter()
            .copied()
            .filter(|h| {
                let in_family = protocols.families.iter().any(|f| f.members.contains(&h.protocol));
                let name = protocols[h.protocol].name.as_str();
                in_family || name == "tcp" || name == "udp"
            })
            .collect();
        let only_families: BTreeSet<_> =
            families.iter().copied().filter(|h| !protocols[h.protocol].transport).collect();
        let mut choices = vec![self.headers.clone(), outer, families, only_families, BTreeSet::new()];
        choices.dedup();
        choices
    }
}

/// What is asked for by these conditions, and by what the statements do.
pub(super) fn demand(policy: &Policy, conditions: &[Pred]) -> Demand {
    let mut demand = Demand::default();
    for (statement, condition) in policy.statements.iter().zip(conditions) {
        demand.pred(condition);
        for term in statement.action.terms(&policy.protocols) {
            demand.pred(&Pred::There(term));
        }
    }
    demand
}

enum Asked<'a> {
    Header(HeaderRef),
    Term(&'a Term),
}

fn visit_pred<'p>(pred: &'p Pred, ask: &mut impl FnMut(Asked<'p>)) {
    match pred {
        Pred::Const(_) => {}
        Pred::Not(inner) => visit_pred(inner, ask),
        Pred::And(list) | Pred::Or(list) => list.iter().for_each(|p| visit_pred(p, ask)),
        Pred::Header(header) => ask(Asked::Header(*header)),
        Pred::There(term) | Pred::In(term, _) => visit_term(term, ask),
        Pred::Compare(compare) => {
            visit_term(&compare.left, ask);
            visit_term(&compare.right, ask);
        }
        Pred::InSet(terms, _) => terms.iter().for_each(|t| visit_term(t, ask)),
    }
}

fn visit_term<'p>(term: &'p Term, ask: &mut impl FnMut(Asked<'p>)) {
    match term {
        Term::Const(_) | Term::FrameLen => {}
        Term::Field(_) | Term::Slice(_) | Term::Begin(_) => ask(Asked::Term(term)),
        Term::Binary(_, a, b) => {
            visit_term(a, ask);
            visit_term(b, ask);
        }
        Term::Truth(pred) => visit_pred(pred, ask),
    }
}

fn header_of(term: &Term) -> Option<HeaderRef> {
    match term {
        Term::Field(field) => Some(field.header),
        Term::Slice(slice) => Some(slice.header),
        Term::Begin(header) => Some(*header),
        _ => None,
    }
}

/// The fields and slices that a condition looks at.
pub fn base_terms(pred: &Pred) -> BTreeSet<Term> {
    let mut terms = BTreeSet::new();
    visit_pred(pred, &mut |asked| {
        if let Asked::Term(term) = asked {
            terms.insert(term.clone());
        }
    });
    terms
}

/// The headers that a condition asks for, themselves or for their values.
pub fn headers_asked(pred: &Pred) -> BTreeSet<HeaderRef> {
    let mut demand = Demand::default();
    demand.pred(pred);
    demand.headers
}

/// The width of a value in bits; what is calculated has 64.
pub fn width(protocols: &Protocols, term: &Term) -> u8 {
    match term {
        Term::Field(f) => protocols[f.header.protocol].fields[f.field as usize].ty.bits(),
        Term::Slice(slice) => slice.length * 8,
        Term::FrameLen => 32,
        Term::Begin(_) => 16,
        _ => 64,
    }
}

/// Whether a value may be missing although its header is there.
pub fn is_optional(protocols: &Protocols, term: &Term) -> bool {
    match term {
        Term::Field(f) => {
            let field = &protocols[f.header.protocol].fields[f.field as usize];
            field.when.is_some() || !matches!(field.place, Place::Bit(_))
        }
        Term::Slice(slice) => slice.payload || !inside_fixed(protocols, slice),
        _ => false,
    }
}

fn inside_fixed(protocols: &Protocols, slice: &SliceRef) -> bool {
    slice.offset + u16::from(slice.length) <= protocols[slice.header.protocol].fixed
}

//! What is left of a condition when it is known which headers are there.

use super::{Compare, HeaderRef, Pred, Relation, Term};

/// What is known of a header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Presence {
    Yes,
    No,
    Unknown,
}

/// Simplifies a condition; the result has no `Const` inside another condition.
pub fn simplify(pred: &Pred, presence: &impl Fn(HeaderRef) -> Presence) -> Pred {
    match pred {
        Pred::Const(value) => Pred::Const(*value),
        Pred::Not(inner) => match simplify(inner, presence) {
            Pred::Const(value) => Pred::Const(!value),
            Pred::Not(inner) => *inner,
            other => Pred::Not(Box::new(other)),
        },
        Pred::And(list) => joined(list, presence, false),
        Pred::Or(list) => joined(list, presence, true),
        Pred::Header(header) => match presence(*header) {
            Presence::Yes => Pred::Const(true),
            Presence::No => Pred::Const(false),
            Presence::Unknown => pred.clone(),
        },
        Pred::There(term) => kept(pred, absent(term, presence)),
        Pred::In(term, ranges) => kept(pred, ranges.is_empty() || absent(term, presence)),
        Pred::InSet(terms, _) => kept(pred, terms.iter().any(|t| absent(t, presence))),
        Pred::Compare(compare) => comparison(compare, presence),
    }
}

fn kept(pred: &Pred, never: bool) -> Pred {
    if never { Pred::Const(false) } else { pred.clone() }
}

fn comparison(compare: &Compare, presence: &impl Fn(HeaderRef) -> Presence) -> Pred {
    if absent(&compare.left, presence) || absent(&compare.right, presence) {
        return Pred::Const(false);
    }
    if let (Term::Const(a), Term::Const(b)) = (&compare.left, &compare.right) {
        let (signed_a, signed_b) = (*a as i128, *b as i128);
        return Pred::Const(match compare.op {
            Relation::Eq => a == b,
            Relation::Ne => a != b,
            Relation::Lt => signed_a < signed_b,
            Relation::Le => signed_a <= signed_b,
            Relation::Gt => signed_a > signed_b,
            Relation::Ge => signed_a >= signed_b,
        });
    }
    Pred::Compare(compare.clone())
}

/// An `or` (`absorbing` true) or `and` of conditions.
fn joined(list: &[Pred], presence: &impl Fn(HeaderRef) -> Presence, absorbing: bool) -> Pred {
    let mut rest = Vec::new();
    for part in list {
        match simplify(part, presence) {
            Pred::Const(value) if value == absorbing => return Pred::Const(absorbing),
            Pred::Const(_) => {}
            Pred::Or(more) if absorbing => rest.extend(more),
            Pred::And(more) if !absorbing => rest.extend(more),
            other => rest.push(other),
        }
    }
    match (rest.len(), absorbing) {
        (0, _) => Pred::Const(!absorbing),
        (1, _) => rest.remove(0),
        (_, true) => Pred::Or(rest),
        (_, false) => Pred::And(rest),
    }
}

/// Whether the term is certainly not in the packet.
fn absent(term: &Term, presence: &impl Fn(HeaderRef) -> Presence) -> bool {
    match term {
        Term::Const(_) | Term::FrameLen | Term::Truth(_) => false,
        Term::Begin(header) => presence(*header) == Presence::No,
        Term::Field(field) => presence(field.header) == Presence::No,
        Term::Slice(slice) => presence(slice.header) == Presence::No,
        Term::Binary(_, a, b) => absent(a, presence) || absent(b, presence),
    }
}

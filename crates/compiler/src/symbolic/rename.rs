//! The same condition about another header, or another set.

use crate::policy::{Compare, FieldRef, HeaderRef, Pred, Protocols, SetPart, SliceRef, Term};

/// What is called otherwise.
pub struct Names<'a> {
    /// Headers.
    pub header: &'a dyn Fn(HeaderRef) -> HeaderRef,
    /// Sets.
    pub set: &'a dyn Fn(SetPart) -> SetPart,
}

impl Names<'_> {
    /// A condition.
    pub fn pred(&self, pred: &Pred) -> Pred {
        let all = |list: &[Pred]| list.iter().map(|p| self.pred(p)).collect();
        match pred {
            Pred::Const(value) => Pred::Const(*value),
            Pred::Not(inner) => Pred::Not(Box::new(self.pred(inner))),
            Pred::And(list) => Pred::And(all(list)),
            Pred::Or(list) => Pred::Or(all(list)),
            Pred::Header(header) => Pred::Header((self.header)(*header)),
            Pred::There(term) => Pred::There(self.term(term)),
            Pred::Compare(Compare { op, left, right }) => {
                Pred::Compare(Compare { op: *op, left: self.term(left), right: self.term(right) })
            }
            Pred::In(term, ranges) => Pred::In(self.term(term), ranges.clone()),
            Pred::InSet(terms, part) => {
                Pred::InSet(terms.iter().map(|t| self.term(t)).collect(), (self.set)(*part))
            }
        }
    }

    /// A term.
    pub fn term(&self, term: &Term) -> Term {
        match term {
            Term::Const(_) | Term::FrameLen => term.clone(),
            Term::Begin(header) => Term::Begin((self.header)(*header)),
            Term::Field(field) => Term::Field(FieldRef { header: (self.header)(field.header), ..*field }),
            Term::Slice(slice) => Term::Slice(SliceRef { header: (self.header)(slice.header), ..*slice }),
            Term::Binary(op, a, b) => Term::Binary(*op, Box::new(self.term(a)), Box::new(self.term(b))),
            Term::Truth(pred) => Term::Truth(Box::new(self.pred(pred))),
        }
    }
}

/// What a definition says of its own header, said of `header`.
pub(super) fn about(header: HeaderRef) -> impl Fn(&Pred) -> Pred {
    move |pred| with_header(|name| if name == Protocols::THIS { header } else { name }, |n| n.pred(pred))
}

/// The same for terms.
pub(super) fn term_about(header: HeaderRef, term: &Term) -> Term {
    with_header(|name| if name == Protocols::THIS { header } else { name }, |names| names.term(term))
}

/// What is said of `header`, as its definition would say it.
pub(super) fn of_itself(header: HeaderRef, pred: &Pred) -> Pred {
    with_header(|name| if name == header { Protocols::THIS } else { name }, |names| names.pred(pred))
}

fn with_header<T>(header: impl Fn(HeaderRef) -> HeaderRef, say: impl FnOnce(&Names) -> T) -> T {
    say(&Names { header: &header, set: &|part| part })
}

//! What a frame holds, by the evaluator's walk.

use crate::eval::{self, Header, Scope, walk};
use crate::policy::{FieldRef, HeaderRef, Protocols, Term};
use crate::symbolic::{Region, Sum};

/// A frame with its headers.
pub(super) struct Reader<'f> {
    protocols: &'f Protocols,
    frame: &'f [u8],
    headers: Vec<Header>,
}

impl<'f> Reader<'f> {
    /// Walks a frame.
    pub(super) fn new(protocols: &'f Protocols, frame: &'f [u8]) -> Self {
        Self { protocols, frame, headers: walk(protocols, frame) }
    }

    /// The headers, outermost first.
    pub(super) fn headers(&self) -> &[Header] {
        &self.headers
    }

    /// The names of the first headers.
    pub(super) fn names(&self, count: usize) -> Vec<HeaderRef> {
        self.headers.iter().take(count).map(|header| header.name).collect()
    }

    /// Where the first `count` headers end.
    pub(super) fn end_of(&self, count: usize) -> Option<usize> {
        match count {
            0 => Some(0),
            _ => self.headers.get(count - 1).map(|header| header.offset + header.length),
        }
    }

    /// Where a header ends.
    pub(super) fn end(&self, name: HeaderRef) -> Option<usize> {
        self.find(name).map(|header| header.offset + header.length)
    }

    fn find(&self, name: HeaderRef) -> Option<&Header> {
        self.headers.iter().find(|header| header.name == name)
    }

    /// Where bits are counted from, in bytes.
    pub(super) fn start(&self, name: HeaderRef, region: &Region) -> Option<usize> {
        let header = self.find(name)?;
        match region {
            Region::Header => Some(header.offset),
            Region::Payload => Some(header.offset + header.length),
            Region::At(start) => {
                let scope = Scope::inside(self.protocols, self.frame, header);
                Some(header.offset + usize::try_from(scope.term(start)?).ok()?)
            }
            Region::Option(kind) => {
                let options = self.protocols[name.protocol].options.as_ref()?;
                let bytes = &self.frame[header.offset..header.offset + header.length];
                let value = eval::option(options, bytes, options.kinds[*kind as usize].0)?;
                Some(value.as_ptr() as usize - self.frame.as_ptr() as usize)
            }
        }
    }

    /// The value of some bits.
    pub(super) fn bits(&self, name: HeaderRef, region: &Region, first: u32, width: u32) -> Option<u128> {
        eval::bits(self.frame, self.start(name, region)? * 8 + first as usize, width)
    }

    /// The value of a term.
    pub(super) fn term(&self, term: &Term) -> Option<u128> {
        use crate::syntax::ast::ArithmeticOp;
        match term {
            Term::Const(value) => Some(*value),
            Term::FrameLen => Some(self.frame.len() as u128),
            Term::Field(FieldRef { header, field }) => {
                let there = self.find(*header)?;
                let own = Term::Field(FieldRef { header: Protocols::THIS, field: *field });
                Scope::inside(self.protocols, self.frame, there).term(&own)
            }
            Term::Slice(slice) => {
                let region = if slice.payload { Region::Payload } else { Region::Header };
                self.bits(slice.header, &region, u32::from(slice.offset) * 8, u32::from(slice.length) * 8)
            }
            Term::Binary(op, a, b) => {
                let (a, b) = (self.term(a)?, self.term(b)?);
                Some(match op {
                    ArithmeticOp::Add => a.wrapping_add(b),
                    ArithmeticOp::Sub => a.wrapping_sub(b),
                    ArithmeticOp::Mul => a.wrapping_mul(b),
                    ArithmeticOp::And => a & b,
                })
            }
            Term::Truth(_) => None,
        }
    }
}

/// The value of a sum.
pub(super) fn value(protocols: &Protocols, frame: &[u8], sum: &Sum) -> Option<i128> {
    let reader = Reader::new(protocols, frame);
    let part = |(term, times): (&Term, &i128)| Some((reader.term(term)? as i128).wrapping_mul(*times));
    sum.parts.iter().map(part).try_fold(sum.constant, |total, part| Some(total.wrapping_add(part?)))
}

//! What a frame holds, by the evaluator's walk; and what a function comes to for it.

use super::bits::asked_terms;
use super::rename::of_itself;
use super::{Node, Region, Space, Sum, Variable, shift};
use crate::eval::{self, Header, Scope, walk};
use crate::policy::{FieldRef, HeaderRef, Pred, Protocols, Term};
use std::collections::BTreeSet;

/// A frame with its headers.
pub struct Reader<'f> {
    protocols: &'f Protocols,
    frame: &'f [u8],
    headers: Vec<Header>,
}

impl<'f> Reader<'f> {
    /// Walks a frame.
    pub fn new(protocols: &'f Protocols, frame: &'f [u8]) -> Self {
        Self { protocols, frame, headers: walk(protocols, frame) }
    }

    /// The headers, outermost first.
    pub fn headers(&self) -> &[Header] {
        &self.headers
    }

    /// The names of the first headers.
    pub fn names(&self, count: usize) -> Vec<HeaderRef> {
        self.headers.iter().take(count).map(|header| header.name).collect()
    }

    /// Where the first `count` headers end.
    pub fn end_of(&self, count: usize) -> Option<usize> {
        match count {
            0 => Some(0),
            _ => self.headers.get(count - 1).map(|header| header.offset + header.length),
        }
    }

    /// Where a header ends.
    pub fn end(&self, name: HeaderRef) -> Option<usize> {
        self.find(name).map(|header| header.offset + header.length)
    }

    fn find(&self, name: HeaderRef) -> Option<&Header> {
        self.headers.iter().find(|header| header.name == name)
    }

    /// Where bits are counted from, in bytes.
    pub fn start(&self, name: HeaderRef, region: &Region) -> Option<usize> {
        let header = self.find(name)?;
        match region {
            Region::Header => Some(header.offset),
            Region::Payload => Some(header.offset + header.length),
            Region::At(start) => {
                let scope = Scope::inside(self.protocols, self.frame, header);
                Some(header.offset + usize::try_from(scope.term(start)?).ok()?)
            }
            Region::Option(kind) => {
                let value = self.option(name, *kind)?;
                Some(value.as_ptr() as usize - self.frame.as_ptr() as usize)
            }
        }
    }

    /// The value of some bits.
    pub fn bits(&self, name: HeaderRef, region: &Region, first: u32, width: u32) -> Option<u128> {
        eval::bits(self.frame, self.start(name, region)? * 8 + first as usize, width)
    }

    /// The bytes of an option's value.
    fn option(&self, name: HeaderRef, kind: u32) -> Option<&'f [u8]> {
        let header = self.find(name)?;
        let options = self.protocols[name.protocol].options.as_ref()?;
        let bytes = &self.frame[header.offset..header.offset + header.length];
        eval::option(options, bytes, options.kinds[kind as usize].0)
    }

    /// The value of a term.
    pub fn term(&self, term: &Term) -> Option<u128> {
        match term {
            Term::Const(value) => Some(*value),
            Term::FrameLen => Some(self.frame.len() as u128),
            Term::Begin(header) => Some(self.find(*header)?.offset as u128),
            Term::Field(FieldRef { header, field }) => {
                let there = self.find(*header)?;
                let own = Term::Field(FieldRef { header: Protocols::THIS, field: *field });
                Scope::inside(self.protocols, self.frame, there).term(&own)
            }
            Term::Slice(slice) => {
                let region = if slice.payload { Region::Payload } else { Region::Header };
                self.bits(slice.header, &region, u32::from(slice.offset) * 8, u32::from(slice.length) * 8)
            }
            Term::Binary(op, a, b) => Some(op.apply(self.term(a)?, self.term(b)?)),
            Term::Truth(pred) => self.truth(pred).map(u128::from),
        }
    }

    /// Whether a condition over one header's own fields holds.
    fn truth(&self, pred: &Pred) -> Option<bool> {
        let header = asked_terms(pred).iter().find_map(|term| match term {
            Term::Field(field) => Some(field.header),
            Term::Slice(slice) => Some(slice.header),
            _ => None,
        })?;
        let scope = Scope::inside(self.protocols, self.frame, self.find(header)?);
        Some(scope.holds(&of_itself(header, pred)))
    }
}

/// The value of a sum.
pub fn value(protocols: &Protocols, frame: &[u8], sum: &Sum) -> Option<i128> {
    let reader = Reader::new(protocols, frame);
    let part = |(term, times): (&Term, &i128)| Some((reader.term(term)? as i128).wrapping_mul(*times));
    sum.parts.iter().map(part).try_fold(sum.constant, |total, part| Some(total.wrapping_add(part?)))
}

impl Space<'_> {
    /// The class of a frame.
    pub fn class_of(&self, frame: &[u8]) -> Option<usize> {
        let reader = Reader::new(self.protocols(), frame);
        let told = reader.headers().iter().map(|header| header.name).filter(|name| self.tells(*name));
        let told = told.collect();
        self.classes.iter().position(|class| class.headers == told)
    }

    /// Whether a condition holds for a frame, nothing having been added to live sets. Bits of a header that
    /// is not there may be any: what a class's packets are known by may speak of the header that they lack.
    pub fn holds(&self, condition: Node, frame: &[u8]) -> bool {
        let reader = Reader::new(self.protocols(), frame);
        // Many ways lead to one node where bits may be any, so each is gone through once.
        let (mut seen, mut todo) = (BTreeSet::new(), vec![condition]);
        while let Some(node) = todo.pop() {
            if node == Node::TRUE {
                return true;
            }
            let Some(branch) = self.diagrams.branch(node).filter(|_| seen.insert(node)) else { continue };
            match reader.variable(self.name(branch.variable)) {
                Some(value) => {
                    let way = branch.ways.partition_point(|way| way.to < value);
                    todo.push(branch.ways[way].node);
                }
                None => todo.extend(branch.ways.iter().map(|way| way.node)),
            }
        }
        false
    }
}

impl Reader<'_> {
    /// The value of a variable, if the frame says it.
    fn variable(&self, variable: &Variable) -> Option<u128> {
        match variable {
            Variable::Bits((header, region), first, width) => self.bits(*header, region, *first, *width),
            Variable::Header(header) => Some(u128::from(self.find(*header).is_some())),
            Variable::Behind(header) => Some((self.frame.len() - self.end(*header)?) as u128),
            Variable::Option(header, kind) => {
                self.find(*header)?;
                Some(self.option(*header, *kind).map_or(0, |value| value.len() as u128 + 1))
            }
            Variable::FrameLen => Some(self.frame.len() as u128),
            Variable::Sum(sum) => value(self.protocols, self.frame, sum).map(shift),
            Variable::Member(..) => Some(0),
        }
    }
}

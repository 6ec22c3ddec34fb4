//! What translated packets become: addresses, ports, hops, and checksums by what has changed (RFC 1624).

use super::Shape;
use super::facts::{Fact, Facts, halves};
use crate::ir::{BinaryOp, Edit, Relation, Type, Value};
use crate::lower::Lower;
use crate::nat::TCP_NUMBER;
use crate::policy::Quoted;

/// What a packet's addresses and ports become.
pub(super) struct Ends {
    pub(super) source: Vec<Value>,
    pub(super) dest: Vec<Value>,
    pub(super) ports: [Value; 2],
}

/// A sum of ones' complement: of a checksum's complement, of what goes as its complement and of what comes (RFC 1624).
#[derive(Clone, Copy)]
pub(super) struct Sum(Value);

/// The sums of a packet's checksums.
pub(super) struct Sums {
    /// Of the IP header.
    ip: Option<Sum>,
    /// Of the transport, or of ICMP.
    own: Option<Sum>,
    /// Of the IP header that an error quotes.
    inner: Option<Sum>,
}

impl Lower<'_> {
    /// The sums of a packet's checksums without what will change. They are made first: what they are made of is many values, and
    /// tables are asked before the others are known.
    pub(super) fn sums(&mut self, six: bool, shape: Shape, facts: &Facts) -> Sums {
        let of = |fact: fn(u8) -> Fact| halves(six).map(|nth| facts[&fact(nth)]).collect::<Vec<_>>();
        let outer = [of(Fact::OuterSource), of(Fact::OuterDest)].concat();
        let ip = facts.get(&Fact::Sum).map(|checksum| {
            let sum = self.sum(*checksum);
            // One hop less, above the protocol's byte.
            let less = self.b.constant(0xfeff);
            let sum = self.plus(sum, less);
            self.without(sum, &outer)
        });
        let Some(checksum) = facts.get(&Fact::Checksum) else { return Sums { ip, own: None, inner: None } };
        let sum = self.sum(*checksum);
        let mut own = self.without(sum, &[facts[&Fact::SourcePort], facts[&Fact::DestPort]]);
        let mut inner = None;
        if shape == Shape::Error {
            let quoted = [of(Fact::Source), of(Fact::Dest)].concat();
            match facts.get(&Fact::InnerSum) {
                // The quoted addresses and the checksum over them change against each other.
                Some(checksum) => {
                    let sum = self.sum(*checksum);
                    inner = Some(self.without(sum, &quoted));
                }
                None => own = self.without(own, &[quoted, outer].concat()),
            }
        } else {
            own = self.without(own, &outer);
        }
        Sums { ip, own: Some(own), inner }
    }

    /// All bytes that change but for the link's header.
    pub(super) fn edits(
        &mut self,
        six: bool,
        shape: Shape,
        (facts, sums): (&Facts, &Sums),
        ends: &Ends,
        quoted: Option<&Quoted>,
    ) -> Vec<Edit> {
        let packet = facts[&Fact::Packet];
        let one = self.b.constant(1);
        let hops = self.b.binary_as(BinaryOp::Sub, facts[&Fact::Hops], one, Type::Int(8));
        let (hops_at, addresses_at) = if six { (7, 8) } else { (8, 12) };
        let mut edits = vec![Edit { base: packet, offset: hops_at, bytes: 1, value: hops }];
        edits.extend(addresses(packet, addresses_at, ends, false));
        let both = [ends.source.clone(), ends.dest.clone()].concat();
        if let Some(sum) = sums.ip {
            let sum = self.with(sum, &both);
            edits.push(Edit { base: packet, offset: 10, bytes: 2, value: self.checksum(sum) });
        }
        let Some(own) = sums.own else { return edits };
        let mut own = self.with(own, &ends.ports);
        let base = facts[&Fact::Begin];
        let checksum_at = match (shape, quoted) {
            (Shape::Error, Some(quoted)) => {
                // What is quoted went the other way.
                let (inner, ports) = (facts[&Fact::Inner], [ends.ports[1], ends.ports[0]]);
                edits.extend(addresses(inner, quoted.ip + addresses_at, ends, true));
                edits.extend(ports_of(facts[&Fact::InnerPorts], ports));
                match sums.inner {
                    Some(sum) => {
                        let sum = self.with(sum, &both);
                        let value = self.checksum(sum);
                        edits.push(Edit { base: inner, offset: quoted.ip + 10, bytes: 2, value });
                    }
                    // Both the error's own header and the quoted one have them.
                    None => own = self.with(own, &[both.clone(), both].concat()),
                }
                2
            }
            (shape, _) => {
                own = self.with(own, &both);
                edits.extend(ports_of(base, ends.ports));
                if shape == Shape::Own(TCP_NUMBER) { 16 } else { 6 }
            }
        };
        let mut value = self.checksum(own);
        if checksum_at == 6 {
            value = self.of_datagram(facts[&Fact::Checksum], value);
        }
        edits.push(Edit { base, offset: checksum_at, bytes: 2, value });
        edits
    }

    /// A datagram of UDP without a checksum stays without, and a checksum of 0 is written as the other zero (RFC 768).
    pub(super) fn of_datagram(&mut self, was: Value, is: Value) -> Value {
        let zero = self.b.compare_const(Relation::Eq, is, 0);
        let ones = self.b.constant(0xffff);
        let other = self.b.binary_as(BinaryOp::Mul, zero, ones, Type::Int(16));
        let is = self.b.binary_as(BinaryOp::Or, is, other, Type::Int(16));
        let has = self.b.compare_const(Relation::Ne, was, 0);
        self.b.binary_as(BinaryOp::Mul, has, is, Type::Int(16))
    }

    pub(super) fn sum(&mut self, checksum: Value) -> Sum {
        Sum(self.b.binary_const(BinaryOp::Xor, checksum, 0xffff))
    }

    pub(super) fn without(&mut self, sum: Sum, old: &[Value]) -> Sum {
        let words: Vec<Value> = old.iter().flat_map(|old| self.words(*old)).collect();
        words.into_iter().fold(sum, |sum, old| {
            let ones = self.b.program().type_of(old).max();
            let complement = self.b.binary_const(BinaryOp::Xor, old, ones);
            self.plus(sum, complement)
        })
    }

    pub(super) fn with(&mut self, sum: Sum, new: &[Value]) -> Sum {
        let words: Vec<Value> = new.iter().flat_map(|new| self.words(*new)).collect();
        words.into_iter().fold(sum, |sum, new| self.plus(sum, new))
    }

    pub(super) fn plus(&mut self, sum: Sum, value: Value) -> Sum {
        Sum(self.b.binary_as(BinaryOp::Add, sum.0, value, Type::Int(64)))
    }

    /// Of at most 32 bits.
    pub(super) fn words(&mut self, value: Value) -> Vec<Value> {
        match self.b.program().type_of(value) {
            Type::Int(64) => {
                let high = self.b.binary_const(BinaryOp::Shr, value, 32);
                let low = self.b.binary_const(BinaryOp::And, value, 0xffff_ffff);
                vec![self.narrowed(high, 32), self.narrowed(low, 32)]
            }
            _ => vec![value],
        }
    }

    /// The checksum of a sum of at most 2^8 words of 32 bits.
    pub(super) fn checksum(&mut self, sum: Sum) -> Value {
        let mut sum = sum.0;
        for _ in 0..3 {
            let low = self.b.binary_const(BinaryOp::And, sum, 0xffff);
            let high = self.b.binary_const(BinaryOp::Shr, sum, 16);
            sum = self.b.binary_as(BinaryOp::Add, low, high, Type::Int(64));
        }
        let sum = self.b.binary_const(BinaryOp::And, sum, 0xffff);
        let sum = self.narrowed(sum, 16);
        self.b.binary_const(BinaryOp::Xor, sum, 0xffff)
    }
}

/// Both addresses behind a header's beginning; what is quoted has them exchanged.
fn addresses(base: Value, offset: u16, ends: &Ends, quoted: bool) -> Vec<Edit> {
    let (first, second) = if quoted { (&ends.dest, &ends.source) } else { (&ends.source, &ends.dest) };
    let bytes = if first.len() == 2 { 8 } else { 4 };
    let edit = |(nth, value): (u16, &Value)| Edit {
        base,
        offset: offset + nth * u16::from(bytes),
        bytes,
        value: *value,
    };
    (0..).zip(first.iter().chain(second)).map(edit).collect()
}

fn ports_of(base: Value, ports: [Value; 2]) -> [Edit; 2] {
    [0, 1].map(|nth| Edit { base, offset: 2 * nth, bytes: 2, value: ports[usize::from(nth)] })
}

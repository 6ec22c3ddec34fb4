//! What a packet says that is translated, whatever class it is of.

use super::Site;
use crate::ir::{BOOL, BinaryOp, Half, Relation, Type, Value};
use crate::lower::Lower;
use crate::lower::pred::Values;
use crate::lower::shape::Env;
use crate::nat::TCP_NUMBER;
use crate::policy::{Balance, Kind, Outer, Said, Term, ending};
use std::collections::BTreeMap;

/// What all classes say of a packet, by what it is.
pub(super) type Facts = BTreeMap<Fact, Value>;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Fact {
    Packet,
    Length,
    Service,
    Told,
    Hops,
    /// The IP header's checksum.
    Sum,
    /// Where the transport begins or ICMP, and its checksum.
    Begin,
    Checksum,
    /// The packet's own addresses, by their halves, the high one first.
    OuterSource(u8),
    OuterDest(u8),
    /// The flow's, where an error quotes them.
    Source(u8),
    Dest(u8),
    SourcePort,
    DestPort,
    Protocol,
    /// Of what an error quotes.
    Inner,
    InnerSum,
    InnerPorts,
    Hash,
    Tag,
    Begins,
    Mark,
    /// A flow's number.
    Flow,
}

impl Fact {
    pub(super) fn ty(self, six: bool) -> Type {
        match self {
            Fact::Length => Type::Int(17),
            Fact::Service | Fact::Hops | Fact::Protocol => Type::Int(8),
            Fact::Told | Fact::Begins => BOOL,
            Fact::Mark => Type::Int(2),
            Fact::Flow => Type::Int(32),
            Fact::Hash | Fact::Tag => Type::Int(64),
            Fact::Source(_) | Fact::Dest(_) | Fact::OuterSource(_) | Fact::OuterDest(_) => {
                if six {
                    Type::Int(64)
                } else {
                    Type::Int(32)
                }
            }
            _ => Type::Int(16),
        }
    }
}

pub(super) fn halves(six: bool) -> std::ops::Range<u8> {
    if six { 0..2 } else { 1..2 }
}

pub(super) fn half(nth: u8) -> Half {
    if nth == 0 { Half::High } else { Half::Low }
}

impl Lower<'_> {
    /// What every packet says, if it is true.
    pub(super) fn packet_facts(&mut self, site: Site<'_>, said: &Said) -> Facts {
        let [packet, length, service] = self.sound_packet(site.index, site.balance, said, site.env);
        let values = Values::Env(site.env);
        let mut facts = Facts::from([
            (Fact::Packet, packet),
            (Fact::Length, length),
            (Fact::Service, service),
            (Fact::Hops, self.value(&said.hops, &values).low),
        ]);
        let Some(outer) = Outer::of(&self.policy.protocols, said) else { return facts };
        if let Some(checksum) = &outer.checksum {
            facts.insert(Fact::Sum, self.value(checksum, &values).low);
        }
        let [source, dest] = [0, 1].map(|nth| self.address(&outer.addresses[nth], said.six, site.env));
        for (nth, (source, dest)) in halves(said.six).zip(source.into_iter().zip(dest)) {
            facts.extend([(Fact::OuterSource(nth), source), (Fact::OuterDest(nth), dest)]);
        }
        facts
    }

    /// What packets of a kind say besides.
    pub(super) fn kind_facts(&mut self, site: Site<'_>, said: &Said, kind: &Kind, mut facts: Facts) -> Facts {
        let values = Values::Env(site.env);
        facts.insert(Fact::Told, self.told(said, site.env));
        let mut terms = vec![
            (Fact::Begin, &kind.begin),
            (Fact::Checksum, &kind.checksum),
            (Fact::SourcePort, &kind.source[1]),
            (Fact::DestPort, &kind.dest[1]),
            (Fact::Protocol, &kind.protocol),
        ];
        if let Some(quoted) = &kind.quoted {
            terms.extend([(Fact::Inner, &quoted.begin), (Fact::InnerPorts, &quoted.ports)]);
            terms.extend(quoted.checksum.as_ref().map(|checksum| (Fact::InnerSum, checksum)));
        }
        for (fact, term) in terms {
            facts.insert(fact, self.value(term, &values).low);
        }
        // Packets of the flow itself say it in their own header.
        if kind.quoted.is_some() {
            let [source, dest] =
                [&kind.source[0], &kind.dest[0]].map(|t| self.address(t, said.six, site.env));
            for (nth, (source, dest)) in halves(said.six).zip(source.into_iter().zip(dest)) {
                facts.extend([(Fact::Source(nth), source), (Fact::Dest(nth), dest)]);
            }
        }
        facts
    }

    pub(super) fn address(&mut self, term: &Term, six: bool, env: &Env) -> Vec<Value> {
        let value = self.value(term, &Values::Env(env));
        match value.high {
            Some(high) if six => vec![high, value.low],
            _ => vec![value.low],
        }
    }

    /// Whether a packet begins its flow, and its mark.
    pub(super) fn life(&mut self, kind: &Kind, env: &Env) -> (Value, Value) {
        let tcp = kind.protocol == Term::Const(TCP_NUMBER.into());
        let flags = Balance::flags(&self.policy.protocols).zip(ending(&self.policy.protocols));
        let Some(([syn, ack], [fin, reset])) = flags.filter(|_| tcp) else {
            return (self.b.constant(0), self.b.constant(1));
        };
        let [syn, ack, fin, reset] =
            [syn, ack, fin, reset].map(|flag| self.value(&flag, &Values::Env(env)).low);
        let no_ack = self.b.compare_const(Relation::Eq, ack, 0);
        let begins = self.b.binary_as(BinaryOp::And, syn, no_ack, BOOL);
        let ends = self.b.binary_as(BinaryOp::Or, fin, reset, BOOL);
        let goes = self.b.compare_const(Relation::Eq, begins, 0);
        let on = self.b.compare_const(Relation::Eq, ends, 0);
        let goes = self.b.binary_as(BinaryOp::And, goes, on, BOOL);
        let two = self.b.binary_const(BinaryOp::Shl, ends, 1);
        (begins, self.b.binary_as(BinaryOp::Or, two, goes, Type::Int(2)))
    }
}

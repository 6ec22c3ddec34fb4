//! Where translated packets go, made once for a statement, a family and a shape.

use super::edits::Ends;
use super::facts::{Fact, Facts, half, halves};
use super::{Shape, Site};
use crate::codegen::pools::{ALIVE, SIX};
use crate::ir::{
    BackendPart, BinaryOp, Block, Forward, Half, NatCall, NatPart, PoolRef, Relation, Target, Terminator,
    Type, Value,
};
use crate::lower::Lower;
use crate::policy::{Quoted, Unsent};
use weir_pool::ring::NOBODY;

impl Lower<'_> {
    /// To the block that all classes share, with what they say.
    pub(super) fn go_to_tail(
        &mut self,
        site: Site<'_>,
        six: bool,
        shape: Shape,
        facts: Facts,
        quoted: Option<&Quoted>,
    ) {
        let key = (site.index, six, shape);
        let tail = match self.nat_tails.get(&key) {
            Some(tail) => *tail,
            None => {
                let types: Vec<Type> = facts.keys().map(|fact| fact.ty(six)).collect();
                let (tail, current) = (self.b.block(&types), self.b.current());
                self.nat_tails.insert(key, tail);
                self.b.switch_to(tail);
                let params = facts.keys().enumerate().map(|(nth, fact)| (*fact, self.b.param(tail, nth)));
                let facts: Facts = params.collect();
                match self.nat_refs.contains_key(&site.index) {
                    true => self.forward_to_backend(site, six, shape, &facts, quoted),
                    false => self.forward_to_client(site, six, shape, &facts, quoted),
                }
                self.b.switch_to(current);
                tail
            }
        };
        self.b.jump((tail, facts.into_values().collect::<Vec<_>>()));
    }

    /// A flow's ends as clients see them.
    pub(super) fn key(facts: &Facts, six: bool, shape: Shape) -> Vec<Value> {
        let quoted = shape == Shape::Error;
        let source = |nth| if quoted { Fact::Source(nth) } else { Fact::OuterSource(nth) };
        let dest = |nth| if quoted { Fact::Dest(nth) } else { Fact::OuterDest(nth) };
        let ends = halves(six).map(source).chain(halves(six).map(dest));
        let rest = [Fact::SourcePort, Fact::DestPort, Fact::Protocol].into_iter();
        ends.chain(rest.filter(|_| shape != Shape::Later)).map(|fact| facts[&fact]).collect()
    }

    /// From a client to a backend.
    pub(super) fn forward_to_backend(
        &mut self,
        site: Site<'_>,
        six: bool,
        shape: Shape,
        facts: &Facts,
        quoted: Option<&Quoted>,
    ) {
        let (index, pool) = (site.index, PoolRef(site.balance.pool));
        let nat = self.flows_of(index);
        let [nobody, unreachable, full] =
            [Unsent::Nobody, Unsent::Unreachable, Unsent::Full].map(|why| self.unsent(index, why));
        let sums = self.sums(six, shape, facts);
        let key = Self::key(facts, six, shape);
        let args: Vec<Value> = [facts[&Fact::Tag]].into_iter().chain(key.iter().copied()).collect();
        let found = self.b.nat(nat, six, NatCall::Find { whole: shape != Shape::Later }, &args);
        let held = self.b.binary_const(BinaryOp::Shr, found, 32);
        let held = self.narrowed(held, 16);
        let known = self.b.binary_const(BinaryOp::And, found, 0xffff_ffff);
        let known = self.narrowed(known, 32);
        let (backend, flow) = match shape {
            Shape::Own(_) => {
                let backend = self.b.pick(pool, facts[&Fact::Hash], facts[&Fact::Begins], Some(held));
                let none = self.b.compare_const(Relation::Eq, backend, NOBODY.into());
                let some = self.fresh();
                self.b.branch(none, nobody, some);
                self.b.switch_to(some);
                self.unless_of_family(pool, backend, six, unreachable);
                let mut args = vec![known];
                args.extend([facts[&Fact::Tag]].into_iter().chain(key));
                args.extend([backend, facts[&Fact::Mark]]);
                let flow = self.b.nat(nat, six, NatCall::Bind, &args);
                self.unless_none(flow, full);
                (backend, flow)
            }
            Shape::Error | Shape::Later => {
                self.unless_none(known, unreachable);
                self.unless_of_family(pool, held, six, unreachable);
                (held, known)
            }
        };
        let dest = match six {
            false => vec![self.b.backend(pool, backend, BackendPart::Four)],
            true => [Half::High, Half::Low]
                .map(|half| self.b.backend(pool, backend, BackendPart::Six(half)))
                .to_vec(),
        };
        let source =
            halves(six).map(|nth| self.b.nat(nat, six, NatCall::Part(NatPart::Own(half(nth))), &[flow]));
        let source = source.collect();
        let ports = match shape {
            Shape::Later => [self.b.constant(0), self.b.constant(0)],
            _ => {
                let own = self.b.nat(nat, six, NatCall::Part(NatPart::OwnPort), &[flow]);
                let port = self.b.backend(pool, backend, BackendPart::Port);
                let none = self.b.compare_const(Relation::Eq, port, 0);
                let same = self.b.binary_as(BinaryOp::Mul, none, facts[&Fact::DestPort], Type::Int(16));
                [own, self.b.binary_as(BinaryOp::Or, port, same, Type::Int(16))]
            }
        };
        let ends = Ends { source, dest, ports };
        let (by, balance) = (self.statement_ids[index], self.balance_refs[&index]);
        let edits = self.edits(six, shape, (facts, &sums), &ends, quoted);
        let forward = Forward {
            by,
            six,
            packet: facts[&Fact::Packet],
            length: facts[&Fact::Length],
            service: facts[&Fact::Service],
            backend: Some((pool, backend)),
            source: ends.source,
            dest: ends.dest,
            edits,
            long: self.too_long(index, facts, six, |lower| lower.b.room(balance, backend)),
            unreachable: unreachable.into(),
        };
        self.b.end(Terminator::Forward(Box::new(forward)));
    }

    /// From a backend to a client.
    pub(super) fn forward_to_client(
        &mut self,
        site: Site<'_>,
        six: bool,
        shape: Shape,
        facts: &Facts,
        quoted: Option<&Quoted>,
    ) {
        let index = site.index;
        let (nat, flow) = (self.flows_of(index), facts[&Fact::Flow]);
        let sums = self.sums(six, shape, facts);
        let mut part = |part| self.b.nat(nat, six, NatCall::Part(part), &[flow]);
        let source = halves(six).map(|nth| part(NatPart::Service(half(nth)))).collect();
        let dest: Vec<Value> = halves(six).map(|nth| part(NatPart::Client(half(nth)))).collect();
        let ports = match shape {
            Shape::Later => [flow, flow],
            _ => [part(NatPart::ServicePort), part(NatPart::ClientPort)],
        };
        let ends = Ends { source, dest: dest.clone(), ports };
        let unreachable = self.unsent(index, Unsent::Unreachable);
        let edits = self.edits(six, shape, (facts, &sums), &ends, quoted);
        let forward = Forward {
            by: self.statement_ids[index],
            six,
            packet: facts[&Fact::Packet],
            length: facts[&Fact::Length],
            service: facts[&Fact::Service],
            backend: None,
            source: ends.source,
            dest: ends.dest,
            edits,
            long: self.too_long(index, facts, six, |lower| lower.b.route(&dest)),
            unreachable: unreachable.into(),
        };
        self.b.end(Terminator::Forward(Box::new(forward)));
    }

    /// Goes elsewhere if a backend is not alive, or of the other family.
    pub(super) fn unless_of_family(&mut self, pool: PoolRef, backend: Value, six: bool, elsewhere: Block) {
        let flags = self.b.backend(pool, backend, BackendPart::Flags);
        let asked = self.b.binary_const(BinaryOp::And, flags, (SIX | ALIVE).into());
        let wanted = if six { SIX | ALIVE } else { ALIVE };
        let (other, fine) = (self.b.compare_const(Relation::Ne, asked, wanted.into()), self.fresh());
        self.b.branch(other, elsewhere, fine);
        self.b.switch_to(fine);
    }

    /// Where packets go that are too long: their senders are told of most of them.
    pub(super) fn too_long(
        &mut self,
        index: usize,
        facts: &Facts,
        six: bool,
        room: impl FnOnce(&mut Self) -> Value,
    ) -> Target {
        let Some(told) = facts.get(&Fact::Told) else { return self.unsent(index, Unsent::Long).into() };
        let (long, current) = (self.b.cold_block(&[]), self.b.current());
        self.b.switch_to(long);
        self.refuse(index, six, facts[&Fact::Packet], *told, room);
        self.b.switch_to(current);
        long.into()
    }
}

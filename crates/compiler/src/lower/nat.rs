//! `balance … via nat` and its answers: finding the flow, and what the packet becomes.
//!
//! All of it is arithmetic over what the packet says and what is known of its flow and its backend; engines only look into tables
//! and store what changes. What does not depend on the packet's class is made once for a statement, a family and a kind of packets.

mod edits;
mod facts;
mod tails;

use super::Lower;
use super::pred::Values;
use super::shape::Env;
use crate::ir::{
    BinaryOp, Block, NOT_NOTED, NatCall, NatDecl, NatRef, PoolRef, Relation, Type, Value, Verdict,
};
use crate::plan::{follows, simplify};
use crate::policy::{Balance, HeaderRef, Kind, Outer, Pred, Said, Term, Unsent};
use facts::Fact;
use std::collections::BTreeSet;

/// Packets that become others in the same way.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Shape {
    /// Of a transport, by its number.
    Own(u8),
    Error,
    /// Later fragments.
    Later,
}

/// A statement at one place.
#[derive(Clone, Copy)]
struct Site<'a> {
    index: usize,
    balance: &'a Balance,
    headers: &'a BTreeSet<HeaderRef>,
    env: &'a Env,
}

impl Lower<'_> {
    pub(super) fn declare_flows(&mut self, index: usize, balance: &Balance) {
        let statement = &self.policy.statements[index];
        if let (Some(banks), false) = (balance.via.banks(), statement.shadow) {
            let decl = NatDecl { name: statement.name.clone(), pool: PoolRef(balance.pool), banks };
            let nat = self.b.flows(decl);
            self.nat_refs.insert(index, nat);
        }
    }

    /// The flows of a statement, or of the one whose answers it sends on, which is the next.
    fn flows_of(&self, index: usize) -> NatRef {
        let own = self.nat_refs.get(&index);
        *own.or_else(|| self.nat_refs.get(&(index + 1))).expect("a statement that translates has flows")
    }

    /// Translates a packet of a known family.
    pub(super) fn translate(
        &mut self,
        index: usize,
        balance: &Balance,
        said: &Said,
        headers: &BTreeSet<HeaderRef>,
        env: &Env,
    ) {
        let site = Site { index, balance, headers, env };
        let facts = self.packet_facts(site, said);
        let unreachable = self.unsent(index, Unsent::Unreachable);
        if balance.bank(said.six).is_some() {
            self.each_kind(site, said.six, |lower, kind| {
                let mut facts = lower.kind_facts(site, said, kind, facts.clone());
                let pool = &lower.policy.pools[balance.pool as usize].name;
                let tag = lower.hash_of(pool, &kind.key(), env);
                facts.insert(Fact::Tag, tag);
                let shape = shape(kind);
                if let Shape::Own(_) = shape {
                    let hashed = lower.b.block(&[Type::Int(64)]);
                    lower.hash(index, balance, headers, env, hashed);
                    lower.b.switch_to(hashed);
                    facts.insert(Fact::Hash, lower.b.param(hashed, 0));
                    lower.note_fragment(index, balance, said, tag, (headers, env));
                    let (begins, mark) = lower.life(kind, env);
                    facts.extend([(Fact::Begins, begins), (Fact::Mark, mark)]);
                }
                lower.go_to_tail(site, said.six, shape, facts, kind.quoted.as_ref());
            });
        }
        self.b.jump(unreachable);
    }

    /// Sends a later fragment where its datagram's first one went; it is known by the flow's tag.
    pub(super) fn translate_later(
        &mut self,
        index: usize,
        balance: &Balance,
        said: &Said,
        tag: Value,
        (headers, env): (&BTreeSet<HeaderRef>, &Env),
    ) {
        let site = Site { index, balance, headers, env };
        let mut facts = self.packet_facts(site, said);
        facts.insert(Fact::Tag, tag);
        match balance.bank(said.six) {
            Some(_) => self.go_to_tail(site, said.six, Shape::Later, facts, None),
            None => {
                let unreachable = self.unsent(index, Unsent::Unreachable);
                self.b.jump(unreachable);
            }
        }
    }

    /// Sends answers on to their clients; other packets go on.
    pub(super) fn answer(
        &mut self,
        index: usize,
        balance: &Balance,
        condition: &Pred,
        (headers, env): (&BTreeSet<HeaderRef>, &Env),
        next: Block,
    ) {
        let site = Site { index, balance, headers, env };
        let (policy, values) = (self.policy, Values::Env(env));
        let statement = &policy.statements[index];
        let follows = simplify(&follows(policy, statement), &|header| self.presence_of(header, headers));
        let whole = self.fresh();
        if follows == Pred::Const(false) {
            self.b.jump(whole);
        } else {
            let later = self.fresh();
            self.cond(&follows, &values, later.into(), whole.into());
            self.b.switch_to(later);
            self.answer_later(site, next);
            self.b.jump(next);
        }
        self.b.switch_to(whole);
        let applies = self.fresh();
        self.cond(condition, &values, applies.into(), next.into());
        self.b.switch_to(applies);
        for said in balance.said(&policy.protocols) {
            self.each_kind(site, said.six, |lower, kind| lower.answer_kind(site, &said, kind, next));
        }
        self.b.jump(next);
    }

    fn answer_kind(&mut self, site: Site<'_>, said: &Said, kind: &Kind, next: Block) {
        let Site { index, balance, headers, env } = site;
        let (Some(bank), values) = (balance.bank(said.six), Values::Env(env)) else { return };
        let [address, port] = [&kind.dest[0], &kind.dest[1]].map(|term| self.value(term, &values).low);
        let nth = self.less(address, bank.address as u64);
        let nth = self.b.binary_const(BinaryOp::And, nth, 0xffff_ffff);
        let ports = self.b.constant(bank.ports.into());
        let first = self.b.binary_as(BinaryOp::Mul, nth, ports, Type::Int(64));
        let port = self.less(port, bank.port.into());
        let way = self.b.binary_as(BinaryOp::Add, first, port, Type::Int(64));
        let way = self.b.binary_const(BinaryOp::And, way, 0xffff_ffff);
        let mut args = vec![way];
        args.extend(self.address(&kind.source[0], said.six, env));
        args.push(self.value(&kind.source[1], &values).low);
        args.push(self.value(&kind.protocol, &values).low);
        args.push(match kind.quoted {
            None => self.life(kind, env).1,
            Some(_) => self.b.constant(NOT_NOTED),
        });
        let nat = self.flows_of(index);
        let flow = self.b.nat(nat, said.six, NatCall::Answered { whole: true }, &args);
        self.unless_none(flow, next);
        self.met(index);
        let facts = self.packet_facts(site, said);
        let mut facts = self.kind_facts(site, said, kind, facts);
        facts.insert(Fact::Flow, flow);
        if kind.quoted.is_none() {
            self.note_fragment(index, balance, said, flow, (headers, env));
        }
        self.go_to_tail(site, said.six, shape(kind), facts, kind.quoted.as_ref());
    }

    /// Later fragments of answers; it ends where none is known.
    fn answer_later(&mut self, site: Site<'_>, next: Block) {
        let Site { index, balance, headers, env } = site;
        let (policy, values) = (self.policy, Values::Env(env));
        for said in balance.said(&policy.protocols) {
            let fragments = balance.fragments(&policy.protocols).into_iter().find(|f| f.six == said.six);
            let Some(fragments) = fragments.filter(|_| balance.bank(said.six).is_some()) else { continue };
            let later = simplify(&fragments.later, &|header| self.presence_of(header, headers));
            if later == Pred::Const(false) {
                continue;
            }
            let (here, other) = (self.fresh(), self.fresh());
            self.cond(&later, &values, here.into(), other.into());
            self.b.switch_to(here);
            let key = self.hash_of(&policy.statements[index].name, &fragments.key, env);
            let word = self.b.recall(key);
            self.unless_none(word, next);
            let way = self.less(word, 1);
            let way = self.b.binary_const(BinaryOp::And, way, 0xffff_ffff);
            let Some(outer) = Outer::of(&policy.protocols, &said) else { continue };
            let mut args = vec![way];
            args.extend(self.address(&outer.addresses[0], said.six, env));
            let nat = self.flows_of(index);
            let flow = self.b.nat(nat, said.six, NatCall::Answered { whole: false }, &args);
            self.unless_none(flow, next);
            self.met(index);
            let mut facts = self.packet_facts(site, &said);
            facts.insert(Fact::Flow, flow);
            self.go_to_tail(site, said.six, Shape::Later, facts, None);
            self.b.switch_to(other);
        }
    }

    fn met(&mut self, index: usize) {
        let statement = &self.policy.statements[index];
        self.count(&statement.name);
        self.capture(index, statement, Some(Verdict::Send));
    }

    /// Goes elsewhere if a value is 0.
    fn unless_none(&mut self, value: Value, elsewhere: Block) {
        let (none, some) = (self.b.compare_const(Relation::Eq, value, 0), self.fresh());
        self.b.branch(none, elsewhere, some);
        self.b.switch_to(some);
    }

    fn less(&mut self, value: Value, by: u64) -> Value {
        let by = self.b.constant(by);
        self.b.binary_as(BinaryOp::Sub, value, by, Type::Int(64))
    }

    /// Makes a way for each kind of packets that can be here; it stands where it is none of them.
    fn each_kind(&mut self, site: Site<'_>, six: bool, mut each: impl FnMut(&mut Self, &Kind)) {
        for kind in Kind::all(&self.policy.protocols, six) {
            let there = simplify(&kind.there, &|header| self.presence_of(header, site.headers));
            if there == Pred::Const(false) {
                continue;
            }
            let (here, other) = (self.fresh(), self.fresh());
            self.cond(&there, &Values::Env(site.env), here.into(), other.into());
            self.b.switch_to(here);
            each(self, &kind);
            self.b.switch_to(other);
            if there == Pred::Const(true) {
                return;
            }
        }
    }
}

fn shape(kind: &Kind) -> Shape {
    match (&kind.quoted, &kind.protocol) {
        (None, Term::Const(number)) => Shape::Own(*number as u8),
        _ => Shape::Error,
    }
}

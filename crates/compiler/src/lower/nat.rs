//! `balance … via nat` and its answers: finding the flow, and what the packet becomes.
//!
//! All of it is arithmetic over what the packet says and what is known of its flow and its backend; engines only look into tables
//! and store what changes. What does not depend on the packet's class is made once for a statement, a family and a kind of packets.

use super::Lower;
use super::pred::Values;
use super::shape::Env;
use crate::codegen::pools::{ALIVE, SIX};
use crate::ir::{
    BOOL, BackendPart, BinaryOp, Block, Edit, Forward, Half, NOT_NOTED, NatCall, NatDecl, NatPart, NatRef,
    PoolRef, Relation, Target, Terminator, Type, Value, Verdict,
};
use crate::nat::TCP_NUMBER;
use crate::plan::{follows, simplify};
use crate::policy::{Balance, HeaderRef, Kind, Outer, Pred, Quoted, Said, Term, Unsent, ending};
use std::collections::{BTreeMap, BTreeSet};
use weir_pool::ring::NOBODY;

/// What all classes say of a packet, by what it is.
type Facts = BTreeMap<Fact, Value>;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Fact {
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
    fn ty(self, six: bool) -> Type {
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

/// Packets that become others in the same way.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Shape {
    /// Of a transport, by its number.
    Own(u8),
    Error,
    /// Later fragments.
    Later,
}

/// What a packet's addresses and ports become.
struct Ends {
    source: Vec<Value>,
    dest: Vec<Value>,
    ports: [Value; 2],
}

/// A sum of ones' complement: of a checksum's complement, of what goes as its complement and of what comes (RFC 1624).
#[derive(Clone, Copy)]
struct Sum(Value);

/// The sums of a packet's checksums.
struct Sums {
    /// Of the IP header.
    ip: Option<Sum>,
    /// Of the transport, or of ICMP.
    own: Option<Sum>,
    /// Of the IP header that an error quotes.
    inner: Option<Sum>,
}

/// A statement at one place.
#[derive(Clone, Copy)]
struct Site<'a> {
    index: usize,
    balance: &'a Balance,
    headers: &'a BTreeSet<HeaderRef>,
    env: &'a Env,
}

fn halves(six: bool) -> std::ops::Range<u8> {
    if six { 0..2 } else { 1..2 }
}

fn half(nth: u8) -> Half {
    if nth == 0 { Half::High } else { Half::Low }
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

    /// What every packet says, if it is true.
    fn packet_facts(&mut self, site: Site<'_>, said: &Said) -> Facts {
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
    fn kind_facts(&mut self, site: Site<'_>, said: &Said, kind: &Kind, mut facts: Facts) -> Facts {
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

    fn address(&mut self, term: &Term, six: bool, env: &Env) -> Vec<Value> {
        let value = self.value(term, &Values::Env(env));
        match value.high {
            Some(high) if six => vec![high, value.low],
            _ => vec![value.low],
        }
    }

    /// Whether a packet begins its flow, and its mark.
    fn life(&mut self, kind: &Kind, env: &Env) -> (Value, Value) {
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

    /// To the block that all classes share, with what they say.
    fn go_to_tail(&mut self, site: Site<'_>, six: bool, shape: Shape, facts: Facts, quoted: Option<&Quoted>) {
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
    fn key(facts: &Facts, six: bool, shape: Shape) -> Vec<Value> {
        let quoted = shape == Shape::Error;
        let source = |nth| if quoted { Fact::Source(nth) } else { Fact::OuterSource(nth) };
        let dest = |nth| if quoted { Fact::Dest(nth) } else { Fact::OuterDest(nth) };
        let ends = halves(six).map(source).chain(halves(six).map(dest));
        let rest = [Fact::SourcePort, Fact::DestPort, Fact::Protocol].into_iter();
        ends.chain(rest.filter(|_| shape != Shape::Later)).map(|fact| facts[&fact]).collect()
    }

    /// From a client to a backend.
    fn forward_to_backend(
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
    fn forward_to_client(
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
    fn unless_of_family(&mut self, pool: PoolRef, backend: Value, six: bool, elsewhere: Block) {
        let flags = self.b.backend(pool, backend, BackendPart::Flags);
        let asked = self.b.binary_const(BinaryOp::And, flags, (SIX | ALIVE).into());
        let wanted = if six { SIX | ALIVE } else { ALIVE };
        let (other, fine) = (self.b.compare_const(Relation::Ne, asked, wanted.into()), self.fresh());
        self.b.branch(other, elsewhere, fine);
        self.b.switch_to(fine);
    }

    /// Where packets go that are too long: their senders are told of most of them.
    fn too_long(
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

    /// The sums of a packet's checksums without what will change. They are made first: what they are made of is many values, and
    /// tables are asked before the others are known.
    fn sums(&mut self, six: bool, shape: Shape, facts: &Facts) -> Sums {
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
    fn edits(
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
    fn of_datagram(&mut self, was: Value, is: Value) -> Value {
        let zero = self.b.compare_const(Relation::Eq, is, 0);
        let ones = self.b.constant(0xffff);
        let other = self.b.binary_as(BinaryOp::Mul, zero, ones, Type::Int(16));
        let is = self.b.binary_as(BinaryOp::Or, is, other, Type::Int(16));
        let has = self.b.compare_const(Relation::Ne, was, 0);
        self.b.binary_as(BinaryOp::Mul, has, is, Type::Int(16))
    }

    fn sum(&mut self, checksum: Value) -> Sum {
        Sum(self.b.binary_const(BinaryOp::Xor, checksum, 0xffff))
    }

    fn without(&mut self, sum: Sum, old: &[Value]) -> Sum {
        let words: Vec<Value> = old.iter().flat_map(|old| self.words(*old)).collect();
        words.into_iter().fold(sum, |sum, old| {
            let ones = self.b.program().type_of(old).max();
            let complement = self.b.binary_const(BinaryOp::Xor, old, ones);
            self.plus(sum, complement)
        })
    }

    fn with(&mut self, sum: Sum, new: &[Value]) -> Sum {
        let words: Vec<Value> = new.iter().flat_map(|new| self.words(*new)).collect();
        words.into_iter().fold(sum, |sum, new| self.plus(sum, new))
    }

    fn plus(&mut self, sum: Sum, value: Value) -> Sum {
        Sum(self.b.binary_as(BinaryOp::Add, sum.0, value, Type::Int(64)))
    }

    /// Of at most 32 bits.
    fn words(&mut self, value: Value) -> Vec<Value> {
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
    fn checksum(&mut self, sum: Sum) -> Value {
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

fn shape(kind: &Kind) -> Shape {
    match (&kind.quoted, &kind.protocol) {
        (None, Term::Const(number)) => Shape::Own(*number as u8),
        _ => Shape::Error,
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

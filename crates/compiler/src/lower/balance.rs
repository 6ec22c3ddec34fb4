//! `balance`: what a packet says of itself, its flow's hash, and the way to a backend.
//!
//! What does not depend on the packet's class is made once for a statement and a family, behind a block that all
//! classes lead to.

use super::Lower;
use super::class::all_terms_there;
use super::pred::Values;
use super::shape::Env;
use crate::ir::{
    BOOL, BalanceDecl, BinaryOp, Block, PoolDecl, PoolRef, Refuse, Relation, Send, Target, Terminator, Type,
    Value, Verdict,
};
use crate::plan::{Presence, base_terms, follows, simplify};
use crate::policy::{self, Action, Balance, Compare, HeaderRef, KeyPart, Pred, Said, Term, Unsent};
use std::collections::BTreeSet;
use weir_pool::flow;
use weir_pool::pool::AllDown;
use weir_pool::ring::NOBODY;
use weir_pool::slots::Track;

/// The longest packet: 65,535 bytes behind a header of IPv6.
const LENGTH: Type = Type::Int(17);

impl Lower<'_> {
    pub(super) fn declare_pools(&mut self) {
        for pool in &self.policy.pools {
            let (slots, max, flows) = (pool.ring, pool.max, pool.flows);
            let silence = (pool.track == Track::All).then_some(pool.settle);
            self.b.pool(PoolDecl { name: pool.name.clone(), slots, max, flows, silence });
        }
        for (index, statement) in self.policy.statements.iter().enumerate() {
            if let Action::Balance(balance) = &statement.action {
                let decl = BalanceDecl { pool: PoolRef(balance.pool), via: balance.via };
                let id = self.b.balance(decl);
                self.balance_refs.insert(index, id);
                self.declare_flows(index, balance);
            }
        }
    }

    /// Sends the packets that the condition holds for, and later fragments of what was sent; others go on.
    pub(super) fn balance(
        &mut self,
        index: usize,
        balance: &Balance,
        condition: &Pred,
        (headers, env): (&BTreeSet<HeaderRef>, &Env),
        next: Block,
    ) {
        let (policy, values) = (self.policy, Values::Env(env));
        let statement = &policy.statements[index];
        let simple = |lower: &Self, pred: &Pred| simplify(pred, &|header| lower.presence_of(header, headers));
        let applies = self.fresh();
        match simple(self, &follows(policy, statement)) {
            Pred::Const(false) => self.cond(condition, &values, applies.into(), next.into()),
            follows => {
                let (later, whole, alone) = (self.fresh(), self.fresh(), self.fresh());
                self.cond(&follows, &values, later.into(), whole.into());
                self.b.switch_to(later);
                self.follow_first(index, balance, headers, env);
                self.b.jump(alone);
                self.b.switch_to(alone);
                let own = simple(self, &self.plan.own_condition(policy, statement));
                self.cond(&own, &values, applies.into(), next.into());
                // Where nothing can follow, the planned condition is the statement's own.
                self.b.switch_to(whole);
                self.cond(condition, &values, applies.into(), next.into());
            }
        }
        self.b.switch_to(applies);
        self.count(&statement.name);
        self.capture(index, statement, Some(Verdict::Send));
        for said in balance.said(&policy.protocols) {
            match self.presence_of(said.header, headers) {
                Presence::No => {}
                Presence::Yes => return self.balance_packet(index, balance, &said, headers, env),
                Presence::Unknown => {
                    let (here, next) = (self.fresh(), self.fresh());
                    self.branch_there(said.header, env, here, next);
                    self.b.switch_to(here);
                    self.balance_packet(index, balance, &said, headers, env);
                    self.b.switch_to(next);
                }
            }
        }
        // Here the condition never holds.
        let damaged = self.unsent(index, Unsent::Damaged);
        self.b.jump(damaged);
    }

    /// Sends a later fragment where its datagram's first one went, if that is known; else runs on.
    fn follow_first(&mut self, index: usize, balance: &Balance, headers: &BTreeSet<HeaderRef>, env: &Env) {
        let (policy, values) = (self.policy, Values::Env(env));
        let statement = &policy.statements[index];
        let said = balance.said(&policy.protocols);
        for fragments in balance.fragments(&policy.protocols) {
            let later = simplify(&fragments.later, &|header| self.presence_of(header, headers));
            let Some(said) = said.iter().find(|said| said.six == fragments.six) else { continue };
            if later == Pred::Const(false) {
                continue;
            }
            let (here, known, unknown) = (self.fresh(), self.fresh(), self.fresh());
            self.cond(&later, &values, here.into(), unknown.into());
            self.b.switch_to(here);
            let key = self.hash_of(&statement.name, &fragments.key, env);
            let hash = self.b.recall(key);
            let none = self.b.compare_const(Relation::Eq, hash, 0);
            self.b.branch(none, unknown, known);
            self.b.switch_to(known);
            self.count(&statement.name);
            self.capture(index, statement, Some(Verdict::Send));
            if balance.via.banks().is_some() {
                self.translate_later(index, balance, said, hash, (headers, env));
                self.b.switch_to(unknown);
                continue;
            }
            let parts = self.sound_packet(index, balance, said, env);
            let no = self.b.constant(0);
            let tail = self.tail(index, balance, said.six);
            // Of later fragments nothing is told.
            self.b.jump((tail, [parts[0], parts[1], parts[2], hash, no, no]));
            self.b.switch_to(unknown);
        }
    }

    /// Where a packet begins, its length and its service, if what it says is true; else it is counted as damaged.
    pub(super) fn sound_packet(
        &mut self,
        index: usize,
        balance: &Balance,
        said: &Said,
        env: &Env,
    ) -> [Value; 3] {
        let values = Values::Env(env);
        let (sound, damaged) = (self.fresh(), self.unsent(index, Unsent::Damaged));
        let says = said.sound(&self.policy.protocols, balance.via.banks().is_some());
        self.cond(&says, &values, sound.into(), damaged.into());
        self.b.switch_to(sound);
        let packet = self.value(&Term::Begin(said.header), &values).low;
        let length = self.value(&said.length, &values).low;
        let length = self.narrowed(length, 17);
        [packet, length, self.value(&said.service, &values).low]
    }

    /// A packet of a known family.
    fn balance_packet(
        &mut self,
        index: usize,
        balance: &Balance,
        said: &Said,
        headers: &BTreeSet<HeaderRef>,
        env: &Env,
    ) {
        if balance.via.banks().is_some() {
            return self.translate(index, balance, said, headers, env);
        }
        let [packet, length, service] = self.sound_packet(index, balance, said, env);
        let hashed = self.b.block(&[Type::Int(64)]);
        self.hash(index, balance, headers, env, hashed);
        self.b.switch_to(hashed);
        let hash = self.b.param(hashed, 0);
        self.note_fragment(index, balance, said, hash, (headers, env));
        let tail = self.tail(index, balance, said.six);
        let told = self.told(said, env);
        self.begins(headers, env, |lower, begins| {
            lower.b.jump((tail, [packet, length, service, hash, begins, told]));
        });
    }

    /// Whether a packet's sender is told if it is too long.
    pub(super) fn told(&mut self, said: &Said, env: &Env) -> Value {
        let list = match &said.told {
            Pred::And(list) => list.as_slice(),
            other => std::slice::from_ref(other),
        };
        let mut told = self.b.constant(1);
        for pred in list {
            if let Pred::Compare(Compare { op, left, right: Term::Const(right) }) = pred {
                let left = self.value(left, &Values::Env(env)).low;
                let relation = if *op == policy::Relation::Eq { Relation::Eq } else { Relation::Ne };
                let holds = self.b.compare_const(relation, left, *right as u64);
                told = self.b.binary_as(BinaryOp::And, told, holds, BOOL);
            }
        }
        told
    }

    /// Remembers where a datagram's first fragment goes.
    pub(super) fn note_fragment(
        &mut self,
        index: usize,
        balance: &Balance,
        said: &Said,
        hash: Value,
        (headers, env): (&BTreeSet<HeaderRef>, &Env),
    ) {
        let (policy, all) = (self.policy, balance.fragments(&self.policy.protocols));
        let Some(fragments) = all.iter().find(|fragments| fragments.six == said.six) else { return };
        let first = simplify(&fragments.first, &|header| self.presence_of(header, headers));
        if first == Pred::Const(false) {
            return;
        }
        let (note, on) = (self.b.cold_block(&[]), self.fresh());
        self.cond(&first, &Values::Env(env), note.into(), on.into());
        self.b.switch_to(note);
        let key = self.hash_of(&policy.statements[index].name, &fragments.key, env);
        self.b.note(key, hash);
        self.b.jump(on);
        self.b.switch_to(on);
    }

    /// Goes to a block with the hash of the first key whose values are all there.
    pub(super) fn hash(
        &mut self,
        index: usize,
        balance: &Balance,
        headers: &BTreeSet<HeaderRef>,
        env: &Env,
        hashed: Block,
    ) {
        for key in &balance.keys {
            let there = key.iter().map(|part| Pred::There(part.term.clone())).collect();
            let there = simplify(&Pred::And(there), &|header| self.presence_of(header, headers));
            if there == Pred::Const(false) {
                continue;
            }
            let (has_key, otherwise) = (self.fresh(), self.fresh());
            let asked = all_terms_there(&there);
            self.cond(&asked, &Values::Env(env), has_key.into(), otherwise.into());
            self.b.switch_to(has_key);
            let hash = self.hash_of(&self.policy.pools[balance.pool as usize].name, key, env);
            self.b.jump((hashed, [hash]));
            self.b.switch_to(otherwise);
            if asked == Pred::Const(true) {
                break;
            }
        }
        let nobody = self.unsent(index, Unsent::Nobody);
        self.b.jump(nobody);
    }

    /// [`flow::hash`] of a key that is there.
    pub(super) fn hash_of(&mut self, whose: &str, key: &[KeyPart], env: &Env) -> Value {
        let whole = Type::Int(64);
        let mut state = self.b.constant(flow::seed(whose));
        for lane in self.lanes(key, env) {
            let mixed = self.b.binary_as(BinaryOp::Xor, state, lane, whole);
            state = self.fold_and_multiply(mixed, 30, flow::STEP);
        }
        state = self.fold_and_multiply(state, 27, flow::LAST);
        let high = self.b.binary_const(BinaryOp::Shr, state, 31);
        self.b.binary_as(BinaryOp::Xor, state, high, whole)
    }

    fn fold_and_multiply(&mut self, state: Value, shift: u64, by: u64) -> Value {
        let whole = Type::Int(64);
        let high = self.b.binary_const(BinaryOp::Shr, state, shift);
        let folded = self.b.binary_as(BinaryOp::Xor, state, high, whole);
        let by = self.b.constant(by);
        self.b.binary_as(BinaryOp::Mul, folded, by, whole)
    }

    /// The words of a key, one behind the other as [`flow::lanes`] writes them.
    fn lanes(&mut self, key: &[KeyPart], env: &Env) -> Vec<Value> {
        let mut lanes: Vec<Value> = Vec::new();
        let mut room = 0;
        for part in key {
            for (word, &bits) in self.key_scalars(part, env).into_iter().zip(part.words()) {
                match lanes.last_mut() {
                    Some(lane) if bits <= room => {
                        let shifted = self.b.binary_const(BinaryOp::Shl, *lane, bits.into());
                        *lane = self.b.binary_as(BinaryOp::Or, shifted, word, Type::Int(64));
                        room -= bits;
                    }
                    _ => {
                        lanes.push(word);
                        room = 64 - bits;
                    }
                }
            }
        }
        lanes
    }

    /// Goes on with whether the packet begins a flow, in one way or in two.
    fn begins(&mut self, headers: &BTreeSet<HeaderRef>, env: &Env, mut go_on: impl FnMut(&mut Self, Value)) {
        let begins = Balance::begins(&self.policy.protocols);
        let begins = simplify(&begins, &|header| self.presence_of(header, headers));
        let terms: Vec<Term> = base_terms(&begins).into_iter().collect();
        let certain = simplify(&Pred::And(terms.into_iter().map(Pred::There).collect()), &|header| {
            self.presence_of(header, headers)
        });
        match (&begins, Balance::flags(&self.policy.protocols)) {
            (Pred::Const(false), _) => {
                let never = self.b.constant(0);
                return go_on(self, never);
            }
            (_, Some([syn, ack])) if certain == Pred::Const(true) => {
                let [syn, ack] = [syn, ack].map(|flag| self.value(&flag, &Values::Env(env)).low);
                let no_ack = self.b.compare_const(Relation::Eq, ack, 0);
                let begins = self.b.binary_as(BinaryOp::And, syn, no_ack, BOOL);
                return go_on(self, begins);
            }
            _ => {}
        }
        let [yes, no] = [self.fresh(), self.fresh()];
        self.cond(&begins, &Values::Env(env), yes.into(), no.into());
        for (block, number) in [(yes, 1), (no, 0)] {
            self.b.switch_to(block);
            let begins = self.b.constant(number);
            go_on(self, begins);
        }
    }

    /// The block that sends packets of a family; it takes where one begins, its length and service, its hash, and whether it
    /// begins a flow.
    fn tail(&mut self, index: usize, balance: &Balance, six: bool) -> Block {
        if let Some(tail) = self.balance_tails.get(&(index, six)) {
            return *tail;
        }
        let tail = self.b.block(&[Type::Int(16), LENGTH, Type::Int(8), Type::Int(64), BOOL, BOOL]);
        self.balance_tails.insert((index, six), tail);
        let [nobody, unreachable] = [Unsent::Nobody, Unsent::Unreachable].map(|why| self.unsent(index, why));
        let current = self.b.current();
        self.b.switch_to(tail);
        let [packet, length, service, hash, begins, told] =
            std::array::from_fn(|nth| self.b.param(tail, nth));
        let backend = self.b.pick(PoolRef(balance.pool), hash, begins, None);
        let none = self.b.compare_const(Relation::Eq, backend, NOBODY.into());
        let some = self.fresh();
        self.b.branch(none, nobody, some);
        self.b.switch_to(some);
        let (by, balance) = (self.statement_ids[index], self.balance_refs[&index]);
        let long = self.b.cold_block(&[]);
        let (long, unreachable): (Target, Target) = (long.into(), unreachable.into());
        let too_long = long.block;
        let send = Send { by, balance, backend, six, packet, length, service, hash, long, unreachable };
        self.b.end(Terminator::Send(Box::new(send)));
        self.b.switch_to(too_long);
        self.refuse(index, six, packet, told, |lower| lower.b.room(balance, backend));
        self.b.switch_to(current);
        tail
    }

    /// Counts a packet that is too long, and tells its sender where that is to be told.
    pub(super) fn refuse(
        &mut self,
        index: usize,
        six: bool,
        packet: Value,
        told: Value,
        room: impl FnOnce(&mut Self) -> Value,
    ) {
        let by = self.statement_ids[index];
        let (answer, silent, found) =
            (self.b.cold_block(&[]), self.unsent(index, Unsent::Long), self.b.cold_block(&[]));
        self.b.branch(told, answer, silent);
        self.b.switch_to(answer);
        let room = room(self);
        let none = self.b.compare_const(Relation::Eq, room, 0);
        self.b.branch(none, silent, found);
        self.b.switch_to(found);
        self.count(&format!("{}/{}", self.policy.statements[index].name, Unsent::Long.word()));
        self.b.end(Terminator::Refuse(Refuse { by, six, packet, room }));
    }

    /// The block of packets that a statement does not send.
    pub(super) fn unsent(&mut self, index: usize, why: Unsent) -> Block {
        if let Some(block) = self.unsent_blocks.get(&(index, why)) {
            return *block;
        }
        let (policy, current) = (self.policy, self.b.current());
        let statement = &policy.statements[index];
        let block = self.b.cold_block(&[]);
        self.unsent_blocks.insert((index, why), block);
        self.b.switch_to(block);
        self.count(&format!("{}/{}", statement.name, why.word()));
        let pass = match &statement.action {
            Action::Balance(balance) => policy.pools[balance.pool as usize].down == AllDown::Pass,
            _ => false,
        };
        let verdict = if pass && why == Unsent::Nobody { Verdict::Pass } else { Verdict::Drop };
        self.b.ret(verdict, Some(self.statement_ids[index]));
        self.b.switch_to(current);
        block
    }
}

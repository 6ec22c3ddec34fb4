//! `balance`: what a packet says of itself, its flow's hash, and the way to a backend.
//!
//! What does not depend on the packet's class is made once for a statement and a family, behind a block that all
//! classes lead to.

use super::Lower;
use super::class::all_terms_there;
use super::pred::Values;
use super::shape::Env;
use crate::ir::{
    BOOL, BalanceDecl, BinaryOp, Block, PoolDecl, PoolRef, Relation, Send, Terminator, Type, Value, Verdict,
};
use crate::plan::{Presence, base_terms, simplify};
use crate::policy::{Action, Balance, HeaderRef, KeyPart, Pred, Said, Statement, Term, Unsent};
use std::collections::BTreeSet;
use weir_pool::flow;
use weir_pool::pool::AllDown;
use weir_pool::ring::NOBODY;

/// The longest packet: 65,535 bytes behind a header of IPv6.
const LENGTH: Type = Type::Int(17);

impl Lower<'_> {
    pub(super) fn declare_pools(&mut self) {
        for pool in &self.policy.pools {
            let (slots, max, flows) = (pool.ring, pool.max, pool.flows);
            self.b.pool(PoolDecl { name: pool.name.clone(), slots, max, flows });
        }
        for (index, statement) in self.policy.statements.iter().enumerate() {
            if let Action::Balance(balance) = &statement.action {
                let decl = BalanceDecl { pool: PoolRef(balance.pool), via: balance.via };
                let id = self.b.balance(decl);
                self.balance_refs.insert(index, id);
            }
        }
    }

    /// Ends the packet's way; the condition has made sure that an IP header stands behind the link's.
    pub(super) fn balance(
        &mut self,
        index: usize,
        statement: &Statement,
        balance: &Balance,
        headers: &BTreeSet<HeaderRef>,
        env: &Env,
    ) {
        self.capture(index, statement, Some(Verdict::Send));
        for said in Balance::said(&self.policy.protocols) {
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

    /// A packet of a known family.
    fn balance_packet(
        &mut self,
        index: usize,
        balance: &Balance,
        said: &Said,
        headers: &BTreeSet<HeaderRef>,
        env: &Env,
    ) {
        let values = Values::Env(env);
        let (sound, damaged) = (self.fresh(), self.unsent(index, Unsent::Damaged));
        self.cond(&said.sound(&self.policy.protocols), &values, sound.into(), damaged.into());
        self.b.switch_to(sound);
        let packet = self.value(&Term::Begin(said.header), &values).low;
        let length = self.value(&said.length, &values).low;
        let length = self.narrowed(length, 17);
        let service = self.value(&said.service, &values).low;
        let hashed = self.b.block(&[Type::Int(64)]);
        self.hash(index, balance, headers, env, hashed);
        self.b.switch_to(hashed);
        let hash = self.b.param(hashed, 0);
        let tail = self.tail(index, balance, said.six);
        self.begins(headers, env, |lower, begins| {
            lower.b.jump((tail, [packet, length, service, hash, begins]));
        });
    }

    /// Goes to a block with the hash of the first key whose values are all there.
    fn hash(
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
    fn hash_of(&mut self, pool: &str, key: &[KeyPart], env: &Env) -> Value {
        let whole = Type::Int(64);
        let mut state = self.b.constant(flow::seed(pool));
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
        let tail = self.b.block(&[Type::Int(16), LENGTH, Type::Int(8), Type::Int(64), BOOL]);
        self.balance_tails.insert((index, six), tail);
        let [nobody, long, unreachable] =
            [Unsent::Nobody, Unsent::Long, Unsent::Unreachable].map(|why| self.unsent(index, why));
        let current = self.b.current();
        self.b.switch_to(tail);
        let [packet, length, service, hash, begins] = std::array::from_fn(|nth| self.b.param(tail, nth));
        let backend = self.b.pick(PoolRef(balance.pool), hash, begins);
        let none = self.b.compare_const(Relation::Eq, backend, NOBODY.into());
        let some = self.fresh();
        self.b.branch(none, nobody, some);
        self.b.switch_to(some);
        let (by, balance) = (self.statement_ids[index], self.balance_refs[&index]);
        let (long, unreachable) = (long.into(), unreachable.into());
        let send = Send { by, balance, backend, six, packet, length, service, hash, long, unreachable };
        self.b.end(Terminator::Send(Box::new(send)));
        self.b.switch_to(current);
        tail
    }

    /// The block of packets that a statement does not send.
    fn unsent(&mut self, index: usize, why: Unsent) -> Block {
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

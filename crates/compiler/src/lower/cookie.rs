//! `answer … syncookie`: SYNs get an answer, acknowledgements are asked for a cookie; what is not for a socket that listens goes on.

use super::Lower;
use super::pred::Values;
use super::shape::Env;
use crate::ir::{Block, CookieCall, Relation, SynAck, Terminator, Type, Value, Verdict};
use crate::plan::{Presence, simplify};
use crate::policy::{HeaderRef, Statement, Term, cookie, echo};
use crate::sockets::Acknowledged;
use std::collections::BTreeSet;

impl Lower<'_> {
    /// A segment of whichever family.
    pub(super) fn syncookie(
        &mut self,
        index: usize,
        statement: &Statement,
        (found, env): (&BTreeSet<HeaderRef>, &Env),
        next: Block,
    ) {
        for (ip, six) in echo::headers(&self.policy.protocols) {
            match self.presence_of(ip, found) {
                Presence::No => {}
                Presence::Yes => return self.segment(index, statement, (ip, six), (found, env), next),
                Presence::Unknown => {
                    let (here, other) = (self.fresh(), self.fresh());
                    self.branch_there(ip, env, here, other);
                    self.b.switch_to(here);
                    self.segment(index, statement, (ip, six), (found, env), next);
                    self.b.switch_to(other);
                }
            }
        }
        // In this class the condition never holds.
        self.b.jump(next);
    }

    fn segment(
        &mut self,
        index: usize,
        statement: &Statement,
        (ip, six): (HeaderRef, bool),
        (found, env): (&BTreeSet<HeaderRef>, &Env),
        next: Block,
    ) {
        let values = Values::Env(env);
        let packet = self.value(&Term::Begin(ip), &values).low;
        let (asks, acknowledges) = (self.fresh(), self.fresh());
        let condition =
            simplify(&cookie::asks(&self.policy.protocols), &|header| self.presence_of(header, found));
        self.cond(&condition, &values, asks.into(), acknowledges.into());
        self.b.switch_to(asks);
        let made = self.b.cookie(CookieCall::Make, six, packet);
        let (none, answer) =
            (self.b.compare_const(Relation::Eq, made, 0), self.answer_block(index, statement, six));
        self.b.branch(none, next, (answer, [packet, made]));
        self.b.switch_to(acknowledges);
        let brought = self.b.cookie(CookieCall::Check, six, packet);
        let (valid, invalid) = (self.fresh(), self.without_cookie(index, statement));
        let case = |what: Acknowledged, to: Block| (what as u64, what as u64, to.into());
        let cases = vec![case(Acknowledged::Cookie, valid), case(Acknowledged::NoCookie, invalid)];
        self.b.switch(brought, cases, next);
        self.b.switch_to(valid);
        self.count(&statement.name);
        self.count(&format!("{}/valid", statement.name));
        self.capture(index, statement, None);
        self.b.jump(next);
    }

    /// The block that answers SYNs of a family; it takes where the packet begins, and the cookie.
    fn answer_block(&mut self, index: usize, statement: &Statement, six: bool) -> Block {
        if let Some(block) = self.answer_blocks.get(&(index, six)) {
            return *block;
        }
        let block = self.b.block(&[Type::Int(16), Type::Int(48)]);
        self.answer_blocks.insert((index, six), block);
        let current = self.b.current();
        self.b.switch_to(block);
        self.count(&statement.name);
        self.count(&format!("{}/answered", statement.name));
        self.capture(index, statement, Some(Verdict::Send));
        let [packet, cookie]: [Value; 2] = std::array::from_fn(|nth| self.b.param(block, nth));
        self.b.end(Terminator::SynAck(SynAck { by: self.statement_ids[index], six, packet, cookie }));
        self.b.switch_to(current);
        block
    }

    /// The block that drops acknowledgements without a cookie.
    fn without_cookie(&mut self, index: usize, statement: &Statement) -> Block {
        if let Some(block) = self.invalid_blocks.get(&index) {
            return *block;
        }
        let block = self.fresh();
        self.invalid_blocks.insert(index, block);
        let current = self.b.current();
        self.b.switch_to(block);
        self.count(&statement.name);
        self.count(&format!("{}/invalid", statement.name));
        self.capture(index, statement, Some(Verdict::Drop));
        self.b.ret(Verdict::Drop, Some(self.statement_ids[index]));
        self.b.switch_to(current);
        block
    }
}

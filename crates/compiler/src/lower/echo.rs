//! `echo`: the answer, of whichever family the request is. The condition has made sure that it can be given.

use super::Lower;
use super::pred::Values;
use super::shape::Env;
use crate::ir::{Echo, StatementId, Terminator, Verdict};
use crate::plan::Presence;
use crate::policy::{HeaderRef, Statement, Term, echo};
use std::collections::BTreeSet;

impl Lower<'_> {
    /// Ends the packet's way.
    pub(super) fn echo(
        &mut self,
        index: usize,
        statement: &Statement,
        found: &BTreeSet<HeaderRef>,
        env: &Env,
    ) {
        let by = self.statement_ids[index];
        self.capture(index, statement, Some(Verdict::Send));
        for (ip, six) in echo::headers(&self.policy.protocols) {
            match self.presence_of(ip, found) {
                Presence::No => {}
                Presence::Yes => return self.turn_round(by, ip, six, env),
                Presence::Unknown => {
                    let (here, next) = (self.fresh(), self.fresh());
                    self.branch_there(ip, env, here, next);
                    self.b.switch_to(here);
                    self.turn_round(by, ip, six, env);
                    self.b.switch_to(next);
                }
            }
        }
        // In this class the condition never holds.
        self.b.ret(Verdict::Drop, Some(by));
    }

    fn turn_round(&mut self, by: StatementId, ip: HeaderRef, six: bool, env: &Env) {
        let packet = self.value(&Term::Begin(ip), &Values::Env(env)).low;
        self.b.end(Terminator::Echo(Echo { by, six, packet }));
    }
}

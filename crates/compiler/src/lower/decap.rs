//! `decap`: where the packet inside begins, how long the link's header is, and what congestion does to both.

use super::Lower;
use super::pred::Values;
use super::shape::{Bit, Env};
use crate::ir::{BinaryOp, Block, EcnChange, Relation, StatementId, Terminator, Type, Value, Verdict};
use crate::plan::{Presence, width};
use crate::policy::{Decap, HeaderRef, IpHeader, Statement, Term};
use std::collections::BTreeSet;

/// Two bits of ECN outside, two inside: which bits flip inside (RFC 6040, figure 4), two for each combination.
const FLIPS: u64 = flips(ECT1, ECT0, ECT1) | flips(CE, ECT1, CE) | flips(CE, ECT0, CE);
/// The combination that drops the packet, since nothing inside can tell of the congestion.
const LOST: u64 = CE << 2 | NOT_ECT;

/// RFC 3168, section 5.
const NOT_ECT: u64 = 0;
const ECT1: u64 = 1;
const ECT0: u64 = 2;
const CE: u64 = 3;

const fn flips(outer: u64, inner: u64, becomes: u64) -> u64 {
    (inner ^ becomes) << (2 * (outer << 2 | inner))
}

/// An IP header at run time.
struct Ip {
    begin: Value,
    ecn: Value,
}

impl Lower<'_> {
    /// Ends the packet's way as what the tunnel carries; the condition has made sure that it can.
    pub(super) fn decap(
        &mut self,
        index: usize,
        statement: &Statement,
        found: &BTreeSet<HeaderRef>,
        env: &Env,
    ) {
        let decap = Decap::of(&self.policy.protocols).expect("the condition asks for its headers");
        let by = self.statement_ids[index];
        // Where there is no outer header nothing happens inside; nor does it where the inner one says all there is to say.
        let outer = self.first_there(&decap.outer, found, env, NOT_ECT);
        let inner = self.first_there(&decap.inner, found, env, CE);
        let mut ecn = None;
        if let (Some(outer), Some(inner)) = (&outer, &inner) {
            let flip = self.congestion(index, statement, outer, inner);
            ecn = Some(EcnChange { at: inner.begin, flip });
        }
        self.capture(index, statement, Some(Verdict::Pass));
        match self.presence_of(decap.ethernet, found) {
            Presence::Yes => self.leave_as_frame(by, decap.ethernet, ecn, env),
            Presence::No => self.leave_as_packet(by, outer, inner, ecn),
            Presence::Unknown => {
                let (frame, packet) = (self.fresh(), self.fresh());
                self.branch_there(decap.ethernet, env, frame, packet);
                self.b.switch_to(frame);
                self.leave_as_frame(by, decap.ethernet, ecn, env);
                self.b.switch_to(packet);
                self.leave_as_packet(by, outer, inner, ecn);
            }
        }
    }

    /// The inner Ethernet header and what is behind it.
    fn leave_as_frame(&mut self, by: StatementId, ethernet: HeaderRef, ecn: Option<EcnChange>, env: &Env) {
        let inner = self.value(&Term::Begin(ethernet), &Values::Env(env)).low;
        self.b.end(Terminator::Decap { by, inner, link: None, ecn });
    }

    /// What stands before the outer IP header, then the inner one and what is behind it.
    fn leave_as_packet(
        &mut self,
        by: StatementId,
        outer: Option<Ip>,
        inner: Option<Ip>,
        ecn: Option<EcnChange>,
    ) {
        self.b.end(match (outer, inner) {
            (Some(outer), Some(inner)) => {
                Terminator::Decap { by, inner: inner.begin, link: Some(outer.begin), ecn }
            }
            // In this class the condition never holds.
            _ => Terminator::Return { verdict: Verdict::Pass, by: Some(by) },
        });
    }

    pub(super) fn branch_there(&mut self, header: HeaderRef, env: &Env, then: Block, other: Block) {
        let there = self.shape.bit(&mut self.b, env, &Bit::Header(header));
        let there = there.expect("what a class does not tell has a bit");
        let there = self.b.compare_const(Relation::Ne, there, 0);
        self.b.branch(there, then, other);
    }

    /// Drops what has met congestion and cannot tell; the bits that flip in the inner header of everything else.
    fn congestion(&mut self, index: usize, statement: &Statement, outer: &Ip, inner: &Ip) -> Value {
        let high = self.b.binary_const(BinaryOp::Shl, outer.ecn, 2);
        let both = self.b.binary_as(BinaryOp::Or, high, inner.ecn, Type::Int(4));
        let lost = self.b.compare_const(Relation::Eq, both, LOST);
        let (drop, on) = (self.fresh(), self.fresh());
        self.b.branch(lost, drop, on);
        self.b.switch_to(drop);
        self.capture(index, statement, Some(Verdict::Drop));
        self.b.ret(Verdict::Drop, Some(self.statement_ids[index]));
        self.b.switch_to(on);
        let table = self.b.constant(FLIPS);
        let shift = self.b.binary_const(BinaryOp::Shl, both, 1);
        let row = self.b.binary_as(BinaryOp::Shr, table, shift, Type::Int(32));
        let mask = self.b.constant(3);
        self.b.binary_as(BinaryOp::And, row, mask, Type::Int(2))
    }

    /// The first of these headers that is there; if none is at run time, its ECN is `otherwise` and it begins nowhere.
    fn first_there(
        &mut self,
        headers: &[IpHeader],
        found: &BTreeSet<HeaderRef>,
        env: &Env,
        otherwise: u64,
    ) -> Option<Ip> {
        let presence = |lower: &Self, ip: &IpHeader| lower.presence_of(ip.header, found);
        if let Some(certain) = headers.iter().find(|ip| presence(self, ip) == Presence::Yes) {
            return Some(self.ip(certain, env));
        }
        let open: Vec<_> = headers.iter().filter(|ip| presence(self, ip) == Presence::Unknown).collect();
        if open.is_empty() {
            return None;
        }
        let bits = width(&self.policy.protocols, &open[0].ecn);
        let met = self.b.block(&[Type::Int(16), Type::Int(bits)]);
        for ip in open {
            let (here, next) = (self.fresh(), self.fresh());
            self.branch_there(ip.header, env, here, next);
            self.b.switch_to(here);
            let Ip { begin, ecn } = self.ip(ip, env);
            self.b.jump((met, [begin, ecn]));
            self.b.switch_to(next);
        }
        let (nowhere, ecn) = (self.b.constant(0), self.b.constant(otherwise));
        self.b.jump((met, [nowhere, ecn]));
        self.b.switch_to(met);
        Some(Ip { begin: self.b.param(met, 0), ecn: self.b.param(met, 1) })
    }

    fn ip(&mut self, ip: &IpHeader, env: &Env) -> Ip {
        let begin = self.value(&Term::Begin(ip.header), &Values::Env(env)).low;
        Ip { begin, ecn: self.value(&ip.ecn, &Values::Env(env)).low }
    }
}

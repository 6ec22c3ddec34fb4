//! The functions that walk tables of flows, in instructions.

use super::{
    BUSY, CLIENT, CLIENT_PORT, FLOW_SHIFT, NatSite, OWN, OWN_PORT, PROTOCOL, SERVICE, SERVICE_PORT, WAY,
    WAY_SHIFT, WRITTEN,
};
use crate::codegen::emit::Emitter;
use crate::codegen::pools::{ADDRESS, BACKENDS, FLAGS, PORT, RECORD_SHIFT, SIX};
use crate::ir::{NOT_NOTED, NatCall};
use crate::nat::{ENDING, Mark, NEW, SECOND, TCP, TCP_NUMBER, UDP, WAYS};
use weir_bpf::asm::Label;
use weir_bpf::insn::{AluOp, AtomicOp, Cond, Insn, Order, Reg, Size, Width};
use weir_bpf::target::Feature;

/// Bytes of stack that the deepest of them takes.
pub(super) const STACK: u32 = 32;
/// Where on it `bind` keeps the flow's number, and its backend.
const HELD: i16 = -8;
const BACKEND: i16 = -16;
/// Where a way's word stands.
const WORD: i16 = 8;

impl Emitter<'_> {
    pub(in crate::codegen) fn nat_function(&mut self, site: &NatSite, start: Label) {
        let family = if site.six { 6 } else { 4 };
        let name = |what: &str| format!("nat_{}_{family}_{what}", site.nat.0);
        match site.call {
            NatCall::Find { whole } => {
                self.asm.function(&name(if whole { "find" } else { "find_addresses" }), 2, start);
                self.find_flow(site, whole);
            }
            NatCall::Bind => {
                self.asm.function(&name("bind"), 5, start);
                self.bind_flow(site);
            }
            NatCall::Answered { whole } => {
                let (what, args) = if whole { ("answered", 3) } else { ("answered_addresses", 2) };
                self.asm.function(&name(what), args, start);
                self.flow_of_way(site, whole);
            }
            NatCall::Part(_) => {}
        }
    }

    fn op(&mut self, op: AluOp, reg: Reg, imm: i32) {
        self.asm.emit(Insn::alu(op, reg, imm));
    }

    fn leave_with(&mut self, result: i32) {
        self.asm.emit(Insn::mov(Reg::R0, result));
        self.asm.emit(Insn::Exit);
    }

    /// `r1` = the first line or the second one of the tag in `r6`, `r8` = its first way. Loses `r2`.
    fn nat_line(&mut self, site: &NatSite, nth: usize) {
        self.asm.emit(Insn::mov(Reg::R8, Reg::R6));
        if nth == 1 {
            self.op(AluOp::Lsh, Reg::R8, 32);
        }
        self.op(AluOp::Rsh, Reg::R8, 32);
        self.op(AluOp::Mul, Reg::R8, site.bank.lines() as i32);
        self.op(AluOp::Rsh, Reg::R8, 32);
        self.asm.emit(Insn::mov(Reg::R2, Reg::R8));
        self.op(AluOp::Lsh, Reg::R2, (WAYS * WAY).trailing_zeros() as i32);
        let off = site.layout.ways(site.six);
        self.asm.emit(Insn::LdMapValue { dst: Reg::R1, map: site.map, off });
        self.asm.emit(Insn::alu(AluOp::Add, Reg::R1, Reg::R2));
        self.op(AluOp::Lsh, Reg::R8, WAYS.trailing_zeros() as i32);
    }

    /// `to` = where the flow of the way in a register stands. Loses that register.
    fn flow_at(&mut self, site: &NatSite, to: Reg, way: Reg) {
        self.op(AluOp::Lsh, way, FLOW_SHIFT);
        let off = site.layout.flows(site.six);
        self.asm.emit(Insn::LdMapValue { dst: to, map: site.map, off });
        self.asm.emit(Insn::alu(AluOp::Add, to, way));
    }

    /// Goes elsewhere if so many bytes at two places differ. Loses `r0`, `r3`.
    fn differ(&mut self, size: Size, (one, at): (Reg, i16), (other, from): (Reg, i16), elsewhere: Label) {
        self.asm.emit(Insn::load(size, Reg::R0, one, at));
        self.asm.emit(Insn::load(size, Reg::R3, other, from));
        self.asm.branch(Cond::Ne, Width::W64, Reg::R0, Reg::R3, elsewhere);
    }

    /// The same for addresses.
    fn addresses_differ(&mut self, six: bool, one: (Reg, i16), other: (Reg, i16), elsewhere: Label) {
        if !six {
            return self.differ(Size::W, one, other, elsewhere);
        }
        for offset in [0, 8] {
            let (one, other) = ((one.0, one.1 + offset), (other.0, other.1 + offset));
            self.differ(Size::DW, one, other, elsewhere);
        }
    }

    /// `r1` the tag, `r2` the flow that is looked for; `r0` = its number, and the number of its backend above it.
    fn find_flow(&mut self, site: &NatSite, whole: bool) {
        self.asm.emit(Insn::mov(Reg::R6, Reg::R1));
        self.op(AluOp::Or, Reg::R6, 2);
        self.asm.emit(Insn::mov(Reg::R7, Reg::R2));
        for nth in 0..2 {
            self.nat_line(site, nth);
            for way in 0..WAYS as i32 {
                let (next, offset) = (self.asm.label(), (way as u32 * WAY) as i16);
                self.asm.emit(Insn::load(Size::DW, Reg::R0, Reg::R1, offset));
                self.asm.branch(Cond::Ne, Width::W64, Reg::R0, Reg::R6, next);
                self.asm.emit(Insn::mov(Reg::R5, Reg::R8));
                self.op(AluOp::Add, Reg::R5, way);
                self.flow_at(site, Reg::R4, Reg::R5);
                for at in [CLIENT, SERVICE] {
                    self.addresses_differ(site.six, (Reg::R4, at), (Reg::R7, at), next);
                }
                if whole {
                    self.differ(Size::W, (Reg::R4, CLIENT_PORT), (Reg::R7, CLIENT_PORT), next);
                    self.differ(Size::B, (Reg::R4, PROTOCOL), (Reg::R7, PROTOCOL), next);
                }
                self.asm.emit(Insn::load(Size::H, Reg::R0, Reg::R1, offset + WORD));
                self.op(AluOp::Lsh, Reg::R0, 32);
                self.op(AluOp::Add, Reg::R8, way + 1);
                self.asm.emit(Insn::alu(AluOp::Or, Reg::R0, Reg::R8));
                self.asm.emit(Insn::Exit);
                self.asm.bind(next);
            }
        }
        self.leave_with(0);
    }

    /// `r1` the tag, `r2` the flow, `r3` its backend, `r4` the mark, `r5` its number or 0; `r0` = its number, or 0.
    ///
    /// | register | holds |
    /// |---|---|
    /// | `r6` | the tag |
    /// | `r7` | the flow |
    /// | `r8` | the mark, then a line's first way |
    /// | `r9` | the time in seconds, in its place in a word |
    fn bind_flow(&mut self, site: &NatSite) {
        self.asm.emit(Insn::mov(Reg::R6, Reg::R1));
        self.op(AluOp::Or, Reg::R6, 2);
        self.asm.emit(Insn::mov(Reg::R7, Reg::R2));
        self.asm.emit(Insn::mov(Reg::R8, Reg::R4));
        self.asm.emit(Insn::store(Size::DW, Reg::R10, BACKEND, Reg::R3));
        self.asm.emit(Insn::store(Size::DW, Reg::R10, HELD, Reg::R5));
        self.seconds(Reg::R9);
        let new = self.asm.label();
        self.asm.emit(Insn::load(Size::DW, Reg::R5, Reg::R10, HELD));
        self.asm.branch(Cond::Eq, Width::W64, Reg::R5, 0, new);
        self.note_sent(site);
        self.asm.bind(new);
        let won = self.asm.label();
        // Both lines by turns: they fill from their beginnings, so the first way that is free is in the emptier one.
        for over in [false, true] {
            for way in 0..WAYS as i32 {
                for nth in 0..2 {
                    self.nat_line(site, nth);
                    self.claim_flow(way, over, won);
                }
            }
        }
        self.leave_with(0);
        self.asm.bind(won);
        self.write_flow(site);
    }

    /// A register = the time in seconds, in its place in a word. Loses `r0`–`r5`.
    fn seconds(&mut self, to: Reg) {
        self.clock();
        self.asm.emit(Insn::mov(to, Reg::R0));
        self.op(AluOp::Rsh, to, SECOND as i32);
        self.op(AluOp::Lsh, to, 32);
    }

    /// `r3` = how long the flow of the word in `r2` may be silent.
    fn allowed(&mut self) {
        self.asm.emit(Insn::mov(Reg::R3, Reg::R2));
        self.op(AluOp::Rsh, Reg::R3, 16);
        self.op(AluOp::And, Reg::R3, 0xffff);
    }

    /// Notes a packet of the flow whose number is in `r5`; see [`Word::sent`](crate::nat::Word::sent).
    fn note_sent(&mut self, site: &NatSite) {
        let (done, goes, fine) = (self.asm.label(), self.asm.label(), self.asm.label());
        self.asm.emit(Insn::mov(Reg::R4, Reg::R5));
        self.op(AluOp::Sub, Reg::R4, 1);
        self.asm.branch(Cond::Lt, Width::W64, Reg::R4, site.bank.ways() as i32, fine);
        self.leave_with(0);
        self.asm.bind(fine);
        self.op(AluOp::Lsh, Reg::R4, WAY_SHIFT);
        let off = site.layout.ways(site.six);
        self.asm.emit(Insn::LdMapValue { dst: Reg::R1, map: site.map, off });
        self.asm.emit(Insn::alu(AluOp::Add, Reg::R1, Reg::R4));
        self.asm.emit(Insn::load(Size::DW, Reg::R2, Reg::R1, WORD));
        self.allowed();
        let (begins, ends) = (Mark::Begins as i32, self.asm.label());
        self.asm.branch(Cond::Eq, Width::W64, Reg::R8, Mark::Ends as i32, ends);
        self.asm.branch(Cond::Ne, Width::W64, Reg::R8, begins, goes);
        self.asm.branch(Cond::Ne, Width::W64, Reg::R3, i32::from(ENDING), done);
        self.asm.emit(Insn::mov(Reg::R3, i32::from(NEW)));
        self.asm.jump(done);
        self.asm.bind(goes);
        self.asm.branch(Cond::Eq, Width::W64, Reg::R3, i32::from(ENDING), done);
        self.asm.emit(Insn::load(Size::B, Reg::R4, Reg::R7, PROTOCOL));
        self.asm.emit(Insn::mov(Reg::R3, i32::from(TCP)));
        self.asm.branch(Cond::Eq, Width::W64, Reg::R4, i32::from(TCP_NUMBER), done);
        self.asm.emit(Insn::mov(Reg::R3, i32::from(UDP)));
        self.asm.jump(done);
        self.asm.bind(ends);
        self.asm.emit(Insn::mov(Reg::R3, i32::from(ENDING)));
        self.asm.bind(done);
        self.asm.emit(Insn::load(Size::DW, Reg::R4, Reg::R10, BACKEND));
        self.asm.emit(Insn::mov(Reg::R0, Reg::R2));
        self.op(AluOp::And, Reg::R0, 0xffff);
        let stays = self.asm.label();
        self.put_word(Reg::R4, Reg::R9);
        self.asm.branch(Cond::Eq, Width::W64, Reg::R0, Reg::R4, stays);
        self.count_moved(site.pool);
        self.asm.bind(stays);
        self.asm.emit(Insn::mov(Reg::R0, Reg::R5));
        self.asm.emit(Insn::Exit);
    }

    /// Makes a word of what is allowed (`r3`), a backend and a time, and writes it to the way in `r1` if it is not the one in `r2`: most
    /// packets change nothing, and a line that no one writes stays in the caches of all CPUs.
    fn put_word(&mut self, backend: Reg, time: Reg) {
        let same = self.asm.label();
        self.op(AluOp::Lsh, Reg::R3, 16);
        self.asm.emit(Insn::alu(AluOp::Or, Reg::R3, backend));
        self.asm.emit(Insn::alu(AluOp::Or, Reg::R3, time));
        self.asm.branch(Cond::Eq, Width::W64, Reg::R3, Reg::R2, same);
        self.asm.emit(Insn::store(Size::DW, Reg::R1, WORD, Reg::R3));
        self.asm.bind(same);
    }

    /// Goes to `won` with a way of the line in `r1` that was free, or whose flow's time is over: its address in `r5`, its number in `r8`. Loses
    /// `r0`, `r2`, `r3`, `r4`.
    fn claim_flow(&mut self, way: i32, over: bool, won: Label) {
        let (next, offset) = (self.asm.label(), (way as u32 * WAY) as i16);
        self.asm.emit(Insn::load(Size::DW, Reg::R0, Reg::R1, offset));
        if over {
            self.asm.branch(Cond::Le, Width::W64, Reg::R0, BUSY as i32, next);
            self.asm.emit(Insn::load(Size::DW, Reg::R2, Reg::R1, offset + WORD));
            self.allowed();
            self.op(AluOp::Rsh, Reg::R2, 32);
            self.asm.emit(Insn::mov(Reg::R4, Reg::R9));
            self.op(AluOp::Rsh, Reg::R4, 32);
            self.asm.emit(Insn::alu32(AluOp::Sub, Reg::R4, Reg::R2));
            self.asm.branch(Cond::Le, Width::W64, Reg::R4, Reg::R3, next);
        } else {
            self.asm.branch(Cond::Ne, Width::W64, Reg::R0, 0, next);
        }
        if self.target.has(Feature::Atomics) {
            self.asm.emit(Insn::mov(Reg::R2, Reg::R0));
            self.asm.emit(Insn::mov(Reg::R3, BUSY as i32));
            let (op, size) = (AtomicOp::CmpXchg, Size::DW);
            self.asm.emit(Insn::Atomic { op, fetch: true, size, base: Reg::R1, off: offset, src: Reg::R3 });
            self.asm.branch(Cond::Ne, Width::W64, Reg::R0, Reg::R2, next);
        }
        self.asm.emit(Insn::mov(Reg::R5, Reg::R1));
        self.op(AluOp::Add, Reg::R5, offset.into());
        self.op(AluOp::Add, Reg::R8, way);
        self.asm.jump(won);
        self.asm.bind(next);
    }

    /// Fills the way in `r5`, whose number is in `r8`.
    fn write_flow(&mut self, site: &NatSite) {
        self.asm.emit(Insn::mov(Reg::R3, Reg::R8));
        self.flow_at(site, Reg::R4, Reg::R3);
        for word in 0..WRITTEN as i16 / 8 {
            self.asm.emit(Insn::load(Size::DW, Reg::R0, Reg::R7, 8 * word));
            self.asm.emit(Insn::store(Size::DW, Reg::R4, 8 * word, Reg::R0));
        }
        let big = |emitter: &mut Self, size| {
            emitter.asm.emit(Insn::Endian { dst: Reg::R0, to: Order::Be, size });
        };
        let ports = i32::from(site.bank.ports);
        self.asm.emit(Insn::mov(Reg::R0, Reg::R8));
        self.op(AluOp::Div, Reg::R0, ports);
        self.asm.emit(Insn::load_constant(Reg::R2, site.bank.address as u64));
        self.asm.emit(Insn::alu(AluOp::Add, Reg::R0, Reg::R2));
        if site.six {
            big(self, Size::DW);
            self.asm.emit(Insn::store(Size::DW, Reg::R4, OWN + 8, Reg::R0));
            let high = ((site.bank.address >> 64) as u64).swap_bytes();
            self.asm.emit(Insn::load_constant(Reg::R0, high));
            self.asm.emit(Insn::store(Size::DW, Reg::R4, OWN, Reg::R0));
        } else {
            big(self, Size::W);
            self.asm.emit(Insn::store(Size::W, Reg::R4, OWN, Reg::R0));
        }
        self.asm.emit(Insn::mov(Reg::R0, Reg::R8));
        self.op(AluOp::Mod, Reg::R0, ports);
        self.op(AluOp::Add, Reg::R0, site.bank.port.into());
        big(self, Size::H);
        self.asm.emit(Insn::store(Size::H, Reg::R4, OWN_PORT, Reg::R0));
        self.asm.emit(Insn::load(Size::DW, Reg::R0, Reg::R10, BACKEND));
        self.op(AluOp::Or, Reg::R0, i32::from(NEW) << 16);
        self.asm.emit(Insn::alu(AluOp::Or, Reg::R0, Reg::R9));
        self.asm.emit(Insn::store(Size::DW, Reg::R5, WORD, Reg::R0));
        self.asm.emit(Insn::store(Size::DW, Reg::R5, 0, Reg::R6));
        self.asm.emit(Insn::mov(Reg::R0, Reg::R8));
        self.op(AluOp::Add, Reg::R0, 1);
        self.asm.emit(Insn::Exit);
    }

    /// `r1` the way, `r2` where a packet comes from (as a flow's client), `r3` its mark; `r0` = the flow's number, or 0 if it is not of
    /// that backend.
    fn flow_of_way(&mut self, site: &NatSite, whole: bool) {
        let (none, found) = (self.asm.label(), self.asm.label());
        self.asm.branch(Cond::Ge, Width::W64, Reg::R1, site.bank.ways() as i32, none);
        self.asm.emit(Insn::mov(Reg::R6, Reg::R1));
        self.asm.emit(Insn::mov(Reg::R7, Reg::R2));
        if whole {
            self.asm.emit(Insn::mov(Reg::R9, Reg::R3));
        }
        self.asm.emit(Insn::mov(Reg::R2, Reg::R6));
        self.op(AluOp::Lsh, Reg::R2, WAY_SHIFT);
        let off = site.layout.ways(site.six);
        self.asm.emit(Insn::LdMapValue { dst: Reg::R8, map: site.map, off });
        self.asm.emit(Insn::alu(AluOp::Add, Reg::R8, Reg::R2));
        self.asm.emit(Insn::load(Size::DW, Reg::R0, Reg::R8, 0));
        self.asm.branch(Cond::Le, Width::W64, Reg::R0, BUSY as i32, none);
        self.asm.emit(Insn::load(Size::H, Reg::R2, Reg::R8, WORD));
        self.asm.branch(Cond::Gt, Width::W64, Reg::R2, i32::from(site.most), none);
        self.op(AluOp::Lsh, Reg::R2, RECORD_SHIFT);
        self.asm.emit(Insn::LdMapValue { dst: Reg::R1, map: site.pool, off: BACKENDS });
        self.asm.emit(Insn::alu(AluOp::Add, Reg::R1, Reg::R2));
        self.asm.emit(Insn::load(Size::B, Reg::R0, Reg::R1, FLAGS));
        self.op(AluOp::And, Reg::R0, SIX.into());
        let wanted = if site.six { i32::from(SIX) } else { 0 };
        self.asm.branch(Cond::Ne, Width::W64, Reg::R0, wanted, none);
        self.addresses_differ(site.six, (Reg::R1, ADDRESS), (Reg::R7, CLIENT), none);
        if whole {
            self.asm.emit(Insn::mov(Reg::R2, Reg::R6));
            self.flow_at(site, Reg::R4, Reg::R2);
            self.came_from_port(none);
            self.differ(Size::B, (Reg::R4, PROTOCOL), (Reg::R7, PROTOCOL), none);
            self.asm.branch(Cond::Eq, Width::W64, Reg::R9, NOT_NOTED as i32, found);
            self.note_answered(found);
        }
        self.asm.bind(found);
        self.asm.emit(Insn::mov(Reg::R0, Reg::R6));
        self.op(AluOp::Add, Reg::R0, 1);
        self.asm.emit(Insn::Exit);
        self.asm.bind(none);
        self.leave_with(0);
    }

    /// Goes elsewhere if the port of what is in `r7` is not that of the backend in `r1`, or else of the service of the flow in `r4`.
    fn came_from_port(&mut self, elsewhere: Label) {
        let (same, compare) = (self.asm.label(), self.asm.label());
        self.asm.emit(Insn::load(Size::H, Reg::R2, Reg::R1, PORT));
        self.asm.branch(Cond::Eq, Width::W64, Reg::R2, 0, same);
        self.asm.emit(Insn::Endian { dst: Reg::R2, to: Order::Be, size: Size::H });
        self.asm.jump(compare);
        self.asm.bind(same);
        self.asm.emit(Insn::load(Size::H, Reg::R2, Reg::R4, SERVICE_PORT));
        self.asm.bind(compare);
        self.asm.emit(Insn::load(Size::H, Reg::R3, Reg::R7, CLIENT_PORT));
        self.asm.branch(Cond::Ne, Width::W64, Reg::R2, Reg::R3, elsewhere);
    }

    /// Notes a packet from the backend of the flow whose way is in `r8`; see [`Word::answered`](crate::nat::Word::answered).
    fn note_answered(&mut self, found: Label) {
        let (put, ends, datagram) = (self.asm.label(), self.asm.label(), self.asm.label());
        self.seconds(Reg::R5);
        self.asm.emit(Insn::mov(Reg::R1, Reg::R8));
        self.asm.emit(Insn::load(Size::DW, Reg::R2, Reg::R1, WORD));
        self.allowed();
        self.asm.branch(Cond::Eq, Width::W64, Reg::R9, Mark::Ends as i32, ends);
        self.asm.branch(Cond::Eq, Width::W64, Reg::R3, i32::from(ENDING), put);
        self.asm.emit(Insn::load(Size::B, Reg::R4, Reg::R7, PROTOCOL));
        self.asm.branch(Cond::Ne, Width::W64, Reg::R4, i32::from(TCP_NUMBER), datagram);
        self.asm.branch(Cond::Eq, Width::W64, Reg::R3, i32::from(NEW), found);
        self.asm.jump(put);
        self.asm.bind(datagram);
        self.asm.emit(Insn::mov(Reg::R3, i32::from(UDP)));
        self.asm.jump(put);
        self.asm.bind(ends);
        self.asm.emit(Insn::mov(Reg::R3, i32::from(ENDING)));
        self.asm.bind(put);
        self.asm.emit(Insn::mov(Reg::R4, Reg::R2));
        self.op(AluOp::And, Reg::R4, 0xffff);
        self.put_word(Reg::R4, Reg::R5);
    }
}

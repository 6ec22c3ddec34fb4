//! `Echo`: a request turns round, where it stands.
//!
//! All changes are of single words, and checksums change by what these do. Words are in the order of a little-endian machine.

use super::{ETHERTYPE, HOPS, ICMP_HEADER, IP4_HEADER, IP6_HEADER, LONGEST_LINK, TRANSMIT};
use crate::codegen::isel::Isel;
use crate::codegen::machine::Kind;
use crate::ir::Echo;
use regalloc2::VReg;
use weir_bpf::insn::{AluOp, Size, Width};

/// Where an IPv4 header has its time to live and its checksum, and an IPv6 header its hop limit.
const TIME: i16 = 8;
const CHECKSUM: i16 = 10;
const HOP_LIMIT: i16 = 7;
/// Where the addresses are in a header of each family.
const ADDRESSES_4: [i16; 2] = [12, 16];
const ADDRESSES_6: [i16; 2] = [8, 24];
/// What becomes of the word with the type, 8 to 0 or 128 to 129, as the checksum gains it.
const REPLY_4: i32 = 0x0008;
const REPLY_6: i32 = 0xfffe;

impl Isel<'_> {
    pub(in crate::codegen) fn echo(&mut self, echo: &Echo) {
        let header = if echo.six { IP6_HEADER } else { IP4_HEADER };
        let packet = self.value(echo.packet);
        let frame = self.ends();
        let before = self.alu_imm(Width::W64, AluOp::Sub, packet, ETHERTYPE.into());
        let before = self.in_place(Kind::Bound((LONGEST_LINK - ETHERTYPE) as u32), before);
        let start = self.pointer(&frame, before, ETHERTYPE + header + ICMP_HEADER);
        self.exchange_macs(&frame, 0);
        let ([from, to], bytes) = if echo.six { (ADDRESSES_6, 16) } else { (ADDRESSES_4, 4) };
        for word in (0..bytes).step_by(4) {
            let [from, to] = [from, to].map(|at| ETHERTYPE + at + word);
            let [first, second] = [from, to].map(|at| self.load(Size::W, start, at));
            self.store(Size::W, start, from, second);
            self.store(Size::W, start, to, first);
        }
        let hops = self.constant(HOPS);
        if echo.six {
            self.store(Size::B, start, ETHERTYPE + HOP_LIMIT, hops);
        } else {
            self.restart_time(start, hops);
        }
        let message = ETHERTYPE + header;
        let kind = self.constant(if echo.six { 129 } else { 0 });
        self.store(Size::B, start, message, kind);
        let sum = self.load(Size::H, start, message + 2);
        let change = if echo.six { REPLY_6 } else { REPLY_4 };
        let sum = self.alu_imm(Width::W64, AluOp::Add, sum, change);
        let sum = self.folded(sum);
        self.store(Size::H, start, message + 2, sum);
        self.emit(Kind::Return(TRANSMIT), &[]);
    }

    /// The time to live of an IPv4 header begins anew, and the checksum follows: `~(~sum + ~old + new)` (RFC 1624).
    fn restart_time(&mut self, start: VReg, hops: VReg) {
        let [time, checksum] = [TIME, CHECKSUM].map(|at| ETHERTYPE + at);
        let (old, sum) = (self.load(Size::B, start, time), self.load(Size::H, start, checksum));
        let sum = self.alu_imm(Width::W64, AluOp::Xor, sum, 0xffff);
        let sum = self.alu_imm(Width::W64, AluOp::Add, sum, 0xffff + HOPS as i32);
        let sum = self.alu(Width::W64, AluOp::Sub, sum, old);
        let sum = self.folded(sum);
        let sum = self.alu_imm(Width::W64, AluOp::Xor, sum, 0xffff);
        self.store(Size::H, start, checksum, sum);
        self.store(Size::B, start, time, hops);
    }

    /// A sum of few words.
    fn folded(&mut self, sum: VReg) -> VReg {
        let sum = self.fold(sum);
        self.fold(sum)
    }
}

//! `SynAck`: the answer to a SYN takes the packet's place.
//!
//! ```text
//! | link            | IP | TCP, its options | …    what comes in
//! | link, exchanged | IP | TCP, MSS |             what leaves
//! ```
//!
//! Before Linux 5.8 a frame cannot become longer, as one must that has fewer options than the answer; such packets are aborted.

use super::{ETHERTYPE, IP4_HEADER, IP6_HEADER, LONGEST_LINK, TCP, TRANSMIT};
use crate::codegen::isel::Isel;
use crate::codegen::machine::Kind;
use crate::ir::SynAck;
use regalloc2::{Operand, VReg};
use weir_bpf::insn::{AluOp, Cond, Size, Width};

/// Bytes of the answer's segment, with one option.
const SEGMENT: u16 = 24;
/// Where a segment has its numbers, its length with flags and window, its checksum, and here its option.
const SEQUENCE: i16 = 4;
const ACKNOWLEDGED: i16 = 8;
const FLAGS: i16 = 12;
const CHECKSUM: i16 = 16;
const OPTION: i16 = 20;
/// Six words, SYN and ACK, and an option of four bytes that says the largest segment, as a little-endian machine stores them.
const SYN_ACK: u32 = 0x1260;
const MSS: i32 = 0x0402;

impl Isel<'_> {
    pub(in crate::codegen) fn syn_ack(&mut self, answer: &SynAck) {
        let ip = if answer.six { IP6_HEADER } else { IP4_HEADER };
        let (packet, cookie) = (self.value(answer.packet), self.value(answer.cookie));
        self.cut_off(packet, ip as u16 + SEGMENT);
        let frame = self.ends();
        let before = self.alu_imm(Width::W64, AluOp::Sub, packet, ETHERTYPE.into());
        let before = self.in_place(Kind::Bound((LONGEST_LINK - ETHERTYPE) as u32), before);
        let header = self.pointer(&frame, before, ETHERTYPE + ip + SEGMENT as i16);
        self.exchange_macs(&frame, 0);
        let addresses = self.exchange_addresses(header, answer.six);
        self.write_own_header(header, answer.six, TCP, SEGMENT, addresses);

        let segment = ETHERTYPE + ip;
        let [from, to] = [0, 2].map(|at| self.load(Size::H, header, segment + at));
        let sequence = self.load(Size::W, header, segment + SEQUENCE);
        let sequence = self.big_endian(Size::W, sequence);
        let next = self.alu_imm(Width::W32, AluOp::Add, sequence, 1);
        let next = self.big_endian(Size::W, next);
        let own = self.big_endian(Size::W, cookie);
        let flags = self.constant((SYN_ACK | u32::from(SynAck::WINDOW.swap_bytes()) << 16).into());
        let option = self.option(cookie, SynAck::LARGEST[usize::from(answer.six)]);

        let pseudo = (TCP as u16).swap_bytes() + SEGMENT.swap_bytes();
        let mut sum = self.alu_imm(Width::W64, AluOp::Add, addresses, pseudo.into());
        for part in [from, to, own, next, flags, option] {
            sum = self.alu(Width::W64, AluOp::Add, sum, part);
        }
        let sum = self.checksum(sum);
        for (at, port) in [(0, to), (2, from)] {
            self.store(Size::H, header, segment + at, port);
        }
        // What is urgent stands behind the checksum: nothing.
        let words =
            [(SEQUENCE, own), (ACKNOWLEDGED, next), (FLAGS, flags), (CHECKSUM, sum), (OPTION, option)];
        for (at, word) in words {
            self.store(Size::W, header, segment + at, word);
        }
        self.emit(Kind::Return(TRANSMIT), &[]);
    }

    /// The option with the largest segment, which stands above bit 32 of a cookie, or the largest that is said.
    fn option(&mut self, cookie: VReg, most: u16) -> VReg {
        let size = self.alu_imm(Width::W64, AluOp::Rsh, cookie, 32);
        let (met, less, more) =
            (self.builder.block(false), self.builder.block(false), self.builder.block(true));
        let said = self.builder.vreg();
        self.builder.blocks[met.index()].params.push(said);
        let kind = Kind::Branch(Cond::Gt, Width::W64, Some(most.into()));
        self.branch(kind, &[Operand::reg_use(size)], more, less);
        self.open(more);
        let most = self.constant(most.into());
        self.jump_with(met, &[most]);
        self.open(less);
        self.jump_with(met, &[size]);
        self.open(met);
        let said = self.big_endian(Size::H, said);
        let said = self.alu_imm(Width::W64, AluOp::Lsh, said, 16);
        self.alu_imm(Width::W64, AluOp::Or, said, MSS)
    }

    /// Lets both addresses of a packet change places; the sum of their words.
    fn exchange_addresses(&mut self, header: VReg, six: bool) -> VReg {
        let ([from, to], bytes) = if six { ([8, 24], 16) } else { ([12, 16], 4) };
        let mut sum = self.constant(0);
        for word in (0..bytes).step_by(4) {
            let [from, to] = [from, to].map(|at| ETHERTYPE + at + word);
            let [first, second] = [from, to].map(|at| self.load(Size::W, header, at));
            self.store(Size::W, header, from, second);
            self.store(Size::W, header, to, first);
            for part in [first, second] {
                sum = self.alu(Width::W64, AluOp::Add, sum, part);
            }
        }
        sum
    }
}

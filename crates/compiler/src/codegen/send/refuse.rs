//! `Room` and `Refuse`: how long a packet to a backend may be, and the message of ICMP that says it.
//!
//! ```text
//! | link            | packet …      |     what comes in
//! | link, exchanged | IP | ICMP | packet, its beginning |    what leaves
//! ```

use super::hops::fib;
use super::{
    DONT_FRAGMENT, ETHERTYPE, ETHERTYPE_4, ETHERTYPE_6, HOPS, ICMP, ICMP_HEADER, ICMP6, IP4_HEADER,
    LONGEST_LINK, SHORTEST_LINK, TRANSMIT,
};
use crate::codegen::decap::Ends;
use crate::codegen::isel::Isel;
use crate::codegen::machine::Kind;
use crate::codegen::pools::{FIXED, HOP, Layout, SIX};
use crate::ir::{BalanceRef, QUOTED, Refuse, Value, Via};
use regalloc2::{Block, Operand, VReg};
use weir_bpf::helpers;
use weir_bpf::insn::{AluOp, Cond, Size, Width};

impl Isel<'_> {
    pub(in crate::codegen) fn room(&mut self, result: Value, balance: BalanceRef, backend: Value) {
        let decl = &self.program.balances[balance.index()];
        let layout = Layout::of(&self.program.pools[decl.pool.index()]);
        let (record, flags) = self.record(decl.pool, layout, backend);
        let met = self.builder.block(true);
        let room = self.define(result);
        self.builder.blocks[met.index()].params.push(room);
        let (fixed, routed) = (self.builder.block(true), self.builder.block(true));
        self.branch_flag(flags, FIXED, fixed, routed);
        self.open(fixed);
        let hop = self.load(Size::DW, record, HOP);
        let most = self.alu_imm(Width::W64, AluOp::Rsh, hop, 48);
        self.leave_room(decl.via, flags, most, met);
        self.open(routed);
        let (four, six) = (self.builder.block(true), self.builder.block(true));
        self.branch_flag(flags, SIX, six, four);
        for (block, is_six) in [(four, false), (six, true)] {
            self.open(block);
            let at = self.route_params(is_six);
            self.store_backend(record, at, is_six);
            let most = self.most_by_route(at, met);
            self.leave_room(decl.via, flags, most, met);
        }
        self.open(met);
    }

    pub(in crate::codegen) fn room_by_route(&mut self, result: Value, to: &[Value]) {
        let met = self.builder.block(true);
        let room = self.define(result);
        self.builder.blocks[met.index()].params.push(room);
        let at = self.route_params(to.len() == 2);
        self.store_address(at + fib::TO, to);
        let most = self.most_by_route(at, met);
        self.jump_with(met, &[most]);
        self.open(met);
    }

    /// How long a packet may be by the kernel's routes; goes to `met` with 0 if there is none.
    fn most_by_route(&mut self, at: i16, met: Block) -> VReg {
        // Longer than any route takes, so that the answer says how long it may be.
        self.emit(Kind::StoreStackImm(Size::H, at + fib::LENGTH, 0xffff), &[]);
        let result = self.ask_routes(at);
        let (told, none) = (self.builder.block(true), self.builder.block(true));
        let too_long = Kind::Branch(Cond::Eq, Width::W64, Some(fib::TOO_LONG));
        self.branch(too_long, &[Operand::reg_use(result)], told, none);
        self.open(none);
        let zero = self.constant(0);
        self.jump_with(met, &[zero]);
        self.open(told);
        self.load_stack(Size::H, at + fib::LENGTH)
    }

    /// What the headers around a packet leave of a length.
    fn leave_room(&mut self, via: Via, flags: VReg, most: VReg, met: Block) {
        let (four, six) = (self.builder.block(true), self.builder.block(true));
        self.branch_flag(flags, SIX, six, four);
        for (block, is_six) in [(four, false), (six, true)] {
            self.open(block);
            let overhead = i32::from(via.overhead(is_six));
            // No route takes as little as that; if one did, nothing is said.
            let (enough, none) = (self.builder.block(true), self.builder.block(true));
            let kind = Kind::Branch(Cond::Gt, Width::W64, Some(overhead));
            self.branch(kind, &[Operand::reg_use(most)], enough, none);
            self.open(none);
            let zero = self.constant(0);
            self.jump_with(met, &[zero]);
            self.open(enough);
            let room = self.alu_imm(Width::W64, AluOp::Sub, most, overhead);
            self.jump_with(met, &[room]);
        }
    }

    /// The packet's beginning goes back to its sender, behind an ICMP header that says how long it may be.
    pub(in crate::codegen) fn refuse(&mut self, refuse: &Refuse) {
        let around: i16 = if refuse.six { 40 + ICMP_HEADER } else { 20 + ICMP_HEADER };
        let (packet, room) = (self.value(refuse.packet), self.value(refuse.room));
        self.cut_off(packet, QUOTED);
        self.begin_further_out(around);
        let frame = self.ends();
        let before = self.alu_imm(Width::W64, AluOp::Sub, packet, ETHERTYPE.into());
        let before = self.in_place(Kind::Bound((LONGEST_LINK - ETHERTYPE) as u32), before);
        let header = self.pointer(&frame, before, ETHERTYPE + around + QUOTED as i16);
        self.move_tags(&frame, packet, around);
        self.exchange_macs(&frame, around);
        let ethertype = self.constant(if refuse.six { ETHERTYPE_6 } else { ETHERTYPE_4 });
        self.store(Size::H, header, 0, ethertype);
        let quote = ETHERTYPE + around;
        // The sum of all that is quoted, of the message's own words, and of IPv6's pseudo header.
        let mut sum = self.constant(0);
        for word in 0..QUOTED as i16 / 4 {
            let part = self.load(Size::W, header, quote + 4 * word);
            sum = self.alu(Width::W64, AluOp::Add, sum, part);
        }
        let kind: i32 = if refuse.six { 2 } else { 3 | 4 << 8 };
        sum = self.alu_imm(Width::W64, AluOp::Add, sum, kind);
        let room = self.big_endian(Size::H, room);
        sum = self.alu(Width::W64, AluOp::Add, sum, room);
        let icmp = quote - ICMP_HEADER;
        let length = QUOTED + ICMP_HEADER as u16;
        let ends = if refuse.six { (24, 8, 16) } else { (16, 12, 4) };
        let (from, to, bytes) = ends;
        let (at, mut addresses) = (if refuse.six { 8 } else { 12 }, self.constant(0));
        for (nth, place) in [from, to].into_iter().enumerate() {
            for word in 0..bytes / 4 {
                let part = self.load(Size::W, header, quote + place + 4 * word);
                addresses = self.alu(Width::W64, AluOp::Add, addresses, part);
                self.store(Size::W, header, ETHERTYPE + at + nth as i16 * bytes + 4 * word, part);
            }
        }
        if refuse.six {
            sum = self.alu(Width::W64, AluOp::Add, sum, addresses);
            let pseudo = u32::from(length.swap_bytes()) + (ICMP6 as u32) * 0x100;
            sum = self.alu_imm(Width::W64, AluOp::Add, sum, pseudo as i32);
        }
        let protocol = if refuse.six { ICMP6 } else { ICMP };
        self.write_own_header(header, refuse.six, protocol, length, addresses);
        let sum = self.checksum(sum);
        let sum = self.alu_imm(Width::W64, AluOp::Lsh, sum, 16);
        let first = self.alu_imm(Width::W64, AluOp::Or, sum, kind);
        self.store(Size::W, header, icmp, first);
        let second = self.alu_imm(Width::W64, AluOp::Lsh, room, 16);
        self.store(Size::W, header, icmp + 4, second);
        self.emit(Kind::Return(TRANSMIT), &[]);
    }

    /// The IP header of a packet of our own but for its addresses, of which the sum is known: so many bytes come behind it.
    pub(super) fn write_own_header(
        &mut self,
        header: VReg,
        six: bool,
        protocol: u64,
        length: u16,
        addresses: VReg,
    ) {
        let words: [u64; 2] = match six {
            true => [0x60, u64::from(length.swap_bytes()) | protocol << 16 | HOPS << 24],
            false => {
                let total = u64::from((length + IP4_HEADER as u16).swap_bytes());
                let hops = HOPS | protocol << 8;
                let own = (0x45 + total + DONT_FRAGMENT + hops) as i32;
                let own = self.alu_imm(Width::W64, AluOp::Add, addresses, own);
                let own = self.checksum(own);
                let own = self.alu_imm(Width::W64, AluOp::Lsh, own, 16);
                let third = self.alu_imm(Width::W64, AluOp::Or, own, hops as i32);
                self.store(Size::W, header, ETHERTYPE + 8, third);
                [0x45 | total << 16, DONT_FRAGMENT << 16]
            }
        };
        for (nth, word) in words.into_iter().enumerate() {
            let word = self.constant(word);
            self.store(Size::W, header, ETHERTYPE + 4 * nth as i16, word);
        }
    }

    /// The frame ends behind so many bytes of the packet, in however many buffers it is.
    pub(super) fn cut_off(&mut self, packet: VReg, bytes: u16) {
        let length = self.counted_len();
        let kept = self.alu_imm(Width::W64, AluOp::Add, packet, bytes.into());
        let change = self.alu(Width::W64, AluOp::Sub, kept, length);
        self.move_edge(helpers::XDP_ADJUST_TAIL, change);
    }

    /// Writes both addresses at the frame's new start, the one in the place of the other.
    pub(super) fn exchange_macs(&mut self, frame: &Ends, by: i16) {
        self.require(frame, frame.data, SHORTEST_LINK + by);
        let parts = [(0, 6), (4, 10)];
        let high =
            parts.map(|(one, _)| self.load(if one == 0 { Size::W } else { Size::H }, frame.data, by + one));
        let low = parts
            .map(|(_, other)| self.load(if other == 6 { Size::W } else { Size::H }, frame.data, by + other));
        self.store(Size::W, frame.data, 0, low[0]);
        self.store(Size::H, frame.data, 4, low[1]);
        self.store(Size::W, frame.data, 6, high[0]);
        self.store(Size::H, frame.data, 10, high[1]);
    }

    /// The checksum of a sum, as it stands in memory. It may be of many words.
    pub(super) fn checksum(&mut self, sum: VReg) -> VReg {
        let high = self.alu_imm(Width::W64, AluOp::Rsh, sum, 32);
        let low = self.alu_imm(Width::W32, AluOp::And, sum, -1);
        let mut sum = self.alu(Width::W64, AluOp::Add, low, high);
        sum = self.fold(sum);
        sum = self.fold(sum);
        self.alu_imm(Width::W64, AluOp::Xor, sum, 0xffff)
    }
}

//! `Send`: the packet leaves for a backend.
//!
//! ```text
//! | link              | packet … |     what comes in
//! | link, new addresses and EtherType | IP | UDP | packet … |    what leaves, by a tunnel
//! | link, new addresses and EtherType | IP | UDP | VXLAN | link | packet … |    by a tunnel that carries frames
//! ```
//!
//! The next hop is asked for before anything changes: a fixed one stands beside the backend, else the kernel's routes and neighbours
//! say it (`bpf_fib_lookup`). Then the frame begins further out (`bpf_xdp_adjust_head`), the VLAN tags move to its new
//! start, and the headers are written around the packet, which stays as it is. Where the packet begins is one of five
//! places, so the verifier knows bounds that are as good as constants.
//!
//! All words of headers are made in the machine's order as they stand in memory. A sum of ones' complement does not care for
//! the order of bytes (RFC 1071, section 2).

use super::decap::Ends;
use super::isel::Isel;
use super::machine::{Kind, physical};
use super::pools::{ADDRESS, BACKENDS, FIXED, FLAGS, HOP, Layout, MAC, NAMED, RECORD_SHIFT, SIX};
use crate::ir::{self, BalanceRef, PoolRef, QUOTED, Refuse, Send, Target, VXLAN_FLAGS, Value, Via};
use regalloc2::{Operand, VReg};
use weir_bpf::helpers;
use weir_bpf::insn::{AluOp, Cond, Reg, Size, Width};

/// `XDP_TX`: leaves by the interface by which it came.
const TRANSMIT: i32 = 3;
/// Where the interface's number is in `xdp_md`.
const INGRESS: i16 = 12;
/// Where the IP header of the shortest and of the longest link header begins.
const SHORTEST_LINK: i16 = 14;
const LONGEST_LINK: i16 = 30;
/// Bytes of both MAC addresses, and of a VLAN tag.
const ADDRESSES: i16 = 12;
const TAG: i16 = 4;
const ETHERTYPE: i16 = 2;
/// EtherTypes as a little-endian machine stores them.
const ETHERTYPE_4: u64 = 0x0008;
const ETHERTYPE_6: u64 = 0xdd86;
/// Hops that a packet around another one may go.
const HOPS: u64 = 64;
/// Protocol numbers.
const ICMP: u64 = 1;
const ICMP6: u64 = 58;
const IP_IN_IP: u64 = 4;
const UDP: u64 = 17;
const IP6_IN_IP: u64 = 41;
/// Bytes of an ICMP header.
const ICMP_HEADER: i16 = 8;
/// Bytes of headers.
const IP4_HEADER: i16 = 20;
const IP6_HEADER: i16 = 40;
const UDP_HEADER: i16 = 8;
const VXLAN_HEADER: i16 = 8;
/// The flag that forbids fragmentation, as a little-endian machine stores the word that it is in.
const DONT_FRAGMENT: u64 = 0x40;

/// `struct bpf_fib_lookup`: its size and where its parts are (include/uapi/linux/bpf.h).
mod fib {
    pub(super) const BYTES: u32 = 64;
    pub(super) const FAMILY: i16 = 0;
    pub(super) const LENGTH: i16 = 6;
    pub(super) const INTERFACE: i16 = 8;
    pub(super) const SERVICE: i16 = 12;
    pub(super) const FROM: i16 = 16;
    pub(super) const TO: i16 = 32;
    pub(super) const OUR_MAC: i16 = 52;
    pub(super) const MAC: i16 = 58;
    pub(super) const INET: i32 = 2;
    pub(super) const INET6: i32 = 10;
    /// `BPF_FIB_LKUP_RET_FRAG_NEEDED`
    pub(super) const TOO_LONG: i32 = 8;
}

/// What is known of a packet on its way out, in registers.
struct Leaving<'a> {
    from: ir::Block,
    send: &'a Send,
    via: Via,
    record: VReg,
    flags: VReg,
}

/// Both MAC addresses as a frame begins with them, and the interface by which it leaves: 0 for the one by which it came.
struct Link {
    first: VReg,
    second: VReg,
    interface: VReg,
}

impl Isel<'_> {
    pub(super) fn send(&mut self, from: ir::Block, send: &Send) {
        let decl = &self.program.balances[send.balance.index()];
        let layout = Layout::of(&self.program.pools[decl.pool.index()]);
        let (record, flags) = self.record(decl.pool, layout, send.backend);
        let leaving = Leaving { from, send, via: decl.via, record, flags };
        match decl.via.origin().map(|origin| (origin.v4.is_some(), origin.v6.is_some())) {
            None => self.send_as_it_is(&leaving),
            Some((true, true)) => {
                let (four, six) = (self.builder.block(false), self.builder.block(false));
                self.branch_flag(&leaving, SIX, six, four);
                self.open(four);
                self.send_inside(&leaving, false);
                self.open(six);
                self.send_inside(&leaving, true);
            }
            Some((_, six)) => {
                let cond = if six { Cond::Eq } else { Cond::Ne };
                let other = self.alu_imm(Width::W64, AluOp::And, flags, SIX.into());
                let operands = [Operand::reg_use(other)];
                self.go_if(Kind::Branch(cond, Width::W64, Some(0)), &operands, from, &send.unreachable);
                self.send_inside(&leaving, six);
            }
        }
    }

    /// A backend's record, and its flags.
    fn record(&mut self, pool: PoolRef, layout: Layout, number: Value) -> (VReg, VReg) {
        let number = self.value(number);
        let number = self.in_place(Kind::Bound(layout.max().into()), number);
        let offset = self.alu_imm(Width::W64, AluOp::Lsh, number, RECORD_SHIFT);
        let backends = self.section(self.maps.pools[pool.index()], BACKENDS);
        let record = self.alu(Width::W64, AluOp::Add, backends, offset);
        (record, self.load(Size::B, record, FLAGS))
    }

    fn branch_flag(
        &mut self,
        leaving: &Leaving<'_>,
        flag: u8,
        then: regalloc2::Block,
        other: regalloc2::Block,
    ) {
        let kind = Kind::Branch(Cond::Set, Width::W64, Some(flag.into()));
        self.branch(kind, &[Operand::reg_use(leaving.flags)], then, other);
    }

    /// Goes on elsewhere if a comparison holds, which it mostly does not.
    fn go_if(&mut self, kind: Kind, operands: &[Operand], from: ir::Block, target: &Target) {
        let (leave, on) = (self.builder.block(true), self.builder.block(false));
        self.branch(kind, operands, leave, on);
        self.open(leave);
        let args = self.arguments(from, target);
        self.jump_with(self.machine_block(target.block), &args);
        self.open(on);
    }

    /// To the backend's MAC address.
    fn send_as_it_is(&mut self, leaving: &Leaving<'_>) {
        let length = self.value(leaving.send.length);
        let link = self.next_hop(leaving, length, None);
        let frame = self.ends();
        self.write_macs(&frame, &link);
        self.leave(&link);
    }

    /// In another packet.
    fn send_inside(&mut self, leaving: &Leaving<'_>, six: bool) {
        let overhead = leaving.via.overhead(six) as i16;
        let length = self.value(leaving.send.length);
        let total = self.alu_imm(Width::W64, AluOp::Add, length, overhead.into());
        let link = self.next_hop(leaving, total, Some(six));
        let network = leaving.via.network();
        if network.is_some() {
            self.go_unless_named(leaving);
        }
        self.begin_further_out(overhead);
        let frame = self.ends();
        let packet = self.value(leaving.send.packet);
        let before = self.alu_imm(Width::W64, AluOp::Sub, packet, ETHERTYPE.into());
        let before = self.in_place(Kind::Bound((LONGEST_LINK - ETHERTYPE) as u32), before);
        let header = self.pointer(&frame, before, ETHERTYPE + overhead);
        // What is written may lie over the address to which the frame came.
        let came_to = network.map(|_| self.came_to(&frame, overhead));
        if self.analysis.constant(leaving.send.packet) != Some(SHORTEST_LINK as u64) {
            self.move_tags(&frame, packet, overhead);
        }
        self.write_macs(&frame, &link);
        let ethertype = self.constant(if six { ETHERTYPE_6 } else { ETHERTYPE_4 });
        self.store(Size::H, header, 0, ethertype);
        match six {
            true => self.write_ip6(leaving, header, length),
            false => self.write_ip4(leaving, header, total),
        }
        if let (Some(id), Some(from)) = (network, came_to) {
            let ip = if six { IP6_HEADER } else { IP4_HEADER };
            self.write_frame(leaving, header, ETHERTYPE + ip + UDP_HEADER, id, from);
        }
        self.leave(&link);
    }

    /// Nothing is sent in a frame to a backend whose MAC address is not known: a reload may be about to say it.
    fn go_unless_named(&mut self, leaving: &Leaving<'_>) {
        let named = self.alu_imm(Width::W64, AluOp::And, leaving.flags, NAMED.into());
        let operands = [Operand::reg_use(named)];
        let kind = Kind::Branch(Cond::Eq, Width::W64, Some(0));
        self.go_if(kind, &operands, leaving.from, &leaving.send.unreachable);
    }

    /// The address to which the frame came, that begins so far behind its new start: 4 bytes and 2.
    fn came_to(&mut self, frame: &Ends, by: i16) -> [VReg; 2] {
        self.require(frame, frame.data, SHORTEST_LINK + by);
        [self.load(Size::W, frame.data, by), self.load(Size::H, frame.data, by + 4)]
    }

    fn ends(&mut self) -> Ends {
        let (data, end) = (self.builder.vreg(), self.builder.vreg());
        self.load_ends(data, end);
        Ends { data, end }
    }

    fn begin_further_out(&mut self, overhead: i16) {
        let (result, distance) = (self.builder.vreg(), self.constant(i64::from(-overhead) as u64));
        let operands = [
            Operand::reg_fixed_def(result, physical(Reg::R0)),
            Operand::reg_fixed_use(self.context, physical(Reg::R1)),
            Operand::reg_fixed_use(distance, physical(Reg::R2)),
        ];
        self.emit(Kind::Call(helpers::XDP_ADJUST_HEAD), &operands);
        self.abort_if(Kind::Branch(Cond::Ne, Width::W64, Some(0)), &[Operand::reg_use(result)]);
    }

    /// The tags to the frame's new start, the first one first: both places may overlap.
    fn move_tags(&mut self, frame: &Ends, packet: VReg, by: i16) {
        self.require(frame, frame.data, LONGEST_LINK + by);
        let done = self.builder.block(false);
        for tag in 0..(LONGEST_LINK - SHORTEST_LINK) / TAG {
            let at = ADDRESSES + tag * TAG;
            let (last, more) = (self.builder.block(false), self.builder.block(true));
            let kind = Kind::Branch(Cond::Le, Width::W64, Some((at + ETHERTYPE).into()));
            self.branch(kind, &[Operand::reg_use(packet)], last, more);
            self.open(last);
            self.jump(done);
            self.open(more);
            let bytes = self.load(Size::W, frame.data, at + by);
            self.store(Size::W, frame.data, at, bytes);
        }
        self.jump(done);
        self.open(done);
    }

    fn write_macs(&mut self, frame: &Ends, link: &Link) {
        self.require(frame, frame.data, SHORTEST_LINK);
        self.store(Size::DW, frame.data, 0, link.first);
        self.store(Size::W, frame.data, 8, link.second);
    }

    fn leave(&mut self, link: &Link) {
        let (here, elsewhere) = (self.builder.block(false), self.builder.block(true));
        let kind = Kind::Branch(Cond::Eq, Width::W64, Some(0));
        self.branch(kind, &[Operand::reg_use(link.interface)], here, elsewhere);
        self.open(here);
        self.emit(Kind::Return(TRANSMIT), &[]);
        self.open(elsewhere);
        let (result, flags) = (self.builder.vreg(), self.constant(0));
        let operands = [
            Operand::reg_fixed_def(result, physical(Reg::R0)),
            Operand::reg_fixed_use(link.interface, physical(Reg::R1)),
            Operand::reg_fixed_use(flags, physical(Reg::R2)),
        ];
        self.emit(Kind::Call(helpers::REDIRECT), &operands);
        self.emit(Kind::ReturnValue, &[Operand::reg_fixed_use(result, physical(Reg::R0))]);
    }
}

/// Packets that are too long.
impl Isel<'_> {
    pub(super) fn room(&mut self, result: Value, balance: BalanceRef, backend: Value) {
        let decl = &self.program.balances[balance.index()];
        let layout = Layout::of(&self.program.pools[decl.pool.index()]);
        let (record, flags) = self.record(decl.pool, layout, backend);
        let met = self.builder.block(true);
        let room = self.define(result);
        self.builder.blocks[met.index()].params.push(room);
        let (fixed, routed) = (self.builder.block(true), self.builder.block(true));
        self.branch(
            Kind::Branch(Cond::Set, Width::W64, Some(FIXED.into())),
            &[Operand::reg_use(flags)],
            fixed,
            routed,
        );
        self.open(fixed);
        let hop = self.load(Size::DW, record, HOP);
        let most = self.alu_imm(Width::W64, AluOp::Rsh, hop, 48);
        self.leave_room(decl.via, flags, most, met);
        self.open(routed);
        let (four, six) = (self.builder.block(true), self.builder.block(true));
        self.branch(
            Kind::Branch(Cond::Set, Width::W64, Some(SIX.into())),
            &[Operand::reg_use(flags)],
            six,
            four,
        );
        for (block, is_six) in [(four, false), (six, true)] {
            self.open(block);
            let at = self.route_params(record, is_six);
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
            let most = self.load_stack(Size::H, at + fib::LENGTH);
            self.leave_room(decl.via, flags, most, met);
        }
        self.open(met);
    }

    /// What the headers around a packet leave of a length.
    fn leave_room(&mut self, via: Via, flags: VReg, most: VReg, met: regalloc2::Block) {
        let (four, six) = (self.builder.block(true), self.builder.block(true));
        self.branch(
            Kind::Branch(Cond::Set, Width::W64, Some(SIX.into())),
            &[Operand::reg_use(flags)],
            six,
            four,
        );
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
    pub(super) fn refuse(&mut self, refuse: &Refuse) {
        let around: i16 = if refuse.six { 40 + ICMP_HEADER } else { 20 + ICMP_HEADER };
        let (packet, room) = (self.value(refuse.packet), self.value(refuse.room));
        self.cut_off(packet);
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
        let words: [u64; 2] = match refuse.six {
            true => {
                sum = self.alu(Width::W64, AluOp::Add, sum, addresses);
                let pseudo = u32::from(length.swap_bytes()) + (ICMP6 as u32) * 0x100;
                sum = self.alu_imm(Width::W64, AluOp::Add, sum, pseudo as i32);
                [0x60, u64::from(length.swap_bytes()) | ICMP6 << 16 | HOPS << 24]
            }
            false => {
                let total = u64::from((length + 20).swap_bytes());
                let first = 0x45 | total << 16;
                let hops = HOPS | ICMP << 8;
                let own = (0x45 + total + DONT_FRAGMENT + hops) as i32;
                let own = self.alu_imm(Width::W64, AluOp::Add, addresses, own);
                let own = self.checksum(own);
                let own = self.alu_imm(Width::W64, AluOp::Lsh, own, 16);
                let third = self.alu_imm(Width::W64, AluOp::Or, own, hops as i32);
                self.store(Size::W, header, ETHERTYPE + 8, third);
                [first, DONT_FRAGMENT << 16]
            }
        };
        for (nth, word) in words.into_iter().enumerate() {
            let word = self.constant(word);
            self.store(Size::W, header, ETHERTYPE + 4 * nth as i16, word);
        }
        let sum = self.checksum(sum);
        let sum = self.alu_imm(Width::W64, AluOp::Lsh, sum, 16);
        let first = self.alu_imm(Width::W64, AluOp::Or, sum, kind);
        self.store(Size::W, header, icmp, first);
        let second = self.alu_imm(Width::W64, AluOp::Lsh, room, 16);
        self.store(Size::W, header, icmp + 4, second);
        self.emit(Kind::Return(TRANSMIT), &[]);
    }

    /// The frame ends where what is quoted of the packet ends.
    fn cut_off(&mut self, packet: VReg) {
        let frame = self.ends();
        let length = self.alu(Width::W64, AluOp::Sub, frame.end, frame.data);
        let kept = self.alu_imm(Width::W64, AluOp::Add, packet, QUOTED.into());
        let change = self.alu(Width::W64, AluOp::Sub, kept, length);
        let result = self.builder.vreg();
        let operands = [
            Operand::reg_fixed_def(result, physical(Reg::R0)),
            Operand::reg_fixed_use(self.context, physical(Reg::R1)),
            Operand::reg_fixed_use(change, physical(Reg::R2)),
        ];
        self.emit(Kind::Call(helpers::XDP_ADJUST_TAIL), &operands);
        self.abort_if(Kind::Branch(Cond::Ne, Width::W64, Some(0)), &[Operand::reg_use(result)]);
    }

    /// Writes both addresses at the frame's new start, the one in the place of the other.
    fn exchange_macs(&mut self, frame: &Ends, by: i16) {
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
    fn checksum(&mut self, sum: VReg) -> VReg {
        let high = self.alu_imm(Width::W64, AluOp::Rsh, sum, 32);
        let low = self.alu_imm(Width::W32, AluOp::And, sum, -1);
        let mut sum = self.alu(Width::W64, AluOp::Add, low, high);
        sum = self.fold(sum);
        sum = self.fold(sum);
        self.alu_imm(Width::W64, AluOp::Xor, sum, 0xffff)
    }
}

/// Next hops.
impl Isel<'_> {
    /// Where a packet of so many bytes goes next; with an outer header it has the family and service of that.
    fn next_hop(&mut self, leaving: &Leaving<'_>, total: VReg, outer: Option<bool>) -> Link {
        let (fixed, routed) = (self.builder.block(false), self.builder.block(false));
        let met = self.builder.block(false);
        let [first, second, interface] = [(); 3].map(|()| self.builder.vreg());
        self.builder.blocks[met.index()].params.extend([first, second, interface]);
        self.branch_flag(leaving, FIXED, fixed, routed);
        self.open(fixed);
        self.fixed_hop(leaving, total, met);
        self.open(routed);
        match outer {
            Some(six) => self.route(leaving, total, six, met),
            None => {
                let (four, six) = (self.builder.block(false), self.builder.block(false));
                self.branch_flag(leaving, SIX, six, four);
                self.open(four);
                self.route(leaving, total, false, met);
                self.open(six);
                self.route(leaving, total, true, met);
            }
        }
        self.open(met);
        Link { first, second, interface }
    }

    /// From the address to which the frame came to the one beside the backend.
    fn fixed_hop(&mut self, leaving: &Leaving<'_>, total: VReg, met: regalloc2::Block) {
        let Leaving { from, send, record, .. } = *leaving;
        let hop = self.load(Size::DW, record, HOP);
        let most = self.alu_imm(Width::W64, AluOp::Rsh, hop, 48);
        let operands = [Operand::reg_use(total), Operand::reg_use(most)];
        self.go_if(Kind::Branch(Cond::Gt, Width::W64, None), &operands, from, &send.long);
        let frame = self.ends();
        self.require(&frame, frame.data, SHORTEST_LINK);
        let low = self.load(Size::H, frame.data, 0);
        let second = self.load(Size::W, frame.data, 2);
        let hop = self.alu_imm(Width::W64, AluOp::Lsh, hop, 16);
        let hop = self.alu_imm(Width::W64, AluOp::Rsh, hop, 16);
        let low = self.alu_imm(Width::W64, AluOp::Lsh, low, 48);
        let first = self.alu(Width::W64, AluOp::Or, hop, low);
        let here = self.constant(0);
        self.jump_with(met, &[first, second, here]);
    }

    /// What the kernel's routes and neighbours say.
    fn route(&mut self, leaving: &Leaving<'_>, total: VReg, six: bool, met: regalloc2::Block) {
        let Leaving { from, send, record, .. } = *leaving;
        let longest = Kind::Branch(Cond::Gt, Width::W64, Some(0xffff));
        self.go_if(longest, &[Operand::reg_use(total)], from, &send.long);
        let at = self.route_params(record, six);
        self.store_vreg(Size::H, at + fib::LENGTH, total);
        if !six {
            let service = self.value(send.service);
            self.store_vreg(Size::B, at + fib::SERVICE, service);
        }
        self.store_origin(leaving, at + fib::FROM, six);
        let result = self.ask_routes(at);
        let operands = [Operand::reg_use(result)];
        let too_long = Kind::Branch(Cond::Eq, Width::W64, Some(fib::TOO_LONG));
        self.go_if(too_long, &operands, from, &send.long);
        self.go_if(Kind::Branch(Cond::Ne, Width::W64, Some(0)), &operands, from, &send.unreachable);
        let mut part = |size, offset| self.load_stack(size, at + offset);
        let ours = [0, 2, 4].map(|nth| part(Size::H, fib::OUR_MAC + nth));
        let (low, high) = (part(Size::H, fib::MAC), part(Size::W, fib::MAC + 2));
        let interface = part(Size::W, fib::INTERFACE);
        let first = self.above(low, high, 16);
        let first = self.above(first, ours[0], 48);
        let second = self.above(ours[1], ours[2], 16);
        let (here, there) = (self.builder.block(false), self.builder.block(false));
        let ingress = self.load(Size::W, self.context, INGRESS);
        let operands = [Operand::reg_use(interface), Operand::reg_use(ingress)];
        self.branch(Kind::Branch(Cond::Eq, Width::W64, None), &operands, here, there);
        self.open(here);
        let zero = self.constant(0);
        self.jump_with(met, &[first, second, zero]);
        self.open(there);
        self.jump_with(met, &[first, second, interface]);
    }

    /// What the kernel is asked with: by which way to a backend.
    fn route_params(&mut self, record: VReg, six: bool) -> i16 {
        let at = self.builder.reserve(fib::BYTES);
        for word in 0..fib::BYTES as i16 / 8 {
            self.emit(Kind::StoreStackImm(Size::DW, at + 8 * word, 0), &[]);
        }
        let family = if six { fib::INET6 } else { fib::INET };
        self.emit(Kind::StoreStackImm(Size::B, at + fib::FAMILY, family), &[]);
        let ingress = self.load(Size::W, self.context, INGRESS);
        self.store_vreg(Size::W, at + fib::INTERFACE, ingress);
        for (size, offset) in if six { &[(Size::DW, 0), (Size::DW, 8)][..] } else { &[(Size::W, 0)] } {
            let part = self.load(*size, record, ADDRESS + offset);
            self.store_vreg(*size, at + fib::TO + offset, part);
        }
        at
    }

    /// The address from which a packet in another one comes, for rules of routing that ask for it.
    fn store_origin(&mut self, leaving: &Leaving<'_>, at: i16, six: bool) {
        let Some(origin) = leaving.via.origin() else { return };
        match (six, origin.v4, origin.v6) {
            (false, Some((address, _)), _) => {
                let address = i32::from_le_bytes(address.to_be_bytes());
                self.emit(Kind::StoreStackImm(Size::W, at, address), &[]);
            }
            (true, _, Some((address, _))) => {
                let bytes = address.to_be_bytes();
                for word in 0..4 {
                    let part = &bytes[4 * word..4 * word + 4];
                    let part = i32::from_le_bytes([part[0], part[1], part[2], part[3]]);
                    self.emit(Kind::StoreStackImm(Size::W, at + 4 * word as i16, part), &[]);
                }
            }
            _ => {}
        }
    }

    fn ask_routes(&mut self, at: i16) -> VReg {
        let (result, params) = (self.builder.vreg(), self.builder.vreg());
        self.emit(Kind::StackAddress(at), &[Operand::reg_def(params)]);
        let [bytes, flags] = [fib::BYTES.into(), 0].map(|number| self.constant(number));
        let operands = [
            Operand::reg_fixed_def(result, physical(Reg::R0)),
            Operand::reg_fixed_use(self.context, physical(Reg::R1)),
            Operand::reg_fixed_use(params, physical(Reg::R2)),
            Operand::reg_fixed_use(bytes, physical(Reg::R3)),
            Operand::reg_fixed_use(flags, physical(Reg::R4)),
        ];
        self.emit(Kind::Call(helpers::FIB_LOOKUP), &operands);
        result
    }

    fn load_stack(&mut self, size: Size, offset: i16) -> VReg {
        let def = self.builder.vreg();
        self.emit(Kind::LoadStack(size, offset), &[Operand::reg_def(def)]);
        def
    }

    /// `low | high << shift`
    fn above(&mut self, low: VReg, high: VReg, shift: i32) -> VReg {
        let high = self.alu_imm(Width::W64, AluOp::Lsh, high, shift);
        self.alu(Width::W64, AluOp::Or, low, high)
    }
}

/// Headers, two bytes behind a pointer.
impl Isel<'_> {
    fn protocol(leaving: &Leaving<'_>) -> u64 {
        match (leaving.via.port(), leaving.send.six) {
            (Some(_), _) => UDP,
            (None, true) => IP6_IN_IP,
            (None, false) => IP_IN_IP,
        }
    }

    fn write_ip4(&mut self, leaving: &Leaving<'_>, header: VReg, total: VReg) {
        let Some((address, bits)) = leaving.via.origin().and_then(|origin| origin.v4) else { return };
        let at = |offset: i16| ETHERTYPE + offset;
        let service = self.value(leaving.send.service);
        let service = self.alu_imm(Width::W64, AluOp::Lsh, service, 8);
        let begin = self.alu_imm(Width::W64, AluOp::Or, service, 0x45);
        let length = self.big_endian(Size::H, total);
        let first = self.above(begin, length, 16);
        self.store(Size::W, header, at(0), first);
        let fragment = self.constant(DONT_FRAGMENT << 16);
        self.store(Size::W, header, at(4), fragment);

        let open = u32::MAX.checked_shr(bits.into()).unwrap_or(0);
        let address = address & !open;
        let from = match open {
            0 => self.constant(address.swap_bytes().into()),
            open => {
                let own = self.spread(leaving, open);
                self.or_word(own, address.swap_bytes())
            }
        };
        self.store(Size::W, header, at(12), from);
        let to = self.load(Size::W, leaving.record, ADDRESS);
        self.store(Size::W, header, at(16), to);

        let hops = HOPS | Self::protocol(leaving) << 8;
        let mut sum = self.alu(Width::W64, AluOp::Add, begin, length);
        sum = self.alu_imm(Width::W64, AluOp::Add, sum, (hops + DONT_FRAGMENT) as i32);
        for address in [from, to] {
            let low = self.alu_imm(Width::W64, AluOp::And, address, 0xffff);
            let high = self.alu_imm(Width::W64, AluOp::Rsh, address, 16);
            sum = self.alu(Width::W64, AluOp::Add, sum, low);
            sum = self.alu(Width::W64, AluOp::Add, sum, high);
        }
        let sum = self.fold(sum);
        let checksum = self.alu_imm(Width::W64, AluOp::Xor, sum, 0xffff);
        let checksum = self.alu_imm(Width::W64, AluOp::Lsh, checksum, 16);
        let third = self.alu_imm(Width::W64, AluOp::Or, checksum, hops as i32);
        self.store(Size::W, header, at(8), third);
        if let Some(port) = leaving.via.port() {
            let length = self.alu_imm(Width::W64, AluOp::Sub, total, IP4_HEADER.into());
            self.write_udp(leaving, header, at(IP4_HEADER), port, length);
        }
    }

    fn write_ip6(&mut self, leaving: &Leaving<'_>, header: VReg, length: VReg) {
        let Some((address, bits)) = leaving.via.origin().and_then(|origin| origin.v6) else { return };
        let at = |offset: i16| ETHERTYPE + offset;
        let length = match leaving.via.overhead(true) as i16 - IP6_HEADER {
            0 => length,
            between => self.alu_imm(Width::W64, AluOp::Add, length, between.into()),
        };
        let service = self.value(leaving.send.service);
        let service = self.alu_imm(Width::W64, AluOp::Lsh, service, 20);
        let hash = self.value(leaving.send.hash);
        let label = self.alu_imm(Width::W64, AluOp::And, hash, 0xf_ffff);
        let first = self.alu(Width::W64, AluOp::Or, service, label);
        let first = self.alu_imm(Width::W64, AluOp::Or, first, 6 << 28);
        let first = self.big_endian(Size::W, first);
        self.store(Size::W, header, at(0), first);
        let payload = self.big_endian(Size::H, length);
        let hops = Self::protocol(leaving) << 16 | HOPS << 24;
        let second = self.alu_imm(Width::W64, AluOp::Or, payload, hops as i32);
        self.store(Size::W, header, at(4), second);

        let open = u128::MAX.checked_shr(bits.into()).unwrap_or(0) as u32;
        let [high, low] = [(address >> 64) as u64, address as u64];
        let high = self.constant(high.swap_bytes());
        self.store(Size::DW, header, at(8), high);
        let middle = self.constant(u64::from(((low >> 32) as u32).swap_bytes()));
        self.store(Size::W, header, at(16), middle);
        let lowest = (low as u32 & !open).swap_bytes();
        let lowest = match open {
            0 => self.constant(lowest.into()),
            open => {
                let own = self.spread(leaving, open);
                self.or_word(own, lowest)
            }
        };
        self.store(Size::W, header, at(20), lowest);
        for offset in [0, 8] {
            let part = self.load(Size::DW, leaving.record, ADDRESS + offset);
            self.store(Size::DW, header, at(24) + offset, part);
        }
        if let Some(port) = leaving.via.port() {
            self.write_udp(leaving, header, at(IP6_HEADER), port, length);
        }
    }

    /// The hash's bits that an address leaves open, as a packet has them.
    fn spread(&mut self, leaving: &Leaving<'_>, open: u32) -> VReg {
        let hash = self.value(leaving.send.hash);
        let own = self.alu_imm(Width::W32, AluOp::And, hash, open as i32);
        self.big_endian(Size::W, own)
    }

    fn or_word(&mut self, value: VReg, word: u32) -> VReg {
        self.alu_imm(Width::W32, AluOp::Or, value, word as i32)
    }

    /// Without a checksum (RFC 768, RFC 6935); from a port that is the flow's.
    fn write_udp(&mut self, leaving: &Leaving<'_>, header: VReg, at: i16, port: u16, length: VReg) {
        let hash = self.value(leaving.send.hash);
        let from = self.alu_imm(Width::W64, AluOp::Rsh, hash, 16);
        let from = self.alu_imm(Width::W64, AluOp::Or, from, 0xc000);
        let from = self.big_endian(Size::H, from);
        let ports = self.or_word(from, u32::from(port.swap_bytes()) << 16);
        self.store(Size::W, header, at, ports);
        let length = self.big_endian(Size::H, length);
        self.store(Size::W, header, at + 4, length);
    }

    /// VXLAN's header (RFC 7348, section 5) and the addresses of the frame in it. The EtherType behind them is what the
    /// packet's own frame ended its header with, and still stands there.
    fn write_frame(&mut self, leaving: &Leaving<'_>, header: VReg, at: i16, id: u32, from: [VReg; 2]) {
        for (nth, word) in [VXLAN_FLAGS, id << 8].into_iter().enumerate() {
            let word = self.constant(word.swap_bytes().into());
            self.store(Size::W, header, at + 4 * nth as i16, word);
        }
        let link = at + VXLAN_HEADER;
        let to = [(Size::H, 0), (Size::W, 2)];
        for (size, offset) in to {
            let part = self.load(size, leaving.record, MAC + offset);
            self.store(size, header, link + offset, part);
        }
        self.store(Size::W, header, link + 6, from[0]);
        self.store(Size::H, header, link + 10, from[1]);
    }

    /// To 16 bits; the sum is of a few words.
    fn fold(&mut self, mut sum: VReg) -> VReg {
        for _ in 0..2 {
            let carry = self.alu_imm(Width::W64, AluOp::Rsh, sum, 16);
            let low = self.alu_imm(Width::W64, AluOp::And, sum, 0xffff);
            sum = self.alu(Width::W64, AluOp::Add, low, carry);
        }
        sum
    }
}

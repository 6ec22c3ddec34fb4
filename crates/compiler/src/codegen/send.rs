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

mod echo;
mod forward;
mod headers;
mod hops;
mod known;
mod refuse;
mod syn_ack;

use super::decap::Ends;
use super::isel::Isel;
use super::link::{ADDRESSES, ETHERTYPE, ETHERTYPE_4, ETHERTYPE_6, LONGEST_LINK, SHORTEST_LINK, TAG, TAGS};
use super::machine::{Kind, physical};
use super::pools::{BACKENDS, FLAGS, Layout, NAMED, RECORD_SHIFT, SIX};
use crate::ir::{self, PoolRef, Send, Target, Value, Verdict, Via};
use regalloc2::{Block, Operand, VReg};
use weir_bpf::helpers;
use weir_bpf::insn::{AluOp, Cond, Reg, Size, Width};

/// `XDP_TX`: leaves by the interface by which it came.
const TRANSMIT: i32 = 3;
/// Where the interface's number is in `xdp_md`.
const INGRESS: i16 = 12;
/// Hops that a packet around another one may go.
const HOPS: u64 = 64;
/// Protocol numbers.
const ICMP: u64 = 1;
const ICMP6: u64 = 58;
const IP_IN_IP: u64 = 4;
const TCP: u64 = 6;
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
                self.branch_flag(leaving.flags, SIX, six, four);
                self.open(four);
                self.apart(|isel| isel.send_inside(&leaving, false));
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
    pub(super) fn record(&mut self, pool: PoolRef, layout: Layout, number: Value) -> (VReg, VReg) {
        let number = self.value(number);
        let number = self.in_place(Kind::Bound(layout.max().into()), number);
        let offset = self.alu_imm(Width::W64, AluOp::Lsh, number, RECORD_SHIFT);
        let backends = self.section(self.maps.pools[pool.index()], BACKENDS);
        let record = self.alu(Width::W64, AluOp::Add, backends, offset);
        (record, self.load(Size::B, record, FLAGS))
    }

    fn branch_flag(&mut self, flags: VReg, flag: u8, then: Block, other: Block) {
        let kind = Kind::Branch(Cond::Set, Width::W64, Some(flag.into()));
        self.branch(kind, &[Operand::reg_use(flags)], then, other);
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
        self.tell(leaving.from, Verdict::Send, Some(leaving.send.by));
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
        self.tell(leaving.from, Verdict::Send, Some(leaving.send.by));
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
        let distance = self.constant(i64::from(-overhead) as u64);
        self.move_edge(helpers::XDP_ADJUST_HEAD, distance);
    }

    /// The tags to the frame's new start, the first one first: both places may overlap.
    fn move_tags(&mut self, frame: &Ends, packet: VReg, by: i16) {
        self.require(frame, frame.data, LONGEST_LINK + by);
        let done = self.builder.block(false);
        for tag in 0..TAGS {
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

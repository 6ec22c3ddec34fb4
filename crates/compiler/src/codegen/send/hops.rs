//! Next hops: a fixed one stands beside the backend, else the kernel's routes and neighbours say it.

use super::{INGRESS, Leaving, Link, SHORTEST_LINK};
use crate::codegen::isel::Isel;
use crate::codegen::machine::{Kind, physical};
use crate::codegen::pools::{ADDRESS, FIXED, HOP, SIX};
use crate::ir::{self, Target, Via};
use regalloc2::{Block, Operand, VReg};
use weir_bpf::helpers;
use weir_bpf::insn::{AluOp, Cond, Reg, Size, Width};

/// `struct bpf_fib_lookup`: its size and where its parts are (include/uapi/linux/bpf.h).
pub(super) mod fib {
    pub(in super::super) const BYTES: u32 = 64;
    pub(in super::super) const FAMILY: i16 = 0;
    pub(in super::super) const LENGTH: i16 = 6;
    pub(in super::super) const INTERFACE: i16 = 8;
    pub(in super::super) const SERVICE: i16 = 12;
    pub(in super::super) const FROM: i16 = 16;
    pub(in super::super) const TO: i16 = 32;
    pub(in super::super) const OUR_MAC: i16 = 52;
    pub(in super::super) const MAC: i16 = 58;
    pub(in super::super) const INET: i32 = 2;
    pub(in super::super) const INET6: i32 = 10;
    /// `BPF_FIB_LKUP_RET_FRAG_NEEDED`
    pub(in super::super) const TOO_LONG: i32 = 8;
}

impl Isel<'_> {
    /// Where a packet of so many bytes goes next; with an outer header it has the family and service of that.
    pub(super) fn next_hop(&mut self, leaving: &Leaving<'_>, total: VReg, outer: Option<bool>) -> Link {
        let (fixed, routed) = (self.builder.block(false), self.builder.block(false));
        let met = self.builder.block(false);
        let [first, second, interface] = [(); 3].map(|()| self.builder.vreg());
        self.builder.blocks[met.index()].params.extend([first, second, interface]);
        self.branch_flag(leaving.flags, FIXED, fixed, routed);
        self.open(fixed);
        self.fixed_hop((leaving.from, &leaving.send.long), leaving.record, total, met);
        self.open(routed);
        match outer {
            Some(six) => self.route(leaving, total, six, met),
            None => {
                let (four, six) = (self.builder.block(false), self.builder.block(false));
                self.branch_flag(leaving.flags, SIX, six, four);
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
    pub(super) fn fixed_hop(
        &mut self,
        (from, long): (ir::Block, &Target),
        record: VReg,
        total: VReg,
        met: Block,
    ) {
        let hop = self.load(Size::DW, record, HOP);
        let most = self.alu_imm(Width::W64, AluOp::Rsh, hop, 48);
        let operands = [Operand::reg_use(total), Operand::reg_use(most)];
        self.go_if(Kind::Branch(Cond::Gt, Width::W64, None), &operands, from, long);
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
    fn route(&mut self, leaving: &Leaving<'_>, total: VReg, six: bool, met: Block) {
        let Leaving { from, send, record, .. } = *leaving;
        self.go_if_longest(total, from, &send.long);
        let place = self.place_of_hop(send.backend, &leaving.via.to_string());
        place.into_iter().for_each(|place| self.known_hop(place, send.service, total, six, met));
        let at = self.route_params(six);
        self.store_backend(record, at, six);
        self.store_vreg(Size::H, at + fib::LENGTH, total);
        if !six {
            let service = self.value(send.service);
            self.store_vreg(Size::B, at + fib::SERVICE, service);
        }
        self.store_origin(leaving, at + fib::FROM, six);
        self.go_unless_routed(at, from, (&send.long, &send.unreachable));
        if leaving.via == Via::L2 {
            self.go_unless_on_link(leaving, at, six);
        }
        let hop = self.routed_hop(at);
        place.into_iter().for_each(|place| self.keep_hop(place, at, hop));
        self.jump_with(met, &hop);
    }

    /// Nothing longer goes by any route.
    pub(super) fn go_if_longest(&mut self, total: VReg, from: ir::Block, long: &Target) {
        let longest = Kind::Branch(Cond::Gt, Width::W64, Some(0xffff));
        self.go_if(longest, &[Operand::reg_use(total)], from, long);
    }

    /// Asks the kernel, and goes elsewhere if it knows no way.
    pub(super) fn go_unless_routed(
        &mut self,
        at: i16,
        from: ir::Block,
        (long, unreachable): (&Target, &Target),
    ) {
        let result = self.ask_routes(at);
        let operands = [Operand::reg_use(result)];
        let too_long = Kind::Branch(Cond::Eq, Width::W64, Some(fib::TOO_LONG));
        self.go_if(too_long, &operands, from, long);
        self.go_if(Kind::Branch(Cond::Ne, Width::W64, Some(0)), &operands, from, unreachable);
    }

    /// What the kernel has answered: both MAC addresses, and the interface if it is another one.
    pub(super) fn routed_hop(&mut self, at: i16) -> [VReg; 3] {
        let mut part = |size, offset| self.load_stack(size, at + offset);
        let ours = [0, 2, 4].map(|nth| part(Size::H, fib::OUR_MAC + nth));
        let (low, high) = (part(Size::H, fib::MAC), part(Size::W, fib::MAC + 2));
        let interface = part(Size::W, fib::INTERFACE);
        let first = self.above(low, high, 16);
        let first = self.above(first, ours[0], 48);
        let second = self.above(ours[1], ours[2], 16);
        let (here, there) = (self.builder.block(false), self.builder.block(false));
        let (met, leaves_by) = (self.builder.block(false), self.builder.vreg());
        self.builder.blocks[met.index()].params.push(leaves_by);
        let ingress = self.load(Size::W, self.context, INGRESS);
        let operands = [Operand::reg_use(interface), Operand::reg_use(ingress)];
        self.branch(Kind::Branch(Cond::Eq, Width::W64, None), &operands, here, there);
        self.open(here);
        let zero = self.constant(0);
        self.jump_with(met, &[zero]);
        self.open(there);
        self.jump_with(met, &[interface]);
        self.open(met);
        [first, second, leaves_by]
    }

    /// A frame to the service's own address must reach the backend by its link: a router on the way would bring it back. The
    /// kernel says the next hop's address where it was asked for the backend's.
    fn go_unless_on_link(&mut self, leaving: &Leaving<'_>, at: i16, six: bool) {
        for (size, offset) in parts_of_address(six) {
            let next = self.load_stack(*size, at + fib::TO + offset);
            let backend = self.load(*size, leaving.record, ADDRESS + offset);
            let operands = [Operand::reg_use(next), Operand::reg_use(backend)];
            let other = Kind::Branch(Cond::Ne, Width::W64, None);
            self.go_if(other, &operands, leaving.from, &leaving.send.unreachable);
        }
    }

    /// What the kernel is asked with, but for addresses and length.
    pub(super) fn route_params(&mut self, six: bool) -> i16 {
        let at = self.builder.reserve(fib::BYTES);
        for word in 0..fib::BYTES as i16 / 8 {
            self.emit(Kind::StoreStackImm(Size::DW, at + 8 * word, 0), &[]);
        }
        let family = if six { fib::INET6 } else { fib::INET };
        self.emit(Kind::StoreStackImm(Size::B, at + fib::FAMILY, family), &[]);
        let ingress = self.load(Size::W, self.context, INGRESS);
        self.store_vreg(Size::W, at + fib::INTERFACE, ingress);
        at
    }

    /// By which way to a backend.
    pub(super) fn store_backend(&mut self, record: VReg, at: i16, six: bool) {
        for (size, offset) in parts_of_address(six) {
            let part = self.load(*size, record, ADDRESS + offset);
            self.store_vreg(*size, at + fib::TO + offset, part);
        }
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

    pub(super) fn ask_routes(&mut self, at: i16) -> VReg {
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

    pub(super) fn load_stack(&mut self, size: Size, offset: i16) -> VReg {
        let def = self.builder.vreg();
        self.emit(Kind::LoadStack(size, offset), &[Operand::reg_def(def)]);
        def
    }

    /// `low | high << shift`
    pub(super) fn above(&mut self, low: VReg, high: VReg, shift: i32) -> VReg {
        let high = self.alu_imm(Width::W64, AluOp::Lsh, high, shift);
        self.alu(Width::W64, AluOp::Or, low, high)
    }
}

/// By which loads an address is read.
fn parts_of_address(six: bool) -> &'static [(Size, i16)] {
    if six { &[(Size::DW, 0), (Size::DW, 8)] } else { &[(Size::W, 0)] }
}

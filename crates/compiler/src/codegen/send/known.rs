//! Next hops that the kernel has said a moment ago: asking costs more than all else that is done to a packet.
//!
//! They stand beside what is counted for the backend, on each CPU by itself, so that nobody else writes them and the line is at
//! hand. One is used for a quarter of a second, for packets of the same statement that came by the same interface, ask for
//! no way of their own by their type of service, and are no longer than what the route takes.

use super::INGRESS;
use super::hops::fib;
use crate::codegen::isel::Isel;
use crate::codegen::machine::{Kind, physical};
use crate::codegen::sets::clock_of;
use crate::ir::Value;
use regalloc2::{Block, Operand, VReg};
use weir_bpf::insn::{AluOp, Cond, Reg, Size, Width};

/// How long one is used, in nanoseconds: 2^28.
const LASTS: i32 = 1 << 28;
/// The bits of a type of service by which the kernel chooses routes (`IPTOS_RT_MASK`).
const BY_SERVICE: i32 = 0x1c;

/// Where in the value of a counter of a backend, behind what is counted, a next hop stands; in all [`super::super::pools::PICKED`] bytes.
const FIRST: i16 = 24;
const SECOND: i16 = 32;
const INTERFACE: i16 = 36;
/// Until when it is used, in nanoseconds; 0 if there is none.
const UNTIL: i16 = 40;
/// By which interface packets came, and by which statement's way they went.
const CAME: i16 = 48;
const WAY: i16 = 52;
/// How long packets may be.
const MOST: i16 = 54;

/// The place of a next hop, and the number of the way that it is of.
#[derive(Clone, Copy)]
pub(in crate::codegen) struct Place {
    counted: VReg,
    way: i32,
}

impl Isel<'_> {
    /// Where the next hop of a backend is kept that was picked in this function.
    pub(super) fn place_of_hop(&self, backend: Value, via: &str) -> Option<Place> {
        let counted = *self.picked.get(&backend)?;
        // Statements and their order change in reloads, and the maps stay.
        let way = via.bytes().fold(7u16, |way, byte| way.wrapping_mul(31).wrapping_add(byte.into()));
        Some(Place { counted, way: way.into() })
    }

    /// Goes to `met` with the next hop that is known; else goes on.
    pub(super) fn known_hop(&mut self, place: Place, service: Value, total: VReg, six: bool, met: Block) {
        let Place { counted, way } = place;
        let asks = self.builder.block(false);
        let other = |isel: &mut Self, kind: Kind, operands: &[Operand]| {
            let (differs, same) = (isel.builder.block(true), isel.builder.block(false));
            isel.branch(kind, operands, differs, same);
            isel.open(differs);
            isel.jump(asks);
            isel.open(same);
        };
        let now = self.coarse_now();
        let until = self.load(Size::DW, counted, UNTIL);
        let operands = [Operand::reg_use(now), Operand::reg_use(until)];
        other(self, Kind::Branch(Cond::Ge, Width::W64, None), &operands);
        let (ingress, came) = (self.load(Size::W, self.context, INGRESS), self.load(Size::W, counted, CAME));
        let operands = [Operand::reg_use(ingress), Operand::reg_use(came)];
        other(self, Kind::Branch(Cond::Ne, Width::W64, None), &operands);
        let of = self.load(Size::H, counted, WAY);
        other(self, Kind::Branch(Cond::Ne, Width::W64, Some(way)), &[Operand::reg_use(of)]);
        if !six {
            let service = self.value(service);
            let kind = Kind::Branch(Cond::Set, Width::W64, Some(BY_SERVICE));
            other(self, kind, &[Operand::reg_use(service)]);
        }
        let most = self.load(Size::H, counted, MOST);
        let operands = [Operand::reg_use(total), Operand::reg_use(most)];
        other(self, Kind::Branch(Cond::Gt, Width::W64, None), &operands);
        let first = self.load(Size::DW, counted, FIRST);
        let [second, interface] = [SECOND, INTERFACE].map(|at| self.load(Size::W, counted, at));
        self.jump_with(met, &[first, second, interface]);
        self.open(asks);
    }

    /// Keeps what the kernel has answered, as `met` gets it.
    pub(super) fn keep_hop(&mut self, place: Place, at: i16, [first, second, interface]: [VReg; 3]) {
        let Place { counted, way } = place;
        self.store(Size::DW, counted, FIRST, first);
        self.store(Size::W, counted, SECOND, second);
        self.store(Size::W, counted, INTERFACE, interface);
        let ingress = self.load(Size::W, self.context, INGRESS);
        self.store(Size::W, counted, CAME, ingress);
        let way = self.constant(way as u64);
        self.store(Size::H, counted, WAY, way);
        // Since Linux 5.12 the answer says how long packets may be, before that it is the length that was asked with.
        let most = self.load_stack(Size::H, at + fib::LENGTH);
        self.store(Size::H, counted, MOST, most);
        let now = self.coarse_now();
        let until = self.alu_imm(Width::W64, AluOp::Add, now, LASTS);
        self.store(Size::DW, counted, UNTIL, until);
    }

    fn coarse_now(&mut self) -> VReg {
        let now = self.builder.vreg();
        let helper = clock_of(&self.options.target);
        self.emit(Kind::Call(helper), &[Operand::reg_fixed_def(now, physical(Reg::R0))]);
        now
    }
}

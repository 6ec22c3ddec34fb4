//! `Nat`: tables of flows that are translated.
//!
//! A statement's table is one data section. Offsets in bytes, numbers in the machine's order, addresses and ports in the network's:
//!
//! | at | |
//! |---|---|
//! | [`Layout::ways`] | of IPv4, then behind its flows of IPv6: lines of eight ways, of [`WAY`] bytes each |
//! | [`Layout::flows`] | by way: a flow of [`FLOW`] bytes |
//!
//! A way is a `tag` (the flow's hash, made larger than [`BUSY`]) and a [`Word`](crate::nat::Word). A free one has the tag 0; it is claimed
//! by exchanging that, or the tag of a flow whose time is over, for [`BUSY`], and gets its own when its flow and its word are there, so no
//! packet ever finds a flow that is half written. Without [`Feature::Atomics`](weir_bpf::target::Feature) (before Linux 5.12) two CPUs can
//! claim the same way, and one of the two flows is begun anew.
//!
//! | in a flow, at | |
//! |---|---|
//! | [`CLIENT`], [`SERVICE`], [`OWN`] | addresses: 4 bytes or 16 |
//! | [`CLIENT_PORT`], [`SERVICE_PORT`], [`OWN_PORT`] | 2 bytes each |
//! | [`PROTOCOL`] | the transport's number, a byte |
//!
//! Tables are walked by functions, one for each statement, family and call. What they look for stands on their caller's stack, as a flow.

mod functions;

use super::isel::Isel;
use super::machine::{Kind, physical};
use super::pools::{self, ADDRESS};
use super::sets::size_of;
use crate::ir::{BackendPart, Half, Inst, NatCall, NatDecl, NatPart, NatRef, PoolRef, Value};
use crate::nat::Bank;
use regalloc2::{Operand, VReg};
use weir_bpf::insn::{AluOp, MapId, Reg, Size, Width};
use weir_bpf::map::{MapDef, MapType};

/// Bytes of a way, as a shift.
pub(super) const WAY_SHIFT: i32 = 4;
/// Bytes of a way.
pub const WAY: u32 = 1 << WAY_SHIFT;
/// Bytes of a flow, as a shift.
pub(super) const FLOW_SHIFT: i32 = 6;
/// Bytes of a flow.
pub const FLOW: u32 = 1 << FLOW_SHIFT;
/// The tag of a way that is being filled.
pub const BUSY: u64 = 1;
/// Where in a flow its parts are.
pub const CLIENT: i16 = 0;
/// See [`CLIENT`].
pub const SERVICE: i16 = 16;
/// See [`CLIENT`].
pub const OWN: i16 = 32;
/// See [`CLIENT`].
pub const CLIENT_PORT: i16 = 48;
/// See [`CLIENT`].
pub const SERVICE_PORT: i16 = 50;
/// See [`CLIENT`].
pub const OWN_PORT: i16 = 52;
/// See [`CLIENT`].
pub const PROTOCOL: i16 = 54;
/// Bytes of a flow that are written.
const WRITTEN: u32 = 56;

/// The start of a section's name.
pub(super) const SECTION: &str = ".data.n_";

/// Where things stand in a table's section.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    banks: [Option<Bank>; 2],
}

impl Layout {
    /// Of the flows from these addresses and ports, of IPv4 and of IPv6.
    pub fn of(banks: [Option<Bank>; 2]) -> Layout {
        Layout { banks }
    }

    fn count(&self, six: bool) -> u32 {
        self.banks[usize::from(six)].map_or(0, |bank| bank.ways())
    }

    /// Where the ways of a family begin.
    pub fn ways(&self, six: bool) -> u32 {
        if six { self.count(false) * (WAY + FLOW) } else { 0 }
    }

    /// Where the flows of a family begin.
    pub fn flows(&self, six: bool) -> u32 {
        self.ways(six) + self.count(six) * WAY
    }

    /// Bytes in all.
    pub fn bytes(&self) -> u32 {
        self.flows(true) + self.count(true) * FLOW
    }
}

pub(super) fn map(name: &str, decl: &NatDecl) -> MapDef {
    MapDef::section(name, MapType::bytes(Layout::of(decl.banks).bytes()))
}

/// A call of one of the functions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct NatSite {
    nat: NatRef,
    call: NatCall,
    six: bool,
    map: MapId,
    bank: Bank,
    layout: Layout,
    pool: MapId,
    /// The largest number of a backend.
    most: u16,
}

impl Isel<'_> {
    /// What is known of a backend.
    pub(super) fn backend_part(&mut self, result: Value, pool: PoolRef, backend: Value, part: BackendPart) {
        let layout = pools::Layout::of(&self.program.pools[pool.index()]);
        let (record, flags) = self.record(pool, layout, backend);
        let (size, offset) = match part {
            BackendPart::Flags => return self.place(result, super::isel::Place::Register(flags)),
            BackendPart::Port => (Size::H, pools::PORT),
            BackendPart::Four => (Size::W, ADDRESS),
            BackendPart::Six(Half::High) => (Size::DW, ADDRESS),
            BackendPart::Six(Half::Low) => (Size::DW, ADDRESS + 8),
        };
        let loaded = self.load(size, record, offset);
        let value = if part == BackendPart::Port { loaded } else { self.big_endian(size, loaded) };
        self.place(result, super::isel::Place::Register(value));
    }

    pub(super) fn nat(&mut self, inst: &Inst, (nat, six): (NatRef, bool), call: NatCall, args: &[Value]) {
        let decl = &self.program.nats[nat.index()];
        let Some(bank) = decl.banks[usize::from(six)] else { return };
        let pool = &self.program.pools[decl.pool.index()];
        let site = NatSite {
            nat,
            call,
            six,
            map: self.maps.nats[nat.index()],
            bank,
            layout: Layout::of(decl.banks),
            pool: self.maps.pools[decl.pool.index()],
            most: pool.max,
        };
        let halves = if six { 2 } else { 1 };
        let value = match call {
            NatCall::Part(part) => self.part_of_flow(&site, part, args[0]),
            NatCall::Find { .. } => {
                let (tag, ends) = (self.value(args[0]), &args[1..]);
                let key = self.store_flow(ends, halves);
                self.call_nat(site, &[tag, key])
            }
            NatCall::Bind => {
                let (ends, rest) = args[2..].split_at(args.len() - 4);
                for word in 0..WRITTEN as i16 / 8 {
                    let at = self.builder.reserve(WRITTEN);
                    self.emit(Kind::StoreStackImm(Size::DW, at + 8 * word, 0), &[]);
                }
                let [held, tag, backend, mark] =
                    [args[0], args[1], rest[0], rest[1]].map(|value| self.value(value));
                let key = self.store_flow(ends, halves);
                self.call_nat(site, &[tag, key, backend, mark, held])
            }
            NatCall::Answered { whole } => {
                let way = self.value(args[0]);
                let at = self.builder.reserve(WRITTEN);
                self.store_address(at + CLIENT, &args[1..=halves]);
                let mut call = vec![way];
                if let ([port, protocol, mark], true) = (&args[1 + halves..], whole) {
                    let port = self.in_network_order(2, *port);
                    self.store_vreg(Size::H, at + CLIENT_PORT, port);
                    self.store_stack(Size::B, at + PROTOCOL, *protocol);
                    call.push(self.stack(at));
                    call.push(self.value(*mark));
                } else {
                    call.push(self.stack(at));
                }
                self.call_nat(site, &call)
            }
        };
        if let Some(result) = inst.result {
            self.place(result, super::isel::Place::Register(value));
        }
    }

    /// Both addresses, and ports and protocol where they are said; the address of all that.
    fn store_flow(&mut self, ends: &[Value], halves: usize) -> VReg {
        let at = self.builder.reserve(WRITTEN);
        self.store_address(at + CLIENT, &ends[..halves]);
        self.store_address(at + SERVICE, &ends[halves..2 * halves]);
        if let [client, service, protocol] = ends[2 * halves..] {
            for (offset, port) in [(CLIENT_PORT, client), (SERVICE_PORT, service)] {
                let port = self.in_network_order(2, port);
                self.store_vreg(Size::H, at + offset, port);
            }
            self.store_stack(Size::B, at + PROTOCOL, protocol);
        }
        self.stack(at)
    }

    fn stack(&mut self, at: i16) -> VReg {
        let address = self.builder.vreg();
        self.emit(Kind::StackAddress(at), &[Operand::reg_def(address)]);
        address
    }

    fn call_nat(&mut self, site: NatSite, args: &[VReg]) -> VReg {
        const REGS: [Reg; 5] = [Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5];
        let result = self.builder.vreg();
        let mut operands = vec![Operand::reg_fixed_def(result, physical(Reg::R0))];
        operands.extend(args.iter().zip(REGS).map(|(arg, reg)| Operand::reg_fixed_use(*arg, physical(reg))));
        self.emit(Kind::Nat(site), &operands);
        self.below = self.below.max(functions::STACK);
        result
    }

    fn part_of_flow(&mut self, site: &NatSite, part: NatPart, number: Value) -> VReg {
        let number = self.value(number);
        let way = self.alu_imm(Width::W64, AluOp::Sub, number, 1);
        let way = self.in_place(Kind::Bound(site.bank.ways() - 1), way);
        let offset = self.alu_imm(Width::W64, AluOp::Lsh, way, FLOW_SHIFT);
        let flows = self.section(site.map, site.layout.flows(site.six));
        let flow = self.alu(Width::W64, AluOp::Add, flows, offset);
        let (bytes, at) = match part {
            NatPart::Client(half) => half_of(site.six, CLIENT, half),
            NatPart::Service(half) => half_of(site.six, SERVICE, half),
            NatPart::Own(half) => half_of(site.six, OWN, half),
            NatPart::ClientPort => (2, CLIENT_PORT),
            NatPart::ServicePort => (2, SERVICE_PORT),
            NatPart::OwnPort => (2, OWN_PORT),
        };
        let loaded = self.load(size_of(bytes), flow, at);
        self.big_endian(size_of(bytes), loaded)
    }
}

fn half_of(six: bool, at: i16, half: Half) -> (u32, i16) {
    match (six, half) {
        (false, _) => (4, at),
        (true, Half::High) => (8, at),
        (true, Half::Low) => (8, at + 8),
    }
}

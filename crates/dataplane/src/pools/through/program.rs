//! The program that carries probes: it does to a marked packet on its way out what a `balance` does to packets that come in.
//!
//! It knows nothing of ways to backends: by its mark a packet finds a [`Parcel`](super::parcel), headers that are ready but for
//! what the packet's length is, and where the frame goes. Packets without such a mark go on as they are.

use super::parcel::{self, LONGEST};
use crate::Error;
use weir_bpf::asm::{Assembler, Label};
use weir_bpf::helpers;
use weir_bpf::insn::{AluOp, Cond, Insn, MapId, Operand, Order, Reg, Size, Width};
use weir_bpf::map::{MapDef, MapKind, MapType, flags};
use weir_bpf::object::Object;
use weir_bpf::target::Target;
use weir_kernel::load::{self, Loaded};

pub(super) const PROGRAM: &str = "weir_probes";
pub(super) const PARCELS: &str = "parcels";

/// So many backends can be asked at a time.
const MOST: u32 = 1 << 16;

/// `TC_ACT_UNSPEC`, which lets the programs after it go on, and `TC_ACT_SHOT`.
const GOES_ON: i32 = -1;
const DROPPED: i32 = 2;
/// `BPF_ADJ_ROOM_MAC`: between the link's header and IP's.
const BEHIND_LINK: i32 = 1;

/// Where things are in `__sk_buff`.
const LENGTH: i16 = 0;
const MARK: i16 = 8;
const INTERFACE: i16 = 40;

/// Bytes of an Ethernet header, which has the EtherType at its end.
const LINK: i32 = 14;
const ETHERTYPE: i32 = 12;
/// Where an outer IPv4 header has its checksum.
const CHECKSUM: i32 = LINK + 10;

/// `struct bpf_fib_lookup`, on the stack.
const FIB: i16 = -64;
const FIB_BYTES: i32 = 64;
const FIB_INTERFACE: i16 = FIB + 8;
const FIB_FROM: i16 = FIB + 16;
const FIB_TO: i16 = FIB + 32;
const FIB_OUR_MAC: i16 = FIB + 52;
const FIB_MAC: i16 = FIB + 58;
/// A word beside it: the mark, then lengths in the network's order.
const WORD: i16 = FIB - 8;

/// What is in registers that calls keep: the packet's context, its parcel, its length without the link's header, and that of the headers
/// before it.
const CONTEXT: Reg = Reg::R6;
const PARCEL: Reg = Reg::R7;
const PACKET: Reg = Reg::R8;
const HEADERS: Reg = Reg::R9;

/// Loads it, for packets whose marks begin with these 16 bits.
pub(super) fn load(marks: u16, target: &Target) -> Result<Loaded, Error> {
    load::load_object(&object(marks, target)?, load::Options::default()).map_err(Error::Load)
}

fn object(marks: u16, target: &Target) -> Result<Object, Error> {
    let mut writer = Writer::new();
    writer.find_parcel(marks);
    let hop = writer.asm.label();
    writer.write_headers(hop);
    writer.asm.bind(hop);
    writer.send();
    writer.ends();
    let program = writer.asm.finish(target).map_err(|error| Error::Object(error.to_string()))?;
    let value = MapType::bytes(parcel::BYTES as u32);
    let parcels = MapDef::new(PARCELS, MapKind::Hash, MapType::U32, value, MOST);
    let parcels = MapDef { flags: flags::NO_PREALLOC | flags::RDONLY_PROG, ..parcels };
    Ok(Object { programs: vec![program], maps: vec![parcels], license: "Dual MIT/GPL".into() })
}

struct Writer {
    asm: Assembler,
    /// The packet goes on to whatever is behind this program.
    goes_on: Label,
    dropped: Label,
}

impl Writer {
    fn new() -> Writer {
        let mut asm = Assembler::new(PROGRAM, "tc");
        let (goes_on, dropped) = (asm.label(), asm.label());
        Writer { asm, goes_on, dropped }
    }

    /// Lets packets of others by, and drops one whose backend is asked no longer: it would go to wherever the route leads.
    fn find_parcel(&mut self, marks: u16) {
        let ours = self.asm.label();
        self.emit([Insn::mov(CONTEXT, Reg::R1), Insn::load(Size::W, Reg::R2, CONTEXT, MARK)]);
        self.emit([Insn::store(Size::W, Reg::R10, WORD, Reg::R2), Insn::alu(AluOp::Rsh, Reg::R2, 16)]);
        self.asm.branch(Cond::Eq, Width::W64, Reg::R2, i32::from(marks), ours);
        self.asm.jump(self.goes_on);
        self.asm.bind(ours);
        self.emit([Insn::LdMap { dst: Reg::R1, map: MapId(0) }]);
        self.address(Reg::R2, Reg::R10, WORD);
        self.emit([Insn::Call(helpers::MAP_LOOKUP_ELEM)]);
        self.asm.branch(Cond::Eq, Width::W64, Reg::R0, 0, self.dropped);
        self.emit([
            Insn::mov(PARCEL, Reg::R0),
            Insn::load(Size::W, PACKET, CONTEXT, LENGTH),
            Insn::alu(AluOp::Sub, PACKET, LINK),
            // It did what it was for: where the packet goes now, the mark would be somebody else's.
            Insn::mov(Reg::R1, 0),
            Insn::store(Size::W, CONTEXT, MARK, Reg::R1),
            Insn::load(Size::W, HEADERS, PARCEL, parcel::HEADERS_LENGTH),
        ]);
    }

    fn write_headers(&mut self, hop: Label) {
        self.asm.branch(Cond::Lt, Width::W64, HEADERS, 1, hop);
        self.asm.branch(Cond::Gt, Width::W64, HEADERS, LONGEST as i32, self.dropped);
        self.emit([
            Insn::mov(Reg::R1, CONTEXT),
            Insn::mov(Reg::R2, HEADERS),
            Insn::mov(Reg::R3, BEHIND_LINK),
            Insn::load(Size::DW, Reg::R4, PARCEL, parcel::ROOM),
        ]);
        self.call(helpers::SKB_ADJUST_ROOM);
        self.store(LINK, (PARCEL, parcel::HEADERS), HEADERS);
        self.store(ETHERTYPE, (PARCEL, parcel::ETHERTYPE), 2);
        self.write_length(parcel::IP_AT, parcel::IP_LENGTH);
        let (udp, done) = (self.asm.label(), self.asm.label());
        self.emit([Insn::load(Size::W, Reg::R1, PARCEL, parcel::FAMILY)]);
        self.asm.branch(Cond::Ne, Width::W64, Reg::R1, parcel::INET, udp);
        self.mend_checksum();
        self.asm.bind(udp);
        self.emit([Insn::load(Size::W, Reg::R1, PARCEL, parcel::UDP_AT)]);
        self.asm.branch(Cond::Eq, Width::W64, Reg::R1, 0, done);
        self.write_length(parcel::UDP_AT, parcel::UDP_LENGTH);
        self.asm.bind(done);
    }

    /// A header's length becomes what it is with the packet; it stays on the stack.
    fn write_length(&mut self, at: i16, length: i16) {
        self.emit([
            Insn::load(Size::W, Reg::R1, PARCEL, length),
            Insn::alu(AluOp::Add, Reg::R1, PACKET),
            Insn::Endian { dst: Reg::R1, to: Order::Be, size: Size::H },
            Insn::store(Size::H, Reg::R10, WORD, Reg::R1),
            Insn::load(Size::W, Reg::R2, PARCEL, at),
        ]);
        self.store(Reg::R2, (Reg::R10, WORD), 2);
    }

    /// The checksum follows the length (RFC 1624).
    fn mend_checksum(&mut self) {
        self.emit([
            Insn::mov(Reg::R1, CONTEXT),
            Insn::mov(Reg::R2, CHECKSUM),
            Insn::load(Size::W, Reg::R3, PARCEL, parcel::IP_LENGTH),
            Insn::Endian { dst: Reg::R3, to: Order::Be, size: Size::H },
            Insn::load(Size::H, Reg::R4, Reg::R10, WORD),
            Insn::mov(Reg::R5, 2),
        ]);
        self.call(helpers::L3_CSUM_REPLACE);
    }

    fn send(&mut self) {
        let routed = self.asm.label();
        self.emit([Insn::load(Size::W, Reg::R1, PARCEL, parcel::FIXED)]);
        self.asm.branch(Cond::Eq, Width::W64, Reg::R1, 0, routed);
        self.store(0, (PARCEL, parcel::HOP), 6);
        self.asm.jump(self.goes_on);
        self.asm.bind(routed);
        self.ask_routes();
        self.stay_on_link();
        self.store(0, (Reg::R10, FIB_MAC), 6);
        self.store(6, (Reg::R10, FIB_OUR_MAC), 6);
        self.emit([
            Insn::load(Size::W, Reg::R1, Reg::R10, FIB_INTERFACE),
            Insn::load(Size::W, Reg::R2, CONTEXT, INTERFACE),
        ]);
        self.asm.branch(Cond::Eq, Width::W64, Reg::R1, Reg::R2, self.goes_on);
        self.emit([Insn::mov(Reg::R2, 0), Insn::Call(helpers::REDIRECT), Insn::Exit]);
    }

    /// As `balance` asks: by which way a packet from there would go that came in by this interface. Without a length, as the kernel then
    /// knows itself what is cut into segments later.
    fn ask_routes(&mut self) {
        for word in 0..FIB_BYTES as i16 / 8 {
            self.emit([Insn::store(Size::DW, Reg::R10, FIB + 8 * word, 0)]);
        }
        let copied = [(parcel::FROM, FIB_FROM), (parcel::TO, FIB_TO)];
        for (from, to) in copied.into_iter().flat_map(|(from, to)| [(from, to), (from + 8, to + 8)]) {
            self.emit([
                Insn::load(Size::DW, Reg::R1, PARCEL, from),
                Insn::store(Size::DW, Reg::R10, to, Reg::R1),
            ]);
        }
        self.emit([
            Insn::load(Size::W, Reg::R1, PARCEL, parcel::FAMILY),
            Insn::store(Size::B, Reg::R10, FIB, Reg::R1),
            Insn::load(Size::W, Reg::R1, CONTEXT, INTERFACE),
            Insn::store(Size::W, Reg::R10, FIB_INTERFACE, Reg::R1),
            Insn::mov(Reg::R1, CONTEXT),
        ]);
        self.address(Reg::R2, Reg::R10, FIB);
        self.emit([Insn::mov(Reg::R3, FIB_BYTES), Insn::mov(Reg::R4, 0)]);
        self.call(helpers::FIB_LOOKUP);
    }

    /// What goes as it is must not meet a router, which would bring it back. The kernel answers with the next hop's address.
    fn stay_on_link(&mut self) {
        let done = self.asm.label();
        self.asm.branch(Cond::Ge, Width::W64, HEADERS, 1, done);
        for half in [0, 8] {
            self.emit([
                Insn::load(Size::DW, Reg::R1, Reg::R10, FIB_TO + half),
                Insn::load(Size::DW, Reg::R2, PARCEL, parcel::TO + half),
            ]);
            self.asm.branch(Cond::Ne, Width::W64, Reg::R1, Reg::R2, self.dropped);
        }
        self.asm.bind(done);
    }

    fn ends(&mut self) {
        for (label, action) in [(self.dropped, DROPPED), (self.goes_on, GOES_ON)] {
            self.asm.bind(label);
            self.emit([Insn::mov(Reg::R0, action), Insn::Exit]);
        }
    }

    /// Writes bytes into the frame.
    fn store(&mut self, at: impl Into<Operand>, (base, offset): (Reg, i16), length: impl Into<Operand>) {
        self.emit([Insn::mov(Reg::R2, at)]);
        self.address(Reg::R3, base, offset);
        self.emit([Insn::mov(Reg::R1, CONTEXT), Insn::mov(Reg::R4, length), Insn::mov(Reg::R5, 0)]);
        self.call(helpers::SKB_STORE_BYTES);
    }

    /// A helper that answers 0; else the packet is not as it should be.
    fn call(&mut self, helper: u32) {
        self.emit([Insn::Call(helper)]);
        self.asm.branch(Cond::Ne, Width::W64, Reg::R0, 0, self.dropped);
    }

    fn address(&mut self, to: Reg, base: Reg, offset: i16) {
        self.emit([Insn::mov(to, base), Insn::alu(AluOp::Add, to, i32::from(offset))]);
    }

    fn emit<const N: usize>(&mut self, instructions: [Insn; N]) {
        instructions.into_iter().for_each(|insn| self.asm.emit(insn));
    }
}

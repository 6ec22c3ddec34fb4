//! `Pick`: the slots of a pool's ring, and the flows that are remembered.
//!
//! A pool is one data section, reached by address; user space changes it by stores of single words while packets are judged.
//! Offsets in bytes, numbers in the machine's order, addresses and ports in the network's:
//!
//! | at | |
//! |---|---|
//! | 0 | how many slots there are, `u32`; the largest number of a backend, `u32`; how many lines, `u32` |
//! | [`BACKENDS`] | by number, from 0 (which is no one's): a [`Record`] of [`BACKEND`] bytes |
//! | [`Layout::slots`] | by slot: a [`Word`](weir_pool::slots::Word) |
//! | [`Layout::flows`] | lines of four flows |
//!
//! Of a record programs read what is before [`OWN`]:
//!
//! | at | |
//! |---|---|
//! | [`ADDRESS`] | the address: 4 bytes or 16 |
//! | [`HOP`] | the MAC address of the fixed next hop, then how long packets to it may be, `u16` |
//! | [`FLAGS`] | [`SIX`], [`ALIVE`], [`FIXED`], [`NAMED`] |
//! | [`MAC`] | its own MAC address, if it is [`NAMED`]: where frames in a tunnel go |
//! | [`OWN`] | weight, declared weight, port: `u16` each; what people want, health, warming's step, whether the policy has it: a byte each |
//! | 48 | the end of its drain, since when its health is so, since when it warms: `u64` each, in nanoseconds of `CLOCK_MONOTONIC` |
//! | [`REASON`] | why it is down: a byte of length, then UTF-8 |
//!
//! What each backend is picked for is counted in a per-CPU array `b_…`, by number: packets, their bytes, and the packets
//! that begin a flow, in a `u64` each.
//!
//! A flow is its `tag` (the hash, made larger than [`BUSY`]) and a word: the backend's number (bits 0 to 15), whether more than
//! its first packet was seen (bit 16), and when the latest one was (bits 32 to 63, in 2^30 ns). A flow has two lines to be in.
//! A free way has the tag 0; it is claimed by exchanging that for [`BUSY`], and gets its tag when its word is there, so no
//! packet ever finds a word that is another flow's. Without [`Feature::Atomics`] (before Linux 5.12) two CPUs can claim the same
//! way, and one of the two flows is forgotten.
//!
//! What is remembered is never made to go, but for flows of which nothing but a first packet came for [`HALF`]: those of a flood.
//! If there is no room, a flow that begins goes to the backend of those that no one remembers, where its next packets will
//! be sent, too.
//!
//! The function `flow`, one for each pool, is called only where a slot is not settled. It follows
//! [`Word::judge`](weir_pool::slots::Word::judge).

use super::counters::INDEX;
use super::emit::{Emitter, FRAME};
use super::isel::Isel;
use super::machine::{Kind, physical};
use crate::ir::{Inst, PoolDecl, PoolRef, Value};
use crate::policy::{self, Pool};
use crate::state::{Backend, Hop, PoolState};
use regalloc2::{Operand, VReg};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use weir_bpf::asm::Label;
use weir_bpf::insn::{AluOp, AtomicOp, Cond, Insn, MapId, Reg, Size, Width};
use weir_bpf::map::{MapDef, MapKind, MapType};
use weir_bpf::target::Feature;
use weir_pool::slots::{SAME, Word};

/// Where the backends stand.
pub const BACKENDS: u32 = 64;
/// Bytes of a record, as a shift.
pub(super) const RECORD_SHIFT: i32 = 7;
/// Bytes of a record.
pub const BACKEND: u32 = 1 << RECORD_SHIFT;
/// Where a backend's address stands.
pub const ADDRESS: i16 = 0;
/// Where a backend's next hop stands.
pub const HOP: i16 = 16;
/// Where a backend's flags stand.
pub const FLAGS: i16 = 24;
/// Where a backend's own MAC address stands.
pub const MAC: i16 = 26;
/// Where user space keeps what it knows of a backend.
pub const OWN: u32 = 32;
/// Where the reason stands.
pub const REASON: u32 = 72;
/// A flag: the address is one of IPv6.
pub const SIX: u8 = 1;
/// A flag: flows may be sent to it.
pub const ALIVE: u8 = 2;
/// A flag: its next hop is fixed, on the interface by which a packet came.
pub const FIXED: u8 = 4;
/// A flag: its own MAC address is known.
pub const NAMED: u8 = 8;

/// Flows of a line: 64 bytes, what a processor reads at once.
pub const WAYS: u32 = 4;
/// Bytes of a flow.
pub const WAY: u32 = 16;
/// The tag of a way that is being filled.
pub const BUSY: u64 = 1;
/// Seconds (of 2^30 ns) for which a flow is kept of which only the first packet came.
const HALF: i32 = 4;
/// Seconds are so many bits of nanoseconds.
pub const SECOND: i32 = 30;
/// In a flow's word: more than the first packet was seen.
pub const CONFIRMED: u64 = 1 << 16;

/// Where things stand in a pool's section.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    slots: u32,
    max: u16,
    lines: u32,
}

impl Layout {
    /// Of a pool as the IR declares it.
    pub fn of(pool: &PoolDecl) -> Layout {
        Layout { slots: pool.slots, max: pool.max, lines: lines(pool.flows) }
    }

    /// Of a pool as the policy declares it.
    pub fn declared(pool: &Pool) -> Layout {
        Layout { slots: pool.ring, max: pool.max, lines: lines(pool.flows) }
    }

    /// Where a backend stands.
    pub fn backend(&self, number: u16) -> u32 {
        BACKENDS + BACKEND * u32::from(number)
    }

    /// The largest number of a backend.
    pub fn max(&self) -> u16 {
        self.max
    }

    /// Where the slots begin.
    pub fn slots(&self) -> u32 {
        BACKENDS + BACKEND * (u32::from(self.max) + 1)
    }

    /// Where the flows begin: on a multiple of 64.
    pub fn flows(&self) -> u32 {
        (self.slots() + 4 * self.slots).next_multiple_of(64)
    }

    /// How many slots there are.
    pub fn slot_count(&self) -> u32 {
        self.slots
    }

    /// How many lines there are, a power of two.
    pub fn lines(&self) -> u32 {
        self.lines
    }

    /// Where the two lines of a tag begin.
    pub fn lines_of(&self, tag: u64) -> [u32; 2] {
        let line = |shift: i32| (tag >> shift) as u32 & (self.lines - 1);
        LINES.map(|shift| self.flows() + line(shift) * WAYS * WAY)
    }

    /// Bytes in all.
    pub fn bytes(&self) -> u32 {
        self.flows() + self.lines * WAYS * WAY
    }

    /// What a section begins with: all but its flows.
    pub fn image(&self, records: &BTreeMap<u16, Record>, slots: &[Word]) -> Vec<u8> {
        let mut image = vec![0; self.flows() as usize];
        for (nth, word) in [self.slots, self.max.into(), self.lines].into_iter().enumerate() {
            image[4 * nth..4 * nth + 4].copy_from_slice(&word.to_ne_bytes());
        }
        for (number, record) in records {
            let at = self.backend(*number) as usize;
            image[at..at + BACKEND as usize].copy_from_slice(&record.to_bytes());
        }
        for (word, bytes) in slots.iter().zip(image[self.slots() as usize..].chunks_exact_mut(4)) {
            bytes.copy_from_slice(&word.0.to_ne_bytes());
        }
        image
    }
}

/// The tag of a flow: no free or busy way has it.
pub fn tag(hash: u64) -> u64 {
    hash | 2
}

/// By which bits of a tag a flow has its two lines.
const LINES: [i32; 2] = [2, 17];

fn lines(flows: u32) -> u32 {
    flows.clamp(WAYS, 1 << 24).div_ceil(WAYS).next_power_of_two()
}

/// What people want of a backend.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(u8)]
pub enum Wanted {
    /// There is none of this number.
    #[default]
    Nothing = 0,
    /// It takes new flows.
    Up = 1,
    /// It keeps the flows that it has, and is removed then.
    Draining = 2,
    /// It was removed, and entries of flows may still name it.
    Retired = 3,
}

/// A backend, as the section keeps it. Times are nanoseconds of `CLOCK_MONOTONIC`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// What programs read.
    pub backend: Backend,
    /// Its port.
    pub port: u16,
    /// What people want of it.
    pub wanted: Wanted,
    /// Its part of new flows.
    pub weight: u16,
    /// The part that the policy gives it; `None` if it was added while the policy ran.
    pub declared: Option<u16>,
    /// Whether checks say that it is well.
    pub well: bool,
    /// Parts of its weight that count while it begins slowly; 0 if all do.
    pub warming: u8,
    /// When its drain ends.
    pub deadline: u64,
    /// Since when its health is so.
    pub since: u64,
    /// Since when it begins slowly.
    pub warming_since: u64,
    /// Why it is down.
    pub reason: String,
}

impl Record {
    /// A backend that is well and wanted, nowhere yet.
    pub fn new(port: u16, weight: u16) -> Record {
        Record {
            backend: Backend {
                address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                alive: true,
                hop: None,
                mac: None,
            },
            port,
            wanted: Wanted::Up,
            weight,
            declared: None,
            well: true,
            warming: 0,
            deadline: 0,
            since: 0,
            warming_since: 0,
            reason: String::new(),
        }
    }

    /// As it stands in the section.
    pub fn to_bytes(&self) -> [u8; BACKEND as usize] {
        let mut bytes = [0; BACKEND as usize];
        bytes[..OWN as usize].copy_from_slice(&read_by_programs(&self.backend));
        let words = [self.weight, self.declared.unwrap_or(0), self.port];
        for (nth, word) in words.into_iter().enumerate() {
            bytes[32 + 2 * nth..34 + 2 * nth].copy_from_slice(&word.to_ne_bytes());
        }
        let small = [self.wanted as u8, self.well.into(), self.warming, self.declared.is_some().into()];
        bytes[38..42].copy_from_slice(&small);
        for (nth, time) in [self.deadline, self.since, self.warming_since].into_iter().enumerate() {
            bytes[48 + 8 * nth..56 + 8 * nth].copy_from_slice(&time.to_ne_bytes());
        }
        let reason = shortened(&self.reason, (BACKEND - REASON) as usize - 1);
        bytes[REASON as usize] = reason.len() as u8;
        bytes[REASON as usize + 1..][..reason.len()].copy_from_slice(reason.as_bytes());
        bytes
    }

    /// Reads it back; `None` if there is none.
    pub fn read(bytes: &[u8]) -> Option<Record> {
        let word = |at: usize| Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
        let time = |at: usize| Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        let wanted = match bytes.get(38)? {
            1 => Wanted::Up,
            2 => Wanted::Draining,
            3 => Wanted::Retired,
            _ => return None,
        };
        let flags = bytes[FLAGS as usize];
        let address: [u8; 16] = bytes[..16].try_into().ok()?;
        let four = [address[0], address[1], address[2], address[3]];
        let mac = |at: i16| <[u8; 6]>::try_from(&bytes[at as usize..at as usize + 6]).ok();
        let to = mac(HOP)?;
        let hop = Hop { to, from: None, mtu: word(HOP as usize + 6)? };
        let at = REASON as usize;
        let reason = bytes.get(at + 1..at + 1 + usize::from(bytes[at])).unwrap_or_default();
        Some(Record {
            backend: Backend {
                address: if flags & SIX != 0 { IpAddr::from(address) } else { IpAddr::from(four) },
                alive: flags & ALIVE != 0,
                hop: (flags & FIXED != 0).then_some(hop),
                mac: mac(MAC).filter(|_| flags & NAMED != 0),
            },
            port: word(36)?,
            wanted,
            weight: word(32)?,
            declared: (bytes[41] != 0).then_some(word(34)?),
            well: bytes[39] != 0,
            warming: bytes[40],
            deadline: time(48)?,
            since: time(56)?,
            warming_since: time(64)?,
            reason: String::from_utf8_lossy(reason).into_owned(),
        })
    }
}

/// At most so many bytes of a text.
fn shortened(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}

/// The part of a record that programs read.
fn read_by_programs(backend: &Backend) -> [u8; OWN as usize] {
    let mut bytes = [0; OWN as usize];
    let mut flags = if backend.alive { ALIVE } else { 0 };
    match backend.address {
        IpAddr::V4(address) => bytes[..4].copy_from_slice(&address.octets()),
        IpAddr::V6(address) => {
            bytes[..16].copy_from_slice(&address.octets());
            flags |= SIX;
        }
    }
    if let Some(hop) = backend.hop {
        let at = HOP as usize;
        bytes[at..at + 6].copy_from_slice(&hop.to);
        bytes[at + 6..at + 8].copy_from_slice(&hop.mtu.to_ne_bytes());
        flags |= FIXED;
    }
    if let Some(mac) = backend.mac {
        bytes[MAC as usize..MAC as usize + 6].copy_from_slice(&mac);
        flags |= NAMED;
    }
    bytes[FLAGS as usize] = flags;
    bytes
}

/// A section's bytes for a pool in a state that tests chose, its flows among them.
pub fn section_of(pool: &PoolDecl, state: &PoolState) -> Vec<u8> {
    let layout = Layout::of(pool);
    let record = |backend: &Backend| Record { backend: *backend, ..Record::new(0, 1) };
    let records = state.backends.iter().map(|(number, backend)| (*number, record(backend))).collect();
    let mut section = layout.image(&records, &state.slots);
    section.resize(layout.bytes() as usize, 0);
    for (hash, backend) in &state.flows {
        let (tag, word) = (tag(*hash), CONFIRMED | u64::from(*backend));
        let places =
            layout.lines_of(tag).into_iter().flat_map(|line| (0..WAYS).map(move |way| line + way * WAY));
        let free = |place: &u32| section[*place as usize..*place as usize + 8] == [0; 8];
        if let Some(place) = places.map(|place| place as usize).find(|place| free(&(*place as u32))) {
            section[place..place + 8].copy_from_slice(&tag.to_ne_bytes());
            section[place + 8..place + 16].copy_from_slice(&word.to_ne_bytes());
        }
    }
    section
}

/// What the section of a pool begins with, as the policy declares it.
pub fn image(pool: &Pool) -> Vec<u8> {
    let state = PoolState::of(pool);
    let record = |(declared, backend): (&policy::Backend, &Backend)| {
        let weight = declared.part() as u16;
        let port = declared.endpoint.port;
        Record { backend: *backend, declared: Some(weight), ..Record::new(port, weight) }
    };
    let records = (1..).zip(pool.backends.iter().zip(state.backends.values()).map(record)).collect();
    Layout::declared(pool).image(&records, &state.slots)
}

/// The start of a section's name.
pub(super) const SECTION: &str = ".data.p_";

pub(super) fn map(name: &str, pool: &PoolDecl, image: Option<&Vec<u8>>) -> MapDef {
    let mut def = MapDef::section(name, MapType::bytes(Layout::of(pool).bytes()));
    def.initial = image.cloned().unwrap_or_default();
    def
}

/// The start of the name of a map that counts for backends.
pub(super) const COUNTERS: &str = "b_";

pub(super) fn counters(name: &str, pool: &PoolDecl) -> MapDef {
    let names = ["packets", "bytes", "flows"];
    let value = MapType::structure("picked", names.map(|name| (name, MapType::U64)));
    MapDef::new(name, MapKind::PerCpuArray, MapType::U32, value, u32::from(pool.max) + 1)
}

/// What `flow` must know of its pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct FlowSite {
    pub(super) pool: PoolRef,
    pub(super) map: MapId,
    pub(super) layout: Layout,
}

impl Isel<'_> {
    pub(super) fn pick(&mut self, inst: &Inst, pool: PoolRef, hash: Value, begins: Value) {
        let layout = Layout::of(&self.program.pools[pool.index()]);
        let map = self.maps.pools[pool.index()];
        let [hash, begins] = [hash, begins].map(|value| self.value(value));
        let high = self.alu_imm(Width::W64, AluOp::Rsh, hash, 32);
        let scaled = self.alu_imm(Width::W64, AluOp::Mul, high, layout.slots as i32);
        let slot = self.alu_imm(Width::W64, AluOp::Rsh, scaled, 32);
        let offset = self.alu_imm(Width::W64, AluOp::Lsh, slot, 2);
        let slots = self.section(map, layout.slots());
        let place = self.alu(Width::W64, AluOp::Add, slots, offset);
        let word = self.load(Size::W, place, 0);
        let now = self.alu_imm(Width::W64, AluOp::And, word, 0xffff);
        let before = self.alu_imm(Width::W64, AluOp::Rsh, word, 16);

        let [settled, open] = [false, true].map(|cold| self.builder.block(cold));
        let met = self.builder.block(false);
        let result = match inst.result {
            Some(result) => self.define(result),
            None => self.builder.vreg(),
        };
        self.builder.blocks[met.index()].params.push(result);
        let operands = [Operand::reg_use(now), Operand::reg_use(before)];
        self.branch(Kind::Branch(Cond::Eq, Width::W64, None), &operands, settled, open);
        self.open(settled);
        self.jump_with(met, &[now]);
        self.open(open);
        let found = self.call_flow(FlowSite { pool, map, layout }, hash, word, begins);
        self.jump_with(met, &[found]);
        self.open(met);
        self.count_backend(self.maps.backends[pool.index()], result, begins);
    }

    fn count_backend(&mut self, map: MapId, number: VReg, begins: VReg) {
        self.builder.reserve(8);
        self.store_vreg(Size::W, INDEX, number);
        let counted = self.builder.vreg();
        self.emit(Kind::LookupAt(map), &[Operand::reg_fixed_def(counted, physical(Reg::R0))]);
        self.count_in(counted, 0);
        let flows = self.load(Size::DW, counted, 16);
        let more = self.alu(Width::W64, AluOp::Add, flows, begins);
        self.store(Size::DW, counted, 16, more);
    }

    fn call_flow(&mut self, site: FlowSite, hash: VReg, word: VReg, begins: VReg) -> VReg {
        let found = self.builder.vreg();
        let operands = [
            Operand::reg_fixed_def(found, physical(Reg::R0)),
            Operand::reg_fixed_use(hash, physical(Reg::R1)),
            Operand::reg_fixed_use(word, physical(Reg::R2)),
            Operand::reg_fixed_use(begins, physical(Reg::R3)),
        ];
        self.emit(Kind::Flow(site), &operands);
        self.below = self.below.max(FRAME);
        found
    }

    /// The address of a byte of a data section.
    pub(super) fn section(&mut self, map: MapId, offset: u32) -> VReg {
        let def = self.builder.vreg();
        self.emit(Kind::Section(map, offset), &[Operand::reg_def(def)]);
        def
    }
}

/// Where a way's word stands.
const WORD: i16 = 8;

impl Emitter<'_> {
    /// The function: `r1` the hash, `r2` the slot's word, `r3` whether the flow begins; `r0` = the number of its backend.
    ///
    /// | register | holds |
    /// |---|---|
    /// | `r1` | the first line, then the second one |
    /// | `r5` | a way |
    /// | `r6` | the tag |
    /// | `r7` | the slot's word |
    /// | `r8` | whether the flow begins |
    /// | `r9` | the time in 2^30 ns, shifted to its place in a flow's word |
    pub(super) fn flow_function(&mut self, site: &FlowSite, start: Label) {
        self.asm.function(&format!("flow_{}", site.pool.0), 3, start);
        for (to, from) in [(Reg::R6, Reg::R1), (Reg::R7, Reg::R2), (Reg::R8, Reg::R3)] {
            self.asm.emit(Insn::mov(to, from));
        }
        self.asm.emit(Insn::alu(AluOp::Or, Reg::R6, 2));
        self.clock();
        self.asm.emit(Insn::mov(Reg::R9, Reg::R0));
        self.asm.emit(Insn::alu(AluOp::Rsh, Reg::R9, SECOND));
        self.asm.emit(Insn::alu(AluOp::Lsh, Reg::R9, 32));
        let (found, unknown, full) = (self.asm.label(), self.asm.label(), self.asm.label());
        for nth in 0..2 {
            self.flow_line(site, nth);
            self.ways(|emitter, offset| {
                let next = emitter.asm.label();
                emitter.asm.emit(Insn::load(Size::DW, Reg::R0, Reg::R1, offset));
                emitter.asm.branch(Cond::Ne, Width::W64, Reg::R0, Reg::R6, next);
                emitter.way(offset);
                emitter.asm.jump(found);
                emitter.asm.bind(next);
            });
        }
        self.remember(site, unknown, full);
        self.asm.bind(found);
        self.found(site);
        self.asm.bind(full);
        self.asm.bind(unknown);
        self.unknown();
        self.asm.emit(Insn::Exit);
    }

    /// `r1` = the first line or the second one. Loses `r2`.
    fn flow_line(&mut self, site: &FlowSite, nth: i32) {
        let FlowSite { map, layout, .. } = *site;
        self.asm.emit(Insn::mov(Reg::R2, Reg::R6));
        self.asm.emit(Insn::alu(AluOp::Rsh, Reg::R2, LINES[nth as usize]));
        self.asm.emit(Insn::alu(AluOp::And, Reg::R2, layout.lines as i32 - 1));
        self.asm.emit(Insn::alu(AluOp::Lsh, Reg::R2, 6));
        self.asm.emit(Insn::LdMapValue { dst: Reg::R1, map, off: layout.flows() });
        self.asm.emit(Insn::alu(AluOp::Add, Reg::R1, Reg::R2));
    }

    fn ways(&mut self, mut each: impl FnMut(&mut Self, i16)) {
        for way in 0..WAYS {
            each(self, (way * WAY) as i16);
        }
    }

    /// `r5` = a way of the line.
    fn way(&mut self, offset: i16) {
        self.asm.emit(Insn::mov(Reg::R5, Reg::R1));
        self.asm.emit(Insn::alu(AluOp::Add, Reg::R5, i32::from(offset)));
    }

    /// `r0` = whose flows those are that no one remembers. Loses `r1`.
    fn unknown(&mut self) {
        let other = self.asm.label();
        self.asm.emit(Insn::mov(Reg::R0, Reg::R7));
        self.asm.emit(Insn::alu(AluOp::Rsh, Reg::R0, 16));
        self.asm.branch(Cond::Ne, Width::W64, Reg::R0, i32::from(SAME), other);
        self.now(Reg::R0);
        self.asm.bind(other);
    }

    fn now(&mut self, to: Reg) {
        self.asm.emit(Insn::mov(to, Reg::R7));
        self.asm.emit(Insn::alu(AluOp::And, to, 0xffff));
    }

    /// The way in `r5` is the flow's: returns the backend that it names, or the slot's new one if that is dead.
    fn found(&mut self, site: &FlowSite) {
        let FlowSite { map, layout, .. } = *site;
        let (dead, fine) = (self.asm.label(), self.asm.label());
        self.asm.emit(Insn::load(Size::DW, Reg::R4, Reg::R5, WORD));
        self.asm.emit(Insn::mov(Reg::R0, Reg::R4));
        self.asm.emit(Insn::alu(AluOp::And, Reg::R0, 0xffff));
        self.asm.branch(Cond::Gt, Width::W64, Reg::R0, i32::from(layout.max), dead);
        self.asm.emit(Insn::mov(Reg::R2, Reg::R0));
        self.asm.emit(Insn::alu(AluOp::Lsh, Reg::R2, RECORD_SHIFT));
        self.asm.emit(Insn::LdMapValue { dst: Reg::R1, map, off: BACKENDS });
        self.asm.emit(Insn::alu(AluOp::Add, Reg::R1, Reg::R2));
        self.asm.emit(Insn::load(Size::B, Reg::R1, Reg::R1, FLAGS));
        self.asm.branch(Cond::Set, Width::W64, Reg::R1, i32::from(ALIVE), fine);
        self.asm.bind(dead);
        self.now(Reg::R0);
        self.asm.bind(fine);
        // What was seen of the flow stays; what is seen now is added.
        let begins = self.asm.label();
        self.asm.emit(Insn::alu(AluOp::And, Reg::R4, CONFIRMED as i32));
        self.asm.branch(Cond::Ne, Width::W64, Reg::R8, 0, begins);
        self.asm.emit(Insn::alu(AluOp::Or, Reg::R4, CONFIRMED as i32));
        self.asm.bind(begins);
        self.asm.emit(Insn::alu(AluOp::Or, Reg::R4, Reg::R9));
        self.asm.emit(Insn::alu(AluOp::Or, Reg::R4, Reg::R0));
        self.asm.emit(Insn::store(Size::DW, Reg::R5, WORD, Reg::R4));
        self.asm.emit(Insn::Exit);
    }

    /// Writes down a flow that is not there, and returns its backend; goes to `unknown` if nothing is to be remembered of it, and to
    /// `full` if there is no room.
    fn remember(&mut self, site: &FlowSite, unknown: Label, full: Label) {
        let begins = self.asm.label();
        self.unknown();
        self.now(Reg::R3);
        self.asm.branch(Cond::Eq, Width::W64, Reg::R0, Reg::R3, unknown);
        self.asm.emit(Insn::mov(Reg::R4, CONFIRMED as i32));
        self.asm.branch(Cond::Eq, Width::W64, Reg::R8, 0, begins);
        self.asm.emit(Insn::mov(Reg::R4, 0));
        self.asm.emit(Insn::mov(Reg::R0, Reg::R3));
        self.asm.bind(begins);
        // Without a backend there is nothing to remember.
        let nobody = self.asm.label();
        self.asm.branch(Cond::Eq, Width::W64, Reg::R0, 0, nobody);
        self.asm.emit(Insn::alu(AluOp::Or, Reg::R4, Reg::R0));
        self.asm.emit(Insn::alu(AluOp::Or, Reg::R4, Reg::R9));
        for half in [false, true] {
            for nth in 0..2 {
                self.flow_line(site, nth);
                self.ways(|emitter, offset| emitter.claim_way(offset, half));
            }
        }
        self.asm.jump(full);
        self.asm.bind(nobody);
        self.asm.emit(Insn::Exit);
    }

    /// Puts the word in `r4` into a way of the line in `r1` that is free, or half open for long enough, and returns its
    /// backend. Loses `r0`, `r2`, `r3`, `r5`.
    fn claim_way(&mut self, offset: i16, half: bool) {
        let next = self.asm.label();
        self.asm.emit(Insn::load(Size::DW, Reg::R0, Reg::R1, offset));
        match half {
            false => self.asm.branch(Cond::Ne, Width::W64, Reg::R0, 0, next),
            true => {
                self.asm.branch(Cond::Le, Width::W64, Reg::R0, BUSY as i32, next);
                self.asm.emit(Insn::load(Size::DW, Reg::R2, Reg::R1, offset + WORD));
                self.asm.branch(Cond::Set, Width::W64, Reg::R2, CONFIRMED as i32, next);
                self.asm.emit(Insn::alu(AluOp::Rsh, Reg::R2, 32));
                self.asm.emit(Insn::mov(Reg::R3, Reg::R9));
                self.asm.emit(Insn::alu(AluOp::Rsh, Reg::R3, 32));
                self.asm.emit(Insn::alu(AluOp::Sub, Reg::R3, Reg::R2));
                self.asm.branch(Cond::Lt, Width::W64, Reg::R3, HALF, next);
            }
        }
        if self.target.has(Feature::Atomics) {
            self.asm.emit(Insn::mov(Reg::R2, Reg::R0));
            self.asm.emit(Insn::mov(Reg::R3, BUSY as i32));
            let (op, size) = (AtomicOp::CmpXchg, Size::DW);
            self.asm.emit(Insn::Atomic { op, fetch: true, size, base: Reg::R1, off: offset, src: Reg::R3 });
            self.asm.branch(Cond::Ne, Width::W64, Reg::R0, Reg::R2, next);
        }
        self.asm.emit(Insn::store(Size::DW, Reg::R1, offset + WORD, Reg::R4));
        self.asm.emit(Insn::store(Size::DW, Reg::R1, offset, Reg::R6));
        self.asm.emit(Insn::mov(Reg::R0, Reg::R4));
        self.asm.emit(Insn::alu(AluOp::And, Reg::R0, 0xffff));
        self.asm.emit(Insn::Exit);
        self.asm.bind(next);
    }
}

//! `Pick`: the slots of a pool's ring, and the flows that are remembered.
//!
//! A pool is one data section, reached by address; user space changes it by stores of single words while packets are judged.
//! Offsets in bytes, numbers in the machine's order, addresses and ports in the network's:
//!
//! | at | |
//! |---|---|
//! | 0 | how many slots there are, `u32`; the largest number of a backend, `u32`; how many lines, `u32` |
//! | [`MOVED`] | how many flows had to move |
//! | [`BACKENDS`] | by number, from 0 (which is no one's): a [`Record`] of [`BACKEND`] bytes |
//! | [`Layout::slots`] | by slot: a [`Word`](weir_pool::slots::Word) |
//! | [`Layout::flows`] | lines of four flows |
//!
//! Of a record programs read what is before [`OWN`], and the port:
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
//! that begin a flow, in a `u64` each; behind them stands the next hop that the kernel has said lately (`send/known.rs`).
//!
//! A flow is its `tag` (the hash, made larger than [`BUSY`]) and a word: the backend's number (bits 0 to 15), whether more than
//! its first packet was seen (bit 16), and when the latest one was (bits 32 to 63, in 2^30 ns). A flow has two lines to be in.
//! A free way has the tag 0; it is claimed by exchanging that for [`BUSY`], and gets its tag when its word is there, so no
//! packet ever finds a word that is another flow's. Without [`Feature::Atomics`] (before Linux 5.12) two CPUs can claim the same
//! way, and one of the two flows is forgotten.
//!
//! What is remembered is never made to go, but for flows of which nothing but a first packet came for four seconds: those of a flood.
//! If there is no room, a flow that begins goes to the backend of those that no one remembers, where its next packets will
//! be sent, too.
//!
//! Where all flows are remembered ([`PoolDecl::silence`]), a flow also gives way that was silent for longer than that: most have
//! ended, and nobody sees the end of all. Only the second packet of any flow says that it is more than a flood's.
//!
//! The function `flow`, one for each pool, is called only where a slot is not settled, or for each packet where all flows are
//! remembered. It follows [`Word::judge`](weir_pool::slots::Word::judge).

mod flows;

pub(super) use flows::FlowSite;

use crate::ir::PoolDecl;
use crate::policy::{self, Pool};
use crate::state::{Backend, Hop, PoolState};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use weir_bpf::map::{MapDef, MapKind, MapType};
use weir_pool::slots::Word;

/// Where the flows are counted that had to move, `u64`: their backend was dead, and they are known one by one. Of other flows nothing
/// is known, so nothing is counted.
pub const MOVED: u32 = 32;
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
/// Where a backend's port stands, which is 0 for the service's own.
pub const PORT: i16 = 36;
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
    pub fn new(weight: u16) -> Record {
        Record {
            backend: Backend {
                address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                port: 0,
                alive: true,
                hop: None,
                mac: None,
            },
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
        let words = [self.weight, self.declared.unwrap_or(0), self.backend.port];
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
                port: word(PORT as usize)?,
                alive: flags & ALIVE != 0,
                hop: (flags & FIXED != 0).then_some(hop),
                mac: mac(MAC).filter(|_| flags & NAMED != 0),
            },
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
    let record = |backend: &Backend| Record { backend: *backend, ..Record::new(1) };
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
        Record { backend: *backend, declared: Some(weight), ..Record::new(weight) }
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

/// Bytes of what is counted for a backend, and of its next hop.
const PICKED: u32 = 56;

pub(super) fn counters(name: &str, pool: &PoolDecl) -> MapDef {
    let counted = ["packets", "bytes", "flows"].map(|name| (name, MapType::U64));
    let hop = MapType::array(MapType::U64, PICKED / 8 - counted.len() as u32);
    let value = MapType::structure("picked", counted.into_iter().chain([("hop", hop)]));
    MapDef::new(name, MapKind::PerCpuArray, MapType::U32, value, u32::from(pool.max) + 1)
}

//! Frames that were sampled: flow samples and discarded packets, which differ in what stands before their records.

use std::time::Duration;

use super::cursor::Cursor;
use super::number::{DECISION, EXTENDED_ACL, SAMPLED_HEADER};
use super::{FCS, Malformed};
use crate::sample::{Fate, Sample};

/// Header protocol of Ethernet frames.
const ETHERNET: u32 = 1;

/// One frame in so many that passed through a source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flow<'a> {
    /// Counts the flow samples of the source.
    pub sequence: u32,
    /// Where it was taken.
    pub source: Source,
    /// The sampling rate: one frame of so many is taken, on average.
    pub one_in: u32,
    /// How many frames could have been taken so far, modulo 2³².
    pub pool: u32,
    /// How many samples were lost so far, for want of resources.
    pub drops: u32,
    /// Where the frame came from.
    pub input: Interface,
    /// Where it went.
    pub output: Interface,
    /// What its records tell.
    pub told: Told<'a>,
}

/// A frame that was dropped: each one is told, as far as the agent's limit of notifications allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Discarded<'a> {
    /// Counts the discarded packets that the source told of.
    pub sequence: u32,
    /// Where it was dropped.
    pub source: Source,
    /// How many notifications were lost so far, to the limit or for want of resources.
    pub drops: u32,
    /// The ifIndex of where the frame came from; 0 if unknown.
    pub input: u32,
    /// The ifIndex of where it would have gone; 0 if it was dropped before that was known.
    pub output: u32,
    /// Why.
    pub reason: Reason,
    /// What its records tell.
    pub told: Told<'a>,
}

/// What takes samples.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Source {
    /// What the index counts: 0 interfaces (ifIndex), 1 VLANs, 2 physical entities.
    pub kind: u32,
    /// Which one.
    pub index: u32,
}

impl Source {
    /// An interface, by its ifIndex.
    pub const fn interface(index: u32) -> Source {
        Source { kind: 0, index }
    }

    /// Eight bits of kind above 24 of index.
    pub(super) fn compact(word: u32) -> Source {
        Source { kind: word >> 24, index: word & 0x00ff_ffff }
    }
}

/// One side of a frame's way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Interface {
    /// What the value is: 0 an ifIndex, 1 the reason of a drop, 2 the number of interfaces that the frame left by.
    pub format: u32,
    /// As the format says.
    pub value: u32,
}

impl Interface {
    /// Not known.
    pub const UNKNOWN: Interface = Interface::index(0);

    /// The agent itself: the frame began or ended there.
    pub const INTERNAL: Interface = Interface::index(0x3fff_ffff);

    /// An interface, by its ifIndex.
    pub const fn index(value: u32) -> Interface {
        Interface { format: 0, value }
    }

    /// None, as the frame was dropped. Outputs only.
    pub const fn discarded(reason: Reason) -> Interface {
        Interface { format: 1, value: reason.0 }
    }

    /// Why the frame was dropped, if it was.
    pub fn reason(self) -> Option<Reason> {
        (self.format == 1).then_some(Reason(self.value))
    }

    /// Two bits of format above 30 of value.
    pub(super) fn compact(word: u32) -> Interface {
        Interface { format: word >> 30, value: word & 0x3fff_ffff }
    }
}

/// Why a frame was dropped. Below 256 it is a code of ICMP's "destination unreachable".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Reason(pub u32);

impl Reason {
    /// Not known.
    pub const UNKNOWN: Reason = Reason(256);
    /// A rule said so.
    pub const ACL: Reason = Reason(258);
    /// It was over a limit.
    pub const TRAFFIC_SHAPING: Reason = Reason(261);
}

/// What the records of a sample tell of its frame. Where a record comes twice, the first one counts.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Told<'a> {
    /// The frame.
    pub frame: Option<Frame<'a>>,
    /// The rule that matched it.
    pub acl: Option<Acl<'a>>,
    /// Weir's own record: one frame of so many was taken, and `acl`, where it is there, names a statement.
    pub one_in: Option<u32>,
    /// Records that are not read.
    pub skipped: u32,
}

/// A sampled header: the beginning of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame<'a> {
    /// What the first byte is the start of: 1 Ethernet, 11 IPv4, 12 IPv6; sFlow has the list.
    pub protocol: u32,
    /// Bytes of the whole frame on the wire; with the FCS where the protocol is Ethernet.
    pub length: u32,
    /// Bytes of it that were taken off before `header` was taken: its FCS, tunnels and tags around it.
    pub stripped: u32,
    /// Its first bytes.
    pub header: &'a [u8],
}

/// A rule of an access list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Acl<'a> {
    /// The list's number; Weir's have none, which is 0.
    pub number: u32,
    /// The list's name; of Weir, the statement's.
    pub name: &'a str,
    /// The side on which it was asked.
    pub direction: Direction,
}

/// The side of a device on which a frame met a rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// Not known.
    Unknown,
    /// Where frames come in.
    Ingress,
    /// Where they go out.
    Egress,
}

impl<'a> Flow<'a> {
    /// The sample, if it is one of an Ethernet frame.
    pub fn sample(&self, time: Duration) -> Option<Sample<'a>> {
        let fate = if self.output.reason().is_some() { Fate::Dropped } else { Fate::Passed };
        self.told.sample(time, self.one_in, fate)
    }
}

impl<'a> Discarded<'a> {
    /// The sample, if it is one of an Ethernet frame. It stands for one frame, unless Weir says that it stands for more.
    pub fn sample(&self, time: Duration) -> Option<Sample<'a>> {
        self.told.sample(time, self.told.one_in.unwrap_or(1), Fate::Dropped)
    }
}

impl<'a> Told<'a> {
    /// Reads a count of records, and them.
    #[inline]
    pub(super) fn decode(cursor: &mut Cursor<'a>) -> Result<Told<'a>, Malformed> {
        let mut told = Told::default();
        for _ in 0..cursor.word("the number of flow records")? {
            let (number, mut record) = cursor.structure("a flow record")?;
            let known = match number {
                SAMPLED_HEADER if told.frame.is_none() => {
                    told.frame = Some(Frame::decode(&mut record)?);
                    true
                }
                EXTENDED_ACL if told.acl.is_none() => {
                    told.acl = Acl::decode(&mut record)?;
                    told.acl.is_some()
                }
                DECISION if told.one_in.is_none() => {
                    told.one_in = Some(record.word("a decision's sampling rate")?);
                    true
                }
                _ => false,
            };
            told.skipped += u32::from(!known);
        }
        Ok(told)
    }

    fn sample(&self, time: Duration, one_in: u32, fate: Fate) -> Option<Sample<'a>> {
        let frame = self.frame.filter(|frame| frame.protocol == ETHERNET)?;
        let statement = self.one_in.and(self.acl).map(|acl| acl.name);
        // Some agents say 0 where they take every frame.
        let one_in = one_in.max(1);
        Some(Sample { time, header: frame.header, frame_len: frame.len(), one_in, fate, statement })
    }
}

impl<'a> Frame<'a> {
    /// An Ethernet frame of so many bytes without its FCS, which the sampled header counts as taken off.
    pub(super) fn ethernet(header: &'a [u8], len: u32) -> Frame<'a> {
        Frame { protocol: ETHERNET, length: len.saturating_add(FCS), stripped: FCS, header }
    }

    /// Bytes of the frame that `header` begins, without FCS; never fewer than `header` has, whatever the agent claims.
    fn len(&self) -> u32 {
        let seen = u32::try_from(self.header.len()).unwrap_or(u32::MAX);
        self.length.saturating_sub(self.stripped).max(seen)
    }

    #[inline]
    fn decode(record: &mut Cursor<'a>) -> Result<Frame<'a>, Malformed> {
        let [protocol, length, stripped] = record.words("a sampled header")?;
        Ok(Frame { protocol, length, stripped, header: record.counted("a frame's first bytes")? })
    }
}

impl<'a> Acl<'a> {
    /// `None` if the name is no UTF-8: then there is nothing to tell.
    fn decode(record: &mut Cursor<'a>) -> Result<Option<Acl<'a>>, Malformed> {
        let number = record.word("an extended ACL")?;
        let name = record.counted("an ACL's name")?;
        let direction = match record.word("an ACL's direction")? {
            1 => Direction::Ingress,
            2 => Direction::Egress,
            _ => Direction::Unknown,
        };
        Ok(std::str::from_utf8(name).ok().map(|name| Acl { number, name, direction }))
    }
}

impl Direction {
    pub(super) fn number(self) -> u32 {
        match self {
            Direction::Unknown => 0,
            Direction::Ingress => 1,
            Direction::Egress => 2,
        }
    }
}

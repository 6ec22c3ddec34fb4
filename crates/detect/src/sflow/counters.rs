//! Counters of interfaces and of Weir's statements.

use super::cursor::Cursor;
use super::number::{INTERFACE, Number, STATEMENT};
use super::{Malformed, Source};

/// What a source has counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Counters<'a> {
    /// Counts the counter samples of the source.
    pub sequence: u32,
    /// What counted.
    pub source: Source,
    /// How many records there should be.
    pub count: u32,
    pub(super) body: Cursor<'a>,
}

impl<'a> Counters<'a> {
    /// The records, in their order.
    pub fn records(&self) -> CounterRecords<'a> {
        CounterRecords { body: self.body, left: self.count }
    }
}

/// The records of one counter sample. The first error ends them.
#[derive(Clone, Debug)]
pub struct CounterRecords<'a> {
    body: Cursor<'a>,
    left: u32,
}

/// One record of a counter sample.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Counter<'a> {
    /// Of an interface.
    Interface(InterfaceCounters),
    /// Of a statement of a Weir policy.
    Statement(StatementCounters<'a>),
    /// Of a kind that is not read, or of a statement whose name is no UTF-8.
    Unknown(Number),
}

/// Generic interface counters (RFC 2233's). Counters of 32 bits go around.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct InterfaceCounters {
    /// ifIndex.
    pub index: u32,
    /// ifType, by IANA's list: 6 is Ethernet.
    pub kind: u32,
    /// Bits per second.
    pub speed: u64,
    /// 0 unknown, 1 full duplex, 2 half duplex, 3 in, 4 out.
    pub direction: u32,
    /// Bit 0: it should be up; bit 1: it is up.
    pub status: u32,
    /// What came in.
    pub input: Received,
    /// What went out.
    pub output: Sent,
    /// 1 if every frame on the wire is received.
    pub promiscuous: u32,
}

/// What an interface received.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Received {
    /// Bytes.
    pub octets: u64,
    /// Unicast frames.
    pub unicast: u32,
    /// Multicast frames.
    pub multicast: u32,
    /// Broadcast frames.
    pub broadcast: u32,
    /// Frames without an error that were not kept.
    pub discards: u32,
    /// Frames with errors.
    pub errors: u32,
    /// Frames of protocols that nobody knew.
    pub unknown_protocols: u32,
}

/// What an interface sent.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Sent {
    /// Bytes.
    pub octets: u64,
    /// Unicast frames.
    pub unicast: u32,
    /// Multicast frames.
    pub multicast: u32,
    /// Broadcast frames.
    pub broadcast: u32,
    /// Frames without an error that were not sent.
    pub discards: u32,
    /// Frames that errors kept from being sent.
    pub errors: u32,
}

/// What a statement of a Weir policy has counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StatementCounters<'a> {
    /// The statement's name.
    pub name: &'a str,
    /// Frames.
    pub packets: u64,
    /// Their bytes, without FCS.
    pub bytes: u64,
}

impl<'a> Iterator for CounterRecords<'a> {
    type Item = Result<Counter<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let counter = Counter::decode(&mut self.body);
        if counter.is_err() {
            self.left = 0;
        }
        Some(counter)
    }
}

impl<'a> Counter<'a> {
    fn decode(body: &mut Cursor<'a>) -> Result<Counter<'a>, Malformed> {
        let (number, mut record) = body.structure("a counter record")?;
        match number {
            INTERFACE => InterfaceCounters::decode(&mut record).map(Counter::Interface),
            STATEMENT => {
                let statement = StatementCounters::decode(&mut record)?;
                Ok(statement.map_or(Counter::Unknown(number), Counter::Statement))
            }
            _ => Ok(Counter::Unknown(number)),
        }
    }
}

impl InterfaceCounters {
    fn decode(record: &mut Cursor<'_>) -> Result<InterfaceCounters, Malformed> {
        let words: [u32; 22] = record.words("an interface's counters")?;
        let [index, kind, high, low, direction, status, in_high, in_low, ref rest @ ..] = words;
        let [unicast, multicast, broadcast, discards, errors, unknown_protocols, ref rest @ ..] = *rest;
        let octets = wide(in_high, in_low);
        let input = Received { octets, unicast, multicast, broadcast, discards, errors, unknown_protocols };
        let [out_high, out_low, unicast, multicast, broadcast, discards, errors, promiscuous] = *rest;
        let octets = wide(out_high, out_low);
        let output = Sent { octets, unicast, multicast, broadcast, discards, errors };
        let speed = wide(high, low);
        Ok(InterfaceCounters { index, kind, speed, direction, status, input, output, promiscuous })
    }

    /// The 22 words of the structure.
    pub(super) fn words(&self) -> [u32; 22] {
        let (input, output) = (&self.input, &self.output);
        let [speed_high, speed_low] = halves(self.speed);
        let [in_high, in_low] = halves(input.octets);
        let [out_high, out_low] = halves(output.octets);
        [
            self.index,
            self.kind,
            speed_high,
            speed_low,
            self.direction,
            self.status,
            in_high,
            in_low,
            input.unicast,
            input.multicast,
            input.broadcast,
            input.discards,
            input.errors,
            input.unknown_protocols,
            out_high,
            out_low,
            output.unicast,
            output.multicast,
            output.broadcast,
            output.discards,
            output.errors,
            self.promiscuous,
        ]
    }
}

impl<'a> StatementCounters<'a> {
    /// `None` if the name is no UTF-8.
    fn decode(record: &mut Cursor<'a>) -> Result<Option<StatementCounters<'a>>, Malformed> {
        let name = record.counted("a statement's name")?;
        let [packets_high, packets_low, bytes_high, bytes_low] = record.words("a statement's counters")?;
        let (packets, bytes) = (wide(packets_high, packets_low), wide(bytes_high, bytes_low));
        Ok(std::str::from_utf8(name).ok().map(|name| StatementCounters { name, packets, bytes }))
    }
}

/// An unsigned hyper.
fn wide(high: u32, low: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

/// The two words of an unsigned hyper.
pub(super) fn halves(number: u64) -> [u32; 2] {
    [(number >> 32) as u32, number as u32]
}

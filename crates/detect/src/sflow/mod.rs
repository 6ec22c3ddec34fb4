//! sFlow version 5: datagrams ↔ samples, both directions, without sockets and clocks.
//!
//! * [`Datagram`] reads what Weir, hsflowd and switches send; [`samples`] is what the detector asks for.
//! * [`Encoder`] packs samples and counters into datagrams.
//!
//! Everything in a datagram is XDR (RFC 4506): words of 32 bits, most significant byte first; whatever has a length
//! says it in bytes and is padded with zeros to a whole word. The structures:
//!
//! | what | number | read | written |
//! |---|---|---|---|
//! | flow sample, expanded flow sample | sample 0:1, 0:3 | [`Flow`] | [`Encoder::flow`] |
//! | counter sample, expanded counter sample | sample 0:2, 0:4 | [`Counters`] | as one of the two below |
//! | discarded packet | sample 0:5 | [`Discarded`] | [`Encoder::discarded`] |
//! | sampled header | flow 0:1 | [`Frame`] | with both kinds of samples |
//! | extended ACL: a name | flow 0:1037 | [`Acl`] | with both, the statement's name |
//! | decision of a Weir policy | flow 32473:1 | [`Told::one_in`] | beside the name |
//! | counters of an interface | counters 0:1 | [`InterfaceCounters`] | [`Encoder::interface`] |
//! | counters of a Weir statement | counters 32473:1 | [`StatementCounters`] | [`Encoder::statement`] |
//!
//! Sources: "sFlow Version 5" (July 2004, with its errata) and "sFlow Dropped Packet Notification Structures"
//! (October 2020), both of sflow.org; the numbers are in its list of structures. Whatever else a datagram holds is
//! skipped by its length and counted.
//!
//! # What is ours
//! Structures of 0 are those of sflow.org, others belong to whoever has the enterprise number (IANA's Private
//! Enterprise Numbers). Weir has none; until it does, it uses 32473, which RFC 5612 keeps for examples, so that no
//! vendor's structure is taken for ours. A collector that does not know them skips them.
//!
//! ```text
//! /* opaque = flow_data; enterprise = 32473; format = 1 */
//! struct weir_decision {
//!     unsigned int one_in;       /* one frame of so many was taken; an extended ACL beside it names the statement */
//! }
//!
//! /* opaque = counter_data; enterprise = 32473; format = 1 */
//! struct weir_statement {
//!     string name<>;             /* the statement's name in the policy, UTF-8 */
//!     unsigned hyper packets;
//!     unsigned hyper bytes;
//! }
//! ```
//!
//! # Frames that were dropped
//! There are two standard ways to tell of them. A flow sample whose output interface says "discarded", with the reason,
//! has a sampling rate, so every collector can scale it. A discarded packet has none: collectors take each for one frame.
//! Weir writes what it is asked for, and reads both; `weir_decision` lets it scale its own discarded packets.

mod counters;
mod cursor;
mod datagram;
mod encode;
mod error;
mod filling;
mod flow;
mod number;

pub use counters::{Counter, CounterRecords, Counters, InterfaceCounters, Received, Sent, StatementCounters};
pub use datagram::{Datagram, Record, Records};
pub use encode::{Discard, Encoder, Form, Taken};
pub use error::{Malformed, Refused};
pub use flow::{Acl, Direction, Discarded, Flow, Frame, Interface, Reason, Source, Told};
pub use number::Number;

use std::time::Duration;

use crate::sample::Sample;

/// The UDP port that collectors listen on.
pub const PORT: u16 = 6343;

/// The version that datagrams begin with.
const VERSION: u32 = 5;

/// Bytes of the FCS, which frame lengths of sFlow count and those of a [`Sample`] do not.
const FCS: u32 = 4;

/// What datagrams held, added up.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Tally {
    /// Datagrams whose head could be read.
    pub datagrams: u64,
    /// Datagrams that were malformed from somewhere on.
    pub malformed: u64,
    /// Flow samples.
    pub flows: u64,
    /// Discarded packets.
    pub discarded: u64,
    /// Counter samples.
    pub counters: u64,
    /// Samples of a kind that is not read.
    pub unknown: u64,
    /// Records beside the sampled header that are not read.
    pub skipped: u64,
    /// Flow samples and discarded packets that say nothing of an Ethernet frame.
    pub frameless: u64,
}

/// Reads a datagram that came at `time`, and hands over every frame that was sampled in it.
///
/// # Errors
/// Where the datagram is malformed; the samples before that place have been handed over.
pub fn samples<'a>(
    bytes: &'a [u8],
    time: Duration,
    tally: &mut Tally,
    mut each: impl FnMut(Sample<'a>),
) -> Result<Datagram<'a>, Malformed> {
    let datagram = Datagram::decode(bytes).inspect_err(|_| tally.malformed += 1)?;
    tally.datagrams += 1;
    for record in datagram.records() {
        let record = record.inspect_err(|_| tally.malformed += 1)?;
        tally.count(&record);
        match record.sample(time) {
            Some(sample) => each(sample),
            None if record.told().is_some() => tally.frameless += 1,
            None => {}
        }
    }
    Ok(datagram)
}

impl Tally {
    fn count(&mut self, record: &Record<'_>) {
        match record {
            Record::Flow(_) => self.flows += 1,
            Record::Discarded(_) => self.discarded += 1,
            Record::Counters(_) => self.counters += 1,
            Record::Unknown { .. } => self.unknown += 1,
        }
        self.skipped += record.told().map_or(0, |told| u64::from(told.skipped));
    }
}

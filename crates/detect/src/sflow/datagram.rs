//! Datagrams, from their bytes.

use std::net::IpAddr;
use std::time::Duration;

use super::cursor::Cursor;
use super::number::{COUNTERS, COUNTERS_EXPANDED, DISCARDED, FLOW, FLOW_EXPANDED, Number};
use super::{Counters, Discarded, Flow, Interface, Malformed, Reason, Source, Told, VERSION};
use crate::sample::Sample;

/// The head of a datagram. Nothing is copied, and what its lengths claim takes no memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Datagram<'a> {
    /// The agent that sent it, if it says so: by this address, whatever the packet's source is.
    pub agent: Option<IpAddr>,
    /// Which of the agent's senders this is; each counts its own datagrams.
    pub sub_agent: u32,
    /// Counts the datagrams of the sender.
    pub sequence: u32,
    /// Since the agent started. It is sent in milliseconds of 32 bits, so it goes around after 49 days.
    pub uptime: Duration,
    /// How many samples there should be.
    pub count: u32,
    body: Cursor<'a>,
}

/// The samples of a datagram. The first error ends them: what follows a lie cannot be trusted.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    body: Cursor<'a>,
    left: u32,
}

/// One sample of a datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Record<'a> {
    /// A frame, one of so many.
    Flow(Flow<'a>),
    /// A frame that was dropped.
    Discarded(Discarded<'a>),
    /// Counters.
    Counters(Counters<'a>),
    /// Of a kind that is not read.
    Unknown {
        /// Its number.
        number: Number,
        /// Where its content begins, in bytes from the datagram's first one.
        offset: usize,
    },
}

impl<'a> Datagram<'a> {
    /// Reads the head.
    ///
    /// # Errors
    /// If it is not one of sFlow version 5, or cut.
    pub fn decode(bytes: &'a [u8]) -> Result<Datagram<'a>, Malformed> {
        let mut cursor = Cursor::new(bytes);
        let version = cursor.word("the version")?;
        if version != VERSION {
            return Err(Malformed::Version { version });
        }
        let offset = cursor.offset();
        let agent = match cursor.word("the agent's address")? {
            0 => None,
            1 => Some(IpAddr::from(cursor.array::<4>("the agent's address")?)),
            2 => Some(IpAddr::from(cursor.array::<16>("the agent's address")?)),
            kind => return Err(Malformed::AddressType { kind, offset }),
        };
        let [sub_agent, sequence, uptime, count] = cursor.words("the head")?;
        let uptime = Duration::from_millis(uptime.into());
        Ok(Datagram { agent, sub_agent, sequence, uptime, count, body: cursor })
    }

    /// The samples, in their order.
    pub fn records(&self) -> Records<'a> {
        Records { body: self.body, left: self.count }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let record = Record::decode(&mut self.body);
        if record.is_err() {
            self.left = 0;
        }
        Some(record)
    }
}

impl<'a> Record<'a> {
    /// The sampled frame, if there is one and it is Ethernet.
    #[inline]
    pub fn sample(&self, time: Duration) -> Option<Sample<'a>> {
        match self {
            Record::Flow(flow) => flow.sample(time),
            Record::Discarded(discarded) => discarded.sample(time),
            Record::Counters(_) | Record::Unknown { .. } => None,
        }
    }

    /// What is told of a frame, if the sample is of that kind.
    #[inline]
    pub fn told(&self) -> Option<&Told<'a>> {
        match self {
            Record::Flow(flow) => Some(&flow.told),
            Record::Discarded(discarded) => Some(&discarded.told),
            Record::Counters(_) | Record::Unknown { .. } => None,
        }
    }

    #[inline]
    fn decode(body: &mut Cursor<'a>) -> Result<Record<'a>, Malformed> {
        let (number, mut sample) = body.structure("a sample")?;
        match number {
            FLOW => flow(&mut sample).map(Record::Flow),
            FLOW_EXPANDED => flow_expanded(&mut sample).map(Record::Flow),
            DISCARDED => discarded(&mut sample).map(Record::Discarded),
            COUNTERS => {
                let [sequence, source, count] = sample.words("a counter sample")?;
                let source = Source::compact(source);
                Ok(Record::Counters(Counters { sequence, source, count, body: sample }))
            }
            COUNTERS_EXPANDED => {
                let [sequence, kind, index, count] = sample.words("an expanded counter sample")?;
                let source = Source { kind, index };
                Ok(Record::Counters(Counters { sequence, source, count, body: sample }))
            }
            _ => Ok(Record::Unknown { number, offset: sample.offset() }),
        }
    }
}

#[inline]
fn flow<'a>(sample: &mut Cursor<'a>) -> Result<Flow<'a>, Malformed> {
    let [sequence, source, one_in, pool, drops, input, output] = sample.words("a flow sample")?;
    Ok(Flow {
        sequence,
        source: Source::compact(source),
        one_in,
        pool,
        drops,
        input: Interface::compact(input),
        output: Interface::compact(output),
        told: Told::decode(sample)?,
    })
}

fn flow_expanded<'a>(sample: &mut Cursor<'a>) -> Result<Flow<'a>, Malformed> {
    let [sequence, kind, index, one_in, pool, drops, input_format, input, output_format, output] =
        sample.words("an expanded flow sample")?;
    Ok(Flow {
        sequence,
        source: Source { kind, index },
        one_in,
        pool,
        drops,
        input: Interface { format: input_format, value: input },
        output: Interface { format: output_format, value: output },
        told: Told::decode(sample)?,
    })
}

#[inline]
fn discarded<'a>(sample: &mut Cursor<'a>) -> Result<Discarded<'a>, Malformed> {
    let [sequence, kind, index, drops, input, output, reason] = sample.words("a discarded packet")?;
    Ok(Discarded {
        sequence,
        source: Source { kind, index },
        drops,
        input,
        output,
        reason: Reason(reason),
        told: Told::decode(sample)?,
    })
}

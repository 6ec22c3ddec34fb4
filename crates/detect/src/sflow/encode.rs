//! Samples and counters into datagrams.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::counters::halves;
use super::filling::{Filling, put, put_counted, structure};
use super::number::{
    COUNTERS, COUNTERS_EXPANDED, DECISION, DISCARDED, EXTENDED_ACL, FLOW, FLOW_EXPANDED, INTERFACE, Number,
    SAMPLED_HEADER, STATEMENT,
};
use super::{Direction, Frame, Interface, InterfaceCounters, Reason, Refused, Source, StatementCounters};
use crate::sample::{Fate, Sample};

/// What agents take of a frame if nobody says otherwise.
const HEADER: usize = 128;

/// Packs samples and counters into datagrams, and numbers all of them, from 1 on.
///
/// A datagram comes out where the next sample no longer fits, or of [`Encoder::finish`]. How long samples may wait for
/// that is the caller's to decide; sFlow asks for a second at most.
#[derive(Debug)]
pub struct Encoder {
    filling: Filling,
    header: usize,
    form: Form,
    /// Whose statements the last sample counts, if it does.
    open: Option<Source>,
    /// The last number of each source's samples of a kind.
    sequences: BTreeMap<(Number, Source), u32>,
}

/// How numbers of interfaces and sources stand in samples. An agent must not mix the two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// Sources below 2²⁴, interfaces below 2³⁰.
    Compact,
    /// All numbers.
    Expanded,
}

/// Where and how a frame was sampled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Taken {
    /// What took it.
    pub source: Source,
    /// How many frames it could have taken so far, modulo 2³².
    pub pool: u32,
    /// How many samples were lost so far.
    pub drops: u32,
    /// Where the frame came from.
    pub input: Interface,
    /// Where it went, if it was not dropped.
    pub output: Interface,
    /// The side on which the statement stands.
    pub direction: Direction,
}

/// Where and why a frame was dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Discard {
    /// What tells of it.
    pub source: Source,
    /// How many notifications were lost so far.
    pub drops: u32,
    /// The ifIndex of where the frame came from; 0 if unknown.
    pub input: u32,
    /// The ifIndex of where it would have gone; 0 if unknown.
    pub output: u32,
    /// Why.
    pub reason: Reason,
    /// The side on which the statement stands.
    pub direction: Direction,
}

impl Encoder {
    /// For an agent, and that sender of it.
    pub fn new(agent: IpAddr, sub_agent: u32) -> Encoder {
        Encoder {
            filling: Filling::new(agent, sub_agent),
            header: HEADER,
            form: Form::Compact,
            open: None,
            sequences: BTreeMap::new(),
        }
    }

    /// Datagrams of at most so many bytes, instead of 1400.
    #[must_use]
    pub fn max(mut self, bytes: usize) -> Encoder {
        self.filling.max = bytes;
        self
    }

    /// At most so many bytes of each frame, instead of 128.
    #[must_use]
    pub fn header(mut self, bytes: usize) -> Encoder {
        self.header = bytes;
        self
    }

    /// Another form of numbers than the compact one.
    #[must_use]
    pub fn form(mut self, form: Form) -> Encoder {
        self.form = form;
        self
    }

    /// Adds a flow sample. If the frame was dropped, its output says so, with the reason that a rule dropped it.
    ///
    /// Returns a datagram if one became full; `uptime` is the agent's.
    ///
    /// # Errors
    /// If the sample fits into no datagram, or a number not into the form.
    pub fn flow(
        &mut self,
        uptime: Duration,
        taken: &Taken,
        sample: &Sample<'_>,
    ) -> Result<Option<&[u8]>, Refused> {
        let Taken { source, pool, drops, input, output, direction } = *taken;
        let output = match sample.fate {
            Fate::Passed => output,
            Fate::Dropped => Interface::discarded(Reason::ACL),
        };
        let (header, rates) = (self.header, [sample.one_in, pool, drops]);
        match self.form {
            Form::Compact => {
                let (id, sides) = (source_word(source)?, [interface_word(input)?, interface_word(output)?]);
                self.add(uptime, FLOW, source, |out| {
                    [&[id][..], &rates, &sides].iter().for_each(|words| put(out, words));
                    put_told(out, sample, header, direction, sample.statement.is_some());
                })
            }
            Form::Expanded => {
                let (id, input, output) = (pair(source), side(input), side(output));
                self.add(uptime, FLOW_EXPANDED, source, |out| {
                    [&id[..], &rates, &input, &output].iter().for_each(|words| put(out, words));
                    put_told(out, sample, header, direction, sample.statement.is_some());
                })
            }
        }
    }

    /// Adds a discarded packet; else as [`Encoder::flow`]. They have no compact form.
    ///
    /// # Errors
    /// If the sample fits into no datagram.
    pub fn discarded(
        &mut self,
        uptime: Duration,
        discard: &Discard,
        sample: &Sample<'_>,
    ) -> Result<Option<&[u8]>, Refused> {
        let Discard { source, drops, input, output, reason, direction } = *discard;
        let header = self.header;
        self.add(uptime, DISCARDED, source, |out| {
            put(out, &pair(source));
            put(out, &[drops, input, output, reason.0]);
            put_told(out, sample, header, direction, true);
        })
    }

    /// Adds a counter sample of an interface; else as [`Encoder::flow`].
    ///
    /// # Errors
    /// If the sample fits into no datagram, or the source's number not into the form.
    pub fn interface(
        &mut self,
        uptime: Duration,
        source: Source,
        counters: &InterfaceCounters,
    ) -> Result<Option<&[u8]>, Refused> {
        self.counters(uptime, source, |out| {
            structure(out, INTERFACE, |out| put(out, &counters.words()));
        })
    }

    /// Adds a statement's counters; else as [`Encoder::flow`]. Those of one source share samples, if nothing comes between.
    ///
    /// # Errors
    /// If the sample fits into no datagram, or the source's number not into the form.
    pub fn statement(
        &mut self,
        uptime: Duration,
        source: Source,
        counters: &StatementCounters<'_>,
    ) -> Result<Option<&[u8]>, Refused> {
        // Number and source stand before the number of records.
        let count = match self.form {
            Form::Compact => 8,
            Form::Expanded => 12,
        };
        if self.open == Some(source) && self.filling.extend(count, |out| put_statement(out, counters)) {
            return Ok(None);
        }
        let full = self.counters(uptime, source, |out| put_statement(out, counters))?.is_some();
        self.open = Some(source);
        Ok(full.then(|| self.filling.full()))
    }

    /// The datagram with all that waits, if anything does.
    pub fn finish(&mut self, uptime: Duration) -> Option<&[u8]> {
        self.open = None;
        self.filling.finish(uptime).then(|| self.filling.full())
    }

    /// Adds a counter sample with one record.
    fn counters(
        &mut self,
        uptime: Duration,
        source: Source,
        record: impl FnOnce(&mut Vec<u8>),
    ) -> Result<Option<&[u8]>, Refused> {
        let (number, id) = match self.form {
            Form::Compact => (COUNTERS, vec![source_word(source)?]),
            Form::Expanded => (COUNTERS_EXPANDED, pair(source).to_vec()),
        };
        self.add(uptime, number, source, |out| {
            put(out, &id);
            put(out, &[1]);
            record(out);
        })
    }

    /// Adds a sample: its number, and what `write` writes behind that.
    fn add(
        &mut self,
        uptime: Duration,
        number: Number,
        source: Source,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<Option<&[u8]>, Refused> {
        let last = self.sequences.entry((number, source)).or_default();
        let next = last.wrapping_add(1);
        let full = self.filling.add(uptime, number, |out| {
            put(out, &[next]);
            write(out);
        })?;
        *last = next;
        self.open = None;
        Ok(full.then(|| self.filling.full()))
    }
}

/// The records of a sampled frame: its first bytes, the statement's name, and the decision where it is asked for.
fn put_told(out: &mut Vec<u8>, sample: &Sample<'_>, header: usize, direction: Direction, decision: bool) {
    let records = 1 + u32::from(sample.statement.is_some()) + u32::from(decision);
    put(out, &[records]);
    let header = &sample.header[..sample.header.len().min(header)];
    let Frame { protocol, length, stripped, header } = Frame::ethernet(header, sample.frame_len);
    structure(out, SAMPLED_HEADER, |out| {
        put(out, &[protocol, length, stripped]);
        put_counted(out, header);
    });
    if let Some(name) = sample.statement {
        structure(out, EXTENDED_ACL, |out| {
            put(out, &[0]);
            put_counted(out, name.as_bytes());
            put(out, &[direction.number()]);
        });
    }
    if decision {
        structure(out, DECISION, |out| put(out, &[sample.one_in]));
    }
}

fn put_statement(out: &mut Vec<u8>, counters: &StatementCounters<'_>) {
    structure(out, STATEMENT, |out| {
        put_counted(out, counters.name.as_bytes());
        put(out, &halves(counters.packets));
        put(out, &halves(counters.bytes));
    });
}

fn pair(source: Source) -> [u32; 2] {
    [source.kind, source.index]
}

fn side(interface: Interface) -> [u32; 2] {
    [interface.format, interface.value]
}

fn source_word(source: Source) -> Result<u32, Refused> {
    let Source { kind, index } = source;
    match (kind >> 8, index >> 24) {
        (0, 0) => Ok(kind << 24 | index),
        (0, _) => Err(Refused::Compact { what: "the source", number: index }),
        _ => Err(Refused::Compact { what: "the source's kind", number: kind }),
    }
}

fn interface_word(interface: Interface) -> Result<u32, Refused> {
    let Interface { format, value } = interface;
    match (format >> 2, value >> 30) {
        (0, 0) => Ok(format << 30 | value),
        _ => Err(Refused::Compact { what: "the interface", number: value }),
    }
}

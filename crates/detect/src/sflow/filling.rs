//! The datagram that is being filled, byte by byte.

use std::net::IpAddr;
use std::time::Duration;

use super::number::Number;
use super::{Refused, VERSION};

/// Fits into an Ethernet frame behind IP and UDP headers, with some bytes for tunnels.
const MAX: usize = 1400;

/// One datagram that is being filled, and the one that came out before it.
#[derive(Debug)]
pub(super) struct Filling {
    /// Bytes that datagrams may have.
    pub(super) max: usize,
    /// Version, agent and sub-agent; then sequence number, uptime and count, which are written at last; then samples.
    bytes: Vec<u8>,
    /// Bytes before the first sample.
    head: usize,
    /// Where the last sample begins.
    last: usize,
    /// Samples.
    count: u32,
    /// The datagram's number.
    sequence: u32,
    full: Vec<u8>,
}

impl Filling {
    pub(super) fn new(agent: IpAddr, sub_agent: u32) -> Filling {
        let mut bytes = Vec::with_capacity(MAX);
        put(&mut bytes, &[VERSION]);
        match agent {
            IpAddr::V4(address) => {
                put(&mut bytes, &[1]);
                bytes.extend_from_slice(&address.octets());
            }
            IpAddr::V6(address) => {
                put(&mut bytes, &[2]);
                bytes.extend_from_slice(&address.octets());
            }
        }
        put(&mut bytes, &[sub_agent, 0, 0, 0]);
        let head = bytes.len();
        Filling { max: MAX, full: bytes.clone(), bytes, head, last: head, count: 0, sequence: 1 }
    }

    /// Adds a sample whose content is written by `write`. Where it does not fit, the datagram is finished and the sample
    /// is the first one of the next; then the answer is true.
    pub(super) fn add(
        &mut self,
        uptime: Duration,
        number: Number,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<bool, Refused> {
        let begin = self.bytes.len();
        structure(&mut self.bytes, number, write);
        let alone = self.head + self.bytes.len() - begin;
        if alone > self.max {
            self.bytes.truncate(begin);
            return Err(Refused::TooLong { len: alone, max: self.max });
        }
        let overfull = self.bytes.len() > self.max;
        if overfull {
            self.part(begin, uptime);
        }
        self.last = self.bytes.len() + self.head - alone;
        self.count += 1;
        Ok(overfull)
    }

    /// Adds a record to the last sample, whose number of records stands `count` bytes into its content. False, and
    /// nothing done, if there is no room.
    pub(super) fn extend(&mut self, count: usize, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        let before = self.bytes.len();
        write(&mut self.bytes);
        if self.bytes.len() > self.max {
            self.bytes.truncate(before);
            return false;
        }
        let grown = self.bytes.len() - before;
        let content = self.last + 8;
        raise(&mut self.bytes, self.last + 4, grown as u32);
        raise(&mut self.bytes, content + count, 1);
        true
    }

    /// Ends the datagram; false if there are no samples in it.
    pub(super) fn finish(&mut self, uptime: Duration) -> bool {
        let any = self.count > 0;
        if any {
            self.part(self.bytes.len(), uptime);
        }
        any
    }

    /// The datagram that came out last.
    pub(super) fn full(&self) -> &[u8] {
        &self.full
    }

    /// Ends the datagram with what stands before `begin`; the rest begins the next one.
    fn part(&mut self, begin: usize, uptime: Duration) {
        self.full.truncate(self.head);
        self.full.extend_from_slice(&self.bytes[begin..]);
        self.bytes.truncate(begin);
        std::mem::swap(&mut self.bytes, &mut self.full);
        // Milliseconds of 32 bits go around.
        let words = [self.sequence, uptime.as_millis() as u32, self.count];
        for (word, place) in words.iter().zip(self.full[self.head - 12..].as_chunks_mut().0) {
            *place = word.to_be_bytes();
        }
        self.sequence = self.sequence.wrapping_add(1);
        self.count = 0;
        self.last = self.head;
    }
}

pub(super) fn put(out: &mut Vec<u8>, words: &[u32]) {
    words.iter().for_each(|word| out.extend_from_slice(&word.to_be_bytes()));
}

/// Bytes behind their length, with zeros up to a whole word.
pub(super) fn put_counted(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, &[bytes.len() as u32]);
    out.extend_from_slice(bytes);
    out.resize(out.len().next_multiple_of(4), 0);
}

/// A structure: its number and length, and what `write` writes.
pub(super) fn structure(out: &mut Vec<u8>, number: Number, write: impl FnOnce(&mut Vec<u8>)) {
    put(out, &[number.0, 0]);
    let begin = out.len();
    write(out);
    let length = out.len() - begin;
    raise(out, begin - 4, length as u32);
}

/// Adds to the word at a place.
fn raise(bytes: &mut [u8], at: usize, by: u32) {
    let Some(word) = bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut) else { return };
    *word = u32::from_be_bytes(*word).wrapping_add(by).to_be_bytes();
}

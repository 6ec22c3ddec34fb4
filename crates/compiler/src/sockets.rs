//! What a host's TCP says where there is no kernel to ask: who listens, which connections there are, and SYN cookies.
//!
//! The *ends* of a segment are its addresses and then its ports, as the segment has them: 12 bytes of IPv4, 36 of IPv6. In a packet
//! without options and extension headers they stand in a row.

use std::collections::BTreeSet;

/// What a host has for a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Socket {
    /// Somebody who waits for connections.
    Listening,
    /// A connection, or what is left or only begun of one.
    Connected,
}

/// What the kernel says of an acknowledgement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Acknowledged {
    /// Nothing: it is of a connection, or nobody listens.
    Other = 0,
    /// It brings a cookie of the kernel back.
    Cookie = 1,
    /// Somebody listens, and it brings none.
    NoCookie = 2,
}

/// The sockets of a host: somebody listens wherever nothing else is said.
#[derive(Clone, Debug, Default)]
pub struct Sockets {
    /// Ports at which somebody listens, if not at all of them.
    pub listening: Option<BTreeSet<u16>>,
    /// Connections, by the ends of what comes in.
    pub connected: BTreeSet<Vec<u8>>,
}

/// The largest segments that a cookie can say, and what is taken where a SYN says nothing (net/ipv4/syncookies.c and
/// net/ipv6/syncookies.c: `msstab`; `mss_clamp`).
const SIZES_4: [u16; 4] = [536, 1300, 1440, 1460];
const SIZES_6: [u16; 4] = [1220, 1420, 1440, 8940];
/// Bytes of a segment's header without options, and the kind and length of the option that says the largest segment.
const HEADER: usize = 20;
const MSS: [u8; 2] = [2, 4];

impl Sockets {
    /// What there is for a segment with these ends.
    pub fn find(&self, ends: &[u8]) -> Option<Socket> {
        let port = ends.last_chunk().map_or(0, |port| u16::from_be_bytes(*port));
        match self.connected.contains(ends) {
            true => Some(Socket::Connected),
            false => {
                let listens = self.listening.as_ref().is_none_or(|ports| ports.contains(&port));
                listens.then_some(Socket::Listening)
            }
        }
    }

    /// The answer's sequence number for a SYN, and from bit 32 on the largest segment; 0 if nobody listens.
    pub fn cookie(&self, ends: &[u8], segment: &[u8]) -> u64 {
        match self.find(ends) {
            Some(Socket::Listening) => {
                u64::from(number(ends, sequence(segment))) | u64::from(largest(ends, segment)) << 32
            }
            _ => 0,
        }
    }

    /// What an acknowledgement brings.
    pub fn acknowledged(&self, ends: &[u8], segment: &[u8]) -> Acknowledged {
        let made = number(ends, sequence(segment).wrapping_sub(1));
        match self.find(ends) {
            Some(Socket::Listening) if word(segment, 8).wrapping_sub(1) == made => Acknowledged::Cookie,
            Some(Socket::Listening) => Acknowledged::NoCookie,
            _ => Acknowledged::Other,
        }
    }
}

/// The cookie for a SYN: the kernel's is a secret, so here it is one that tests can foretell, the sequence number and all words of the ends
/// added up.
fn number(ends: &[u8], sequence: u32) -> u32 {
    let words = ends.chunks_exact(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]));
    words.fold(sequence, u32::wrapping_add)
}

/// The largest segment that is not larger than the one a SYN says, of those that a cookie can say.
fn largest(ends: &[u8], segment: &[u8]) -> u16 {
    let sizes = if ends.len() == 12 { SIZES_4 } else { SIZES_6 };
    let said = said(segment).unwrap_or(sizes[0]);
    sizes.into_iter().rev().find(|size| *size <= said).unwrap_or(sizes[0])
}

/// The largest segment by a header's options (RFC 9293, section 3.7.1); of several that say one the last counts.
fn said(segment: &[u8]) -> Option<u16> {
    let (mut said, mut options) = (None, segment.get(HEADER..)?);
    loop {
        match *options {
            [1, ..] => options = &options[1..],
            [kind, length, ..] if kind != 0 && length >= 2 && usize::from(length) <= options.len() => {
                let (option, rest) = options.split_at(length.into());
                let size = option.get(2..).and_then(<[u8]>::first_chunk).map(|two| u16::from_be_bytes(*two));
                if [kind, length] == MSS && size != Some(0) {
                    said = size;
                }
                options = rest;
            }
            // The end, or nothing that can be read.
            _ => return said,
        }
    }
}

fn sequence(segment: &[u8]) -> u32 {
    word(segment, 4)
}

fn word(segment: &[u8], at: usize) -> u32 {
    segment.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |word| u32::from_be_bytes(*word))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDS: [u8; 12] = [192, 0, 2, 1, 203, 0, 113, 10, 0x9c, 0x40, 1, 0xbb];

    fn segment(sequence: u32, acknowledged: u32, options: &[u8]) -> Vec<u8> {
        let numbers = [sequence.to_be_bytes(), acknowledged.to_be_bytes()].concat();
        [&ENDS[8..], &numbers, &[0; 8], options].concat()
    }

    #[test]
    fn a_cookie_comes_back() {
        let sockets = Sockets::default();
        let cookie = sockets.cookie(&ENDS, &segment(1000, 0, &[])) as u32;
        let answer = |by: u32| sockets.acknowledged(&ENDS, &segment(1001, cookie.wrapping_add(by), &[]));
        assert_eq!(
            [0, 1, 2].map(answer),
            [Acknowledged::NoCookie, Acknowledged::Cookie, Acknowledged::NoCookie]
        );
    }

    #[test]
    fn the_largest_segment_is_one_that_a_cookie_can_say() {
        let size = |options: &[u8]| Sockets::default().cookie(&ENDS, &segment(0, 0, options)) >> 32;
        assert_eq!(size(&[]), 536);
        assert_eq!(size(&[2, 4, 0x05, 0xb4]), 1460);
        assert_eq!(size(&[4, 2, 3, 3, 7, 1, 2, 4, 0x05, 0xac, 0]), 1440);
        assert_eq!(size(&[2, 4, 0, 100]), 536);
        assert_eq!(size(&[2, 4, 0, 100, 2, 4, 0x05, 0xb4, 9, 9]), 1460);
        // Behind the end of options, cut off, zero, without a length.
        for options in [&[0, 2, 4, 5, 0xb4][..], &[2, 4, 5], &[2, 4, 0, 0], &[3, 0, 2, 4, 5, 0xb4], &[3]] {
            assert_eq!(size(options), 536, "{options:?}");
        }
    }

    #[test]
    fn nothing_is_said_for_connections_and_where_nobody_listens() {
        let connected = Sockets { connected: [ENDS.to_vec()].into(), ..Sockets::default() };
        let closed = Sockets { listening: Some([80].into()), ..Sockets::default() };
        for sockets in [connected, closed] {
            assert_eq!(sockets.cookie(&ENDS, &segment(1000, 0, &[])), 0);
            assert_eq!(sockets.acknowledged(&ENDS, &segment(1000, 7, &[])), Acknowledged::Other);
        }
    }
}

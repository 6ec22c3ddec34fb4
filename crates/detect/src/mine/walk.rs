//! A sample's features, by the laws of the language: which headers are there, and what they say.
//!
//! The same walk as that of the protocol definitions, as far as the outer packet's transport header, and DNS and NTP
//! behind UDP. A sample shows the beginning of a frame only: what is inside the frame but behind what was captured is
//! [`Cell::Unknown`].

mod transport;

use super::feature::Feature;
use crate::sample::Sample;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use weir_packet::layers::{ethertype, protocol};

/// What a sample says of a feature.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Cell {
    /// The packet has no such field.
    Absent,
    /// The sample does not reach so far.
    Unknown,
    /// Its value.
    Value(u64),
}

/// All features of a sample.
pub(super) struct Row {
    pub(super) src: IpAddr,
    pub(super) dst: IpAddr,
    /// By [`Feature::index`].
    pub(super) cells: [Cell; Feature::COUNT],
}

/// Tags and labels that can follow each other (`vlan.weir`, `mpls.weir`), and extension headers (`ip6.weir`).
const STACK: usize = 4;
const EXTENSIONS: usize = 6;
/// `mpls.weir`.
const MPLS: [u16; 2] = [0x8847, 0x8848];

/// The features of a sample; `None` if it does not show an IP header.
pub(super) fn features(sample: &Sample) -> Option<Row> {
    let bytes = sample.header;
    let length = bytes.len().max(sample.frame_len as usize);
    let (at, version) = network(bytes)?;
    let (src, dst) = match version {
        4 => (address4(bytes, at + 12)?, address4(bytes, at + 16)?),
        _ => (address6(bytes, at + 8)?, address6(bytes, at + 24)?),
    };
    let row = Row { src, dst, cells: [Cell::Absent; Feature::COUNT] };
    let mut walk = Walk { bytes, length, row };
    walk.set(Feature::FrameLen, length as u64);
    match version {
        4 => walk.ip4(at)?,
        _ => walk.ip6(at)?,
    }
    Some(walk.row)
}

/// Where the first IP header is, and its version.
fn network(bytes: &[u8]) -> Option<(usize, u8)> {
    let mut kind = u16_at(bytes, 12)?;
    let (mut at, mut tags) = (14, 0);
    while matches!(kind, ethertype::VLAN | ethertype::QINQ | ethertype::OLD_QINQ) {
        tags += 1;
        if tags > STACK {
            return None;
        }
        kind = u16_at(bytes, at + 2)?;
        at += 4;
    }
    match kind {
        ethertype::IPV4 => Some((at, 4)),
        ethertype::IPV6 => Some((at, 6)),
        _ if MPLS.contains(&kind) => behind_labels(bytes, at),
        _ => None,
    }
}

fn behind_labels(bytes: &[u8], at: usize) -> Option<(usize, u8)> {
    let bottom = (0..STACK).find(|label| bytes.get(at + label * 4 + 2).is_some_and(|byte| byte & 1 == 1))?;
    let at = at + bottom * 4 + 4;
    match bytes.get(at)? >> 4 {
        version @ (4 | 6) => Some((at, version)),
        _ => None,
    }
}

struct Walk<'a> {
    bytes: &'a [u8],
    /// Of the whole frame.
    length: usize,
    row: Row,
}

/// Whether bytes are there.
#[derive(PartialEq, Eq)]
enum Reach {
    Captured,
    /// Inside the frame, not in the sample.
    Beyond,
    /// Behind the frame's end.
    Outside,
}

impl Walk<'_> {
    fn reach(&self, end: usize) -> Reach {
        match () {
            () if end > self.length => Reach::Outside,
            () if end > self.bytes.len() => Reach::Beyond,
            () => Reach::Captured,
        }
    }

    fn set(&mut self, feature: Feature, value: u64) {
        self.row.cells[feature.index()] = Cell::Value(value);
    }

    /// Sets a feature to `size` bytes at `at`, which are a slice of a payload.
    fn slice(&mut self, feature: Feature, at: usize, size: usize) {
        self.row.cells[feature.index()] = match self.reach(at + size) {
            Reach::Outside => Cell::Absent,
            Reach::Beyond => Cell::Unknown,
            Reach::Captured => Cell::Value(self.number(at, size)),
        };
    }

    /// What stands in bytes that were captured.
    fn number(&self, at: usize, size: usize) -> u64 {
        self.bytes[at..at + size].iter().fold(0, |value, &byte| value << 8 | u64::from(byte))
    }

    /// The transport header is not in the sample, and nothing is known of it.
    fn lose(&mut self) {
        let behind = |feature: &&Feature| feature.transport().is_some() || **feature == Feature::Transport;
        for feature in Feature::ALL.iter().filter(behind) {
            self.row.cells[feature.index()] = Cell::Unknown;
        }
    }

    /// Nor is it known whether a fragment header follows, unless one was there.
    fn lose_all(&mut self, extended: bool) {
        let fragment = [Feature::FragOffset6, Feature::MoreFrags6].map(Feature::index);
        if extended && self.row.cells[fragment[0]] == Cell::Absent {
            fragment.into_iter().for_each(|index| self.row.cells[index] = Cell::Unknown);
        }
        self.lose();
    }

    fn ip4(&mut self, at: usize) -> Option<()> {
        let header: &[u8; 20] = self.bytes.get(at..)?.first_chunk()?;
        let header_len = usize::from(header[0] & 15) * 4;
        if header[0] >> 4 != 4 || header_len < 20 || self.reach(at + header_len) == Reach::Outside {
            return None;
        }
        let (proto, fragment) = (header[9], u64::from(u16::from_be_bytes([header[6], header[7]])));
        self.set(Feature::Dsfield, self.number(at + 1, 1));
        self.set(Feature::IpLen, self.number(at + 2, 2));
        self.set(Feature::IpId, self.number(at + 4, 2));
        self.set(Feature::DontFragment, fragment >> 14 & 1);
        self.set(Feature::MoreFrags4, fragment >> 13 & 1);
        self.set(Feature::FragOffset4, (fragment & 0x1fff) * 8);
        self.set(Feature::Ttl, self.number(at + 8, 1));
        self.set(Feature::Proto4, u64::from(proto));
        self.set(Feature::Source4, self.number(at + 12, 4));
        if fragment & 0x1fff == 0 {
            self.follow(proto, at + header_len, false);
        }
        Some(())
    }

    fn ip6(&mut self, at: usize) -> Option<()> {
        let header: &[u8; 40] = self.bytes.get(at..)?.first_chunk()?;
        if header[0] >> 4 != 6 {
            return None;
        }
        let next = header[6];
        self.set(Feature::Dsfield, self.number(at, 2) >> 4 & 0xff);
        self.set(Feature::IpLen, self.number(at + 4, 2) + 40);
        self.set(Feature::Proto6, u64::from(next));
        self.set(Feature::Ttl, self.number(at + 7, 1));
        self.set(Feature::Source6, self.number(at + 8, 8));
        self.follow(next, at + 40, true);
        Some(())
    }

    /// What follows an IP header. `extended`: numbers of IPv6 extension headers mean these; they do behind an IPv6
    /// header, behind each other, and behind AH.
    fn follow(&mut self, mut number: u8, mut at: usize, mut extended: bool) {
        let (mut extensions, mut authenticated) = (0, false);
        loop {
            let (fixed, unit) = match number {
                protocol::HOP_BY_HOP | protocol::DESTINATION | protocol::ROUTING | protocol::FRAGMENT
                    if extended && extensions < EXTENSIONS =>
                {
                    extensions += 1;
                    (8, 8)
                }
                protocol::AUTHENTICATION if !authenticated => {
                    (authenticated, extended) = (true, true);
                    (12, 4)
                }
                protocol::ICMPV6 if extended => return self.icmpv6(at),
                protocol::TCP => return self.tcp(at),
                protocol::UDP => return self.udp(at),
                protocol::ICMP => return self.icmp(at),
                _ => return,
            };
            match self.reach(at + fixed) {
                Reach::Outside => return,
                Reach::Beyond => return self.lose_all(extended),
                Reach::Captured => {}
            }
            let length = match number {
                protocol::FRAGMENT => 8,
                _ => usize::from(self.bytes[at + 1]) * unit + 8,
            };
            if length < fixed || self.reach(at + length) == Reach::Outside {
                return;
            }
            if number == protocol::FRAGMENT && self.fragment6(at) {
                return;
            }
            number = self.bytes[at];
            at += length;
        }
    }

    /// Whether it is of a later fragment, which carries nothing. The first of several counts.
    fn fragment6(&mut self, at: usize) -> bool {
        let word = self.number(at + 2, 2);
        if self.row.cells[Feature::FragOffset6.index()] == Cell::Absent {
            self.set(Feature::FragOffset6, (word >> 3) * 8);
            self.set(Feature::MoreFrags6, word & 1);
        }
        word >> 3 != 0
    }

    /// Whether all of a header of a fixed length is captured; says what that means if it is not.
    fn enter(&mut self, at: usize, fixed: usize) -> bool {
        let reach = self.reach(at + fixed);
        if reach == Reach::Beyond {
            self.lose();
        }
        reach == Reach::Captured
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|two| u16::from_be_bytes(*two))
}

fn address4(bytes: &[u8], at: usize) -> Option<IpAddr> {
    bytes.get(at..)?.first_chunk::<4>().map(|octets| Ipv4Addr::from(*octets).into())
}

fn address6(bytes: &[u8], at: usize) -> Option<IpAddr> {
    bytes.get(at..)?.first_chunk::<16>().map(|octets| Ipv6Addr::from(*octets).into())
}

#[cfg(test)]
mod tests;

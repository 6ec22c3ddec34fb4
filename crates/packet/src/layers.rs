//! Where the headers of a frame are: the shallow walk that checksums, views and counters share.
//!
//! It answers "where", for the protocols that every network has. Meaning, and protocols from
//! definition files, are the compiler's business. Nothing is read past the frame, whatever the
//! lengths inside it claim.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

/// EtherTypes of this page.
pub mod ethertype {
    /// IPv4.
    pub const IPV4: u16 = 0x0800;
    /// ARP.
    pub const ARP: u16 = 0x0806;
    /// Transparent Ethernet bridging: Ethernet in GRE.
    pub const TEB: u16 = 0x6558;
    /// 802.1Q, the customer's tag.
    pub const VLAN: u16 = 0x8100;
    /// IPv6.
    pub const IPV6: u16 = 0x86dd;
    /// 802.1ad, the service tag.
    pub const QINQ: u16 = 0x88a8;
    /// The tag of older double tagging.
    pub const OLD_QINQ: u16 = 0x9100;
}

/// Internet protocol numbers of this page.
pub mod protocol {
    /// IPv6 hop-by-hop options.
    pub const HOP_BY_HOP: u8 = 0;
    /// ICMP.
    pub const ICMP: u8 = 1;
    /// IPv4 in IP.
    pub const IPIP: u8 = 4;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// IPv6 in IP.
    pub const IPV6: u8 = 41;
    /// IPv6 routing header.
    pub const ROUTING: u8 = 43;
    /// IPv6 fragment header.
    pub const FRAGMENT: u8 = 44;
    /// GRE.
    pub const GRE: u8 = 47;
    /// IPsec authentication header.
    pub const AUTHENTICATION: u8 = 51;
    /// ICMPv6.
    pub const ICMPV6: u8 = 58;
    /// Nothing follows.
    pub const NONE: u8 = 59;
    /// IPv6 destination options.
    pub const DESTINATION: u8 = 60;
    /// Ethernet in IP (SRv6).
    pub const ETHERNET: u8 = 143;
}

/// Tags and extension headers beyond this many are left unread, as a program in the kernel must.
const MAX_TAGS: usize = 8;
const MAX_EXTENSIONS: usize = 8;

/// An IP header, and where its payload is. Offsets are from the start of the frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ip {
    /// Where the header starts.
    pub offset: usize,
    /// Source address.
    pub src: IpAddr,
    /// Destination address, as in the header.
    pub dst: IpAddr,
    /// Where a segment routing header will send it in the end, else `dst`: what checksums cover.
    pub final_dst: IpAddr,
    /// The protocol of the payload, past extension headers.
    pub protocol: u8,
    /// The payload: to the end that the header claims, or to that of the frame if it is earlier.
    pub payload: Range<usize>,
    /// Whether the frame ends before the header says that the packet does.
    pub cut: bool,
    /// Whether and which part of a fragmented packet it is.
    pub fragment: Fragment,
}

/// The place of a packet among its fragments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fragment {
    /// Not fragmented.
    Whole,
    /// The first one: it has the transport header, but not all of the payload.
    First,
    /// A later one, with its offset in bytes: there is no transport header.
    Later(u16),
}

/// An Ethernet frame down to its first IP header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layers {
    /// VLAN identifiers, outer first.
    pub vlans: Vec<u16>,
    /// The EtherType after the tags.
    pub ethertype: u16,
    /// Where what the EtherType names starts.
    pub network: usize,
    /// The IP header, if there is a whole one.
    pub ip: Option<Ip>,
}

impl Layers {
    /// Walks an Ethernet frame; `None` when it is shorter than its Ethernet header.
    pub fn of(frame: &[u8]) -> Option<Layers> {
        let mut ethertype = u16_at(frame, 12)?;
        let mut network = 14;
        let mut vlans = Vec::new();
        while vlans.len() < MAX_TAGS && is_tag(ethertype) {
            let (Some(tag), Some(next)) = (u16_at(frame, network), u16_at(frame, network + 2)) else {
                break;
            };
            vlans.push(tag & 0x0fff);
            ethertype = next;
            network += 4;
        }
        let ip = match ethertype {
            ethertype::IPV4 => Ip::v4(frame, network),
            ethertype::IPV6 => Ip::v6(frame, network),
            _ => None,
        };
        Some(Layers { vlans, ethertype, network, ip })
    }
}

impl Ip {
    /// The IPv4 header at `offset`, if all of it is there.
    pub fn v4(frame: &[u8], offset: usize) -> Option<Ip> {
        let header = frame.get(offset..)?.first_chunk::<20>()?;
        let header_len = usize::from(header[0] & 0x0f) * 4;
        if header[0] >> 4 != 4 || header_len < 20 || frame.len() < offset + header_len {
            return None;
        }
        // A total length of 0 is what segmentation offload leaves in captures: to the end.
        let claimed = match usize::from(u16::from_be_bytes([header[2], header[3]])) {
            0 => frame.len() - offset,
            total => total.max(header_len),
        };
        let flags = u16::from_be_bytes([header[6], header[7]]);
        let dst = Ipv4Addr::new(header[16], header[17], header[18], header[19]).into();
        Some(Ip {
            offset,
            src: Ipv4Addr::new(header[12], header[13], header[14], header[15]).into(),
            dst,
            final_dst: dst,
            protocol: header[9],
            payload: offset + header_len..frame.len().min(offset + claimed),
            cut: frame.len() < offset + claimed,
            fragment: fragment(flags & 0x1fff, flags & 0x2000 != 0),
        })
    }

    /// The IPv6 header at `offset` and its extension headers.
    pub fn v6(frame: &[u8], offset: usize) -> Option<Ip> {
        let header = frame.get(offset..)?.first_chunk::<40>()?;
        if header[0] >> 4 != 6 {
            return None;
        }
        let claimed = match usize::from(u16::from_be_bytes([header[4], header[5]])) {
            // A jumbogram, or segmentation offload.
            0 => frame.len() - offset - 40,
            length => length,
        };
        let dst = IpAddr::V6(address6(header, 24)?);
        let mut ip = Ip {
            offset,
            src: address6(header, 8)?.into(),
            dst,
            final_dst: dst,
            protocol: header[6],
            payload: offset + 40..frame.len().min(offset + 40 + claimed),
            cut: frame.len() < offset + 40 + claimed,
            fragment: Fragment::Whole,
        };
        for _ in 0..MAX_EXTENSIONS {
            if !ip.extension(frame) {
                break;
            }
        }
        Some(ip)
    }

    /// Steps over one extension header; false when there is none, or not all of it.
    fn extension(&mut self, frame: &[u8]) -> bool {
        let Some(rest) = frame.get(self.payload.clone()) else {
            return false;
        };
        let &[next, units, ..] = rest else {
            return false;
        };
        let length = match self.protocol {
            protocol::HOP_BY_HOP | protocol::DESTINATION | protocol::ROUTING => 8 + usize::from(units) * 8,
            protocol::AUTHENTICATION => 8 + usize::from(units) * 4,
            protocol::FRAGMENT => 8,
            _ => return false,
        };
        let Some(header) = rest.get(..length) else {
            return false;
        };
        match self.protocol {
            protocol::ROUTING => self.routing(header),
            protocol::FRAGMENT => {
                let word = u16::from_be_bytes([header[2], header[3]]);
                self.fragment = fragment(word >> 3, word & 1 != 0);
            }
            _ => {}
        }
        self.protocol = next;
        self.payload.start += length;
        // A later fragment starts in the middle: what `next` names is not at its start.
        !matches!(self.fragment, Fragment::Later(_))
    }

    /// RFC 8754: the segment list is in reverse, so the last one to visit stands first. Type 0 and
    /// 2 (RFC 2460, 6275) list them in order.
    fn routing(&mut self, header: &[u8]) {
        let (kind, left) = (header[2], header[3]);
        let at = match kind {
            _ if left == 0 => return,
            4 => 8,
            0 | 2 => header.len().saturating_sub(16).max(8),
            _ => return,
        };
        if let Some(last) = address6(header, at) {
            self.final_dst = last.into();
        }
    }

    /// The payload where a transport header starts it: not that of a later fragment.
    pub fn transport(&self) -> Option<Range<usize>> {
        match self.fragment {
            Fragment::Later(_) => None,
            Fragment::Whole | Fragment::First => Some(self.payload.clone()),
        }
    }
}

/// Whether the EtherType is that of a VLAN tag.
pub(crate) fn is_tag(ethertype: u16) -> bool {
    matches!(ethertype, ethertype::VLAN | ethertype::QINQ | ethertype::OLD_QINQ)
}

/// `offset` counts eight bytes.
fn fragment(offset: u16, more: bool) -> Fragment {
    match (offset, more) {
        (0, false) => Fragment::Whole,
        (0, true) => Fragment::First,
        (offset, _) => Fragment::Later(offset * 8),
    }
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|word| u16::from_be_bytes(*word))
}

fn address6(bytes: &[u8], at: usize) -> Option<Ipv6Addr> {
    bytes.get(at..)?.first_chunk::<16>().map(|octets| Ipv6Addr::from(*octets))
}

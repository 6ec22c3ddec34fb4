//! IPv4 with options, IPv6 with extension headers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Around, Layer, length};
use crate::checksum::internet;
use crate::layers::protocol;

/// An IPv4 header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ipv4 {
    src: Ipv4Addr,
    dst: Ipv4Addr,
    tos: u8,
    id: u16,
    ttl: u8,
    flags_offset: u16,
    protocol: Option<u8>,
    options: Vec<u8>,
}

impl Ipv4 {
    /// From one address to another, with a time to live of 64 and "don't fragment".
    pub fn new(src: impl Into<Ipv4Addr>, dst: impl Into<Ipv4Addr>) -> Ipv4 {
        Ipv4 {
            src: src.into(),
            dst: dst.into(),
            tos: 0,
            id: 0,
            ttl: 64,
            flags_offset: 0x4000,
            protocol: None,
            options: Vec::new(),
        }
    }

    /// Time to live.
    #[must_use]
    pub fn ttl(mut self, ttl: u8) -> Ipv4 {
        self.ttl = ttl;
        self
    }

    /// Differentiated services and ECN.
    #[must_use]
    pub fn tos(mut self, tos: u8) -> Ipv4 {
        self.tos = tos;
        self
    }

    /// Identification.
    #[must_use]
    pub fn id(mut self, id: u16) -> Ipv4 {
        self.id = id;
        self
    }

    /// Whether routers may not fragment it.
    #[must_use]
    pub fn dont_fragment(mut self, set: bool) -> Ipv4 {
        self.flags_offset = self.flags_offset & !0x4000 | if set { 0x4000 } else { 0 };
        self
    }

    /// A fragment: its offset in bytes (a multiple of eight) and whether more follow. A later one
    /// carries a payload and no transport layer; say what it is part of by [`Ipv4::protocol`].
    #[must_use]
    pub fn fragment(mut self, offset: u16, more: bool) -> Ipv4 {
        self.flags_offset = (offset / 8) | if more { 0x2000 } else { 0 };
        self
    }

    /// Instead of that of the next layer.
    #[must_use]
    pub fn protocol(mut self, protocol: u8) -> Ipv4 {
        self.protocol = Some(protocol);
        self
    }

    /// Options: zeros fill them up to a multiple of four, and what is beyond 40 bytes is cut off.
    #[must_use]
    pub fn options(mut self, options: impl AsRef<[u8]>) -> Ipv4 {
        self.options = options.as_ref().to_vec();
        self.options.resize(self.options.len().next_multiple_of(4).min(40), 0);
        self
    }

    pub(super) fn addresses(&self) -> (IpAddr, IpAddr) {
        (self.src.into(), self.dst.into())
    }

    pub(super) fn header(&self, around: Around<'_>, body: usize) -> Vec<u8> {
        let header_len = 20 + self.options.len();
        let mut header = Vec::with_capacity(header_len + body);
        header.extend_from_slice(&[0x40 | (header_len / 4) as u8, self.tos]);
        header.extend_from_slice(&length(header_len + body));
        header.extend_from_slice(&self.id.to_be_bytes());
        header.extend_from_slice(&self.flags_offset.to_be_bytes());
        let protocol = self.protocol.unwrap_or_else(|| protocol_of(around.next));
        header.extend_from_slice(&[self.ttl, protocol, 0, 0]);
        header.extend_from_slice(&self.src.octets());
        header.extend_from_slice(&self.dst.octets());
        header.extend_from_slice(&self.options);
        let checksum = internet(&header);
        header[10..12].copy_from_slice(&checksum.to_be_bytes());
        header
    }
}

/// An IPv6 extension header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extension {
    /// Hop-by-hop options: type-length-values, filled up with padding options.
    HopByHop(Vec<u8>),
    /// Destination options, likewise.
    Destination(Vec<u8>),
    /// A segment routing header (RFC 8754). The packet is on its way to the first segment, which
    /// must be the destination of the IPv6 header.
    SegmentRouting(Vec<Ipv6Addr>),
    /// A fragment: offset in bytes (a multiple of eight), whether more follow, identification.
    Fragment {
        /// Offset in bytes.
        offset: u16,
        /// Whether more follow.
        more: bool,
        /// The same in all of them.
        id: u32,
    },
}

/// An IPv6 header and its extension headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ipv6 {
    src: Ipv6Addr,
    dst: Ipv6Addr,
    traffic_class: u8,
    flow_label: u32,
    hop_limit: u8,
    protocol: Option<u8>,
    extensions: Vec<Extension>,
}

impl Ipv6 {
    /// From one address to another, with a hop limit of 64.
    pub fn new(src: impl Into<Ipv6Addr>, dst: impl Into<Ipv6Addr>) -> Ipv6 {
        Ipv6 {
            src: src.into(),
            dst: dst.into(),
            traffic_class: 0,
            flow_label: 0,
            hop_limit: 64,
            protocol: None,
            extensions: Vec::new(),
        }
    }

    /// Hop limit.
    #[must_use]
    pub fn hop_limit(mut self, hop_limit: u8) -> Ipv6 {
        self.hop_limit = hop_limit;
        self
    }

    /// Differentiated services and ECN.
    #[must_use]
    pub fn traffic_class(mut self, traffic_class: u8) -> Ipv6 {
        self.traffic_class = traffic_class;
        self
    }

    /// The flow label, of 20 bits.
    #[must_use]
    pub fn flow_label(mut self, flow_label: u32) -> Ipv6 {
        self.flow_label = flow_label & 0x000f_ffff;
        self
    }

    /// Instead of that of the next layer, at the end of the extension headers.
    #[must_use]
    pub fn protocol(mut self, protocol: u8) -> Ipv6 {
        self.protocol = Some(protocol);
        self
    }

    /// Adds an extension header behind those that are there.
    #[must_use]
    pub fn extension(mut self, extension: Extension) -> Ipv6 {
        self.extensions.push(extension);
        self
    }

    /// Those that a transport checksum covers: with segments, the destination is the last of them.
    pub(super) fn addresses(&self) -> (IpAddr, IpAddr) {
        let last = self.extensions.iter().find_map(|extension| match extension {
            Extension::SegmentRouting(segments) => segments.last(),
            _ => None,
        });
        (self.src.into(), (*last.unwrap_or(&self.dst)).into())
    }

    pub(super) fn header(&self, around: Around<'_>, body: usize) -> Vec<u8> {
        let mut next = self.protocol.unwrap_or_else(|| protocol_of(around.next));
        let mut extensions = Vec::new();
        for extension in self.extensions.iter().rev() {
            let mut header = extension.header(next);
            header.append(&mut extensions);
            extensions = header;
            next = extension.number();
        }
        let word = 6 << 28 | u32::from(self.traffic_class) << 20 | self.flow_label;
        let mut header = Vec::with_capacity(40 + extensions.len() + body);
        header.extend_from_slice(&word.to_be_bytes());
        header.extend_from_slice(&length(extensions.len() + body));
        header.extend_from_slice(&[next, self.hop_limit]);
        header.extend_from_slice(&self.src.octets());
        header.extend_from_slice(&self.dst.octets());
        header.append(&mut extensions);
        header
    }
}

impl Extension {
    fn number(&self) -> u8 {
        match self {
            Extension::HopByHop(_) => protocol::HOP_BY_HOP,
            Extension::Destination(_) => protocol::DESTINATION,
            Extension::SegmentRouting(_) => protocol::ROUTING,
            Extension::Fragment { .. } => protocol::FRAGMENT,
        }
    }

    fn header(&self, next: u8) -> Vec<u8> {
        match self {
            Extension::HopByHop(options) | Extension::Destination(options) => option_header(next, options),
            Extension::SegmentRouting(segments) => segment_header(next, segments),
            Extension::Fragment { offset, more, id } => {
                let word = offset & 0xfff8 | u16::from(*more);
                [&[next, 0], &word.to_be_bytes()[..], &id.to_be_bytes()].concat()
            }
        }
    }
}

fn option_header(next: u8, options: &[u8]) -> Vec<u8> {
    // The length counts eight bytes beyond the first eight, in one byte.
    let options = &options[..options.len().min(2046)];
    let total = (2 + options.len()).next_multiple_of(8);
    let mut header = vec![next, (total / 8 - 1) as u8];
    header.extend_from_slice(options);
    match total - header.len() {
        0 => {}
        1 => header.push(0),
        padding => {
            header.extend_from_slice(&[1, (padding - 2) as u8]);
            header.resize(total, 0);
        }
    }
    header
}

fn segment_header(next: u8, segments: &[Ipv6Addr]) -> Vec<u8> {
    let segments = &segments[..segments.len().min(127)];
    let last = segments.len().saturating_sub(1) as u8;
    let mut header = vec![next, segments.len() as u8 * 2, 4, last, last, 0, 0, 0];
    for segment in segments.iter().rev() {
        header.extend_from_slice(&segment.octets());
    }
    header
}

/// The protocol that names a layer inside of IP. A payload alone gets the first number for
/// experiments (RFC 3692).
fn protocol_of(layer: Option<&Layer>) -> u8 {
    match layer {
        Some(Layer::Udp(_)) => protocol::UDP,
        Some(Layer::Tcp(_)) => protocol::TCP,
        Some(Layer::Icmp(_)) => protocol::ICMP,
        Some(Layer::Icmpv6(_)) => protocol::ICMPV6,
        Some(Layer::Ipv4(_)) => protocol::IPIP,
        Some(Layer::Ipv6(_)) => protocol::IPV6,
        Some(Layer::Gre(_)) => protocol::GRE,
        Some(Layer::Ethernet(_)) => protocol::ETHERNET,
        _ => 253,
    }
}

//! UDP, TCP, ICMP, ICMPv6.

use std::net::IpAddr;
use std::ops::BitOr;

use super::{Around, length};
use crate::checksum::Sum;
use crate::layers::protocol;

/// A UDP header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Udp {
    srcport: u16,
    dstport: u16,
    checksum: UdpChecksum,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UdpChecksum {
    Computed,
    Unused,
}

impl Udp {
    /// From one port to another.
    pub fn new(srcport: u16, dstport: u16) -> Udp {
        Udp { srcport, dstport, checksum: UdpChecksum::Computed }
    }

    /// Sends zero instead of a checksum, as IPv4 allows.
    #[must_use]
    pub fn without_checksum(mut self) -> Udp {
        self.checksum = UdpChecksum::Unused;
        self
    }

    pub(super) fn header(&self, around: Around<'_>, body: &[u8]) -> Vec<u8> {
        let mut header = Vec::with_capacity(8 + body.len());
        header.extend_from_slice(&self.srcport.to_be_bytes());
        header.extend_from_slice(&self.dstport.to_be_bytes());
        header.extend_from_slice(&length(8 + body.len()));
        header.extend_from_slice(&[0, 0]);
        if self.checksum == UdpChecksum::Computed {
            let checksum = match checksum(around, protocol::UDP, &header, body) {
                0 => 0xffff,
                checksum => checksum,
            };
            header[6..8].copy_from_slice(&checksum.to_be_bytes());
        }
        header
    }
}

/// The flags of TCP, as a set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TcpFlags(u16);

impl TcpFlags {
    /// No more data.
    pub const FIN: TcpFlags = TcpFlags(0x01);
    /// Synchronise sequence numbers.
    pub const SYN: TcpFlags = TcpFlags(0x02);
    /// Reset.
    pub const RST: TcpFlags = TcpFlags(0x04);
    /// Push.
    pub const PSH: TcpFlags = TcpFlags(0x08);
    /// The acknowledgement counts.
    pub const ACK: TcpFlags = TcpFlags(0x10);
    /// The urgent pointer counts.
    pub const URG: TcpFlags = TcpFlags(0x20);
    /// Congestion was met.
    pub const ECE: TcpFlags = TcpFlags(0x40);
    /// The congestion window was reduced.
    pub const CWR: TcpFlags = TcpFlags(0x80);
    /// Accurate ECN.
    pub const AE: TcpFlags = TcpFlags(0x100);

    /// The bits as in the header, `FIN` lowest.
    pub fn bits(self) -> u16 {
        self.0
    }

    /// From the bits of a header; those beyond the nine flags are dropped.
    pub fn from_bits(bits: u16) -> TcpFlags {
        TcpFlags(bits & 0x01ff)
    }

    /// Whether all of `flags` are set.
    pub fn contain(self, flags: TcpFlags) -> bool {
        self.0 & flags.0 == flags.0
    }
}

impl BitOr for TcpFlags {
    type Output = TcpFlags;

    fn bitor(self, other: TcpFlags) -> TcpFlags {
        TcpFlags(self.0 | other.0)
    }
}

/// An option of TCP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TcpOption {
    /// Padding.
    Nop,
    /// Maximum segment size.
    Mss(u16),
    /// The window's shift.
    WindowScale(u8),
    /// Selective acknowledgements are welcome.
    SackPermitted,
    /// Selective acknowledgements, left and right edges.
    Sack(Vec<(u32, u32)>),
    /// Timestamps: the sender's and the echoed one.
    Timestamps(u32, u32),
    /// Any other: its kind and what follows the length.
    Other(u8, Vec<u8>),
}

/// A TCP header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tcp {
    srcport: u16,
    dstport: u16,
    seq: u32,
    ack: u32,
    flags: TcpFlags,
    window: u16,
    urgent: u16,
    options: Vec<TcpOption>,
}

impl Tcp {
    /// A SYN from one port to another.
    pub fn new(srcport: u16, dstport: u16) -> Tcp {
        Tcp {
            srcport,
            dstport,
            seq: 0,
            ack: 0,
            flags: TcpFlags::SYN,
            window: 64240,
            urgent: 0,
            options: Vec::new(),
        }
    }

    /// The flags, instead of those that are there.
    #[must_use]
    pub fn flags(mut self, flags: TcpFlags) -> Tcp {
        self.flags = flags;
        self
    }

    /// Sequence number.
    #[must_use]
    pub fn seq(mut self, seq: u32) -> Tcp {
        self.seq = seq;
        self
    }

    /// Acknowledgement number.
    #[must_use]
    pub fn ack(mut self, ack: u32) -> Tcp {
        self.ack = ack;
        self
    }

    /// Window.
    #[must_use]
    pub fn window(mut self, window: u16) -> Tcp {
        self.window = window;
        self
    }

    /// Urgent pointer.
    #[must_use]
    pub fn urgent(mut self, urgent: u16) -> Tcp {
        self.urgent = urgent;
        self
    }

    /// Adds an option. What does not fit into 40 bytes is left out as a whole.
    #[must_use]
    pub fn option(mut self, option: TcpOption) -> Tcp {
        self.options.push(option);
        self
    }

    pub(super) fn header(&self, around: Around<'_>, body: &[u8]) -> Vec<u8> {
        let options = self.option_bytes();
        let offset = (5 + options.len() / 4) as u16;
        let mut header = Vec::with_capacity(20 + options.len() + body.len());
        header.extend_from_slice(&self.srcport.to_be_bytes());
        header.extend_from_slice(&self.dstport.to_be_bytes());
        header.extend_from_slice(&self.seq.to_be_bytes());
        header.extend_from_slice(&self.ack.to_be_bytes());
        header.extend_from_slice(&(offset << 12 | self.flags.0).to_be_bytes());
        header.extend_from_slice(&self.window.to_be_bytes());
        header.extend_from_slice(&[0, 0]);
        header.extend_from_slice(&self.urgent.to_be_bytes());
        header.extend_from_slice(&options);
        let checksum = checksum(around, protocol::TCP, &header, body);
        header[16..18].copy_from_slice(&checksum.to_be_bytes());
        header
    }

    /// Filled up with "end of options" to a multiple of four.
    fn option_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for option in &self.options {
            let option = option.bytes();
            if bytes.len() + option.len() <= 40 {
                bytes.extend_from_slice(&option);
            }
        }
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }
}

impl TcpOption {
    fn bytes(&self) -> Vec<u8> {
        match self {
            TcpOption::Nop => vec![1],
            TcpOption::Mss(mss) => kind(2, &mss.to_be_bytes()),
            TcpOption::WindowScale(shift) => kind(3, &[*shift]),
            TcpOption::SackPermitted => kind(4, &[]),
            TcpOption::Sack(edges) => {
                let edges = edges.iter().flat_map(|(left, right)| [*left, *right]);
                kind(5, &edges.flat_map(u32::to_be_bytes).collect::<Vec<_>>())
            }
            TcpOption::Timestamps(own, echo) => kind(8, &[own.to_be_bytes(), echo.to_be_bytes()].concat()),
            TcpOption::Other(number, value) => kind(*number, value),
        }
    }
}

fn kind(number: u8, value: &[u8]) -> Vec<u8> {
    let length = u8::try_from(2 + value.len()).unwrap_or(u8::MAX);
    [&[number, length], value].concat()
}

/// An ICMP header: the payload follows its eight bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Icmp {
    kind: u8,
    code: u8,
    rest: [u8; 4],
}

impl Icmp {
    /// Type, code and the four bytes that depend on them.
    pub fn new(kind: u8, code: u8, rest: [u8; 4]) -> Icmp {
        Icmp { kind, code, rest }
    }

    /// An echo request.
    pub fn echo_request(id: u16, seq: u16) -> Icmp {
        Icmp::new(8, 0, two(id, seq))
    }

    /// An echo reply.
    pub fn echo_reply(id: u16, seq: u16) -> Icmp {
        Icmp::new(0, 0, two(id, seq))
    }

    pub(super) fn header(&self, body: &[u8]) -> Vec<u8> {
        let mut header = [&[self.kind, self.code, 0, 0], &self.rest[..]].concat();
        let checksum = Sum::default().bytes(&header).bytes(body).checksum();
        header[2..4].copy_from_slice(&checksum.to_be_bytes());
        header
    }
}

/// An ICMPv6 header: the payload follows its eight bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Icmpv6 {
    kind: u8,
    code: u8,
    rest: [u8; 4],
}

impl Icmpv6 {
    /// Type, code and the four bytes that depend on them.
    pub fn new(kind: u8, code: u8, rest: [u8; 4]) -> Icmpv6 {
        Icmpv6 { kind, code, rest }
    }

    /// An echo request.
    pub fn echo_request(id: u16, seq: u16) -> Icmpv6 {
        Icmpv6::new(128, 0, two(id, seq))
    }

    /// An echo reply.
    pub fn echo_reply(id: u16, seq: u16) -> Icmpv6 {
        Icmpv6::new(129, 0, two(id, seq))
    }

    pub(super) fn header(&self, around: Around<'_>, body: &[u8]) -> Vec<u8> {
        let mut header = [&[self.kind, self.code, 0, 0], &self.rest[..]].concat();
        let checksum = checksum(around, protocol::ICMPV6, &header, body);
        header[2..4].copy_from_slice(&checksum.to_be_bytes());
        header
    }
}

fn two(high: u16, low: u16) -> [u8; 4] {
    (u32::from(high) << 16 | u32::from(low)).to_be_bytes()
}

/// Over the pseudo-header of the IP layer around it; without one there is nothing to add.
fn checksum(around: Around<'_>, protocol: u8, header: &[u8], body: &[u8]) -> u16 {
    let len = (header.len() + body.len()) as u32;
    let pseudo = |(src, dst): (IpAddr, IpAddr)| Sum::default().pseudo_header(src, dst, protocol, len);
    // Headers have even lengths, so the body may follow at once.
    around.addresses.map_or_else(Sum::default, pseudo).bytes(header).bytes(body).checksum()
}

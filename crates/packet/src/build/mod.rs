//! Frames of well-known protocols, with right lengths and checksums, for traffic and tests.
//!
//! ```
//! use weir_packet::build::{Ethernet, Ipv4, Packet, Udp, Vlan};
//!
//! let frame = Packet::new()
//!     .push(Ethernet::default())
//!     .push(Vlan::new(5))
//!     .push(Ipv4::new([10, 0, 0, 1], [10, 0, 0, 2]).ttl(3))
//!     .push(Udp::new(53, 3333))
//!     .payload(b"answer")
//!     .build();
//! assert_eq!(frame.len(), 14 + 4 + 20 + 8 + 6);
//! ```
//!
//! A header names what follows it by itself: the EtherType, the protocol and the lengths come from
//! the layers below, unless a `protocol` or `ethertype` says otherwise. A length that does not fit
//! its 16 bits stands as 65,535.

mod ip;
mod link;
mod transport;
mod tunnel;

use std::net::{IpAddr, SocketAddr};

pub use ip::{Extension, Ipv4, Ipv6};
pub use link::{Arp, ArpOperation, Ethernet, Vlan};
pub use transport::{Icmp, Icmpv6, Tcp, TcpFlags, TcpOption, Udp};
pub use tunnel::{Gre, Vxlan};

/// The UDP port that VXLAN is expected at.
pub const VXLAN_PORT: u16 = 4789;

/// One header of a [`Packet`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layer {
    /// Ethernet; also inside of VXLAN and GRE.
    Ethernet(Ethernet),
    /// 802.1Q or 802.1ad.
    Vlan(Vlan),
    /// ARP for IPv4 over Ethernet.
    Arp(Arp),
    /// IPv4; inside of IP it is IP-in-IP.
    Ipv4(Ipv4),
    /// IPv6 with its extension headers.
    Ipv6(Ipv6),
    /// UDP.
    Udp(Udp),
    /// TCP.
    Tcp(Tcp),
    /// ICMP.
    Icmp(Icmp),
    /// ICMPv6.
    Icmpv6(Icmpv6),
    /// VXLAN.
    Vxlan(Vxlan),
    /// GRE.
    Gre(Gre),
}

/// Layers from the outside in, and a payload.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Packet {
    layers: Vec<Layer>,
    payload: Vec<u8>,
}

/// What a header needs to know about its surroundings.
#[derive(Clone, Copy)]
struct Around<'a> {
    next: Option<&'a Layer>,
    addresses: Option<(IpAddr, IpAddr)>,
}

impl Packet {
    /// Nothing yet.
    pub fn new() -> Packet {
        Packet::default()
    }

    /// Ethernet, IP and UDP between two sockets, which must be of one family.
    pub fn udp(src: SocketAddr, dst: SocketAddr) -> Packet {
        Packet::between(src.ip(), dst.ip()).push(Udp::new(src.port(), dst.port()))
    }

    /// Ethernet, IP and TCP between two sockets, which must be of one family.
    pub fn tcp(src: SocketAddr, dst: SocketAddr, flags: TcpFlags) -> Packet {
        Packet::between(src.ip(), dst.ip()).push(Tcp::new(src.port(), dst.port()).flags(flags))
    }

    /// Ethernet and IP between two addresses. If one is IPv4 and the other not, the IPv4 one is
    /// mapped into IPv6.
    pub fn between(src: IpAddr, dst: IpAddr) -> Packet {
        let packet = Packet::new().push(Ethernet::default());
        match (src, dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => packet.push(Ipv4::new(src, dst)),
            (src, dst) => packet.push(Ipv6::new(mapped(src), mapped(dst))),
        }
    }

    /// Adds a header inside of those that are there.
    #[must_use]
    pub fn push(mut self, layer: impl Into<Layer>) -> Packet {
        self.layers.push(layer.into());
        self
    }

    /// Sets the Ethernet addresses of the outermost Ethernet header.
    #[must_use]
    pub fn macs(mut self, src: crate::Mac, dst: crate::Mac) -> Packet {
        if let Some(Layer::Ethernet(ethernet)) = self.layers.first_mut() {
            *ethernet = Ethernet::new(src, dst);
        }
        self
    }

    /// Sets what follows the last header.
    #[must_use]
    pub fn payload(mut self, payload: impl AsRef<[u8]>) -> Packet {
        self.payload = payload.as_ref().to_vec();
        self
    }

    /// Adds zeros to the payload, or cuts it, until the whole frame has `len` bytes; headers stay.
    #[must_use]
    pub fn padded_to(mut self, len: usize) -> Packet {
        let headers = self.build().len() - self.payload.len();
        self.payload.resize(len.saturating_sub(headers), 0);
        self
    }

    /// The bytes, from the outermost header on.
    pub fn build(&self) -> Vec<u8> {
        let mut body = self.payload.clone();
        for (index, layer) in self.layers.iter().enumerate().rev() {
            let around = Around {
                next: self.layers.get(index + 1),
                addresses: self.layers[..index].iter().rev().find_map(Layer::addresses),
            };
            body = layer.wrap(around, body);
        }
        body
    }
}

impl Layer {
    /// The header of this layer and, behind it, the body.
    fn wrap(&self, around: Around<'_>, body: Vec<u8>) -> Vec<u8> {
        let mut header = match self {
            Layer::Ethernet(ethernet) => ethernet.header(around),
            Layer::Vlan(vlan) => vlan.header(around),
            Layer::Arp(arp) => arp.header(),
            Layer::Ipv4(ip) => ip.header(around, body.len()),
            Layer::Ipv6(ip) => ip.header(around, body.len()),
            Layer::Udp(udp) => udp.header(around, &body),
            Layer::Tcp(tcp) => tcp.header(around, &body),
            Layer::Icmp(icmp) => icmp.header(&body),
            Layer::Icmpv6(icmp) => icmp.header(around, &body),
            Layer::Vxlan(vxlan) => vxlan.header(),
            Layer::Gre(gre) => gre.header(around),
        };
        header.extend_from_slice(&body);
        header
    }

    fn addresses(&self) -> Option<(IpAddr, IpAddr)> {
        match self {
            Layer::Ipv4(ip) => Some(ip.addresses()),
            Layer::Ipv6(ip) => Some(ip.addresses()),
            _ => None,
        }
    }
}

fn mapped(address: IpAddr) -> std::net::Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

/// A length field of 16 bits.
fn length(bytes: usize) -> [u8; 2] {
    u16::try_from(bytes).unwrap_or(u16::MAX).to_be_bytes()
}

macro_rules! layers {
    ($($layer:ident),*) => {$(
        impl From<$layer> for Layer {
            fn from(layer: $layer) -> Layer {
                Layer::$layer(layer)
            }
        }
    )*};
}

layers!(Ethernet, Vlan, Arp, Ipv4, Ipv6, Udp, Tcp, Icmp, Icmpv6, Vxlan, Gre);

//! What comes by on a quiet day: the background that a mitigation must not touch.

use std::net::SocketAddr;

use weir_packet::build::{Icmp, Icmpv6, Packet, Tcp, TcpFlags, TcpOption};

use super::flood::datagram;
use super::template::Template;
use super::{Random, Route, Traffic};
use crate::wire::{Flow, MARK_LEN};

/// A kind of everyday frame. Each is a flow of its own, numbered from the mix's first one on, in
/// the order of [`Kind::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A DNS query, to port 53.
    DnsQuery,
    /// A short DNS answer, from port 53.
    DnsAnswer,
    /// An NTP answer of 48 bytes and its extension, from port 123.
    NtpAnswer,
    /// A TCP SYN to port 443.
    TlsSyn,
    /// A full TCP segment to port 443.
    TlsData,
    /// A bare acknowledgement to port 443.
    TlsAck,
    /// A full QUIC datagram to port 443.
    Quic,
    /// A small datagram between high ports: voice and games.
    Voice,
    /// An echo request.
    Ping,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 9] = [
        Kind::DnsQuery,
        Kind::DnsAnswer,
        Kind::NtpAnswer,
        Kind::TlsSyn,
        Kind::TlsData,
        Kind::TlsAck,
        Kind::Quic,
        Kind::Voice,
        Kind::Ping,
    ];

    /// Its share of a hundred frames.
    fn share(self) -> u32 {
        match self {
            Kind::TlsData => 30,
            Kind::TlsAck => 25,
            Kind::Quic => 20,
            Kind::Voice => 10,
            Kind::DnsQuery | Kind::DnsAnswer | Kind::TlsSyn => 4,
            Kind::Ping => 2,
            Kind::NtpAnswer => 1,
        }
    }

    fn template(self, route: Route, flow: Flow) -> Option<Template> {
        let udp = |src, dst, len, head: &[u8]| datagram(route, src, dst, len, head, flow);
        match self {
            Kind::DnsQuery => udp(40000, 53, 86, b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0"),
            Kind::DnsAnswer => udp(53, 40000, 142, b"\x12\x34\x81\x80\0\x01\0\x01\0\0\0\0"),
            Kind::NtpAnswer => udp(123, 40000, 110, b"\x24\x02\x06\xe7"),
            Kind::Quic => udp(40000, 443, 1292, b"\x40"),
            Kind::Voice => udp(40000, 40002, 214, b"\x80\0"),
            Kind::TlsSyn => {
                let mark = TcpOption::Other(254, vec![0; MARK_LEN]);
                let tcp = Tcp::new(40000, 443).option(TcpOption::Mss(1460));
                let tcp = tcp.option(TcpOption::Nop).option(TcpOption::Nop).option(mark);
                Template::new(&ip(route).push(tcp), flow)
            }
            Kind::TlsData => {
                let tcp = Tcp::new(40000, 443).flags(TcpFlags::PSH | TcpFlags::ACK);
                Template::new(&ip(route).push(tcp).payload(b"\x17\x03\x03").padded_to(1514), flow)
            }
            Kind::TlsAck => {
                let mark = TcpOption::Other(254, vec![0; MARK_LEN]);
                let tcp = Tcp::new(40000, 443).flags(TcpFlags::ACK);
                let tcp = tcp.option(TcpOption::Nop).option(TcpOption::Nop).option(mark);
                Template::new(&ip(route).push(tcp), flow)
            }
            Kind::Ping if route.dst.is_ipv4() => {
                Template::new(&ip(route).push(Icmp::echo_request(1, 1)).payload([0; 56]), flow)
            }
            Kind::Ping => Template::new(&ip(route).push(Icmpv6::echo_request(1, 1)).payload([0; 56]), flow),
        }
    }
}

/// A mix of all kinds, from a number of clients that stay the same.
#[derive(Debug, Clone)]
pub struct Everyday {
    templates: Vec<(Kind, Template)>,
    /// An entry a frame of a hundred: the index of its kind.
    lot: Vec<usize>,
    clients: Vec<SocketAddr>,
    random: Random,
}

impl Everyday {
    /// `clients` random addresses (at least one) talk to the route's destination.
    pub fn new(route: Route, clients: u32, seed: u64, first: Flow) -> Everyday {
        let mut random = Random::new(seed);
        let client = |random: &mut Random| SocketAddr::new(random.address(route.dst), random.port());
        let clients = (0..clients.max(1)).map(|_| client(&mut random)).collect();
        let templates: Vec<_> = Kind::ALL
            .iter()
            .filter_map(|kind| Some((*kind, kind.template(route, flow_of(first, *kind))?)))
            .collect();
        let shares = templates.iter().enumerate();
        let lot =
            shares.flat_map(|(index, (kind, _))| std::iter::repeat_n(index, kind.share() as usize)).collect();
        Everyday { templates, lot, clients, random }
    }

    /// The flow of a kind in a mix that starts at `first`.
    pub fn flow(first: Flow, kind: Kind) -> Flow {
        flow_of(first, kind)
    }
}

impl Traffic for Everyday {
    fn next(&mut self, frame: &mut Vec<u8>) -> Option<Flow> {
        let drawn = self.random.below(self.lot.len() as u32) as usize;
        let client = self.clients[self.random.below(self.clients.len() as u32) as usize];
        let (kind, template) = self.templates.get_mut(*self.lot.get(drawn)?)?;
        template.set_src(client.ip());
        match kind {
            Kind::DnsAnswer | Kind::NtpAnswer => template.set_dstport(client.port()),
            Kind::Ping => {}
            _ => template.set_srcport(client.port()),
        }
        Some(template.emit(frame))
    }
}

fn ip(route: Route) -> Packet {
    Packet::between(route.src, route.dst).macs(route.src_mac, route.dst_mac)
}

fn flow_of(first: Flow, kind: Kind) -> Flow {
    let index = Kind::ALL.iter().position(|other| *other == kind).unwrap_or(0);
    Flow(first.0.wrapping_add(index as u32))
}

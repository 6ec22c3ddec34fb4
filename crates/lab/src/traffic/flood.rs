//! Floods, and the plain steady stream that everything is measured with.

use std::net::{IpAddr, SocketAddr};

use weir_packet::build::{Packet, Tcp, TcpOption};

use super::template::Template;
use super::{Random, Route, Traffic};
use crate::wire::{Flow, MARK_LEN};

/// UDP datagrams of one length between two sockets: one flow.
#[derive(Debug, Clone)]
pub struct Steady {
    template: Option<Template>,
}

impl Steady {
    /// Frames of `frame_len` bytes; too short a length is made long enough, an odd one even.
    pub fn new(route: Route, srcport: u16, dstport: u16, frame_len: usize, flow: Flow) -> Steady {
        Steady { template: datagram(route, srcport, dstport, frame_len, &[], flow) }
    }
}

impl Traffic for Steady {
    fn next(&mut self, frame: &mut Vec<u8>) -> Option<Flow> {
        self.template.as_mut().map(|template| template.emit(frame))
    }
}

/// A service that is abused to answer, at length, somebody who never asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amplifier {
    /// DNS: a response with many answers, from port 53.
    Dns,
    /// NTP: an answer to `monlist`, from port 123.
    Ntp,
    /// memcached: a value, from port 11211.
    Memcached,
    /// SSDP: an answer to a search, from port 1900.
    Ssdp,
    /// CLDAP: a search result, from port 389.
    Cldap,
}

impl Amplifier {
    /// The port that its answers come from.
    pub fn port(self) -> u16 {
        match self {
            Amplifier::Dns => 53,
            Amplifier::Ntp => 123,
            Amplifier::Memcached => 11211,
            Amplifier::Ssdp => 1900,
            Amplifier::Cldap => 389,
        }
    }

    /// How an answer of it starts; zeros follow.
    fn head(self) -> &'static [u8] {
        match self {
            // Response, recursion available; one question, twenty answers; root, type ANY.
            Amplifier::Dns => b"\x12\x34\x81\x80\0\x01\0\x14\0\0\0\0\0\0\xff\0\x01",
            // Response, version 2, mode 7; XNTPD, MON_GETLIST_1; six items of 72 bytes.
            Amplifier::Ntp => b"\xd7\0\x03\x2a\0\x06\0\x48",
            Amplifier::Memcached => b"\0\0\0\0\0\x01\0\0VALUE a 0 1400\r\n",
            Amplifier::Ssdp => b"HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=120\r\n",
            // An LDAP message with a search result entry.
            Amplifier::Cldap => b"\x30\x84\0\0\x05\x64\x02\x01\x07\x64\x84\0\0\x05\x5b",
        }
    }
}

/// Large UDP answers from many reflectors to random ports of one victim.
#[derive(Debug, Clone)]
pub struct Reflection {
    template: Option<Template>,
    sources: Vec<IpAddr>,
    random: Random,
}

impl Reflection {
    /// `sources` reflectors (at least one) send frames of `frame_len` bytes to the route's
    /// destination.
    pub fn new(
        route: Route,
        amplifier: Amplifier,
        sources: u32,
        frame_len: usize,
        seed: u64,
        flow: Flow,
    ) -> Reflection {
        let mut random = Random::new(seed);
        let sources = (0..sources.max(1)).map(|_| random.address(route.dst)).collect();
        let port = amplifier.port();
        let template = datagram(route, port, 1024, frame_len, amplifier.head(), flow);
        Reflection { template, sources, random }
    }

    /// The reflectors' addresses.
    pub fn sources(&self) -> &[IpAddr] {
        &self.sources
    }
}

impl Traffic for Reflection {
    fn next(&mut self, frame: &mut Vec<u8>) -> Option<Flow> {
        let template = self.template.as_mut()?;
        let source = self.random.below(self.sources.len() as u32) as usize;
        template.set_src(self.sources[source]);
        template.set_dstport(self.random.port());
        Some(template.emit(frame))
    }
}

/// SYNs, each from another random address and port, to one service.
///
/// The mark that makes them countable is the last of their options, of the experimental kind 254
/// (RFC 4727): the frames have 82 bytes over IPv4 and 102 over IPv6, and no payload.
#[derive(Debug, Clone)]
pub struct SynFlood {
    template: Option<Template>,
    random: Random,
}

impl SynFlood {
    /// To a port of the route's destination.
    pub fn new(route: Route, dstport: u16, seed: u64, flow: Flow) -> SynFlood {
        let mark = TcpOption::Other(254, vec![0; MARK_LEN]);
        let tcp = Tcp::new(1024, dstport).option(TcpOption::Mss(1460)).option(TcpOption::SackPermitted);
        let tcp = tcp.option(mark);
        let packet = Packet::between(route.src, route.dst).macs(route.src_mac, route.dst_mac);
        SynFlood { template: Template::new(&packet.push(tcp), flow), random: Random::new(seed) }
    }
}

impl Traffic for SynFlood {
    fn next(&mut self, frame: &mut Vec<u8>) -> Option<Flow> {
        let template = self.template.as_mut()?;
        template.set_src(self.random.address(template.family()));
        template.set_srcport(self.random.port());
        template.set_tcp_seq(self.random.bits() as u32);
        Some(template.emit(frame))
    }
}

/// UDP with a payload that starts with `head` and has room for the mark.
pub(super) fn datagram(
    route: Route,
    srcport: u16,
    dstport: u16,
    frame_len: usize,
    head: &[u8],
    flow: Flow,
) -> Option<Template> {
    let (src, dst) = (SocketAddr::new(route.src, srcport), SocketAddr::new(route.dst, dstport));
    let packet = Packet::udp(src, dst).macs(route.src_mac, route.dst_mac);
    let shortest = packet.build().len() + MARK_LEN;
    let payload = packet.payload(head).padded_to(frame_len.max(shortest).next_multiple_of(2));
    Template::new(&payload, flow)
}

//! A frame as one line, for people: live views and listings of captures.
//!
//! ```
//! use weir_packet::build::Packet;
//! use weir_packet::view::View;
//!
//! let packet = Packet::udp("10.0.0.1:53".parse()?, "10.0.0.2:3333".parse()?);
//! let frame = packet.padded_to(1200).build();
//! assert_eq!(View(&frame).to_string(), "10.0.0.1:53 > 10.0.0.2:3333 udp len 1200");
//! # Ok::<(), std::net::AddrParseError>(())
//! ```
//!
//! `len` is that of the whole frame. This is a rendering to look at, not the packet notation of
//! policies, which the compiler owns and can parse back.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::Mac;
use crate::layers::{Fragment, Ip, Layers, ethertype, protocol, u16_at};

/// Headers inside of headers beyond this many are not shown.
const MAX_DEPTH: u8 = 4;

/// Shows an Ethernet frame as one line. Any bytes will do.
#[derive(Debug, Clone, Copy)]
pub struct View<'a>(pub &'a [u8]);

impl fmt::Display for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ethernet(f, self.0, MAX_DEPTH)?;
        write!(f, " len {}", self.0.len())
    }
}

fn ethernet(f: &mut fmt::Formatter<'_>, frame: &[u8], depth: u8) -> fmt::Result {
    let Some(layers) = Layers::of(frame) else {
        return f.write_str("short frame");
    };
    for vlan in &layers.vlans {
        write!(f, "vlan {vlan} ")?;
    }
    match (&layers.ip, layers.ethertype) {
        (Some(found), _) => ip(f, frame, found, depth),
        (None, ethertype::ARP) => arp(f, frame, layers.network),
        (None, ethertype::IPV4) => write!(f, "{} bad ipv4 header", Macs(frame)),
        (None, ethertype::IPV6) => write!(f, "{} bad ipv6 header", Macs(frame)),
        (None, length @ 0..0x0600) => write!(f, "{} 802.3 length {length}", Macs(frame)),
        (None, other) => write!(f, "{} ethertype 0x{other:04x}", Macs(frame)),
    }
}

/// The addresses of an Ethernet header, where no higher ones are known.
struct Macs<'a>(&'a [u8]);

impl fmt::Display for Macs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mac = |at: usize| self.0.get(at..)?.first_chunk().map(|octets| Mac(*octets));
        match (mac(6), mac(0)) {
            (Some(src), Some(dst)) => write!(f, "{src} > {dst}"),
            _ => f.write_str("short frame"),
        }
    }
}

fn arp(f: &mut fmt::Formatter<'_>, frame: &[u8], at: usize) -> fmt::Result {
    let Some(arp) = frame.get(at..).and_then(|arp| arp.first_chunk::<28>()) else {
        return f.write_str("short arp");
    };
    let [.., a, b, c, d] = *arp;
    let target = IpAddr::from([a, b, c, d]);
    let sender = IpAddr::from([arp[14], arp[15], arp[16], arp[17]]);
    let mac = Mac([arp[8], arp[9], arp[10], arp[11], arp[12], arp[13]]);
    match u16::from_be_bytes([arp[6], arp[7]]) {
        1 => write!(f, "arp who has {target} tell {sender}"),
        2 => write!(f, "arp {sender} is at {mac}"),
        other => write!(f, "arp operation {other}"),
    }
}

fn ip(f: &mut fmt::Formatter<'_>, frame: &[u8], ip: &Ip, depth: u8) -> fmt::Result {
    if let Fragment::Later(offset) = ip.fragment {
        return write!(f, "{} > {} {} fragment at {offset}", ip.src, ip.dst, Name(ip.protocol));
    }
    let payload = frame.get(ip.payload.clone()).unwrap_or_default();
    match ip.protocol {
        protocol::UDP => {
            ports(f, ip, payload, "udp")?;
            udp_inside(f, payload, depth)?;
        }
        protocol::TCP => {
            ports(f, ip, payload, "tcp")?;
            tcp_flags(f, payload)?;
        }
        _ => {
            write!(f, "{} > {} {}", ip.src, ip.dst, Name(ip.protocol))?;
            message(f, ip.protocol, payload, depth)?;
        }
    }
    if ip.fragment == Fragment::First {
        f.write_str(" first fragment")?;
    }
    Ok(())
}

fn ports(f: &mut fmt::Formatter<'_>, ip: &Ip, payload: &[u8], name: &str) -> fmt::Result {
    match (u16_at(payload, 0), u16_at(payload, 2)) {
        (Some(src), Some(dst)) => {
            let (src, dst) = (SocketAddr::new(ip.src, src), SocketAddr::new(ip.dst, dst));
            write!(f, "{src} > {dst} {name}")
        }
        _ => write!(f, "{} > {} short {name}", ip.src, ip.dst),
    }
}

/// As tcpdump writes them, `.` being the acknowledgement.
fn tcp_flags(f: &mut fmt::Formatter<'_>, segment: &[u8]) -> fmt::Result {
    const LETTERS: [(u16, char); 9] = [
        (0x02, 'S'),
        (0x01, 'F'),
        (0x04, 'R'),
        (0x08, 'P'),
        (0x20, 'U'),
        (0x40, 'E'),
        (0x80, 'W'),
        (0x100, 'e'),
        (0x10, '.'),
    ];
    let Some(word) = u16_at(segment, 12) else {
        return Ok(());
    };
    f.write_str(" [")?;
    for (bit, letter) in LETTERS {
        if word & bit != 0 {
            write!(f, "{letter}")?;
        }
    }
    f.write_str("]")
}

/// VXLAN is known by its port alone, as Wireshark does.
fn udp_inside(f: &mut fmt::Formatter<'_>, datagram: &[u8], depth: u8) -> fmt::Result {
    let (Some(crate::build::VXLAN_PORT), Some(inner)) = (u16_at(datagram, 2), datagram.get(16..)) else {
        return Ok(());
    };
    let vni = u32::from_be_bytes([0, datagram[12], datagram[13], datagram[14]]);
    write!(f, " vxlan {vni}")?;
    inside(f, depth, |f, depth| ethernet(f, inner, depth))
}

fn message(f: &mut fmt::Formatter<'_>, number: u8, payload: &[u8], depth: u8) -> fmt::Result {
    match number {
        protocol::ICMP | protocol::ICMPV6 => icmp(f, number, payload),
        protocol::IPIP | protocol::IPV6 | protocol::ETHERNET => {
            let ethertype = match number {
                protocol::IPIP => ethertype::IPV4,
                protocol::IPV6 => ethertype::IPV6,
                _ => ethertype::TEB,
            };
            inside(f, depth, |f, depth| carried(f, ethertype, payload, depth))
        }
        protocol::GRE => gre(f, payload, depth),
        _ => Ok(()),
    }
}

fn icmp(f: &mut fmt::Formatter<'_>, number: u8, message: &[u8]) -> fmt::Result {
    let &[kind, code, ..] = message else {
        return f.write_str(" short");
    };
    let name = match (number, kind) {
        (protocol::ICMP, 0) | (protocol::ICMPV6, 129) => "echo reply",
        (protocol::ICMP, 8) | (protocol::ICMPV6, 128) => "echo request",
        (protocol::ICMP, 3) | (protocol::ICMPV6, 1) => "unreachable",
        (protocol::ICMP, 11) | (protocol::ICMPV6, 3) => "time exceeded",
        (protocol::ICMP, 5) | (protocol::ICMPV6, 137) => "redirect",
        (protocol::ICMPV6, 2) => "packet too big",
        (protocol::ICMPV6, 133) => "router solicitation",
        (protocol::ICMPV6, 134) => "router advertisement",
        (protocol::ICMPV6, 135) => "neighbour solicitation",
        (protocol::ICMPV6, 136) => "neighbour advertisement",
        (protocol::ICMPV6, 143) => "multicast listener report",
        _ => return write!(f, " type {kind} code {code}"),
    };
    write!(f, " {name}")?;
    match code {
        0 => Ok(()),
        code => write!(f, " code {code}"),
    }
}

/// flags and version, EtherType, then a word each for checksum, key and sequence if flagged.
fn gre(f: &mut fmt::Formatter<'_>, packet: &[u8], depth: u8) -> fmt::Result {
    let (Some(flags), Some(ethertype)) = (u16_at(packet, 0), u16_at(packet, 2)) else {
        return f.write_str(" short");
    };
    if flags & 7 != 0 {
        return write!(f, " version {}", flags & 7);
    }
    let words = [0x8000, 0x2000, 0x1000].iter().filter(|flag| flags & **flag != 0).count();
    let Some(inner) = packet.get(4 + 4 * words..) else {
        return f.write_str(" short");
    };
    inside(f, depth, |f, depth| carried(f, ethertype, inner, depth))
}

fn carried(f: &mut fmt::Formatter<'_>, ethertype: u16, packet: &[u8], depth: u8) -> fmt::Result {
    let found = match ethertype {
        ethertype::IPV4 => Ip::v4(packet, 0),
        ethertype::IPV6 => Ip::v6(packet, 0),
        ethertype::TEB => return ethernet(f, packet, depth),
        other => return write!(f, "ethertype 0x{other:04x}"),
    };
    match found {
        Some(found) => ip(f, packet, &found, depth),
        None => f.write_str("bad ip header"),
    }
}

fn inside(
    f: &mut fmt::Formatter<'_>,
    depth: u8,
    show: impl FnOnce(&mut fmt::Formatter<'_>, u8) -> fmt::Result,
) -> fmt::Result {
    match depth.checked_sub(1) {
        None => f.write_str(" …"),
        Some(depth) => {
            f.write_str(" | ")?;
            show(f, depth)
        }
    }
}

/// The name of an Internet protocol, or its number.
struct Name(u8);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.0 {
            protocol::ICMP => "icmp",
            2 => "igmp",
            protocol::IPIP => "ipip",
            protocol::TCP => "tcp",
            protocol::UDP => "udp",
            protocol::IPV6 => "ipv6",
            protocol::GRE => "gre",
            50 => "esp",
            protocol::AUTHENTICATION => "ah",
            protocol::ICMPV6 => "icmpv6",
            protocol::NONE => "nothing",
            89 => "ospf",
            112 => "vrrp",
            115 => "l2tp",
            132 => "sctp",
            protocol::ETHERNET => "ethernet",
            other => return write!(f, "protocol {other}"),
        };
        f.write_str(name)
    }
}

//! Packets that rules can tell apart: few values of each field, so that rules meet them.

use crate::bench::{JUDGE, Numbered, SENDERS};
use std::net::{Ipv4Addr, Ipv6Addr};
use weir_lab::traffic::Random;
use weir_packet::Mac;
use weir_packet::build::{
    Ethernet, Extension, Icmp, Icmpv6, Ipv4, Ipv6, Packet, Tcp, TcpFlags, TcpOption, Udp,
};

pub(crate) const V4: [[u8; 4]; 8] = [
    [10, 1, 0, 1],
    [10, 1, 0, 9],
    [10, 2, 3, 4],
    [192, 0, 2, 1],
    [192, 0, 2, 77],
    [198, 51, 100, 7],
    [203, 0, 113, 200],
    [8, 8, 8, 8],
];
pub(crate) const V6: [&str; 6] =
    ["2001:db8:1::1", "2001:db8:1::9", "2001:db8:2::5", "2001:db8:2:3::1", "fd00::1", "2a00:1450::8"];
pub(crate) const PORTS: [u16; 8] = [22, 53, 80, 81, 443, 1000, 5353, 40000];

pub(crate) fn one<T: Copy>(random: &mut Random, from: &[T]) -> T {
    from[random.below(from.len() as u32) as usize]
}

pub(crate) fn chance(random: &mut Random, of: u32) -> bool {
    random.below(of) == 0
}

/// What a rule set may ask of packets.
///
/// No fragment begins at byte 8: the older iptables drops those of TCP by itself, in any rule about TCP.
/// The kernel compares a port with whatever stands at its place in a later fragment (the fast path of
/// `nft_payload`, as of 6.18), unless connection tracking puts fragments together first. So rules that ask for
/// fields of transport headers, and later fragments, do not meet here.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Headers,
    Fragments,
}

/// Packets with numbers from 1 on.
pub(crate) fn random(random: &mut Random, six: bool, kind: Kind, count: u32) -> Vec<Numbered> {
    let frame = |number, random: &mut Random| match six {
        true => v6(random, number, kind),
        false => v4(random, number, kind),
    };
    (1..=count).map(|number| Numbered { six, number, frame: frame(number, random) }).collect()
}

fn ethernet(random: &mut Random) -> Ethernet {
    let everybody = Mac([0xff; 6]);
    let group = Mac([1, 0, 0x5e, 0, 0, 5]);
    let to = if chance(random, 8) { one(random, &[everybody, group]) } else { JUDGE };
    let from = SENDERS[usize::from(chance(random, 4))];
    Ethernet::new(from, to)
}

fn v4(random: &mut Random, number: u32, kind: Kind) -> Vec<u8> {
    let mut ip = Ipv4::new(Ipv4Addr::from(one(random, &V4)), Ipv4Addr::from(one(random, &V4)))
        .id(number as u16)
        .ttl(one(random, &[1, 4, 5, 64, 255]))
        .tos(one(random, &[0, 0x04, 0x20, 0x2e << 2, 0x03]));
    if chance(random, 8) {
        ip = ip.options([1, 1, 1, 0]);
    }
    let link = ethernet(random);
    let fragment = chance(random, 6);
    if fragment && kind == Kind::Fragments && chance(random, 2) {
        let ip =
            ip.fragment(one(random, &[16, 1480]), chance(random, 2)).protocol(one(random, &[1, 6, 17, 50]));
        return Packet::new().push(link).push(ip).payload(payload(random)).build();
    }
    if fragment {
        ip = ip.fragment(0, true);
    }
    // An authentication header with what it carries, and numbers that nobody has.
    // What it carries, the older engine sees in IPv6; it gets packets with later fragments.
    if kind == Kind::Headers && chance(random, 12) {
        return Packet::new().push(link).push(ip.protocol(51)).payload(authenticated(random)).build();
    }
    if chance(random, 8) {
        let ip = ip.protocol(one(random, &[50, 103, 132, 200]));
        return Packet::new().push(link).push(ip).payload(payload(random)).build();
    }
    transport(random, Packet::new().push(link).push(ip), false)
}

/// An authentication header and the UDP that it carries.
fn authenticated(random: &mut Random) -> Vec<u8> {
    let carried = Udp::new(one(random, &PORTS), one(random, &PORTS));
    let inside = Packet::new().push(carried).payload(payload(random)).build();
    let header = [17, 4, 0, 0, 0, 0, 0, 9, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
    [&header[..], &inside].concat()
}

fn v6(random: &mut Random, number: u32, kind: Kind) -> Vec<u8> {
    let address = |random: &mut Random| -> Ipv6Addr { one(random, &V6).parse().expect("an address") };
    let mut ip = Ipv6::new(address(random), address(random))
        .flow_label(number)
        .hop_limit(one(random, &[1, 4, 5, 64, 255]))
        .traffic_class(one(random, &[0, 0x04, 0x20, 0x2e << 2, 0x03]));
    let link = ethernet(random);
    if chance(random, 8) {
        ip = ip.extension(Extension::HopByHop(Vec::new()));
    }
    if chance(random, 8) {
        ip = ip.extension(Extension::Destination(Vec::new()));
    }
    if chance(random, 6) {
        let later = kind == Kind::Fragments && chance(random, 2);
        let offset = if later { one(random, &[16, 1480]) } else { 0 };
        ip = ip.extension(Extension::Fragment { offset, more: !later || chance(random, 2), id: number });
        if later {
            let ip = ip.protocol(one(random, &[6, 17, 58]));
            return Packet::new().push(link).push(ip).payload(payload(random)).build();
        }
    }
    if chance(random, 12) {
        ip = ip.extension(Extension::Destination(Vec::new()));
    }
    // What it carries, the older engine sees in IPv6; it gets packets with later fragments.
    if kind == Kind::Headers && chance(random, 12) {
        return Packet::new().push(link).push(ip.protocol(51)).payload(authenticated(random)).build();
    }
    if chance(random, 8) {
        let ip = ip.protocol(one(random, &[50, 103, 132, 200]));
        return Packet::new().push(link).push(ip).payload(payload(random)).build();
    }
    transport(random, Packet::new().push(link).push(ip), true)
}

fn payload(random: &mut Random) -> Vec<u8> {
    let length = one(random, &[24, 60, 400, 1200]);
    (0..length).map(|_| random.bits() as u8).collect()
}

fn transport(random: &mut Random, packet: Packet, six: bool) -> Vec<u8> {
    let (src, dst) = (one(random, &PORTS), one(random, &PORTS));
    let flags = [0x02, 0x12, 0x10, 0x18, 0x14, 0x01, 0x29, 0x00, 0xc2, 0x11];
    let kinds = if six { [1, 128, 129, 135, 136] } else { [0, 3, 8, 11, 13] };
    let packet = match random.below(5) {
        0 | 1 => {
            let mut tcp = Tcp::new(src, dst).flags(TcpFlags::from_bits(one(random, &flags)));
            if chance(random, 2) {
                tcp = tcp.option(TcpOption::Mss(one(random, &[100, 536, 1460])));
            }
            packet.push(tcp)
        }
        2 | 3 => packet.push(Udp::new(src, dst)),
        _ if six => packet.push(Icmpv6::new(one(random, &kinds), one(random, &[0, 1, 3]), [0, 1, 0, 2])),
        _ => packet.push(Icmp::new(one(random, &kinds), one(random, &[0, 1, 3]), [0, 1, 0, 2])),
    };
    packet.payload(payload(random)).build()
}

/// Cut off headers, headers that lie, frames of other protocols' numbers: what compares numbers alone.
pub(crate) fn odd() -> Vec<Numbered> {
    let mut frames = Vec::new();
    let mut number = 0;
    for protocol in [0, 1, 2, 6, 17, 41, 50, 51, 58, 132, 255] {
        for length in [0, 1, 4, 7, 8, 12, 19, 20, 40] {
            number += 1;
            let ip = Ipv4::new(Ipv4Addr::from(V4[0]), Ipv4Addr::from(V4[1])).id(number).protocol(protocol);
            let packet =
                Packet::new().push(Ethernet::new(SENDERS[0], JUDGE)).push(ip).payload(vec![0x11; length]);
            frames.push(Numbered { six: false, number: number.into(), frame: packet.build() });
        }
    }
    frames
}

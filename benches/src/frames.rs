//! Frames of the cases: thousands of different ones, from a seed.

use std::net::{Ipv4Addr, Ipv6Addr};
use weir_lab::traffic::Random;
use weir_packet::build::{Ethernet, Extension, Ipv4, Ipv6, Packet, Tcp, TcpFlags, Udp, Vlan, Vxlan};

/// Every case draws the same frames in every run.
const SEED: u64 = 0x7765_6972;

/// So many different ones unless a case says otherwise: what branch predictors do not learn by heart.
pub(crate) const FRAMES: usize = 16_384;

/// One frame in so many is tagged.
const TAGGED: u32 = 16;

pub(crate) type Frames = Vec<Vec<u8>>;

/// Calls `make` for every frame.
pub(crate) fn draw(count: usize, mut make: impl FnMut(&mut Random) -> Packet) -> Frames {
    let mut random = Random::new(SEED);
    (0..count).map(|_| padded(make(&mut random).build())).collect()
}

/// As long as a card would make it.
fn padded(mut frame: Vec<u8>) -> Vec<u8> {
    frame.resize(frame.len().max(60), 0);
    frame
}

/// True once in `of`.
pub(crate) fn once_in(random: &mut Random, of: u32) -> bool {
    random.below(of) == 0
}

pub(crate) fn link(random: &mut Random) -> Packet {
    let packet = Packet::new().push(Ethernet::default());
    if once_in(random, TAGGED) { packet.push(Vlan::new(random.below(4095) as u16)) } else { packet }
}

pub(crate) fn any_ip4(random: &mut Random) -> Ipv4Addr {
    Ipv4Addr::from(random.bits() as u32)
}

pub(crate) fn any_ip6(random: &mut Random) -> Ipv6Addr {
    Ipv6Addr::from(u128::from(random.bits() >> 3 | 1 << 61) << 64 | u128::from(random.bits()))
}

/// UDP from a source.
pub(crate) fn udp4(random: &mut Random, source: Ipv4Addr) -> Packet {
    let header = Ipv4::new(source, [203, 0, 113, 10]);
    link(random).push(header).push(Udp::new(random.port(), random.port()))
}

/// What the first example of the language's description meets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    Friends,
    Bogons,
    Amplification,
    SynFlood,
    Default,
}

/// A frame of the ten-line example; one in eight is IPv6, but for bogons.
pub(crate) fn ten(random: &mut Random, way: Way) -> Packet {
    let six = way != Way::Bogons && once_in(random, 8);
    let packet = link(random);
    let packet = match six {
        true => packet.push(Ipv6::new(ten_ip6(random, way), [0x2001, 0xdb8, 1, 0, 0, 0, 0, 1])),
        false => packet.push(Ipv4::new(ten_ip4(random, way), [203, 0, 113, 10])),
    };
    match way {
        Way::Amplification => {
            let port = [17, 19, 53, 123, 389, 1900, 11211][random.below(7) as usize];
            packet.push(Udp::new(port, random.port())).padded_to(420 + random.below(40) as usize * 2)
        }
        Way::SynFlood => packet.push(Tcp::new(random.port(), 443)),
        _ if once_in(random, 3) => packet.push(Udp::new(random.port(), 443)),
        _ => packet.push(Tcp::new(random.port(), 443).flags(TcpFlags::ACK)),
    }
}

/// SYNs come from 4,096 networks, so that at millions a second most of them are over the limit.
fn ten_ip4(random: &mut Random, way: Way) -> Ipv4Addr {
    let low = random.bits() as u32;
    match way {
        Way::Friends => Ipv4Addr::from(0xc000_0200 | low & 0xff),
        Way::Bogons => Ipv4Addr::from(if low & 1 == 0 { low >> 8 } else { 0x7f00_0000 | low >> 8 }),
        Way::SynFlood => Ipv4Addr::from(0x2e00_0000 | low & 0x000f_ffff),
        _ => Ipv4Addr::from(0x1700_0000 | low >> 8),
    }
}

fn ten_ip6(random: &mut Random, way: Way) -> Ipv6Addr {
    match way {
        Way::Friends => Ipv6Addr::from(0x2001_0db8 << 96 | u128::from(random.bits())),
        Way::SynFlood => Ipv6Addr::from(
            0x2a00_1450 << 96 | u128::from(random.below(512)) << 64 | u128::from(random.bits()),
        ),
        _ => any_ip6(random),
    }
}

/// All five fields agree in one frame of four; in the others each agrees four times in five.
pub(crate) fn five(random: &mut Random) -> Packet {
    let all = once_in(random, 4);
    let mut agrees = || all || !once_in(random, 5);
    let (src, dst, ttl, from, to) = (agrees(), agrees(), agrees(), agrees(), agrees());
    let source = if src { 0xc633_6400 } else { 0x0a00_0000 } | random.below(256);
    let target = if dst { [203, 0, 113, 7] } else { [203, 0, 113, 8] };
    let header = Ipv4::new(source, target).ttl(if ttl { 10 } else { 128 } + random.below(50) as u8);
    let source_port = if from { 53 } else { 5353 };
    let target_port = if to { random.port() } else { random.below(1024) as u16 };
    link(random).push(header).push(Udp::new(source_port, target_port))
}

/// IPv6 with none to three extension headers.
pub(crate) fn extensions(random: &mut Random) -> Packet {
    let mut header = Ipv6::new(any_ip6(random), any_ip6(random));
    let options = |random: &mut Random| vec![1, (4 + 8 * random.below(3)) as u8];
    if once_in(random, 3) {
        let mut bytes = options(random);
        bytes.resize(2 + usize::from(bytes[1]), 0);
        header = header.extension(Extension::HopByHop(bytes));
    }
    if once_in(random, 3) {
        let mut bytes = options(random);
        bytes.resize(2 + usize::from(bytes[1]), 0);
        header = header.extension(Extension::Destination(bytes));
    }
    if once_in(random, 4) {
        let offset = if once_in(random, 4) { 1280 } else { 0 };
        header = header.extension(Extension::Fragment { offset, more: true, id: random.bits() as u32 });
    }
    let port = if once_in(random, 2) { 23 } else { 443 };
    let packet = link(random).push(header);
    match once_in(random, 4) {
        true => packet.push(Udp::new(random.port(), port)),
        false => packet.push(Tcp::new(random.port(), port).flags(TcpFlags::ACK)),
    }
}

/// Seven in eight are VXLAN; network, inner source and inner port agree three times in four each.
pub(crate) fn vxlan(random: &mut Random) -> Packet {
    let outer = Ipv4::new(any_ip4(random), [203, 0, 113, 10]);
    let mut agrees = || !once_in(random, 4);
    let (network, source, port) = (agrees(), agrees(), agrees());
    let tunnel = if once_in(random, 8) { 4790 } else { 4789 };
    let source = if source { 0x0a00_0000 } else { 0xac10_0000 } | random.below(1 << 20);
    link(random)
        .push(outer)
        .push(Udp::new(random.port(), tunnel).without_checksum())
        .push(Vxlan::new(if network { 7 } else { 8 + random.below(100) }))
        .push(Ethernet::default())
        .push(Ipv4::new(source, [10, 0, 0, 1]))
        .push(Udp::new(random.port(), if port { 53 } else { 123 }))
}

/// So many different prefixes, as (address, length): from /8 to /32 as a blocklist has them, most of them /24.
pub(crate) fn prefixes(count: usize) -> Vec<(u32, u8)> {
    let mut random = Random::new(SEED ^ count as u64);
    let mut prefixes = std::collections::BTreeSet::new();
    while prefixes.len() < count {
        let length = match random.below(100) {
            0..4 => 16 + random.below(4) as u8,
            4..30 => 20 + random.below(4) as u8,
            30..80 => 24,
            _ => 25 + random.below(8) as u8,
        };
        let address = random.bits() as u32 & (u32::MAX << (32 - length));
        prefixes.insert((address, length));
    }
    prefixes.into_iter().collect()
}

/// Half of the sources are in a prefix, which is drawn anew for each, and half of them anywhere.
pub(crate) fn sources(count: usize, prefixes: &[(u32, u8)]) -> Frames {
    draw(count, |random| {
        let mut source = random.bits() as u32;
        if once_in(random, 2) {
            let (address, length) = prefixes[random.below(prefixes.len() as u32) as usize];
            let host = u32::MAX.checked_shr(u32::from(length)).unwrap_or(0);
            source = address | source & host;
        }
        udp4(random, Ipv4Addr::from(source))
    })
}

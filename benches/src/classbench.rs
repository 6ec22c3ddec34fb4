//! Filter sets as ClassBench makes them (Taylor and Turner 2007): the shapes of access lists, firewalls and IP chains.
//!
//! Made anew after the paper's description, not from its seed files: how often each transport, each kind of port
//! range and each pair of prefix lengths stands in such a set, and that addresses share their higher bits (the
//! trees of its section 4.2), so that prefixes nest. Frames of rules come from inside them.

use std::net::Ipv4Addr;
use weir_lab::traffic::Random;
use weir_packet::build::{Ipv4, Packet, Tcp, Udp};

use crate::frames::link;
use crate::rule::{ANY_PORT, Ports, Prefix, Rule, Transport};

/// Which kind of set.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// Access lists: nearly all source ports open, many different targets.
    Acl,
    /// Firewalls: wide on both sides, few exact addresses, ports of both sides.
    Firewall,
    /// IP chains: between the two.
    Chain,
}

/// What is asked of a port, in the paper's words.
#[derive(Clone, Copy)]
enum Port {
    /// Any.
    Wildcard,
    /// 1024 and above.
    High,
    /// Below 1024.
    Low,
    /// Another range.
    Range,
    /// One.
    Exact,
}

/// Shares of a hundred.
struct Shares {
    /// TCP, UDP, ICMP, any.
    transports: [u32; 4],
    /// In the order of [`Port`].
    from: [u32; 5],
    to: [u32; 5],
    /// Any, /8 to /15, /16 to /23, /24 to /31, /32.
    source: [u32; 5],
    target: [u32; 5],
    /// Of the higher bits of an address, so many of a hundred go the common way.
    skew: u32,
}

impl Kind {
    fn shares(self) -> Shares {
        match self {
            Kind::Acl => Shares {
                transports: [78, 15, 2, 5],
                from: [97, 1, 0, 1, 1],
                to: [25, 5, 0, 15, 55],
                source: [10, 1, 16, 38, 35],
                target: [1, 1, 8, 30, 60],
                skew: 75,
            },
            Kind::Firewall => Shares {
                transports: [62, 22, 6, 10],
                from: [62, 20, 0, 3, 15],
                to: [35, 16, 1, 8, 40],
                source: [40, 2, 8, 20, 30],
                target: [35, 1, 8, 21, 35],
                skew: 85,
            },
            Kind::Chain => Shares {
                transports: [60, 25, 5, 10],
                from: [80, 5, 1, 4, 10],
                to: [45, 7, 1, 7, 40],
                source: [15, 2, 13, 30, 40],
                target: [12, 2, 11, 30, 45],
                skew: 80,
            },
        }
    }
}

/// A set of different rules, the narrower ones first, as people write them.
pub(crate) fn rules(kind: Kind, count: usize) -> Vec<Rule> {
    let (shares, mut random) = (kind.shares(), Random::new(0xc1a5_5be4));
    let mut seen = std::collections::HashSet::new();
    let mut rules = Vec::new();
    while rules.len() < count {
        let rule = rule(&shares, &mut random);
        if seen.insert(rule) {
            rules.push(rule);
        }
    }
    rules.sort_by_key(|rule| std::cmp::Reverse(rule.source.1 + rule.target.1));
    rules
}

fn rule(shares: &Shares, random: &mut Random) -> Rule {
    let header = Transport::Header;
    let transport = [header(6), header(17), header(1), Transport::Any][choose(&shares.transports, random)];
    let has_ports = matches!(transport.number(), Some(6 | 17));
    let mut ports = |shares: &[u32; 5]| {
        let kinds = [Port::Wildcard, Port::High, Port::Low, Port::Range, Port::Exact];
        let kind = if has_ports { kinds[choose(shares, random)] } else { Port::Wildcard };
        port(kind, random)
    };
    let (from, to) = (ports(&shares.from), ports(&shares.to));
    let source = prefix(&shares.source, shares.skew, 0x0a, random);
    let target = prefix(&shares.target, shares.skew, 0xc6, random);
    Rule { source, target, from, to, transport }
}

fn port(kind: Port, random: &mut Random) -> Ports {
    // Services of which there are some dozens.
    const KNOWN: [u16; 16] = [22, 23, 25, 53, 80, 110, 123, 135, 139, 161, 389, 443, 445, 1521, 3306, 8080];
    match kind {
        Port::Wildcard => ANY_PORT,
        Port::High => (1024, 65535),
        Port::Low => (0, 1023),
        Port::Range => {
            let low = 1024 + random.below(60_000) as u16;
            let width = 1 << random.below(12);
            (low, low.saturating_add(1 + random.below(width) as u16))
        }
        Port::Exact if random.below(3) > 0 => {
            let port = KNOWN[random.below(KNOWN.len() as u32) as usize];
            (port, port)
        }
        Port::Exact => {
            let port = 1 + random.below(20_000) as u16;
            (port, port)
        }
    }
}

/// An address whose bits go the common way by `skew`, more so at the top; its network and its length.
fn prefix(shares: &[u32; 5], skew: u32, common: u8, random: &mut Random) -> Prefix {
    let length = match choose(shares, random) {
        0 => return (0, 0),
        1 => 8 + random.below(8),
        2 => 16 + random.below(8),
        3 => 24 + random.below(8),
        _ => 32,
    };
    let way = u32::from_be_bytes([common, 0x33, 0x64, 0x00]);
    let mut address = 0;
    for bit in (0..32).rev() {
        let common = bit >= 8 && random.below(100) < skew.max(50 + bit);
        let one = if common { way >> bit & 1 } else { random.below(2) };
        address = address << 1 | one;
    }
    (address >> (32 - length) << (32 - length), length)
}

fn choose(shares: &[u32], random: &mut Random) -> usize {
    let mut left = random.below(shares.iter().sum());
    for (nth, share) in shares.iter().enumerate() {
        match left.checked_sub(*share) {
            Some(rest) => left = rest,
            None => return nth,
        }
    }
    shares.len() - 1
}

/// A packet that the rule takes, if none before it does.
pub(crate) fn met(rule: &Rule, random: &mut Random) -> Packet {
    let mut inside = |(address, length): Prefix| {
        address
            | if length == 0 {
                random.bits() as u32
            } else {
                random.bits() as u32 & !(u32::MAX << (32 - length))
            }
    };
    let header = Ipv4::new(inside(rule.source), Ipv4Addr::from(inside(rule.target)));
    let mut port = |(low, high): Ports| low + random.below(u32::from(high - low) + 1) as u16;
    let (from, to) = (port(rule.from), port(rule.to));
    match rule.transport.number() {
        Some(17) => link(random).push(header).push(Udp::new(from, to)),
        _ => link(random).push(header).push(Tcp::new(from, to)),
    }
}

//! Names of numbers: protocols, flags of TCP, types and codes of ICMP, classes of service.

/// The number of a protocol's name, as `/etc/protocols` and nft write it.
pub(crate) fn protocol_number(name: &str) -> Option<u8> {
    let known = PROTOCOLS.iter().find(|(own, _)| *own == name).map(|(_, number)| *number);
    known.or_else(|| name.parse().ok())
}

const PROTOCOLS: &[(&str, u8)] = &[
    ("ip", 0),
    ("hopopt", 0),
    ("icmp", 1),
    ("igmp", 2),
    ("ggp", 3),
    ("ipencap", 4),
    ("ipip", 4),
    ("st", 5),
    ("tcp", 6),
    ("egp", 8),
    ("igp", 9),
    ("udp", 17),
    ("dccp", 33),
    ("ipv6", 41),
    ("ipv6-route", 43),
    ("ipv6-frag", 44),
    ("rsvp", 46),
    ("gre", 47),
    ("esp", 50),
    ("ipv6-crypt", 50),
    ("ah", 51),
    ("ipv6-auth", 51),
    ("ipv6-icmp", 58),
    ("icmpv6", 58),
    ("ipv6-nonxt", 59),
    ("ipv6-opts", 60),
    ("eigrp", 88),
    ("ospf", 89),
    ("etherip", 97),
    ("encap", 98),
    ("pim", 103),
    ("ipcomp", 108),
    ("comp", 108),
    ("vrrp", 112),
    ("l2tp", 115),
    ("isis", 124),
    ("sctp", 132),
    ("mobility-header", 135),
    ("ipv6-mh", 135),
    ("udplite", 136),
    ("mpls-in-ip", 137),
];

/// The bit of a TCP flag in the header's fourteenth byte.
pub(crate) fn tcp_flag(name: &str) -> Option<u64> {
    let bit = match name.to_ascii_lowercase().as_str() {
        "fin" => 0x01,
        "syn" => 0x02,
        "rst" => 0x04,
        "psh" => 0x08,
        "ack" => 0x10,
        "urg" => 0x20,
        "ecn" | "ece" => 0x40,
        "cwr" => 0x80,
        "all" => 0x3f,
        "none" => 0,
        _ => return None,
    };
    Some(bit)
}

/// ICMP types by the names of iptables and nft; with a code where the name says one.
pub(crate) fn icmp_type(name: &str) -> Option<(u8, Option<u8>)> {
    named(ICMP_TYPES, name)
}

/// The same of ICMPv6.
pub(crate) fn icmpv6_type(name: &str) -> Option<(u8, Option<u8>)> {
    named(ICMPV6_TYPES, name)
}

type Types = &'static [(&'static str, u8, Option<u8>)];

fn named(types: Types, name: &str) -> Option<(u8, Option<u8>)> {
    types.iter().find(|(own, ..)| *own == name).map(|(_, kind, code)| (*kind, *code))
}

const ICMP_TYPES: Types = &[
    ("echo-reply", 0, None),
    ("pong", 0, None),
    ("destination-unreachable", 3, None),
    ("network-unreachable", 3, Some(0)),
    ("host-unreachable", 3, Some(1)),
    ("protocol-unreachable", 3, Some(2)),
    ("port-unreachable", 3, Some(3)),
    ("fragmentation-needed", 3, Some(4)),
    ("source-quench", 4, None),
    ("redirect", 5, None),
    ("echo-request", 8, None),
    ("ping", 8, None),
    ("router-advertisement", 9, None),
    ("router-solicitation", 10, None),
    ("time-exceeded", 11, None),
    ("ttl-exceeded", 11, None),
    ("ttl-zero-during-transit", 11, Some(0)),
    ("parameter-problem", 12, None),
    ("timestamp-request", 13, None),
    ("timestamp-reply", 14, None),
    ("info-request", 15, None),
    ("info-reply", 16, None),
    ("address-mask-request", 17, None),
    ("address-mask-reply", 18, None),
];

const ICMPV6_TYPES: Types = &[
    ("destination-unreachable", 1, None),
    ("packet-too-big", 2, None),
    ("time-exceeded", 3, None),
    ("ttl-exceeded", 3, None),
    ("parameter-problem", 4, None),
    ("echo-request", 128, None),
    ("echo-reply", 129, None),
    ("mld-listener-query", 130, None),
    ("mld-listener-report", 131, None),
    ("mld-listener-done", 132, None),
    ("mld-listener-reduction", 132, None),
    ("nd-router-solicit", 133, None),
    ("router-solicitation", 133, None),
    ("nd-router-advert", 134, None),
    ("router-advertisement", 134, None),
    ("nd-neighbor-solicit", 135, None),
    ("neighbour-solicitation", 135, None),
    ("neighbor-solicitation", 135, None),
    ("nd-neighbor-advert", 136, None),
    ("neighbour-advertisement", 136, None),
    ("neighbor-advertisement", 136, None),
    ("nd-redirect", 137, None),
    ("redirect", 137, None),
    ("router-renumbering", 138, None),
    ("ind-neighbor-solicit", 141, None),
    ("ind-neighbor-advert", 142, None),
    ("mld2-listener-report", 143, None),
];

/// Codes by nft's names, whatever the type.
pub(crate) fn icmp_code(name: &str) -> Option<u8> {
    named(ICMP_CODES, name).map(|(code, _)| code)
}

/// The same of ICMPv6.
pub(crate) fn icmpv6_code(name: &str) -> Option<u8> {
    named(ICMPV6_CODES, name).map(|(code, _)| code)
}

const ICMP_CODES: Types = &[
    ("net-unreachable", 0, None),
    ("host-unreachable", 1, None),
    ("prot-unreachable", 2, None),
    ("port-unreachable", 3, None),
    ("frag-needed", 4, None),
    ("net-prohibited", 9, None),
    ("host-prohibited", 10, None),
    ("admin-prohibited", 13, None),
];

const ICMPV6_CODES: Types = &[
    ("no-route", 0, None),
    ("admin-prohibited", 1, None),
    ("addr-unreachable", 3, None),
    ("port-unreachable", 4, None),
    ("policy-fail", 5, None),
    ("reject-route", 6, None),
];

/// The code point of a class of differentiated services.
pub(crate) fn dscp(name: &str) -> Option<u8> {
    let name = name.to_ascii_lowercase();
    // `ef`, `be`, `va`, `lephb`, `cs1`, `af11`.
    let digit = |index: usize| name.as_bytes().get(index).map(|byte| byte.wrapping_sub(b'0'));
    match (name.get(..2)?, name.len()) {
        ("ef", 2) => Some(46),
        ("be" | "df", 2) => Some(0),
        ("va", 2) => Some(44),
        ("le", 5) => Some(1),
        ("cs", 3) => digit(2).filter(|class| *class < 8).map(|class| class * 8),
        ("af", 4) => {
            let class = digit(2).filter(|class| (1..=4).contains(class))?;
            let drop = digit(3).filter(|drop| (1..=3).contains(drop))?;
            Some(class * 8 + drop * 2)
        }
        _ => None,
    }
}

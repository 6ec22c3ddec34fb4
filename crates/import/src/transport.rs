//! Protocol numbers and transport headers: where iptables, nft and Weir see them differently.
//!
//! A rule that names a protocol compares a number: it holds for later fragments and cut-off headers as
//! well. A rule that compares a port needs the header. In IPv4 the number is that of the IP header
//! alone, while Weir also finds what an authentication header carries.

use crate::condition::Condition;
use crate::rule::Family;

/// Where the number can stand that says what follows the extension headers. RFC 8200 allows each of
/// them once, destination options twice.
const NEXT_HEADERS: [&str; 7] = [
    "ip6.nxt",
    "ip6.hopopts.nxt",
    "ip6.dstopts.nxt",
    "ip6.routing.nxt",
    "ip6.frag.nxt",
    "ah.nxt",
    "ip6.dstopts[1].nxt",
];

/// What a rule asks of the transport: collected while it is read, spelt out at its end.
#[derive(Clone, Debug)]
pub(crate) struct Transport {
    family: Family,
    /// Numbers that were asked for by a protocol's name.
    protocols: Vec<(Vec<String>, bool)>,
    /// Numbers of headers whose fields are compared.
    headers: Vec<u8>,
    /// Other conditions say which of the named protocols it is.
    spelt: bool,
}

impl Transport {
    pub(crate) fn new(family: Family) -> Transport {
        Transport { family, protocols: Vec::new(), headers: Vec::new(), spelt: false }
    }

    /// The protocol's number is one of these, or none of them.
    pub(crate) fn protocol(&mut self, numbers: Vec<String>, negated: bool) {
        self.protocols.push((numbers, negated));
    }

    /// A field of this protocol's header is compared.
    pub(crate) fn header(&mut self, number: u8) {
        if !self.headers.contains(&number) {
            self.headers.push(number);
        }
    }

    /// The protocols that were asked for, if all of them are single numbers.
    pub(crate) fn named(&self) -> Vec<u8> {
        let wanted = self.protocols.iter().filter(|(_, negated)| !negated);
        wanted.flat_map(|(numbers, _)| numbers.iter().filter_map(|number| number.parse().ok())).collect()
    }

    /// The conditions on the header's fields say the protocol themselves.
    pub(crate) fn spelt(&mut self) {
        self.spelt = true;
    }

    /// The conditions, to stand before those on the header's fields.
    pub(crate) fn conditions(&self) -> Vec<Condition> {
        let said: Vec<String> = self.headers.iter().map(u8::to_string).collect();
        let is_said = |numbers: &[String]| self.spelt || matches!(numbers, [one] if said.contains(one));
        let spelt = self.protocols.iter().filter(|(numbers, negated)| *negated || !is_said(numbers));
        let spelt = spelt.map(|(numbers, negated)| numbered(self.family, numbers, *negated));
        spelt.chain(self.headers.iter().map(|number| carried(self.family, *number))).collect()
    }
}

/// The number of what IP carries is one of these.
pub(crate) fn numbered(family: Family, numbers: &[String], negated: bool) -> Condition {
    let four = Condition::Is("ip4.proto".into(), numbers.to_vec());
    let six = || Condition::any(NEXT_HEADERS.map(|field| next_header(family, field, numbers)));
    match (family, negated) {
        (Family::V4, false) => four,
        (Family::V4, true) => Condition::differs("ip4", "ip4.proto", numbers.to_vec()),
        (Family::V6, false) => six(),
        (Family::V6, true) => six().not(),
        (Family::Both | Family::Link, false) => Condition::any([four, six()]),
        (Family::Both, true) => Condition::any([four, six()]).not(),
        (Family::Link, true) => Condition::all([Condition::test("ip"), Condition::any([four, six()]).not()]),
    }
}

/// An authentication header also follows IPv4.
fn next_header(family: Family, field: &str, numbers: &[String]) -> Condition {
    let number = Condition::Is(field.into(), numbers.to_vec());
    match (family, field) {
        (Family::Both | Family::Link, "ah.nxt") => Condition::all([Condition::test("ip6"), number]),
        _ => number,
    }
}

/// Numbers of extension headers: in IPv6 a rule never sees them as the protocol.
pub(crate) fn is_extension(number: u64) -> bool {
    matches!(number, 0 | 43 | 44 | 51 | 60)
}

/// IP itself carries the header, not an authentication header in IPv4.
pub(crate) fn carried(family: Family, number: u8) -> Condition {
    let four = Condition::is("ip4.proto", number);
    match (family, number) {
        (Family::V6, _) => Condition::Always,
        // nft asks for the family of these two, whatever the table's.
        (_, ICMP) => four,
        (Family::Both | Family::Link, ICMPV6) => Condition::test("ip6"),
        (Family::V4, _) => four,
        (Family::Both | Family::Link, _) => Condition::any([Condition::test("ip6"), four]),
    }
}

const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// The header of a protocol in the language, and whether it has ports.
pub(crate) fn header_of(number: u8) -> Option<(&'static str, bool)> {
    let found = HEADERS.iter().find(|(own, ..)| *own == number)?;
    Some((found.1, found.2))
}

const HEADERS: &[(u8, &str, bool)] = &[
    (1, "icmp", false),
    (6, "tcp", true),
    (17, "udp", true),
    (50, "esp", false),
    (51, "ah", false),
    (58, "icmpv6", false),
    (132, "sctp", true),
    (136, "udplite", true),
];

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

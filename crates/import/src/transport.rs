//! Protocol numbers and transport headers: where iptables, nft and Weir see them differently.
//!
//! A rule that names a protocol compares a number: it holds for later fragments and cut-off headers as
//! well. A rule that compares a port needs the header. An authentication header is a protocol of its own to
//! them (to ip6tables-legacy alone it is not), while Weir also finds what it carries.

use crate::condition::Condition;
use crate::rule::Family;

/// Where the number can stand that says what follows the extension headers. RFC 8200 allows each of
/// them once, destination options twice.
const NEXT_HEADERS: [&str; 6] = [
    "ip6.nxt",
    "ip6.hopopts.nxt",
    "ip6.dstopts.nxt",
    "ip6.routing.nxt",
    "ip6.frag.nxt",
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
    let six = || Condition::any(NEXT_HEADERS.map(|field| Condition::Is(field.into(), numbers.to_vec())));
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

/// Numbers of extension headers: in IPv6 a rule never sees them as the protocol.
pub(crate) fn is_extension(number: u64) -> bool {
    matches!(number, 0 | 43 | 44 | 60)
}

/// IP itself carries the header, not an authentication header, which Weir looks behind.
pub(crate) fn carried(family: Family, number: u8) -> Condition {
    match (family, number) {
        // nft asks for the family of ICMP, whatever the table's.
        (Family::V4, _) | (_, ICMP) => Condition::is("ip4.proto", number),
        (_, AUTHENTICATION) => Condition::Always,
        _ => Condition::test("ah").not(),
    }
}

const ICMP: u8 = 1;
const AUTHENTICATION: u8 = 51;

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

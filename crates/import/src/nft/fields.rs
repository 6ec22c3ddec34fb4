//! What nft compares → fields of the language.

use super::values::Type;
use crate::rule::Family;
use serde_json::Value;

/// A field of a header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Field {
    /// As the language calls it.
    pub(super) path: String,
    /// What has it: the question whether it is there.
    pub(super) header: String,
    pub(super) ty: Type,
    /// Its header's number, if IP carries it.
    pub(super) protocol: Option<u8>,
    /// The bits of the field that nft compares, if not all.
    pub(super) mask: Option<u64>,
    /// The same bytes as an integer, where addresses are to be masked.
    pub(super) bytes: Option<String>,
}

type Row = (&'static str, &'static str, &'static str, Type);

/// Protocol, field, the language's name, type.
const FIELDS: &[Row] = &[
    ("ip", "saddr", "ip4.src", Type::Ip4),
    ("ip", "daddr", "ip4.dst", Type::Ip4),
    ("ip", "protocol", "ip4.proto", Type::Protocol),
    ("ip", "length", "ip4.len", Type::Number(16)),
    ("ip", "ttl", "ip4.ttl", Type::Number(8)),
    ("ip", "id", "ip4.id", Type::Number(16)),
    ("ip", "version", "ip4.version", Type::Number(4)),
    ("ip", "hdrlength", "ip4.ihl", Type::Number(4)),
    ("ip", "dscp", "ip4.dscp", Type::Dscp),
    ("ip", "ecn", "ip4.ecn", Type::Number(2)),
    ("ip", "frag-off", "ip4[6:2]", Type::Number(16)),
    ("ip", "checksum", "ip4.checksum", Type::Number(16)),
    ("ip6", "saddr", "ip6.src", Type::Ip6),
    ("ip6", "daddr", "ip6.dst", Type::Ip6),
    ("ip6", "nexthdr", "ip6.nxt", Type::Protocol),
    ("ip6", "length", "ip6.plen", Type::Number(16)),
    ("ip6", "hoplimit", "ip6.hlim", Type::Number(8)),
    ("ip6", "flowlabel", "ip6.flow", Type::Number(20)),
    ("ip6", "version", "ip6.version", Type::Number(4)),
    ("ip6", "dscp", "ip6.dscp", Type::Dscp),
    ("ip6", "ecn", "ip6.ecn", Type::Number(2)),
    ("tcp", "sport", "tcp.srcport", Type::Port),
    ("tcp", "dport", "tcp.dstport", Type::Port),
    ("tcp", "sequence", "tcp.seq", Type::Number(32)),
    ("tcp", "ackseq", "tcp.ack", Type::Number(32)),
    ("tcp", "doff", "tcp.data_off", Type::Number(4)),
    ("tcp", "flags", "tcp.flags", Type::TcpFlags),
    ("tcp", "window", "tcp.window_size_value", Type::Number(16)),
    ("tcp", "checksum", "tcp.checksum", Type::Number(16)),
    ("tcp", "urgptr", "tcp.urgent_pointer", Type::Number(16)),
    ("udp", "sport", "udp.srcport", Type::Port),
    ("udp", "dport", "udp.dstport", Type::Port),
    ("udp", "length", "udp.length", Type::Number(16)),
    ("udp", "checksum", "udp.checksum", Type::Number(16)),
    ("udplite", "sport", "udplite.srcport", Type::Port),
    ("udplite", "dport", "udplite.dstport", Type::Port),
    ("sctp", "sport", "sctp.srcport", Type::Port),
    ("sctp", "dport", "sctp.dstport", Type::Port),
    ("sctp", "vtag", "sctp.verification_tag", Type::Number(32)),
    ("icmp", "type", "icmp.type", Type::IcmpType),
    ("icmp", "code", "icmp.code", Type::IcmpCode),
    ("icmp", "checksum", "icmp.checksum", Type::Number(16)),
    ("icmpv6", "type", "icmpv6.type", Type::Icmpv6Type),
    ("icmpv6", "code", "icmpv6.code", Type::Icmpv6Code),
    ("icmpv6", "checksum", "icmpv6.checksum", Type::Number(16)),
    ("esp", "spi", "esp.spi", Type::Number(32)),
    ("esp", "sequence", "esp.sequence", Type::Number(32)),
    ("ah", "spi", "ah.spi", Type::Number(32)),
    ("ah", "sequence", "ah.sequence", Type::Number(32)),
    ("ether", "saddr", "eth.src", Type::Mac),
    ("ether", "daddr", "eth.dst", Type::Mac),
    ("ether", "type", "eth.type", Type::EtherType),
    ("vlan", "id", "vlan.id", Type::Number(12)),
    ("vlan", "pcp", "vlan.priority", Type::Number(3)),
    ("vlan", "type", "vlan.etype", Type::EtherType),
];

const NUMBERS: &[(&str, u8)] = &[
    ("icmp", 1),
    ("tcp", 6),
    ("udp", 17),
    ("esp", 50),
    ("ah", 51),
    ("icmpv6", 58),
    ("sctp", 132),
    ("udplite", 136),
];

/// The field of a header, by nft's names.
pub(super) fn named(protocol: &str, field: &str) -> Option<Field> {
    let (_, _, path, ty) = FIELDS.iter().find(|(own, name, ..)| *own == protocol && *name == field)?;
    let header = path.split(['.', '[']).next().unwrap_or_default();
    let number = NUMBERS.iter().find(|(own, _)| *own == protocol).map(|(_, number)| *number);
    let bytes = match *path {
        "ip4.src" => Some("ip4[12:4]".to_owned()),
        "ip4.dst" => Some("ip4[16:4]".to_owned()),
        _ => None,
    };
    // Their header has twelve flags in the language, eight in nft.
    let mask = (*ty == Type::TcpFlags).then_some(0xff);
    Some(Field { path: (*path).to_owned(), header: header.to_owned(), ty: *ty, protocol: number, mask, bytes })
}

/// `@nh,96,32`: whole bytes of a fixed header.
pub(super) fn raw(payload: &Value, family: Family) -> Option<Field> {
    let bits = |key: &str| payload.get(key).and_then(Value::as_u64).filter(|bits| bits % 8 == 0);
    let (offset, length) = (bits("offset")? / 8, bits("len")? / 8);
    let (header, whole) = match (payload.get("base")?.as_str()?, family) {
        ("ll", _) => ("eth", 14),
        ("nh", Family::V4) => ("ip4", 20),
        ("nh", Family::V6) => ("ip6", 40),
        _ => return None,
    };
    ((1..=8).contains(&length) && offset + length <= whole).then(|| Field {
        path: format!("{header}[{offset}:{length}]"),
        header: header.to_owned(),
        ty: Type::Number(64),
        protocol: None,
        mask: None,
        bytes: None,
    })
}

/// An extension header of IPv6: the question, or a field.
pub(super) fn extension(about: &Value) -> Option<(String, Option<&'static str>)> {
    let header = match about.get("name")?.as_str()? {
        "frag" => "ip6.frag",
        "hbh" => "ip6.hopopts",
        "dst" => "ip6.dstopts",
        "rt" => "ip6.routing",
        _ => return None,
    };
    let Some(field) = about.get("field") else { return Some((header.to_owned(), None)) };
    let field = match (header, field.as_str()?) {
        (_, "nexthdr") => "nxt",
        ("ip6.frag", "frag-off") => "frag",
        ("ip6.frag", "more-fragments") => "more",
        ("ip6.frag", "id") => "ident",
        ("ip6.routing", "type") => "type",
        ("ip6.routing", "seg-left") => "segleft",
        _ => return None,
    };
    Some((header.to_owned(), Some(field)))
}

/// An option of TCP: the question, or its field.
pub(super) fn tcp_option(about: &Value) -> Option<(String, Option<&'static str>)> {
    let (option, value) = match about.get("name")?.as_str()? {
        "maxseg" => ("mss", ("size", "val")),
        "window" => ("wscale", ("count", "shift")),
        "sack-perm" | "sack-permitted" => ("sack_perm", ("", "")),
        "timestamp" => ("timestamp", ("tsval", "tsval")),
        _ => return None,
    };
    let header = format!("tcp.options.{option}");
    match about.get("field").and_then(Value::as_str) {
        None => Some((header, None)),
        Some(field) => (field == value.0).then_some((header, Some(value.1))),
    }
}

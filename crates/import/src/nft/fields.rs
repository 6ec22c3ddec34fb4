//! What nft compares → fields of the language.

use super::values::Constant;
use crate::rule::Family;
use serde_json::Value;

/// A field of a header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Field {
    /// As the language calls it.
    pub(super) path: String,
    /// What has it: the question whether it is there.
    pub(super) header: String,
    pub(super) ty: Constant,
    /// Its header's number, if IP carries it.
    pub(super) protocol: Option<u8>,
    /// The bits of the field that nft compares, if not all.
    pub(super) mask: Option<u64>,
    /// The same bytes as an integer, where addresses are to be masked.
    pub(super) bytes: Option<String>,
}

type Row = (&'static str, &'static str, &'static str, Constant);

/// Protocol, field, the language's name, type.
const FIELDS: &[Row] = &[
    ("ip", "saddr", "ip4.src", Constant::Ip4),
    ("ip", "daddr", "ip4.dst", Constant::Ip4),
    ("ip", "protocol", "ip4.proto", Constant::Protocol),
    ("ip", "length", "ip4.len", Constant::Number(16)),
    ("ip", "ttl", "ip4.ttl", Constant::Number(8)),
    ("ip", "id", "ip4.id", Constant::Number(16)),
    ("ip", "version", "ip4.version", Constant::Number(4)),
    ("ip", "hdrlength", "ip4.ihl", Constant::Number(4)),
    ("ip", "dscp", "ip4.dscp", Constant::Dscp),
    ("ip", "ecn", "ip4.ecn", Constant::Number(2)),
    ("ip", "frag-off", "ip4[6:2]", Constant::Number(16)),
    ("ip", "checksum", "ip4.checksum", Constant::Number(16)),
    ("ip6", "saddr", "ip6.src", Constant::Ip6),
    ("ip6", "daddr", "ip6.dst", Constant::Ip6),
    ("ip6", "nexthdr", "ip6.nxt", Constant::Protocol),
    ("ip6", "length", "ip6.plen", Constant::Number(16)),
    ("ip6", "hoplimit", "ip6.hlim", Constant::Number(8)),
    ("ip6", "flowlabel", "ip6.flow", Constant::Number(20)),
    ("ip6", "version", "ip6.version", Constant::Number(4)),
    ("ip6", "dscp", "ip6.dscp", Constant::Dscp),
    ("ip6", "ecn", "ip6.ecn", Constant::Number(2)),
    ("tcp", "sport", "tcp.srcport", Constant::Port),
    ("tcp", "dport", "tcp.dstport", Constant::Port),
    ("tcp", "sequence", "tcp.seq", Constant::Number(32)),
    ("tcp", "ackseq", "tcp.ack", Constant::Number(32)),
    ("tcp", "doff", "tcp.data_off", Constant::Number(4)),
    ("tcp", "flags", "tcp.flags", Constant::TcpFlags),
    ("tcp", "window", "tcp.window_size_value", Constant::Number(16)),
    ("tcp", "checksum", "tcp.checksum", Constant::Number(16)),
    ("tcp", "urgptr", "tcp.urgent_pointer", Constant::Number(16)),
    ("udp", "sport", "udp.srcport", Constant::Port),
    ("udp", "dport", "udp.dstport", Constant::Port),
    ("udp", "length", "udp.length", Constant::Number(16)),
    ("udp", "checksum", "udp.checksum", Constant::Number(16)),
    ("udplite", "sport", "udplite.srcport", Constant::Port),
    ("udplite", "dport", "udplite.dstport", Constant::Port),
    ("sctp", "sport", "sctp.srcport", Constant::Port),
    ("sctp", "dport", "sctp.dstport", Constant::Port),
    ("sctp", "vtag", "sctp.verification_tag", Constant::Number(32)),
    ("icmp", "type", "icmp.type", Constant::IcmpType),
    ("icmp", "code", "icmp.code", Constant::IcmpCode),
    ("icmp", "checksum", "icmp.checksum", Constant::Number(16)),
    ("icmpv6", "type", "icmpv6.type", Constant::Icmpv6Type),
    ("icmpv6", "code", "icmpv6.code", Constant::Icmpv6Code),
    ("icmpv6", "checksum", "icmpv6.checksum", Constant::Number(16)),
    ("esp", "spi", "esp.spi", Constant::Number(32)),
    ("esp", "sequence", "esp.sequence", Constant::Number(32)),
    ("ah", "spi", "ah.spi", Constant::Number(32)),
    ("ah", "sequence", "ah.sequence", Constant::Number(32)),
    ("ether", "saddr", "eth.src", Constant::Mac),
    ("ether", "daddr", "eth.dst", Constant::Mac),
    ("ether", "type", "eth.type", Constant::EtherType),
    ("vlan", "id", "vlan.id", Constant::Number(12)),
    ("vlan", "pcp", "vlan.priority", Constant::Number(3)),
    ("vlan", "type", "vlan.etype", Constant::EtherType),
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
    let mask = (*ty == Constant::TcpFlags).then_some(0xff);
    Some(Field {
        path: (*path).to_owned(),
        header: header.to_owned(),
        ty: *ty,
        protocol: number,
        mask,
        bytes,
    })
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
        ty: Constant::Number(8 * length as u8),
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

/// The type of a field of an extension header or an option.
pub(super) fn optional_type(field: &str) -> Constant {
    match field {
        "nxt" => Constant::Protocol,
        "frag" => Constant::Number(13),
        "more" => Constant::Number(1),
        "type" | "segleft" | "shift" => Constant::Number(8),
        "val" => Constant::Number(16),
        _ => Constant::Number(32),
    }
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

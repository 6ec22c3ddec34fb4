//! Constants: what nft writes → what the language writes.

use crate::names::network;
use crate::transport::{dscp, icmp_code, icmp_type, icmpv6_code, icmpv6_type, protocol_number, tcp_flag};
use serde_json::Value;

/// How constants of a field are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Type {
    Ip4,
    Ip6,
    Mac,
    Port,
    /// A number of so many bits.
    Number(u8),
    Protocol,
    IcmpType,
    IcmpCode,
    Icmpv6Type,
    Icmpv6Code,
    TcpFlags,
    Dscp,
    EtherType,
}

impl Type {
    /// By nft's name of it.
    pub(super) fn named(name: &str) -> Option<Type> {
        match name {
            "ipv4_addr" => Some(Type::Ip4),
            "ipv6_addr" => Some(Type::Ip6),
            "ether_addr" => Some(Type::Mac),
            "inet_service" => Some(Type::Port),
            "inet_proto" => Some(Type::Protocol),
            "icmp_type" => Some(Type::IcmpType),
            "icmp_code" => Some(Type::IcmpCode),
            "icmpv6_code" => Some(Type::Icmpv6Code),
            "icmpv6_type" => Some(Type::Icmpv6Type),
            "ether_type" => Some(Type::EtherType),
            "dscp" => Some(Type::Dscp),
            _ => None,
        }
    }

    /// The language's name of it, for sets.
    pub(super) fn name(self) -> &'static str {
        match self {
            Type::Ip4 => "ip4",
            Type::Ip6 => "ip6",
            Type::Mac => "mac",
            Type::Port => "port",
            Type::Protocol | Type::IcmpType | Type::IcmpCode | Type::Icmpv6Type | Type::Icmpv6Code => "u8",
            Type::Dscp => "u6",
            Type::TcpFlags => "u12",
            Type::EtherType => "u16",
            Type::Number(..=8) => "u8",
            Type::Number(..=16) => "u16",
            Type::Number(_) => "u32",
        }
    }

    fn symbol(self, name: &str) -> Option<u64> {
        match self {
            Type::Protocol => protocol_number(name).map(u64::from),
            Type::IcmpType => icmp_type(name).filter(|(_, code)| code.is_none()).map(|(kind, _)| kind.into()),
            Type::Icmpv6Type => icmpv6_type(name).map(|(kind, _)| kind.into()),
            Type::IcmpCode => icmp_code(name).map(u64::from),
            Type::Icmpv6Code => icmpv6_code(name).map(u64::from),
            Type::TcpFlags => tcp_flag(name),
            Type::Dscp => dscp(name).map(u64::from),
            Type::EtherType => match name {
                "ip" => Some(0x0800),
                "arp" => Some(0x0806),
                "ip6" => Some(0x86dd),
                "vlan" | "8021q" => Some(0x8100),
                "8021ad" => Some(0x88a8),
                _ => None,
            },
            _ => None,
        }
    }
}

/// An element of a set: a value, a prefix, a range, or several of them.
pub(super) fn element(value: &Value, types: &[Type]) -> Result<String, String> {
    match (value.get("concat").and_then(Value::as_array), types) {
        (None, [ty]) => one(value, *ty),
        (Some(values), types) if values.len() == types.len() && types.len() > 1 => {
            let each: Result<Vec<String>, String> = values.iter().zip(types).map(|(value, ty)| one(value, *ty)).collect();
            Ok(format!("({})", each?.join(", ")))
        }
        _ => Err(format!("`{value}` has other parts than what it is compared with")),
    }
}

/// The values that a comparison's right side lists.
pub(super) fn listed<'a>(right: &'a Value) -> Vec<&'a Value> {
    match right.get("set").and_then(Value::as_array) {
        Some(many) => many.iter().map(super::sets::value).collect(),
        None => vec![right],
    }
}

fn one(value: &Value, ty: Type) -> Result<String, String> {
    if let Some(ends) = value.get("range").and_then(Value::as_array) {
        let [low, high] = ends.as_slice() else { return Err(format!("`{value}` is no range")) };
        return Ok(format!("{}..{}", one(low, ty)?, one(high, ty)?));
    }
    if let Some(prefix) = value.get("prefix") {
        return prefixed(prefix).ok_or_else(|| format!("`{prefix}` is no prefix"));
    }
    match ty {
        Type::Ip4 | Type::Ip6 => address(value, ty),
        Type::Mac => match value.as_str().filter(|text| text.len() == 17) {
            Some(text) => Ok(text.to_ascii_lowercase()),
            None => Err(format!("`{value}` is no Ethernet address")),
        },
        _ => number(value, ty).map(|number| match ty {
            Type::EtherType => format!("{number:#06x}"),
            _ => number.to_string(),
        }),
    }
}

fn address(value: &Value, ty: Type) -> Result<String, String> {
    let text = value.as_str().ok_or_else(|| format!("`{value}` is no address"))?;
    let parsed: std::net::IpAddr = text.parse().map_err(|_| format!("`{text}` is no address"))?;
    let fits = parsed.is_ipv4() == (ty == Type::Ip4);
    if fits { Ok(parsed.to_string()) } else { Err(format!("`{text}` is of the other family")) }
}

fn prefixed(prefix: &Value) -> Option<String> {
    let address = prefix.get("addr")?.as_str()?.parse().ok()?;
    network(address, prefix.get("len")?.as_u64()?.try_into().ok()?)
}

/// A number, a name, or several of them with their bits together.
pub(super) fn number(value: &Value, ty: Type) -> Result<u64, String> {
    let unknown = || format!("`{value}` is not known here");
    match value {
        Value::Number(number) => number.as_u64().ok_or_else(unknown),
        Value::Bool(bit) => Ok((*bit).into()),
        Value::String(text) => {
            let hex = text.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok());
            hex.or_else(|| text.parse().ok()).or_else(|| ty.symbol(text)).ok_or_else(unknown)
        }
        Value::Array(many) => many.iter().try_fold(0, |all, one| Ok(all | number(one, ty)?)),
        Value::Object(_) => match value.get("|").and_then(Value::as_array) {
            Some(many) => many.iter().try_fold(0, |all, one| Ok(all | number(one, ty)?)),
            None => Err(unknown()),
        },
        Value::Null => Err(unknown()),
    }
}

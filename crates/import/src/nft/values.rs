//! Constants: what nft writes → what the language writes.

use crate::names::{mac, network};
use crate::numbers::{dscp, icmp_code, icmp_type, icmpv6_code, icmpv6_type, protocol_number, tcp_flag};
use serde_json::Value;
use std::net::IpAddr;

/// How constants of a field are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Constant {
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

impl Constant {
    /// By nft's name of it.
    pub(super) fn named(name: &str) -> Option<Constant> {
        match name {
            "ipv4_addr" => Some(Constant::Ip4),
            "ipv6_addr" => Some(Constant::Ip6),
            "ether_addr" => Some(Constant::Mac),
            "inet_service" => Some(Constant::Port),
            "inet_proto" => Some(Constant::Protocol),
            "icmp_type" => Some(Constant::IcmpType),
            "icmp_code" => Some(Constant::IcmpCode),
            "icmpv6_code" => Some(Constant::Icmpv6Code),
            "icmpv6_type" => Some(Constant::Icmpv6Type),
            "ether_type" => Some(Constant::EtherType),
            "dscp" => Some(Constant::Dscp),
            _ => None,
        }
    }

    /// The language's name of it, for sets.
    pub(super) fn name(self) -> &'static str {
        match self {
            Constant::Ip4 => "ip4",
            Constant::Ip6 => "ip6",
            Constant::Mac => "mac",
            Constant::Port => "port",
            Constant::Protocol
            | Constant::IcmpType
            | Constant::IcmpCode
            | Constant::Icmpv6Type
            | Constant::Icmpv6Code => "u8",
            Constant::Dscp => "u6",
            Constant::TcpFlags => "u12",
            Constant::EtherType => "u16",
            Constant::Number(..=8) => "u8",
            Constant::Number(..=16) => "u16",
            Constant::Number(_) => "u32",
        }
    }

    fn bits(self) -> u8 {
        match self {
            Constant::Number(bits) => bits,
            Constant::Port | Constant::EtherType => 16,
            Constant::Dscp => 6,
            Constant::Ip4 | Constant::Ip6 | Constant::Mac => 64,
            _ => 8,
        }
    }

    fn symbol(self, name: &str) -> Option<u64> {
        match self {
            Constant::Protocol => protocol_number(name).map(u64::from),
            Constant::IcmpType => {
                icmp_type(name).filter(|(_, code)| code.is_none()).map(|(kind, _)| kind.into())
            }
            Constant::Icmpv6Type => icmpv6_type(name).map(|(kind, _)| kind.into()),
            Constant::IcmpCode => icmp_code(name).map(u64::from),
            Constant::Icmpv6Code => icmpv6_code(name).map(u64::from),
            Constant::TcpFlags => tcp_flag(name),
            Constant::Dscp => dscp(name).map(u64::from),
            Constant::EtherType => match name {
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
pub(super) fn element(value: &Value, types: &[Constant]) -> Result<String, String> {
    match (value.get("concat").and_then(Value::as_array), types) {
        (None, [ty]) => one(value, *ty),
        (Some(values), types) if values.len() == types.len() && types.len() > 1 => {
            let each: Result<Vec<String>, String> =
                values.iter().zip(types).map(|(value, ty)| one(value, *ty)).collect();
            Ok(format!("({})", each?.join(", ")))
        }
        _ => Err(format!("`{value}` has other parts than what it is compared with")),
    }
}

/// The values that a comparison's right side lists.
pub(super) fn listed(right: &Value) -> Vec<&Value> {
    match right.get("set").and_then(Value::as_array) {
        Some(many) => many.iter().map(super::sets::value).collect(),
        None => vec![right],
    }
}

fn one(value: &Value, ty: Constant) -> Result<String, String> {
    if let Some(ends) = value.get("range").and_then(Value::as_array) {
        let [low, high] = ends.as_slice() else { return Err(format!("`{value}` is no range")) };
        return ranged(low, high, ty).ok_or_else(|| format!("`{value}` is no range here"));
    }
    if let Some(prefix) = value.get("prefix") {
        return prefixed(prefix, ty).ok_or_else(|| format!("`{prefix}` is no prefix here"));
    }
    match ty {
        Constant::Ip4 | Constant::Ip6 => address(value, ty),
        Constant::Mac => {
            value.as_str().and_then(mac).ok_or_else(|| format!("`{value}` is no Ethernet address"))
        }
        _ => number(value, ty).map(|number| match ty {
            Constant::EtherType => format!("{number:#06x}"),
            _ => number.to_string(),
        }),
    }
}

fn address(value: &Value, ty: Constant) -> Result<String, String> {
    let text = value.as_str().ok_or_else(|| format!("`{value}` is no address"))?;
    let parsed: IpAddr = text.parse().map_err(|_| format!("`{text}` is no address"))?;
    let fits = parsed.is_ipv4() == (ty == Constant::Ip4);
    if fits { Ok(parsed.to_string()) } else { Err(format!("`{text}` is of the other family")) }
}

fn prefixed(prefix: &Value, ty: Constant) -> Option<String> {
    let address: IpAddr = prefix.get("addr")?.as_str()?.parse().ok()?;
    let fits = matches!((address, ty), (IpAddr::V4(_), Constant::Ip4) | (IpAddr::V6(_), Constant::Ip6));
    network(address, prefix.get("len")?.as_u64()?.try_into().ok()?).filter(|_| fits)
}

fn ranged(low: &Value, high: &Value, ty: Constant) -> Option<String> {
    let ordered = match ty {
        Constant::Ip4 | Constant::Ip6 => {
            let parsed = |value: &Value| value.as_str()?.parse::<IpAddr>().ok();
            parsed(low)? <= parsed(high)?
        }
        Constant::Mac => low.as_str()? <= high.as_str()?,
        _ => number(low, ty).ok()? <= number(high, ty).ok()?,
    };
    let plain = low.get("range").or(high.get("range")).is_none();
    (ordered && plain).then(|| Some(format!("{}..{}", one(low, ty).ok()?, one(high, ty).ok()?)))?
}

/// A number, a name, or several of them with their bits together; no more than the field holds.
pub(super) fn number(value: &Value, ty: Constant) -> Result<u64, String> {
    let number = any_number(value, ty)?;
    let most = u64::MAX >> (64 - u32::from(ty.bits()));
    if number <= most { Ok(number) } else { Err(format!("`{value}` is more than the field holds")) }
}

fn any_number(value: &Value, ty: Constant) -> Result<u64, String> {
    let unknown = || format!("`{value}` is not known here");
    match value {
        Value::Number(number) => number.as_u64().ok_or_else(unknown),
        Value::Bool(bit) => Ok((*bit).into()),
        Value::String(text) => {
            let hex = text.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok());
            hex.or_else(|| text.parse().ok()).or_else(|| ty.symbol(text)).ok_or_else(unknown)
        }
        Value::Array(many) => many.iter().try_fold(0, |all, one| Ok(all | any_number(one, ty)?)),
        Value::Object(_) => match value.get("|").and_then(Value::as_array) {
            Some(many) => many.iter().try_fold(0, |all, one| Ok(all | any_number(one, ty)?)),
            None => Err(unknown()),
        },
        Value::Null => Err(unknown()),
    }
}

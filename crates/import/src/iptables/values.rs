//! Constants: what iptables writes → what the language writes.

use crate::names;
use crate::numbers::tcp_flag;
use crate::rule::Family;
use std::net::IpAddr;

/// An address as `-s` takes it.
pub(super) enum Address {
    /// All of them.
    Any,
    Prefix(String),
    /// Bits under a mask that is no prefix.
    Masked((u32, u32)),
}

/// `10.0.0.0/8`, `10.0.0.0/255.0.0.0`
pub(super) fn prefix(text: &str, family: Family) -> Result<Address, String> {
    let (address, mask) = text.split_once('/').map_or((text, None), |(address, mask)| (address, Some(mask)));
    let ip: IpAddr = address.parse().map_err(|_| format!("`{text}` is no address"))?;
    if ip.is_ipv6() != (family == Family::V6) {
        return Err(format!("`{text}` is of the other family"));
    }
    let whole = if ip.is_ipv6() { 128 } else { 32 };
    let length = match (mask, mask.and_then(|mask| mask.parse::<IpAddr>().ok())) {
        (None, _) => whole,
        (_, Some(IpAddr::V4(mask))) => {
            let mask = u32::from(mask);
            if mask.leading_ones() + mask.trailing_zeros() < 32 {
                let IpAddr::V4(address) = ip else { return Err(format!("`{text}` is no address")) };
                return Ok(Address::Masked((address.into(), mask)));
            }
            mask.leading_ones() as u8
        }
        (_, Some(IpAddr::V6(mask))) => {
            let mask = u128::from(mask);
            if mask.count_ones() != mask.leading_ones() {
                return Err("a mask of IPv6 that is no prefix".into());
            }
            mask.leading_ones() as u8
        }
        (Some(mask), None) => mask.parse().map_err(|_| format!("`{text}` is no address"))?,
    };
    match length {
        0 => Ok(Address::Any),
        _ => names::network(ip, length).map(Address::Prefix).ok_or_else(|| format!("`{text}` is no prefix")),
    }
}

/// `80`, `80:90`, `:90`, `80:`
pub(super) fn range(text: &str, most: u64) -> Result<String, String> {
    let Some((low, high)) = text.split_once(':') else { return number(text, most) };
    let low = if low.is_empty() { 0 } else { integer(low, most)? };
    let high = if high.is_empty() { most } else { integer(high, most)? };
    match low.cmp(&high) {
        std::cmp::Ordering::Equal => Ok(low.to_string()),
        std::cmp::Ordering::Less => Ok(format!("{low}..{high}")),
        std::cmp::Ordering::Greater => Err(format!("`{text}` ends before it begins")),
    }
}

/// A number as the language writes it.
pub(super) fn number(text: &str, most: u64) -> Result<String, String> {
    integer(text, most).map(|number| number.to_string())
}

/// `12`, `0x0c`
pub(super) fn integer(text: &str, most: u64) -> Result<u64, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.ok().filter(|number| *number <= most).ok_or_else(|| format!("`{text}` is no number up to {most}"))
}

/// `SYN,ACK`
pub(super) fn flags(text: &str) -> Result<u64, String> {
    let mut bits =
        text.split(',').map(|name| tcp_flag(name).ok_or_else(|| format!("no flag is called `{name}`")));
    bits.try_fold(0, |all, bit| Ok(all | bit?))
}

/// `3` or `3/1`
pub(super) fn numbered_type(text: &str) -> Result<(u8, Option<u8>), String> {
    let byte = |text: &str| integer(text, 0xff).ok().and_then(|number| u8::try_from(number).ok());
    let (kind, code) = text.split_once('/').map_or((text, None), |(kind, code)| (kind, Some(code)));
    let wrong = || format!("no type of ICMP is called `{text}`");
    let code = code.map(|code| byte(code).ok_or_else(wrong)).transpose()?;
    Ok((byte(kind).ok_or_else(wrong)?, code))
}

//! Reading one constant.

use super::ast::{LiteralValue, Rate, RateUnit};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Why a constant cannot be read, and how to write it.
#[derive(Debug)]
pub(super) struct Unreadable {
    pub(super) message: String,
    pub(super) help: Option<String>,
}

type Read<T> = Result<T, Unreadable>;

fn unreadable<T>(message: impl Into<String>) -> Read<T> {
    let message = message.into();
    Err(Unreadable { message, help: None })
}

fn mendable<T>(message: impl Into<String>, help: impl Into<String>) -> Read<T> {
    let (message, help) = (message.into(), Some(help.into()));
    Err(Unreadable { message, help })
}

/// Reads what the lexer delimited as a constant.
pub(super) fn read(text: &str) -> Read<LiteralValue> {
    if text.contains(':') {
        return colons(text);
    }
    if text.contains('.') {
        return dotted(text);
    }
    match text.split_once('/') {
        Some((amount, period)) => rate(text, amount, period),
        None => number(text),
    }
}

fn colons(text: &str) -> Read<LiteralValue> {
    if let Some(mac) = mac(text) {
        return Ok(LiteralValue::Mac(mac));
    }
    let (address, length) = split_prefix(text);
    let Ok(address) = address.parse::<Ipv6Addr>() else {
        return unreadable(format!("no IPv6 or MAC address is written `{text}`"));
    };
    Ok(match length {
        None => LiteralValue::Ip6(address),
        Some(length) => LiteralValue::Prefix6(address, prefix_length(length, 128)?),
    })
}

fn mac(text: &str) -> Option<[u8; 6]> {
    let mut bytes = [0; 6];
    let mut groups = text.split(':');
    for byte in &mut bytes {
        let group = groups.next().filter(|g| g.len() == 2)?;
        *byte = u8::from_str_radix(group, 16).ok()?;
    }
    groups.next().is_none().then_some(bytes)
}

fn dotted(text: &str) -> Read<LiteralValue> {
    let (address, length) = split_prefix(text);
    let Ok(address) = address.parse::<Ipv4Addr>() else {
        return not_an_ip4(text, address, length);
    };
    let Some(length) = length else {
        return Ok(LiteralValue::Ip4(address));
    };
    if let Some(bits) = netmask_length(length) {
        return mendable(
            format!("a prefix's length is a number of bits, not the mask `{length}`"),
            format!("write `{address}/{bits}`"),
        );
    }
    Ok(LiteralValue::Prefix4(address, prefix_length(length, 32)?))
}

fn not_an_ip4<T>(text: &str, address: &str, length: Option<&str>) -> Read<T> {
    let parts: Vec<&str> = address.split('.').collect();
    let numbers = parts.iter().all(|p| p.parse::<u8>().is_ok());
    if numbers && parts.len() < 4 && length.is_some() {
        let zeros = ".0".repeat(4 - parts.len());
        let help = format!("write `{address}{zeros}/{}`", length.unwrap_or_default());
        return mendable(format!("an IPv4 prefix has four numbers, not `{text}`"), help);
    }
    if parts.len() == 2 && parts[0].bytes().all(|b| b.is_ascii_digit()) {
        let help = "use a smaller unit: `1500k` for `1.5M`";
        return mendable(format!("numbers have no fractions, so not `{text}`"), help);
    }
    if numbers && parts.iter().any(|p| p.len() > 1 && p.starts_with('0')) {
        let help = "leave out the leading zeros";
        return mendable(format!("no IPv4 address is written `{text}`"), help);
    }
    unreadable(format!("no IPv4 address is written `{text}`"))
}

fn split_prefix(text: &str) -> (&str, Option<&str>) {
    match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    }
}

fn prefix_length(text: &str, bits: u8) -> Read<u8> {
    match text.parse::<u8>() {
        Ok(length) if length <= bits => Ok(length),
        _ => unreadable(format!("a prefix length here is a number up to {bits}, not `{text}`")),
    }
}

/// The length of a mask such as `255.255.0.0`.
fn netmask_length(text: &str) -> Option<u32> {
    let mask = u32::from(text.parse::<Ipv4Addr>().ok()?);
    let length = mask.leading_ones();
    (mask.checked_shl(length).unwrap_or(0) == 0).then_some(length)
}

const THOUSANDS: &[(&str, u64)] = &[("", 1), ("k", 1_000), ("M", 1_000_000), ("G", 1_000_000_000)];

const DURATIONS: &[(&str, u64)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", SECOND),
    ("m", 60 * SECOND),
    ("h", 3_600 * SECOND),
    ("d", 86_400 * SECOND),
];

const SIZES: &[(&str, u64)] = &[("B", 1), ("kB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000)];

const BITS: &[(&str, u64)] = &[("bit", 1), ("kbit", 1_000), ("Mbit", 1_000_000), ("Gbit", 1_000_000_000)];

const PERIODS: &[(&str, u64)] = &[("s", SECOND), ("m", 60 * SECOND), ("h", 3_600 * SECOND)];

const SECOND: u64 = 1_000_000_000;

/// Units that other tools use, and the language's.
const FOREIGN_UNITS: &[(&str, &str)] = &[
    ("K", "k"),
    ("g", "G"),
    ("KB", "kB"),
    ("KiB", "kB"),
    ("MiB", "MB"),
    ("GiB", "GB"),
    ("sec", "s"),
    ("secs", "s"),
    ("second", "s"),
    ("min", "m"),
    ("minute", "m"),
    ("hour", "h"),
    ("day", "d"),
    ("pps", "/s"),
    ("kpps", "k/s"),
    ("Mpps", "M/s"),
    ("bps", "bit/s"),
    ("kbps", "kbit/s"),
    ("Kbps", "kbit/s"),
    ("Mbps", "Mbit/s"),
    ("Gbps", "Gbit/s"),
    ("Kbit", "kbit"),
    ("mbit", "Mbit"),
    ("gbit", "Gbit"),
];

fn factor(units: &[(&str, u64)], unit: &str) -> Option<u64> {
    let found = units.iter().find(|(name, _)| *name == unit)?;
    Some(found.1)
}

fn number(text: &str) -> Read<LiteralValue> {
    if let Some(digits) = text.strip_prefix("0x") {
        return radix(text, digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0b") {
        return radix(text, digits, 2);
    }
    let (digits, unit) = split_unit(text);
    let amount = decimal(digits)?;
    if let Some(by) = factor(THOUSANDS, unit) {
        return match amount.checked_mul(u128::from(by)) {
            Some(value) => Ok(LiteralValue::Int(value)),
            None => too_large(text),
        };
    }
    if let Some(by) = factor(DURATIONS, unit) {
        return Ok(LiteralValue::Duration(scaled(text, amount, by)?));
    }
    if let Some(by) = factor(SIZES, unit) {
        return Ok(LiteralValue::Size(scaled(text, amount, by)?));
    }
    if factor(BITS, unit).is_some() {
        let help = format!("write `{text}/s`");
        return mendable(format!("a rate has a period, unlike `{text}`"), help);
    }
    bad_unit(text, digits, unit, "")
}

fn radix(text: &str, digits: &str, radix: u32) -> Read<LiteralValue> {
    match u128::from_str_radix(digits, radix) {
        Ok(value) => Ok(LiteralValue::Int(value)),
        Err(e) if *e.kind() == std::num::IntErrorKind::PosOverflow => too_large(text),
        Err(_) => unreadable(format!("no number is written `{text}`")),
    }
}

fn rate(text: &str, amount: &str, period: &str) -> Read<LiteralValue> {
    let (digits, unit) = split_unit(amount);
    let value = decimal(digits)?;
    let Some(nanoseconds) = factor(PERIODS, period) else {
        let help = "a period is `s`, `m` or `h`";
        return mendable(format!("no rate has the period `{period}`"), help);
    };
    let (unit, by) = if let Some(by) = factor(THOUSANDS, unit) {
        (RateUnit::Packets, by)
    } else if let Some(by) = factor(SIZES, unit) {
        (RateUnit::Bits, 8 * by)
    } else if let Some(by) = factor(BITS, unit) {
        (RateUnit::Bits, by)
    } else {
        return bad_unit(text, digits, unit, &format!("/{period}"));
    };
    Ok(LiteralValue::Rate(Rate { amount: scaled(text, value, by)?, unit, period: nanoseconds }))
}

fn split_unit(text: &str) -> (&str, &str) {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    text.split_at(digits)
}

fn decimal(digits: &str) -> Read<u128> {
    if digits.len() > 1 && digits.starts_with('0') {
        let help = "decimal numbers have no leading zeros; `0x` begins a hexadecimal one";
        return mendable(format!("a number with a leading zero, `{digits}`"), help);
    }
    match digits.parse() {
        Ok(value) => Ok(value),
        Err(_) => too_large(digits),
    }
}

fn scaled(text: &str, amount: u128, by: u64) -> Read<u64> {
    let value = amount.checked_mul(u128::from(by)).and_then(|v| u64::try_from(v).ok());
    match value {
        Some(value) => Ok(value),
        None => too_large(text),
    }
}

fn too_large<T>(text: &str) -> Read<T> {
    unreadable(format!("too large a number, `{text}`"))
}

fn bad_unit<T>(text: &str, digits: &str, unit: &str, period: &str) -> Read<T> {
    if unit.starts_with('_') {
        let help = "write the digits without `_`";
        return mendable(format!("no number is written `{text}`"), help);
    }
    let message = format!("no unit is written `{unit}`");
    let meant = FOREIGN_UNITS.iter().find(|(name, _)| *name == unit);
    match meant {
        Some((_, ours)) => mendable(message, format!("write `{digits}{ours}{period}`")),
        None if unit.bytes().all(|b| b.is_ascii_hexdigit()) => {
            mendable(message, format!("a hexadecimal number is written `0x{text}`"))
        }
        None => unreadable(message),
    }
}

/// The bytes of a quoted text, the quotes included in `text`.
pub(super) fn unescape(text: &str) -> Read<Vec<u8>> {
    let inner = &text.as_bytes()[1..text.len() - 1];
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner.iter();
    while let Some(&byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next() {
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(&c @ (b'"' | b'\\')) => c,
            Some(b'x') => hex_byte(&mut rest)?,
            _ => return unknown_escape(),
        });
    }
    Ok(bytes)
}

fn hex_byte(rest: &mut std::slice::Iter<'_, u8>) -> Read<u8> {
    let mut digit = || (*rest.next()? as char).to_digit(16);
    match (digit(), digit()) {
        (Some(high), Some(low)) => Ok((high * 16 + low) as u8),
        _ => unknown_escape(),
    }
}

fn unknown_escape<T>() -> Read<T> {
    mendable(
        "an escape that the language does not have",
        r#"there are `\"`, `\\`, `\n`, `\r`, `\t` and `\xHH`"#,
    )
}

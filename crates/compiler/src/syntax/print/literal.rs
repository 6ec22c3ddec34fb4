//! Constants as text, when no source has their spelling.

use crate::syntax::ast::{Literal, LiteralValue, Rate, RateUnit};
use std::fmt;

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl fmt::Display for LiteralValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LiteralValue::Int(value) => write!(f, "{value}"),
            LiteralValue::Bool(value) => write!(f, "{value}"),
            LiteralValue::Ip4(address) => write!(f, "{address}"),
            LiteralValue::Ip6(address) => write!(f, "{address}"),
            LiteralValue::Prefix4(address, length) => write!(f, "{address}/{length}"),
            LiteralValue::Prefix6(address, length) => write!(f, "{address}/{length}"),
            LiteralValue::Mac([a, b, c, d, e, g]) => {
                write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
            }
            LiteralValue::Bytes(bytes) => quoted(f, bytes),
            LiteralValue::Duration(value) => in_units(f, *value, DURATIONS),
            LiteralValue::Size(value) => in_units(f, *value, SIZES),
            LiteralValue::Rate(rate) => write!(f, "{rate}"),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.unit {
            RateUnit::Packets => in_units(f, self.amount, THOUSANDS)?,
            RateUnit::Bits => in_units(f, self.amount, BITS)?,
        }
        let period = PERIODS.iter().find(|(_, length)| *length == self.period);
        write!(f, "/{}", period.map_or("s", |(name, _)| name))
    }
}

/// Units, largest first; the last divides everything.
type Units = &'static [(&'static str, u64)];

const SECOND: u64 = 1_000_000_000;
const PERIODS: Units = &[("h", 3_600 * SECOND), ("m", 60 * SECOND), ("s", SECOND)];
const DURATIONS: Units = &[
    ("d", 86_400 * SECOND),
    ("h", 3_600 * SECOND),
    ("m", 60 * SECOND),
    ("s", SECOND),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];
const SIZES: Units = &[("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000), ("B", 1)];
const BITS: Units = &[("Gbit", 1_000_000_000), ("Mbit", 1_000_000), ("kbit", 1_000), ("bit", 1)];
const THOUSANDS: Units = &[("G", 1_000_000_000), ("M", 1_000_000), ("k", 1_000), ("", 1)];

fn in_units(f: &mut fmt::Formatter<'_>, value: u64, units: Units) -> fmt::Result {
    let smallest = units.len() - 1;
    let fitting = |&&(_, size): &&(&str, u64)| value != 0 && value.is_multiple_of(size);
    let (name, size) = units.iter().find(fitting).unwrap_or(&units[smallest]);
    write!(f, "{}{name}", value / size)
}

/// Bytes in quotes; those that are no printable ASCII as escapes.
pub(super) fn quoted(f: &mut impl fmt::Write, bytes: &[u8]) -> fmt::Result {
    f.write_char('"')?;
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => write!(f, "\\{}", byte as char)?,
            b'\n' => f.write_str("\\n")?,
            b'\r' => f.write_str("\\r")?,
            b'\t' => f.write_str("\\t")?,
            b' '..=b'~' => f.write_char(byte as char)?,
            _ => write!(f, "\\x{byte:02x}")?,
        }
    }
    f.write_char('"')
}

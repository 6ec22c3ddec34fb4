//! `limit`: rates, bursts and keys.

use super::Checker;
use crate::diagnostic::Code;
use crate::policy::{KeyPart, Limit, LimitUnit};
use crate::source::Span;
use crate::syntax::ast::{self, LiteralValue, RateUnit};

/// Keys that are told apart unless `max` says otherwise.
const DEFAULT_KEYS: u32 = 65_536;

/// The largest packet that a limit may have to pay for (a `u16` length and an Ethernet header).
const LARGEST_COST: u128 = 65_549;

/// Time ends here: 2^60 sixteenths of a nanosecond are two years, and clocks have as much again.
const LONGEST: u128 = 1 << 60;

impl Checker<'_> {
    pub(super) fn limit(&mut self, ast: &ast::Limit) -> Option<Limit> {
        let LiteralValue::Rate(rate) = ast.rate.value else {
            return self.bad_limit(ast.rate.span, "a limit is a rate", "such as `500/s` or `10MB/s`");
        };
        if rate.amount == 0 {
            return self.bad_limit(
                ast.rate.span,
                "a rate above zero is needed",
                "to let nothing through, use `drop`",
            );
        }
        let (unit, units) = match rate.unit {
            RateUnit::Packets => (LimitUnit::Packets, u128::from(rate.amount)),
            RateUnit::Bits => (LimitUnit::Bytes, u128::from(rate.amount).div_ceil(8)),
        };
        // Sixteenths of a nanosecond, 16 binary places more: 10 Gbit/s is 0.8 ns a byte.
        let ticks = u128::from(rate.period) << 20;
        let interval = match rate.unit {
            RateUnit::Packets => ticks / u128::from(rate.amount),
            RateUnit::Bits => ticks * 8 / u128::from(rate.amount),
        };
        let burst = self.burst(ast, unit, units * 1_000_000_000 / u128::from(rate.period))?;
        let tolerance = (burst * interval) >> 16;
        let longest_cost = if unit == LimitUnit::Bytes { LARGEST_COST } else { 1 };
        if interval == 0 || tolerance > LONGEST || interval * longest_cost > u128::from(u64::MAX) {
            return self.bad_limit(
                ast.rate.span,
                "the rate cannot be kept exactly enough",
                "too fast, too slow, or with too large a burst",
            );
        }
        let keys = same_widths(self.keys(&ast.per, Code::BadLimit)?);
        let max = self.limit_max(ast)?;
        let text = format!("{} burst {}", self.text(ast.rate.span), burst);
        Some(Limit { unit, interval: interval as u64, tolerance: tolerance as u64, keys, max, text })
    }

    fn bad_limit<T>(&mut self, span: Span, message: &str, label: &str) -> Option<T> {
        self.diagnostics.report(Code::BadLimit, span, message).label(label);
        None
    }

    /// The burst in units; by default what the rate lets through in a second, and a full frame at least.
    fn burst(&mut self, ast: &ast::Limit, unit: LimitUnit, per_second: u128) -> Option<u128> {
        let Some(literal) = &ast.burst else {
            return Some(per_second.max(if unit == LimitUnit::Bytes { 1514 } else { 1 }));
        };
        match (&literal.value, unit) {
            (LiteralValue::Int(0) | LiteralValue::Size(0), _) => self.bad_limit(
                literal.span,
                "a burst above zero is needed",
                "with none, no packet ever passes",
            ),
            (LiteralValue::Int(count), LimitUnit::Packets) if *count <= 1 << 40 => Some(*count),
            (LiteralValue::Size(bytes), LimitUnit::Bytes) => Some(u128::from(*bytes)),
            (LiteralValue::Size(_), LimitUnit::Packets) => self.bad_limit(
                literal.span,
                "the rate counts packets and the burst bytes",
                "expected a number of packets",
            ),
            (LiteralValue::Int(_), LimitUnit::Bytes) => self.bad_limit(
                literal.span,
                "the rate counts bytes, the burst has no unit",
                "expected a size such as `64kB`",
            ),
            _ => {
                self.bad_limit(literal.span, "this is not a burst", "expected a number of packets, or a size")
            }
        }
    }

    fn limit_max(&mut self, ast: &ast::Limit) -> Option<u32> {
        let Some(literal) = &ast.max else { return Some(DEFAULT_KEYS) };
        match literal.value {
            LiteralValue::Int(max @ 1..=16_000_000) => Some(max as u32),
            _ => self.bad_limit(
                literal.span,
                "a limit tells between 1 and 16M keys apart",
                "such as `max 100k`",
            ),
        }
    }
}

/// Gives a part the same width in all keys (`ip.len` is narrower in IPv4), so that one table holds
/// them all. Address families are told apart by [`KeyPart::mapped`] instead.
fn same_widths(mut keys: Vec<Vec<KeyPart>>) -> Vec<Vec<KeyPart>> {
    for column in 0..keys.first().map_or(0, Vec::len) {
        let widest = keys.iter().map(|key| key[column].width).max().unwrap_or(0);
        for part in keys.iter_mut().map(|key| &mut key[column]).filter(|part| !part.mapped) {
            part.prefix += widest - part.width;
            part.width = widest;
        }
    }
    keys
}

//! `limit`: rates, bursts and keys.

use super::Checker;
use super::expr::Meaning;
use crate::diagnostic::Code;
use crate::policy::{KeyPart, Limit, LimitUnit, ValueType};
use crate::source::Span;
use crate::syntax::ast::{self, LiteralValue, RateUnit};

/// Keys that are told apart unless `max` says otherwise.
const DEFAULT_KEYS: u32 = 65_536;

/// How many bits of an IPv6 address count where a key gives a length for IPv4 only: the smallest
/// network that one user is given (RFC 6177), so that nobody escapes by changing the host part.
const DEFAULT_PREFIX6: u8 = 64;

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
        let keys = self.keys(&ast.per)?;
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

    fn keys(&mut self, per: &[ast::Key]) -> Option<Vec<Vec<KeyPart>>> {
        let mut rows: Vec<(Meaning, Vec<KeyPart>)> =
            vec![(Meaning { choices: Vec::new(), sides: Vec::new() }, Vec::new())];
        for key in per {
            let meanings = self.operand(&key.value)?;
            if meanings.iter().any(|m| m.sides.len() > 1) {
                self.diagnostics
                    .report(Code::Ambiguous, key.value.span, "a key is one value, this means either side")
                    .label("name the side");
                return None;
            }
            let mapped = meanings.iter().any(|m| m.sides[0].ty == ValueType::Ip4)
                && meanings.iter().any(|m| m.sides[0].ty == ValueType::Ip6);
            let mut longer = Vec::new();
            for meaning in &meanings {
                let part = self.key_part(key, meaning, mapped)?;
                let fitting = rows.iter().filter(|(so_far, _)| {
                    !so_far.choices.iter().any(|a| meaning.choices.iter().any(|b| a.conflicts(*b)))
                });
                longer.extend(fitting.map(|(so_far, row)| {
                    let choices = so_far.choices.iter().chain(&meaning.choices).copied().collect();
                    (
                        Meaning { choices, sides: Vec::new() },
                        row.iter().cloned().chain([part.clone()]).collect(),
                    )
                }));
            }
            rows = longer;
        }
        if per.is_empty() {
            return Some(Vec::new());
        }
        Some(same_widths(rows.into_iter().map(|(_, row)| row).collect()))
    }

    fn key_part(&mut self, key: &ast::Key, meaning: &Meaning, mapped: bool) -> Option<KeyPart> {
        let typed = &meaning.sides[0];
        let (ty, width) = (typed.ty, typed.ty.bits());
        let term = typed.term.clone();
        let lengths: Vec<u8> = key.prefix.iter().map(|(length, _)| *length).collect();
        let address = matches!(ty, ValueType::Ip4 | ValueType::Ip6);
        let prefix = match (lengths.as_slice(), ty) {
            ([], _) => width,
            ([_, _, ..], _) if !mapped => {
                return self.bad_prefix(key, "only a field of either family has two lengths");
            }
            (_, _) if !address => return self.bad_prefix(key, "only addresses are counted by prefix"),
            ([_, second, ..], ValueType::Ip6) => *second,
            ([_], ValueType::Ip6) if mapped => DEFAULT_PREFIX6,
            ([first, ..], _) => *first,
        };
        if prefix > width {
            return self.bad_prefix(key, "longer than the address");
        }
        Some(KeyPart { term, width, prefix, mapped })
    }

    fn bad_prefix<T>(&mut self, key: &ast::Key, message: &str) -> Option<T> {
        let span = key.prefix.last().map_or(key.value.span, |(_, span)| *span);
        self.bad_limit(span, message, "this length")
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

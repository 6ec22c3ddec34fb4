//! Conditions on features, and rules made of them; how both are written in the policy language.

use super::feature::{Feature, Kind};
use super::walk::{Cell, Row};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

/// What a value must be.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub(super) enum Test {
    /// In one of these ranges, both ends in it: rising, without overlap.
    In(Vec<(u64, u64)>),
    /// Of the bits in `mask`, exactly those in `value` are set.
    Masked { mask: u64, value: u64 },
}

impl Test {
    pub(super) fn exactly(value: u64) -> Test {
        Test::In(vec![(value, value)])
    }

    pub(super) fn between(low: u64, high: u64) -> Test {
        Test::In(vec![(low, high)])
    }

    /// One of some values.
    pub(super) fn one_of(mut values: Vec<u64>) -> Test {
        values.sort_unstable();
        values.dedup();
        Test::In(values.into_iter().map(|value| (value, value)).collect())
    }

    pub(super) fn holds(&self, value: u64) -> bool {
        match self {
            Test::In(ranges) => ranges.iter().any(|&(low, high)| low <= value && value <= high),
            Test::Masked { mask, value: wanted } => value & mask == *wanted,
        }
    }

    /// Whether all that this holds for, the other does too.
    pub(super) fn is_within(&self, other: &Test) -> bool {
        match (self, other) {
            (Test::In(own), Test::In(others)) => {
                own.iter().all(|&(low, high)| others.iter().any(|other| other.0 <= low && high <= other.1))
            }
            (Test::In(own), masked) => own.iter().all(|&(low, high)| low == high && masked.holds(low)),
            (Test::Masked { mask, value }, Test::Masked { mask: m, value: v }) => {
                mask & m == *m && value & m == *v
            }
            (Test::Masked { .. }, Test::In(_)) => false,
        }
    }

    /// Holds for what either holds for, and for nothing else; ranges are joined if no feature's value is between.
    pub(super) fn or(&self, other: &Test) -> Option<Test> {
        let (Test::In(a), Test::In(b)) = (self, other) else { return (self == other).then(|| self.clone()) };
        let mut all: Vec<_> = a.iter().chain(b).copied().collect();
        all.sort_unstable();
        let mut joined: Vec<(u64, u64)> = Vec::new();
        for range in all {
            match joined.last_mut().filter(|last| range.0 <= last.1) {
                Some(last) => last.1 = last.1.max(range.1),
                None => joined.push(range),
            }
        }
        Some(Test::In(joined))
    }

    /// Bits of description; one-sided ranges cost less than others, single values least.
    fn cost(&self, feature: Feature) -> f64 {
        let more = match self {
            Test::In(ranges) => {
                let shape = |&(low, high): &(u64, u64)| match () {
                    () if low == high => 0.0,
                    () if low == 0 || high >= feature.max() => 1.0,
                    // Of prefixes that part the samples alike, the longest is the shortest description.
                    () if matches!(feature.kind(), Kind::Source4 | Kind::Source6) => {
                        f64::from((low ^ high).count_ones()) / 32.0
                    }
                    () => 3.0,
                };
                (ranges.len() as f64 - 1.0) * 4.0 + ranges.iter().map(shape).sum::<f64>()
            }
            Test::Masked { .. } => 0.0,
        };
        feature.cost() + more
    }

    fn write(&self, feature: Feature) -> String {
        let name = feature.text();
        let ranges = match self {
            Test::In(ranges) => ranges,
            Test::Masked { mask: 4, value: 4 } if feature == Feature::TcpFlags => {
                return format!("{name}.reset");
            }
            Test::Masked { mask, value } => return format!("{name} & {mask:#04x} == {value:#04x}"),
        };
        let literal = |value: u64| literal(feature, value);
        match (feature.kind(), ranges.as_slice()) {
            (Kind::Header, &[(number, _)]) => header(number).into(),
            (Kind::Flag, [(1, 1)]) => name.into(),
            (Kind::Option, &[(there, _)]) => {
                if there == 0 {
                    format!("not {name}")
                } else {
                    name.into()
                }
            }
            (Kind::Source4 | Kind::Source6, [one]) => format!("{name} == {}", prefix(feature, *one)),
            (_, &[(low, high)]) => match () {
                () if low == high => format!("{name} == {}", literal(low)),
                () if high >= feature.max() => format!("{name} >= {}", literal(low)),
                () if low == 0 => format!("{name} <= {}", literal(high)),
                () => format!("{name} in {{ {}..{} }}", literal(low), literal(high)),
            },
            (kind, many) => {
                let element = |range: &(u64, u64)| match kind {
                    Kind::Source4 | Kind::Source6 => prefix(feature, *range),
                    _ if range.0 == range.1 => literal(range.0),
                    _ => format!("{}..{}", literal(range.0), literal(range.1)),
                };
                let elements: Vec<_> = many.iter().map(element).collect();
                format!("{name} in {{ {} }}", elements.join(", "))
            }
        }
    }
}

fn literal(feature: Feature, value: u64) -> String {
    match feature.kind() {
        Kind::Hex => format!("{value:#04x}"),
        Kind::Bytes(size) => {
            let bytes = &value.to_be_bytes()[8 - usize::from(size)..];
            if size < 4 {
                format!("{value:#0width$x}", width = usize::from(size) * 2 + 2)
            } else {
                quoted(bytes)
            }
        }
        _ => value.to_string(),
    }
}

/// Bytes as a string of the language; as a number if few of them can be read.
fn quoted(bytes: &[u8]) -> String {
    let readable = |byte: &&u8| byte.is_ascii_graphic() && **byte != b'"' && **byte != b'\\';
    if bytes.iter().filter(readable).count() * 2 < bytes.len() {
        return bytes.iter().fold("0x".into(), |text, byte| format!("{text}{byte:02x}"));
    }
    let letter = |byte: &u8| match Some(byte).filter(readable) {
        Some(&byte) => char::from(byte).to_string(),
        None => format!("\\x{byte:02x}"),
    };
    format!("\"{}\"", bytes.iter().map(letter).collect::<String>())
}

/// The prefix that holds exactly a range of addresses.
fn prefix(feature: Feature, (low, high): (u64, u64)) -> String {
    let host = (low ^ high).count_ones();
    match feature.kind() {
        Kind::Source4 if host == 0 => Ipv4Addr::from(low as u32).to_string(),
        Kind::Source4 => format!("{}/{}", Ipv4Addr::from(low as u32), 32 - host),
        _ => format!("{}/{}", Ipv6Addr::from(u128::from(low) << 64), 64 - host),
    }
}

fn header(number: u64) -> &'static str {
    match number {
        1 => "icmp",
        6 => "tcp",
        17 => "udp",
        _ => "icmpv6",
    }
}

/// Conditions that all must hold: at most one on each feature.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize)]
pub(super) struct Rule {
    pub(super) tests: BTreeMap<Feature, Test>,
}

impl Rule {
    /// With one more condition, or a narrower one; `None` if it would not be narrower.
    pub(super) fn with(&self, feature: Feature, test: &Test) -> Option<Rule> {
        let narrower = self.tests.get(&feature).is_none_or(|own| test != own && test.is_within(own));
        narrower.then(|| {
            let mut rule = self.clone();
            rule.tests.insert(feature, test.clone());
            rule
        })
    }

    pub(super) fn without(&self, feature: Feature) -> Rule {
        let mut rule = self.clone();
        rule.tests.remove(&feature);
        rule
    }

    /// Its description in bits.
    pub(super) fn cost(&self) -> f64 {
        self.said().map(|(&feature, test)| test.cost(feature)).sum()
    }

    /// Whether it holds for a sample; `None` if the sample does not show enough.
    pub(super) fn holds(&self, row: &Row) -> Option<bool> {
        let mut known = true;
        for (feature, test) in &self.tests {
            match row.cells[feature.index()] {
                Cell::Value(value) if test.holds(value) => {}
                Cell::Unknown => known = false,
                Cell::Value(_) | Cell::Absent => return Some(false),
            }
        }
        known.then_some(true)
    }

    /// The conditions in words, joined by `and`; empty if there is none.
    pub(super) fn write(&self) -> Vec<String> {
        self.said().map(|(&feature, test)| test.write(feature)).collect()
    }

    /// The conditions that are not said by another: a port says which header is there. An option that is not there
    /// says nothing of the header.
    fn said(&self) -> impl Iterator<Item = (&Feature, &Test)> {
        let says = |feature: &&Feature| feature.transport().is_some() && !self.only_denies(**feature);
        let implied = self.tests.keys().any(|feature| says(&feature));
        self.tests.iter().filter(move |(feature, _)| **feature != Feature::Transport || !implied)
    }

    fn only_denies(&self, feature: Feature) -> bool {
        feature.kind() == Kind::Option && self.tests[&feature] == Test::exactly(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(tests: &[(Feature, Test)]) -> String {
        Rule { tests: tests.iter().cloned().collect() }.write().join(" and ")
    }

    #[test]
    fn conditions_are_written_as_the_language_has_them() {
        let udp = (Feature::Transport, Test::exactly(17));
        assert_eq!(rule(std::slice::from_ref(&udp)), "udp");
        assert_eq!(rule(&[udp, (Feature::UdpSrcport, Test::exactly(53))]), "udp.srcport == 53");
        assert_eq!(rule(&[(Feature::IpLen, Test::between(400, 0xffff))]), "ip.len >= 400");
        assert_eq!(rule(&[(Feature::IpLen, Test::between(40, 44))]), "ip.len in { 40..44 }");
        assert_eq!(rule(&[(Feature::TcpFlags, Test::one_of(vec![0x12, 4]))]), "tcp.flags in { 0x04, 0x12 }");
        let flags = Test::Masked { mask: 0x17, value: 2 };
        assert_eq!(rule(&[(Feature::TcpFlags, flags)]), "tcp.flags & 0x17 == 0x02");
        assert_eq!(
            rule(&[(Feature::Source4, Test::between(0x0a000000, 0x0affffff))]),
            "ip.src == 10.0.0.0/8"
        );
        let name = u64::from_be_bytes(*b"\x08example");
        assert_eq!(
            rule(&[(Feature::UdpBytes12x8, Test::exactly(name))]),
            "udp.payload[12:8] == \"\\x08example\""
        );
        assert_eq!(rule(&[(Feature::UdpBytes0x4, Test::exactly(7))]), "udp.payload[0:4] == 0x00000007");
    }

    #[test]
    fn an_option_that_is_not_there_does_not_say_the_header() {
        let tcp = (Feature::Transport, Test::exactly(6));
        assert_eq!(rule(&[tcp, (Feature::OptionMss, Test::exactly(0))]), "tcp and not tcp.options.mss");
    }

    #[test]
    fn narrower_is_what_is_within() {
        let syn = Test::Masked { mask: 0x17, value: 2 };
        assert!(Test::exactly(0xc2).is_within(&syn));
        assert!(!Test::exactly(0x12).is_within(&syn));
        assert!(Test::between(5, 6).is_within(&Test::between(5, 9)));
        let base = Rule::default().with(Feature::TcpFlags, &syn).unwrap();
        assert_eq!(base.with(Feature::TcpFlags, &Test::exactly(0x12)), None);
        assert_eq!(base.with(Feature::TcpFlags, &Test::exactly(2)).unwrap().tests.len(), 1);
    }
}

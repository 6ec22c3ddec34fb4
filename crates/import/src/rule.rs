//! What the formats have in common: chains of rules with conditions, limits and targets.

use crate::condition::Condition;
use crate::{Finding, Kind};

/// Rules as a foreign tool has them.
#[derive(Debug, Default)]
pub(crate) struct Ruleset {
    pub(crate) chains: Vec<Chain>,
    pub(crate) sets: Vec<Set>,
}

/// A chain of a table. Tables are name spaces: jumps stay inside one.
#[derive(Debug)]
pub(crate) struct Chain {
    /// With its family where a format has it: `filter`, `inet filter`.
    pub(crate) table: String,
    pub(crate) name: String,
    pub(crate) family: Family,
    /// Set if packets enter here.
    pub(crate) base: Option<Base>,
    pub(crate) entries: Vec<Entry>,
}

/// How packets enter a chain, and what happens at its end.
#[derive(Clone, Debug)]
pub(crate) struct Base {
    /// Lower case: `input`.
    pub(crate) hook: String,
    /// Among the chains of a hook the lowest is first.
    pub(crate) priority: i64,
    /// Whether the chain filters; others (nat) are imported only when asked for.
    pub(crate) filters: bool,
    /// What the policy does at the end.
    pub(crate) drops: bool,
}

/// Which packets a table sees.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Family {
    /// IPv4 alone.
    V4,
    /// IPv6 alone.
    V6,
    /// Both.
    Both,
    /// Every frame.
    Link,
}

/// Where a rule comes from, in its author's terms.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Origin {
    /// `line 7`, `handle 12`, `.20d10ae9`
    pub(crate) place: String,
    pub(crate) chain: String,
    /// Its own text.
    pub(crate) text: String,
}

/// One place in a chain.
#[derive(Debug)]
pub(crate) enum Entry {
    Rule(Rule),
    /// A rule that makes no statement.
    Aside(Finding),
}

/// A rule.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) origin: Origin,
    /// What the statement is to be called.
    pub(crate) name: String,
    /// Whether its author called it so.
    pub(crate) chosen: bool,
    /// All of these hold.
    pub(crate) when: Vec<Condition>,
    /// It applies only within a rate, or only above it.
    pub(crate) limit: Option<Limit>,
    pub(crate) target: Target,
    /// How the statement differs from the rule.
    pub(crate) changed: Option<String>,
}

/// What a rule does with a packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Target {
    Accept,
    Drop,
    /// Nothing: it counts.
    Count,
    Return,
    Jump(String),
    Goto(String),
}

/// A token bucket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Limit {
    /// Whether the rule applies to what is above the rate, or to what is within it.
    pub(crate) above: bool,
    /// As the language writes it: `10/s`.
    pub(crate) rate: String,
    pub(crate) burst: u64,
    /// Fields, with prefix lengths.
    pub(crate) per: Vec<String>,
    pub(crate) max: Option<u64>,
}

/// A named set.
#[derive(Clone, Debug)]
pub(crate) struct Set {
    pub(crate) name: String,
    /// Types or fields, one for each value of an element.
    pub(crate) types: Vec<String>,
    pub(crate) elements: Vec<String>,
    /// Set if it changes while running.
    pub(crate) live: Option<Live>,
    /// How it differs from what it was.
    pub(crate) changed: Option<Finding>,
}

/// What a set that changes needs.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    /// In seconds.
    pub(crate) timeout: Option<u64>,
    pub(crate) max: u64,
}

impl Origin {
    /// A finding about the rule.
    pub(crate) fn finding(&self, kind: Kind, why: impl Into<String>) -> Finding {
        Finding {
            kind,
            place: self.place.clone(),
            chain: self.chain.clone(),
            rule: self.text.clone(),
            why: why.into(),
        }
    }
}

impl Ruleset {
    /// A chain of a table.
    pub(crate) fn chain(&self, table: &str, name: &str) -> Option<&Chain> {
        self.chains.iter().find(|chain| chain.table == table && chain.name == name)
    }
}

impl Family {
    /// What a packet must have for a table of this family to see it.
    pub(crate) fn header(self) -> Option<&'static str> {
        match self {
            Family::V4 => Some("ip4"),
            Family::V6 => Some("ip6"),
            Family::Both => Some("ip"),
            Family::Link => None,
        }
    }
}

/// A rate in the language's words; nothing where it has none for a whole number of packets.
pub(crate) fn rate(amount: u64, unit: &str) -> Option<String> {
    let (amount, period) = match unit {
        "s" | "sec" | "second" => (amount, "s"),
        "m" | "min" | "minute" => (amount, "m"),
        "h" | "hour" => (amount, "h"),
        "d" | "day" if amount.is_multiple_of(24) => (amount / 24, "h"),
        "week" if amount.is_multiple_of(168) => (amount / 168, "h"),
        _ => return None,
    };
    (amount > 0).then(|| format!("{amount}/{period}"))
}

//! What others would build for rules, or for a set: C programs that count and judge as the policy does.

mod tuples;
mod vectors;

use std::fmt::Write as _;

use crate::clang::Source;
use crate::rule::{ANY_PORT, Rule, drops, mask};

/// Makes a rival of rules.
type Make = fn(&[Rule]) -> Source;

/// The rivals of a table of rules, each in its own file in `c/`.
const RIVALS: [(&str, Make); 4] = [
    ("linear, rows", rows),
    ("linear, code", code),
    ("tuple space", tuples::source),
    ("bit vector", vectors::source),
];

/// Rows of one value of `linear.c`.
const BLOCK: usize = 64;

/// Rules of one function of `chain.c`: its jumps reach 32,767 instructions.
const FUNCTION: usize = 1_000;

/// All rivals of these rules.
pub(crate) fn of_rules(rules: &[Rule]) -> Vec<(&'static str, Source)> {
    RIVALS.iter().map(|(name, make)| (*name, make(rules))).collect()
}

/// The map that C would take for a set; keys as the kernel wants them.
pub(crate) fn of_set(file: &'static str, keys: &[Vec<u8>]) -> (&'static str, Source) {
    let source = Source {
        defines: vec![format!("ENTRIES={}", keys.len())],
        fill: vec![("sources", keys.iter().map(|key| (key.clone(), vec![1, 0, 0, 0])).collect())],
        ..Source::plain(file)
    };
    ("bare look-up", source)
}

fn rows(rules: &[Rule]) -> Source {
    let block = |(nth, rules): (usize, &[Rule])| {
        let rows = rules.iter().enumerate().map(|(at, rule)| row(nth * BLOCK + at, rule));
        // The rest of the last block meets nothing: no port is at least 1 and at most 0.
        let mut value = rows.chain(std::iter::repeat(NO_ROW)).take(BLOCK).collect::<Vec<_>>().concat();
        value.shrink_to_fit();
        ((nth as u32).to_ne_bytes().to_vec(), value)
    };
    let blocks = rules.chunks(BLOCK).enumerate().map(block).collect();
    Source { defines: count(rules), fill: vec![("blocks", blocks)], ..Source::plain("linear.c") }
}

/// `RULES`, which all of them want.
fn count(rules: &[Rule]) -> Vec<String> {
    vec![format!("RULES={}", rules.len())]
}

/// `struct row`.
type Row = [u8; 32];

const NO_ROW: Row = {
    let mut row = [0; 32];
    row[16] = 1;
    row
};

fn row(number: usize, rule: &Rule) -> Row {
    let mut row = [0; 32];
    for (at, (address, length)) in [(0, rule.source), (8, rule.target)] {
        row[at..at + 4].copy_from_slice(&address.to_be_bytes());
        row[at + 4..at + 8].copy_from_slice(&mask(length).to_be_bytes());
    }
    for (at, port) in [(16, rule.from.0), (18, rule.from.1), (20, rule.to.0), (22, rule.to.1)] {
        row[at..at + 2].copy_from_slice(&port.to_ne_bytes());
    }
    if let Some(number) = rule.transport.number() {
        row[24..26].copy_from_slice(&[number, 0xff]);
    }
    row[26] = u8::from(drops(number));
    row[28..].copy_from_slice(&(number as u32).to_ne_bytes());
    row
}

fn code(rules: &[Rule]) -> Source {
    let (mut text, mut calls) = (String::new(), Vec::new());
    for (nth, rules) in rules.chunks(FUNCTION).enumerate() {
        let _ = writeln!(text, "FUNCTION(chain_{nth})");
        for (at, rule) in rules.iter().enumerate() {
            let number = nth * FUNCTION + at;
            let _ = writeln!(text, "    RULE({number}, {}, {})", u8::from(drops(number)), condition(rule));
        }
        let _ = writeln!(text, "END");
        calls.push(format!("chain_{nth}(search)"));
    }
    let _ = writeln!(text, "#define chain(search) ({})", calls.join(" || "));
    Source { defines: count(rules), header: Some(("chain.h", text)), ..Source::plain("chain.c") }
}

/// In C; nothing is asked of what is free.
fn condition(rule: &Rule) -> String {
    let mut asked = vec!["1".to_owned()];
    for (name, (address, length)) in [("src", rule.source), ("dst", rule.target)] {
        let (value, mask) = (address.to_be(), mask(length).to_be());
        match length {
            0 => {}
            32 => asked.push(format!("ASK({name}) == {value:#x}")),
            _ => asked.push(format!("(ASK({name}) & {mask:#x}) == {value:#x}")),
        }
    }
    if let Some(number) = rule.transport.number() {
        asked.push(format!("ASK(proto) == {number}"));
    }
    for (name, (low, high)) in [("to", rule.to), ("from", rule.from)] {
        match (low, high) {
            ANY_PORT => {}
            _ if low == high => asked.push(format!("ASK({name}) == {low}")),
            _ => asked.push(format!("IN(ASK({name}), {low}, {high})")),
        }
    }
    asked.join(" && ")
}

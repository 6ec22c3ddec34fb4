//! Tuple space search.

use std::collections::HashMap;

use super::{count, row};
use crate::clang::Source;
use crate::rule::{Ports, Rule, mask};

/// How much of each field is exact.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Tuple {
    source: u32,
    target: u32,
    from: bool,
    to: bool,
    proto: bool,
}

/// The numbers of the rules with the same exact values, in their order.
type Entries = HashMap<Vec<u8>, Vec<usize>>;

pub(crate) fn source(rules: &[Rule]) -> Source {
    // Tuples in the order of their first rules, because rules are walked in theirs.
    let mut tuples: Vec<(Tuple, usize)> = Vec::new();
    let mut numbers = HashMap::new();
    let mut entries = Entries::new();
    for (number, rule) in rules.iter().enumerate() {
        let tuple = Tuple::of(rule);
        let nth = *numbers.entry(tuple).or_insert_with(|| {
            tuples.push((tuple, number));
            tuples.len() - 1
        });
        entries.entry(key(nth, rule)).or_default().push(number);
    }
    let longest = entries.values().map(Vec::len).max().unwrap_or_default();
    let mut defines = count(rules);
    defines.extend([format!("TUPLES={}", tuples.len()), format!("LONGEST={longest}")]);
    let tuples = tuples.iter().enumerate().map(|(nth, (tuple, first))| (index(nth), tuple.value(*first)));
    let mut fill = vec![("tuples", tuples.collect())];
    fill.extend(chains(rules, entries));
    Source { defines, fill, ..Source::plain("tuples.c") }
}

/// The entries, and the rows that they name.
fn chains(rules: &[Rule], entries: Entries) -> [(&'static str, weir_kernel::maps::Entries); 2] {
    let (mut values, mut rows) = (Vec::new(), Vec::new());
    for (key, chain) in entries {
        values.push((key, [index(rows.len()), index(chain.len())].concat()));
        for number in chain {
            rows.push((index(rows.len()), row(number, &rules[number]).to_vec()));
        }
    }
    [("entries", values), ("rows", rows)]
}

fn index(number: usize) -> Vec<u8> {
    (number as u32).to_ne_bytes().to_vec()
}

fn is_exact((low, high): Ports) -> bool {
    low == high
}

impl Tuple {
    fn of(rule: &Rule) -> Self {
        Self {
            source: rule.source.1,
            target: rule.target.1,
            from: is_exact(rule.from),
            to: is_exact(rule.to),
            proto: rule.transport.number().is_some(),
        }
    }

    /// `struct tuple`.
    fn value(self, first: usize) -> Vec<u8> {
        let ones = |exact: bool| if exact { u16::MAX } else { 0 };
        let addresses = [mask(self.source).to_be_bytes(), mask(self.target).to_be_bytes()];
        let ports = [ones(self.from).to_ne_bytes(), ones(self.to).to_ne_bytes()];
        let rest = [u32::from(ones(self.proto)), first as u32].map(u32::to_ne_bytes);
        [addresses.concat(), ports.concat(), rest.concat()].concat()
    }
}

/// `struct key`.
fn key(tuple: usize, rule: &Rule) -> Vec<u8> {
    let exact = |ports: Ports| if is_exact(ports) { ports.0 } else { 0 };
    let proto = u16::from(rule.transport.number().unwrap_or_default());
    let words = [exact(rule.from), exact(rule.to), proto, tuple as u16].map(u16::to_ne_bytes);
    [rule.source.0.to_be_bytes().to_vec(), rule.target.0.to_be_bytes().to_vec(), words.concat()].concat()
}

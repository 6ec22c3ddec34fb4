//! Bit vectors of the rules that a field's value meets.

use std::collections::{BTreeSet, HashMap};
use weir_kernel::maps::{self, Entries};

use super::count;
use crate::clang::Source;
use crate::rule::{Ports, Prefix, Rule, drops, mask};

/// Rules of a word, and words of one bit of the smaller vector.
const WORD: usize = 64;

/// All vectors that differ.
struct Vectors {
    /// How many rules have a bit.
    rules: usize,
    numbers: HashMap<Vec<u64>, u32>,
}

pub(crate) fn source(rules: &[Rule]) -> Source {
    let mut vectors = Vectors { rules: rules.len(), numbers: HashMap::new() };
    let fields = [
        ("sources", vectors.of_addresses(rules, |rule| rule.source)),
        ("targets", vectors.of_addresses(rules, |rule| rule.target)),
        ("from_ports", vectors.of_ports(rules, |rule| rule.from)),
        ("to_ports", vectors.of_ports(rules, |rule| rule.to)),
        ("protos", vectors.of_protos(rules)),
    ];
    let verdicts = (0..rules.len()).map(|number| (index(number), index(usize::from(drops(number)))));
    let mut fill = Vec::from(fields);
    fill.push(("verdicts", verdicts.collect()));
    let mut defines = count(rules);
    defines.push(format!("VECTORS={}", vectors.numbers.len()));
    fill.push(("vectors", vectors.values()));
    Source { defines, fill, ..Source::plain("vectors.c") }
}

fn index(number: usize) -> Vec<u8> {
    (number as u32).to_ne_bytes().to_vec()
}

impl Vectors {
    /// The number of the vector of the rules that meet.
    fn number(&mut self, rules: &[Rule], meets: impl Fn(&Rule) -> bool) -> Vec<u8> {
        let mut words = vec![0u64; self.rules.div_ceil(WORD)];
        for (number, _) in rules.iter().enumerate().filter(|(_, rule)| meets(rule)) {
            words[number / WORD] |= 1 << (number % WORD);
        }
        let next = self.numbers.len() as u32;
        self.numbers.entry(words).or_insert(next).to_ne_bytes().to_vec()
    }

    /// Of each prefix: the rules whose prefixes it is in. The empty prefix stands for what is in no other.
    fn of_addresses(&mut self, rules: &[Rule], of: fn(&Rule) -> Prefix) -> Entries {
        let mut prefixes: BTreeSet<Prefix> = rules.iter().map(of).collect();
        prefixes.insert((0, 0));
        let entry = |(address, length): Prefix| {
            let number = self.number(rules, |rule| {
                let (other, shorter) = of(rule);
                shorter <= length && address & mask(shorter) == other
            });
            (maps::lpm_key(length, &address.to_be_bytes()), number)
        };
        prefixes.into_iter().map(entry).collect()
    }

    /// Of each port; those between two edges of ranges have the same.
    fn of_ports(&mut self, rules: &[Rule], of: fn(&Rule) -> Ports) -> Entries {
        let after = |rule: &Rule| u32::from(of(rule).1) + 1;
        let edges = rules.iter().flat_map(|rule| [u32::from(of(rule).0), after(rule)]);
        let mut edges: BTreeSet<u32> = edges.collect();
        edges.extend([0, 1 << 16]);
        let edges = Vec::from_iter(edges);
        let mut entries = Entries::new();
        for edge in edges.windows(2) {
            let number = self.number(rules, |rule| (of(rule).0.into()..after(rule)).contains(&edge[0]));
            entries.extend((edge[0]..edge[1]).map(|port| (port.to_ne_bytes().to_vec(), number.clone())));
        }
        entries
    }

    fn of_protos(&mut self, rules: &[Rule]) -> Entries {
        let number = |proto: u8| {
            let meets = |rule: &Rule| rule.transport.number().is_none_or(|number| number == proto);
            (index(proto.into()), self.number(rules, meets))
        };
        (0..=u8::MAX).map(number).collect()
    }

    /// `struct vector` of each: which words hold a bit, and the words.
    fn values(self) -> Entries {
        let value = |(words, number): (Vec<u64>, u32)| {
            let bits =
                |words: &[u64]| words.iter().rev().fold(0, |bits, word| bits << 1 | u64::from(*word != 0));
            let groups = words.chunks(WORD).map(bits);
            let all = groups.chain(words.iter().copied());
            (number.to_ne_bytes().to_vec(), all.flat_map(u64::to_ne_bytes).collect())
        };
        self.numbers.into_iter().map(value).collect()
    }
}

//! Prefixes with lifetimes.
//!
//! A trie answers the longest prefix alone, so an expired one would hide a shorter one that is still alive. So the
//! trie's value is not the element's own expiry but the latest one of the element and of all prefixes that cover
//! it. The own expiries are the truth, in a hash map beside the trie (`own-…`, which no program reads) under the
//! same keys; the trie can always be made again from it.
//!
//! That map has one entry more, under a length that no prefix has: [`MARK`], the number of changes so far, odd
//! while one is under way. A process that was killed in between leaves it odd, and the next one makes the trie
//! again. Who remembers the table with its number knows whether it is still the whole truth.

use super::content::{FOREVER, value};
use crate::counters::word;
use std::collections::BTreeMap;
use weir_kernel::KernelError;
use weir_kernel::maps::{Map, MapKind, MapSpec, Update};

/// The length in the key of the entry that counts changes.
const MARK: u32 = u32::MAX;

/// `BPF_F_NO_PREALLOC`: a set without prefixes costs no memory for them.
const NO_PREALLOC: u32 = 1;

/// A prefix: its first address, from the most significant bit of 128 on, and its length.
type Prefix = (u128, u8);

/// The prefixes of one trie with their own expiries, in the order of a walk: what covers comes first.
#[derive(Clone, Default, Debug)]
pub(crate) struct Prefixes {
    own: BTreeMap<Prefix, u64>,
    /// Bytes of an address.
    bytes: usize,
}

/// The later of two expiries; [`FOREVER`] is the latest.
pub(crate) fn later(one: u64, other: u64) -> u64 {
    if one == FOREVER || other == FOREVER { FOREVER } else { one.max(other) }
}

impl Prefixes {
    pub(crate) fn new(words: &[u8]) -> Self {
        let bits: usize = words.iter().map(|&width| usize::from(width)).sum();
        Self { own: BTreeMap::new(), bytes: bits / 8 }
    }

    pub(crate) fn len(&self) -> usize {
        self.own.len()
    }

    pub(crate) fn own(&self, key: &[u8]) -> Option<u64> {
        self.own.get(&prefix_of(key)).copied()
    }

    pub(crate) fn insert(&mut self, key: &[u8], expiry: u64) {
        self.own.insert(prefix_of(key), expiry);
    }

    pub(crate) fn remove(&mut self, key: &[u8]) -> Option<u64> {
        self.own.remove(&prefix_of(key))
    }

    /// Keys with their own expiries.
    pub(crate) fn entries(&self) -> Vec<(Vec<u8>, u64)> {
        self.own.iter().map(|(prefix, expiry)| (self.key(*prefix), *expiry)).collect()
    }

    /// What the trie holds for every prefix.
    pub(crate) fn effective(&self) -> Vec<(Vec<u8>, u64)> {
        self.cover(self.own.iter(), Vec::new())
    }

    /// What the trie holds for a prefix, if it is there, and for all that it covers.
    pub(crate) fn effective_under(&self, key: &[u8]) -> Vec<(Vec<u8>, u64)> {
        let (first, length) = prefix_of(key);
        let above = (0..length).filter_map(|shorter| {
            let prefix = (first & mask(shorter), shorter);
            Some((prefix, *self.own.get(&prefix)?))
        });
        let latest = above.reduce(|one, other| (other.0, later(one.1, other.1)));
        let under = self.own.range((first, length)..=(first | !mask(length), 128));
        self.cover(under.filter(|(prefix, _)| prefix.1 >= length), latest.into_iter().collect())
    }

    /// Walks prefixes in order; `open` are those that cover the one at hand, with their latest expiries.
    fn cover<'a>(
        &self,
        prefixes: impl Iterator<Item = (&'a Prefix, &'a u64)>,
        mut open: Vec<(Prefix, u64)>,
    ) -> Vec<(Vec<u8>, u64)> {
        let mut effective = Vec::new();
        for (prefix, own) in prefixes {
            while open.last().is_some_and(|(above, _)| prefix.0 & mask(above.1) != above.0) {
                open.pop();
            }
            let expiry = open.last().map_or(*own, |(_, above)| later(*own, *above));
            open.push((*prefix, expiry));
            effective.push((self.key(*prefix), expiry));
        }
        effective
    }

    fn key(&self, prefix: Prefix) -> Vec<u8> {
        let mut key = u32::from(prefix.1).to_ne_bytes().to_vec();
        key.extend_from_slice(&prefix.0.to_be_bytes()[..self.bytes]);
        key
    }
}

fn mask(length: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0)
}

fn prefix_of(key: &[u8]) -> Prefix {
    let mut address = [0; 16];
    address[..key.len() - 4].copy_from_slice(&key[4..]);
    (u128::from_be_bytes(address), key[0])
}

/// The trie, its truth and their number of changes.
#[derive(Debug)]
pub(crate) struct PrefixMaps {
    pub(crate) trie: Map,
    pub(crate) truth: Map,
}

impl PrefixMaps {
    /// Makes the map of own expiries for a trie.
    pub(crate) fn truth_for(trie: &Map) -> Result<Map, KernelError> {
        let info = trie.info();
        let name: String = format!("o_{}", info.name).chars().take(15).collect();
        Map::create(&MapSpec {
            name,
            kind: MapKind::Hash,
            key_size: info.key_size,
            value_size: 8,
            max_entries: info.max_entries + 1,
            flags: NO_PREALLOC,
        })
    }

    /// How many changes there were; odd while one is under way.
    pub(crate) fn changes(&self) -> Result<u64, KernelError> {
        Ok(self.truth.lookup(&self.mark())?.map_or(0, |bytes| word(&bytes)))
    }

    /// Begins or ends a change.
    pub(crate) fn count_change(&self) -> Result<(), KernelError> {
        let next = self.changes()? + 1;
        self.truth.update(&self.mark(), &value(next), Update::Any)
    }

    /// The whole truth.
    pub(crate) fn read(&self, words: &[u8]) -> Result<Prefixes, KernelError> {
        let mut prefixes = Prefixes::new(words);
        let mark = self.mark();
        for (key, expiry) in self.truth.entries()?.iter().filter(|(key, _)| *key != mark) {
            prefixes.insert(key, word(expiry));
        }
        Ok(prefixes)
    }

    /// Writes a table into empty maps.
    pub(crate) fn fill(&self, prefixes: &Prefixes) -> Result<(), KernelError> {
        write(&self.truth, &prefixes.entries())?;
        write(&self.trie, &prefixes.effective())
    }

    /// Makes the trie again from the truth.
    pub(crate) fn repair(&self, words: &[u8]) -> Result<Prefixes, KernelError> {
        let prefixes = self.read(words)?;
        write(&self.trie, &prefixes.effective())?;
        let stale = self.trie.entries()?.into_iter().filter(|(key, _)| prefixes.own(key).is_none());
        for (key, _) in stale.collect::<Vec<_>>() {
            self.trie.delete(&key)?;
        }
        Ok(prefixes)
    }

    fn mark(&self) -> Vec<u8> {
        let mut key = MARK.to_ne_bytes().to_vec();
        key.resize(self.truth.info().key_size as usize, 0);
        key
    }
}

/// Sets entries, one after the other.
pub(crate) fn write(map: &Map, entries: &[(Vec<u8>, u64)]) -> Result<(), KernelError> {
    entries.iter().try_for_each(|(key, expiry)| map.update(key, &value(*expiry), Update::Any))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Vec<u8> {
        let (address, length) = text.split_once('/').unwrap();
        let address: std::net::Ipv4Addr = address.parse().unwrap();
        let mut key = length.parse::<u32>().unwrap().to_ne_bytes().to_vec();
        key.extend_from_slice(&address.octets());
        key
    }

    fn table(rows: &[(&str, u64)]) -> Prefixes {
        let mut prefixes = Prefixes::new(&[32]);
        rows.iter().for_each(|(text, expiry)| prefixes.insert(&key(text), *expiry));
        prefixes
    }

    #[test]
    fn what_covers_lends_its_lifetime() {
        let prefixes =
            table(&[("10.0.0.0/8", 50), ("10.1.0.0/16", 20), ("10.1.2.0/24", 70), ("11.0.0.0/8", 10)]);
        let expected = [("10.0.0.0/8", 50), ("10.1.0.0/16", 50), ("10.1.2.0/24", 70), ("11.0.0.0/8", 10)];
        assert_eq!(prefixes.effective(), expected.map(|(text, expiry)| (key(text), expiry)));
        let under = prefixes.effective_under(&key("10.1.0.0/16"));
        assert_eq!(under, [(key("10.1.0.0/16"), 50), (key("10.1.2.0/24"), 70)]);
    }

    #[test]
    fn for_ever_is_later_than_any_time() {
        let prefixes = table(&[("0.0.0.0/0", FOREVER), ("10.0.0.0/8", 5)]);
        assert_eq!(prefixes.effective()[1].1, FOREVER);
        assert_eq!(prefixes.effective_under(&key("10.0.0.0/8")), [(key("10.0.0.0/8"), FOREVER)]);
    }

    #[test]
    fn siblings_lend_nothing() {
        let prefixes = table(&[("10.0.0.0/9", 90), ("10.128.0.0/9", 5), ("10.128.0.0/16", 7)]);
        let values: Vec<u64> = prefixes.effective().into_iter().map(|(_, expiry)| expiry).collect();
        assert_eq!(values, [90, 5, 7]);
    }

    #[test]
    fn deleting_takes_back_what_was_lent() {
        let mut prefixes = table(&[("10.0.0.0/8", 50), ("10.1.0.0/16", 20)]);
        assert_eq!(prefixes.remove(&key("10.0.0.0/8")), Some(50));
        assert_eq!(prefixes.effective_under(&key("10.0.0.0/8")), [(key("10.1.0.0/16"), 20)]);
    }
}

//! The elements of a part with an index, as user space keeps them.
//!
//! An index says which keys are in a set, and no longer which elements make it so. They are in a hash map beside it
//! (`own-…`, which no program reads): the length of a prefix as a `u32`, its bytes, and the expiry in nanoseconds. All that
//! lists, sweeps and carries over goes by it, and the index can always be made again from it.

use super::content::value;
use crate::counters::word;
use weir_compiler::index::{Key, Prefix};
use weir_kernel::KernelError;
use weir_kernel::maps::{Map, MapKind, MapSpec, Update};

/// `BPF_F_NO_PREALLOC`: memory comes with the elements.
const NO_PREALLOC: u32 = 1;

/// So many elements fit in any case.
const LEAST: u32 = 4096;

/// An element that user space knows of: when it expires, in nanoseconds of `CLOCK_MONOTONIC`.
pub(crate) type Timed = (Prefix, u64);

#[derive(Debug)]
pub(crate) struct Truth {
    map: Map,
    key: Key,
}

impl Truth {
    pub(crate) fn of(map: Map, key: Key) -> Self {
        Self { map, key }
    }

    /// An empty one with room for as many elements again, up to `max`.
    pub(crate) fn create(section: &str, key: Key, elements: usize, max: u32) -> Result<Self, KernelError> {
        let twice = u32::try_from(elements.saturating_mul(2)).unwrap_or(u32::MAX);
        let map = Map::create(&MapSpec {
            name: format!("own_{section}").chars().take(15).collect(),
            kind: MapKind::Hash,
            key_size: 4 + key.bits() / 8,
            value_size: 8,
            max_entries: twice.max(LEAST).min(max.max(1)).max(elements as u32),
            flags: NO_PREALLOC,
        })?;
        Ok(Self { map, key })
    }

    pub(crate) fn into_map(self) -> Map {
        self.map
    }

    /// How many elements it has room for.
    pub(crate) fn room(&self) -> u64 {
        self.map.info().max_entries.into()
    }

    pub(crate) fn find(&self, prefix: Prefix) -> Result<Option<u64>, KernelError> {
        Ok(self.map.lookup(&self.bytes(prefix))?.map(|bytes| word(&bytes)))
    }

    pub(crate) fn set(&self, (prefix, expiry): Timed) -> Result<(), KernelError> {
        self.map.update(&self.bytes(prefix), &value(expiry), Update::Any)
    }

    pub(crate) fn remove(&self, prefix: Prefix) -> Result<bool, KernelError> {
        self.map.delete(&self.bytes(prefix))
    }

    pub(crate) fn remove_all(&self, prefixes: &[Prefix]) -> Result<(), KernelError> {
        let keys: Vec<Vec<u8>> = prefixes.iter().map(|prefix| self.bytes(*prefix)).collect();
        self.map.delete_batch(&keys)
    }

    /// Sets many, and tells how many are set.
    pub(crate) fn fill(&self, elements: &[Timed], mut tell: impl FnMut(usize)) -> Result<(), KernelError> {
        let entry = |(prefix, expiry): &Timed| (self.bytes(*prefix), value(*expiry));
        let mut done = 0;
        for some in elements.chunks(super::TOLD) {
            self.map.update_batch(&some.iter().map(entry).collect::<Vec<_>>())?;
            done += some.len();
            tell(done);
        }
        Ok(())
    }

    /// All of them, in order: what covers comes before what it covers.
    pub(crate) fn elements(&self) -> Result<Vec<Timed>, KernelError> {
        let mut elements = Vec::new();
        self.map.for_each(|key, expiry| elements.push((self.prefix(key), word(expiry))))?;
        elements.sort_unstable();
        elements.dedup();
        Ok(elements)
    }

    fn bytes(&self, prefix: Prefix) -> Vec<u8> {
        let mut key = u32::from(prefix.length).to_ne_bytes().to_vec();
        key.extend_from_slice(&prefix.first.to_be_bytes()[..self.key.bits() as usize / 8]);
        key
    }

    fn prefix(&self, key: &[u8]) -> Prefix {
        let mut address = [0; 16];
        address[..key.len() - 4].copy_from_slice(&key[4..]);
        Prefix { first: u128::from_be_bytes(address), length: key[0] }
    }
}

//! The memory of one map: values in slots, and an index from keys to slots.

use std::collections::{BTreeMap, HashMap};

use super::{MapFault, Update, is_array};
use crate::map::{MapDef, MapKind};

#[derive(Debug, Clone)]
pub(in crate::interp) struct Store {
    def: MapDef,
    key_size: usize,
    value_size: usize,
    /// Slot after slot.
    values: Vec<u8>,
    /// The key of each slot; empty with arrays.
    keys: Vec<Vec<u8>>,
    free: Vec<u32>,
    index: Index,
}

#[derive(Debug, Clone)]
enum Index {
    Array,
    Hash(HashMap<Vec<u8>, u32>),
    Lru(Lru),
    /// For each prefix length the masked bytes.
    Lpm(BTreeMap<u32, HashMap<Vec<u8>, u32>>),
    /// Rings and events keep nothing here.
    None,
}

/// Exact, where the kernel's is approximate.
#[derive(Debug, Clone, Default)]
struct Lru {
    slots: HashMap<Vec<u8>, u32>,
    /// For each slot when it was used.
    used: Vec<u64>,
    order: BTreeMap<u64, u32>,
    clock: u64,
}

impl Lru {
    fn touch(&mut self, slot: u32) {
        let nth = slot as usize;
        if self.used.len() <= nth {
            self.used.resize(nth + 1, 0);
        }
        self.order.remove(&self.used[nth]);
        self.clock += 1;
        self.used[nth] = self.clock;
        self.order.insert(self.clock, slot);
    }

    fn forget(&mut self, slot: u32) {
        self.order.remove(&self.used[slot as usize]);
    }
}

impl Store {
    pub(super) fn new(def: &MapDef) -> Store {
        let array = is_array(def.kind);
        let plain_u32 = matches!(def.kind, MapKind::ArrayOfMaps | MapKind::HashOfMaps | MapKind::ProgArray);
        let value_size = if plain_u32 { 4 } else { def.value.size() as usize };
        let mut values = vec![0; if array { value_size * def.max_entries as usize } else { 0 }];
        if let Some(start) = values.get_mut(..def.initial.len()) {
            start.copy_from_slice(&def.initial);
        }
        Store {
            def: def.clone(),
            key_size: def.key.size() as usize,
            value_size,
            values,
            keys: Vec::new(),
            free: Vec::new(),
            index: index(def.kind),
        }
    }

    pub(in crate::interp) fn def(&self) -> &MapDef {
        &self.def
    }

    pub(in crate::interp) fn key_size(&self) -> usize {
        self.key_size
    }

    pub(in crate::interp) fn value_size(&self) -> usize {
        self.value_size
    }

    /// The slot under a key.
    #[inline]
    pub(in crate::interp) fn find(&self, key: &[u8]) -> Option<u32> {
        if key.len() != self.key_size {
            return None;
        }
        match &self.index {
            Index::Array => {
                let nth = u32::from_le_bytes(key.try_into().ok()?);
                (nth < self.def.max_entries).then_some(nth)
            }
            Index::Hash(slots) => slots.get(key).copied(),
            Index::Lru(lru) => lru.slots.get(key).copied(),
            Index::Lpm(lengths) => {
                let (length, address) = prefix(key)?;
                let mut found = lengths.range(..=length).rev();
                found.find_map(|(len, slots)| slots.get(&masked(address, *len)).copied())
            }
            Index::None => None,
        }
    }

    /// Marks an entry as used, as a look-up from a program does.
    pub(in crate::interp) fn touch(&mut self, key: &[u8]) {
        if let Index::Lru(lru) = &mut self.index
            && let Some(&slot) = lru.slots.get(key)
        {
            lru.touch(slot);
        }
    }

    #[inline]
    pub(in crate::interp) fn value(&self, slot: u32) -> &[u8] {
        let from = slot as usize * self.value_size;
        self.values.get(from..from + self.value_size).unwrap_or(&[])
    }

    #[inline]
    pub(in crate::interp) fn value_mut(&mut self, slot: u32) -> &mut [u8] {
        let from = slot as usize * self.value_size;
        let value = self.values.get_mut(from..from + self.value_size);
        value.unwrap_or(&mut [])
    }

    pub(in crate::interp) fn update(
        &mut self,
        key: &[u8],
        value: &[u8],
        when: Update,
    ) -> Result<(), MapFault> {
        if key.len() != self.key_size || value.len() != self.value_size {
            return Err(MapFault::Invalid);
        }
        match &self.index {
            Index::None => return Err(MapFault::Invalid),
            Index::Array if self.find(key).is_none() => return Err(MapFault::Full),
            Index::Hash(_) if sparse_array(self.def.kind) => {
                let nth = key.try_into().map_or(u32::MAX, u32::from_le_bytes);
                if nth >= self.def.max_entries {
                    return Err(MapFault::Full);
                }
            }
            _ => {}
        }
        let slot = match (self.exact(key)?, when) {
            (Some(_), Update::Create) => return Err(MapFault::Exists),
            (None, Update::Replace) => return Err(MapFault::NotFound),
            (Some(slot), _) => {
                if let Some(stored) = self.keys.get_mut(slot as usize) {
                    stored.copy_from_slice(key);
                }
                slot
            }
            (None, _) => self.insert(key)?,
        };
        self.touch(key);
        self.value_mut(slot).copy_from_slice(value);
        Ok(())
    }

    pub(in crate::interp) fn delete(&mut self, key: &[u8]) -> Result<(), MapFault> {
        if key.len() != self.key_size || matches!(self.index, Index::Array | Index::None) {
            return Err(MapFault::Invalid);
        }
        let slot = self.exact(key)?.ok_or(MapFault::NotFound)?;
        self.remove(slot);
        Ok(())
    }

    /// The slot of this very key; with tries, of this very prefix.
    fn exact(&self, key: &[u8]) -> Result<Option<u32>, MapFault> {
        let Index::Lpm(lengths) = &self.index else {
            return Ok(self.find(key));
        };
        let (length, address) = prefix(key).ok_or(MapFault::Invalid)?;
        let slots = lengths.get(&length);
        Ok(slots.and_then(|slots| slots.get(&masked(address, length)).copied()))
    }

    fn insert(&mut self, key: &[u8]) -> Result<u32, MapFault> {
        if self.len() >= self.def.max_entries as usize {
            let Index::Lru(lru) = &self.index else {
                return Err(MapFault::Full);
            };
            let oldest = lru.order.first_key_value().map(|(_, slot)| *slot);
            self.remove(oldest.ok_or(MapFault::Full)?);
        }
        let slot = match self.free.pop() {
            Some(slot) => {
                self.keys[slot as usize] = key.to_vec();
                slot
            }
            None => {
                self.keys.push(key.to_vec());
                self.values.resize(self.keys.len() * self.value_size, 0);
                self.keys.len() as u32 - 1
            }
        };
        match &mut self.index {
            Index::Hash(slots) | Index::Lru(Lru { slots, .. }) => {
                slots.insert(key.to_vec(), slot);
            }
            Index::Lpm(lengths) => {
                let (length, address) = prefix(key).ok_or(MapFault::Invalid)?;
                let slots = lengths.entry(length).or_default();
                slots.insert(masked(address, length), slot);
            }
            Index::Array | Index::None => {}
        }
        Ok(slot)
    }

    fn remove(&mut self, slot: u32) {
        let key = std::mem::take(&mut self.keys[slot as usize]);
        match &mut self.index {
            Index::Hash(slots) => {
                slots.remove(&key);
            }
            Index::Lru(lru) => {
                lru.slots.remove(&key);
                lru.forget(slot);
            }
            Index::Lpm(lengths) => {
                if let Some((length, address)) = prefix(&key)
                    && let Some(slots) = lengths.get_mut(&length)
                {
                    slots.remove(&masked(address, length));
                    if slots.is_empty() {
                        lengths.remove(&length);
                    }
                }
            }
            Index::Array | Index::None => {}
        }
        self.free.push(slot);
    }

    pub(super) fn len(&self) -> usize {
        match self.index {
            Index::Array => self.def.max_entries as usize,
            _ => self.keys.len() - self.free.len(),
        }
    }

    pub(super) fn entries(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        if let Index::Array = self.index {
            let all = 0..self.def.max_entries;
            return all.map(|nth| (nth.to_le_bytes().to_vec(), self.value(nth).to_vec())).collect();
        }
        let mut entries: Vec<_> = self
            .keys
            .iter()
            .enumerate()
            .filter(|(_, key)| !key.is_empty())
            .map(|(slot, key)| (key.clone(), self.value(slot as u32).to_vec()))
            .collect();
        entries.sort();
        entries
    }
}

/// Arrays whose entries may be missing.
fn sparse_array(kind: MapKind) -> bool {
    matches!(
        kind,
        MapKind::ProgArray | MapKind::ArrayOfMaps | MapKind::DevMap | MapKind::CpuMap | MapKind::XskMap
    )
}

fn index(kind: MapKind) -> Index {
    match kind {
        MapKind::Array | MapKind::PerCpuArray => Index::Array,
        MapKind::LruHash | MapKind::LruPerCpuHash => Index::Lru(Lru::default()),
        MapKind::LpmTrie => Index::Lpm(BTreeMap::new()),
        MapKind::RingBuf
        | MapKind::PerfEventArray
        | MapKind::BloomFilter
        | MapKind::Queue
        | MapKind::Stack => Index::None,
        // Device, program and inner-map arrays are sparse: an entry may be missing.
        _ => Index::Hash(HashMap::new()),
    }
}

/// Prefix length and address of a trie's key, if the length fits.
fn prefix(key: &[u8]) -> Option<(u32, &[u8])> {
    let (length, address) = key.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length);
    (length as usize <= address.len() * 8).then_some((length, address))
}

/// The address with the bits behind the prefix cleared.
fn masked(address: &[u8], length: u32) -> Vec<u8> {
    let whole = length as usize / 8;
    let mut bytes = address.to_vec();
    for (nth, byte) in bytes.iter_mut().enumerate().skip(whole) {
        *byte &= match nth == whole {
            true => !(0xffu8.checked_shr(length % 8).unwrap_or(0)),
            false => 0,
        };
    }
    bytes
}

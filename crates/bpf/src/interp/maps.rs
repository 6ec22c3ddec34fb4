//! Maps in user space, with the kernel's meaning of look-up, update and delete.

mod store;

use std::fmt;

pub(super) use store::Store;

use crate::insn::MapId;
use crate::map::{MapDef, MapKind};

/// Why a map operation was refused; the numbers are the kernel's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapFault {
    /// No such entry (`ENOENT`).
    NotFound,
    /// The entry is there already (`EEXIST`).
    Exists,
    /// The map is full, or the index is past its end (`E2BIG`).
    Full,
    /// A wrong flag, key or size, or an operation that this kind does not have (`EINVAL`).
    Invalid,
}

impl MapFault {
    /// The kernel's number, negative.
    pub fn errno(self) -> i64 {
        match self {
            MapFault::NotFound => -2,
            MapFault::Exists => -17,
            MapFault::Full => -7,
            MapFault::Invalid => -22,
        }
    }
}

impl fmt::Display for MapFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MapFault::NotFound => "no such entry",
            MapFault::Exists => "the entry is there already",
            MapFault::Full => "the map is full, or the index is past its end",
            MapFault::Invalid => "this map does not take such a key, value, flag or operation",
        })
    }
}

impl std::error::Error for MapFault {}

/// When an update happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Update {
    /// Always (`BPF_ANY`).
    #[default]
    Any,
    /// Only where there is no entry (`BPF_NOEXIST`).
    Create,
    /// Only where there is one (`BPF_EXIST`).
    Replace,
}

impl Update {
    pub(super) fn from_flags(flags: u64) -> Result<Update, MapFault> {
        match flags {
            0 => Ok(Update::Any),
            1 => Ok(Update::Create),
            2 => Ok(Update::Replace),
            _ => Err(MapFault::Invalid),
        }
    }
}

/// The maps of a [`super::Vm`], readable and writable between runs.
///
/// Keys and values are bytes as programs see them, in the machine's order. Per-CPU kinds have one
/// CPU. Values of program arrays are [`super::ProgramId`]s, those of maps of maps are [`MapId`]s,
/// both as 32 bits.
#[derive(Debug, Clone, Default)]
pub struct Maps {
    pub(super) stores: Vec<Store>,
}

impl Maps {
    /// One empty map for each definition, numbered in order.
    pub fn new(defs: &[MapDef]) -> Maps {
        let mut maps = Maps::default();
        for def in defs {
            maps.add(def);
        }
        maps
    }

    /// Adds a map, such as an inner one.
    pub fn add(&mut self, def: &MapDef) -> MapId {
        self.stores.push(Store::new(def));
        MapId(self.stores.len() as u32 - 1)
    }

    /// The map with this name.
    pub fn by_name(&self, name: &str) -> Option<MapId> {
        let found = self.stores.iter().position(|s| s.def().name == name);
        found.map(|nth| MapId(nth as u32))
    }

    /// A map's definition.
    pub fn def(&self, map: MapId) -> Option<&MapDef> {
        Some(self.store(map)?.def())
    }

    /// The value under a key; LPM tries match the longest prefix.
    pub fn lookup(&self, map: MapId, key: &[u8]) -> Option<&[u8]> {
        let store = self.store(map)?;
        Some(store.value(store.find(key)?))
    }

    /// Sets the value under a key.
    pub fn update(&mut self, map: MapId, key: &[u8], value: &[u8]) -> Result<(), MapFault> {
        self.update_if(map, key, value, Update::Any)
    }

    /// Sets the value under a key on a condition.
    pub fn update_if(&mut self, map: MapId, key: &[u8], value: &[u8], when: Update) -> Result<(), MapFault> {
        let store = self.stores.get_mut(map.0 as usize);
        store.ok_or(MapFault::Invalid)?.update(key, value, when)
    }

    /// Removes the entry under a key.
    pub fn delete(&mut self, map: MapId, key: &[u8]) -> Result<(), MapFault> {
        let store = self.stores.get_mut(map.0 as usize);
        store.ok_or(MapFault::Invalid)?.delete(key)
    }

    /// All entries in order of their keys' bytes.
    pub fn entries(&self, map: MapId) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.store(map).map(Store::entries).unwrap_or_default()
    }

    /// How many entries there are; arrays are always full.
    pub fn len(&self, map: MapId) -> usize {
        self.store(map).map_or(0, Store::len)
    }

    /// True if no entry is there.
    pub fn is_empty(&self, map: MapId) -> bool {
        self.len(map) == 0
    }

    fn store(&self, map: MapId) -> Option<&Store> {
        self.stores.get(map.0 as usize)
    }
}

/// Kinds whose entries all exist from the start.
fn is_array(kind: MapKind) -> bool {
    matches!(kind, MapKind::Array | MapKind::PerCpuArray)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::MapType;

    fn maps(kind: MapKind, key: MapType, entries: u32) -> Maps {
        Maps::new(&[MapDef::new("m", kind, key, MapType::U32, entries)])
    }

    const M: MapId = MapId(0);

    #[test]
    fn a_hash_map_fills_up() {
        let mut maps = maps(MapKind::Hash, MapType::U32, 2);
        assert_eq!(maps.update(M, &[1, 0, 0, 0], &[1; 4]), Ok(()));
        assert_eq!(maps.update(M, &[2, 0, 0, 0], &[2; 4]), Ok(()));
        assert_eq!(maps.update(M, &[3, 0, 0, 0], &[3; 4]), Err(MapFault::Full));
        assert_eq!(maps.update(M, &[2, 0, 0, 0], &[4; 4]), Ok(()));
        let create = maps.update_if(M, &[2, 0, 0, 0], &[4; 4], Update::Create);
        assert_eq!(create, Err(MapFault::Exists));
        assert_eq!(maps.delete(M, &[1, 0, 0, 0]), Ok(()));
        assert_eq!(maps.delete(M, &[1, 0, 0, 0]), Err(MapFault::NotFound));
        assert_eq!(maps.update(M, &[3, 0, 0, 0], &[3; 4]), Ok(()));
        assert_eq!(maps.lookup(M, &[2, 0, 0, 0]), Some(&[4; 4][..]));
        assert_eq!(maps.len(M), 2);
        assert_eq!(maps.update(M, &[1], &[1; 4]), Err(MapFault::Invalid));
    }

    #[test]
    fn an_lru_map_forgets_the_oldest() {
        let mut maps = maps(MapKind::LruHash, MapType::U8, 2);
        maps.update(M, &[1], &[1; 4]).unwrap();
        maps.update(M, &[2], &[2; 4]).unwrap();
        maps.stores[0].touch(&[1]);
        maps.update(M, &[3], &[3; 4]).unwrap();
        let keys: Vec<_> = maps.entries(M).into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, [[1], [3]]);
    }

    #[test]
    fn an_array_has_all_its_entries() {
        let mut maps = maps(MapKind::Array, MapType::U32, 2);
        assert_eq!(maps.lookup(M, &[1, 0, 0, 0]), Some(&[0; 4][..]));
        assert_eq!(maps.lookup(M, &[2, 0, 0, 0]), None);
        assert_eq!(maps.update(M, &[2, 0, 0, 0], &[0; 4]), Err(MapFault::Full));
        assert_eq!(maps.delete(M, &[1, 0, 0, 0]), Err(MapFault::Invalid));
        assert_eq!(maps.len(M), 2);
    }

    #[test]
    fn a_trie_finds_the_longest_prefix() {
        let mut maps = maps(MapKind::LpmTrie, MapType::lpm_key("k", 4), 8);
        maps.update(M, &[8, 0, 0, 0, 10, 9, 9, 9], &[1; 4]).unwrap();
        maps.update(M, &[12, 0, 0, 0, 10, 16, 0, 0], &[2; 4]).unwrap();
        maps.update(M, &[0, 0, 0, 0, 0, 0, 0, 0], &[3; 4]).unwrap();
        let look = |address: [u8; 4]| {
            let key = [&[32, 0, 0, 0], &address[..]].concat();
            maps.lookup(M, &key).map(|value| value[0])
        };
        assert_eq!(look([10, 1, 1, 1]), Some(1));
        assert_eq!(look([10, 17, 1, 1]), Some(2));
        assert_eq!(look([11, 0, 0, 1]), Some(3));
        // A short key meets short prefixes only.
        assert_eq!(maps.lookup(M, &[8, 0, 0, 0, 10, 16, 0, 0]).map(|v| v[0]), Some(1));
        assert_eq!(maps.update(M, &[33, 0, 0, 0, 0, 0, 0, 0], &[0; 4]), Err(MapFault::Invalid));
        assert_eq!(maps.delete(M, &[8, 0, 0, 0, 10, 0, 0, 0]), Ok(()));
        assert_eq!(maps.len(M), 2);
    }
}

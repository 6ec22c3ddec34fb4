use weir_kernel::maps::{Map, MapKind, MapSpec, Update, lpm_key, possible_cpus};

use crate::programs::{XDP_PASS, dispatcher, one, returns, try_load};
use crate::support::{Pins, require_kernel};

fn map(kind: MapKind, key_size: u32, value_size: u32, max_entries: u32) -> Map {
    let flags = u32::from(kind == MapKind::LpmTrie);
    let spec = MapSpec { name: "test".into(), kind, key_size, value_size, max_entries, flags };
    Map::create(&spec).unwrap()
}

#[test]
fn one_entry_at_a_time() {
    require_kernel!();
    let map = map(MapKind::Hash, 4, 8, 10);
    assert_eq!(map.lookup(b"abcd").unwrap(), None);
    map.update(b"abcd", b"12345678", Update::Create).unwrap();
    assert_eq!(map.lookup(b"abcd").unwrap().unwrap(), b"12345678");
    let error = map.update(b"abcd", b"12345678", Update::Create).unwrap_err();
    assert_eq!(error.to_string(), "cannot update map `test`: file exists");
    assert!(map.update(b"efgh", b"12345678", Update::Replace).unwrap_err().is_missing());
    assert!(map.delete(b"abcd").unwrap());
    assert!(!map.delete(b"abcd").unwrap());
    assert_eq!(map.info().kind, Some(MapKind::Hash));
}

#[test]
fn batches() {
    require_kernel!();
    for kind in [MapKind::Hash, MapKind::LruHash] {
        let map = map(kind, 4, 4, 40_000);
        let entries: Vec<_> = (0..20_000u32).map(|n| (n.to_ne_bytes(), (n * 3).to_ne_bytes())).collect();
        map.update_batch(&entries).unwrap();
        let mut read = map.entries().unwrap();
        read.sort();
        assert_eq!(read.len(), 20_000);
        for (key, value) in &read {
            let key = u32::from_ne_bytes(key.as_slice().try_into().unwrap());
            assert_eq!(value, &(key * 3).to_ne_bytes());
        }
        let mut keys: Vec<_> = (0..10_000u32).map(u32::to_ne_bytes).collect();
        keys.push(u32::MAX.to_ne_bytes());
        map.delete_batch(&keys).unwrap();
        assert_eq!(map.keys().count(), 10_000);
        assert_eq!(map.take_batch().unwrap().len(), 10_000);
        assert_eq!(map.entries().unwrap(), []);
    }
}

#[test]
fn batches_of_arrays_and_tries() {
    require_kernel!();
    let array = map(MapKind::Array, 4, 8, 10_000);
    array.update_batch(&[(5000u32.to_ne_bytes(), 9u64.to_ne_bytes())]).unwrap();
    let entries = array.entries().unwrap();
    assert_eq!(entries.len(), 10_000);
    assert_eq!(entries[5000].1, 9u64.to_ne_bytes());

    let trie = map(MapKind::LpmTrie, 8, 4, 10_000);
    let prefixes: Vec<_> =
        (0..5000u32).map(|n| (lpm_key(24, &(n << 8).to_be_bytes()), n.to_ne_bytes())).collect();
    trie.update_batch(&prefixes).unwrap();
    assert_eq!(trie.entries().unwrap().len(), 5000);
    let found = trie.lookup(&lpm_key(32, &[0, 0, 7, 200])).unwrap().unwrap();
    assert_eq!(found, 7u32.to_ne_bytes());
    trie.delete_batch(&[lpm_key(24, &[0, 0, 7, 0])]).unwrap();
    assert_eq!(trie.lookup(&lpm_key(32, &[0, 0, 7, 200])).unwrap(), None);
}

#[test]
fn maps_without_batches_are_read_singly() {
    require_kernel!();
    // A prog array has keys, but no batches.
    let loaded = try_load(vec![dispatcher()], vec![weir_bpf::map::MapDef::programs("slots", 4)]);
    let loaded = loaded.unwrap();
    let slots = loaded.map("slots").unwrap();
    slots.set_program(2, &one(returns("pass", "xdp", XDP_PASS))).unwrap();
    assert_eq!(slots.entries().unwrap().len(), 1);
}

#[test]
fn values_of_each_cpu() {
    require_kernel!();
    for kind in [MapKind::PerCpuArray, MapKind::PerCpuHash] {
        let map = map(kind, 4, 4, 8);
        let values: Vec<_> = (0..possible_cpus()).map(|cpu| vec![cpu as u8 + 1; 4]).collect();
        map.update_per_cpu(&3u32.to_ne_bytes(), &values, Update::Any).unwrap();
        assert_eq!(map.lookup_per_cpu(&3u32.to_ne_bytes()).unwrap().unwrap(), values);
        let entries = map.entries().unwrap();
        let entry = entries.iter().find(|(key, _)| *key == 3u32.to_ne_bytes()).unwrap();
        assert_eq!(map.split_per_cpu(&entry.1), values);
    }
}

#[test]
fn a_frozen_map_is_not_written() {
    require_kernel!();
    let map = map(MapKind::Array, 4, 4, 1);
    map.freeze().unwrap();
    assert!(map.update(&[0; 4], &[1; 4], Update::Any).unwrap_err().is_permission());
}

#[test]
fn windows_show_what_the_map_holds() {
    require_kernel!();
    const MMAPABLE: u32 = 1 << 10;
    let (bytes, kind) = (200_000, MapKind::Array);
    let spec = MapSpec {
        name: "test".into(),
        kind,
        key_size: 4,
        value_size: bytes,
        max_entries: 1,
        flags: MMAPABLE,
    };
    let map = Map::create(&spec).unwrap();
    let windows = map.try_clone().unwrap().windows().unwrap();
    for at in [0, 65_528, 65_536, 131_080, 199_992] {
        windows.store(at, at as u64 + 1);
    }
    let value = map.lookup(&[0; 4]).unwrap().unwrap();
    for at in [0, 65_528, 65_536, 131_080, 199_992] {
        assert_eq!(value[at..at + 8], (at as u64 + 1).to_ne_bytes());
        assert_eq!((windows.load(at), windows.len()), (at as u64 + 1, 200_000));
    }
    assert_eq!(map.memory_up_to(64).unwrap().len(), 64);
    let plain = self::map(MapKind::Array, 4, 8, 1).windows().unwrap_err();
    assert!(plain.to_string().starts_with("cannot map into memory `test`"), "{plain}");
}

#[test]
fn pins_and_ids_lead_to_the_same_map() {
    require_kernel!();
    let pins = Pins::new();
    let map = map(MapKind::Hash, 4, 4, 8);
    map.update(b"aaaa", b"bbbb", Update::Any).unwrap();
    map.pin(&pins.at("table")).unwrap();
    let again = Map::from_id(map.info().id).unwrap();
    assert_eq!(again.info(), map.info());
    drop((map, again));
    let opened = Map::open(&pins.at("table")).unwrap();
    assert_eq!(opened.lookup(b"aaaa").unwrap().unwrap(), b"bbbb");
    assert!(weir_kernel::maps::unpin(&pins.at("table")).unwrap());
    assert!(!weir_kernel::maps::unpin(&pins.at("table")).unwrap());
    assert!(Map::open(&pins.at("table")).unwrap_err().is_missing());
}

#[test]
fn maps_of_maps() {
    require_kernel!();
    let inner = map(MapKind::Hash, 4, 4, 8);
    let spec = MapSpec {
        name: "outer".into(),
        kind: MapKind::HashOfMaps,
        key_size: 4,
        value_size: 4,
        max_entries: 4,
        flags: 0,
    };
    let outer = Map::create_of_maps(&spec, &inner).unwrap();
    outer.set_inner(b"keys", &inner).unwrap();
    assert_eq!(outer.lookup(b"keys").unwrap().unwrap(), inner.info().id.to_ne_bytes());
}

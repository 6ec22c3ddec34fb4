use weir_kernel::maps::{Map, MapKind, MapSpec};
use weir_kernel::pins::{self, PinDir};

use crate::support::{Pins, require_kernel};

fn map(name: &str) -> Map {
    let kind = MapKind::Array;
    let spec = MapSpec { name: name.into(), kind, key_size: 4, value_size: 4, max_entries: 1, flags: 0 };
    Map::create(&spec).unwrap()
}

#[test]
fn bpffs_is_found() {
    require_kernel!();
    let mount = pins::ensure_bpffs().unwrap();
    assert!(pins::is_bpffs(&mount));
    assert_eq!(pins::find_bpffs(), Some(mount));
}

#[test]
fn directories_are_listed_renamed_and_removed() {
    require_kernel!();
    let pins = Pins::new();
    let mut inner = pins.dir().subdirectory("next").unwrap();
    map("a").pin(&inner.pin("set.bogons")).unwrap();
    assert_eq!(inner.list().unwrap(), ["set_bogons"]);
    assert_eq!(pins.dir().list().unwrap(), ["next/"]);
    inner.rename(&pins.at("now")).unwrap();
    assert_eq!(pins.dir().list().unwrap(), ["now/"]);
    Map::open(&inner.pin("set.bogons")).unwrap();
    inner.remove().unwrap();
    assert_eq!(pins.dir().list().unwrap(), Vec::<String>::new());
    assert!(PinDir::open(&pins.at("now")).unwrap_err().is_missing());
}

#[test]
fn pins_change_places_and_have_second_names() {
    require_kernel!();
    let pins = Pins::new();
    let (one, other) = (map("one"), map("other"));
    one.pin(&pins.at("one")).unwrap();
    other.pin(&pins.at("other")).unwrap();
    pins::duplicate(&pins.at("one"), &pins.at("again")).unwrap();
    assert_eq!(Map::open(&pins.at("again")).unwrap().info().id, one.info().id);
    pins::exchange(&pins.at("one"), &pins.at("other")).unwrap();
    assert_eq!(Map::open(&pins.at("one")).unwrap().info().id, other.info().id);
    assert_eq!(Map::open(&pins.at("other")).unwrap().info().id, one.info().id);
    pins::rename(&pins.at("again"), &pins.at("one")).unwrap();
    assert_eq!(Map::open(&pins.at("one")).unwrap().info().id, one.info().id);
}

#[test]
fn elsewhere_nothing_can_be_pinned() {
    require_kernel!();
    let path = std::env::temp_dir().join(crate::support::unique("weir-not-bpffs"));
    let error = PinDir::create(&path).unwrap_err();
    assert!(error.to_string().contains("not on bpffs"), "{error}");
    assert!(!path.exists());
    assert!(PinDir::open(&std::env::temp_dir()).is_err());
}

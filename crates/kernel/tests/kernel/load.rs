use std::collections::BTreeMap;

use weir_bpf::map::{MapDef, MapKind, MapType};
use weir_kernel::load::{LoadError, Log, Options, Reuse, load};
use weir_kernel::maps::{Map, Update};

use crate::programs::{XDP_PASS, careless, counter_map, counting, elf, looping, returns, try_load};
use crate::support::{Pins, require_kernel};

#[test]
fn a_program_and_its_map_load_under_their_names() {
    require_kernel!();
    let loaded = try_load(vec![counting("count", "xdp", XDP_PASS)], vec![counter_map()]).unwrap();
    let program = loaded.program("count").unwrap();
    let info = program.info().unwrap();
    assert_eq!(info.name, "count");
    assert_eq!(info.map_ids, [loaded.map("counts").unwrap().info().id]);
    assert!(info.verified_insns > 5);
    assert!(loaded.reused.is_empty());
}

#[test]
fn programs_for_tc_load_by_either_name() {
    require_kernel!();
    for section in ["tc", "classifier", "tcx/ingress"] {
        let loaded = try_load(vec![counting("count", section, 0)], vec![counter_map()]).unwrap();
        let kind = loaded.program("count").unwrap().info().unwrap().kind;
        assert_eq!(kind, weir_kernel::program::ProgramKind::Tc, "{section}");
    }
}

#[test]
fn a_refusal_names_the_line() {
    require_kernel!();
    let error = try_load(vec![careless()], vec![]).unwrap_err();
    let LoadError::Rejected { program, explanation, log, errno } = error else { panic!("{error}") };
    assert_eq!((program.as_str(), errno), ("careless", libc_eacces()));
    assert!(explanation.message.starts_with("invalid access to packet"), "{log}");
    assert_eq!(explanation.index, Some(2));
    assert!(explanation.instruction.as_deref().unwrap().starts_with("r0 = *(u8 *)(r1"));
    let source = explanation.source.unwrap();
    assert_eq!(source.text, "drop bogons when ip.src in bogons", "{log}");
    assert_eq!((source.file.as_deref(), source.line), (Some("edge.weir"), Some(7)));
    assert!(explanation.meaning.is_some());
}

fn libc_eacces() -> i32 {
    13
}

#[test]
fn an_endless_loop_is_explained() {
    require_kernel!();
    // A million turns of two instructions are beyond the verifier's million.
    let error = try_load(vec![looping("endless", 1_000_000)], vec![]).unwrap_err();
    let LoadError::Rejected { explanation, .. } = error else { panic!("{error}") };
    assert!(explanation.message.contains("too large"), "{}", explanation.message);
    assert!(explanation.meaning.unwrap().contains("too complex"));
}

#[test]
fn totals_come_when_they_are_asked_for() {
    require_kernel!();
    let elf = elf(vec![looping("loop", 100)], vec![]);
    let options = Options { log: Log::Statistics, ..Options::default() };
    let loaded = load(&elf, options).unwrap();
    let statistics = loaded.programs["loop"].statistics.clone().unwrap();
    assert!((200..1000).contains(&statistics.processed_insns), "{statistics:?}");
    assert_eq!(statistics.insn_limit, 1_000_000);
}

#[test]
fn a_pinned_map_is_reused_with_what_is_in_it() {
    require_kernel!();
    let pins = Pins::new();
    let elf = elf(vec![counting("count", "xdp", XDP_PASS)], vec![counter_map()]);
    let reuse = || Options {
        reuse: BTreeMap::from([("counts".to_owned(), Reuse::Pin(pins.at("counts")))]),
        ..Options::default()
    };
    let first = load(&elf, reuse()).unwrap();
    assert!(first.reused.is_empty());
    let map = first.map("counts").unwrap();
    map.update(&1u32.to_ne_bytes(), &77u64.to_ne_bytes(), Update::Any).unwrap();
    map.pin(&pins.at("counts")).unwrap();
    let id = map.info().id;
    drop(first);

    let second = load(&elf, reuse()).unwrap();
    assert_eq!(second.reused, ["counts"]);
    assert_eq!(second.map("counts").unwrap().info().id, id);
    assert_eq!(second.program("count").unwrap().info().unwrap().map_ids, [id]);
    let value = second.map("counts").unwrap().lookup(&1u32.to_ne_bytes()).unwrap();
    assert_eq!(value.unwrap(), 77u64.to_ne_bytes());
    let by_map = Options {
        reuse: BTreeMap::from([("counts".to_owned(), Reuse::Map(Map::from_id(id).unwrap()))]),
        ..Options::default()
    };
    assert_eq!(load(&elf, by_map).unwrap().reused, ["counts"]);
}

#[test]
fn a_map_of_another_shape_is_not_reused() {
    require_kernel!();
    let pins = Pins::new();
    let other = MapDef::new("counts", MapKind::Array, MapType::U32, MapType::U64, 9);
    let loaded = try_load(vec![counting("count", "xdp", XDP_PASS)], vec![other]).unwrap();
    loaded.map("counts").unwrap().pin(&pins.at("counts")).unwrap();
    let options = Options {
        reuse: BTreeMap::from([("counts".to_owned(), Reuse::Pin(pins.at("counts")))]),
        ..Options::default()
    };
    let elf = elf(vec![counting("count", "xdp", XDP_PASS)], vec![counter_map()]);
    let error = load(&elf, options).unwrap_err();
    assert!(matches!(error, LoadError::MapMismatch { .. }));
    let text = error.to_string();
    assert!(text.contains("array of 9 entries") && text.contains("array of 4 entries"), "{text}");
}

#[test]
fn sizes_can_be_changed() {
    require_kernel!();
    let elf = elf(vec![counting("count", "xdp", XDP_PASS)], vec![counter_map()]);
    let options = Options { max_entries: BTreeMap::from([("counts".to_owned(), 123)]), ..Options::default() };
    assert_eq!(load(&elf, options).unwrap().map("counts").unwrap().info().max_entries, 123);
}

#[test]
fn bytes_that_are_no_object_are_refused() {
    for bytes in [&b""[..], b"\x7fELF", &[0; 300]] {
        let error = load(bytes, Options::default()).unwrap_err();
        assert!(matches!(error, LoadError::Object { .. }), "{error}");
    }
    // Half an object: refused or loaded, never a panic.
    let whole = elf(vec![returns("pass", "tc", 0)], vec![]);
    for length in (0..whole.len()).step_by(7) {
        let _ = load(&whole[..length], Options::default());
    }
}

#[test]
fn programs_survive_in_their_pins() {
    require_kernel!();
    let pins = Pins::new();
    let loaded = try_load(vec![returns("pass", "xdp", XDP_PASS)], vec![]).unwrap();
    let program = loaded.program("pass").unwrap();
    let id = program.id().unwrap();
    program.pin(&pins.at("pass")).unwrap();
    drop(loaded);
    let again = weir_kernel::program::Program::open(&pins.at("pass")).unwrap();
    assert_eq!(again.id().unwrap(), id);
    assert_eq!(again.name(), "pass");
    drop(again);
    weir_kernel::maps::unpin(&pins.at("pass")).unwrap();
    assert!(weir_kernel::program::Program::open(&pins.at("pass")).unwrap_err().is_missing());
}

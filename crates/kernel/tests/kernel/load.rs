use std::collections::BTreeMap;

use weir_bpf::asm::Assembler;
use weir_bpf::insn::{AluOp, Insn, MapId, Reg, Size};
use weir_bpf::map::{MapDef, MapKind, MapType};
use weir_bpf::object::Object;
use weir_kernel::load::{LoadError, Log, Options, Reuse, load, load_object};
use weir_kernel::maps::{Map, Update};
use weir_kernel::run;

use crate::programs::{
    XDP_PASS, careless, counter_map, counting, elf, finish, frame, looping, returns, try_load,
};
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
    let verbose = Options { log: Log::Verbose, ..Options::default() };
    let loaded = load(&elf, verbose).unwrap();
    assert!(loaded.programs["loop"].log.contains("r6 += 1"));
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

/// A subprogram adds what stands in `.rodata` to what stands in `.data` and leaves the sum in `.bss`; by a file, and with what
/// sections hold beside it.
#[test]
fn functions_and_data_sections() {
    require_kernel!();
    let mut asm = Assembler::new("sum", "xdp");
    let function = asm.label();
    asm.call(function);
    asm.emit(Insn::mov32(Reg::R0, XDP_PASS as i32));
    asm.emit(Insn::Exit);
    asm.function("add", 1, function);
    asm.emit(Insn::LdMapValue { dst: Reg::R1, map: MapId(0), off: 8 });
    asm.emit(Insn::load(Size::DW, Reg::R3, Reg::R1, 0));
    asm.emit(Insn::LdMapValue { dst: Reg::R1, map: MapId(1), off: 0 });
    asm.emit(Insn::load(Size::DW, Reg::R2, Reg::R1, 0));
    asm.emit(Insn::alu(AluOp::Add, Reg::R3, Reg::R2));
    asm.emit(Insn::LdMapValue { dst: Reg::R1, map: MapId(2), off: 0 });
    asm.emit(Insn::store(Size::DW, Reg::R1, 0, Reg::R3));
    asm.emit(Insn::mov(Reg::R0, 0));
    asm.emit(Insn::Exit);
    let section = |name, value: &[u64]| {
        let mut def = MapDef::section(name, MapType::array(MapType::U64, 2));
        def.initial = value.iter().flat_map(|word| word.to_ne_bytes()).collect();
        def
    };
    let maps = vec![section(".rodata", &[1, 40]), section(".data", &[2, 0]), section(".bss", &[])];
    let object = Object { programs: vec![finish(asm)], maps, license: "GPL".into() };
    let by_file = load(&object.to_elf().unwrap(), Options::default());
    for loaded in [by_file, load_object(&object, Options::default())] {
        let loaded = loaded.unwrap();
        run::once(loaded.program("sum").unwrap(), &frame(64, 0)).unwrap();
        let value = |name: &str| loaded.map(name).unwrap().lookup(&[0; 4]).unwrap().unwrap();
        assert_eq!(value(".bss")[..8], 42u64.to_ne_bytes());
        let constants = loaded.map(".rodata").unwrap();
        assert!(constants.update(&[0; 4], &[0; 16], Update::Any).unwrap_err().is_permission());
    }
}

#[test]
fn maps_of_many_kinds_come_from_objects() {
    require_kernel!();
    let inner = MapDef::new("inner", MapKind::Hash, MapType::U32, MapType::U32, 8);
    let mut outer = MapDef::new("outer", MapKind::HashOfMaps, MapType::U32, MapType::U32, 4);
    outer.inner = Some(Box::new(inner));
    let maps = vec![
        counter_map(),
        outer,
        MapDef::new("trie", MapKind::LpmTrie, MapType::lpm_key("v4", 4), MapType::U32, 100),
        MapDef::new("cpus", MapKind::PerCpuArray, MapType::U32, MapType::U64, 4),
        MapDef::new("recent", MapKind::LruHash, MapType::bytes(16), MapType::U64, 1000),
        MapDef::new("ports", MapKind::DevMap, MapType::U32, MapType::U32, 16),
        MapDef::programs("slots", 8),
        MapDef::ring("events", 8192),
    ];
    let names: Vec<_> = maps.iter().map(|map| map.name.clone()).collect();
    let elf = elf(vec![counting("count", "xdp", XDP_PASS)], maps);
    let loaded = load(&elf, Options::default()).unwrap();
    let pins = Pins::new();
    let mut reuse = BTreeMap::new();
    for name in &names {
        loaded.map(name).unwrap_or_else(|| panic!("{name}")).pin(&pins.at(name)).unwrap();
        reuse.insert(name.clone(), Reuse::Pin(pins.at(name)));
    }
    // Every kind's shape is what was asked for, so that each is taken again.
    let again = load(&elf, Options { reuse, ..Options::default() }).unwrap();
    assert_eq!(again.reused.len(), names.len());
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

//! Objects before the judges that no one here wrote: the kernel's verifier by way of libbpf, aya,
//! and llvm-objdump.

mod common;

use aya::Ebpf;
use aya::programs::{SchedClassifier, TestRun, TestRunOptions, Xdp};
use common::{Scratch, bpftool, needs, no_bpftool, no_tool, run};
use weir_bpf::asm::Assembler;
use weir_bpf::helpers;
use weir_bpf::insn::{AluOp, AtomicOp, Cond, Insn, MapId, Operand, Order, Reg, Size, Width};
use weir_bpf::map::{MapDef, MapKind, MapType};
use weir_bpf::object::Object;
use weir_bpf::program::{LineInfo, Program};
use weir_bpf::target::{Feature, Target};
use weir_bpf::text::{parse_insn, parse_program};

use Reg::*;

fn line(nth: u32, text: &str) -> LineInfo {
    LineInfo { file: "edge.weir".into(), line: nth, column: 1, text: text.into() }
}

fn hits() -> MapDef {
    let value = MapType::structure("hits", [("packets", MapType::U64), ("bytes", MapType::U64)]);
    MapDef::new("hits", MapKind::Array, MapType::U32, value, 4)
}

/// Counts IPv4 packets in `hits[0]` by way of a subprogram and drops them; the rest passes.
/// `data` is the offset of `data` in the context, `actions` are pass and drop.
fn counting(name: &str, section: &str, data: i16, actions: (i32, i32)) -> Program {
    let mut asm = Assembler::new(name, section);
    let first = asm.add_line(line(3, "drop v4 when ip.version == 4"));
    let second = asm.add_line(line(4, "default pass"));
    let (pass, count) = (asm.label(), asm.label());
    asm.line(first);
    asm.emit(Insn::load(Size::W, R2, R1, data));
    asm.emit(Insn::load(Size::W, R3, R1, data + 4));
    asm.emit(Insn::mov(R4, R2));
    asm.emit(Insn::alu(AluOp::Add, R4, 14));
    asm.branch(Cond::Gt, Width::W64, R4, R3, pass);
    asm.emit(Insn::load(Size::H, R4, R2, 12));
    asm.emit(Insn::Endian { dst: R4, to: Order::Be, size: Size::H });
    asm.branch(Cond::Ne, Width::W32, R4, 0x800, pass);
    asm.emit(Insn::mov(R1, 0));
    asm.call(count);
    asm.emit(Insn::mov(R0, actions.1));
    asm.emit(Insn::Exit);
    asm.bind(pass);
    asm.line(second);
    asm.emit(Insn::mov(R0, actions.0));
    asm.emit(Insn::Exit);
    count_in_first_map(&mut asm, count);
    asm.finish(&Target::newest()).unwrap()
}

fn count_in_first_map(asm: &mut Assembler, start: weir_bpf::asm::Label) {
    let missing = asm.label();
    asm.function("count", 1, start);
    asm.emit(Insn::store(Size::W, R10, -4, R1));
    asm.emit(Insn::mov(R2, R10));
    asm.emit(Insn::alu(AluOp::Add, R2, -4));
    asm.emit(Insn::LdMap { dst: R1, map: MapId(0) });
    asm.emit(Insn::Call(helpers::MAP_LOOKUP_ELEM));
    asm.branch(Cond::Eq, Width::W64, R0, 0, missing);
    asm.emit(Insn::mov(R1, 1));
    asm.emit(Insn::Atomic { op: AtomicOp::Add, fetch: false, size: Size::DW, base: R0, off: 0, src: R1 });
    asm.bind(missing);
    asm.emit(Insn::mov(R0, 0));
    asm.emit(Insn::Exit);
}

fn object(programs: Vec<Program>, maps: Vec<MapDef>) -> Vec<u8> {
    let license = "GPL".into();
    let object = Object { programs, maps, license };
    let elf = object.to_elf().unwrap();
    assert_eq!(object.to_elf().unwrap(), elf, "not the same bytes twice");
    elf
}

fn text(name: &str, text: &str) -> Program {
    parse_program(&format!(".program {name} xdp\n{text}")).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn libbpf_loads_and_the_kernel_shows_the_lines() {
    let test = "libbpf_loads_and_the_kernel_shows_the_lines";
    if !needs(test, no_bpftool()) {
        return;
    }
    let programs = vec![
        counting("edge", "xdp", 0, (2, 1)),
        counting("frags", "xdp.frags", 0, (2, 1)),
        counting("second", "xdp", 0, (2, 1)),
        counting("ingress", "classifier", 76, (0, 2)),
        counting("old", "tc", 76, (0, 2)),
    ];
    let elf = object(programs, vec![hits()]);
    let scratch = Scratch::new(test);
    let show = "ls $FS/p && bpftool prog dump xlated pinned $FS/p/edge linum \
                && bpftool map dump name hits";
    let text = bpftool(&scratch, &elf, show).unwrap_or_else(|error| panic!("{error}"));
    let quoted = "; drop v4 when ip.version == 4 [file:edge.weir line_num:3 line_col:1]";
    for expected in [quoted, "; default pass", "count", "\"packets\": 0"] {
        assert!(text.contains(expected), "no `{expected}` in\n{text}");
    }
    for name in ["edge", "frags", "second", "ingress", "old"] {
        assert!(text.contains(name), "no `{name}` in\n{text}");
    }
}

#[test]
fn aya_loads_runs_and_reads_the_map() {
    let test = "aya_loads_runs_and_reads_the_map";
    if !needs(test, no_bpftool()) {
        return;
    }
    let programs = vec![counting("edge", "xdp", 0, (2, 1)), counting("ingress", "classifier", 76, (0, 2))];
    let mut bpf = Ebpf::load(&object(programs, vec![hits()])).unwrap();
    let mut packet = vec![0; 64];
    packet[12..14].copy_from_slice(&[8, 0]);
    let run = |data_in| TestRunOptions { data_in: Some(data_in), ..TestRunOptions::new() };
    let xdp: &mut Xdp = bpf.program_mut("edge").unwrap().try_into().unwrap();
    xdp.load().unwrap();
    assert_eq!(xdp.test_run(run(&packet)).unwrap().return_value, 1);
    assert_eq!(xdp.test_run(run(&[0; 64])).unwrap().return_value, 2);
    let tc: &mut SchedClassifier = bpf.program_mut("ingress").unwrap().try_into().unwrap();
    tc.load().unwrap();
    assert_eq!(tc.test_run(run(&packet)).unwrap().return_value, 2);
    let hits: aya::maps::Array<_, [u64; 2]> = bpf.map("hits").unwrap().try_into().unwrap();
    assert_eq!(hits.get(&0, 0).unwrap(), [2, 0]);
}

#[test]
fn all_kinds_of_maps_are_made() {
    let test = "all_kinds_of_maps_are_made";
    if !needs(test, no_bpftool()) {
        return;
    }
    let address = || MapType::bytes(16);
    let counters = || MapType::structure("c", [("n", MapType::U32), ("b", MapType::U64)]);
    let def = |name, kind, key, value| MapDef::new(name, kind, key, value, 16);
    let mut outer = def("outer", MapKind::ArrayOfMaps, MapType::U32, MapType::U32);
    outer.inner = Some(Box::new(def("inner", MapKind::Hash, MapType::U32, counters())));
    let mut data = MapDef::section(".data.seed", MapType::array(MapType::U32, 4));
    data.initial = vec![1, 0, 0, 0, 42];
    let maps = vec![
        def("hash", MapKind::Hash, address(), counters()),
        def("percpu", MapKind::PerCpuHash, MapType::U16, counters()),
        def("lru", MapKind::LruHash, address(), MapType::U64),
        def("lrupc", MapKind::LruPerCpuHash, address(), MapType::U64),
        def("trie", MapKind::LpmTrie, MapType::lpm_key("k", 16), MapType::U32),
        MapDef::programs("progs", 8),
        def("devs", MapKind::DevMap, MapType::U32, MapType::U32),
        def("devhash", MapKind::DevMapHash, MapType::U32, MapType::U32),
        MapDef::ring("ring", 4096),
        MapDef::new("events", MapKind::PerfEventArray, MapType::U32, MapType::U32, 0),
        def("xsks", MapKind::XskMap, MapType::U32, MapType::U32),
        outer,
        data,
        MapDef::section(".bss", MapType::U64),
    ];
    // Every map is named, since libbpf makes those only that a program names.
    let mut source = String::new();
    for nth in 0..12 {
        source += &format!("r1 = map[{nth}] ll\n");
    }
    source += "r1 = map[13] + 0 ll\n *(u64 *)(r1 + 0) = 1\n";
    source += "r1 = map[12] + 4 ll\n r0 = *(u32 *)(r1 + 0)\n exit\n";
    let elf = object(vec![text("all", &source)], maps);
    let scratch = Scratch::new(test);
    let show = "bpftool map list && bpftool prog run pinned $FS/p/all data_in $FS/../data repeat 1";
    scratch.file("data", &[0; 64]);
    let shown = bpftool(&scratch, &elf, show).unwrap_or_else(|error| panic!("{error}"));
    assert!(shown.contains("Return value: 42"), "{shown}");
    for kind in ["lru_percpu_hash", "lpm_trie", "ringbuf", "array_of_maps"] {
        assert!(shown.contains(kind), "no {kind} in\n{shown}");
    }
    // The same object by the other loader.
    let mut bpf = Ebpf::load(&elf).unwrap();
    let xdp: &mut Xdp = bpf.program_mut("all").unwrap().try_into().unwrap();
    xdp.load().unwrap();
    let result = xdp.test_run(TestRunOptions { data_in: Some(&[0; 64]), ..TestRunOptions::new() });
    assert_eq!(result.unwrap().return_value, 42);
}

#[test]
fn callbacks_are_found_by_both_loaders() {
    let test = "callbacks_are_found_by_both_loaders";
    if !needs(test, no_bpftool()) {
        return;
    }
    let source = "
        *(u64 *)(r10 - 8) = 0
        r1 = 10
        r2 = func body ll
        r3 = r10
        r3 += -8
        r4 = 0
        call 181
        r0 = *(u64 *)(r10 - 8)
        exit
        .function body 2
        r3 = *(u64 *)(r2 + 0)
        r3 += r1
        *(u64 *)(r2 + 0) = r3
        r0 = 0
        exit";
    let elf = object(vec![text("turns", source)], vec![]);
    let scratch = Scratch::new(test);
    scratch.file("data", &[0; 64]);
    let show = "bpftool prog run pinned $FS/p/turns data_in $FS/../data repeat 1";
    let shown = bpftool(&scratch, &elf, show).unwrap_or_else(|error| panic!("{error}"));
    assert!(shown.contains("Return value: 45"), "{shown}");
    let mut bpf = Ebpf::load(&elf).unwrap();
    let xdp: &mut Xdp = bpf.program_mut("turns").unwrap().try_into().unwrap();
    xdp.load().unwrap();
}

/// 120,000 instructions in 40 stretches; each is jumped out of to the far end and back into.
fn large(target: &Target) -> Program {
    let mut asm = Assembler::new("large", "xdp");
    let labels = |asm: &mut Assembler| (0..40).map(|_| asm.label()).collect::<Vec<_>>();
    let (exits, ends) = (labels(&mut asm), labels(&mut asm));
    let bad = asm.label();
    asm.emit(Insn::load(Size::W, R2, R1, 0));
    asm.emit(Insn::load(Size::W, R3, R1, 4));
    asm.emit(Insn::mov(R4, R2));
    asm.emit(Insn::alu(AluOp::Add, R4, 1));
    asm.branch(Cond::Gt, Width::W64, R4, R3, bad);
    asm.emit(Insn::load(Size::B, R2, R2, 0));
    asm.emit(Insn::mov(R5, R2));
    for nth in 0..40 {
        let next = asm.label();
        asm.branch(Cond::Eq, Width::W64, R2, nth as i32, ends[nth]);
        asm.jump(next);
        asm.bind(exits[nth]);
        asm.emit(Insn::mov(R0, nth as i32 + 1));
        asm.emit(Insn::Exit);
        asm.bind(next);
        for _ in 0..3000 {
            asm.emit(Insn::alu(AluOp::Add, R5, 1));
        }
    }
    asm.bind(bad);
    asm.emit(Insn::mov(R0, 0));
    asm.emit(Insn::Exit);
    for nth in 0..40 {
        asm.bind(ends[nth]);
        asm.branch(Cond::Ne, Width::W64, R5, 0, exits[nth]);
        asm.jump(bad);
    }
    asm.finish(target).unwrap()
}

#[test]
fn the_kernel_takes_far_jumps_of_both_forms() {
    let test = "the_kernel_takes_far_jumps_of_both_forms";
    if !needs(test, no_bpftool()) {
        return;
    }
    for target in [Target::newest(), Target::newest().without(Feature::Gotol)] {
        let elf = object(vec![large(&target)], vec![]);
        let scratch = Scratch::new(test);
        bpftool(&scratch, &elf, "true").unwrap_or_else(|error| panic!("{target}: {error}"));
        let mut bpf = Ebpf::load(&elf).unwrap();
        let xdp: &mut Xdp = bpf.program_mut("large").unwrap().try_into().unwrap();
        xdp.load().unwrap();
        for key in [1, 20, 39] {
            let result = xdp.test_run(TestRunOptions { data_in: Some(&[key; 64]), ..TestRunOptions::new() });
            assert_eq!(result.unwrap().return_value, u32::from(key) + 1, "{target}");
        }
    }
}

/// Every form that cpu v3 has.
fn forms() -> Vec<Insn> {
    let mut insns = Vec::new();
    let operands = [Operand::Reg(R2), Operand::Imm(-7), Operand::Imm(0x7fff_ffff)];
    for width in [Width::W32, Width::W64] {
        insns.push(Insn::Neg { width, dst: R3 });
        for src in operands {
            let ops = AluOp::all().filter(|op| !matches!(op, AluOp::Sdiv | AluOp::Smod));
            insns.extend(ops.map(|op| Insn::Alu { width, op, dst: R1, src }));
            use Cond::*;
            for cond in [Eq, Ne, Gt, Ge, Lt, Le, Sgt, Sge, Slt, Sle, Set] {
                insns.push(Insn::Jump { cond, width, dst: R1, src, off: 0 });
            }
        }
    }
    for size in [Size::B, Size::H, Size::W, Size::DW] {
        insns.push(Insn::load(size, R1, R2, -8));
        insns.push(Insn::store(size, R10, -16, R3));
        insns.push(Insn::store(size, R10, 16, 5));
    }
    for size in [Size::H, Size::W, Size::DW] {
        for to in [Order::Be, Order::Le] {
            insns.push(Insn::Endian { dst: R4, to, size });
        }
    }
    for size in [Size::W, Size::DW] {
        use AtomicOp::*;
        for (op, fetch) in [
            (Add, false),
            (Or, false),
            (And, false),
            (Xor, false),
            (Add, true),
            (Or, true),
            (And, true),
            (Xor, true),
            (Xchg, true),
            (CmpXchg, true),
        ] {
            insns.push(Insn::Atomic { op, fetch, size, base: R1, off: 8, src: R2 });
        }
    }
    insns.push(Insn::LdImm64 { dst: R7, value: 0xdead_beef_1234_5678 });
    insns.extend([Insn::Ja { off: 0 }, Insn::Call(1), Insn::Exit]);
    insns
}

#[test]
fn llvm_reads_what_was_written() {
    let test = "llvm_reads_what_was_written";
    if !needs(test, no_tool("llvm-objdump")) {
        return;
    }
    let insns = forms();
    let program = Program {
        name: "forms".into(),
        section: "xdp".into(),
        functions: text("forms", "exit").functions,
        insns: insns.clone(),
        ..Program::default()
    };
    let scratch = Scratch::new(test);
    let file = scratch.file("forms.o", &object(vec![program], vec![]));
    let args = ["-d", "--mattr=+alu32", "--no-show-raw-insn", file.to_str().unwrap()];
    let shown = run("llvm-objdump", &args).unwrap_or_else(|error| panic!("{error}"));
    assert!(shown.contains("<forms>:"), "{shown}");
    let lines: Vec<&str> = shown
        .lines()
        .filter(|line| line.starts_with(' '))
        .filter_map(|line| line.split_once(":\t").map(|(_, insn)| insn))
        .map(|insn| insn.split(" <forms").next().unwrap_or(insn))
        .collect();
    assert_eq!(lines.len(), insns.len(), "{shown}");
    for (line, insn) in lines.into_iter().zip(insns) {
        match line {
            "<unknown>" => assert!(later_than_llvm_14(&insn), "llvm does not know `{insn}`"),
            _ => assert_eq!(parse_insn(line), Ok(insn), "llvm has `{line}`, we `{insn}`"),
        }
    }
}

/// What LLVM's own tables got after version 14.
fn later_than_llvm_14(insn: &Insn) -> bool {
    matches!(
        insn,
        Insn::Alu { op: AluOp::Mod, .. }
            | Insn::Jump { cond: Cond::Set, .. }
            | Insn::Store { src: Operand::Imm(_), .. }
    )
}

#[test]
fn llvm_lists_sections_symbols_and_relocations() {
    let test = "llvm_lists_sections_symbols_and_relocations";
    if !needs(test, no_tool("llvm-readelf")) {
        return;
    }
    let scratch = Scratch::new(test);
    let elf = object(vec![counting("edge", "xdp", 0, (2, 1))], vec![hits()]);
    let file = scratch.file("edge.o", &elf);
    let args = ["-S", "-s", "-r", "-h", file.to_str().unwrap()];
    let shown = run("llvm-readelf", &args).unwrap_or_else(|error| panic!("{error}"));
    for expected in [
        "EM_BPF",
        ".BTF.ext",
        "license",
        "R_BPF_64_64",
        "R_BPF_64_32",
        "FUNC    LOCAL  DEFAULT",
        "FUNC    GLOBAL DEFAULT",
    ] {
        assert!(shown.contains(expected), "no `{expected}` in\n{shown}");
    }
}

//! Objects before the judges that no one here wrote: the kernel's verifier through libbpf, and
//! llvm-objdump.

mod common;

use common::{Scratch, bpftool, needs, no_bpftool, no_tool, run};
use weir_bpf::asm::Assembler;
use weir_bpf::helpers;
use weir_bpf::insn::{AluOp, AtomicOp, Cond, Insn, MapId, Operand, Order, Reg, Size, Width};
use weir_bpf::map::{MapDef, MapKind, MapType};
use weir_bpf::object::Object;
use weir_bpf::program::{LineInfo, Program};
use weir_bpf::target::Target;

use Reg::*;

fn line(nth: u32, text: &str) -> LineInfo {
    LineInfo {
        file: "edge.weir".into(),
        line: nth,
        column: 1,
        text: text.into(),
    }
}

fn hits() -> MapDef {
    let value = MapType::structure("hits", [("packets", MapType::U64), ("bytes", MapType::U64)]);
    MapDef::new("hits", MapKind::PerCpuArray, MapType::U32, value, 4)
}

/// Counts IPv4 packets in `hits[0]` by way of a subprogram, drops them, passes the rest.
fn counting(name: &str, section: &str) -> Program {
    let mut asm = Assembler::new(name, section);
    let first = asm.add_line(line(3, "drop v4 when ip.version == 4"));
    let second = asm.add_line(line(4, "default pass"));
    let (pass, count) = (asm.label(), asm.label());
    asm.line(first);
    asm.emit(Insn::load(Size::W, R2, R1, 0));
    asm.emit(Insn::load(Size::W, R3, R1, 4));
    asm.emit(Insn::mov(R4, R2));
    asm.emit(Insn::alu(AluOp::Add, R4, 14));
    asm.branch(Cond::Gt, Width::W64, R4, R3, pass);
    asm.emit(Insn::load(Size::H, R4, R2, 12));
    asm.emit(Insn::Endian {
        dst: R4,
        to: Order::Be,
        size: Size::H,
    });
    asm.branch(Cond::Ne, Width::W32, R4, 0x800, pass);
    asm.emit(Insn::mov(R1, 0));
    asm.call(count);
    asm.emit(Insn::mov(R0, 1));
    asm.emit(Insn::Exit);
    asm.bind(pass);
    asm.line(second);
    asm.emit(Insn::mov(R0, 2));
    asm.emit(Insn::Exit);
    asm.function("count", 1, count);
    let missing = asm.label();
    asm.emit(Insn::store(Size::W, R10, -4, R1));
    asm.emit(Insn::mov(R2, R10));
    asm.emit(Insn::alu(AluOp::Add, R2, -4));
    asm.emit(Insn::LdMap {
        dst: R1,
        map: MapId(0),
    });
    asm.emit(Insn::Call(helpers::MAP_LOOKUP_ELEM));
    asm.branch(Cond::Eq, Width::W64, R0, 0, missing);
    asm.emit(Insn::mov(R1, 1));
    asm.emit(Insn::Atomic {
        op: AtomicOp::Add,
        fetch: false,
        size: Size::DW,
        base: R0,
        off: 0,
        src: R1,
    });
    asm.bind(missing);
    asm.emit(Insn::mov(R0, 0));
    asm.emit(Insn::Exit);
    asm.finish(&Target::newest()).unwrap()
}

fn object(programs: Vec<Program>, maps: Vec<MapDef>) -> Vec<u8> {
    let license = "GPL".into();
    Object {
        programs,
        maps,
        license,
    }
    .to_elf()
    .unwrap()
}

#[test]
fn the_kernel_takes_it_and_shows_the_lines() {
    let test = "the_kernel_takes_it_and_shows_the_lines";
    if !needs(test, no_bpftool()) {
        return;
    }
    let elf = object(vec![counting("edge", "xdp")], vec![hits()]);
    let scratch = Scratch::new(test);
    let show = "bpftool prog dump xlated pinned $FS/p/edge linum && bpftool btf dump prog pinned $FS/p/edge 2>/dev/null; bpftool map dump name hits";
    let text = bpftool(&scratch, &elf, show).unwrap_or_else(|error| panic!("{error}"));
    assert!(
        text.contains("; drop v4 when ip.version == 4 [file:edge.weir line_num:3 line_col:1]"),
        "{text}"
    );
    assert!(text.contains("; default pass"), "{text}");
    assert!(text.contains("count"), "{text}");
    assert!(text.contains("\"packets\": 0"), "{text}");
}

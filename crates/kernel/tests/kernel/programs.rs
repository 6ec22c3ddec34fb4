//! Small programs to load.

use weir_bpf::asm::Assembler;
use weir_bpf::helpers;
use weir_bpf::insn::{AluOp, Cond, Insn, MapId, Reg, Size, Width};
use weir_bpf::map::{MapDef, MapKind, MapType};
use weir_bpf::object::Object;
use weir_bpf::program::{LineInfo, Program};
use weir_bpf::target::Target;
use weir_kernel::load::{self, LoadError, Loaded, Options};

pub(crate) const XDP_DROP: u32 = 1;
pub(crate) const XDP_PASS: u32 = 2;
pub(crate) const XDP_TX: u32 = 3;

pub(crate) fn elf(programs: Vec<Program>, maps: Vec<MapDef>) -> Vec<u8> {
    Object { programs, maps, license: "GPL".into() }.to_elf().expect("an object")
}

pub(crate) fn try_load(programs: Vec<Program>, maps: Vec<MapDef>) -> Result<Loaded, LoadError> {
    load::load(&elf(programs, maps), Options::default())
}

/// Loads one program without maps.
pub(crate) fn one(program: Program) -> weir_kernel::program::Program {
    let name = program.name.clone();
    let mut loaded = try_load(vec![program], vec![]).expect("the program");
    loaded.programs.remove(&name).expect("under its name").program
}

pub(crate) fn finish(asm: Assembler) -> Program {
    asm.finish(&Target::newest()).expect("a program")
}

/// Answers always the same.
pub(crate) fn returns(name: &str, section: &str, code: u32) -> Program {
    let mut asm = Assembler::new(name, section);
    asm.emit(Insn::mov32(Reg::R0, code as i32));
    asm.emit(Insn::Exit);
    finish(asm)
}

/// Reads a byte of the packet without a check, in a line of its own.
pub(crate) fn careless() -> Program {
    let mut asm = Assembler::new("careless", "xdp");
    let line = |line, text: &str| LineInfo { file: "edge.weir".into(), line, column: 1, text: text.into() };
    let first = asm.add_line(line(3, "pass when eth"));
    let second = asm.add_line(line(7, "drop bogons when ip.src in bogons"));
    asm.line(first);
    asm.emit(Insn::load(Size::W, Reg::R2, Reg::R1, 4));
    asm.emit(Insn::load(Size::W, Reg::R1, Reg::R1, 0));
    asm.line(second);
    asm.emit(Insn::load(Size::B, Reg::R0, Reg::R1, 30));
    asm.emit(Insn::Exit);
    finish(asm)
}

/// Turns a plain loop so many times, then drops.
pub(crate) fn looping(name: &str, turns: i32) -> Program {
    let mut asm = Assembler::new(name, "xdp");
    asm.emit(Insn::mov(Reg::R6, 0));
    let top = asm.here();
    asm.emit(Insn::alu(AluOp::Add, Reg::R6, 1));
    asm.branch(Cond::Lt, Width::W64, Reg::R6, turns, top);
    asm.emit(Insn::mov32(Reg::R0, XDP_DROP as i32));
    asm.emit(Insn::Exit);
    finish(asm)
}

pub(crate) fn counter_map() -> MapDef {
    MapDef::new("counts", MapKind::Array, MapType::U32, MapType::U64, 4)
}

/// Adds one to `counts[0]`, then answers.
pub(crate) fn counting(name: &str, section: &str, code: u32) -> Program {
    let mut asm = Assembler::new(name, section);
    let out = asm.label();
    asm.emit(Insn::store(Size::W, Reg::R10, -4, 0));
    asm.emit(Insn::LdMap { dst: Reg::R1, map: MapId(0) });
    asm.emit(Insn::mov(Reg::R2, Reg::R10));
    asm.emit(Insn::alu(AluOp::Add, Reg::R2, -4));
    asm.emit(Insn::Call(helpers::MAP_LOOKUP_ELEM));
    asm.branch(Cond::Eq, Width::W64, Reg::R0, 0, out);
    asm.emit(Insn::load(Size::DW, Reg::R1, Reg::R0, 0));
    asm.emit(Insn::alu(AluOp::Add, Reg::R1, 1));
    asm.emit(Insn::store(Size::DW, Reg::R0, 0, Reg::R1));
    asm.bind(out);
    asm.emit(Insn::mov32(Reg::R0, code as i32));
    asm.emit(Insn::Exit);
    finish(asm)
}

/// Tail-calls slot 0 of `slots` (map 0); drops where it is empty.
pub(crate) fn dispatcher() -> Program {
    let mut asm = Assembler::new("root", "xdp");
    asm.emit(Insn::LdMap { dst: Reg::R2, map: MapId(0) });
    asm.emit(Insn::mov32(Reg::R3, 0));
    asm.emit(Insn::Call(helpers::TAIL_CALL));
    asm.emit(Insn::mov32(Reg::R0, XDP_DROP as i32));
    asm.emit(Insn::Exit);
    finish(asm)
}

/// Writes eight bytes (the number `mark`) to `events` (map 0), then drops.
pub(crate) fn reporting(helper: u32, mark: i32) -> Program {
    let mut asm = Assembler::new("report", "xdp");
    asm.emit(Insn::store(Size::DW, Reg::R10, -8, mark));
    if helper == helpers::RINGBUF_OUTPUT {
        asm.emit(Insn::LdMap { dst: Reg::R1, map: MapId(0) });
        asm.emit(Insn::mov(Reg::R2, Reg::R10));
        asm.emit(Insn::alu(AluOp::Add, Reg::R2, -8));
        asm.emit(Insn::mov32(Reg::R3, 8));
        asm.emit(Insn::mov32(Reg::R4, 0));
    } else {
        asm.emit(Insn::LdMap { dst: Reg::R2, map: MapId(0) });
        // BPF_F_CURRENT_CPU
        asm.emit(Insn::mov32(Reg::R3, -1));
        asm.emit(Insn::mov(Reg::R4, Reg::R10));
        asm.emit(Insn::alu(AluOp::Add, Reg::R4, -8));
        asm.emit(Insn::mov32(Reg::R5, 8));
    }
    asm.emit(Insn::Call(helper));
    asm.emit(Insn::mov32(Reg::R0, XDP_DROP as i32));
    asm.emit(Insn::Exit);
    finish(asm)
}

/// The start of a UDP frame of so many bytes; its last byte is `mark`.
pub(crate) fn frame(length: usize, mark: u8) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x00, 0x45, 0];
    frame.extend((length as u16).wrapping_sub(14).to_be_bytes());
    frame.extend([0, 0, 0, 0, 64, 17]);
    frame.resize(length, 0);
    frame[length - 1] = mark;
    frame
}

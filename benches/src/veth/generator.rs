//! The sender: live frames, each from another source.

use std::time::Duration;
use weir_bpf::asm::Assembler;
use weir_bpf::helpers;
use weir_bpf::insn::{AluOp, Cond, Insn, MapId, Reg, Size, Width};
use weir_bpf::map::{MapDef, MapKind, MapType};
use weir_bpf::object::Object;
use weir_bpf::program::Program;
use weir_bpf::target::Target;
use weir_kernel::KernelError;
use weir_kernel::load::{self, Loaded, Options};
use weir_kernel::run::{self, LiveRun};
use weir_packet::build::{Ethernet, Ipv4, Packet, Udp};

use crate::Failure;

/// The program of [`drop_all`].
pub(crate) const DROP: &str = "drop_all";

const SEND: &str = "send";
const DROPPED: i32 = 1;
const SENT_BACK: i32 = 3;

/// Behind Ethernet: the last four bytes of the IPv4 header's source, then those of its target, then the source port.
const SOURCE: i16 = 26;
const SRCPORT: i16 = 34;

/// An odd number whose multiples visit all 2^32 values, far from each other: 2^32 by the golden ratio.
const STEP: i32 = 0x9e37_79b9_u32 as i32;

pub(super) struct Generator(Loaded);

/// From 127.0.0.0/8 to the discard port: the ten-line example calls it bogus, and the simplest rules know the port.
pub(super) fn packet(source: u32, srcport: u16) -> Packet {
    Packet::new()
        .push(Ethernet::default())
        .push(Ipv4::new(source, [203, 0, 113, 10]))
        .push(Udp::new(srcport, 9))
        .padded_to(60)
}

impl Generator {
    pub(super) fn load() -> Result<Self, Failure> {
        let number = MapDef::new("number", MapKind::Array, MapType::U32, MapType::U64, 1);
        Ok(Self(load::load(&elf(send(), vec![number]), Options::default())?))
    }

    /// Sends so many frames out of an interface of the calling thread's namespace. How long each took.
    pub(super) fn send(&self, ingress: u32, count: u32) -> Result<Duration, KernelError> {
        let program = self.0.program(SEND).expect("loaded under its name");
        let frame = packet(0x7f00_0001, 1).build();
        run::live(program, &LiveRun { frame: &frame, repeat: count, batch: 0, ingress })
    }
}

/// The object of a program that drops everything and looks at nothing.
pub(crate) fn drop_all() -> Vec<u8> {
    let mut asm = Assembler::new(DROP, "xdp");
    asm.emit(Insn::mov32(Reg::R0, DROPPED));
    asm.emit(Insn::Exit);
    elf(finish(asm), Vec::new())
}

/// The program of [`redirect_all`] and [`send_all_back`].
pub(crate) const REDIRECT: &str = "redirect_all";

/// The object of a program that sends everything out of an interface and looks at nothing.
pub(crate) fn redirect_all(interface: u32) -> Vec<u8> {
    let mut asm = Assembler::new(REDIRECT, "xdp");
    asm.emit(Insn::mov32(Reg::R1, interface as i32));
    asm.emit(Insn::mov32(Reg::R2, 0));
    asm.emit(Insn::Call(helpers::REDIRECT));
    asm.emit(Insn::Exit);
    elf(finish(asm), Vec::new())
}

/// The same by the interface by which it came.
pub(crate) fn send_all_back() -> Vec<u8> {
    let mut asm = Assembler::new(REDIRECT, "xdp");
    asm.emit(Insn::mov32(Reg::R0, SENT_BACK));
    asm.emit(Insn::Exit);
    elf(finish(asm), Vec::new())
}

pub(crate) fn elf(program: Program, maps: Vec<MapDef>) -> Vec<u8> {
    let object = Object { programs: vec![program], maps, license: "Dual MIT/GPL".into() };
    object.to_elf().expect("a good object")
}

/// Three bytes of the source and the source port become those of the next number; checksums are not looked at by
/// what drops frames.
fn send() -> Program {
    let mut asm = Assembler::new(SEND, "xdp");
    let lost = asm.label();
    asm.emit(Insn::load(Size::W, Reg::R6, Reg::R1, 0));
    asm.emit(Insn::load(Size::W, Reg::R7, Reg::R1, 4));
    asm.emit(Insn::mov(Reg::R2, Reg::R6));
    asm.emit(Insn::alu(AluOp::Add, Reg::R2, i32::from(SRCPORT) + 2));
    asm.branch(Cond::Gt, Width::W64, Reg::R2, Reg::R7, lost);
    asm.emit(Insn::store(Size::W, Reg::R10, -4, 0));
    asm.emit(Insn::LdMap { dst: Reg::R1, map: MapId(0) });
    asm.emit(Insn::mov(Reg::R2, Reg::R10));
    asm.emit(Insn::alu(AluOp::Add, Reg::R2, -4));
    asm.emit(Insn::Call(helpers::MAP_LOOKUP_ELEM));
    asm.branch(Cond::Eq, Width::W64, Reg::R0, 0, lost);
    asm.emit(Insn::load(Size::DW, Reg::R1, Reg::R0, 0));
    asm.emit(Insn::alu(AluOp::Add, Reg::R1, STEP));
    asm.emit(Insn::store(Size::DW, Reg::R0, 0, Reg::R1));
    asm.emit(Insn::store(Size::H, Reg::R6, SRCPORT, Reg::R1));
    asm.emit(Insn::alu(AluOp::Rsh, Reg::R1, 8));
    asm.emit(Insn::store(Size::B, Reg::R6, SOURCE + 1, Reg::R1));
    asm.emit(Insn::alu(AluOp::Rsh, Reg::R1, 8));
    asm.emit(Insn::store(Size::H, Reg::R6, SOURCE + 2, Reg::R1));
    asm.emit(Insn::mov32(Reg::R0, SENT_BACK));
    asm.emit(Insn::Exit);
    asm.bind(lost);
    asm.emit(Insn::mov32(Reg::R0, DROPPED));
    asm.emit(Insn::Exit);
    finish(asm)
}

pub(crate) fn finish(asm: Assembler) -> Program {
    asm.finish(&Target::for_kernel(5, 18)).expect("a good program")
}

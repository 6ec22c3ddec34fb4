//! The program in front: it feeds the next frame to the one that is measured.

use weir_bpf::asm::{Assembler, Label};
use weir_bpf::helpers;
use weir_bpf::insn::{AluOp, Cond, Insn, MapId, Reg, Size, Width};
use weir_bpf::map::{MapDef, MapKind, MapType};
use weir_bpf::object::Object;
use weir_bpf::target::Target;

use super::BenchError;
use crate::KernelError;
use crate::load::{self, LoadError, Loaded, Options};
use crate::maps::{Map, Update};
use crate::program::{Program, ProgramKind};
use crate::run::{self, TestRun};

/// A slot of `frames` is the frame's length in eight bytes, then its bytes.
const LENGTH: usize = 8;

/// Members of the one value of `state`.
const NEXT: i16 = 0;
const FAILED: i16 = 4;
/// Where the packet starts, counted from the context; 0 before the first frame of a run.
const HOME: i16 = 8;
const FED: i16 = 16;
const STATE_SIZE: u32 = 24;

const STATE: MapId = MapId(0);
const FRAMES: MapId = MapId(1);
const TARGET: MapId = MapId(2);

/// `XDP_DROP`; for tc `TC_ACT_RECLASSIFY`, which is as good as any.
const EMPTY_ANSWER: i32 = 1;

pub(super) struct Feeder {
    loaded: Loaded,
    first: Vec<u8>,
    ingress: Option<u32>,
}

/// Bytes that a frame of that length takes of the map.
pub(super) fn slot_size(length: usize) -> usize {
    (LENGTH + length).next_multiple_of(8)
}

impl Feeder {
    pub(super) fn new(program: &Program, frames: &[&[u8]], ingress: Option<u32>) -> Result<Self, BenchError> {
        let sections: &[&str] = match program.kind() {
            // A prog array takes only programs that agree on multi-buffer, and nothing tells which this is: try.
            ProgramKind::Xdp => &["xdp", "xdp.frags"],
            ProgramKind::Tc => &["tc"],
            _ => {
                return Err(BenchError::WrongKind { program: program.name().to_owned() });
            }
        };
        let largest = frames.iter().map(|frame| frame.len()).max().unwrap_or(0);
        let first = vec![0; largest];
        let mut refusal = None;
        for section in sections {
            let feeder =
                Self { loaded: load_feeder(section, frames, largest)?, first: first.clone(), ingress };
            match feeder.map("target").set_program(0, program) {
                Ok(()) => {
                    feeder.fill(frames)?;
                    return Ok(feeder);
                }
                Err(error) => refusal = Some(error),
            }
        }
        Err(refusal.map_or(BenchError::NoFrames, BenchError::Kernel))
    }

    /// A program that does nothing.
    pub(super) fn empty(&self) -> &Program {
        self.loaded.program("empty").expect("loaded beside the feeder")
    }

    /// Nanoseconds a frame through the feeder and the program, as the kernel measures them: whole ones.
    pub(super) fn measure(&self, program: &Program, repeat: u32) -> Result<f64, BenchError> {
        self.map("target").set_program(0, program)?;
        let state = self.map("state");
        state.update(&[0; 4], &[0; STATE_SIZE as usize], Update::Any)?;
        let feeder = self.loaded.program("feeder").expect("loaded under its name");
        let run = TestRun { frame: &self.first, repeat, ingress: self.ingress };
        let outcome = run::test_run(feeder, &run)?;
        check(state, program, repeat)?;
        Ok(outcome.duration.as_nanos() as f64)
    }

    fn fill(&self, frames: &[&[u8]]) -> Result<(), KernelError> {
        let map = self.map("frames");
        let size = map.info().value_size as usize;
        // In portions: all frames once more in user space would be a lot of memory.
        for (portion, chunk) in frames.chunks(4096).enumerate() {
            let entries: Vec<_> = chunk
                .iter()
                .enumerate()
                .map(|(nth, frame)| ((portion * 4096 + nth) as u32, frame))
                .map(|(index, frame)| (index.to_ne_bytes(), slot(frame, size)))
                .collect();
            map.update_batch(&entries)?;
        }
        Ok(())
    }

    fn map(&self, name: &str) -> &Map {
        self.loaded.map(name).expect("the feeder's own map")
    }
}

/// A figure counts only if every frame reached the program.
fn check(state: &Map, program: &Program, repeat: u32) -> Result<(), BenchError> {
    let state = state.lookup(&[0; 4])?.unwrap_or_default();
    let number = |at: i16| state.get(at as usize..at as usize + 8).and_then(|bytes| bytes.try_into().ok());
    let failed = number(NEXT).map_or(0, |bytes| u64::from_ne_bytes(bytes) >> 32);
    let fed = number(FED).map_or(0, u64::from_ne_bytes);
    let frames = u64::from(repeat);
    if failed == 0 && fed == frames {
        return Ok(());
    }
    let failed = failed.max(frames.saturating_sub(fed));
    Err(BenchError::Lost { program: program.name().to_owned(), failed, frames })
}

fn slot(frame: &[u8], size: usize) -> Vec<u8> {
    let mut value = (frame.len() as u64).to_ne_bytes().to_vec();
    value.extend_from_slice(frame);
    value.resize(size, 0);
    value
}

fn load_feeder(section: &str, frames: &[&[u8]], largest: usize) -> Result<Loaded, LoadError> {
    let value = MapType::bytes(slot_size(largest) as u32);
    let state = MapType::array(MapType::U64, STATE_SIZE / 8);
    let object = Object {
        programs: vec![feeder(section, frames.len(), largest), empty(section)],
        maps: vec![
            MapDef::new("state", MapKind::Array, MapType::U32, state, 1),
            MapDef::new("frames", MapKind::Array, MapType::U32, value, frames.len() as u32),
            MapDef::programs("target", 1),
        ],
        license: "Dual MIT/GPL".into(),
    };
    let elf = object.to_elf().expect("the feeder is a good object");
    load::load(&elf, Options::default())
}

fn empty(section: &str) -> weir_bpf::program::Program {
    let mut asm = Assembler::new("empty", section);
    asm.emit(Insn::mov32(Reg::R0, EMPTY_ANSWER));
    asm.emit(Insn::Exit);
    finish(asm)
}

/// `r6` context, `r9` state, then `r7` slot, `r8` length.
fn feeder(section: &str, frames: usize, largest: usize) -> weir_bpf::program::Program {
    let mut asm = Assembler::new("feeder", section);
    let (failed, lost) = (asm.label(), asm.label());
    asm.emit(Insn::mov(Reg::R6, Reg::R1));
    asm.emit(Insn::store(Size::W, Reg::R10, -4, 0));
    look_up(&mut asm, STATE, lost);
    asm.emit(Insn::mov(Reg::R9, Reg::R0));
    take_slot(&mut asm, frames, failed);
    // The verifier wants the length bounded, and not 0.
    asm.branch(Cond::Eq, Width::W64, Reg::R8, 0, failed);
    asm.branch(Cond::Gt, Width::W64, Reg::R8, largest as i32, failed);
    if section.starts_with("xdp") {
        write_xdp(&mut asm, failed);
    } else {
        write_skb(&mut asm, failed);
    }
    increment(&mut asm, Size::DW, FED);
    asm.emit(Insn::mov(Reg::R1, Reg::R6));
    asm.emit(Insn::LdMap { dst: Reg::R2, map: TARGET });
    asm.emit(Insn::mov32(Reg::R3, 0));
    asm.emit(Insn::Call(helpers::TAIL_CALL));
    asm.bind(failed);
    increment(&mut asm, Size::W, FAILED);
    asm.bind(lost);
    asm.emit(Insn::mov32(Reg::R0, 0));
    asm.emit(Insn::Exit);
    finish(asm)
}

fn finish(asm: Assembler) -> weir_bpf::program::Program {
    asm.finish(&Target::for_kernel(5, 18)).expect("the feeder is a good program")
}

/// `r0` = the value of the key at `r10 - 4`.
fn look_up(asm: &mut Assembler, map: MapId, missing: Label) {
    asm.emit(Insn::LdMap { dst: Reg::R1, map });
    asm.emit(Insn::mov(Reg::R2, Reg::R10));
    asm.emit(Insn::alu(AluOp::Add, Reg::R2, -4));
    asm.emit(Insn::Call(helpers::MAP_LOOKUP_ELEM));
    asm.branch(Cond::Eq, Width::W64, Reg::R0, 0, missing);
}

/// `r7` = the next slot, `r8` = its length; the cursor goes on, and round.
fn take_slot(asm: &mut Assembler, frames: usize, failed: Label) {
    let inside = asm.label();
    asm.emit(Insn::load(Size::W, Reg::R8, Reg::R9, NEXT));
    asm.emit(Insn::store(Size::W, Reg::R10, -4, Reg::R8));
    look_up(asm, FRAMES, failed);
    asm.emit(Insn::mov(Reg::R7, Reg::R0));
    asm.emit(Insn::alu(AluOp::Add, Reg::R8, 1));
    asm.branch(Cond::Lt, Width::W64, Reg::R8, frames as i32, inside);
    asm.emit(Insn::mov32(Reg::R8, 0));
    asm.bind(inside);
    asm.emit(Insn::store(Size::W, Reg::R9, NEXT, Reg::R8));
    asm.emit(Insn::load(Size::DW, Reg::R8, Reg::R7, 0));
}

/// The packet's start and end go back to where the frame needs them, if the last run or the last frame left them
/// elsewhere; the calls cost more than the comparisons. No step may leave fewer than 14 bytes: a start that lies too far
/// back moves first, one that lies too far in front moves last.
///
/// Distances from the context are numbers that a privileged program may have, and it stays where it is during one call.
fn write_xdp(asm: &mut Assembler, failed: Label) {
    let (known, behind, fits, done) = (asm.label(), asm.label(), asm.label(), asm.label());
    asm.emit(Insn::load(Size::W, Reg::R3, Reg::R6, 0));
    asm.emit(Insn::alu(AluOp::Sub, Reg::R3, Reg::R6));
    asm.emit(Insn::load(Size::DW, Reg::R2, Reg::R9, HOME));
    asm.branch(Cond::Ne, Width::W64, Reg::R2, 0, known);
    asm.emit(Insn::mov(Reg::R2, Reg::R3));
    asm.emit(Insn::store(Size::DW, Reg::R9, HOME, Reg::R3));
    asm.bind(known);
    asm.emit(Insn::alu(AluOp::Sub, Reg::R2, Reg::R3));
    asm.emit(Insn::store(Size::DW, Reg::R10, -16, Reg::R2));
    asm.branch(Cond::Sge, Width::W64, Reg::R2, 0, behind);
    move_edge(asm, helpers::XDP_ADJUST_HEAD, failed);
    asm.bind(behind);
    asm.emit(Insn::load(Size::W, Reg::R1, Reg::R6, 4));
    asm.emit(Insn::alu(AluOp::Sub, Reg::R1, Reg::R6));
    asm.emit(Insn::load(Size::DW, Reg::R2, Reg::R9, HOME));
    asm.emit(Insn::alu(AluOp::Add, Reg::R2, Reg::R8));
    asm.emit(Insn::alu(AluOp::Sub, Reg::R2, Reg::R1));
    asm.branch(Cond::Eq, Width::W64, Reg::R2, 0, fits);
    move_edge(asm, helpers::XDP_ADJUST_TAIL, failed);
    asm.bind(fits);
    asm.emit(Insn::load(Size::DW, Reg::R2, Reg::R10, -16));
    asm.branch(Cond::Sle, Width::W64, Reg::R2, 0, done);
    move_edge(asm, helpers::XDP_ADJUST_HEAD, failed);
    asm.bind(done);
    write_bytes(asm, helpers::XDP_STORE_BYTES, failed);
}

/// Moves the packet's start or end by `r2`.
fn move_edge(asm: &mut Assembler, helper: u32, failed: Label) {
    asm.emit(Insn::mov(Reg::R1, Reg::R6));
    asm.emit(Insn::Call(helper));
    asm.branch(Cond::Ne, Width::W64, Reg::R0, 0, failed);
}

fn write_skb(asm: &mut Assembler, failed: Label) {
    let fits = asm.label();
    asm.emit(Insn::load(Size::W, Reg::R1, Reg::R6, 0));
    asm.branch(Cond::Eq, Width::W64, Reg::R1, Reg::R8, fits);
    asm.emit(Insn::mov(Reg::R1, Reg::R6));
    asm.emit(Insn::mov(Reg::R2, Reg::R8));
    asm.emit(Insn::mov32(Reg::R3, 0));
    asm.emit(Insn::Call(helpers::SKB_CHANGE_TAIL));
    asm.branch(Cond::Ne, Width::W64, Reg::R0, 0, failed);
    asm.bind(fits);
    write_bytes(asm, helpers::SKB_STORE_BYTES, failed);
}

fn write_bytes(asm: &mut Assembler, helper: u32, failed: Label) {
    asm.emit(Insn::mov(Reg::R1, Reg::R6));
    asm.emit(Insn::mov32(Reg::R2, 0));
    asm.emit(Insn::mov(Reg::R3, Reg::R7));
    asm.emit(Insn::alu(AluOp::Add, Reg::R3, LENGTH as i32));
    asm.emit(Insn::mov(Reg::R4, Reg::R8));
    asm.emit(Insn::mov32(Reg::R5, 0));
    asm.emit(Insn::Call(helper));
    asm.branch(Cond::Ne, Width::W64, Reg::R0, 0, failed);
}

fn increment(asm: &mut Assembler, size: Size, at: i16) {
    asm.emit(Insn::load(size, Reg::R1, Reg::R9, at));
    asm.emit(Insn::alu(AluOp::Add, Reg::R1, 1));
    asm.emit(Insn::store(size, Reg::R9, at, Reg::R1));
}

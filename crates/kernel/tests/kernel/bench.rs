use std::time::Duration;

use weir_bpf::asm::Assembler;
use weir_bpf::helpers;
use weir_bpf::insn::{AluOp, Cond, Insn, MapId, Reg, Size, Width};
use weir_bpf::map::{MapDef, MapKind, MapType};
use weir_kernel::bench::{BenchError, BenchOptions, bench};
use weir_kernel::run::{self, TestRun};

use crate::programs::{XDP_DROP, counter_map, finish, frame, looping, one, returns, try_load};
use crate::support::{Wire, require_kernel, say};

const QUICK: BenchOptions =
    BenchOptions { rounds: 5, at_least: Duration::from_millis(60), max_frames: 100_000, ingress: None };

fn frames(lengths: impl Iterator<Item = usize>) -> Vec<Vec<u8>> {
    lengths.enumerate().map(|(nth, length)| frame(length, nth as u8)).collect()
}

/// What may be between two figures for the same thing, in nanoseconds.
const NOISE: f64 = 8.0;

/// Neighbours on the same machine can spoil a measurement, but hardly five in a row.
fn in_some_quiet_moment(mut agrees: impl FnMut() -> bool) {
    assert!((0..5).any(|_| agrees()), "five measurements in a row do not agree");
}

#[test]
fn an_empty_program_costs_nothing() {
    require_kernel!();
    let frames = frames([64; 1000].into_iter());
    for section in ["xdp", "xdp.frags", "tc"] {
        let program = one(returns("drop", section, XDP_DROP));
        in_some_quiet_moment(|| {
            let measured = bench(&program, &frames, &QUICK).unwrap();
            say!("empty {section}: {measured:?}");
            assert_eq!((measured.frames, measured.left_out), (1000, 0));
            measured.net.median.abs() < NOISE
        });
    }
}

#[test]
fn turns_cost_what_they_cost() {
    require_kernel!();
    let frames = frames([64; 1000].into_iter());
    let bare = |program: &weir_kernel::program::Program| {
        let request = TestRun { repeat: 1_000_000, ..TestRun::once(&frames[0]) };
        run::test_run(program, &request).unwrap().duration.as_nanos() as f64
    };
    let empty = one(returns("empty", "xdp", XDP_DROP));
    for turns in [100, 1000] {
        let program = one(looping("turns", turns));
        in_some_quiet_moment(|| {
            let measured = bench(&program, &frames, &QUICK).unwrap();
            let plain = bare(&program) - bare(&empty);
            say!("{turns} turns: plain {plain}, {measured:?}");
            // Two ways to the same figure.
            (0.8 * plain - NOISE..1.25 * plain + NOISE).contains(&measured.net.median)
        });
    }
}

#[test]
fn frames_of_all_lengths() {
    require_kernel!();
    for section in ["xdp", "tc"] {
        let frames = frames((0..5000).map(|nth| 20 + nth * 37 % 2100));
        let measured = bench(&one(returns("drop", section, XDP_DROP)), &frames, &QUICK).unwrap();
        say!("lengths {section}: {measured:?}");
        assert!(measured.frames < 5000 && measured.frames + measured.left_out == 5000);
        assert_eq!(measured.repeat as usize % measured.frames, 0);
    }
}

/// The program sums lengths and last bytes, and spoils the frame: each must come anew, whole and in order.
#[test]
fn every_frame_comes_as_it_was() {
    require_kernel!();
    let sums = MapDef::new("sums", MapKind::Array, MapType::U32, MapType::array(MapType::U64, 3), 1);
    let loaded = try_load(vec![summing()], vec![sums]).unwrap();
    let frames = frames([60usize, 1500, 14, 2048, 700].into_iter());
    let options = BenchOptions { rounds: 1, at_least: Duration::ZERO, max_frames: 10, ingress: None };
    let measured = bench(loaded.program("summing").unwrap(), &frames, &options).unwrap();
    assert_eq!(measured.repeat, 5);
    let sums = loaded.map("sums").unwrap().lookup(&[0; 4]).unwrap().unwrap();
    let sum = |nth: usize| u64::from_ne_bytes(sums[nth * 8..][..8].try_into().unwrap());
    // The trial is 20,000 frames, a multiple of five; then one measurement of five.
    let rounds = 20_005 / 5;
    assert_eq!(sum(0), 20_005);
    assert_eq!(sum(1), rounds * (60 + 1500 + 14 + 2048 + 700));
    let first_bytes: u64 = frames.iter().map(|frame| u64::from(frame[0]) + u64::from(frame[13])).sum();
    assert_eq!(sum(2), rounds * first_bytes);
}

/// `sums[0]` += 1, `sums[1]` += length, `sums[2]` += byte 0 and byte 13; then spoils both and moves start and end.
fn summing() -> weir_bpf::program::Program {
    let mut asm = Assembler::new("summing", "xdp");
    let out = asm.label();
    asm.emit(Insn::mov(Reg::R6, Reg::R1));
    asm.emit(Insn::store(Size::W, Reg::R10, -4, 0));
    asm.emit(Insn::LdMap { dst: Reg::R1, map: MapId(0) });
    asm.emit(Insn::mov(Reg::R2, Reg::R10));
    asm.emit(Insn::alu(AluOp::Add, Reg::R2, -4));
    asm.emit(Insn::Call(helpers::MAP_LOOKUP_ELEM));
    asm.branch(Cond::Eq, Width::W64, Reg::R0, 0, out);
    let add = |asm: &mut Assembler, at: i16, what: Reg| {
        asm.emit(Insn::load(Size::DW, Reg::R5, Reg::R0, at));
        asm.emit(Insn::alu(AluOp::Add, Reg::R5, what));
        asm.emit(Insn::store(Size::DW, Reg::R0, at, Reg::R5));
    };
    asm.emit(Insn::mov(Reg::R4, 1));
    add(&mut asm, 0, Reg::R4);
    asm.emit(Insn::load(Size::W, Reg::R1, Reg::R6, 0));
    asm.emit(Insn::load(Size::W, Reg::R2, Reg::R6, 4));
    asm.emit(Insn::mov(Reg::R4, Reg::R2));
    asm.emit(Insn::alu(AluOp::Sub, Reg::R4, Reg::R1));
    add(&mut asm, 8, Reg::R4);
    asm.emit(Insn::mov(Reg::R3, Reg::R1));
    asm.emit(Insn::alu(AluOp::Add, Reg::R3, 14));
    asm.branch(Cond::Gt, Width::W64, Reg::R3, Reg::R2, out);
    for at in [0, 13] {
        asm.emit(Insn::load(Size::B, Reg::R4, Reg::R1, at));
        add(&mut asm, 16, Reg::R4);
        asm.emit(Insn::store(Size::B, Reg::R1, at, 99));
    }
    asm.emit(Insn::mov(Reg::R1, Reg::R6));
    asm.emit(Insn::mov(Reg::R2, -20));
    asm.emit(Insn::Call(helpers::XDP_ADJUST_HEAD));
    asm.emit(Insn::mov(Reg::R1, Reg::R6));
    asm.emit(Insn::mov(Reg::R2, -3));
    asm.emit(Insn::Call(helpers::XDP_ADJUST_TAIL));
    asm.bind(out);
    asm.emit(Insn::mov32(Reg::R0, XDP_DROP as i32));
    asm.emit(Insn::Exit);
    finish(asm)
}

#[test]
fn nothing_to_measure_is_said() {
    require_kernel!();
    let program = one(returns("drop", "xdp", XDP_DROP));
    let error = bench(&program, &[vec![0; 3]], &QUICK).unwrap_err();
    assert!(matches!(error, BenchError::NoFrames), "{error}");
    let filter = one(returns("all", "socket", 1));
    let error = bench(&filter, &[vec![0; 64]], &QUICK).unwrap_err();
    assert!(matches!(error, BenchError::WrongKind { .. }), "{error}");
}

/// Stores the interface by which the frame came.
fn noting() -> weir_bpf::program::Program {
    let mut asm = Assembler::new("noting", "xdp");
    let out = asm.label();
    asm.emit(Insn::load(Size::W, Reg::R6, Reg::R1, 12));
    asm.emit(Insn::store(Size::W, Reg::R10, -4, 0));
    asm.emit(Insn::LdMap { dst: Reg::R1, map: MapId(0) });
    asm.emit(Insn::mov(Reg::R2, Reg::R10));
    asm.emit(Insn::alu(AluOp::Add, Reg::R2, -4));
    asm.emit(Insn::Call(helpers::MAP_LOOKUP_ELEM));
    asm.branch(Cond::Eq, Width::W64, Reg::R0, 0, out);
    asm.emit(Insn::store(Size::DW, Reg::R0, 0, Reg::R6));
    asm.bind(out);
    asm.emit(Insn::mov32(Reg::R0, XDP_DROP as i32));
    asm.emit(Insn::Exit);
    finish(asm)
}

#[test]
fn frames_seem_to_come_in_by_an_interface() {
    require_kernel!();
    let loaded = try_load(vec![noting()], vec![counter_map()]).unwrap();
    let program = loaded.program("noting").unwrap();
    let (wire, frames) = (Wire::new(), frames([64; 10].into_iter()));
    wire.at_left(|left| {
        let options = |index| BenchOptions { rounds: 1, ingress: Some(index), ..QUICK };
        bench(program, &frames, &options(left.index)).unwrap();
        let seen = loaded.map("counts").unwrap().lookup(&[0; 4]).unwrap().unwrap();
        assert_eq!(seen, u64::from(left.index).to_ne_bytes());
        let error = bench(program, &frames, &options(left.index + 1000)).unwrap_err();
        assert_eq!(error.to_string(), "cannot test-run program `feeder`: no such device");
    });
}

//! Programs that are large in one way or another.

use crate::engines::{agree, agree_loaded, agree_vm, listing, load, options};
use weir_bpf::interp::Vm;
use weir_bpf::target::{Feature, Target};
use weir_compiler::codegen::{CodegenError, Hook, generate};
use weir_compiler::ir::build::Builder;
use weir_compiler::ir::{BinaryOp, Program, Relation, Type, Verdict};
use weir_compiler::state::State;

/// Loads `count` values, then compares their sums, so that all are alive at once.
fn pressure(count: u16) -> Program {
    let mut b = Builder::new();
    let (inside, drop, pass) = (b.block(&[]), b.block(&[]), b.block(&[]));
    let start = b.start();
    b.fits(start, count, inside, pass);
    b.switch_to(inside);
    let values: Vec<_> = (0..count).map(|at| b.load(start, at, 1)).collect();
    let mut sum = b.constant(0);
    for value in values.iter().rev() {
        let shifted = b.binary_const(BinaryOp::Shl, sum, 1);
        sum = b.binary_as(BinaryOp::Xor, shifted, *value, Type::Int(64));
        sum = b.binary_const(BinaryOp::And, sum, 0xffff_ffff);
    }
    let odd = b.binary_const(BinaryOp::And, sum, 4);
    let cond = b.compare_const(Relation::Ne, odd, 0);
    b.branch(cond, drop, pass);
    b.switch_to(drop);
    b.ret(Verdict::Drop, None);
    b.switch_to(pass);
    b.ret(Verdict::Pass, None);
    b.finish()
}

fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..len).map(next).collect()
}

#[test]
fn sixty_live_values() {
    let frames: Vec<Vec<u8>> = (1..40).map(|seed| noise(80, seed)).collect();
    agree("sixty live values", &pressure(60), &frames);
}

#[test]
fn too_many_live_values_are_an_error() {
    let error = generate(&pressure(100), &options(Hook::Xdp)).unwrap_err();
    assert!(matches!(error, CodegenError::StackTooLarge { max: 512, .. }), "{error}");
    assert!(error.to_string().contains("live at once"), "{error}");
}

/// A switch on the first four bytes.
fn switch(cases: impl Iterator<Item = (u64, u64, bool)>) -> Program {
    let mut b = Builder::new();
    let (inside, drop, pass) = (b.block(&[]), b.block(&[]), b.block(&[]));
    let start = b.start();
    b.fits(start, 4, inside, pass);
    b.switch_to(inside);
    let value = b.load(start, 0, 4);
    let cases = cases.map(|(low, high, dropped)| (low, high, (if dropped { drop } else { pass }).into()));
    let cases = cases.collect();
    b.switch(value, cases, pass);
    b.switch_to(drop);
    b.ret(Verdict::Drop, None);
    b.switch_to(pass);
    b.ret(Verdict::Pass, None);
    b.finish()
}

fn frame(value: u64) -> Vec<u8> {
    let mut frame = (value as u32).to_be_bytes().to_vec();
    frame.resize(14, 0);
    frame
}

#[test]
fn a_switch_of_8192_values() {
    let value = |nth: u64| nth * 524_287 % (1 << 32);
    let mut values: Vec<u64> = (0..8192).map(value).collect();
    values.sort_unstable();
    values.dedup();
    let program = switch(values.iter().map(|value| (*value, *value, true)));
    let some = values
        .iter()
        .step_by(97)
        .flat_map(|value| [frame(*value), frame(value + 1), frame(value.wrapping_sub(1))]);
    let frames: Vec<Vec<u8>> = some.collect();
    agree("a switch of 8192 values", &program, &frames);
}

#[test]
fn a_switch_of_10000_ranges() {
    let program =
        switch((0..10_000).map(|nth| (nth * 400_000, nth * 400_000 + 1 + nth * 31 % 399_000, nth % 3 != 0)));
    let ends = (0..10_000u64).step_by(61).flat_map(|nth| {
        let (low, high) = (nth * 400_000, nth * 400_000 + 1 + nth * 31 % 399_000);
        [low, high, high + 1, low.saturating_sub(1)]
    });
    let frames: Vec<Vec<u8>> = ends.map(frame).collect();
    agree("a switch of 10000 ranges", &program, &frames);
}

/// Chains of blocks that all lead to one far block.
fn chain(blocks: u32) -> Program {
    let mut b = Builder::new();
    let (inside, drop, pass) = (b.block(&[]), b.block(&[]), b.block(&[]));
    let start = b.start();
    b.fits(start, 8, inside, pass);
    b.switch_to(inside);
    // The verifier keeps at most 8,192 branches in mind (`BPF_COMPLEXITY_LIMIT_JMP_SEQ`).
    let firsts: Vec<_> = (0..32u64).map(|_| b.block(&[])).collect();
    let byte = b.load(start, 7, 1);
    let cases = firsts.iter().zip(0u64..).map(|(block, nth)| (nth * 8, nth * 8 + 7, (*block).into()));
    b.switch(byte, cases.collect(), pass);
    for (first, part) in firsts.into_iter().zip(0..) {
        b.switch_to(first);
        for nth in part * blocks / 32..(part + 1) * blocks / 32 {
            let next = b.block(&[]);
            let port = b.load(start, (nth % 6) as u16, 2);
            let cond = b.compare_const(Relation::Eq, port, u64::from(nth * 7 % 65_536));
            b.branch(cond, drop, next);
            b.switch_to(next);
        }
        b.jump(pass);
    }
    b.switch_to(drop);
    b.ret(Verdict::Drop, None);
    b.switch_to(pass);
    b.ret(Verdict::Pass, None);
    b.finish()
}

#[test]
fn a_hundred_and_twenty_thousand_instructions() {
    let program = chain(60_000);
    let frames: Vec<Vec<u8>> = (1..60).map(|seed| noise(20, seed)).collect();
    for target in [Target::newest(), Target::newest().without(Feature::Gotol)] {
        let mut options = options(Hook::Xdp);
        options.target = target;
        let before = std::time::Instant::now();
        let object = generate(&program, &options).unwrap();
        let time = before.elapsed();
        assert!(object.programs[0].slots() > 119_000, "{}", object.programs[0].slots());
        assert!(time.as_secs() < 20, "{time:?}");
        let mut vm = Vm::for_object(&object);
        agree_vm(&mut vm, Hook::Xdp, &program, &mut State::new(&program), &frames);
        let Some(loaded) = load("a hundred and twenty thousand instructions", &object) else { return };
        agree_loaded(&loaded, Hook::Xdp, &program, &mut State::new(&program), &frames);
    }
}

/// A small filter takes no more instructions than clang's (counted from `clang -O2 -mcpu=v3`).
#[test]
fn a_small_filter_is_small() {
    let program = crate::engines::program(crate::programs::REFLECTION);
    let object = generate(&program, &options(Hook::Xdp)).unwrap();
    assert!(object.programs[0].slots() <= 66, "{}", listing(&object));
}

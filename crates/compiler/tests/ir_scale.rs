//! Passes and interpreter keep their pace on large programs.

use std::time::{Duration, Instant};
use weir_compiler::ir::build::Builder;
use weir_compiler::ir::interp::Interpreter;
use weir_compiler::ir::verify::verify;
use weir_compiler::ir::{Block, Program, Relation, Target, Type, Value, Verdict};
use weir_compiler::passes::PIPELINE;
use weir_compiler::state::State;

/// Rules in a row, four blocks each, that all load for themselves, all fail to the next rule, and
/// share the verdicts: what makes a careless pass quadratic.
fn rules(count: u64) -> Program {
    let mut builder = Builder::new();
    let counters: Vec<u32> = (0..16).map(|_| builder.counter()).collect();
    let (drop, pass) = (builder.cold_block(&[Type::Int(8)]), builder.block(&[]));
    let mut next = Block(0);
    for rule in 0..count {
        builder.switch_to(next);
        let (ip, port, hit) = (builder.block(&[]), builder.block(&[]), builder.block(&[]));
        next = builder.block(&[]);
        let start = builder.start();
        builder.fits(start, 38, ip, next);
        builder.switch_to(ip);
        let ethertype = builder.load(start, 12, 2);
        let is_ip = builder.compare_const(Relation::Eq, ethertype, 0x800);
        builder.branch(is_ip, port, next);
        builder.switch_to(port);
        let dstport = builder.load(start, 36, 2);
        let matches = builder.compare_const(Relation::Eq, dstport, rule % 60_000);
        builder.branch(matches, hit, next);
        builder.switch_to(hit);
        builder.count(counters[(rule % 16) as usize]);
        let bound = builder.constant(rule % 7);
        builder.jump((drop, [bound]));
    }
    builder.switch_to(next);
    builder.jump(pass);
    builder.switch_to(pass);
    builder.ret(Verdict::Pass, None);
    builder.switch_to(drop);
    let number = builder.param(drop, 0);
    let odd = builder.compare_const(Relation::Gt, number, 3);
    let last = builder.block(&[]);
    builder.branch(odd, last, pass);
    builder.switch_to(last);
    builder.ret(Verdict::Drop, None);
    builder.finish()
}

/// A tree of ranges over one value, and blocks with parameters where its ways meet.
fn tree(depth: u32) -> Program {
    let mut builder = Builder::new();
    let start = builder.start();
    let (read, short) = (builder.block(&[]), builder.block(&[]));
    builder.fits(start, 8, read, short);
    builder.switch_to(short);
    builder.ret(Verdict::Pass, None);
    builder.switch_to(read);
    let value = builder.load(start, 0, 4);
    let mut level: Vec<(Block, Value)> = vec![(read, value)];
    for step in 0..depth {
        let mut below = Vec::new();
        for (block, seen) in level {
            builder.switch_to(block);
            let cases: Vec<(u64, u64, Target)> = (0..2)
                .map(|half| {
                    let child = builder.block(&[Type::Int(32)]);
                    below.push((child, builder.param(child, 0)));
                    (half << (32 - step), (half << (32 - step)) + 999, (child, [seen]).into())
                })
                .collect();
            builder.switch(seen, cases, short);
        }
        level = below;
    }
    for (block, seen) in level {
        builder.switch_to(block);
        let odd = builder.compare(Relation::Ne, seen, value);
        let then = builder.block(&[]);
        builder.branch(odd, then, short);
        builder.switch_to(then);
        builder.ret(Verdict::Drop, None);
    }
    builder.finish()
}

/// Runs all passes; how long each took.
fn optimized(program: &mut Program) -> Vec<(&'static str, Duration)> {
    assert_eq!(verify(program), Ok(()));
    let time = |pass: &weir_compiler::passes::Pass| {
        let before = Instant::now();
        (pass.run)(program);
        (pass.name, before.elapsed())
    };
    let times = PIPELINE.iter().map(time).collect();
    assert_eq!(verify(program), Ok(()));
    times
}

/// The best of three, since other work on the machine counts as well.
fn best(program: &Program) -> Duration {
    let total = || optimized(&mut program.clone()).iter().map(|time| time.1).sum();
    (0..3).map(|_| total()).min().unwrap_or_default()
}

#[test]
fn time_grows_with_the_program_and_not_with_its_square() {
    for (small, large) in [(rules(3_125), rules(25_000)), (tree(12), tree(15))] {
        assert!(large.blocks.len() > 60_000);
        let (few, many) = (best(&small), best(&large));
        // Eight times the blocks; caches and logarithms take a share, a square would take 64.
        assert!(many < few * 30, "{few:?} for an eighth, {many:?} for all");
        // Well below a second on an idle core in a release build.
        assert!(many < Duration::from_secs(10), "{many:?} {:?}", optimized(&mut large.clone()));
    }
}

#[test]
fn a_small_program_judges_many_frames_a_second() {
    let mut program = rules(8);
    weir_compiler::passes::optimise(&mut program, &[]);
    let mut interpreter = Interpreter::new(&program);
    let mut state = State::new(&program);
    let mut frame = [0; 60];
    frame[12] = 8;
    let count = 200_000;
    let before = Instant::now();
    for number in 0..count {
        frame[37] = number as u8;
        interpreter.run(&mut state, &frame).unwrap();
    }
    let rate = f64::from(count) / before.elapsed().as_secs_f64();
    // Several millions on an idle core in a release build; far less would be a slip.
    let least = 0.1e6;
    assert!(rate > least, "{rate:.0} frames a second");
}

//! Passes go through large programs, and leave what they should.

use weir_compiler::ir::build::Builder;
use weir_compiler::ir::verify::verify;
use weir_compiler::ir::{Block, Program, Relation, Target, Type, Value, Verdict};
use weir_compiler::passes::PIPELINE;

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

#[test]
fn large_programs_go_through_every_pass() {
    for (mut program, most) in [(rules(25_000), 60_000), (tree(15), 100_000)] {
        assert!(program.blocks.len() > 60_000);
        assert_eq!(verify(&program), Ok(()));
        for pass in PIPELINE {
            (pass.run)(&mut program);
        }
        assert_eq!(verify(&program), Ok(()));
        let left = program.blocks.len();
        assert!(left <= most, "{left} blocks are left");
    }
}

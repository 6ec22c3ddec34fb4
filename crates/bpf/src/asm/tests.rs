use std::time::Instant;

use super::*;
use crate::insn::{AluOp, Size};
use crate::interp::Vm;
use Reg::*;

fn line(nth: u32) -> LineInfo {
    LineInfo { file: "a.weir".into(), line: nth, column: 1, text: format!("rule {nth}") }
}

/// Runs with a packet whose first byte is `key`.
fn run(program: &Program, key: u8) -> u32 {
    let mut vm = Vm::new(&[]);
    let id = vm.load(program);
    let mut packet = vec![0; 64];
    packet[0] = key;
    vm.run_xdp(id, &mut packet).unwrap_or_else(|fault| panic!("{fault}"))
}

fn no_gotol() -> Target {
    Target::newest().without(Feature::Gotol)
}

/// `blocks` stretches of `filler` instructions. Each jumps to the far end where the first byte
/// is its number, and from there back to its own exit, which gives the number plus 1.
fn far_both_ways(blocks: u8, filler: usize) -> Assembler {
    let mut asm = Assembler::new("far", "xdp");
    let labels = |asm: &mut Assembler| (0..blocks).map(|_| asm.label()).collect::<Vec<_>>();
    let (exits, ends) = (labels(&mut asm), labels(&mut asm));
    let short = asm.label();
    asm.emit(Insn::load(Size::W, R2, R1, 0));
    asm.emit(Insn::load(Size::W, R3, R1, 4));
    asm.emit(Insn::mov(R4, R2));
    asm.emit(Insn::alu(AluOp::Add, R4, 1));
    asm.branch(Cond::Gt, Width::W64, R4, R3, short);
    asm.emit(Insn::load(Size::B, R2, R2, 0));
    asm.emit(Insn::mov(R5, 1));
    for nth in 0..blocks {
        let next = asm.label();
        asm.branch(Cond::Eq, Width::W64, R2, i32::from(nth), ends[nth as usize]);
        // `Set` has no inverse: with `gotol` it takes three slots. Byte 128 has the bit.
        asm.branch(Cond::Set, Width::W64, R2, 128, short);
        asm.jump(next);
        asm.bind(exits[nth as usize]);
        asm.emit(Insn::mov(R0, i32::from(nth) + 1));
        asm.emit(Insn::Exit);
        asm.bind(next);
        for _ in 0..filler {
            asm.emit(Insn::alu(AluOp::Add, R5, 1));
        }
    }
    asm.bind(short);
    asm.emit(Insn::mov(R0, 0));
    asm.emit(Insn::Exit);
    for nth in 0..blocks {
        asm.bind(ends[nth as usize]);
        asm.branch(Cond::Ne, Width::W64, R5, 0, exits[nth as usize]);
        asm.jump(short);
    }
    asm
}

#[test]
fn far_jumps_reach_both_ways_on_both_targets() {
    let asm = far_both_ways(40, 3000);
    assert!(asm.len() > 100_000);
    for target in [Target::newest(), no_gotol()] {
        let program = asm.clone().finish(&target).unwrap();
        for key in [0, 1, 17, 38, 39] {
            assert_eq!(run(&program, key), u32::from(key) + 1, "{target}");
        }
        assert_eq!(run(&program, 200), 0);
        assert_eq!(run(&program, 77), 0);
        let long = program.insns.iter().any(|i| matches!(i, Insn::JaLong { .. }));
        assert_eq!(long, target.has(Feature::Gotol));
    }
}

#[test]
fn no_code_is_unreachable() {
    // The kernel refuses programs with code that no path leads to.
    for target in [Target::newest(), no_gotol()] {
        let program = far_both_ways(30, 4000).finish(&target).unwrap();
        let starts = program.slot_starts();
        let mut seen = vec![false; program.insns.len()];
        let mut work = vec![0usize];
        while let Some(at) = work.pop() {
            if std::mem::replace(&mut seen[at], true) {
                continue;
            }
            let insn = &program.insns[at];
            if !insn.ends_block() {
                work.push(at + 1);
            }
            if let Some(off) = insn.distance() {
                let slot = (starts[at] as i32 + 1 + off) as u32;
                work.push(starts.binary_search(&slot).unwrap());
            }
        }
        assert!(seen.iter().all(|seen| *seen), "{target}");
    }
}

#[test]
fn two_hundred_thousand_instructions_take_no_time() {
    let asm = far_both_ways(200, 1000);
    assert!(asm.len() > 200_000);
    for target in [Target::newest(), no_gotol()] {
        let started = Instant::now();
        asm.clone().finish(&target).unwrap();
        let took = started.elapsed();
        assert!(took.as_millis() < 2000, "{target}: {took:?}");
    }
}

#[test]
fn near_jumps_stay_short() {
    let mut asm = Assembler::new("near", "xdp");
    let end = asm.label();
    asm.branch(Cond::Eq, Width::W64, R1, 0, end);
    asm.emit(Insn::LdImm64 { dst: R0, value: 1 << 40 });
    asm.jump(end);
    asm.bind(end);
    asm.emit(Insn::mov(R0, 2));
    asm.emit(Insn::Exit);
    let program = asm.finish(&Target::newest()).unwrap();
    let text: Vec<_> = program.insns.iter().map(Insn::to_string).collect();
    assert_eq!(text[0], "if r1 == 0x0 goto +3");
    assert_eq!(text[2], "goto +0");
    assert_eq!(program.slots(), 6);
}

#[test]
fn lines_and_functions_follow_their_instructions() {
    let mut asm = Assembler::new("lines", "xdp");
    let (one, two) = (asm.add_line(line(1)), asm.add_line(line(2)));
    let sub = asm.label();
    asm.line(one);
    asm.call(sub);
    asm.emit(Insn::mov(R0, 2));
    asm.line(two);
    asm.emit(Insn::Exit);
    asm.function("sub", 0, sub);
    asm.emit(Insn::mov(R0, 7));
    asm.emit(Insn::Exit);
    let program = asm.finish(&Target::newest()).unwrap();
    assert_eq!(program.line_of(1).unwrap().line, 1);
    assert_eq!(program.line_of(2).unwrap().line, 2);
    assert_eq!(program.function_of(2).unwrap().name, "lines");
    assert_eq!(program.function_of(3).unwrap().name, "sub");
    assert_eq!(run(&program, 0), 2);
}

/// Finishes after `build` and expects the error's text.
fn refused(target: &Target, expected: &str, build: impl FnOnce(&mut Assembler)) {
    let mut asm = Assembler::new("bad", "xdp");
    build(&mut asm);
    let error = asm.finish(target).unwrap_err();
    assert_eq!(error.to_string(), expected);
}

#[test]
fn refusals() {
    let newest = Target::newest();
    refused(&newest, "instruction 0: label 0 stands before no instruction, bind it", |asm| {
        let label = asm.label();
        asm.jump(label);
    });
    refused(&newest, "label 0 is bound twice, use a second label", |asm| {
        let label = asm.here();
        asm.bind(label);
    });
    refused(&newest, "instruction 0: `goto +1` counts slots, which move; use a label", |asm| {
        asm.emit(Insn::Ja { off: 1 })
    });
    refused(&newest, "function `bad` runs past its end, finish it with `exit` or `goto`", |asm| {
        asm.emit(Insn::mov(R0, 1))
    });
    refused(&newest, "instruction 0: `r10 = 1` does not exist: `r10` is read-only", |asm| {
        asm.emit(Insn::mov(R10, 1))
    });
    refused(
        &Target::for_kernel(5, 15),
        "instruction 0: `r1 = bswap32 r1` needs unconditional byte swaps (Linux 6.6), use be/le conversions",
        |asm| {
            asm.emit(Insn::Bswap { dst: R1, size: Size::W });
            asm.emit(Insn::Exit);
        },
    );
    refused(&newest, "instruction 2: label 0 belongs to another function, call that function", |asm| {
        let main = asm.here();
        asm.emit(Insn::mov(R0, 0));
        asm.emit(Insn::Exit);
        let sub = asm.label();
        asm.function("sub", 0, sub);
        asm.jump(main);
    });
    let mut small = Target::for_kernel(4, 19);
    small.max_instructions = 3;
    refused(&small, "the program has 4 slots and the kernel takes 3, split it", |asm| {
        (0..3).for_each(|_| asm.emit(Insn::mov(R0, 0)));
        asm.emit(Insn::Exit);
    });
}

/// Every instruction of the first half jumps to its own instruction in the second half.
fn dense(count: usize) -> Assembler {
    let mut asm = Assembler::new("dense", "xdp");
    let labels: Vec<Label> = (0..count).map(|_| asm.label()).collect();
    asm.emit(Insn::mov(R0, 2));
    asm.emit(Insn::load(Size::W, R2, R1, 12));
    for (nth, label) in labels.iter().enumerate() {
        asm.branch(Cond::Eq, Width::W64, R2, nth as i32, *label);
    }
    for label in labels {
        asm.bind(label);
        asm.emit(Insn::alu(AluOp::Add, R0, 1));
    }
    asm.emit(Insn::Exit);
    asm
}

#[test]
fn dense_jumps_end_in_a_program_or_a_refusal() {
    for count in [15_000, 20_000, 60_000] {
        let started = Instant::now();
        let long = dense(count).finish(&Target::newest()).unwrap();
        assert_eq!(run(&long, 0), 2 + count as u32);
        match dense(count).finish(&no_gotol()) {
            Ok(program) => assert_eq!(run(&program, 0), 2 + count as u32),
            Err(error) => assert!(matches!(error, AsmError::TooDense { .. }), "{error}"),
        }
        assert!(started.elapsed().as_secs() < 20, "{count}: {:?}", started.elapsed());
    }
}

//! Random programs: the interpreter and the kernel give the same result.

mod common;

use aya::EbpfLoader;
use aya::programs::{TestRun, TestRunOptions, Xdp};
use common::{needs, no_bpftool};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use weir_bpf::asm::Assembler;
use weir_bpf::insn::{AluOp, AtomicOp, Cond, Insn, Operand, Order, Reg, Size, Width};
use weir_bpf::interp::{ProgramId, Vm};
use weir_bpf::object::Object;
use weir_bpf::program::Program;
use weir_bpf::target::Target;
use weir_bpf::text::program_text;

use Reg::*;

/// The registers that hold numbers; `r1` keeps the context.
const REGS: [Reg; 8] = [R0, R2, R3, R4, R5, R7, R8, R9];
/// Bytes of stack that are written at the start.
const STACK: i16 = 64;

#[derive(Debug, Clone)]
enum Step {
    Do(Insn),
    /// Jumps over so many of the following steps.
    Skip(Cond, Width, Reg, Operand, usize),
}

fn reg() -> impl Strategy<Value = Reg> {
    proptest::sample::select(&REGS[..])
}

fn width() -> impl Strategy<Value = Width> {
    proptest::sample::select(&[Width::W32, Width::W64][..])
}

fn imm() -> impl Strategy<Value = i32> {
    prop_oneof![any::<i32>(), -3i32..40, Just(i32::MIN), Just(i32::MAX)]
}

fn operand() -> impl Strategy<Value = Operand> {
    prop_oneof![reg().prop_map(Operand::Reg), imm().prop_map(Operand::Imm)]
}

/// What the verifier refuses in constants: shifts by too much, division by 0.
fn tame(width: Width, op: AluOp, src: Operand) -> Operand {
    let bits = if width == Width::W32 { 31 } else { 63 };
    match (op, src) {
        (AluOp::Lsh | AluOp::Rsh | AluOp::Arsh, Operand::Imm(imm)) => Operand::Imm(imm & bits),
        (AluOp::Div | AluOp::Mod | AluOp::Sdiv | AluOp::Smod, Operand::Imm(0)) => Operand::Imm(3),
        _ => src,
    }
}

fn size() -> impl Strategy<Value = Size> {
    proptest::sample::select(&[Size::B, Size::H, Size::W, Size::DW][..])
}

/// An aligned place in the written stack.
fn place() -> impl Strategy<Value = (Size, i16)> {
    (size(), 0..STACK / 8, 0i16..8).prop_map(|(size, slot, byte)| {
        let bytes = size.bytes() as i16;
        (size, -STACK + slot * 8 + byte / bytes * bytes)
    })
}

fn step() -> impl Strategy<Value = Step> {
    let ops: Vec<AluOp> = AluOp::all().collect();
    let conds = [
        Cond::Eq,
        Cond::Ne,
        Cond::Gt,
        Cond::Ge,
        Cond::Lt,
        Cond::Le,
        Cond::Sgt,
        Cond::Sge,
        Cond::Slt,
        Cond::Sle,
        Cond::Set,
    ];
    let swapped = proptest::sample::select(&[Size::H, Size::W, Size::DW][..]);
    let atomic = proptest::sample::select(
        &[
            (AtomicOp::Add, false),
            (AtomicOp::Or, true),
            (AtomicOp::And, true),
            (AtomicOp::Xor, true),
            (AtomicOp::Add, true),
            (AtomicOp::Xchg, true),
            (AtomicOp::CmpXchg, true),
        ][..],
    );
    prop_oneof![
        6 => (width(), proptest::sample::select(ops), reg(), operand()).prop_map(
            |(width, op, dst, src)| {
                let src = tame(width, op, src);
                Step::Do(Insn::Alu { width, op, dst, src })
            }
        ),
        1 => (width(), reg()).prop_map(|(width, dst)| Step::Do(Insn::Neg { width, dst })),
        1 => (width(), size(), reg(), reg())
            .prop_map(|(width, from, dst, src)| Insn::MovSx { width, from, dst, src })
            .prop_filter("exists", |insn| insn.malformed().is_none())
            .prop_map(Step::Do),
        1 => (reg(), any::<bool>(), swapped.clone()).prop_map(|(dst, big, size)| {
            let to = if big { Order::Be } else { Order::Le };
            Step::Do(Insn::Endian { dst, to, size })
        }),
        1 => (reg(), swapped).prop_map(|(dst, size)| Step::Do(Insn::Bswap { dst, size })),
        1 => (reg(), any::<u64>()).prop_map(|(dst, v)| Step::Do(Insn::load_constant(dst, v))),
        2 => (place(), reg())
            .prop_map(|((size, off), dst)| Step::Do(Insn::load(size, dst, R10, off))),
        1 => (place(), reg())
            .prop_map(|((size, off), dst)| Insn::LoadSx { size, dst, base: R10, off })
            .prop_filter("exists", |insn| insn.malformed().is_none())
            .prop_map(Step::Do),
        2 => (place(), operand())
            .prop_map(|((size, off), src)| Step::Do(Insn::store(size, R10, off, src))),
        1 => (atomic, any::<bool>(), 0..STACK / 8, reg()).prop_map(
            |((op, fetch), wide, slot, src)| {
                let size = if wide { Size::DW } else { Size::W };
                let (base, off) = (R10, -STACK + slot * 8);
                Step::Do(Insn::Atomic { op, fetch, size, base, off, src })
            }
        ),
        3 => (proptest::sample::select(conds.to_vec()), width(), reg(), operand(), 1usize..6)
            .prop_map(|(cond, width, dst, src, over)| Step::Skip(cond, width, dst, src, over)),
    ]
}

/// Sets all registers and the stack from constants, walks the steps, folds everything into `r0`.
fn program(seeds: &[u64], steps: &[Step]) -> Program {
    let mut asm = Assembler::new("random", "xdp");
    for (reg, seed) in REGS.iter().zip(seeds) {
        asm.emit(Insn::load_constant(*reg, *seed));
    }
    for slot in 0..STACK / 8 {
        let src = REGS[slot as usize];
        asm.emit(Insn::store(Size::DW, R10, -STACK + slot * 8, src));
    }
    let mut open = Vec::new();
    for (nth, step) in steps.iter().enumerate() {
        open.retain(|(to, label)| {
            if *to == nth {
                asm.bind(*label);
            }
            *to != nth
        });
        match step {
            Step::Do(insn) => asm.emit(*insn),
            Step::Skip(cond, width, dst, src, over) => {
                let label = asm.label();
                asm.branch(*cond, *width, *dst, *src, label);
                open.push((nth + 1 + over, label));
            }
        }
    }
    for (_, label) in open {
        asm.bind(label);
    }
    for slot in 0..STACK / 8 {
        asm.emit(Insn::load(Size::DW, R6, R10, -STACK + slot * 8));
        asm.emit(Insn::alu(AluOp::Mul, R0, 31));
        asm.emit(Insn::alu(AluOp::Xor, R0, R6));
    }
    for reg in &REGS[1..] {
        asm.emit(Insn::alu(AluOp::Mul, R0, 31));
        asm.emit(Insn::alu(AluOp::Add, R0, *reg));
    }
    asm.emit(Insn::mov(R6, R0));
    asm.emit(Insn::alu(AluOp::Rsh, R6, 32));
    asm.emit(Insn::alu(AluOp::Xor, R0, R6));
    asm.emit(Insn::Exit);
    asm.finish(&Target::newest()).unwrap()
}

/// The kernel's result; none where the verifier gives up on a program with too many paths.
fn in_kernel(program: &Program) -> Option<u32> {
    let object = Object { programs: vec![program.clone()], maps: vec![], license: "GPL".into() };
    // Without the kernel's own types, which take longer to read than all the rest.
    let mut loader = EbpfLoader::new();
    let mut bpf = loader.btf(None).load(&object.to_elf().unwrap()).unwrap();
    let xdp: &mut Xdp = bpf.program_mut("random").unwrap().try_into().unwrap();
    if let Err(error) = xdp.load() {
        let error = format!("{error:?}");
        if error.contains("is too large") || error.contains("is too complex") {
            return None;
        }
        panic!("{error}\n{}", program_text(program));
    }
    let options = TestRunOptions { data_in: Some(&[0; 64]), ..TestRunOptions::new() };
    Some(xdp.test_run(options).unwrap().return_value)
}

#[test]
fn the_interpreter_computes_what_the_kernel_computes() {
    let test = "the_interpreter_computes_what_the_kernel_computes";
    if !needs(test, no_bpftool()) {
        return;
    }
    let seed = prop_oneof![any::<u64>(), 0u64..4, Just(u64::MAX), Just(1 << 63)];
    let seeds = proptest::collection::vec(seed, REGS.len());
    let steps = proptest::collection::vec(step(), 1..120);
    // A case takes the kernel some 40 ms; PROPTEST_CASES asks for more of them.
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(60);
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let result = TestRunner::new(config).run(&(seeds, steps), |(seeds, steps)| {
        let program = program(&seeds, &steps);
        let mut vm = Vm::new(&[]);
        vm.load(&program);
        let ours = vm.run_xdp(ProgramId(0), &mut vec![0; 64]);
        let Some(kernels) = in_kernel(&program) else {
            return Err(TestCaseError::reject("too many paths"));
        };
        prop_assert_eq!(ours, Ok(kernels), "{}", program_text(&program));
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

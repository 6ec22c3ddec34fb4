//! How fast the interpreter is; run with `--release -- --ignored`.
#![allow(clippy::print_stderr, reason = "a measurement talks")]

use std::time::Instant;

use weir_bpf::interp::{ProgramId, Vm};
use weir_bpf::text::parse_program;

#[test]
#[ignore = "a measurement, for release builds"]
fn instructions_a_second() {
    let text = ".program speed xdp
        r2 = *(u32 *)(r1 + 0)
        r3 = *(u32 *)(r1 + 4)
        r5 = 0
        r0 = 0
        L0:
        r4 = r2
        r4 += 14
        if r4 > r3 goto L1
        r4 = *(u16 *)(r2 + 12)
        r4 = be16 r4
        w4 &= 255
        r0 += r4
        *(u64 *)(r10 - 8) = r0
        r0 = *(u64 *)(r10 - 8)
        r5 += 1
        if r5 < 0x1e8480 goto L0
        L1:
        exit";
    let mut vm = Vm::new(&[]);
    vm.budget = u64::MAX;
    vm.load(&parse_program(text).unwrap());
    let started = Instant::now();
    vm.run_xdp(ProgramId(0), &mut vec![7; 64]).unwrap();
    let rate = vm.executed as f64 / started.elapsed().as_secs_f64() / 1e6;
    eprintln!("{rate:.0} million instructions a second");
    let wanted = if cfg!(debug_assertions) { 2.0 } else { 20.0 };
    assert!(rate > wanted, "{rate}");
}

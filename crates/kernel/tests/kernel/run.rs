use weir_bpf::asm::Assembler;
use weir_bpf::insn::{Insn, Reg, Size};
use weir_kernel::run::{self, LiveRun, TestRun};

use crate::programs::{XDP_DROP, XDP_PASS, counter_map, counting, finish, frame, one, returns, try_load};
use crate::support::{Wire, require_kernel};

#[test]
fn one_frame_through_xdp_and_tc() {
    require_kernel!();
    let outcome = run::once(&one(returns("drop", "xdp", XDP_DROP)), &frame(100, 7)).unwrap();
    assert_eq!((outcome.code, outcome.frame), (XDP_DROP, frame(100, 7)));
    let outcome = run::once(&one(returns("shot", "tc", 2)), &frame(1400, 9)).unwrap();
    assert_eq!((outcome.code, outcome.frame, outcome.mark), (2, frame(1400, 9), Some(0)));
}

#[test]
fn a_packets_mark_comes_back() {
    require_kernel!();
    let mut asm = Assembler::new("mark", "tc");
    asm.emit(Insn::mov32(Reg::R2, 77));
    asm.emit(Insn::store(Size::W, Reg::R1, 8, Reg::R2));
    asm.emit(Insn::mov32(Reg::R0, 0));
    asm.emit(Insn::Exit);
    assert_eq!(run::once(&one(finish(asm)), &frame(64, 0)).unwrap().mark, Some(77));
}

#[test]
fn a_repeated_run_runs_as_often() {
    require_kernel!();
    let loaded = try_load(vec![counting("count", "xdp", XDP_PASS)], vec![counter_map()]).unwrap();
    let request = TestRun { repeat: 1000, ..TestRun::once(&[0; 64]) };
    let outcome = run::test_run(loaded.program("count").unwrap(), &request).unwrap();
    assert_eq!(outcome.code, XDP_PASS);
    let count = loaded.map("counts").unwrap().lookup(&[0; 4]).unwrap().unwrap();
    assert_eq!(count, 1000u64.to_ne_bytes());
}

#[test]
fn frames_that_are_too_short_are_refused_in_words() {
    require_kernel!();
    let error = run::once(&one(returns("drop", "xdp", XDP_DROP)), &[0; 4]).unwrap_err();
    assert_eq!(error.to_string(), "cannot test-run program `drop`: invalid argument");
}

#[test]
fn live_frames_arrive_at_the_other_end() {
    require_kernel!();
    let wire = Wire::new();
    // The frames seem to come in at the right end and pass into its stack, where a tc program counts them.
    let loaded = try_load(vec![counting("seen", "tc", 0)], vec![counter_map()]).unwrap();
    wire.right
        .run(|| {
            let right = weir_kernel::netlink::Interface::named("right").unwrap();
            let hook = weir_kernel::attach::Hook::TcIngress;
            let program = loaded.program("seen").unwrap();
            let _attached = weir_kernel::attach::attach(program, &right, hook).unwrap();
            let pass = one(returns("pass", "xdp", XDP_PASS));
            let frame = frame(64, 0);
            let request = LiveRun { frame: &frame, repeat: 640, batch: 64, ingress: right.index };
            run::live(&pass, &request).unwrap();
        })
        .unwrap();
    let count = loaded.map("counts").unwrap().lookup(&[0; 4]).unwrap().unwrap();
    assert!(u64::from_ne_bytes(count.try_into().unwrap()) >= 640);
}

//! Random programs on random frames.

use crate::engines::{agree_loaded, fill, load, options};
use crate::ir_random::{self, Tape};
use proptest::prelude::*;
use weir_compiler::codegen::{Hook, generate};
use weir_compiler::ir::{SetRef, Terminator};

fn tape() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..600)
}

fn frames() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let byte = prop_oneof![Just(0u8), Just(1), Just(6), Just(17), Just(80), any::<u8>()];
    prop::collection::vec(prop::collection::vec(byte, 14..160), 8)
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 200, cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_programs_do_in_the_kernel_what_they_mean(tape in tape(), frames in frames()) {
        let mut program = ir_random::program(Tape::new(&tape));
        // The kernel's clock runs on between packets, so that no bucket may ever be empty.
        for limit in &mut program.limits {
            limit.interval = 0;
            limit.tolerance = 1 << 40;
        }
        let changes = program.blocks.iter().any(|block| matches!(block.end, Terminator::Decap { .. }));
        for hook in [Hook::Xdp, Hook::TcIngress].into_iter().take(if changes { 1 } else { 2 }) {
            let object = generate(&program, &options(hook)).unwrap();
            let Some(loaded) = load("random programs", &object) else { return Ok(()) };
            let mut state = ir_random::state(&program);
            for (nth, decl) in program.sets.iter().enumerate() {
                for word in [0, 1, 6, 14, 80] {
                    let mut key = vec![0; decl.words.len()];
                    *key.last_mut().unwrap() = word;
                    let bits = decl.words.iter().map(|&bits| u32::from(bits)).sum();
                    fill(&loaded, &program, SetRef(nth as u32), &key, bits, 0);
                }
            }
            agree_loaded(&loaded, hook, &program, &mut state, &frames);
        }
    }
}

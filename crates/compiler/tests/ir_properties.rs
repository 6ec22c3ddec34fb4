//! Properties of random programs: they verify, print and parse back, run without a fault.

mod ir_random;

use ir_random::Tape;
use proptest::prelude::*;
use weir_compiler::ir::interp::Interpreter;
use weir_compiler::ir::parse::parse;
use weir_compiler::ir::verify::verify;

fn tape() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..600)
}

fn frames() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let byte = prop_oneof![Just(0u8), Just(1), Just(6), Just(17), Just(80), any::<u8>()];
    prop::collection::vec(prop::collection::vec(byte, 0..100), 8)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_programs_verify_and_run(tape in tape(), frames in frames()) {
        let program = ir_random::program(Tape::new(&tape));
        prop_assert_eq!(verify(&program), Ok(()), "{}", program);
        let mut state = ir_random::state(&program);
        let mut interpreter = Interpreter::new(&program);
        for frame in &frames {
            let outcome = interpreter.run(&mut state, frame);
            prop_assert!(outcome.is_ok(), "{:?}\n{}", outcome, program);
        }
    }

    #[test]
    fn what_prints_parses_back(tape in tape()) {
        let program = ir_random::program(Tape::new(&tape));
        prop_assert_eq!(parse(&program.to_string()), Ok(program));
    }
}

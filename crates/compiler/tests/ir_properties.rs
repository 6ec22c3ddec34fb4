//! Properties of random programs: they verify, print and parse back, run without a fault, and mean
//! the same after each pass.

mod ir_random;

use ir_random::Tape;
use proptest::prelude::*;
use std::collections::BTreeMap;
use weir_compiler::ir::Program;
use weir_compiler::ir::interp::Interpreter;
use weir_compiler::ir::parse::parse;
use weir_compiler::ir::verify::verify;
use weir_compiler::passes::{PASSES, PIPELINE};

fn tape() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..600)
}

fn frames() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let byte = prop_oneof![Just(0u8), Just(1), Just(6), Just(17), Just(80), any::<u8>()];
    prop::collection::vec(prop::collection::vec(byte, 0..160), 8)
}

/// What a program does with frames, one after the other, and what it leaves in the state.
fn meaning(program: &Program, frames: &[Vec<u8>]) -> Result<String, TestCaseError> {
    let mut state = ir_random::state(program);
    let mut interpreter = Interpreter::new(program);
    let mut seen = String::new();
    for frame in frames {
        let mut outcome = interpreter
            .run(&mut state, frame)
            .map_err(|fault| TestCaseError::fail(format!("{fault}\n{program}")))?;
        outcome.captured.sort();
        seen += &format!("{outcome:?}\n");
    }
    let limits: Vec<_> = state.limits.iter().map(|keys| keys.iter().collect::<BTreeMap<_, _>>()).collect();
    Ok(format!("{seen}{:?}\n{limits:?}", state.counters))
}

/// Runs a pass and holds the result to the verifier and to what the program meant before.
fn check_pass(
    pass: &weir_compiler::passes::Pass,
    program: &mut Program,
    frames: &[Vec<u8>],
    wanted: &str,
) -> Result<(), TestCaseError> {
    let before = program.to_string();
    let changed = (pass.run)(program);
    prop_assert_eq!(verify(program), Ok(()), "{} on\n{}\ngave\n{}", pass.name, &before, program);
    prop_assert!(changed || before == program.to_string(), "{} hid a change\n{}", pass.name, &before);
    let after = meaning(program, frames)?;
    prop_assert_eq!(&after, wanted, "{} on\n{}\ngave\n{}", pass.name, &before, program);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases * 8, failure_persistence: None, ..ProptestConfig::default() })]

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

    #[test]
    fn each_pass_keeps_the_meaning(tape in tape(), frames in frames()) {
        let program = ir_random::program(Tape::new(&tape));
        let wanted = meaning(&program, &frames)?;
        for pass in &PASSES {
            check_pass(pass, &mut program.clone(), &frames, &wanted)?;
        }
    }

    #[test]
    fn all_passes_together_keep_the_meaning(tape in tape(), frames in frames()) {
        let mut program = ir_random::program(Tape::new(&tape));
        let wanted = meaning(&program, &frames)?;
        for pass in &PIPELINE {
            check_pass(pass, &mut program, &frames, &wanted)?;
        }
        prop_assert_eq!(parse(&program.to_string()), Ok(program));
    }
}

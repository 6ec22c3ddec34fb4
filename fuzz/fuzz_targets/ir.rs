//! Any text as a program in IR, and behind the first zero byte a frame: what parses prints and
//! parses back, what the verifier accepts runs, and no pass changes what it does.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::collections::BTreeMap;
use weir_compiler::ir::Program;
use weir_compiler::ir::interp::{Fault, run};
use weir_compiler::ir::parse::parse;
use weir_compiler::ir::verify::verify;
use weir_compiler::passes::{PASSES, PIPELINE, Pass};
use weir_compiler::state::State;

fuzz_target!(|data: &[u8]| {
    let (text, frame) = data.split_at(data.iter().position(|&b| b == 0).unwrap_or(data.len()));
    let Ok(program) = parse(&String::from_utf8_lossy(text)) else { return };
    assert_eq!(parse(&program.to_string()).as_ref(), Ok(&program), "{program}");
    if is_large(&program) || verify(&program).is_err() {
        return;
    }
    let frame = frame.get(1..).unwrap_or_default();
    let wanted = match meaning(&program, frame) {
        Ok(wanted) => wanted,
        // What the verifier says that it leaves to the run.
        Err(Fault::TooWide { .. } | Fault::AdvanceBeyond { .. } | Fault::LoopBeyond { .. }) => return,
        Err(fault) => panic!("{fault}\n{program}"),
    };
    for pass in &PASSES {
        check(pass, &mut program.clone(), frame, &wanted);
    }
    let mut program = program;
    for pass in &PIPELINE {
        check(pass, &mut program, frame, &wanted);
    }
});

/// The budget: loops that turn too often, tables that are too large for a fuzzer.
fn is_large(program: &Program) -> bool {
    let bounds = program.blocks.iter().filter_map(|block| block.loop_bound);
    let turns = bounds.fold(1_u64, |turns, bound| turns.saturating_mul(u64::from(bound).max(1)));
    turns > 1 << 12 || program.counters.max(program.scratch) > 1 << 12 || program.values.len() > 1 << 12
}

fn check(pass: &Pass, program: &mut Program, frame: &[u8], wanted: &str) {
    let before = program.to_string();
    (pass.run)(program);
    assert_eq!(verify(program), Ok(()), "{} on\n{before}\ngave\n{program}", pass.name);
    let after = meaning(program, frame);
    assert_eq!(after.as_deref(), Ok(wanted), "{} on\n{before}\ngave\n{program}", pass.name);
}

/// The outcome and what is left in the state.
fn meaning(program: &Program, frame: &[u8]) -> Result<String, Fault> {
    let mut state = State::new(program);
    for (set, decl) in state.sets.iter_mut().zip(&program.sets) {
        let bits = decl.words.iter().map(|&bits| u32::from(bits)).sum();
        set.insert(decl, &vec![0; decl.words.len()], bits, None);
    }
    let mut outcome = run(program, &mut state, frame)?;
    outcome.captured.sort();
    let limits: Vec<BTreeMap<_, _>> = state.limits.iter().map(|keys| keys.iter().collect()).collect();
    Ok(format!("{outcome:?} {:?} {limits:?}", state.counters))
}

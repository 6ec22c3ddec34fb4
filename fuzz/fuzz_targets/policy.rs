//! Any bytes as a policy, and behind the first zero byte a frame: the analysis never panics, what
//! has no errors formats to a text of the same meaning, and three engines agree on the frames.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_compiler::diagnostic::{Diagnostics, Style, render};
use weir_compiler::eval::Evaluator;
use weir_compiler::ir::interp::Interpreter;
use weir_compiler::lower::Lowered;
use weir_compiler::source::Sources;
use weir_compiler::syntax::{format, parse};
use weir_compiler::{Analysis, NoFiles, analyse};

fuzz_target!(|data: &[u8]| {
    let (text, frame) = data.split_at(data.iter().position(|&b| b == 0).unwrap_or(data.len()));
    let text = String::from_utf8_lossy(text);
    let analysis = analyse("fuzz.weir", &text, &NoFiles);
    let told = render(&analysis.diagnostics, &analysis.sources, Style::Plain);
    if analysis.diagnostics.has_errors() {
        return assert!(!told.is_empty(), "an error without a message");
    }
    formats(&text);
    agree(&analysis, frame.get(1..).unwrap_or_default());
});

fn formats(text: &str) {
    let formatted = |text: &str| {
        let mut sources = Sources::default();
        let id = sources.add("fuzz.weir", text);
        format(&sources, id).unwrap_or_else(|_| panic!("does not format:\n{text}"))
    };
    let once = formatted(text);
    assert_eq!(once, formatted(&once), "not idempotent");
    assert_eq!(tree(text), tree(&once), "{once}");
}

/// The syntax tree without its places.
fn tree(text: &str) -> String {
    let mut sources = Sources::default();
    let id = sources.add("fuzz.weir", text);
    let items = format!("{:?}", parse(&sources, id, &mut Diagnostics::default()).items);
    let is_place = |word: &str| {
        word.strip_prefix("0:").is_some_and(|place| place.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
    };
    let words = items.split_inclusive([' ', ',', '(', ')', '[', ']']);
    words.filter(|word| !is_place(word.trim_end_matches([' ', ',', ')', ']', '(', '[']))).collect()
}

fn agree(analysis: &Analysis, frame: &[u8]) {
    let plain = analysis.lower_plainly(&Default::default()).expect("no errors");
    let optimised = analysis.lower(&Default::default(), &[]).expect("no errors");
    let cases = analysis.cases.iter().take(8).map(|case| case.frame.as_slice());
    let frames: Vec<&[u8]> = [frame].into_iter().chain(cases).collect();
    let wanted = evaluated(analysis, &frames);
    assert_eq!(wanted, run(analysis, &plain, &frames), "before the passes");
    assert_eq!(wanted, run(analysis, &optimised, &frames), "after the passes");
}

/// Verdict, statement and what leaves for each frame, then packets and bytes by statement.
fn evaluated(analysis: &Analysis, frames: &[&[u8]]) -> String {
    let mut evaluator = Evaluator::new(&analysis.policy);
    let outcomes: Vec<_> = frames.iter().map(|frame| evaluator.judge(frame)).collect();
    let outcomes: Vec<_> =
        outcomes.iter().map(|outcome| (outcome.verdict, outcome.by, &outcome.frame)).collect();
    format!("{outcomes:?} {:?} {:?}", &evaluator.counters, &evaluator.over)
}

/// The same of a program.
fn run(analysis: &Analysis, lowered: &Lowered, frames: &[&[u8]]) -> String {
    let mut state = lowered.state(&analysis.policy);
    let mut interpreter = Interpreter::new(&lowered.program);
    let outcomes = frames.iter().map(|frame| {
        let outcome = interpreter.run(&mut state, frame).expect("a verified program runs");
        (outcome.verdict, outcome.by.map(|by| by.index()), outcome.frame)
    });
    let outcomes: Vec<_> = outcomes.collect();
    let of = |name: &str| lowered.slots.get(name).map(|&slot| state.counters[slot as usize]);
    let names: Vec<&str> = analysis.policy.statements.iter().map(|s| s.name.as_str()).collect();
    let names = || names.iter().copied().chain(["default"]);
    let counters: Vec<_> = names().map(|name| of(name).unwrap_or_default()).collect();
    let over: Vec<_> = names().map(|name| of(&format!("{name}/over")).unwrap_or_default()).collect();
    format!("{outcomes:?} {counters:?} {over:?}")
}

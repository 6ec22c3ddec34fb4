//! The examples of `docs/language.md` compile, and their tests pass on the evaluator and in IR.

use std::path::Path;
use weir_compiler::diagnostic::{Severity, render};
use weir_compiler::eval::Evaluator;
use weir_compiler::ir::interp::Interpreter;
use weir_compiler::notation::Case;
use weir_compiler::{Analysis, NoFiles, analyse, lower};

/// The text of every fenced block of this kind, with the line it begins on.
fn blocks(page: &str, kind: &str) -> Vec<(usize, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (number, line) in page.lines().enumerate() {
        match &mut open {
            Some(_) if line == "```" => blocks.extend(open.take()),
            Some((_, text)) => {
                text.push_str(line);
                text.push('\n');
            }
            None if line == format!("```{kind}") => open = Some((number + 2, String::new())),
            None => {}
        }
    }
    blocks
}

#[test]
fn examples_do_what_they_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/language.md");
    let page = std::fs::read_to_string(path).expect("docs/language.md is there");
    let blocks = blocks(&page, "weir");
    assert!(blocks.len() >= 7, "only {} examples were found", blocks.len());
    for (line, text) in blocks {
        judge_example(&format!("docs/language.md:{line}"), &text);
    }
}

fn judge_example(name: &str, text: &str) {
    let analysis = analyse(name, text, &NoFiles);
    let told = analysis.diagnostics.iter().any(|d| d.code.severity() == Severity::Error);
    assert!(
        !told,
        "{}",
        render(&analysis.diagnostics, &analysis.sources, weir_compiler::diagnostic::Style::Plain)
    );
    let lowered = analysis.lower(&lower::Options::default(), &[]).expect("no errors");
    assert!(!analysis.cases.is_empty(), "{name} has no tests");
    for test in analysis.cases.chunk_by(|a, b| a.test == b.test) {
        judge_test(&analysis, &lowered, test);
    }
}

fn judge_test(analysis: &Analysis, lowered: &lower::Lowered, test: &[Case]) {
    let mut evaluator = Evaluator::new(&analysis.policy);
    let mut interpreter = Interpreter::new(&lowered.program);
    let mut state = lowered.state(&analysis.policy);
    for case in test {
        let mut last = None;
        for _ in 0..case.times {
            let plain = evaluator.judge(&case.frame);
            let ir = interpreter.run(&mut state, &case.frame).expect("no fault");
            assert_eq!(plain.by, ir.by.map(|s| s.index()), "{}", analysis.sources.place(case.span));
            last = Some(plain);
        }
        let outcome = last.expect("sent at least once");
        let by = outcome.by.map_or("default", |index| analysis.policy.statements[index].name.as_str());
        let place = analysis.sources.place(case.span);
        assert_eq!(outcome.verdict, case.verdict, "{place}: by `{by}`");
        if let Some(expected) = &case.by {
            assert_eq!(by, expected, "{place}");
        }
    }
}

//! `weir test`: the tests that policies carry, on every engine that needs no privileges.

use crate::args::Test;
use crate::failure::{Exit, Failure, Outcome, failed};
use crate::files::shown;
use crate::judge::word;
use crate::policy::{compile, newest};
use crate::printer::{Paint, Printer};
use crate::units::{counted, hex};
use serde::Serialize;
use std::path::Path;
use weir_compiler::notation::Case;
use weir_compiler::policy::Policy;
use weir_compiler::{Analysis, Compilation};
use weir_dataplane::engines::{self, By, Engine, Judgement};

#[derive(Serialize)]
struct Answer {
    passed: usize,
    failed: usize,
    cases: Vec<CaseRow>,
}

#[derive(Serialize)]
struct CaseRow {
    file: String,
    line: u32,
    test: String,
    packet: String,
    ok: bool,
    expected: Decision,
    found: Decision,
}

/// A verdict, and who made it; `statement` is null where the default did, or nobody asked.
#[derive(Clone, PartialEq, Eq, Serialize)]
struct Decision {
    verdict: &'static str,
    statement: Option<String>,
    /// In hexadecimal, where the test says as what the packet leaves, or the policy has changed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    frame: Option<String>,
}

pub(super) fn run(args: &Test, printer: &mut Printer) -> Outcome {
    let mut answer = Answer { passed: 0, failed: 0, cases: Vec::new() };
    for path in &args.policies {
        let compilation = compile(path, &newest(), printer)?;
        if compilation.analysis.cases.is_empty() {
            printer.note(format!("policy `{}` has no tests", shown(path)));
        }
        policy(path, &compilation, &mut answer)?;
    }
    match args.json {
        true => printer.json(&answer)?,
        false => show(&answer, printer)?,
    }
    Ok(if answer.failed == 0 { Exit::Fine } else { Exit::No })
}

/// Each test starts anew: full buckets, and the sets as the policy has them.
fn policy(path: &Path, compilation: &Compilation, answer: &mut Answer) -> Result<(), Failure> {
    for test in compilation.analysis.cases.chunk_by(|one, next| one.test == next.test) {
        let mut engines = engines::unprivileged(compilation);
        for case in test {
            let found = judge(&mut engines, case)?;
            let row = row(path, &compilation.analysis, case, found);
            match row.ok {
                true => answer.passed += 1,
                false => answer.failed += 1,
            }
            answer.cases.push(row);
        }
    }
    Ok(())
}

/// What the engines say about the last of the case's packets. They always say the same.
fn judge(engines: &mut [Box<dyn Engine + '_>], case: &Case) -> Result<Judgement, Failure> {
    let mut said: Vec<(&'static str, Judgement)> = Vec::new();
    for engine in engines {
        let mut last = engine.judge(&case.frame, 0)?;
        for _ in 1..case.times {
            last = engine.judge(&case.frame, 0)?;
        }
        said.push((engine.name(), last));
    }
    let (first, judgement) = said.swap_remove(0);
    match said.iter().find(|(_, other)| !judgement.agrees(other)) {
        None => Ok(judgement),
        Some((other, _)) => {
            Err(failed(format!("the engines `{first}` and `{other}` disagree in test `{}`", case.test))
                .help("this is a bug in weir, please report it with the policy"))
        }
    }
}

fn row(path: &Path, analysis: &Analysis, case: &Case, found: Judgement) -> CaseRow {
    let by = statement(&analysis.policy, found.by);
    let right_frame =
        case.leaves.as_ref().is_none_or(|wanted| *wanted == *found.frame.as_ref().unwrap_or(&case.frame));
    let right_by = case.by.as_ref().is_none_or(|wanted| wanted == by.unwrap_or("default"));
    let text = analysis.sources.text(case.span);
    let packet = text.split("=>").next().unwrap_or(text).trim();
    CaseRow {
        file: shown(path),
        line: analysis.sources[case.span.source].line_column(case.span.start).0,
        test: case.test.clone(),
        packet: packet.split_whitespace().collect::<Vec<_>>().join(" "),
        ok: found.verdict == case.verdict && right_by && right_frame,
        expected: Decision {
            verdict: word(case.verdict),
            statement: case.by.clone().filter(|by| by != "default"),
            frame: case.leaves.as_deref().map(hex),
        },
        found: Decision {
            verdict: word(found.verdict),
            statement: by.map(str::to_owned),
            frame: found.frame.as_deref().map(hex),
        },
    }
}

fn statement(policy: &Policy, by: By) -> Option<&str> {
    match by {
        By::Statement(index) => Some(policy.statements[index].name.as_str()),
        By::Default | By::Unknown => None,
    }
}

fn show(answer: &Answer, printer: &mut Printer) -> Result<(), Failure> {
    for tests in answer.cases.chunk_by(|a, b| (&a.file, &a.test) == (&b.file, &b.test)) {
        let ok = tests.iter().all(|case| case.ok);
        let mark =
            if ok { printer.painted("ok  ", Paint::Green) } else { printer.painted("FAIL", Paint::Red) };
        printer.line(format!("{mark} {}: {}", tests[0].file, tests[0].test))?;
        for case in tests.iter().filter(|case| !case.ok) {
            printer.line(format!("     {}:{}: {}", case.file, case.line, case.packet))?;
            printer.line(format!("       expected {}", decision(&case.expected)))?;
            let found = &case.found;
            printer.line(format!("       found    {} by {}{}", found.verdict, by(found), leaves(found)))?;
        }
    }
    let (passed, failed) = (counted(answer.passed as u64, "case"), answer.failed);
    printer.line(format!("{passed} passed, {failed} failed"))
}

fn decision(decision: &Decision) -> String {
    let leaves = leaves(decision);
    match &decision.statement {
        Some(name) => format!("{} by {name}{leaves}", decision.verdict),
        None => format!("{}{leaves}", decision.verdict),
    }
}

fn leaves(decision: &Decision) -> String {
    decision.frame.as_ref().map(|frame| format!(" as hex({frame})")).unwrap_or_default()
}

fn by(decision: &Decision) -> &str {
    decision.statement.as_deref().unwrap_or("default")
}

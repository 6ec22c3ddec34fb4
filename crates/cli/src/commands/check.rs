//! `weir check`: all messages about policies, at once.

use crate::args::Check;
use crate::failure::{Exit, Failure, Outcome};
use crate::files::{read_policy, shown};
use crate::printer::Printer;
use serde::Serialize;
use std::path::Path;
use weir_compiler::Analysis;
use weir_compiler::diagnostic::{Record, Severity, records};
use weir_dataplane::Files;

#[derive(Serialize)]
struct Answer {
    diagnostics: Vec<Record>,
    errors: usize,
    warnings: usize,
}

pub(super) fn run(args: &Check, printer: &mut Printer) -> Outcome {
    let mut answer = Answer { diagnostics: Vec::new(), errors: 0, warnings: 0 };
    for path in &args.policies {
        let analysis = analyse(path)?;
        let of = |severity| analysis.diagnostics.iter().filter(|d| d.code.severity() == severity).count();
        answer.errors += of(Severity::Error);
        answer.warnings += of(Severity::Warning);
        match args.json {
            true => answer.diagnostics.extend(records(&analysis.diagnostics, &analysis.sources)),
            false => show(path, &analysis, printer)?,
        }
    }
    if args.json {
        printer.json(&answer)?;
    }
    Ok(if answer.errors == 0 { Exit::Fine } else { Exit::No })
}

fn analyse(path: &Path) -> Result<Analysis, Failure> {
    let text = read_policy(path)?;
    Ok(weir_compiler::analyse(&shown(path), &text, &Files))
}

fn show(path: &Path, analysis: &Analysis, printer: &mut Printer) -> Result<(), Failure> {
    printer.diagnostics_as_data(&analysis.diagnostics, &analysis.sources)?;
    let found = analysis.diagnostics.summary();
    let statements = crate::units::counted(analysis.policy.statements.len() as u64, "statement");
    printer.say(match (found.as_str(), analysis.diagnostics.has_errors()) {
        ("", _) => format!("{}: ok, {statements}", shown(path)),
        (found, false) => format!("{}: ok, {statements}, {found}", shown(path)),
        (found, true) => format!("{}: {found}", shown(path)),
    });
    Ok(())
}

//! `weir fmt`: the one way to write a policy.

use crate::args::Fmt;
use crate::failure::{Exit, Failure, Outcome};
use crate::files::{is_standard, read_policy, replace, shown};
use crate::printer::Printer;
use std::path::{Path, PathBuf};
use weir_compiler::source::Sources;
use weir_compiler::syntax;

pub(super) fn run(args: &Fmt, printer: &mut Printer) -> Outcome {
    let standard = [PathBuf::from("-")];
    let policies: &[PathBuf] = if args.policies.is_empty() { &standard } else { &args.policies };
    let mut exit = Exit::Fine;
    for path in policies {
        // The others are formatted all the same: each policy stands for itself.
        match one(path, args.check, printer) {
            Ok(Exit::Fine) => {}
            Ok(Exit::No | Exit::Unproven) | Err(Failure::Refused) => exit = Exit::No,
            Err(failure) => return Err(failure),
        }
    }
    Ok(exit)
}

fn one(path: &Path, check: bool, printer: &mut Printer) -> Outcome {
    let text = read_policy(path)?;
    let formatted = format(path, &text, printer)?;
    let same = text == formatted;
    match (check, is_standard(path)) {
        (true, _) if same => {}
        (true, _) => {
            printer.line(shown(path))?;
            return Ok(Exit::No);
        }
        (false, true) => printer.text(&formatted)?,
        (false, false) if same => {}
        (false, false) => replace(path, &formatted)?,
    }
    Ok(Exit::Fine)
}

fn format(path: &Path, text: &str, printer: &mut Printer) -> Result<String, Failure> {
    let mut sources = Sources::default();
    let id = sources.add(shown(path), text);
    syntax::format(&sources, id).map_err(|diagnostics| {
        printer.diagnostics(&diagnostics, &sources);
        Failure::Refused
    })
}

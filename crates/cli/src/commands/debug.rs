//! `weir debug`: every stage of the compiler as text; golden tests call the same.

use crate::args::{Debug, Stage};
use crate::commands::explain::disassembly;
use crate::failure::{Exit, Failure, Outcome};
use crate::files::{read_policy, shown};
use crate::policy::{analyse, compile, options};
use crate::printer::Printer;
use weir_compiler::diagnostic::Diagnostics;
use weir_compiler::passes::PASSES;
use weir_compiler::source::Sources;
use weir_compiler::syntax;

pub(super) fn run(args: &Debug, printer: &mut Printer) -> Outcome {
    let text = match args.stage {
        Stage::Ast => ast(args, printer)?,
        Stage::Plan => format!("{:#?}\n", analyse(&args.policy, printer)?.plan),
        Stage::Ir => {
            let analysis = analyse(&args.policy, printer)?;
            let lowered = analysis.lower(&Default::default(), &without(args)).ok_or(Failure::Refused)?;
            lowered.program.to_string()
        }
        Stage::Bpf => {
            let options = weir_compiler::Options { without: without(args), ..options(&args.target) };
            disassembly(&compile(&args.policy, &options, printer)?)
        }
    };
    printer.text(&text)?;
    Ok(Exit::Fine)
}

fn ast(args: &Debug, printer: &mut Printer) -> Result<String, Failure> {
    let mut sources = Sources::default();
    let id = sources.add(shown(&args.policy), read_policy(&args.policy)?);
    let mut diagnostics = Diagnostics::default();
    let file = syntax::parse(&sources, id, &mut diagnostics);
    printer.diagnostics(&diagnostics, &sources);
    match diagnostics.has_errors() {
        true => Err(Failure::Refused),
        false => Ok(format!("{file:#?}\n")),
    }
}

fn without(args: &Debug) -> Vec<String> {
    match args.without.iter().any(|pass| pass == "all") {
        true => PASSES.iter().map(|pass| pass.name.to_owned()).collect(),
        false => args.without.clone(),
    }
}

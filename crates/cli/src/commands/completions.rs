//! `weir completions`.

use crate::args::{Args, Completions};
use crate::failure::{Exit, Outcome};
use crate::printer::Printer;
use clap::CommandFactory;

pub(super) fn run(args: &Completions, printer: &mut Printer) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "weir", &mut script);
    printer.bytes(&script)?;
    Ok(Exit::Fine)
}

//! `weir load`: a policy that goes on running when the command is over.

use crate::args::Load;
use crate::failure::{Exit, Failure, Outcome};
use crate::printer::Printer;
use crate::running;
use crate::units::{counted, duration, grouped};
use std::time::Duration;
use weir_dataplane::Report;

pub(super) fn run(args: &Load, printer: &mut Printer) -> Outcome {
    let (_, report) = running::load(&args.attach, &args.name, printer)?;
    if args.json {
        printer.json(&report)?;
    } else {
        let interfaces = args.attach.interfaces.join(", ");
        printer.line(format!("`{}` is attached to {interfaces}: {}", report.instance, size(&report)))?;
    }
    Ok(Exit::Fine)
}

/// How large the program is, and how long it took.
pub(super) fn size(report: &Report) -> String {
    format!("{}, {}", counted(report.instructions as u64, "instruction"), times(report, "loaded"))
}

/// How long it took until it was compiled, and loaded or written.
pub(super) fn times(report: &Report, verb: &str) -> String {
    let time = |us: u64| duration(Duration::from_micros(us));
    format!("compiled in {}, {verb} in {}", time(report.compile_us), time(report.load_us))
}

/// A line of more names nobody reads; `--json` has all of them.
const MOST_NAMES: usize = 12;

/// What a reload kept, made anew and took away; nothing is said of what there is none of.
pub(super) fn changes(report: &Report, printer: &mut Printer) -> Result<(), Failure> {
    for (what, names) in [("kept", &report.kept), ("new", &report.fresh), ("gone", &report.gone)] {
        if !names.is_empty() {
            let (told, left) = names.split_at(names.len().min(MOST_NAMES));
            let more = if left.is_empty() {
                String::new()
            } else {
                format!(" and {} more", grouped(left.len() as u64))
            };
            printer.line(format!("  {what}: {}{more}", told.join(", ")))?;
        }
    }
    Ok(())
}

//! `weir reload`: another policy in the place of the running one, at once or not at all.

use super::load::{changes, size, times};
use crate::args::Reload;
use crate::failure::{Exit, Outcome};
use crate::printer::Printer;
use crate::running;
use crate::units::{counted, duration};
use std::time::Duration;
use weir_dataplane::{Change, Frequent, Profiled};

pub(super) fn run(args: &Reload, printer: &mut Printer) -> Outcome {
    let mut instance = running::open(&args.which, printer)?;
    let report = running::reload(&mut instance, args, printer)?;
    if args.json {
        printer.json(&report)?;
    } else {
        let swapped = duration(Duration::from_micros(report.swap_us));
        let (name, generation) = (&report.instance, report.generation);
        let what = match report.change {
            Change::Program => format!("another program, {}", size(&report)),
            Change::Tables => format!("the same program with other tables, {}", times(&report, "written")),
            Change::Text => format!("the same program, {}", times(&report, "noted")),
        };
        printer.line(format!("`{name}` runs generation {generation}: {what}, swapped in {swapped}"))?;
        if let Some(profile) = &report.profile {
            printer.line(format!("  profile: {}", said(profile)))?;
        }
        changes(&report, printer)?;
    }
    Ok(Exit::Fine)
}

/// What a profile rests on, and what it says.
fn said(profile: &Profiled) -> String {
    let one = |frequent: &Frequent| format!("{} {:.0} %", frequent.statement, frequent.share * 100.0);
    let frequent: Vec<String> = profile.frequent.iter().map(one).collect();
    let packets = counted(profile.packets, "packet");
    match frequent.is_empty() {
        true => format!("{packets}, no statement is frequent"),
        false => format!("{packets}, frequent: {}", frequent.join(", ")),
    }
}

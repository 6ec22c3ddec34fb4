//! `weir demo`: a small network is attacked, and what everybody else notices of it is measured.

mod ddos;
mod interpreter;
mod network;
mod report;
mod traffic;

use crate::args::{Demo, Scene};
use crate::failure::{Exit, Failure, Outcome, failed};
use crate::printer::{Paint, Printer};
use crate::stop::Stop;
use report::Report;
use std::time::Duration;
use traffic::Attack;
use weir_compiler::{Analysis, NoFiles};

/// The policy, and the name that it has in messages.
const POLICY: &str = include_str!("../../../../../examples/demo.weir");
const NAME: &str = "examples/demo.weir";

/// A part of the demo: nobody attacks, or somebody does.
struct Phase {
    name: &'static str,
    attack: Option<Attack>,
    duration: Duration,
}

pub(super) fn run(args: &Demo, printer: &mut Printer) -> Outcome {
    let stop = Stop::on_signals()?;
    if args.scene == Some(Scene::Ddos) {
        return ddos::run(args, &stop, printer);
    }
    let analysis = weir_compiler::analyse(NAME, POLICY, &NoFiles);
    if analysis.diagnostics.has_errors() {
        printer.diagnostics(&analysis.diagnostics, &analysis.sources);
        return Err(Failure::Refused);
    }
    introduce(args, printer)?;
    let phases = phases(args.duration);
    let report = play(args, &analysis, &phases, &stop, printer)?;
    if stop.asked() {
        return Err(failed("interrupted: the network is gone, and nothing is left of it"));
    }
    match args.json {
        true => printer.json(&report)?,
        false => report.show(printer)?,
    }
    Ok(if report.ok { Exit::Fine } else { Exit::No })
}

/// The network where that is possible; else the interpreter, and it is said why.
fn play(
    args: &Demo,
    analysis: &Analysis,
    phases: &[Phase],
    stop: &Stop,
    printer: &mut Printer,
) -> Result<Report, Failure> {
    if args.interpreter {
        return interpreter::play(analysis, phases, stop, printer);
    }
    match network::build() {
        Ok(lab) => network::play(&lab, phases, stop, printer),
        Err(error) => {
            printer.warning(format!("no network can be built here: {error}"));
            printer.warning(
                "the interpreter judges the same attacks instead; nothing is sent, and no time is measured",
            );
            interpreter::play(analysis, phases, stop, printer)
        }
    }
}

fn introduce(args: &Demo, printer: &mut Printer) -> Result<(), Failure> {
    let title = "This policy guards the edge of a network of three hosts: client, edge, server.\n";
    let indented: String = POLICY.lines().map(|line| format!("    {line}\n")).collect();
    match args.json {
        true => Ok(()),
        false => {
            let title = printer.painted(title, Paint::Bold);
            printer.text(&format!("{title}\n{}\n", indented.replace("    \n", "\n")))
        }
    }
}

fn phases(attacks: Duration) -> Vec<Phase> {
    let phase = |name, attack, duration| Phase { name, attack, duration };
    vec![
        phase("a quiet day", None, Duration::from_secs(2)),
        phase("DNS reflection", Some(Attack::Dns), attacks / 4),
        phase("NTP reflection", Some(Attack::Ntp), attacks / 4),
        phase("SYN flood", Some(Attack::Syn), attacks / 2),
    ]
}

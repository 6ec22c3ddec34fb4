//! `weir bench`: what a policy costs a packet, in the kernel, for each way to a verdict.

use crate::args::Bench;
use crate::clock::CaptureClock;
use crate::failure::{Exit, Failure, Outcome, failed, words};
use crate::judge::Judge;
use crate::policy::{compile, this_kernel};
use crate::printer::{Cell, Printer, Table};
use crate::running::told;
use crate::units::{counted, grouped};
use serde::Serialize;
use std::path::Path;
use weir_compiler::Compilation;
use weir_dataplane::engines::Kernel;
use weir_kernel::bench::{BenchOptions, bench};
use weir_packet::capture::{Capture, CaptureError};

#[derive(Serialize)]
struct Answer {
    cases: Vec<CaseRow>,
    instructions: usize,
}

#[derive(Serialize)]
struct CaseRow {
    name: String,
    frames: usize,
    ns: f64,
    baseline_ns: f64,
    net_ns: f64,
}

/// More statements than this are not measured each by itself.
const MOST_WAYS: usize = 64;

/// Frames that take one way through the policy.
struct Case {
    name: String,
    frames: Vec<Vec<u8>>,
}

pub(super) fn run(args: &Bench, printer: &mut Printer) -> Outcome {
    let compilation = compile(&args.policy, &this_kernel(), printer)?;
    let mut cases = cases(&compilation, frames(args, &compilation)?)?;
    keep_largest(&mut cases, printer);
    let kernel = Kernel::load(&compilation).map_err(|error| told(error, printer))?;
    let options = BenchOptions { rounds: args.rounds, at_least: args.at_least, ..BenchOptions::default() };
    let mut rows = Vec::new();
    let mut left_out = 0;
    let mut progress = printer.progress("measuring", Some(cases.len() as u64));
    for (index, case) in cases.iter().enumerate() {
        progress.at(index as u64);
        let measured = bench(kernel.program(), &case.frames, &options)?;
        left_out = left_out.max(measured.left_out);
        rows.push(CaseRow {
            name: case.name.clone(),
            frames: measured.frames,
            ns: rounded(measured.raw.median),
            baseline_ns: rounded(measured.baseline.median),
            net_ns: rounded(measured.net.median),
        });
    }
    drop(progress);
    if left_out > 0 {
        let left_out = counted(left_out as u64, "frame");
        printer.warning(format!("{left_out} did not fit the harness and were left out"));
    }
    let answer = Answer { cases: rows, instructions: compilation.object.programs[0].slots() };
    match args.json {
        true => printer.json(&answer)?,
        false => show(&answer, printer)?,
    }
    Ok(Exit::Fine)
}

/// More digits would be noise.
fn rounded(ns: f64) -> f64 {
    (ns * 100.0).round() / 100.0
}

/// Frames with the times at which they came.
type Timed = Vec<(u64, Vec<u8>)>;

fn frames(args: &Bench, compilation: &Compilation) -> Result<Timed, Failure> {
    let frames = match &args.capture {
        Some(path) => of_capture(path)?,
        None => compilation.analysis.cases.iter().map(|case| (0, case.frame.clone())).collect(),
    };
    match (frames.is_empty(), &args.capture) {
        (false, _) => Ok(frames),
        (true, Some(path)) => {
            Err(failed(format!("capture `{}` has no frame to measure with", path.display())))
        }
        (true, None) => Err(failed("the policy has no tests to take frames from")
            .help("name a capture: `weir bench POLICY CAPTURE`")),
    }
}

fn of_capture(path: &Path) -> Result<Timed, Failure> {
    let told = |error: CaptureError| match error {
        CaptureError::Open { source, .. } => {
            failed(format!("cannot open capture `{}`: {}", path.display(), words(&source)))
        }
        error => failed(format!("capture `{}`: {error}", path.display())),
    };
    let mut clock = CaptureClock::default();
    let mut frames = Vec::new();
    for frame in Capture::open(path).map_err(told)? {
        let frame = frame.map_err(told)?;
        if let Ok(ethernet) = frame.to_ethernet() {
            frames.push((clock.at(frame.timestamp_ns), ethernet.into_owned()));
        }
    }
    Ok(frames)
}

/// All frames in their order, then those that each statement decides, then those that the default decides.
fn cases(compilation: &Compilation, frames: Timed) -> Result<Vec<Case>, Failure> {
    let statements = &compilation.analysis.policy.statements;
    let mut judge = Judge::new(&compilation.analysis)?;
    let mut ways: Vec<Vec<Vec<u8>>> = vec![Vec::new(); statements.len() + 1];
    for (now, frame) in &frames {
        let judged = judge.judge(frame, *now)?;
        ways[judged.by.unwrap_or(statements.len())].push(frame.clone());
    }
    let all = Case { name: "all".into(), frames: frames.into_iter().map(|(_, frame)| frame).collect() };
    let names = statements.iter().map(|statement| statement.name.clone()).chain(["default".to_owned()]);
    let taken = names.zip(ways).filter(|(_, frames)| !frames.is_empty());
    Ok(std::iter::once(all).chain(taken.map(|(name, frames)| Case { name, frames })).collect())
}

/// Thousands of ways would take hours: the first case is all frames, of the others those with the most are kept.
fn keep_largest(cases: &mut Vec<Case>, printer: &mut Printer) {
    let mut sizes: Vec<usize> = cases.iter().skip(1).map(|case| case.frames.len()).collect();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    let Some(least) = sizes.get(MOST_WAYS) else { return };
    let (before, mut kept) = (cases.len(), 0);
    cases.retain(|case| {
        kept += usize::from(case.frames.len() > *least);
        case.frames.len() > *least || kept == 0
    });
    let left_out = counted((before - cases.len()) as u64, "statement");
    printer.warning(format!("{left_out} with few frames are measured only among all"));
}

fn show(answer: &Answer, printer: &mut Printer) -> Result<(), Failure> {
    let mut table = Table::new(&["decided by", ">frames", ">ns/packet", ">harness", ">policy alone"]);
    for case in &answer.cases {
        table.row(vec![
            case.name.as_str().into(),
            Cell::right(grouped(case.frames as u64)),
            Cell::right(format!("{:.1}", case.ns)),
            Cell::right(format!("{:.1}", case.baseline_ns)),
            Cell::right(format!("{:.1}", case.net_ns)),
        ]);
    }
    printer.table(&table)?;
    let instructions = counted(answer.instructions as u64, "instruction");
    printer.line(format!("\n{instructions}; nanoseconds are medians, frames are in the first cache"))
}

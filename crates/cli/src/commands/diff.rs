//! `weir diff`: whether two policies judge any packet differently.

use crate::args::Diff;
use crate::failure::{Exit, Failure, Outcome, failed, words};
use crate::files::{is_standard, read_policy, shown};
use crate::judge::word;
use crate::printer::{Paint, Printer, Table, verdict_paint};
use crate::units::{counted, grouped, hex};
use serde::Serialize;
use std::path::Path;
use weir_compiler::Analysis;
use weir_compiler::diff::{self, Difference, Fate, Found, Report, Settings, Unproven};
use weir_compiler::ir::Verdict;
use weir_compiler::policy::Action;
use weir_dataplane::Files;
use weir_packet::capture::{Frame, LinkType, PcapngWriter, WriteError};

#[derive(Serialize)]
struct Answer {
    result: &'static str,
    differences: Vec<Row>,
    more: usize,
    unproven: Vec<String>,
    packets_tried: u64,
}

#[derive(Serialize)]
struct Row {
    packet: String,
    frame: String,
    old: Side,
    new: Side,
    given: Vec<Given>,
    found: &'static str,
}

/// What becomes of a packet in one policy.
#[derive(Serialize)]
struct Side {
    verdict: &'static str,
    statement: Option<String>,
    line: Option<u32>,
    file: Option<String>,
    limits: Vec<String>,
}

#[derive(Serialize)]
struct Given {
    set: String,
    element: String,
}

pub(super) fn run(args: &Diff, printer: &mut Printer) -> Outcome {
    if is_standard(&args.old) && is_standard(&args.new) {
        return Err(failed("standard input can be read only once"));
    }
    let [old, new] = both(args, printer)?;
    let settings =
        Settings { counts: args.counts, most: args.most.max(1), tries: args.tries, ..Settings::default() };
    let report = {
        let _waiting = printer.waiting("comparing");
        diff::diff(&old.policy, &new.policy, &settings)
    };
    let answer = answer(&report, [&old, &new]);
    if let Some(path) = &args.pcap {
        write(path, &report, &answer)?;
    }
    match args.json {
        true => printer.json(&answer)?,
        false => show(&answer, [&args.old, &args.new], printer)?,
    }
    Ok(match report.answer() {
        diff::Answer::Equal => Exit::Fine,
        diff::Answer::Different => Exit::No,
        diff::Answer::NotFound => Exit::Unproven,
    })
}

/// Reads both policies, and tells what is wrong with either before it gives up.
fn both(args: &Diff, printer: &mut Printer) -> Result<[Analysis; 2], Failure> {
    let read = [&args.old, &args.new].map(|path| (path, read_policy(path)));
    let mut trouble = None;
    let mut analyses = Vec::new();
    for (path, text) in read {
        match text {
            Ok(text) => analyses.push(weir_compiler::analyse(&shown(path), &text, &Files)),
            Err(failure) => trouble = told(trouble, failure, printer),
        }
    }
    let mut bad = 0;
    for analysis in &analyses {
        if analysis.diagnostics.has_errors() {
            printer.diagnostics(&analysis.diagnostics, &analysis.sources);
            bad += 1;
        }
    }
    match (trouble, <[Analysis; 2]>::try_from(analyses)) {
        (Some(failure), _) => Err(failure),
        (None, Ok(both)) if bad == 0 => Ok(both),
        _ => {
            let which = if bad == 2 { "both policies have errors" } else { "one policy has errors" };
            Err(failed(format!("nothing was compared: {which}")))
        }
    }
}

/// Only the last failure ends the command; the one before it is told at once.
fn told(before: Option<Failure>, failure: Failure, printer: &mut Printer) -> Option<Failure> {
    if let Some(before) = before {
        printer.failure(&before);
    }
    Some(failure)
}

fn answer(report: &Report, sides: [&Analysis; 2]) -> Answer {
    let row = |difference: &Difference| Row {
        packet: difference.packet.clone(),
        frame: hex(&difference.frame),
        old: side(&difference.old, sides[0]),
        new: side(&difference.new, sides[1]),
        given: difference.given.iter().map(given).collect(),
        found: match difference.found {
            Found::Symbolically => "symbolic",
            Found::BySearch => "search",
        },
    };
    Answer {
        result: match report.answer() {
            diff::Answer::Equal => "equal",
            diff::Answer::Different => "different",
            diff::Answer::NotFound => "unproven",
        },
        differences: report.differences.iter().map(row).collect(),
        more: report.more,
        unproven: report.unproven.iter().map(|unproven| why(unproven, sides)).collect(),
        packets_tried: report.tried,
    }
}

fn given((set, element): &(String, String)) -> Given {
    Given { set: set.clone(), element: element.clone() }
}

fn side(fate: &Fate, analysis: &Analysis) -> Side {
    let name = |index: usize| analysis.policy.statements[index].name.clone();
    let limit = |index: usize| match &analysis.policy.statements[index].action {
        Action::Limit(limit) => format!("{} ({})", name(index), limit.text),
        _ => name(index),
    };
    let place = fate.by.map(|index| analysis.policy.statements[index].span);
    let source = place.map(|span| (&analysis.sources[span.source], span.start));
    Side {
        verdict: if fate.decapsulated { "decap" } else { word(fate.verdict) },
        statement: fate.by.map(name),
        line: source.map(|(source, start)| source.line_column(start).0),
        file: source.map(|(source, _)| source.name.clone()),
        limits: fate.limits.iter().map(|&index| limit(index)).collect(),
    }
}

fn why(unproven: &Unproven, sides: [&Analysis; 2]) -> String {
    let name = |side: usize, index: &Option<usize>| match index {
        Some(index) => format!("`{}`", sides[side].policy.statements[*index].name),
        None => "the default".to_owned(),
    };
    match unproven {
        Unproven::Protocols(names) => {
            format!("the policies define {} differently: compared by search only", names.join(", "))
        }
        Unproven::Ways => "the protocols can follow each other in too many ways".to_owned(),
        Unproven::TooLarge(classes) => {
            format!("too large to be compared as a whole: packets with {}", classes.join("; with "))
        }
        Unproven::NoFrame(old, new) => format!(
            "where {} decides in the old policy and {} in the new one: no packet was found that gets there",
            name(0, old),
            name(1, new)
        ),
    }
}

fn show(answer: &Answer, paths: [&Path; 2], printer: &mut Printer) -> Result<(), Failure> {
    for row in &answer.differences {
        difference(row, paths, printer)?;
    }
    let found = answer.differences.len() as u64;
    printer.line(match answer.result {
        "equal" => "equal: proven for all packets".to_owned(),
        "different" if answer.more == 0 => format!("different: {}", counted(found, "difference")),
        "different" => {
            format!(
                "different: {}, and {} more pairs of statements",
                counted(found, "difference"),
                answer.more
            )
        }
        _ => format!(
            "no difference found in {}, but equality is not proven",
            counted(answer.packets_tried, "packet")
        ),
    })?;
    for reason in &answer.unproven {
        printer.line(format!("  not proven: {reason}"))?;
    }
    if answer.result == "different" && answer.packets_tried > 0 {
        printer.line(format!("  {} packets were tried by search", grouped(answer.packets_tried)))?;
    }
    Ok(())
}

fn difference(row: &Row, paths: [&Path; 2], printer: &mut Printer) -> Result<(), Failure> {
    let packet = printer.painted(&row.packet, Paint::Bold);
    printer.line(packet)?;
    let mut table = Table::plain();
    for (path, side) in paths.iter().zip([&row.old, &row.new]) {
        let verdict = crate::printer::Cell::from(side.verdict).paint(verdict_paint(side.verdict));
        table.row(vec![format!("  {}", shown(path)).into(), verdict, decider(side).into()]);
    }
    printer.table(&table)?;
    for given in &row.given {
        printer.line(format!("  if {} is in `{}`", given.element, given.set))?;
    }
    printer.line(match row.found {
        "symbolic" => "  found symbolically\n",
        _ => "  found by search\n",
    })
}

fn decider(side: &Side) -> String {
    let by = match (&side.statement, side.line) {
        (Some(name), Some(line)) => {
            let file = side.file.as_deref().unwrap_or_default();
            format!("by {name} ({file}:{line})")
        }
        _ => "by default".to_owned(),
    };
    match side.limits.as_slice() {
        [] => by,
        limits => {
            format!("{by}, if {} {} it", limits.join(" and "), if limits.len() == 1 { "lets" } else { "let" })
        }
    }
}

/// The packets as a capture, in the order of the answer.
fn write(path: &Path, report: &Report, answer: &Answer) -> Result<(), Failure> {
    let trouble = |error: WriteError| match error {
        WriteError::Io(error) => failed(format!("cannot write `{}`: {}", path.display(), words(&error))),
        error => failed(format!("`{}`: {error}", path.display())),
    };
    let mut writer = PcapngWriter::create(path).map_err(trouble)?;
    let interface = writer.interface("diff", LinkType::Ethernet).map_err(trouble)?;
    for (difference, row) in report.differences.iter().zip(&answer.differences) {
        let said = |verdict: Verdict, side: &Side| {
            format!("{} by {}", word(verdict), side.statement.as_deref().unwrap_or("default"))
        };
        let (old, new) = (said(difference.old.verdict, &row.old), said(difference.new.verdict, &row.new));
        let mut frame = Frame::ethernet(0, difference.frame.clone());
        frame.comment = Some(format!("old: {old}; new: {new}"));
        writer.frame(interface, &frame).map_err(trouble)?;
    }
    writer.finish().map_err(trouble).map(drop)
}

//! `weir doctor`: what this machine can do, and what is in the way.

use crate::args::Doctor;
use crate::failure::{Exit, Failure, Outcome};
use crate::printer::{Cell, Paint, Printer, Table};
use serde::Serialize;
use weir_kernel::probe::{self, Evidence, Fact, Finding, State};

#[derive(Serialize)]
struct Answer {
    facts: Vec<FactRow>,
    features: Vec<FeatureRow>,
}

#[derive(Serialize)]
struct FactRow {
    #[serde(skip_serializing_if = "Option::is_none")]
    interface: Option<String>,
    name: &'static str,
    state: &'static str,
    detail: String,
    fix: Option<String>,
}

#[derive(Serialize)]
struct FeatureRow {
    name: &'static str,
    present: bool,
    evidence: &'static str,
    since: String,
    instead: &'static str,
}

pub(super) fn run(args: &Doctor, printer: &mut Printer) -> Outcome {
    let mut facts: Vec<FactRow> = probe::facts().into_iter().map(|fact| row(None, fact)).collect();
    for interface in &args.interfaces {
        facts.extend(probe::interface_facts(interface).into_iter().map(|fact| row(Some(interface), fact)));
    }
    let probed = probe::probe();
    let features = probed.findings.iter().map(feature).collect();
    let answer = Answer { facts, features };
    match args.json {
        true => printer.json(&answer)?,
        false => show(&answer, printer)?,
    }
    if let Some(why) = &probed.guessed {
        printer.note(format!("the kernel's features are guessed from its version: {why}"));
    }
    let bad = answer.facts.iter().any(|fact| fact.state == "bad");
    Ok(if bad { Exit::No } else { Exit::Fine })
}

fn row(interface: Option<&String>, fact: Fact) -> FactRow {
    let state = match fact.state {
        State::Good => "good",
        State::Warn => "warn",
        State::Bad => "bad",
        State::Unknown => "unknown",
    };
    FactRow { interface: interface.cloned(), name: fact.name, state, detail: fact.detail, fix: fact.fix }
}

fn feature(finding: &Finding) -> FeatureRow {
    let row = finding.feature.row();
    let evidence = match finding.evidence {
        Evidence::Tried => "tried",
        Evidence::Version => "version",
    };
    let since = format!("{}.{}", row.since.0, row.since.1);
    FeatureRow { name: row.name, present: finding.present, evidence, since, instead: row.instead }
}

fn show(answer: &Answer, printer: &mut Printer) -> Result<(), Failure> {
    let mut table = Table::plain();
    for fact in &answer.facts {
        let paint = match fact.state {
            "good" => Paint::Green,
            "warn" => Paint::Yellow,
            "bad" => Paint::Red,
            _ => Paint::Dim,
        };
        let name = match &fact.interface {
            Some(interface) => format!("{interface}: {}", fact.name),
            None => fact.name.to_owned(),
        };
        table.row(vec![Cell::from(fact.state).paint(paint), name.into(), fact.detail.as_str().into()]);
        if let Some(fix) = &fact.fix {
            table.row(vec!["".into(), "".into(), Cell::from(format!("→ {fix}")).paint(Paint::Cyan)]);
        }
    }
    printer.table(&table)?;
    let missing: Vec<&FeatureRow> = answer.features.iter().filter(|feature| !feature.present).collect();
    let present = answer.features.len() - missing.len();
    printer.line(format!(
        "\n{present} of {} kernel features that weir can use are there",
        answer.features.len()
    ))?;
    let mut table = Table::plain();
    for feature in missing {
        let (name, since) = (format!("  without {}", feature.name), format!("(Linux {})", feature.since));
        table.row(vec![name.into(), since.into(), format!("instead: {}", feature.instead).into()]);
    }
    printer.table(&table)
}

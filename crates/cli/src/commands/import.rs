//! `weir import`: another tool's rules as a policy, and what it could not say.

use crate::args::{Import, ImportFormat};
use crate::failure::{Exit, Failure, Outcome, failed};
use crate::files::{is_standard, read_text, shown, write};
use crate::printer::Printer;
use crate::units::counted;
use serde::Serialize;
use weir_import::{Finding, Format, Garbage, Kind, Options};

#[derive(Serialize)]
struct Imported<'a> {
    format: Format,
    complete: bool,
    statements: usize,
    findings: &'a [Finding],
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<&'a str>,
}

pub(super) fn run(args: &Import, printer: &mut Printer) -> Outcome {
    let text = read_text(&args.file)?;
    let options = Options {
        from: args.from.map(format),
        chains: args.chains.clone(),
        interface: args.interface.clone(),
        ipset: args.ipset.as_deref().map(read_text).transpose()?,
        name: shown(&args.file),
    };
    let import = weir_import::import(&text, &options).map_err(|garbage| refused(args, garbage))?;
    if args.from.is_none() {
        printer.note(format!("`{}` is read as `{}`", options.name, import.format));
    }
    tell(&import, printer);
    deliver(args, &import, printer)?;
    Ok(if import.is_complete() { Exit::Fine } else { Exit::No })
}

fn refused(args: &Import, garbage: Garbage) -> Failure {
    let failure = failed(format!("`{}`: {garbage}", shown(&args.file)));
    match garbage.help {
        Some(help) => failure.help(help),
        None => failure,
    }
}

/// What the policy does not say, rule by rule, and how much that is.
fn tell(import: &weir_import::Import, printer: &mut Printer) {
    for finding in &import.findings {
        let text = format!("{}: `{}`: {}", finding.place, finding.rule, finding.why);
        match finding.kind {
            Kind::Refused => printer.warning(format!("not expressed: {text}")),
            Kind::Changed => printer.warning(format!("expressed otherwise: {text}")),
            Kind::Ignored => printer.note(format!("left out: {text}")),
        }
    }
    let count = |kind| import.findings.iter().filter(|finding| finding.kind == kind).count() as u64;
    printer.say(format!(
        "{}; {} not expressed, {} expressed otherwise, {} left out",
        counted(import.statements as u64, "statement"),
        counted(count(Kind::Refused), "rule"),
        count(Kind::Changed),
        count(Kind::Ignored),
    ));
}

fn deliver(args: &Import, import: &weir_import::Import, printer: &mut Printer) -> Result<(), Failure> {
    let to_stdout = is_standard(&args.output);
    if !(to_stdout && args.json) {
        write(&args.output, import.policy.as_bytes(), printer)?;
    }
    if !args.json {
        return Ok(());
    }
    printer.json(&Imported {
        format: import.format,
        complete: import.is_complete(),
        statements: import.statements,
        findings: &import.findings,
        policy: to_stdout.then_some(import.policy.as_str()),
    })
}

fn format(format: ImportFormat) -> Format {
    match format {
        ImportFormat::Iptables => Format::Iptables,
        ImportFormat::Ip6tables => Format::Ip6tables,
        ImportFormat::Nft => Format::Nft,
        ImportFormat::DeCix => Format::DeCix,
        ImportFormat::List => Format::List,
    }
}

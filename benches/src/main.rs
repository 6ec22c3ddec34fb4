//! Weir beside C, beside an empty program and beside other filters.
//!
//! `cargo run --release -p weir-benches -- [--json] [--rounds N] [--without PASS]… [CASE…]`, as root; `--list` names
//! the cases, and a name's beginning chooses all that begin so. See `docs/benchmarks.md`.

mod acls;
mod balance;
mod beside;
mod cases;
mod clang;
mod classbench;
mod collectors;
mod cookies;
mod cost;
mod ddos;
mod detect;
mod frames;
mod lab;
mod live;
mod mixed;
mod parts;
mod passes;
mod profile;
mod report;
mod rivals;
mod rule;
mod rules;
mod sample;
mod sflow;
mod spread;
mod threads;
mod times;
mod veth;

use std::process::ExitCode;
use weir_compiler::{Compilation, Hook, Loader, Options};
use weir_dataplane::engines::Kernel;

use acls::ACLS;
use balance::BALANCES;
use cases::{CASES, Case};
use cookies::COOKIES;
use mixed::MIXED;
use parts::PARTS;
use profile::PROFILES;
use report::{BesideRow, Report};
use rules::RULES;
use sample::SAMPLES;

/// Why nothing more is measured.
type Failure = Box<dyn std::error::Error>;

/// Measurements of each program, unless another number is asked for.
const ROUNDS: usize = 15;

/// The cases that are not in [`CASES`].
const TIMES: &str = "times";
const LIVE: &str = "live";
const SFLOW: &str = "sflow";
const COLLECTORS: &str = "sflow-collectors";
const VETH: &str = "veth";
const LAB: &str = "lab";
const PASSES: &str = "passes";
const COST: &str = "cost";
const DETECT: &str = "detect";
const DDOS: &str = "ddos";
const POOL: &str = "balance-pool";

struct Arguments {
    json: bool,
    list: bool,
    rounds: usize,
    /// Passes of the compiler that are left out, to see what they earn.
    without: Vec<String>,
    cases: Vec<String>,
}

fn main() -> ExitCode {
    match arguments().and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            report::failure(&failure);
            ExitCode::from(2)
        }
    }
}

fn arguments() -> Result<Arguments, Failure> {
    let mut found =
        Arguments { json: false, list: false, rounds: ROUNDS, without: Vec::new(), cases: Vec::new() };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--json" => found.json = true,
            "--list" => found.list = true,
            "--rounds" => found.rounds = words.next().ok_or("--rounds wants a number")?.parse()?,
            "--without" => found.without.push(words.next().ok_or("--without wants the name of a pass")?),
            option if option.starts_with('-') => return Err(format!("there is no option `{option}`").into()),
            _ => found.cases.push(word),
        }
    }
    if let Some(pass) = found.without.iter().find(|name| weir_compiler::passes::pass(name).is_none()) {
        return Err(format!("there is no pass `{pass}`").into());
    }
    let unknown = found.cases.iter().find(|word| !names().any(|name| name.starts_with(word.as_str())));
    match unknown {
        Some(word) => Err(format!("there is no case `{word}`; `--list` names them").into()),
        None => Ok(found),
    }
}

fn names() -> impl Iterator<Item = &'static str> {
    let rules = RULES.iter().map(|(name, _)| *name);
    let mixed = MIXED.iter().map(|(name, _)| *name);
    let profiles = PROFILES.iter().map(|(name, _)| *name);
    let parts = PARTS.iter().map(|(name, _)| *name);
    let balances = BALANCES.iter().map(|(name, _)| *name);
    let cases = CASES.iter().map(|(name, _)| *name).chain(rules).chain(mixed).chain(profiles).chain(parts);
    let samples = SAMPLES.iter().map(|(name, ..)| *name);
    let cookies = COOKIES.iter().map(|(name, _)| *name);
    cases
        .chain(balances)
        .chain(cookies)
        .chain(samples)
        .chain([POOL, VETH, LAB, TIMES, LIVE, SFLOW, COLLECTORS, PASSES, COST, DETECT, DDOS])
}

fn run(arguments: Arguments) -> Result<(), Failure> {
    if arguments.list {
        report::names(names());
        return Ok(());
    }
    let wanted = |name: &str| {
        arguments.cases.is_empty() || arguments.cases.iter().any(|word| name.starts_with(word.as_str()))
    };
    let mut report = Report {
        kernel: format!("Linux {}", weir_kernel::probe::Release::current().text),
        processor: processor(),
        clang: clang::version(),
        ..Report::default()
    };
    if report.clang.is_none() {
        report.absent.push("the C programs: there is no `clang`, and $CLANG names none".to_owned());
    }
    let options = Options {
        without: arguments.without.clone(),
        ..Options::new(weir_kernel::probe::target(), Hook::Xdp)
    };
    for (name, make) in CASES.iter().filter(|(name, _)| wanted(name)) {
        report::progress(name);
        let row = beside(&make(name), &options, report.clang.is_some(), arguments.rounds)?;
        report.beside.push(row);
    }
    for (name, make) in RULES.iter().filter(|(name, _)| wanted(name)) {
        if *name == ACLS && !acls::file().exists() {
            report
                .absent
                .push(format!("{ACLS}: there is no {}, and $DE_CIX_ACLS names none", acls::file().display()));
            continue;
        }
        report::progress(name);
        report.rules.push(rules::measure(name, *make, &options, report.clang.is_some(), arguments.rounds)?);
    }
    for (name, case) in MIXED.iter().filter(|(name, _)| wanted(name)) {
        report::progress(name);
        report.mixed.push(mixed::measure(name, case, &options, arguments.rounds)?);
    }
    for (name, make) in PROFILES.iter().filter(|(name, _)| wanted(name)) {
        report::progress(name);
        report.profiles.push(profile::measure(name, *make, &options, arguments.rounds)?);
    }
    for (name, case) in PARTS.iter().filter(|(name, _)| wanted(name)) {
        report::progress(name);
        report.parts.push(parts::measure(name, case, &options, arguments.rounds)?);
    }
    for (name, make) in BALANCES.iter().filter(|(name, _)| wanted(name)) {
        report::progress(name);
        report.balances.push(balance::measure(
            name,
            *make,
            &options,
            report.clang.is_some(),
            arguments.rounds,
        )?);
    }
    for (name, segments) in COOKIES.iter().filter(|(name, _)| wanted(name)) {
        report::progress(name);
        report.balances.push(cookies::measure(name, *segments, &options, arguments.rounds)?);
    }
    for case in SAMPLES.iter().filter(|(name, ..)| wanted(name)) {
        report::progress(case.0);
        report.samples.push(sample::measure(case, &options, arguments.rounds)?);
    }
    if wanted(POOL) {
        report::progress(POOL);
        report.memory.push(balance::memory(&options)?);
        report.times.push(balance::ring(arguments.rounds));
    }
    if wanted(VETH) {
        report::progress(VETH);
        veth::measure(&mut report, arguments.rounds)?;
    }
    if wanted(LAB) {
        report::progress(LAB);
        lab::measure(&mut report, arguments.rounds)?;
    }
    if wanted(TIMES) {
        report::progress(TIMES);
        report.times.extend(times::measure(&options, arguments.rounds)?);
    }
    if wanted(LIVE) {
        report::progress(LIVE);
        report.times.extend(live::measure(arguments.rounds)?);
    }
    if wanted(SFLOW) {
        report::progress(SFLOW);
        report.times.extend(sflow::measure(arguments.rounds));
    }
    if wanted(COLLECTORS) {
        report::progress(COLLECTORS);
        collectors::measure(&mut report, arguments.rounds)?;
    }
    if wanted(DETECT) {
        report::progress(DETECT);
        report.times.extend(detect::measure(arguments.rounds));
    }
    if wanted(DDOS) {
        report::progress(DDOS);
        ddos::measure(&mut report, arguments.rounds)?;
    }
    if wanted(PASSES) {
        report::progress(PASSES);
        report.passes = passes::measure(&options, arguments.rounds)?;
    }
    if wanted(COST) {
        report::progress(COST);
        report.costs = cost::measure(&options, arguments.rounds)?;
        report.estimates = cost::estimates(&options, arguments.rounds)?;
    }
    match arguments.json {
        true => report::json(&report)?,
        false => report::table(&report),
    }
    Ok(())
}

fn beside(case: &Case, options: &Options, with_c: bool, rounds: usize) -> Result<BesideRow, Failure> {
    let compilation = compile(case.name, &case.policy, case.files.as_ref(), options)?;
    let kernel = Kernel::load(&compilation)?;
    let c = if with_c { Some(clang::compile(&case.source)?) } else { None };
    let others = Vec::from_iter(c.as_ref().map(|compiled| compiled.program()));
    let dropped = beside::agree(kernel.program(), &others, &case.frames)
        .map_err(|failure| format!("case `{}`: {failure}", case.name))?;
    let measured = beside::measure(kernel.program(), &others, &case.frames, rounds)?;
    let other = measured.others.first();
    Ok(BesideRow {
        name: case.name.to_owned(),
        frames: case.frames.len(),
        dropped: dropped as f64 / case.frames.len() as f64,
        weir: measured.weir,
        c: other.map(|other| other.spread),
        ratio: other.map(|other| other.ratio),
        weir_instructions: kernel.program().info()?.translated_bytes / 8,
        c_instructions: c.as_ref().map(|compiled| compiled.instructions()).transpose()?,
    })
}

fn compile(case: &str, policy: &str, files: &dyn Loader, options: &Options) -> Result<Compilation, Failure> {
    weir_compiler::compile("bench.weir", policy, files, options).map_err(|analysis| {
        let first = analysis.diagnostics.iter().next().map(|diagnostic| diagnostic.message.clone());
        format!("case `{case}`: {}", first.unwrap_or_default()).into()
    })
}

/// In the kernel's words.
fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cpus = text.lines().filter(|line| line.starts_with("processor")).count();
    format!("{cpus} × {}", model.map_or("unknown processor", |(_, name)| name))
}

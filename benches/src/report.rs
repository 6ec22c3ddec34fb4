//! What is told at the end: a table for people, JSON for programs.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the one module of the benchmarks that prints")]

mod collectors;
mod ddos;
mod lab;

use serde::Serialize;

use crate::Failure;
use crate::beside::Other;
use crate::spread::{Ratio, Spread};
pub(crate) use collectors::CollectorRow;
pub(crate) use ddos::MitigationRow;
pub(crate) use lab::{FloodRow, StreamRow};

#[derive(Default, Serialize)]
pub(crate) struct Report {
    pub(crate) kernel: String,
    pub(crate) processor: String,
    pub(crate) clang: Option<String>,
    /// Nanoseconds a packet.
    pub(crate) beside: Vec<BesideRow>,
    /// Packets a second on a veth pair.
    pub(crate) veth: Vec<VethRow>,
    /// Many rules and large sets.
    pub(crate) rules: Vec<RulesRow>,
    /// Statements that count among those that decide.
    pub(crate) mixed: Vec<MixedRow>,
    /// Laid out for the frames, and without knowing them.
    pub(crate) profiles: Vec<ProfileRow>,
    /// Cut into functions, and whole.
    pub(crate) parts: Vec<PartsRow>,
    /// Packets sent to backends.
    pub(crate) balances: Vec<BalanceRow>,
    /// With a statement that samples, and without it.
    pub(crate) samples: Vec<SampleRow>,
    /// What a pool takes of the kernel's memory.
    pub(crate) memory: Vec<MemoryRow>,
    /// Balancers in labs, with more packets than they can carry.
    pub(crate) floods: Vec<FloodRow>,
    /// Balancers in labs, before real services.
    pub(crate) streams: Vec<StreamRow>,
    /// Collectors of sFlow, on the same datagrams.
    pub(crate) collectors: Vec<CollectorRow>,
    /// Milliseconds.
    pub(crate) times: Vec<TimeRow>,
    /// What each pass of the compiler earns.
    pub(crate) passes: Vec<PassRow>,
    /// The constants of the cost model.
    pub(crate) costs: Vec<CostRow>,
    /// What it says of whole programs.
    pub(crate) estimates: Vec<EstimateRow>,
    /// From an attack to a rule.
    pub(crate) mitigations: Vec<MitigationRow>,
    /// What was not measured, and why.
    pub(crate) absent: Vec<String>,
}

#[derive(Serialize)]
pub(crate) struct BesideRow {
    pub(crate) name: String,
    pub(crate) frames: usize,
    /// The part of the frames that is dropped.
    pub(crate) dropped: f64,
    pub(crate) weir: Spread,
    pub(crate) c: Option<Spread>,
    pub(crate) ratio: Option<Ratio>,
    /// Instructions as the kernel translates them.
    pub(crate) weir_instructions: u32,
    pub(crate) c_instructions: Option<u32>,
}

#[derive(Serialize)]
pub(crate) struct VethRow {
    pub(crate) name: String,
    /// Dropped a second, in millions; the receiver on another CPU than the generator.
    pub(crate) two_cpus: Option<Rate>,
    /// The same with both on one CPU.
    pub(crate) one_cpu: Rate,
    /// Its program alone, in nanoseconds a packet net of an empty one, on the same frames.
    pub(crate) alone: Option<Spread>,
}

#[derive(Clone, Copy, Serialize)]
pub(crate) struct Rate {
    /// Millions a second.
    pub(crate) frames: Spread,
    /// Over what the bare drop did.
    pub(crate) of_bare: Ratio,
}

impl Rate {
    /// From the rates of all turns, and the bare drop's of the same turns.
    pub(crate) fn of(rates: &[f64], bare: &[f64]) -> Self {
        Self { frames: Spread::of(rates.to_vec()), of_bare: Ratio::of(rates, bare) }
    }
}

#[derive(Serialize)]
pub(crate) struct TimeRow {
    pub(crate) name: &'static str,
    pub(crate) wall: Spread,
    /// Of them on a CPU, where that was asked.
    pub(crate) cpu: Option<Spread>,
    pub(crate) goal: f64,
}

/// Many rules, or a large set.
#[derive(Serialize)]
pub(crate) struct RulesRow {
    pub(crate) name: String,
    /// Nanoseconds, net of an empty program, for frames that each meet a rule or an element.
    pub(crate) hits: Spread,
    /// For frames from anywhere.
    pub(crate) random: Spread,
    /// Both over what eight rules cost on the same frames.
    pub(crate) hits_over_eight: Ratio,
    pub(crate) over_eight: Ratio,
    pub(crate) instructions: u32,
    /// Of data that the program walks.
    pub(crate) bytes: usize,
    pub(crate) compile_ms: f64,
    pub(crate) load_ms: f64,
    /// What others would build, in the same turns.
    pub(crate) rivals: Vec<RivalRow>,
}

#[derive(Serialize)]
pub(crate) struct RivalRow {
    pub(crate) name: &'static str,
    pub(crate) hits: Other,
    pub(crate) random: Other,
}

/// A pass and a case.
#[derive(Serialize)]
pub(crate) struct PassRow {
    pub(crate) pass: &'static str,
    pub(crate) case: &'static str,
    pub(crate) earned: Earned,
}

/// The program with a pass over the one without it.
#[derive(Clone, Copy, Serialize)]
pub(crate) enum Earned {
    /// Both are the same.
    Nothing,
    /// One over the other; the verifier's are the instructions that it walked.
    Something { instructions: f64, verified: f64, nanoseconds: Ratio },
    /// The kernel takes none without the pass.
    Everything,
}

/// Rules of which some count: as rows of tables, and as statements that part them. Nanoseconds net of an empty program.
#[derive(Serialize)]
pub(crate) struct MixedRow {
    pub(crate) name: String,
    /// For frames that each meet a rule.
    pub(crate) hits: Spread,
    pub(crate) hits_apart: Option<Other>,
    /// For frames from anywhere.
    pub(crate) random: Spread,
    pub(crate) random_apart: Option<Other>,
    pub(crate) rows: Built,
    /// Nothing where the kernel takes none.
    pub(crate) apart: Option<Built>,
}

/// What a program took to be made.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct Built {
    pub(crate) instructions: u32,
    /// Those that the verifier went through.
    pub(crate) verified: u32,
    pub(crate) compile_ms: f64,
    pub(crate) load_ms: f64,
}

/// A policy with and without a profile, in nanoseconds net of an empty program.
#[derive(Serialize)]
pub(crate) struct ProfileRow {
    pub(crate) name: String,
    pub(crate) with: Spread,
    pub(crate) without: Option<Other>,
    pub(crate) instructions: u32,
    pub(crate) instructions_without: u32,
}

/// A policy cut into functions and whole, in nanoseconds net of an empty program.
#[derive(Serialize)]
pub(crate) struct PartsRow {
    pub(crate) name: String,
    /// How many functions, besides the main one.
    pub(crate) parts: usize,
    pub(crate) cut: Spread,
    pub(crate) whole: Other,
    pub(crate) instructions: u32,
    pub(crate) instructions_whole: u32,
}

/// `balance`, in nanoseconds net of an empty program.
#[derive(Serialize)]
pub(crate) struct BalanceRow {
    pub(crate) name: String,
    pub(crate) frames: usize,
    pub(crate) weir: Spread,
    pub(crate) c: Option<Other>,
    /// What Katran was seen to take, elsewhere.
    pub(crate) katran: Option<&'static str>,
    pub(crate) goal: Option<f64>,
    pub(crate) instructions: u32,
    /// Flows that were remembered at the end, where slots made packets ask for them.
    pub(crate) remembered: Option<usize>,
}

#[derive(Serialize)]
pub(crate) struct MemoryRow {
    pub(crate) name: &'static str,
    pub(crate) bytes: u32,
    pub(crate) goal: u32,
}

/// A policy with a statement that samples and without it, in nanoseconds net of an empty program.
#[derive(Serialize)]
pub(crate) struct SampleRow {
    pub(crate) name: &'static str,
    pub(crate) frames: usize,
    pub(crate) with: Spread,
    pub(crate) without: Spread,
    /// What the statement costs, and the standard error of that.
    pub(crate) more: f64,
    pub(crate) error: f64,
    pub(crate) goal: Option<f64>,
    pub(crate) instructions: u32,
    pub(crate) instructions_without: u32,
}

/// A constant of the cost model.
#[derive(Serialize)]
pub(crate) struct CostRow {
    pub(crate) name: &'static str,
    /// Nanoseconds, as the code has it.
    pub(crate) code: f64,
    pub(crate) measured: Spread,
    /// They are too far apart.
    pub(crate) differs: bool,
}

/// What a packet that no statement decides was said to cost, and cost.
#[derive(Serialize)]
pub(crate) struct EstimateRow {
    pub(crate) name: &'static str,
    pub(crate) estimated: f64,
    pub(crate) measured: Spread,
}

/// What is under way, for whoever watches.
pub(crate) fn progress(what: &str) {
    eprintln!("{what} …");
}

pub(crate) fn failure(failure: &Failure) {
    eprintln!("error: {failure}");
}

pub(crate) fn names(names: impl Iterator<Item = &'static str>) {
    names.for_each(|name| println!("{name}"));
}

pub(crate) fn json(report: &Report) -> Result<(), Failure> {
    println!("{}", serde_json::to_string_pretty(report)?);
    Ok(())
}

/// Markdown, so that a run goes into the documentation as it is.
pub(crate) fn table(report: &Report) {
    let clang = report.clang.as_deref().unwrap_or("no clang");
    println!("{}; {}; {clang}", report.kernel, report.processor);
    if !report.beside.is_empty() {
        println!("\n| case | frames dropped | Weir, ns | C, ns | Weir / C | instructions |");
        println!("|---|---:|---:|---:|---:|---:|");
        report.beside.iter().for_each(beside);
    }
    if !report.rules.is_empty() {
        println!(
            "\n| case | met, ns | random, ns | met / 8 rules | random / 8 rules | instructions | table, KiB | compile, ms \
             | load, ms |"
        );
        println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|");
        report.rules.iter().for_each(rules);
        rivals(&report.rules);
    }
    if !report.mixed.is_empty() {
        println!(
            "\n| case | met: rows, ns | parted, ns | random: rows, ns | parted, ns | instructions | verified | compile, ms | load, ms |"
        );
        println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|");
        report.mixed.iter().for_each(mixed);
    }
    if !report.profiles.is_empty() {
        println!("\n| case | profile, ns | none, ns | profile / none | instructions |");
        println!("|---|---:|---:|---:|---:|");
        report.profiles.iter().for_each(profile);
    }
    if !report.parts.is_empty() {
        println!("\n| case | parts | cut, ns | whole, ns | cut / whole | instructions |");
        println!("|---|---:|---:|---:|---:|---:|");
        report.parts.iter().for_each(parts);
    }
    if !report.samples.is_empty() {
        println!("\n| case | frames | with, ns | without, ns | costs, ns | goal, ns | instructions |");
        println!("|---|---:|---:|---:|---:|---:|---:|");
        report.samples.iter().for_each(sample);
    }
    if !report.balances.is_empty() {
        println!(
            "\n| case | frames | Weir, ns | C, ns | Weir / C | Katran elsewhere, ns | goal, ns | instructions \
             | flows remembered |"
        );
        println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|");
        report.balances.iter().for_each(balance);
    }
    if !report.memory.is_empty() {
        println!("\n| memory | KiB | goal |");
        println!("|---|---:|---:|");
        for row in &report.memory {
            println!("| {} | {} | {} |", row.name, row.bytes.div_ceil(1024), row.goal / 1024);
        }
    }
    if !report.veth.is_empty() {
        println!(
            "\n| dropped on a veth pair | two CPUs, Mpps | of bare | one CPU, Mpps | of bare | alone, ns |"
        );
        println!("|---|---:|---:|---:|---:|---:|");
        report.veth.iter().for_each(veth);
    }
    ddos::mitigations(&report.mitigations);
    lab::floods(&report.floods);
    lab::streams(&report.streams);
    collectors::collectors(&report.collectors);
    if !report.times.is_empty() {
        println!("\n| time | ms | of them on a CPU | goal |");
        println!("|---|---:|---:|---:|");
        for row in &report.times {
            let cpu = optional(row.cpu.map(|cpu| shown(cpu, 1)));
            println!("| {} | {} | {cpu} | {} |", row.name, shown(row.wall, 2), row.goal);
        }
    }
    if !report.passes.is_empty() {
        passes(&report.passes, "instructions", |instructions, _, _| format!("{instructions:.3}"));
        passes(&report.passes, "verified", |_, verified, _| format!("{verified:.3}"));
        passes(&report.passes, "ns", |_, _, nanoseconds| ratio(nanoseconds));
    }
    if !report.costs.is_empty() {
        println!("\n| constant | in the code, ns | measured, ns | |");
        println!("|---|---:|---:|---|");
        for row in &report.costs {
            let mark = if row.differs { "differs" } else { "" };
            println!("| {} | {:.2} | {} | {mark} |", row.name, row.code, shown(row.measured, 2));
        }
    }
    if !report.estimates.is_empty() {
        println!("\n| case | estimated, ns | measured, ns | estimated / measured |");
        println!("|---|---:|---:|---:|");
        for row in &report.estimates {
            let ratio = row.estimated / row.measured.middle.max(0.1);
            println!("| {} | {:.1} | {} | {ratio:.2} |", row.name, row.estimated, shown(row.measured, 1));
        }
    }
    if !report.absent.is_empty() {
        println!();
        report.absent.iter().for_each(|absent| println!("not measured: {absent}"));
    }
}

fn rules(row: &RulesRow) {
    println!(
        "| {} | {} | {} | {} | {} | {} | {} | {:.0} | {:.0} |",
        row.name,
        shown(row.hits, 1),
        shown(row.random, 1),
        ratio(row.hits_over_eight),
        ratio(row.over_eight),
        row.instructions,
        row.bytes / 1024,
        row.compile_ms,
        row.load_ms,
    );
}

fn mixed(row: &MixedRow) {
    let ns = |apart: Option<Other>| optional(apart.map(|other| shown(other.spread, 1)));
    let both = |figure: fn(Built) -> f64| {
        let apart = row.apart.map_or("refused".to_owned(), |built| format!("{:.0}", figure(built)));
        format!("{:.0} / {apart}", figure(row.rows))
    };
    println!(
        "| {} | {} | {} | {} | {} | {} | {} | {} | {} |",
        row.name,
        shown(row.hits, 1),
        ns(row.hits_apart),
        shown(row.random, 1),
        ns(row.random_apart),
        both(|built| f64::from(built.instructions)),
        both(|built| f64::from(built.verified)),
        both(|built| built.compile_ms),
        both(|built| built.load_ms),
    );
}

/// One quantity: a row for each pass and a column for each case.
fn passes(rows: &[PassRow], quantity: &str, shown: fn(f64, f64, Ratio) -> String) {
    let first = rows.first().map_or("", |row| row.pass);
    let cases: Vec<&str> = rows.iter().filter(|row| row.pass == first).map(|row| row.case).collect();
    println!("\n| {quantity} | {} |", cases.join(" | "));
    println!("|---|{}", "---:|".repeat(cases.len()));
    for pass in rows.iter().filter(|row| row.case == cases[0]).map(|row| row.pass) {
        let of_pass = rows.iter().filter(|row| row.pass == pass);
        let cells = of_pass.map(|row| match row.earned {
            Earned::Nothing => "=".to_owned(),
            Earned::Something { instructions, verified, nanoseconds } => {
                shown(instructions, verified, nanoseconds)
            }
            Earned::Everything => "refused".to_owned(),
        });
        println!("| {pass} | {} |", cells.collect::<Vec<_>>().join(" | "));
    }
}

/// Each rival, and Weir over the best of them.
fn rivals(rows: &[RulesRow]) {
    let mut names: Vec<&str> = Vec::new();
    for rival in rows.iter().flat_map(|row| &row.rivals) {
        if !names.contains(&rival.name) {
            names.push(rival.name);
        }
    }
    if names.is_empty() {
        return;
    }
    println!("\n| case | frames | Weir, ns | {} | Weir / best |", names.join(" | "));
    println!("|---|---|---:|{}---:|", "---:|".repeat(names.len()));
    for row in rows {
        rival(row, "met", row.hits, &names, |rival| rival.hits);
        rival(row, "random", row.random, &names, |rival| rival.random);
    }
}

fn rival(row: &RulesRow, frames: &str, weir: Spread, names: &[&str], of: fn(&RivalRow) -> Other) {
    let middle = |rival: &&RivalRow| of(rival).spread.middle;
    // With how many times as long as Weir it takes.
    let cell = |rival: &RivalRow| {
        let theirs = middle(&rival);
        format!("{theirs:.0} (× {:.1})", theirs / weir.middle.max(0.1))
    };
    let cells = names.iter().map(|name| {
        let rival = row.rivals.iter().find(|rival| rival.name == *name);
        optional(rival.map(cell))
    });
    let best = row.rivals.iter().min_by(|one, other| middle(one).total_cmp(&middle(other)));
    println!(
        "| {} | {frames} | {} | {} | {} |",
        row.name,
        shown(weir, 1),
        cells.collect::<Vec<_>>().join(" | "),
        optional(best.map(|rival| ratio(of(rival).ratio)))
    );
}

fn profile(row: &ProfileRow) {
    println!(
        "| {} | {} | {} | {} | {} / {} |",
        row.name,
        shown(row.with, 1),
        optional(row.without.map(|without| shown(without.spread, 1))),
        optional(row.without.map(|without| ratio(without.ratio))),
        row.instructions,
        row.instructions_without,
    );
}

fn sample(row: &SampleRow) {
    println!(
        "| {} | {} | {} | {} | {:.2} ± {:.2} | {} | {} / {} |",
        row.name,
        row.frames,
        shown(row.with, 1),
        shown(row.without, 1),
        row.more,
        row.error,
        optional(row.goal.map(|goal| format!("{goal:.0}"))),
        row.instructions,
        row.instructions_without,
    );
}

fn parts(row: &PartsRow) {
    println!(
        "| {} | {} | {} | {} | {} | {} / {} |",
        row.name,
        row.parts,
        shown(row.cut, 1),
        shown(row.whole.spread, 1),
        ratio(row.whole.ratio),
        row.instructions,
        row.instructions_whole,
    );
}

fn balance(row: &BalanceRow) {
    println!(
        "| {} | {} | {} | {} | {} | {} | {} | {} | {} |",
        row.name,
        row.frames,
        shown(row.weir, 1),
        optional(row.c.map(|other| shown(other.spread, 1))),
        optional(row.c.map(|other| ratio(other.ratio))),
        row.katran.unwrap_or("–"),
        optional(row.goal.map(|goal| goal.to_string())),
        row.instructions,
        optional(row.remembered.map(|flows| flows.to_string())),
    );
}

fn beside(row: &BesideRow) {
    println!(
        "| {} | {:.0} % of {} | {} | {} | {} | {} / {} |",
        row.name,
        row.dropped * 100.0,
        row.frames,
        shown(row.weir, 1),
        optional(row.c.map(|spread| shown(spread, 1))),
        optional(row.ratio.map(ratio)),
        row.weir_instructions,
        optional(row.c_instructions.map(|count| count.to_string())),
    );
}

fn veth(row: &VethRow) {
    let frames = |rate: Rate| shown(rate.frames, 2);
    let of_bare = |rate: Rate| format!("{:.3} ± {:.3}", rate.of_bare.middle, rate.of_bare.error);
    println!(
        "| {} | {} | {} | {} | {} | {} |",
        row.name,
        optional(row.two_cpus.map(frames)),
        optional(row.two_cpus.map(of_bare)),
        frames(row.one_cpu),
        of_bare(row.one_cpu),
        optional(row.alone.map(|spread| shown(spread, 1)))
    );
}

fn ratio(ratio: Ratio) -> String {
    format!("**{:.2}** ± {:.2}", ratio.middle, ratio.error)
}

fn shown(spread: Spread, digits: usize) -> String {
    let Spread { middle, low, high } = spread;
    format!("{middle:.digits$} ({low:.digits$}–{high:.digits$})")
}

fn optional(text: Option<String>) -> String {
    text.unwrap_or_else(|| "–".to_owned())
}

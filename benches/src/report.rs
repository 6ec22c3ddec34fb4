//! What is told at the end: a table for people, JSON for programs.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the one module of the benchmarks that prints")]

use serde::Serialize;

use crate::Failure;
use crate::spread::{Ratio, Spread};

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
    /// Milliseconds.
    pub(crate) times: Vec<TimeRow>,
    /// The constants of the cost model.
    pub(crate) costs: Vec<CostRow>,
    /// What it says of whole programs.
    pub(crate) estimates: Vec<EstimateRow>,
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
    /// The same over what eight rules cost.
    pub(crate) over_eight: Option<Ratio>,
    pub(crate) instructions: u32,
    /// Of data that the program walks.
    pub(crate) bytes: usize,
    pub(crate) compile_ms: f64,
    pub(crate) load_ms: f64,
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
            "\n| case | met, ns | random, ns | random / 8 rules | instructions | table, KiB | compile, ms | load, ms |"
        );
        println!("|---|---:|---:|---:|---:|---:|---:|---:|");
        report.rules.iter().for_each(rules);
    }
    if !report.veth.is_empty() {
        println!(
            "\n| dropped on a veth pair | two CPUs, Mpps | of bare | one CPU, Mpps | of bare | alone, ns |"
        );
        println!("|---|---:|---:|---:|---:|---:|");
        report.veth.iter().for_each(veth);
    }
    if !report.times.is_empty() {
        println!("\n| time | ms | of them on a CPU | goal |");
        println!("|---|---:|---:|---:|");
        for row in &report.times {
            let cpu = optional(row.cpu.map(|cpu| shown(cpu, 1)));
            println!("| {} | {} | {cpu} | {} |", row.name, shown(row.wall, 2), row.goal);
        }
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
        "| {} | {} | {} | {} | {} | {} | {:.0} | {:.0} |",
        row.name,
        shown(row.hits, 1),
        shown(row.random, 1),
        optional(row.over_eight.map(ratio)),
        row.instructions,
        row.bytes / 1024,
        row.compile_ms,
        row.load_ms,
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

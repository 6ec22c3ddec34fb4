//! The constants of the cost model, measured again: each by a pair of policies that differ in it.
//!
//! Both are measured in turns. What the model says of their difference beside the constant is taken off, and the rest
//! is divided by how often the constant is in it.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use weir_compiler::plan::{COSTS, Costs, SetHome};
use weir_compiler::{Analysis, Compilation, Options};
use weir_dataplane::engines::Kernel;
use weir_kernel::bench::{BenchOptions, Harness};
use weir_lab::traffic::Random;

use crate::Failure;
use crate::beside::{self, AT_LEAST, TURNS};
use crate::cases::{CASES, Text};
use crate::frames::Frames;
use crate::report::{CostRow, EstimateRow};
use crate::rule;
use crate::rules::{self, RULES};
use crate::spread::Spread;

/// Measured and written may be so far apart before it is told.
const TOLERANCE: f64 = 0.3;

/// What any frame must be parsed for.
const HEADERS: &str = "drop a when tcp.dstport == 0 or udp.dstport == 0\n";

/// A policy, and what of it is not as the planner would have it.
struct Subject {
    policy: String,
    elements: String,
    home: Option<SetHome>,
    shortest_run: Option<usize>,
}

/// How a constant is measured.
struct Row {
    name: &'static str,
    constant: fn(&mut Costs) -> &mut f64,
    more: Subject,
    less: Subject,
    /// How often the first has it more than the second, where a packet that is counted or limited is measured: of
    /// those the model says nothing as a whole.
    times: Option<f64>,
}

fn plain(policy: &str) -> Subject {
    Subject { policy: policy.to_owned(), elements: String::new(), home: None, shortest_run: None }
}

/// As a chain, however long.
fn chain(count: usize) -> Subject {
    Subject { shortest_run: Some(usize::MAX), ..plain(&rules::shapes(count).policy) }
}

/// As a table, however short.
fn table(count: usize) -> Subject {
    Subject { shortest_run: Some(1), ..plain(&rules::shapes(count).policy) }
}

/// The same rules, all of which only count.
fn counting(count: usize) -> Subject {
    let (rules, _) = rules::eight_kinds(count);
    Subject { shortest_run: Some(1), ..plain(&rule::policy_of(&rules, |_| "count")) }
}

fn addresses(count: usize) -> String {
    let mut random = Random::new(5);
    let mut text = String::new();
    for _ in 0..count {
        let _ = writeln!(text, "{}", Ipv4Addr::from(rules::address(&mut random)));
    }
    text
}

fn set(count: usize, home: SetHome) -> Subject {
    let policy = "set listed : ip4 from \"listed.txt\"\ndrop a when ip4.src in listed\n";
    Subject { elements: addresses(count), home: Some(home), ..plain(policy) }
}

/// As a tree in the code.
fn list(count: usize) -> Subject {
    let list = addresses(count).lines().collect::<Vec<_>>().join(", ");
    plain(&format!("drop a when ip4.src in {{ {list} }}\n"))
}

fn counts(count: u32) -> Subject {
    plain(&(0..count).map(|nth| format!("count c{nth} when ip4.ttl > {nth}\n")).collect::<String>())
}

fn rows() -> Vec<Row> {
    let row = |name, constant, more, less| Row { name, constant, more, less, times: None };
    let nothing = || plain("default pass\n");
    let limit = "limit a when ip4.ttl > 0 to 1000000/s per ip4.src/8 max 256\n";
    vec![
        row("program", |costs| &mut costs.program, nothing(), plain("")),
        row("header", |costs| &mut costs.header, plain(HEADERS), nothing()),
        row("comparison", |costs| &mut costs.comparison, chain(88), chain(24)),
        row("branch", |costs| &mut costs.branch, list(1024), list(16)),
        row("walk", |costs| &mut costs.walk, table(1_000), set(64, SetHome::Table)),
        row("level", |costs| &mut costs.level, set(64, SetHome::Table), list(1)),
        row("call", |costs| &mut costs.call, counting(64), table(64)),
        row("hash", |costs| &mut costs.hash, set(256, SetHome::Hash), list(1)),
        row("lpm", |costs| &mut costs.lpm, set(32, SetHome::Lpm), list(1)),
        row("bit", |costs| &mut costs.bit, set(1_000, SetHome::Lpm), set(32, SetHome::Lpm)),
        Row { times: Some(7.0), ..row("counter", |costs| &mut costs.counter, counts(8), counts(1)) },
        Row { times: Some(1.0), ..row("limit", |costs| &mut costs.limit, plain(limit), counts(1)) },
        row("second", |costs| &mut costs.second, set(4_000, SetHome::Table), set(256, SetHome::Table)),
        row("third", |costs| &mut costs.third, set(60_000, SetHome::Table), set(256, SetHome::Table)),
        row("memory", |costs| &mut costs.memory, set(2_000_000, SetHome::Table), set(256, SetHome::Table)),
    ]
}

/// Measures all constants.
pub(crate) fn measure(options: &Options, rounds: usize) -> Result<Vec<CostRow>, Failure> {
    let frames = rules::shapes(1).random;
    rows().iter().map(|row| constant(row, options, &frames, rounds)).collect()
}

fn constant(row: &Row, options: &Options, frames: &Frames, rounds: usize) -> Result<CostRow, Failure> {
    let mut costs = COSTS;
    let code = *(row.constant)(&mut costs);
    *(row.constant)(&mut costs) += 1.0;
    let more = row.more.compile(options).map_err(|failure| format!("constant `{}`: {failure}", row.name))?;
    let less = (!row.less.policy.is_empty()).then(|| row.less.compile(options)).transpose()?;
    let said = |costs: &Costs| {
        let less = less.as_ref().map_or(0.0, |less| estimate(&less.analysis, costs));
        estimate(&more.analysis, costs) - less
    };
    let (times, other) = match row.times {
        Some(times) => (times, 0.0),
        None => {
            let times = said(&costs) - said(&COSTS);
            (times, said(&COSTS) - code * times)
        }
    };
    let differences = differences(&more, less.as_ref(), frames, rounds)?;
    let measured = Spread::of(differences.iter().map(|ns| (ns - other) / times).collect());
    let differs = (measured.middle - code).abs() > TOLERANCE * code;
    Ok(CostRow { name: row.name, code, measured, differs })
}

/// Of each turn.
fn differences(
    more: &Compilation,
    less: Option<&Compilation>,
    frames: &Frames,
    rounds: usize,
) -> Result<Vec<f64>, Failure> {
    let more = Kernel::load(more)?;
    let less = less.map(Kernel::load).transpose()?;
    let options = BenchOptions { rounds: 1, at_least: AT_LEAST, max_frames: frames.len(), ingress: None };
    let harness = Harness::new(more.program(), frames, &options)?;
    let turn = |_| -> Result<f64, Failure> {
        let other = less.as_ref().map(|less| harness.measure(less.program())).transpose()?;
        let other = other.map_or(0.0, |sample| sample.net());
        Ok(harness.measure(more.program())?.net() - other)
    };
    (0..rounds * TURNS).map(turn).collect()
}

impl Subject {
    fn compile(&self, options: &Options) -> Result<Compilation, Failure> {
        let mut options = options.clone();
        options.lower.shortest_run = self.shortest_run;
        let mut analysis = weir_compiler::analyse("cost.weir", &self.policy, &Text(self.elements.clone()));
        if let Some(plan) = &mut analysis.plan {
            if let Some(home) = self.home {
                plan.sets[0][0] = home;
                plan.set_tables.retain(|_, _| home == SetHome::Table);
            }
            if let Some(shortest) = self.shortest_run {
                plan.steps = plan.steps_with(&analysis.policy, shortest, &|_| false);
            }
        }
        compiled(analysis.compile(&options))
    }
}

fn compiled(result: Result<Compilation, Analysis>) -> Result<Compilation, Failure> {
    result.map_err(|analysis| {
        let first = analysis.diagnostics.iter().next().map(|diagnostic| diagnostic.message.clone());
        first.unwrap_or_default().into()
    })
}

/// Of the class that costs most, which is that of the frames.
fn estimate(analysis: &Analysis, costs: &Costs) -> f64 {
    let plan = analysis.plan.as_ref();
    plan.map_or(0.0, |plan| plan.estimate(&analysis.policy, costs).range().1)
}

/// Whole programs, on frames that hardly a statement decides.
pub(crate) fn estimates(options: &Options, rounds: usize) -> Result<Vec<EstimateRow>, Failure> {
    let mut rows = Vec::new();
    for name in ["rules-8", "rules-100", "rules-1k", "rules-10k", "addresses-1k", "networks-10k"] {
        let Some((_, make)) = RULES.iter().find(|(known, _)| *known == name) else { continue };
        let case = make();
        let result = weir_compiler::compile("bench.weir", &case.policy, case.files.as_ref(), options);
        rows.push(beside_estimate(name, &compiled(result)?, &case.random, rounds)?);
    }
    for name in ["ten-default", "five"] {
        let Some((_, make)) = CASES.iter().find(|(known, _)| *known == name) else { continue };
        let case = make(name);
        let result = weir_compiler::compile("bench.weir", &case.policy, case.files.as_ref(), options);
        rows.push(beside_estimate(name, &compiled(result)?, &case.frames, rounds)?);
    }
    Ok(rows)
}

fn beside_estimate(
    name: &'static str,
    compilation: &Compilation,
    frames: &Frames,
    rounds: usize,
) -> Result<EstimateRow, Failure> {
    let kernel = Kernel::load(compilation)?;
    let measured = beside::measure(kernel.program(), &[], frames, rounds)?.weir;
    Ok(EstimateRow { name, estimated: estimate(&compilation.analysis, &COSTS), measured })
}

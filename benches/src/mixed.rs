//! Statements that count among those that decide: as rows of the same tables, and parting them, in turns.

use std::collections::BTreeSet;
use std::time::Instant;

use weir_compiler::{Compilation, NoFiles, Options};
use weir_dataplane::engines::{Engine, Kernel};
use weir_kernel::program::Program;

use crate::Failure;
use crate::beside;
use crate::report::{Built, MixedRow};
use crate::rule;
use crate::rules;

/// How many rules, and which of them count.
pub(crate) struct Mixed {
    rules: usize,
    counts: fn(usize) -> bool,
}

pub(crate) const MIXED: &[(&str, Mixed)] = &[
    ("mixed-1k", Mixed { rules: 1_000, counts: every_third }),
    ("mixed-10k", Mixed { rules: 10_000, counts: every_third }),
    ("mixed-one-1k", Mixed { rules: 1_000, counts: |number| number == 500 }),
    ("mixed-all-1k", Mixed { rules: 1_000, counts: |_| true }),
    ("mixed-all-10k", Mixed { rules: 10_000, counts: |_| true }),
];

fn every_third(number: usize) -> bool {
    number % 3 == 1
}

pub(crate) fn measure(
    name: &str,
    case: &Mixed,
    options: &Options,
    rounds: usize,
) -> Result<MixedRow, Failure> {
    let (rules, met) = rules::eight_kinds(case.rules);
    let decides = |number: usize| if rule::drops(number) { "drop" } else { "pass" };
    let verb = |number: usize| if (case.counts)(number) { "count" } else { decides(number) };
    let policy = rule::policy_of(&rules, verb);
    let mut apart = options.clone();
    let counting = (0..case.rules).filter(|number| (case.counts)(*number));
    apart.lower.alone = counting.map(|number| format!("r{number}")).collect::<BTreeSet<_>>();
    let (rows, rows_ms) = compile(name, &policy, options)?;
    let (apart, apart_ms) = compile(name, &policy, &apart)?;
    let (mut rows, rows_built) = load(&rows, rows_ms)?;
    // Parted, some are too much for the verifier.
    let mut apart = load(&apart, apart_ms).ok();
    let (hits, random) = (rules::hits(&met), rules::random());
    for frames in [&hits, &random] {
        beside::agree(rows.program(), &programs(&apart), frames)
            .map_err(|failure| format!("case `{name}`: {failure}"))?;
    }
    if let Some((apart, _)) = &mut apart
        && rows.counters()? != apart.counters()?
    {
        return Err(format!("case `{name}`: they count differently").into());
    }
    let hits = beside::measure(rows.program(), &programs(&apart), &hits, rounds)?;
    let random = beside::measure(rows.program(), &programs(&apart), &random, rounds)?;
    Ok(MixedRow {
        name: name.to_owned(),
        hits: hits.weir,
        hits_apart: hits.others.first().copied(),
        random: random.weir,
        random_apart: random.others.first().copied(),
        rows: rows_built,
        apart: apart.map(|(_, built)| built),
    })
}

fn programs<'a>(apart: &'a Option<(Kernel<'_>, Built)>) -> Vec<&'a Program> {
    apart.iter().map(|(kernel, _)| kernel.program()).collect()
}

fn compile(name: &str, policy: &str, options: &Options) -> Result<(Compilation, f64), Failure> {
    let start = Instant::now();
    let compilation = crate::compile(name, policy, &NoFiles, options)?;
    Ok((compilation, start.elapsed().as_secs_f64() * 1000.0))
}

fn load(compilation: &Compilation, compile_ms: f64) -> Result<(Kernel<'_>, Built), Failure> {
    let start = Instant::now();
    let kernel = Kernel::load(compilation)?;
    let load_ms = start.elapsed().as_secs_f64() * 1000.0;
    let info = kernel.program().info()?;
    let (instructions, verified) = (info.translated_bytes / 8, info.verified_insns);
    Ok((kernel, Built { instructions, verified, compile_ms, load_ms }))
}

//! What each pass of the compiler earns: the same policy with and without it, in turns.

use weir_bpf::insn::Insn;
use weir_compiler::passes::{PASSES, Pass};
use weir_compiler::{Compilation, Loader, Options};
use weir_dataplane::engines::Kernel;
use weir_kernel::program::Program;

use crate::Failure;
use crate::beside;
use crate::cases::{self, CASES};
use crate::frames::Frames;
use crate::report::{Earned, PassRow, progress};
use crate::rules::RULES;

/// Between them they have what passes work on: ways that meet, options to skip, tunnels, tables.
const MEASURED: [&str; 6] = ["ten", "five", "extensions", "vxlan", "rules-8", "acl-1k"];

struct Case {
    name: &'static str,
    policy: String,
    files: Box<dyn Loader>,
    frames: Frames,
}

pub(crate) fn measure(options: &Options, rounds: usize) -> Result<Vec<PassRow>, Failure> {
    let mut rows = Vec::new();
    for name in MEASURED {
        progress(name);
        rows.extend(of_case(&case(name), options, rounds)?);
    }
    Ok(rows)
}

fn case(wanted: &str) -> Case {
    let beside = CASES.iter().find(|(name, _)| *name == wanted).map(|(name, make)| {
        let cases::Case { policy, files, frames, .. } = make(name);
        Case { name, policy, files, frames }
    });
    let of_rules = |(name, make): &(&'static str, crate::rules::Make)| {
        let case = make();
        Case { name, policy: case.policy, files: case.files, frames: case.hits }
    };
    let rules = || RULES.iter().find(|(name, _)| *name == wanted).map(of_rules);
    beside.or_else(rules).expect("a case of that name")
}

/// A row for each pass.
fn of_case(case: &Case, options: &Options, rounds: usize) -> Result<Vec<PassRow>, Failure> {
    let whole = compile(case, options, None)?;
    let row = |pass: &Pass| {
        let part = compile(case, options, Some(pass.name))?;
        let earned = match Kernel::load(&part) {
            _ if code(&part) == code(&whole) => Earned::Nothing,
            Ok(without) => between(Kernel::load(&whole)?.program(), without.program(), &case.frames, rounds)
                .map_err(|failure| format!("case `{}` without `{}`: {failure}", case.name, pass.name))?,
            Err(_) => Earned::Everything,
        };
        Ok(PassRow { pass: pass.name, case: case.name, earned })
    };
    PASSES.iter().map(row).collect()
}

/// Each pass by itself beside the whole: in longer turns, what disturbs one program would not disturb the other. Both
/// were loaded just before, so that neither's buckets have met more frames.
fn between(with: &Program, without: &Program, frames: &[Vec<u8>], rounds: usize) -> Result<Earned, Failure> {
    beside::agree(with, &[without], frames)?;
    let measured = beside::measure(with, &[without], frames, rounds)?;
    let (more, less) = (with.info()?, without.info()?);
    let over = |with: u32, without: u32| f64::from(with) / f64::from(without.max(1));
    Ok(Earned::Something {
        instructions: over(more.translated_bytes, less.translated_bytes),
        verified: over(more.verified_insns, less.verified_insns),
        nanoseconds: measured.others[0].ratio,
    })
}

/// Without the lines that it comes from.
fn code(compilation: &Compilation) -> &[Insn] {
    &compilation.object.programs[0].insns
}

fn compile(case: &Case, options: &Options, without: Option<&str>) -> Result<Compilation, Failure> {
    let without = options.without.iter().cloned().chain(without.map(str::to_owned));
    let options = Options { without: without.collect(), ..options.clone() };
    crate::compile(case.name, &case.policy, case.files.as_ref(), &options)
}

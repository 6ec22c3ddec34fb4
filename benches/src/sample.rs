//! What a statement costs that samples: a policy with and without it, in turns.
//!
//! Nobody reads, so the ring is full after the first samples and the others are lost and counted; what a record costs that
//! is written comes once in a thousand packets.

use weir_compiler::{NoFiles, Options};
use weir_dataplane::engines::Kernel;

use crate::Failure;
use crate::beside::{self, Other};
use crate::cases::{CASES, TEN};
use crate::report::SampleRow;

/// A policy, the statement that is put before it, and the one behind it.
type Case = (&'static str, &'static str, [&'static str; 2], Option<f64>);

/// The goal is that of one in a thousand.
const GOAL: Option<f64> = Some(3.0);

pub(crate) const SAMPLES: &[Case] = &[
    ("sample-nothing", "default pass\n", ["sample all 1 in 1000\n", ""], GOAL),
    ("sample-ten", TEN, ["sample all 1 in 1000\n", ""], GOAL),
    ("sample-when", TEN, ["sample some 1 in 1000 when udp.srcport == 53\n", ""], None),
    ("sample-last", TEN, ["", "sample some 1 in 1000 when udp.srcport == 53\n"], GOAL),
    ("sample-two", TEN, ["sample a 1 in 1000\nsample b 1 in 100k\n", ""], None),
    ("sample-each", "default pass\n", ["sample all 1 in 1\n", ""], None),
];

pub(crate) fn measure(case: &Case, options: &Options, rounds: usize) -> Result<SampleRow, Failure> {
    let (name, policy, [before, behind], goal) = *case;
    let frames = CASES.iter().find(|(name, _)| *name == "ten").map(|(name, make)| make(name).frames);
    let frames = frames.ok_or("there is no case `ten`")?;
    let load = |text: &str| -> Result<_, Failure> { crate::compile(name, text, &NoFiles, options) };
    let (with, without) = (load(&format!("{before}{policy}{behind}"))?, load(policy)?);
    let (with, without) = (Kernel::load(&with)?, Kernel::load(&without)?);
    beside::agree(with.program(), &[without.program()], &frames)
        .map_err(|failure| format!("case `{name}`: {failure}"))?;
    let measured = beside::measure(with.program(), &[without.program()], &frames, rounds)?;
    let Other { spread, ratio } = *measured.others.first().ok_or("one other was measured")?;
    Ok(SampleRow {
        name,
        frames: frames.len(),
        with: measured.weir,
        without: spread,
        // Of the differences turn by turn.
        more: (ratio.middle - 1.0) * spread.middle.max(0.1),
        error: ratio.error * spread.middle.max(0.1),
        goal,
        instructions: with.program().info()?.translated_bytes / 8,
        instructions_without: without.program().info()?.translated_bytes / 8,
    })
}

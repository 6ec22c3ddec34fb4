//! Two programs on the same frames, measured in turns.

use std::time::Duration;
use weir_kernel::bench::{BenchOptions, Harness};
use weir_kernel::program::Program;
use weir_kernel::run;

use crate::Failure;
use crate::spread::{Ratio, Spread};

/// How long one measurement takes: so short that what disturbs one program disturbs the other as well.
pub(crate) const AT_LEAST: Duration = Duration::from_millis(10);

/// Measurements of each program for one round that is asked for.
pub(crate) const TURNS: usize = 10;

/// Nanoseconds a frame, net of an empty program.
pub(crate) struct Beside {
    pub(crate) weir: Spread,
    pub(crate) other: Option<Spread>,
    pub(crate) ratio: Option<Ratio>,
}

/// Weir, the other, Weir, the other, …, on the same copies of the frames.
pub(crate) fn measure(
    weir: &Program,
    other: Option<&Program>,
    frames: &[Vec<u8>],
    rounds: usize,
) -> Result<Beside, Failure> {
    let options = BenchOptions { rounds: 1, at_least: AT_LEAST, max_frames: frames.len() };
    let harness = Harness::new(weir, frames, &options)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..rounds * TURNS {
        ours.push(harness.measure(weir)?.net());
        if let Some(other) = other {
            theirs.push(harness.measure(other)?.net());
        }
    }
    let ratio = other.map(|_| Ratio::of(&ours, &theirs));
    Ok(Beside { weir: Spread::of(ours), other: other.map(|_| Spread::of(theirs)), ratio })
}

/// How many frames both drop; an error if they do not judge alike.
pub(crate) fn agree(weir: &Program, other: Option<&Program>, frames: &[Vec<u8>]) -> Result<usize, Failure> {
    let mut dropped = 0;
    for (index, frame) in frames.iter().enumerate() {
        let code = run::once(weir, frame)?.code;
        dropped += usize::from(code == 1);
        let Some(other) = other else { continue };
        let theirs = run::once(other, frame)?.code;
        if code != theirs {
            return Err(format!("frame {index}: Weir answers {code}, the C program {theirs}").into());
        }
    }
    Ok(dropped)
}

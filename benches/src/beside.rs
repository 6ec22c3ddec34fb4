//! Two programs on the same frames, measured in turns.

use std::time::Duration;
use weir_kernel::bench::{BenchOptions, bench};
use weir_kernel::program::Program;
use weir_kernel::run;

use crate::Failure;
use crate::spread::Spread;

/// How long one measurement takes.
const AT_LEAST: Duration = Duration::from_millis(100);

/// Nanoseconds a frame, net of an empty program.
pub(crate) struct Beside {
    pub(crate) weir: Spread,
    pub(crate) other: Option<Spread>,
    pub(crate) ratio: Option<Spread>,
}

/// Weir, the other, Weir, the other, …: what disturbs one of them a while disturbs both.
pub(crate) fn measure(
    weir: &Program,
    other: Option<&Program>,
    frames: &[Vec<u8>],
    rounds: usize,
) -> Result<Beside, Failure> {
    let options = BenchOptions { rounds: 1, at_least: AT_LEAST, max_frames: frames.len() };
    let net = |program| -> Result<f64, Failure> { Ok(bench(program, frames, &options)?.net.median) };
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        ours.push(net(weir)?);
        if let Some(other) = other {
            theirs.push(net(other)?);
        }
    }
    let weir = Spread::of(ours);
    let other = other.map(|_| Spread::of(theirs));
    let ratio = other.map(|other| weir.over(other));
    Ok(Beside { weir, other, ratio })
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

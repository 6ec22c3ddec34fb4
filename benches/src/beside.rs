//! Programs on the same frames, measured in turns.

use serde::Serialize;
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

/// A program that takes so many times longer than Weir is measured in one turn of a round only: its ratio is plain
/// enough, and it would take nearly all the time.
const SLOW: f64 = 20.0;

/// Packets and bytes of each statement, in the policy's order.
pub(crate) type Counts = Vec<(u64, u64)>;

/// Nanoseconds a frame, net of an empty program.
pub(crate) struct Beside {
    pub(crate) weir: Spread,
    /// In the order in which they were given.
    pub(crate) others: Vec<Other>,
}

/// What another program took in the same turns.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct Other {
    pub(crate) spread: Spread,
    /// Weir over it.
    pub(crate) ratio: Ratio,
}

/// Weir, the others, Weir, the others, …, on the same copies of the frames.
pub(crate) fn measure(
    weir: &Program,
    others: &[&Program],
    frames: &[Vec<u8>],
    rounds: usize,
) -> Result<Beside, Failure> {
    measure_from(None, weir, others, frames, rounds)
}

/// The same of frames that seem to come in by an interface of this namespace.
pub(crate) fn measure_from(
    ingress: Option<u32>,
    weir: &Program,
    others: &[&Program],
    frames: &[Vec<u8>],
    rounds: usize,
) -> Result<Beside, Failure> {
    let options = BenchOptions { rounds: 1, at_least: AT_LEAST, max_frames: frames.len(), ingress };
    let harness = Harness::new(weir, frames, &options)?;
    let mut ours = Vec::new();
    // With what Weir took in the same turn.
    let mut pairs = vec![Vec::new(); others.len()];
    for turn in 0..rounds * TURNS {
        let weir = harness.measure(weir)?.net();
        ours.push(weir);
        for (other, pairs) in others.iter().zip(&mut pairs) {
            let slow = pairs.first().is_some_and(|(ours, theirs)| *theirs > SLOW * f64::max(*ours, 1.0));
            if !slow || turn % TURNS == 0 {
                pairs.push((weir, harness.measure(other)?.net()));
            }
        }
    }
    let others = pairs.into_iter().map(|pairs| {
        let (ours, theirs): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
        Other { ratio: Ratio::of(&ours, &theirs), spread: Spread::of(theirs) }
    });
    Ok(Beside { weir: Spread::of(ours), others: others.collect() })
}

/// An error if a frame leaves another program as another one than it leaves Weir's.
pub(crate) fn agree_on_what_leaves(
    weir: &Program,
    other: &Program,
    frames: &[Vec<u8>],
) -> Result<(), Failure> {
    for (index, frame) in frames.iter().enumerate() {
        let (ours, theirs) = (run::once(weir, frame)?, run::once(other, frame)?);
        if (ours.code, &ours.frame) != (theirs.code, &theirs.frame) {
            return Err(
                format!("frame {index}: Weir makes {ours:02x?} of it, the other {theirs:02x?}").into()
            );
        }
    }
    Ok(())
}

/// How many frames all drop; an error if one does not judge as Weir does.
pub(crate) fn agree(weir: &Program, others: &[&Program], frames: &[Vec<u8>]) -> Result<usize, Failure> {
    let mut dropped = 0;
    for (index, frame) in frames.iter().enumerate() {
        let code = run::once(weir, frame)?.code;
        dropped += usize::from(code == 1);
        for (nth, other) in others.iter().enumerate() {
            let theirs = run::once(other, frame)?.code;
            if code != theirs {
                return Err(format!("frame {index}: Weir answers {code}, C program {nth} {theirs}").into());
            }
        }
    }
    Ok(dropped)
}

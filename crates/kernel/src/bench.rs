//! Honest nanoseconds: what a program costs on many different frames, each restored before it is judged.

use std::time::Duration;

use crate::KernelError;
use crate::load::LoadError;
use crate::program::Program;

/// The longest frame that the harness can carry.
pub const MAX_FRAME: usize = 2048;

/// How to measure.
#[derive(Clone, Copy, Debug)]
pub struct BenchOptions {
    /// Measurements of each of the two programs, taken in turns; the median counts.
    pub rounds: usize,
    /// How long one measurement should take at least.
    pub at_least: Duration,
    /// Frames kept in the map at most: the first ones of the capture.
    pub max_frames: usize,
}

/// The middle and the edges of several measurements, in nanoseconds a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spread {
    /// The median.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

/// What the harness found.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// The harness in front of the program.
    pub raw: Spread,
    /// The harness in front of an empty program.
    pub baseline: Spread,
    /// Raw less baseline, pair by pair.
    pub net: Spread,
    /// Different frames that went through.
    pub frames: usize,
    /// Frames of the input left out: shorter than an Ethernet header, longer than [`MAX_FRAME`], or too many.
    pub left_out: usize,
    /// Frames a measurement.
    pub repeat: u32,
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// No frame is left to measure with.
    #[error("no frame of {MIN} to {MAX_FRAME} bytes to measure with", MIN = crate::run::MIN_FRAME)]
    NoFrames,
    /// Only XDP programs and tc programs are measured.
    #[error("program `{program}` is neither for XDP nor for tc")]
    WrongKind {
        /// Its name.
        program: String,
    },
    /// The harness itself was not loaded.
    #[error("cannot load the harness: {0}")]
    Harness(#[from] LoadError),
    /// Anything else.
    #[error(transparent)]
    Kernel(#[from] KernelError),
}

/// Measures a program on frames, in their order, round and round.
pub fn bench<F: AsRef<[u8]>>(
    program: &Program,
    frames: &[F],
    options: &BenchOptions,
) -> Result<Measured, BenchError> {
    let _ = (program, frames.len(), options);
    unimplemented!("being written")
}

impl Default for BenchOptions {
    fn default() -> Self {
        Self {
            rounds: 5,
            at_least: Duration::from_millis(200),
            max_frames: 100_000,
        }
    }
}

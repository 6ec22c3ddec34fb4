//! Honest nanoseconds: what a program costs on many different frames, each restored before it is judged.
//!
//! A repeated test run hands the program the same frame again and again, as the last run left it. So a feeder stands in
//! front: it takes the next frame from a map, puts its bytes and its length into the packet and tail-calls the program.
//! The same feeder in front of an empty program is the baseline, measured in turns with it, and is subtracted.
//!
//! What the figures are not: the frame was just written and is in the first cache, where a card would leave it in the
//! third at best; the kernel's own figure is in whole nanoseconds; a program that moves the packet's start pays for
//! moving it back; and for tc `skb->protocol` stays that of the first frame.

mod feeder;

use std::time::Duration;

use crate::KernelError;
use crate::load::LoadError;
use crate::program::Program;
use crate::run::MIN_FRAME;
use feeder::Feeder;

/// The longest frame that the harness can carry.
pub const MAX_FRAME: usize = 2048;

/// What all frames together may take of the kernel's memory, in bytes.
pub const MAX_MEMORY: usize = 256 << 20;

/// Frames in the trial run that tells how many fit the time.
const TRIAL: u32 = 20_000;

/// Even at 20 ns a frame more would take longer than anybody waits.
const MOST: u32 = 500_000_000;

/// How to measure.
#[derive(Clone, Copy, Debug)]
pub struct BenchOptions {
    /// Measurements of each of the two programs, taken in turns; the median counts.
    pub rounds: usize,
    /// How long one measurement should take at least.
    pub at_least: Duration,
    /// Frames kept in the map at most: the first ones of the capture.
    pub max_frames: usize,
    /// The interface that the frames seem to come in by, if any: it must exist in this namespace, whose routes a
    /// program then asks. XDP only.
    pub ingress: Option<u32>,
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
    /// Frames of the input left out: shorter than an Ethernet header, longer than [`MAX_FRAME`], or too many
    /// for [`BenchOptions::max_frames`] or for [`MAX_MEMORY`].
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
    /// A frame did not get through to the program, so that no figure would be true.
    #[error("{failed} of {frames} frames did not reach program `{program}`")]
    Lost {
        /// Its name.
        program: String,
        /// Frames that failed.
        failed: u64,
        /// Frames that were to run.
        frames: u64,
    },
    /// Anything else.
    #[error(transparent)]
    Kernel(#[from] KernelError),
}

/// Frames, and the feeder that puts them before programs.
pub struct Harness {
    feeder: Feeder,
    frames: usize,
    left_out: usize,
    repeat: u32,
}

/// One measurement, in nanoseconds a frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// The harness in front of the program.
    pub raw: f64,
    /// The harness in front of an empty program, just before.
    pub baseline: f64,
}

impl Sample {
    /// What the program takes.
    pub fn net(self) -> f64 {
        self.raw - self.baseline
    }
}

impl Harness {
    /// For this program, and for others of its kind that may be measured beside it on the same copies of the frames.
    pub fn new<F: AsRef<[u8]>>(
        program: &Program,
        frames: &[F],
        options: &BenchOptions,
    ) -> Result<Self, BenchError> {
        let chosen = choose(frames, options.max_frames);
        if chosen.is_empty() {
            return Err(BenchError::NoFrames);
        }
        let feeder = Feeder::new(program, &chosen, options.ingress)?;
        let repeat = repeats(&feeder, program, chosen.len(), options.at_least)?;
        Ok(Self { feeder, frames: chosen.len(), left_out: frames.len() - chosen.len(), repeat })
    }

    /// Measures a program once, on the frames in their order, round and round.
    ///
    /// The program runs for real: its counters count, its buckets empty. It must agree with the one that the harness
    /// was made for on multi-buffer frames.
    pub fn measure(&self, program: &Program) -> Result<Sample, BenchError> {
        let baseline = self.feeder.measure(self.feeder.empty(), self.repeat)?;
        Ok(Sample { raw: self.feeder.measure(program, self.repeat)?, baseline })
    }
}

/// Measures a program on frames several times.
pub fn bench<F: AsRef<[u8]>>(
    program: &Program,
    frames: &[F],
    options: &BenchOptions,
) -> Result<Measured, BenchError> {
    let harness = Harness::new(program, frames, options)?;
    let samples: Result<Vec<Sample>, BenchError> =
        (0..options.rounds.max(1)).map(|_| harness.measure(program)).collect();
    let samples = samples?;
    let spread = |of: fn(&Sample) -> f64| Spread::of(samples.iter().map(of).collect());
    Ok(Measured {
        raw: spread(|sample| sample.raw),
        baseline: spread(|sample| sample.baseline),
        net: spread(|sample| sample.net()),
        frames: harness.frames,
        left_out: harness.left_out,
        repeat: harness.repeat,
    })
}

/// The first frames that the harness can carry, in their order.
fn choose<F: AsRef<[u8]>>(frames: &[F], max_frames: usize) -> Vec<&[u8]> {
    let fits = |frame: &&[u8]| (MIN_FRAME..=MAX_FRAME).contains(&frame.len());
    let fitting = || frames.iter().map(AsRef::as_ref).filter(fits).take(max_frames);
    // All slots of the map are as large as the largest frame needs.
    let slot = feeder::slot_size(fitting().map(<[u8]>::len).max().unwrap_or(MIN_FRAME));
    fitting().take(MAX_MEMORY / slot).collect()
}

/// As many whole rounds through the frames as take the time that was asked for: each frame weighs the same.
fn repeats(feeder: &Feeder, program: &Program, frames: usize, at_least: Duration) -> Result<u32, BenchError> {
    let each = feeder.measure(program, TRIAL)?.max(1.0);
    let wanted = at_least.as_nanos() as f64 / each;
    let rounds = (wanted / frames as f64).ceil().max(1.0);
    Ok((rounds * frames as f64).min(f64::from(MOST)) as u32)
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let (Some(&min), Some(&max)) = (values.first(), values.last()) else {
            return Self::default();
        };
        let middle = values.len() / 2;
        let median = match values.len() % 2 {
            0 => (values[middle - 1] + values[middle]) / 2.0,
            _ => values[middle],
        };
        Self { median, min, max }
    }
}

impl Default for BenchOptions {
    fn default() -> Self {
        Self { rounds: 5, at_least: Duration::from_millis(200), max_frames: 100_000, ingress: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_and_the_edges() {
        assert_eq!(Spread::of(vec![3.0, 1.0, 2.0]), Spread { median: 2.0, min: 1.0, max: 3.0 });
        assert_eq!(Spread::of(vec![4.0, 1.0]), Spread { median: 2.5, min: 1.0, max: 4.0 });
        assert_eq!(Spread::of(Vec::new()), Spread::default());
    }

    #[test]
    fn frames_that_do_not_fit_are_left_out() {
        let frames = [vec![0; 13], vec![0; 14], vec![0; 2048], vec![0; 2049], vec![0; 60]];
        let lengths = |max| choose(&frames, max).iter().map(|frame| frame.len()).collect::<Vec<_>>();
        assert_eq!(lengths(10), [14, 2048, 60]);
        assert_eq!(lengths(2), [14, 2048]);
    }
}

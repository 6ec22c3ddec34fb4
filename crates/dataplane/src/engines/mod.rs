//! One way to run a policy on frames: tests, `replay` and `bench` choose an engine and ask it the same questions.
//!
//! | engine | judges with | needs |
//! |---|---|---|
//! | [`Plain`] | the evaluator on the checked policy: the oracle | nothing |
//! | [`Ir`] | the IR interpreter: the fastest without privileges | nothing |
//! | [`Bytecode`] | `weir_bpf`'s interpreter on the emitted program | nothing |
//! | [`Kernel`] | the kernel, by `BPF_PROG_TEST_RUN`; its clock is its own | privileges |

mod bytecode;
mod ir;
mod kernel;
mod plain;

pub use bytecode::Bytecode;
pub use ir::Ir;
pub use kernel::Kernel;
pub(crate) use kernel::{statistic_of, totals_of};
pub use plain::Plain;

use crate::samples::Record;
use crate::{Error, StatementCounters};
use weir_compiler::Compilation;
use weir_compiler::codegen::pool_map_name;
use weir_compiler::codegen::pools::section_of;
use weir_compiler::ir::{PoolRef, Verdict};
use weir_compiler::policy::{Action, Policy};
use weir_compiler::sampling::Odds;
use weir_compiler::sockets::Sockets;
use weir_compiler::state::PoolState;

/// Who decided.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum By {
    /// The statement of this index.
    Statement(usize),
    /// No statement did.
    Default,
    /// The engine does not tell.
    Unknown,
}

/// What happened to a frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Judgement {
    /// Its verdict.
    pub verdict: Verdict,
    /// Who decided.
    pub by: By,
    /// The frame that leaves, where the policy has changed it.
    pub frame: Option<Vec<u8>>,
    /// What went to the ring of samples, in the order of the statements.
    pub samples: Vec<Sampled>,
}

/// A frame that a statement took as a sample.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sampled {
    /// The statement, by its index.
    pub statement: usize,
    /// It was one in so many.
    pub one_in: u32,
    /// What became of it.
    pub verdict: Verdict,
    /// Who decided.
    pub by: By,
    /// The frame's length in bytes.
    pub length: u32,
    /// Its first bytes.
    pub bytes: Vec<u8>,
}

impl Judgement {
    /// Whether two engines agree, as far as both tell.
    pub fn agrees(&self, other: &Judgement) -> bool {
        let unknown = self.by == By::Unknown || other.by == By::Unknown;
        let by = unknown || self.by == other.by;
        let same = self.verdict == other.verdict && self.samples == other.samples;
        same && self.frame == other.frame && by
    }
}

/// An engine at work on one policy. It keeps sets, buckets and counters between frames.
pub trait Engine {
    /// `evaluator`, `ir`, `bytecode`, `kernel`.
    fn name(&self) -> &'static str;

    /// Judges a frame that arrives at `now` (monotonic nanoseconds). The kernel has its own clock.
    fn judge(&mut self, frame: &[u8], now: u64) -> Result<Judgement, EngineError>;

    /// Puts all pools into a state, for tests.
    fn set_pools(&mut self, pools: &[PoolState]) -> Result<(), EngineError>;

    /// Says how likely samples are, by statement that samples, for tests.
    fn set_odds(&mut self, odds: &[Odds]) -> Result<(), EngineError>;

    /// Says what the host's TCP has, for tests. The kernel has its own.
    fn set_sockets(&mut self, sockets: &Sockets);

    /// By statement, `default` last.
    fn counters(&mut self) -> Result<Vec<StatementCounters>, EngineError>;
}

/// Why an engine could not judge. For all but the kernel this is a bug of ours.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The kernel's test run takes no frame of this length.
    #[error("a test run takes frames of 14 to {max} bytes, this one has {length}")]
    Length {
        /// The frame's.
        length: usize,
        /// What fits.
        max: usize,
    },
    /// The program did what no verified program does.
    #[error("{engine}: {what}")]
    Fault {
        /// Whose interpreter noticed.
        engine: &'static str,
        /// What happened.
        what: String,
    },
    /// The kernel refused.
    #[error(transparent)]
    Kernel(#[from] weir_kernel::KernelError),
}

/// The engines that need no privileges.
pub fn unprivileged(compilation: &Compilation) -> Vec<Box<dyn Engine + '_>> {
    let mut engines: Vec<Box<dyn Engine + '_>> = vec![Box::new(Plain::new(&compilation.analysis.policy))];
    engines.push(Box::new(Ir::new(compilation)));
    engines.push(Box::new(Bytecode::new(compilation)));
    engines
}

/// Runs frames through the compiled program in the kernel, attached to nothing: their verdicts, then the counters.
pub fn judge(
    compilation: &Compilation,
    frames: &[&[u8]],
) -> Result<(Vec<Verdict>, Vec<StatementCounters>), Error> {
    let mut kernel = Kernel::load(compilation)?;
    let verdicts =
        frames.iter().map(|frame| Ok(kernel.judge(frame, 0)?.verdict)).collect::<Result<_, EngineError>>()?;
    let counters = kernel.counters()?;
    Ok((verdicts, counters))
}

/// The sections of pools in a state, by the names of their maps.
fn sections(compilation: &Compilation, pools: &[PoolState]) -> Vec<(String, Vec<u8>)> {
    let program = &compilation.lowered.program;
    let all = (0..).map(PoolRef).zip(&program.pools).zip(pools);
    all.map(|((pool, decl), state)| (pool_map_name(program, pool), section_of(decl, state))).collect()
}

/// What a program did with a frame, by its action code (`XDP_DROP` is 1, `XDP_TX` 3, `XDP_REDIRECT` 4; `TC_ACT_SHOT` is 2;
/// the others let the packet go on), and by what became of the frame.
fn judgement_of(xdp: bool, code: u32, came: &[u8], left: Vec<u8>) -> Judgement {
    let verdict = match (xdp, code) {
        (true, 1) | (false, 2) => Verdict::Drop,
        (true, 3 | 4) => Verdict::Send,
        _ => Verdict::Pass,
    };
    let leaves = verdict == Verdict::Send || verdict == Verdict::Pass && left != came;
    let frame = leaves.then_some(left);
    Judgement { verdict, by: By::Unknown, frame, samples: Vec::new() }
}

/// The samples of a policy's statements that took a frame, with the N of each, from what became of it.
fn samples_of(
    policy: &Policy,
    taken: Vec<(usize, u32)>,
    (verdict, by): (Verdict, By),
    frame: &[u8],
) -> Vec<Sampled> {
    let one = |(statement, one_in): (usize, u32)| {
        let most = match &policy.statements[statement].action {
            Action::Sample(sample) => usize::from(sample.bytes).min(frame.len()),
            _ => 0,
        };
        let (length, bytes) = (frame.len() as u32, frame[..most].to_vec());
        Sampled { statement, one_in, verdict, by, length, bytes }
    };
    taken.into_iter().map(one).collect()
}

/// The same, from a record of the ring.
fn sample_of(compilation: &Compilation, record: &[u8]) -> Option<Sampled> {
    let Record { statement, decider, verdict, one_in, length, bytes, .. } = Record::read(record)?;
    let (slots, statements) = (&compilation.lowered.slots, &compilation.analysis.policy.statements);
    let named = |counter: u32| statements.iter().position(|s| slots.get(&s.name) == Some(&counter));
    let by = named(decider).map_or(By::Default, By::Statement);
    Some(Sampled { statement: named(statement)?, one_in, verdict, by, length, bytes: bytes.to_vec() })
}

/// Whether an object's program is for XDP.
fn is_xdp(compilation: &Compilation) -> bool {
    compilation.object.programs[0].section.starts_with("xdp")
}

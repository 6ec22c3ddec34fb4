//! One way to run a policy on frames: tests, `replay` and `bench` choose an engine and ask it the same questions.

use crate::StatementCounters;
use weir_compiler::ir::Verdict;

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
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Judgement {
    /// Its verdict.
    pub verdict: Verdict,
    /// Who decided.
    pub by: By,
}

/// An engine at work on one policy. It keeps sets, buckets and counters between frames.
pub trait Engine {
    /// `evaluator`, `ir`, `bytecode`, `kernel`.
    fn name(&self) -> &'static str;

    /// Judges a frame that arrives at `now` (monotonic nanoseconds). The kernel has its own clock.
    fn judge(&mut self, frame: &[u8], now: u64) -> Result<Judgement, EngineError>;

    /// By statement, `default` last.
    fn counters(&mut self) -> Result<Vec<StatementCounters>, EngineError>;
}

/// Why an engine could not judge.
#[derive(Debug, thiserror::Error)]
#[error("{engine}: {what}")]
pub struct EngineError {
    /// Which.
    pub engine: &'static str,
    /// What went wrong.
    pub what: String,
}

//! Statements as the compiler understands them, and samples of frames.

use std::time::Duration;
use weir_bpf::target::Target;
use weir_compiler::eval::Evaluator;
use weir_compiler::{Analysis, Hook, NoFiles, Options, analyse};
use weir_detect::mine::{Findings, Statement};
use weir_detect::sample::{Fate, Sample};

/// How much of a frame a sample shows, as sFlow agents do.
pub(crate) const SHOWN: usize = 128;

/// A sample of a frame.
pub(crate) fn sample(frame: &[u8], shown: usize, one_in: u32) -> Sample<'_> {
    Sample {
        time: Duration::ZERO,
        header: &frame[..shown.min(frame.len())],
        frame_len: frame.len() as u32,
        one_in,
        fate: Fate::Passed,
        statement: None,
    }
}

/// Statements as a policy that compiles to an object for the kernel.
#[track_caller]
pub(crate) fn policy(statements: &str) -> Analysis {
    let options = Options::new(Target::newest(), Hook::Xdp);
    match analyse("mined", statements, &NoFiles).compile(&options) {
        Ok(compilation) => compilation.analysis,
        Err(analysis) => panic!("{statements}\n{:#?}", analysis.diagnostics),
    }
}

/// How many of the frames a policy's statements apply to.
pub(crate) fn matched<'a>(policy: &Analysis, frames: impl IntoIterator<Item = &'a Vec<u8>>) -> usize {
    let mut evaluator = Evaluator::new(&policy.policy);
    frames.into_iter().filter(|frame| evaluator.judge(frame).by.is_some()).count()
}

/// The text of all statements.
pub(crate) fn text(findings: &Findings) -> String {
    findings.statements.iter().map(|statement| statement.text(false)).collect()
}

/// Asserts that a statement matches exactly the frames that the compiler says it does.
#[track_caller]
pub(crate) fn agrees(statement: &Statement, sets: &str, frames: &[Vec<u8>]) {
    let text = format!("{sets}count {} when {}\n", statement.name, statement.condition);
    let policy = policy(&text);
    let mut evaluator = Evaluator::new(&policy.policy);
    for frame in frames {
        let before = evaluator.counters[0].packets;
        evaluator.judge(frame);
        let applies = evaluator.counters[0].packets > before;
        let said = statement.matches(&sample(frame, frame.len(), 1));
        assert_eq!(said, Some(applies), "{text}\non {frame:02x?}");
    }
}

//! The verifier's log, read for people.

use std::fmt;

/// Where in the policy (or source) an instruction comes from: the last line comment before the error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceLine {
    /// The line's text, as the object's line info has it.
    pub text: String,
    /// The file, where the log names it (6.4 and later).
    pub file: Option<String>,
    /// The line's number, from 1, where the log names it.
    pub line: Option<u32>,
}

/// What a refusal means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The kernel's own message: the log's last line that is one.
    pub message: String,
    /// The line that the refused instruction comes from.
    pub source: Option<SourceLine>,
    /// The refused instruction as the log writes it: `12: (71) r1 = *(u8 *)(r2 +0)`.
    pub instruction: Option<String>,
    /// Its index.
    pub index: Option<usize>,
    /// What the message says in plain words, for those that are well known.
    pub meaning: Option<&'static str>,
    /// What can be done about it.
    pub fix: Option<&'static str>,
}

/// The verifier's totals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Instructions that it walked, over all states.
    pub processed_insns: u64,
    /// The wall: 1,000,000.
    pub insn_limit: u64,
    /// The most states at one instruction.
    pub max_states_per_insn: u64,
    /// States explored.
    pub total_states: u64,
    /// States held at the peak.
    pub peak_states: u64,
    /// The longest list of marks.
    pub mark_read: u64,
    /// Microseconds, where the log tells.
    pub microseconds: Option<u64>,
    /// The stack of the main program and of its functions, in bytes, where the log tells.
    pub stack_depth: Option<u64>,
}

/// Explains the log of a refused program.
pub fn explain(log: &str) -> Explanation {
    let _ = log;
    unimplemented!("being written")
}

/// Reads the totals at the log's end.
pub fn statistics(log: &str) -> Option<Statistics> {
    let _ = log;
    unimplemented!("being written")
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

//! The verifier's log, read for people.

mod meanings;

use std::fmt;

/// Where in the policy (or source) an instruction comes from: the last line comment before the error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceLine {
    /// The line's text, as the object's line info has it.
    pub text: String,
    /// The file's name without its directory, where the log names it (6.9 and later).
    pub file: Option<String>,
    /// The line's number, from 1, where the log names it.
    pub line: Option<u32>,
}

/// What a refusal means.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explanation {
    /// The kernel's own message; the lines of a longer one are joined by `; `.
    pub message: String,
    /// The line that the refused instruction comes from.
    pub source: Option<SourceLine>,
    /// The refused instruction as the log writes it: `r1 = *(u8 *)(r2 +0)`.
    pub instruction: Option<String>,
    /// Its index.
    pub index: Option<usize>,
    /// What the message says in plain words, for those that are well known.
    pub meaning: Option<&'static str>,
    /// What can be done about it.
    pub fix: Option<&'static str>,
}

/// The verifier's totals.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    /// Bytes of stack of the main program and of each function, where the log tells.
    pub stack_depths: Vec<u64>,
}

/// Explains the log of a refused program.
pub fn explain(log: &str) -> Explanation {
    let mut found = Explanation::default();
    let mut message: Vec<&str> = Vec::new();
    for line in log.lines().map(str::trim) {
        match kind(line) {
            Kind::Comment(source) => found.source = Some(source),
            Kind::Instruction(index, text) => {
                found.index = Some(index);
                found.instruction = Some(text.to_owned());
                message.clear();
            }
            Kind::Message => message.push(line),
            Kind::Noise => {}
        }
    }
    found.message = message.join("; ");
    if found.message.is_empty() {
        found.message = "the log gives no reason".to_owned();
    }
    found.index = found.index.or_else(|| index_in_message(&found.message));
    if let Some(row) = meanings::find(&found.message) {
        found.meaning = Some(row.meaning);
        found.fix = Some(row.fix);
    }
    found
}

/// Reads the totals at the log's end.
pub fn statistics(log: &str) -> Option<Statistics> {
    let totals = log.lines().rev().find(|line| line.starts_with("processed "))?;
    let mut statistics = Statistics {
        processed_insns: number_after(totals, "processed ")?,
        insn_limit: number_after(totals, "(limit ").unwrap_or(0),
        max_states_per_insn: number_after(totals, "max_states_per_insn ").unwrap_or(0),
        total_states: number_after(totals, "total_states ").unwrap_or(0),
        peak_states: number_after(totals, "peak_states ").unwrap_or(0),
        mark_read: number_after(totals, "mark_read ").unwrap_or(0),
        ..Statistics::default()
    };
    for line in log.lines() {
        if line.starts_with("verification time ") {
            statistics.microseconds = number_after(line, "verification time ");
        }
        if let Some(depths) = line.strip_prefix("stack depth ") {
            let depths = depths.split(' ').next().unwrap_or("");
            statistics.stack_depths = depths.split('+').filter_map(|depth| depth.parse().ok()).collect();
        }
    }
    Some(statistics)
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.meaning {
            Some(meaning) => write!(f, "{meaning} ({})", self.message)?,
            None => f.write_str(&self.message)?,
        }
        if let Some(source) = &self.source {
            write!(f, ", at {source}")?;
        }
        Ok(())
    }
}

impl fmt::Display for SourceLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, "{file}:{line}: `{}`", self.text),
            _ => write!(f, "`{}`", self.text),
        }
    }
}

enum Kind<'a> {
    Comment(SourceLine),
    Instruction(usize, &'a str),
    Noise,
    Message,
}

/// How lines start that tell of the walk or of its totals, and not of an error.
const NOISE: [&str; 23] = [
    "processed ",
    "verification time ",
    "stack depth ",
    "insns processed ",
    "func#",
    "Live regs before",
    "from ",
    "mark_precise:",
    "propagating ",
    "caller:",
    "callee:",
    "returning from callee:",
    "to caller at ",
    "last_idx ",
    "regs=",
    "parent ",
    "Validating ",
    "Func#",
    "frame",
    "cur state:",
    "old state:",
    "safe",
    "arg#",
];

fn kind(line: &str) -> Kind<'_> {
    if line.is_empty() {
        return Kind::Noise;
    }
    let (index, rest) = split_index(line);
    if let Some(comment) = rest.strip_prefix(';') {
        return Kind::Comment(source_line(comment.trim()));
    }
    if let (Some(index), Some(text)) = (index, instruction(rest)) {
        return Kind::Instruction(index, text);
    }
    // `5: R0=scalar() R10=fp0` and, after a branch, the same without a number.
    let is_state = index.is_some() || is_registers(rest);
    if is_state || NOISE.iter().any(|start| line.starts_with(start)) {
        return Kind::Noise;
    }
    Kind::Message
}

fn split_index(line: &str) -> (Option<usize>, &str) {
    let Some((number, rest)) = line.split_once(':') else {
        return (None, line);
    };
    match number.parse() {
        Ok(index) => (Some(index), rest.trim_start()),
        Err(_) => (None, line),
    }
}

/// `(71) r0 = *(u8 *)(r1 +0)   ; R0=… R1=…` → what stands between code and comment.
fn instruction(rest: &str) -> Option<&str> {
    let rest = rest.strip_prefix('(')?;
    let (code, text) = rest.split_once(')')?;
    let is_code = code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_code.then(|| text.split(';').next().unwrap_or(text).trim())
}

fn is_registers(line: &str) -> bool {
    let Some(rest) = line.strip_prefix('R') else {
        return false;
    };
    let name = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    name.len() < rest.len() && (name.starts_with('=') || name.starts_with("_w="))
}

/// `text @ file:line`; before 6.9 the text alone.
fn source_line(comment: &str) -> SourceLine {
    let place = comment.rsplit_once(" @ ").and_then(|(text, place)| {
        let (file, line) = place.rsplit_once(':')?;
        Some(SourceLine {
            text: text.to_owned(),
            file: Some(file.to_owned()),
            line: Some(line.parse().ok()?),
        })
    });
    place.unwrap_or_else(|| SourceLine { text: comment.to_owned(), file: None, line: None })
}

/// `unreachable insn 7`, `back-edge from insn 3 to 1`: messages about the shape come before any walk.
fn index_in_message(message: &str) -> Option<usize> {
    number_after(message, "insn ").map(|index| index as usize)
}

fn number_after(line: &str, start: &str) -> Option<u64> {
    let rest = &line[line.find(start)? + start.len()..];
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..digits].parse().ok()
}

#[cfg(test)]
mod tests;

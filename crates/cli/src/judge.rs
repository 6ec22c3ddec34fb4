//! Judging frames in user space: the program in IR, as it would be compiled.

use crate::failure::{Failure, failed};
use serde::Serialize;
use weir_compiler::Analysis;
use weir_compiler::ir::Verdict;
use weir_compiler::ir::interp::Interpreter;
use weir_compiler::lower::{self, Lowered};
use weir_compiler::policy::{Action, Policy};
use weir_compiler::state::{Counter, State};
use weir_dataplane::counters::{CookieCounters, UnsentCounters};

/// A policy at work in this process.
pub(crate) struct Judge<'a> {
    policy: &'a Policy,
    lowered: Lowered,
    interpreter: Interpreter,
    state: State,
}

/// What became of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Judged {
    /// Its verdict.
    pub(crate) verdict: Verdict,
    /// The statement that decided; `None` for the default.
    pub(crate) by: Option<usize>,
}

/// What a statement did, in the shape of all JSON answers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(crate) struct StatementRow {
    pub(crate) name: String,
    pub(crate) action: String,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) over: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lost: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) unsent: Option<UnsentCounters>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cookies: Option<CookieCounters>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) shadow: bool,
}

/// The word for a verdict.
pub(crate) fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Drop => "drop",
        Verdict::Send => "send",
    }
}

impl<'a> Judge<'a> {
    /// With all buckets full and all counters zero. The policy must be free of errors.
    pub(crate) fn new(analysis: &'a Analysis) -> Result<Judge<'a>, Failure> {
        let lowered = analysis.lower(&lower::Options::default(), &[]).ok_or(Failure::Refused)?;
        let interpreter = Interpreter::new(&lowered.program);
        let state = lowered.state(&analysis.policy);
        Ok(Judge { policy: &analysis.policy, lowered, interpreter, state })
    }

    /// Judges an Ethernet frame that came at a time in nanoseconds.
    pub(crate) fn judge(&mut self, frame: &[u8], now: u64) -> Result<Judged, Failure> {
        self.state.now = now;
        let outcome = self.interpreter.run(&mut self.state, frame).map_err(|fault| {
            failed(format!("the compiled policy is broken: {fault}"))
                .help("this is a bug in weir, please report it")
        })?;
        Ok(Judged { verdict: outcome.verdict, by: outcome.by.map(|by| by.0 as usize) })
    }

    /// Fills all buckets again.
    pub(crate) fn fill_buckets(&mut self) {
        self.state.limits.iter_mut().for_each(std::collections::HashMap::clear);
    }

    /// The name of the statement that decided.
    pub(crate) fn name(&self, judged: Judged) -> Option<&'a str> {
        judged.by.map(|by| self.policy.statements[by].name.as_str())
    }

    /// The counts so far, in the policy's order, the default last.
    pub(crate) fn rows(&self) -> Vec<StatementRow> {
        rows(self.policy, |slot| {
            self.lowered.slots.get(slot).map_or(Counter::default(), |&at| self.state.counters[at as usize])
        })
    }
}

/// The rows of a policy, from what was counted under each slot's name.
pub(crate) fn rows(policy: &Policy, counter: impl Fn(&str) -> Counter) -> Vec<StatementRow> {
    let mut rows: Vec<StatementRow> = Vec::with_capacity(policy.statements.len() + 1);
    for statement in &policy.statements {
        let Counter { packets, bytes } = counter(&statement.name);
        let over = || counter(&format!("{}/over", statement.name)).packets;
        rows.push(StatementRow {
            name: statement.name.clone(),
            action: statement.verb().to_owned(),
            packets,
            bytes,
            over: matches!(statement.action, Action::Limit(_)).then(over),
            lost: matches!(statement.action, Action::Sample(_)).then_some(0),
            unsent: matches!(statement.action, Action::Balance(_) | Action::Answer(_))
                .then(|| UnsentCounters::of(|why| counter(&format!("{}/{why}", statement.name)).packets)),
            cookies: (matches!(statement.action, Action::Syncookie) && !statement.shadow)
                .then(|| CookieCounters::of(|part| counter(&format!("{}/{part}", statement.name)).packets)),
            shadow: statement.shadow,
        });
    }
    let Counter { packets, bytes } = counter("default");
    let action = word(policy.default_verdict()).to_owned();
    rows.push(StatementRow {
        name: "default".into(),
        action,
        packets,
        bytes,
        over: None,
        lost: None,
        unsent: None,
        cookies: None,
        shadow: false,
    });
    rows
}

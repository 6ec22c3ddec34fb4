//! Packets in one line: `udp(ip.src=198.51.100.7, udp.srcport=53, frame.len=1200)`.
//!
//! Frames are built from the protocol definitions alone, the policy's own ones too: what a
//! definition requires is set, what selects the next protocol is set, lengths and checksums are
//! right, and every field that the packet names has the value that it gives, even a wrong one.
//! Layers that lead to the named ones are filled in: `udp` alone is Ethernet, IPv4 and UDP.

mod build;
mod header;
mod route;
mod solve;

pub(crate) use header::write_bits;

use crate::diagnostic::{Code, Diagnostics};
use crate::ir::Verdict;
use crate::policy::{Policy, ProtocolId, Protocols};
use crate::source::Span;
use crate::syntax::ast;
use std::collections::BTreeMap;

/// Why a packet cannot be built.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// Where.
    pub span: Span,
    /// What is wrong.
    pub message: String,
}

impl Problem {
    fn new(span: Span, message: impl Into<String>) -> Self {
        Self { span, message: message.into() }
    }
}

/// One case of a test, ready to run.
#[derive(Clone, Debug)]
pub struct Case {
    /// The test's name.
    pub test: String,
    /// Where the case stands.
    pub span: Span,
    /// The frame.
    pub frame: Vec<u8>,
    /// How often it is sent; the last verdict counts.
    pub times: u32,
    /// What should happen to it.
    pub verdict: Verdict,
    /// Which statement should decide: its name, or `default`.
    pub by: Option<String>,
    /// The frame as which it should leave, if the test says so.
    pub leaves: Option<Vec<u8>>,
}

/// Builds a frame.
pub fn frame(policy: &Policy, packet: &ast::Packet) -> Result<Vec<u8>, Problem> {
    build::frame(policy, packet)
}

/// A header of a frame: its protocol, whether a new packet begins with it, and what some fields hold.
pub(crate) type Step = ((ProtocolId, bool), BTreeMap<u32, u128>);

/// Builds a frame of exactly these headers, the root first.
pub(crate) fn chain(protocols: &Protocols, steps: &[Step]) -> Vec<u8> {
    build::chain(protocols, steps)
}

/// Builds the frames of all tests; what cannot be built is told.
pub fn cases(policy: &Policy, diagnostics: &mut Diagnostics) -> Vec<Case> {
    let mut cases = Vec::new();
    for test in &policy.tests {
        for case in &test.cases {
            if let Some(by) = &case.by {
                check_name(policy, by, diagnostics);
            }
            let leaves = case.leaves.as_ref().map(|packet| frame(policy, packet)).transpose();
            let frames = frame(policy, &case.packet).and_then(|frame| Ok((frame, leaves?)));
            match (frames, Verdict::in_test(&case.verdict.text)) {
                (Ok((frame, leaves)), Some(verdict)) => cases.push(Case {
                    test: String::from_utf8_lossy(&test.name.value).into_owned(),
                    span: case.span,
                    frame,
                    times: case.times.unwrap_or(1),
                    verdict,
                    by: case.by.as_ref().map(|by| by.text.clone()),
                    leaves,
                }),
                (Err(problem), _) => {
                    diagnostics.report(Code::BadTest, problem.span, problem.message);
                }
                (Ok(_), None) => {
                    diagnostics
                        .report(Code::BadTest, case.verdict.span, "expected `pass`, `drop` or `send`")
                        .label("not a verdict");
                }
            }
        }
    }
    cases
}

fn check_name(policy: &Policy, by: &ast::Name, diagnostics: &mut Diagnostics) {
    let names = || policy.statements.iter().map(|s| s.name.as_str());
    if by.text == "default" || names().any(|name| name == by.text) {
        return;
    }
    let near = crate::diagnostic::nearest(&by.text, names()).map(str::to_owned);
    let found =
        diagnostics.report(Code::UnknownName, by.span, format!("no statement is called `{}`", by.text));
    if let Some(near) = near {
        found.help(format!("there is `{near}`"));
    }
}

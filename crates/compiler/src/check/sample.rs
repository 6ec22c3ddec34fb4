//! `sample`: how rarely, how much, how many.

use super::Checker;
use crate::diagnostic::Code;
use crate::policy::{Action, BUDGET, BYTES, MOST_BYTES, MOST_SAMPLES, Sample};
use crate::source::Span;
use crate::syntax::ast::{self, Literal, LiteralValue, RateUnit};

const SECOND: u128 = 1_000_000_000;

impl Checker<'_> {
    pub(super) fn sample(&mut self, ast: &ast::Sample) -> Option<Sample> {
        let sample = (self.one_in(&ast.one_in), self.bytes(&ast.bytes), self.budget(&ast.budget));
        let others = self.policy.statements.iter().filter(|s| matches!(s.action, Action::Sample(_)));
        if others.count() >= MOST_SAMPLES {
            return self.bad_sample(
                ast.one_in.span,
                &format!("a policy has at most {MOST_SAMPLES} samples"),
                "one more",
            );
        }
        let (Some(one_in), Some(bytes), Some(budget)) = sample else { return None };
        Some(Sample { one_in, bytes, budget })
    }

    fn one_in(&mut self, literal: &Literal) -> Option<u32> {
        match literal.value {
            LiteralValue::Int(0) => {
                self.bad_sample(literal.span, "no packet is one in 0", "`1 in 1` takes each of them")
            }
            LiteralValue::Int(one_in) if one_in <= u128::from(u32::MAX) => Some(one_in as u32),
            LiteralValue::Int(_) => self.bad_sample(
                literal.span,
                &format!("one in {} is the rarest that a sample can be", u32::MAX),
                "rarer than that",
            ),
            _ => self.bad_sample(literal.span, "this is not a number of packets", "such as `1000`"),
        }
    }

    fn bytes(&mut self, literal: &Option<Literal>) -> Option<u16> {
        let Some(literal) = literal else { return Some(BYTES) };
        let bytes = match literal.value {
            LiteralValue::Int(bytes) => bytes,
            LiteralValue::Size(bytes) => bytes.into(),
            _ => 0,
        };
        match bytes {
            14.. if bytes <= u128::from(MOST_BYTES) => Some(bytes as u16),
            _ => self.bad_sample(
                literal.span,
                &format!("a sample holds between 14 and {MOST_BYTES} bytes of its packet"),
                "such as `bytes 256`",
            ),
        }
    }

    fn budget(&mut self, literal: &Option<Literal>) -> Option<u64> {
        let Some(literal) = literal else { return Some(BUDGET) };
        let LiteralValue::Rate(rate) = literal.value else {
            return self.bad_sample(literal.span, "a budget is a rate", "such as `budget 1000/s`");
        };
        if rate.unit != RateUnit::Packets {
            return self.bad_sample(
                literal.span,
                "a budget counts samples, not their bytes",
                "such as `budget 1000/s`",
            );
        }
        match u128::from(rate.amount) * SECOND / u128::from(rate.period.max(1)) {
            0 => self.bad_sample(
                literal.span,
                "a budget of less than one sample a second cannot be kept",
                "such as `budget 1000/s`",
            ),
            budget => Some(budget as u64),
        }
    }

    fn bad_sample<T>(&mut self, span: Span, message: &str, label: &str) -> Option<T> {
        self.diagnostics.report(Code::BadSample, span, message).label(label);
        None
    }
}

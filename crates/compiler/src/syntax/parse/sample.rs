//! `sample` and its clauses.

use super::{Parsed, Parser};
use crate::diagnostic::Code;
use crate::syntax::ast::{Literal, LiteralValue, Sample};
use crate::syntax::token::Kind;

/// How it is written, for messages.
const FORM: &str = "a sample is written `sample [NAME] 1 in N [when CONDITION] [bytes N] [budget RATE]`";

impl Parser<'_> {
    /// `1 in N`, which stands before the condition.
    pub(super) fn one_in(&mut self) -> Parsed<Literal> {
        let Some(one) = self.number() else {
            return Err(self.expected("`1 in N`").help(FORM).done());
        };
        if one.value != LiteralValue::Int(1) {
            let message = "of so many packets one is taken: a sample is `1 in N`";
            return Err(self.report(Code::Expected, one.span, message).help(FORM).done());
        }
        if !self.take_word("in") {
            return Err(self.expected("`in` and a number").help(FORM).done());
        }
        match self.number() {
            Some(number) => Ok(number),
            None => Err(self.expected("how many packets one is taken of, such as `1000`").help(FORM).done()),
        }
    }

    /// These words are no reserved ones, so they end no condition elsewhere.
    pub(super) fn is_sample_clause(&self) -> bool {
        self.is_word("bytes") || self.is_word("budget")
    }

    /// What stands behind the condition.
    pub(super) fn sample(&mut self, one_in: Literal) -> Parsed<Sample> {
        let mut sample = Sample { one_in, bytes: None, budget: None };
        if self.take_word("bytes") {
            sample.bytes = Some(self.literal("a number of bytes such as `256`")?);
        }
        if self.take_word("budget") {
            sample.budget = Some(self.literal("a rate such as `10k/s`")?);
        }
        if self.is_word("when") {
            let span = self.here();
            let message = "`when` comes before `bytes` and `budget`";
            return Err(self.report(Code::Expected, span, message).help(FORM).done());
        }
        Ok(sample)
    }

    fn number(&mut self) -> Option<Literal> {
        if self.peek() == Kind::Constant { self.literal("a number").ok() } else { None }
    }
}

//! Statements and their clauses.

use super::{Parsed, Parser, Reported, words};
use crate::diagnostic::Code;
use crate::source::Span;
use crate::syntax::ast::{Action, Default_, Expr, ExprKind, Key, Likelihood, Limit, Name, Statement};
use crate::syntax::token::Kind;

/// What begins a statement, for messages.
const VERBS: &str = "`pass`, `drop`, `count`, `limit`, `decap`, `balance`, `sample` or `answer`";

const SYNCOOKIE: &str = "syncookie";

impl Parser<'_> {
    pub(super) fn statement(&mut self) -> Parsed<Statement> {
        let first = self.at;
        let likelihood = self.likelihood()?;
        let shadow = self.take_word("shadow");
        let (verb, action_span) = self.verb()?;
        let name = self.statement_name(verb)?;
        let one_in = if verb == "sample" { Some(self.one_in()?) } else { None };
        if verb == "answer" {
            self.syncookie()?;
        }
        let when = if one_in.is_some() && self.is_sample_clause() { None } else { self.when()? };
        let action = match (verb, one_in) {
            ("pass", _) => Action::Pass,
            ("drop", _) => Action::Drop,
            ("count", _) => Action::Count,
            ("decap", _) => Action::Decap,
            ("answer", _) => Action::Syncookie,
            // After a condition that could not be read, the clauses were skipped with it.
            _ if is_error(&when) => return Err(Reported),
            ("balance", _) => Action::Balance(Box::new(self.balance(when.is_some())?)),
            (_, Some(one_in)) => Action::Sample(self.sample(one_in)?),
            _ => Action::Limit(self.limit(when.is_some())?),
        };
        Ok(Statement { likelihood, shadow, action, action_span, name, when, span: self.since(first) })
    }

    fn likelihood(&mut self) -> Parsed<Option<Likelihood>> {
        let Some(likelihood) = self.word().and_then(Likelihood::named) else { return Ok(None) };
        self.bump();
        if self.word().and_then(Likelihood::named).is_none() {
            return Ok(Some(likelihood));
        }
        let span = self.here();
        let message = "a statement is either `likely` or `unlikely`";
        Err(self.report(Code::Expected, span, message).help("leave one of the two out").done())
    }

    fn verb(&mut self) -> Parsed<(&'static str, Span)> {
        let span = self.here();
        let verb = match self.word() {
            Some("pass") => "pass",
            Some("drop") => "drop",
            Some("count") => "count",
            Some("limit") => "limit",
            Some("decap") => "decap",
            Some("balance") => "balance",
            Some("sample") => "sample",
            Some("answer") => "answer",
            Some(word) if words::is_planned(word) => return Err(self.planned(word)),
            Some(word @ ("likely" | "unlikely")) => {
                let help = format!("write `{word}` before `shadow`");
                return Err(self.expected(VERBS).help(help).done());
            }
            _ => return Err(self.unexpected(VERBS)),
        };
        self.bump();
        Ok((verb, span))
    }

    fn statement_name(&mut self, verb: &str) -> Parsed<Option<Name>> {
        match self.word() {
            // A statement may be called as what it answers with.
            Some(SYNCOOKIE) if verb == "answer" && !self.is_word_next(SYNCOOKIE) => Ok(None),
            Some(word) if !words::is_reserved(word) && (verb == "sample" || !self.condition_at(self.at)) => {
                self.name("a name").map(Some)
            }
            _ => Ok(None),
        }
    }

    /// What an `answer` answers with.
    fn syncookie(&mut self) -> Parsed<()> {
        if self.take_word(SYNCOOKIE) {
            return Ok(());
        }
        let help = "an answer is written `answer [NAME] syncookie [when CONDITION]`";
        Err(self.expected("`syncookie`").help(help).done())
    }

    fn is_word_next(&self, word: &str) -> bool {
        self.nth(1) == Kind::Word && self.text_of(self.tokens[self.at + 1]) == word
    }

    /// Whether what begins at this word goes on as a condition does: a name is followed by `when`,
    /// `to` or the line's end.
    fn condition_at(&self, index: usize) -> bool {
        let next = self.nth(index + 1 - self.at);
        if next != Kind::Word {
            return next != Kind::End;
        }
        let word = self.text_of(self.tokens[index + 1]);
        matches!(word, "and" | "or" | "in" | "contains" | "matches") || words::relation_for(word).is_some()
    }

    fn when(&mut self) -> Parsed<Option<Expr>> {
        if self.peek() == Kind::End || self.is_word("to") {
            return Ok(None);
        }
        if !self.take_word("when") {
            if self.is_clause() {
                return Ok(None);
            }
            return Err(self.missing_when());
        }
        let first = self.at;
        match self.expr() {
            Ok(expr) => Ok(Some(expr)),
            Err(Reported) => {
                self.skip_item();
                Ok(Some(Expr { kind: ExprKind::Error, span: self.token_span(self.tokens[first]) }))
            }
        }
    }

    fn is_clause(&self) -> bool {
        self.word().is_some_and(|w| words::continues(w) && !matches!(w, "and" | "or" | "in"))
    }

    fn missing_when(&mut self) -> Reported {
        if matches!(self.word(), Some("if" | "where" | "unless")) {
            return self.expected("`when` before the condition").help("write `when` instead").done();
        }
        self.expected("`when` before the condition")
            .help("a statement is written `VERB [NAME] when CONDITION`")
            .done()
    }

    fn limit(&mut self, conditional: bool) -> Parsed<Limit> {
        self.to(conditional, "a rate", "a limit says `to` which rate")?;
        let mut limit = Limit {
            rate: self.literal("a rate such as `500/s` or `10Mbit/s`")?,
            burst: None,
            per: Vec::new(),
            max: None,
        };
        self.no_late_when("a limit is written `limit [NAME] when CONDITION to RATE …`")?;
        if self.take_word("burst") {
            limit.burst = Some(self.literal("a number of packets or a size such as `64kB`")?);
        }
        if self.take_word("per") {
            limit.per = self.keys()?;
        }
        if self.take_word("max") {
            limit.max = Some(self.literal("a number of keys such as `64k`")?);
        }
        Ok(limit)
    }

    /// The `to` of a statement, which stands behind its condition.
    pub(super) fn to(&mut self, conditional: bool, what: &str, label: &str) -> Parsed<()> {
        if self.take_word("to") {
            return Ok(());
        }
        let expected = format!("`to` and {what}");
        let refusal = match conditional {
            true => self.after_condition(&expected),
            false => self.expected(&expected),
        };
        Err(refusal.label(label).done())
    }

    /// Refuses a condition behind the `to`.
    pub(super) fn no_late_when(&mut self, help: &str) -> Parsed<()> {
        if !self.is_word("when") {
            return Ok(());
        }
        let span = self.here();
        Err(self.report(Code::Expected, span, "`when` comes before `to`").help(help).done())
    }

    pub(super) fn keys(&mut self) -> Parsed<Vec<Key>> {
        let first = self.at;
        if !self.take(Kind::OpenParen) {
            return Ok(vec![self.key()?]);
        }
        let mut keys = vec![self.key()?];
        while self.take(Kind::Comma) {
            keys.push(self.key()?);
        }
        self.close_paren(first)?;
        Ok(keys)
    }

    fn key(&mut self) -> Parsed<Key> {
        let value = self.expr()?;
        let mut prefix = Vec::new();
        while prefix.len() < 2 && self.take(Kind::Slash) {
            let token = self.raw();
            let length = self.small_number("a prefix length")?;
            match u8::try_from(length) {
                Ok(length) if length <= 128 => prefix.push((length, self.token_span(token))),
                _ => return Err(self.long_prefix(self.token_span(token))),
            }
        }
        Ok(Key { value, prefix })
    }

    fn long_prefix(&mut self, span: Span) -> Reported {
        let message = "a prefix length is at most 128";
        self.report(Code::BadLiteral, span, message).done()
    }

    pub(super) fn default(&mut self) -> Parsed<Default_> {
        let first = self.at;
        self.bump();
        let verdict = self.verdict()?;
        Ok(Default_ { verdict, span: self.since(first) })
    }

    /// `pass` or `drop`.
    pub(super) fn verdict(&mut self) -> Parsed<Name> {
        match self.word() {
            Some("pass" | "drop") => self.name("`pass` or `drop`"),
            Some(word) => {
                let meant = words::verb_for(word);
                let refusal = self.expected("`pass` or `drop`");
                Err(match meant {
                    Some(verb) => refusal.help(format!("write `{verb}` instead")).done(),
                    None => refusal.done(),
                })
            }
            None => Err(self.unexpected("`pass` or `drop`")),
        }
    }
}

fn is_error(when: &Option<Expr>) -> bool {
    matches!(when, Some(Expr { kind: ExprKind::Error, .. }))
}

//! Statements: a column of verbs, one of names, then what they ask for.

use super::{Rows, pool};
use crate::syntax::ast::{Action, ExprKind, Key, Likelihood, Limit, Statement};
use crate::syntax::print::expr::Pieces;
use crate::syntax::print::layout::Table;
use std::ops::Range;

impl<'a> Rows<'a> {
    pub(super) fn statement(&mut self, statement: &'a Statement, range: Range<u32>) {
        let verb = match &statement.action {
            Action::Pass => "pass",
            Action::Drop => "drop",
            Action::Count => "count",
            Action::Decap => "decap",
            Action::Limit(_) => "limit",
            Action::Balance(_) => "balance",
            Action::Sample(_) => "sample",
            Action::Syncookie => "answer",
        };
        let shadow = statement.shadow.then_some("shadow");
        let words = statement.likelihood.map(Likelihood::word).into_iter().chain(shadow).chain([verb]);
        let name = statement.name.as_ref().map(|n| n.text.clone());
        let mut pieces = self.pieces();
        if let Action::Sample(sample) = &statement.action {
            pieces.put("1 in ");
            pieces.literal(&sample.one_in);
            pieces.put(if statement.when.is_some() { " " } else { "" });
        }
        if let Action::Syncookie = &statement.action {
            pieces.put(if statement.when.is_some() { "syncookie " } else { "syncookie" });
        }
        if let Some(when) = &statement.when {
            pieces.put("when ");
            pieces.expr(when);
        }
        match &statement.action {
            Action::Limit(limit) => clauses(&mut pieces, limit),
            Action::Balance(balance) => pool::balance(&mut pieces, balance),
            // No line begins with these words: names of statements and fields may be the same.
            Action::Sample(sample) => {
                let clauses = [(" bytes ", &sample.bytes), (" budget ", &sample.budget)];
                for (word, literal) in clauses {
                    if let Some(literal) = literal {
                        pieces.put(word);
                        pieces.literal(literal);
                    }
                }
            }
            Action::Pass | Action::Drop | Action::Count | Action::Decap | Action::Syncookie => {}
        }
        let cells = vec![words.collect::<Vec<_>>().join(" "), name.unwrap_or_default()];
        self.leaf(Table::Statement, 0, cells, pieces.finish(), range);
    }
}

fn clauses(pieces: &mut Pieces<'_>, limit: &Limit) {
    pieces.soft();
    pieces.put("to ");
    pieces.literal(&limit.rate);
    if let Some(burst) = &limit.burst {
        pieces.soft();
        pieces.put("burst ");
        pieces.literal(burst);
    }
    if !limit.per.is_empty() {
        pieces.soft();
        pieces.put("per ");
        keys(pieces, &limit.per);
    }
    if let Some(max) = &limit.max {
        pieces.soft();
        pieces.put("max ");
        pieces.literal(max);
    }
}

pub(super) fn keys(pieces: &mut Pieces<'_>, keys: &[Key]) {
    if let [key] = keys
        && matches!(key.value.kind, ExprKind::Path(_) | ExprKind::Slice(..))
    {
        return self::key(pieces, key);
    }
    for (i, key) in keys.iter().enumerate() {
        pieces.put(if i == 0 { "(" } else { ", " });
        self::key(pieces, key);
    }
    pieces.put(")");
}

fn key(pieces: &mut Pieces<'_>, key: &Key) {
    pieces.expr(&key.value);
    for (length, _) in &key.prefix {
        pieces.put(&format!("/{length}"));
    }
}

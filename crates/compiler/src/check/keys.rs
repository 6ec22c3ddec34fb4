//! Keys: what tells the buckets of a limit apart, and the flows of a `balance`.

use super::Checker;
use super::expr::Meaning;
use crate::diagnostic::Code;
use crate::policy::{KeyPart, ValueType};
use crate::syntax::ast;

/// How many bits of an IPv6 address count where a key gives a length for IPv4 only: the smallest
/// network that one user is given (RFC 6177), so that nobody escapes by changing the host part.
const DEFAULT_PREFIX6: u8 = 64;

impl Checker<'_> {
    /// A key for each combination of families, none if nothing is named. `code` is that of what the key belongs to.
    pub(super) fn keys(&mut self, named: &[ast::Key], code: Code) -> Option<Vec<Vec<KeyPart>>> {
        let mut rows: Vec<(Meaning, Vec<KeyPart>)> =
            vec![(Meaning { choices: Vec::new(), sides: Vec::new() }, Vec::new())];
        for key in named {
            let meanings = self.operand(&key.value)?;
            if meanings.iter().any(|m| m.sides.len() > 1) {
                self.diagnostics
                    .report(Code::Ambiguous, key.value.span, "a key is one value, this means either side")
                    .label("name the side");
                return None;
            }
            let mapped = meanings.iter().any(|m| m.sides[0].ty == ValueType::Ip4)
                && meanings.iter().any(|m| m.sides[0].ty == ValueType::Ip6);
            let mut longer = Vec::new();
            for meaning in &meanings {
                let part = self.key_part(key, meaning, mapped, code)?;
                let fitting = rows.iter().filter(|(so_far, _)| {
                    !so_far.choices.iter().any(|a| meaning.choices.iter().any(|b| a.conflicts(*b)))
                });
                longer.extend(fitting.map(|(so_far, row)| {
                    let choices = so_far.choices.iter().chain(&meaning.choices).copied().collect();
                    (
                        Meaning { choices, sides: Vec::new() },
                        row.iter().cloned().chain([part.clone()]).collect(),
                    )
                }));
            }
            rows = longer;
        }
        if named.is_empty() {
            return Some(Vec::new());
        }
        Some(rows.into_iter().map(|(_, row)| row).collect())
    }

    fn key_part(&mut self, key: &ast::Key, meaning: &Meaning, mapped: bool, code: Code) -> Option<KeyPart> {
        let typed = &meaning.sides[0];
        let (ty, width) = (typed.ty, typed.ty.bits());
        let term = typed.term.clone();
        let lengths: Vec<u8> = key.prefix.iter().map(|(length, _)| *length).collect();
        let address = matches!(ty, ValueType::Ip4 | ValueType::Ip6);
        let prefix = match (lengths.as_slice(), ty) {
            ([], _) => width,
            ([_, _, ..], _) if !mapped => {
                return self.bad_prefix(key, code, "only a field of either family has two lengths");
            }
            (_, _) if !address => return self.bad_prefix(key, code, "only addresses are counted by prefix"),
            ([_, second, ..], ValueType::Ip6) => *second,
            ([_], ValueType::Ip6) if mapped => DEFAULT_PREFIX6,
            ([first, ..], _) => *first,
        };
        if prefix > width {
            return self.bad_prefix(key, code, "longer than the address");
        }
        Some(KeyPart { term, width, prefix, mapped })
    }

    fn bad_prefix<T>(&mut self, key: &ast::Key, code: Code, message: &str) -> Option<T> {
        let span = key.prefix.last().map_or(key.value.span, |(_, span)| *span);
        self.diagnostics.report(code, span, message).label("this length");
        None
    }
}

//! A policy in pieces, so that it can be made smaller, and the packets that it is tried on.

use std::fmt::Write;
use weir_compiler::Hook;

#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) seed: u64,
    pub(crate) protocols: Vec<String>,
    pub(crate) sets: Vec<String>,
    /// Each on a line of its own.
    pub(crate) statements: Vec<Statement>,
    pub(crate) default: Option<&'static str>,
    pub(crate) packets: Vec<Vec<u8>>,
    pub(crate) hook: Hook,
    pub(crate) frags: bool,
    /// Whether the first statement's packets are captured.
    pub(crate) capture: bool,
    /// Compile for the oldest kernel that is supported instead of this one; then the kernel is not asked.
    pub(crate) old: bool,
    pub(crate) kernel: bool,
}

#[derive(Clone)]
pub(crate) struct Statement {
    pub(crate) head: String,
    pub(crate) when: Option<Condition>,
    pub(crate) tail: String,
}

#[derive(Clone)]
pub(crate) enum Condition {
    Leaf(String),
    Not(Box<Condition>),
    And(Vec<Condition>),
    Or(Vec<Condition>),
}

impl Condition {
    fn text(&self) -> String {
        let joined = |parts: &[Condition], word: &str| {
            let parts: Vec<_> = parts.iter().map(Condition::nested).collect();
            parts.join(word)
        };
        match self {
            Self::Leaf(text) => text.clone(),
            Self::Not(inner) => format!("not {}", inner.nested()),
            Self::And(all) => joined(all, " and "),
            Self::Or(any) => joined(any, " or "),
        }
    }

    /// With parentheses where `not`, `and` and `or` would not keep it together.
    fn nested(&self) -> String {
        match self {
            Self::Leaf(text) => text.clone(),
            other => format!("({})", other.text()),
        }
    }

    /// Conditions that are smaller by a step.
    pub(crate) fn smaller(&self) -> Vec<Condition> {
        match self {
            Self::Leaf(_) => Vec::new(),
            Self::Not(inner) => {
                let deeper = inner.smaller().into_iter().map(|inner| Self::Not(Box::new(inner)));
                [(**inner).clone()].into_iter().chain(deeper).collect()
            }
            Self::And(parts) => Self::without_parts(parts, Self::And),
            Self::Or(parts) => Self::without_parts(parts, Self::Or),
        }
    }

    fn without_parts(parts: &[Condition], join: fn(Vec<Condition>) -> Condition) -> Vec<Condition> {
        let mut found = parts.to_vec();
        for index in 0..parts.len() {
            if parts.len() > 2 {
                let mut fewer = parts.to_vec();
                fewer.remove(index);
                found.push(join(fewer));
            }
            for part in parts[index].smaller() {
                let mut changed = parts.to_vec();
                changed[index] = part;
                found.push(join(changed));
            }
        }
        found
    }
}

impl Statement {
    fn text(&self) -> String {
        let when = self.when.as_ref().map(|when| format!(" when {}", when.text())).unwrap_or_default();
        format!("{}{when}{}", self.head, self.tail)
    }
}

impl Case {
    /// Protocols and sets, which stand before the statements.
    fn declarations(&self) -> String {
        self.protocols.iter().chain(&self.sets).fold(String::new(), |text, item| text + item + "\n")
    }

    pub(crate) fn text(&self) -> String {
        let mut text = self.declarations();
        for statement in &self.statements {
            let _ = writeln!(text, "{}", statement.text());
        }
        if let Some(default) = self.default {
            let _ = writeln!(text, "default {default}");
        }
        text
    }

    /// The statement on a line of [`Case::text`], counted from 1.
    pub(crate) fn statement_at(&self, line: u32) -> Option<usize> {
        let index = (line as usize).checked_sub(1 + self.declarations().lines().count())?;
        (index < self.statements.len()).then_some(index)
    }
}

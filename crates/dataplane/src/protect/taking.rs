//! A statement that takes packets away, as text.

use super::written::Diagnosis;
use weir_compiler::diagnostic::{Code, Diagnostics};
use weir_compiler::source::{Sources, Span};
use weir_compiler::syntax::{ast, parse};

/// The field whose values are protected.
pub(super) const SOURCE: &str = "ip.src";

/// One statement that takes packets away, and nothing else.
#[derive(Debug)]
pub struct Taking {
    /// The statement.
    pub statement: ast::Statement,
    sources: Sources,
    comments: Vec<Span>,
}

impl Taking {
    /// What a text says, or why it is not one `drop` or `limit`. `name` is what the text is called.
    pub fn read(name: &str, text: &str) -> Result<Taking, Diagnosis> {
        let mut sources = Sources::default();
        let id = sources.add(name, text);
        let mut diagnostics = Diagnostics::default();
        let file = parse(&sources, id, &mut diagnostics);
        if diagnostics.iter().next().is_some() {
            return Err(Diagnosis { sources, diagnostics });
        }
        let mut items = file.items.into_iter();
        let (Some(ast::Item::Statement(statement)), None) = (items.next(), items.next()) else {
            let all = Span::new(id, 0, text.trim_end().len() as u32);
            let told = diagnostics.report(Code::Expected, all, "it is not one statement");
            told.help("write one `drop when …` or `limit when … to 1k/s per ip.src/24/56`");
            return Err(Diagnosis { sources, diagnostics });
        };
        if !matches!(statement.action, ast::Action::Drop | ast::Action::Limit(_)) {
            let told =
                diagnostics.report(Code::Expected, statement.action_span, "it is neither `drop` nor `limit`");
            told.help("say `drop`, or `shadow drop` to count what that would take");
            return Err(Diagnosis { sources, diagnostics });
        }
        Ok(Taking { statement, sources, comments: file.comments })
    }

    /// It stands for a mitigation of this name.
    pub(super) fn called(self, name: &str) -> Result<Taking, Diagnosis> {
        let mut diagnostics = Diagnostics::default();
        let Taking { statement, .. } = &self;
        if let Some(other) = statement.name.as_ref().filter(|other| other.text != name) {
            let message = format!("the mitigation is called `{name}`, and not `{}`", other.text);
            diagnostics.report(Code::Expected, other.span, message).help("leave the name out");
        }
        if let Some(likelihood) = statement.likelihood {
            let place = Span { end: statement.action_span.start, ..statement.span };
            let message = format!("a mitigation has no `{}`", likelihood.word());
            diagnostics.report(Code::Expected, place, message).help("leave it out");
        }
        if statement.when.is_none() {
            // Half of a command line says that sooner than a person does.
            let told = diagnostics.report(
                Code::Expected,
                statement.span,
                "it has no condition, and would be for all packets",
            );
            told.help("say for which: `drop when …`");
        }
        match diagnostics.has_errors() {
            true => Err(Diagnosis { sources: self.sources, diagnostics }),
            false => Ok(self),
        }
    }

    /// As it stands between others: its comment, and the statement on a line of its own. Of what it takes, sources in the set `never` are left
    /// out, also those that are added while it stands.
    pub fn text(&self, never: Option<&str>) -> String {
        let Span { source, start, end } = self.statement.span;
        let comment = self.sources.text(Span::new(source, 0, start));
        let comment = comment.lines().map(str::trim).filter(|line| !line.is_empty());
        let name = self.name_end();
        let spared = never.filter(|set| !self.statement.when.as_ref().is_some_and(|when| spares(when, set)));
        let line = match (spared, &self.statement.when) {
            (None, _) => self.on_a_line(start, end),
            (Some(set), None) => {
                let (head, clauses) = (self.on_a_line(start, name), self.on_a_line(name, end));
                format!("{head} when {} {clauses}", not_from(set))
            }
            (Some(set), Some(when)) => {
                let head = self.on_a_line(start, when.span.start);
                let condition = self.on_a_line(when.span.start, when.span.end);
                let clauses = self.on_a_line(when.span.end, end);
                match when.kind {
                    ast::ExprKind::Or(..) => format!("{head} ({condition}) and {} {clauses}", not_from(set)),
                    _ => format!("{head} {condition} and {} {clauses}", not_from(set)),
                }
            }
        };
        comment.chain([line.trim_end()]).map(|line| format!("{line}\n")).collect()
    }

    /// What stands behind its name.
    pub(super) fn behind_name(&self) -> String {
        self.on_a_line(self.name_end(), self.statement.span.end)
    }

    fn name_end(&self) -> u32 {
        self.statement.name.as_ref().map_or(self.statement.action_span, |name| name.span).end
    }

    /// What stands from here to there, on one line and without comments.
    fn on_a_line(&self, first: u32, end: u32) -> String {
        let source = self.statement.span.source;
        let (mut text, mut start) = (String::new(), first);
        for comment in self.comments.iter().filter(|comment| comment.start >= first && comment.end <= end) {
            text.push_str(self.sources.text(Span::new(source, start, comment.start)));
            start = comment.end;
        }
        text.push_str(self.sources.text(Span::new(source, start, end)));
        // Strings of the language end on their line.
        text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
    }
}

/// Whether a condition leaves a set's sources out by itself, by the name of the set.
fn spares(when: &ast::Expr, set: &str) -> bool {
    use ast::ExprKind::{And, InSet, Not, Path};
    match &when.kind {
        And(a, b) => spares(a, set) || spares(b, set),
        Not(of) => match &of.kind {
            InSet(field, name) => {
                name.text == set && matches!(&field.kind, Path(path) if path.to_string() == SOURCE)
            }
            _ => false,
        },
        _ => false,
    }
}

fn not_from(set: &str) -> String {
    format!("not {SOURCE} in {set}")
}

#[cfg(test)]
mod tests {
    use super::super::written::Edit;
    use super::*;
    use crate::Source;
    use weir_detect::mine::Protected;

    #[test]
    fn a_set_is_left_out_of_any_statement_once() {
        let cases = [
            ("drop x", "drop x when not ip.src in protected\n"),
            (
                "# why\n\n  # so\ndrop x when udp",
                "# why\n# so\ndrop x when udp and not ip.src in protected\n",
            ),
            ("drop x when udp or tcp # both", "drop x when (udp or tcp) and not ip.src in protected\n"),
            (
                "shadow limit x when (udp or tcp) to 10/s per ip.src/24/56",
                "shadow limit x when ( (udp or tcp) and not ip.src in protected ) to 10/s per ip.src/24/56\n",
            ),
            ("limit x to 10/s", "limit x when not ip.src in protected to 10/s\n"),
            (
                "drop x when udp.srcport in { 53, # DNS\n    123 }\n    and not udp.dstport == 1",
                "drop x when udp.srcport in { 53, 123 } and not udp.dstport == 1 and not ip.src in protected\n",
            ),
            ("drop x when (udp) or (tcp)", "drop x when ((udp) or (tcp)) and not ip.src in protected\n"),
            ("drop x when not ip.src in protected and udp", "drop x when not ip.src in protected and udp\n"),
            (
                "drop x when udp or not ip.src in protected",
                "drop x when (udp or not ip.src in protected) and not ip.src in protected\n",
            ),
            (
                "drop x when not ip.dst in protected",
                "drop x when not ip.dst in protected and not ip.src in protected\n",
            ),
        ];
        let text = "set protected : ip = { 192.0.2.0/24, 2001:db8::/32 } timeout 10m\n";
        let policy = Source { name: "edge.weir".into(), text: text.into(), files: Vec::new() };
        let protected = Protected { set: Some("protected".into()), ..Protected::default() };
        for (text, spared) in cases {
            let read = |text: &str| Taking::read("x", text).unwrap_or_else(|told| panic!("{told}"));
            assert_eq!(read(text).text(Some("protected")), spared, "{text}");
            assert_eq!(read(spared).text(Some("protected")), spared, "it is left out already");
            assert_eq!(read(&read(text).text(None)).text(Some("protected")), spared, "{text}");
            // The proof that is asked of people holds for it.
            let edit = Edit::read(&policy, "x", spared, &protected);
            assert!(edit.is_ok(), "{spared}: {}", edit.unwrap_err());
        }
    }
}

//! Statements → a policy that a person can read.

use crate::condition::Condition;
use crate::names::Names;
use crate::rule::{Chain, Limit, Live, Set};
use crate::{Finding, Format, Import, Kind};
use std::fmt::Write;
use weir_compiler::source::Sources;
use weir_compiler::syntax;

/// A list with more values becomes a set.
const LONG: usize = 12;
/// Where lines of comments and elements end.
const WIDTH: usize = 100;

/// A policy in pieces.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    /// What was imported.
    pub(crate) about: String,
    /// What holds for the whole policy.
    pub(crate) remarks: Vec<String>,
    /// Sets that statements may ask for.
    pub(crate) sets: Vec<Set>,
    pub(crate) steps: Vec<Step>,
    /// The default.
    pub(crate) drops: bool,
}

/// A line of the policy.
#[derive(Debug)]
pub(crate) enum Step {
    Statement(Statement),
    Finding(Finding),
}

/// A statement.
#[derive(Debug)]
pub(crate) struct Statement {
    name: String,
    /// Whether somebody chose the name.
    chosen: bool,
    when: Condition,
    action: Action,
    remark: Option<String>,
}

/// What a statement does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Action {
    Pass,
    Drop,
    Count,
    Limit(Limit),
}

impl Statement {
    /// One whose name was made.
    pub(crate) fn new(name: impl Into<String>, when: Condition, action: Action) -> Statement {
        Statement { name: name.into(), chosen: false, when, action, remark: None }
    }

    /// Somebody chose the name.
    pub(crate) fn chosen(self, chosen: bool) -> Statement {
        Statement { chosen, ..self }
    }

    /// Says something above it.
    pub(crate) fn remark(self, text: impl Into<String>) -> Statement {
        Statement { remark: Some(text.into()), ..self }
    }

    /// Takes the next statement in, if the two differ in the values of one comparison alone.
    fn takes(&mut self, next: &Statement) -> bool {
        let verdicts = matches!(self.action, Action::Pass | Action::Drop) && self.action == next.action;
        let names = self.name == next.name || !self.chosen && !next.chosen;
        if !verdicts || !names || self.remark.is_some() || next.remark.is_some() {
            return false;
        }
        self.when.widen(&next.when)
    }
}

/// What chains of these hooks saw, and a policy at an interface sees.
pub(crate) fn remarks_on(chains: &[&Chain]) -> Vec<String> {
    let hooks: Vec<&str> =
        chains.iter().filter_map(|chain| Some(chain.base.as_ref()?.hook.as_str())).collect();
    let mut remarks = Vec::new();
    for hook in hooks {
        remarks.extend(match hook {
            "input" => Some(
                "The chain saw packets to this machine alone, fragments put together; the policy judges \
                 every frame that comes in.",
            ),
            "forward" => Some(
                "The chain saw packets that this machine forwards; the policy judges every frame that comes in.",
            ),
            "output" | "postrouting" => Some("The chain saw packets that go out: attach the policy to tc egress."),
            _ => None,
        });
    }
    remarks.dedup();
    remarks.into_iter().map(str::to_owned).collect()
}

/// The policy of a draft.
pub(crate) fn policy(draft: Draft, format: Format, source: &str) -> Import {
    let mut steps = merged(draft.steps);
    let mut findings: Vec<Finding> = Vec::new();
    steps.retain(|step| match step {
        Step::Finding(finding) if findings.contains(finding) => false,
        Step::Finding(finding) => {
            findings.push(finding.clone());
            true
        }
        Step::Statement(_) => true,
    });
    let mut sets = draft.sets;
    shorten(&mut steps, &mut sets);
    let wanted = wanted(&steps);
    sets.retain(|set| wanted.contains(&set.name));
    findings.splice(0..0, sets.iter().filter_map(|set| set.changed.clone()));
    let mut text = head(format, source, &draft.about, &draft.remarks, &findings);
    sets.iter().for_each(|set| write_set(&mut text, set));
    text.push('\n');
    let statements = write_steps(&mut text, &steps);
    let _ = writeln!(text, "default {}", if draft.drops { "drop" } else { "pass" });
    Import { format, policy: formatted(text), statements, findings }
}

fn merged(steps: Vec<Step>) -> Vec<Step> {
    let mut kept: Vec<Step> = Vec::new();
    for step in steps {
        if let (Some(Step::Statement(last)), Step::Statement(next)) = (kept.last_mut(), &step)
            && last.takes(next)
        {
            continue;
        }
        kept.push(step);
    }
    kept
}

/// Long lists become sets, called as the statement that asks for them; equal ones are one.
fn shorten(steps: &mut [Step], sets: &mut Vec<Set>) {
    let mut names = Names::default();
    sets.iter().for_each(|set| drop(names.give(&set.name)));
    let declared = sets.len();
    for step in steps {
        let Step::Statement(statement) = step else { continue };
        let name = statement.name.clone();
        statement.when.lists(&mut |condition| {
            let Condition::Is(field, values) = condition else { return };
            if values.len() <= LONG {
                return;
            }
            let types: Vec<String> = field.trim_matches(['(', ')']).split(", ").map(type_of).collect();
            let known = sets[declared..].iter().find(|set| set.elements == *values && set.types == types);
            let known = known.map(|set| set.name.clone());
            let set = known.unwrap_or_else(|| {
                let set = names.give(&name);
                let elements = values.clone();
                sets.push(Set { name: set.clone(), types, elements, live: None, changed: None });
                set
            });
            *condition = Condition::InSet(field.clone(), set);
        });
    }
}

/// A set's type, for the values of a field: its name says it, except where the name has an index.
fn type_of(field: &str) -> String {
    match field {
        "ip6.dstopts[1].nxt" => "u8".into(),
        _ if field.ends_with("port") => "port".into(),
        "ip4.src" | "ip4.dst" => "ip4".into(),
        "ip6.src" | "ip6.dst" => "ip6".into(),
        "eth.src" | "eth.dst" => "mac".into(),
        _ => field.into(),
    }
}

fn head(format: Format, source: &str, about: &str, remarks: &[String], findings: &[Finding]) -> String {
    let mut text = String::new();
    let what = match format {
        Format::DeCix => "ACLs of DE-CIX".to_owned(),
        Format::List => "a list of addresses".to_owned(),
        _ => format!("{format}: {about}"),
    };
    comment(&mut text, "", &format!("Imported from `{source}`, {what}."));
    remarks.iter().for_each(|remark| comment(&mut text, "", remark));
    let count = |kind| findings.iter().filter(|finding| finding.kind == kind).count();
    let (refused, changed) = (count(Kind::Refused), count(Kind::Changed));
    if refused + changed > 0 {
        comment(
            &mut text,
            "",
            &format!(
                "Not as it was: {refused} refused, {changed} changed; each stands where its rule stood."
            ),
        );
    }
    text.push('\n');
    text
}

/// The sets that statements ask for.
fn wanted(steps: &[Step]) -> Vec<String> {
    let mut wanted = Vec::new();
    for step in steps {
        if let Step::Statement(statement) = step {
            asked(&statement.when, &mut wanted);
        }
    }
    wanted
}

fn asked(condition: &Condition, sets: &mut Vec<String>) {
    match condition {
        Condition::All(parts) | Condition::Any(parts) => parts.iter().for_each(|part| asked(part, sets)),
        Condition::Not(inner) => asked(inner, sets),
        Condition::InSet(_, name) => sets.push(name.clone()),
        _ => {}
    }
}

fn write_set(text: &mut String, set: &Set) {
    if let Some(finding) = &set.changed {
        write_finding(text, finding);
    }
    let types = match set.types.as_slice() {
        [one] => one.clone(),
        many => format!("({})", many.join(", ")),
    };
    let _ = write!(text, "set {} : {types}", set.name);
    match set.elements.len() {
        0 => {}
        1..=LONG if set.elements.iter().map(String::len).sum::<usize>() < WIDTH / 2 => {
            let _ = write!(text, " = {{ {} }}", set.elements.join(", "));
        }
        _ => {
            text.push_str(" = {\n");
            let words = set.elements.iter().map(|element| format!("{element},"));
            filled(words, WIDTH - 8).iter().for_each(|line| text.push_str(&format!("    {line}\n")));
            text.push('}');
        }
    }
    if let Some(Live { timeout, max }) = &set.live {
        let timeout = timeout.map(|seconds| format!(" timeout {seconds}s")).unwrap_or_default();
        let _ = write!(text, "{timeout} max {max}");
    }
    text.push('\n');
}

/// How many statements there are.
fn write_steps(text: &mut String, steps: &[Step]) -> usize {
    let mut names = Names::default();
    let mut statements = 0;
    for step in steps {
        match step {
            Step::Finding(finding) => write_finding(text, finding),
            Step::Statement(statement) => {
                write_statement(text, statement, &names.give(&statement.name));
                statements += 1;
            }
        }
    }
    statements
}

fn write_finding(text: &mut String, finding: &Finding) {
    let kind = match finding.kind {
        Kind::Refused => "refused",
        Kind::Changed => "changed",
        Kind::Ignored => "left out",
    };
    comment(text, "", &format!("{kind}, {}: {}", finding.place, finding.rule));
    comment(text, "    ", &finding.why);
}

fn write_statement(text: &mut String, statement: &Statement, name: &str) {
    if let Some(remark) = &statement.remark {
        comment(text, "", remark);
    }
    let verb = match &statement.action {
        Action::Pass => "pass",
        Action::Drop => "drop",
        Action::Count => "count",
        Action::Limit(_) => "limit",
    };
    let _ = write!(text, "{verb} {name}");
    if statement.when != Condition::Always {
        let _ = write!(text, " when {}", statement.when);
    }
    if let Action::Limit(limit) = &statement.action {
        let _ = write!(text, " to {} burst {}", limit.rate, limit.burst);
        match limit.per.as_slice() {
            [] => {}
            [one] => text.push_str(&format!(" per {one}")),
            many => text.push_str(&format!(" per ({})", many.join(", "))),
        }
        if let Some(max) = limit.max {
            let _ = write!(text, " max {max}");
        }
    }
    text.push('\n');
}

/// Foreign text stays on its line, whatever it holds.
fn comment(text: &mut String, indent: &str, what: &str) {
    let printable: String = what.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    for line in filled(printable.split_whitespace().map(str::to_owned), WIDTH) {
        let _ = writeln!(text, "# {indent}{line}");
    }
}

fn filled(words: impl Iterator<Item = String>, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in words {
        match lines.last_mut() {
            Some(line) if line.len() + word.len() < width => {
                line.push(' ');
                line.push_str(&word);
            }
            _ => lines.push(word),
        }
    }
    lines
}

/// As `weir fmt` writes it.
fn formatted(text: String) -> String {
    let mut sources = Sources::default();
    let id = sources.add("imported", text.as_str());
    syntax::format(&sources, id).unwrap_or(text)
}

//! Lists of addresses: plain, netset, `ipset save`, Spamhaus DROP as text and as JSON.

use crate::condition::Condition;
use crate::ipset::address;
use crate::names;
use crate::rule::{Live, Origin, Set};
use crate::write::{Action, Draft, Statement, Step};
use crate::{Finding, Garbage, Kind};
use serde_json::Value;

/// What an empty list can be filled with while the policy runs.
const MAX_OF_EMPTY: u64 = 65_536;

/// Reads a list: one set, one statement that drops what comes from it.
pub(crate) fn read(text: &str, source: &str) -> Result<Draft, Garbage> {
    let mut elements = Vec::new();
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        match element(line) {
            Line::Nothing => {}
            Line::Element(element) => elements.push(element),
            Line::Other => findings.push(not_an_address(index + 1, line)),
        }
    }
    if elements.is_empty()
        && let Some(first) = findings.first()
    {
        return Err(Garbage::new(format!("{}: no address, prefix or range: `{}`", first.place, first.rule))
            .help("a list has one a line: `192.0.2.1`, `192.0.2.0/24`, `192.0.2.1-192.0.2.9`"));
    }
    Ok(draft(&names::name(stem(source)), elements, findings))
}

fn draft(name: &str, elements: Vec<String>, findings: Vec<Finding>) -> Draft {
    let live = elements.is_empty().then_some(Live { timeout: None, max: MAX_OF_EMPTY });
    let condition = Condition::InSet("ip.src".into(), name.to_owned());
    let statement = Statement::new(name, condition, Action::Drop);
    let mut steps: Vec<Step> = findings.into_iter().map(Step::Finding).collect();
    steps.push(Step::Statement(statement));
    let set = Set { name: name.to_owned(), types: vec!["ip".into()], elements, live, changed: None };
    Draft { sets: vec![set], steps, ..Draft::default() }
}

fn not_an_address(number: usize, line: &str) -> Finding {
    let text = line.trim().chars().take(80).collect();
    let origin = Origin { place: format!("line {number}"), chain: String::new(), text };
    origin.finding(Kind::Refused, "no address, prefix or range of addresses")
}

/// The file's name without directories and extension.
fn stem(source: &str) -> &str {
    let file = source.rsplit('/').next().unwrap_or(source);
    let stem = file.split('.').next().filter(|stem| !stem.is_empty()).unwrap_or(file);
    if stem.chars().any(|letter| letter.is_ascii_alphanumeric()) && source != "<stdin>" {
        stem
    } else {
        "listed"
    }
}

/// Whether the first line that says something is an address.
pub(crate) fn looks_like(text: &str) -> bool {
    let said = text.lines().map(element).find(|line| !matches!(line, Line::Nothing));
    matches!(said, Some(Line::Element(_)))
}

/// Whether each line is a JSON object with an address: Spamhaus' form.
pub(crate) fn is_json_lines(text: &str) -> bool {
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    matches!(json_element(first), Some(Line::Element(_)))
}

enum Line {
    Nothing,
    Element(String),
    Other,
}

fn element(line: &str) -> Line {
    let line = line.trim();
    if line.starts_with('{') {
        return json_element(line).unwrap_or(Line::Other);
    }
    let said = line.split(['#', ';']).next().unwrap_or_default();
    let words: Vec<&str> = said.split_whitespace().collect();
    let text = match words.as_slice() {
        [] | ["create" | "-N" | "flush" | "destroy", ..] => return Line::Nothing,
        ["add" | "-A", _, element, ..] => (*element).to_owned(),
        [one] => (*one).to_owned(),
        [low, "-", high] => format!("{low}-{high}"),
        // First and last address, then the prefix length and what else is known: DShield.
        [low, high, ..] if high.contains(['.', ':']) => format!("{low}-{high}"),
        _ => return Line::Other,
    };
    address(&text).map_or(Line::Other, Line::Element)
}

/// `{"cidr":"192.0.2.0/24","sblid":"SBL1"}`; the last line counts the others.
fn json_element(line: &str) -> Option<Line> {
    let value: Value = serde_json::from_str(line).ok()?;
    if value.get("type").and_then(Value::as_str) == Some("metadata") {
        return Some(Line::Nothing);
    }
    address(value.get("cidr")?.as_str()?).map(Line::Element)
}

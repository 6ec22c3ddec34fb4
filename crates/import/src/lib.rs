//! Foreign rule sets → policies.
//!
//! [`import`] reads what another tool has written (iptables-save, `nft -j list ruleset`, DE-CIX's ACLs, lists of
//! addresses) and gives a policy that means the same, as text, and what it could not express, rule by rule.
//! One module reads each format into the common model of `rule`; `flow` makes statements of chains, `write`
//! a policy of statements. `docs/import.md` says what is expressed and what is not.

mod condition;
mod de_cix;
mod flow;
mod ipset;
mod iptables;
mod list;
mod names;
mod nft;
mod numbers;
mod rule;
mod transport;
mod write;

use rule::Ruleset;
use serde::Serialize;
use std::fmt;

/// What a text is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// What `iptables-save` writes.
    Iptables,
    /// What `ip6tables-save` writes.
    Ip6tables,
    /// What `nft -j list ruleset` writes.
    Nft,
    /// DE-CIX's mined ACLs.
    DeCix,
    /// Addresses, one a line.
    List,
}

/// How to import.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The format; guessed from the content if not said.
    pub from: Option<Format>,
    /// Chains that packets enter, by name or `table/name`; empty for the one that there is.
    pub chains: Vec<String>,
    /// The interface at which the policy will be, to which rules about interfaces are held.
    pub interface: Option<String>,
    /// What `ipset save` writes, for rules that ask for its sets.
    pub ipset: Option<String>,
    /// What the text is called, for the policy's first line and for a list's names.
    pub name: String,
}

/// A policy, and what it does not say.
#[derive(Clone, Debug)]
pub struct Import {
    /// The format that was read.
    pub format: Format,
    /// The policy's text, formatted.
    pub policy: String,
    /// How many statements it has.
    pub statements: usize,
    /// Rules that it does not express, or not quite, in their order.
    pub findings: Vec<Finding>,
}

/// A rule that became no statement, or one that differs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub kind: Kind,
    /// Where: `line 7`, `handle 12`.
    pub place: String,
    /// The rule's chain, if there is one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub chain: String,
    /// The rule's own text.
    pub rule: String,
    /// Why.
    pub why: String,
}

/// What became of a rule that is told about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// It is not in the policy, which judges its packets by the other rules.
    Refused,
    /// Its statement does something else to the packets.
    Changed,
    /// It is not in the policy, and no verdict depends on it.
    Ignored,
}

impl Import {
    /// Whether the policy says all that the rules say.
    pub fn is_complete(&self) -> bool {
        self.findings.iter().all(|finding| finding.kind == Kind::Ignored)
    }
}

/// A text that could not be read, or a question that must be answered first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Garbage {
    /// Lower case, no full stop, with the line or the path.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Garbage {
    pub(crate) fn new(message: impl Into<String>) -> Garbage {
        Garbage { message: message.into(), help: None }
    }

    pub(crate) fn help(self, help: impl Into<String>) -> Garbage {
        Garbage { help: Some(help.into()), ..self }
    }
}

impl fmt::Display for Garbage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Garbage {}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Iptables => "iptables",
            Format::Ip6tables => "ip6tables",
            Format::Nft => "nft",
            Format::DeCix => "de-cix",
            Format::List => "list",
        })
    }
}

/// Reads a foreign rule set and writes a policy.
///
/// # Errors
/// When the text is not of its format, or when it is not clear which of its chains are meant.
pub fn import(text: &str, options: &Options) -> Result<Import, Garbage> {
    let format = match options.from {
        Some(format) => format,
        None => guess(text)?,
    };
    let draft = match format {
        Format::Iptables | Format::Ip6tables => from_chains(iptables::read(text, format, options)?, options),
        Format::Nft => from_chains(nft::read(text, options)?, options),
        Format::DeCix => de_cix::read(text),
        Format::List => list::read(text, &options.name),
    }?;
    Ok(write::policy(draft, format, &options.name))
}

/// The format of a text, as its content tells.
///
/// # Errors
/// When it looks like none of them.
pub fn guess(text: &str) -> Result<Format, Garbage> {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    if line.starts_with('{') || line.starts_with('[') {
        return guess_json(text);
    }
    if text.lines().any(|line| line.starts_with('*') || line.starts_with("-A ")) {
        return Ok(if iptables::is_v6(text) { Format::Ip6tables } else { Format::Iptables });
    }
    if text.lines().any(|line| line.starts_with("table ") && line.trim_end().ends_with('{')) {
        return Err(
            Garbage::new("line 1: this is nft's text form").help("import its JSON: `nft -j list ruleset`")
        );
    }
    if list::looks_like(text) {
        return Ok(Format::List);
    }
    Err(Garbage::new("line 1: this is neither a rule set nor a list of addresses").help(
        "import what `iptables-save`, `ip6tables-save` or `nft -j list ruleset` writes, a DE-CIX ACL file, or \
         addresses, one a line; or say what it is with `--from`",
    ))
}

/// A rule set of nft has one key, DE-CIX's file an object of objects; Spamhaus' lists have an object a line.
fn guess_json(text: &str) -> Result<Format, Garbage> {
    if list::is_json_lines(text) {
        return Ok(Format::List);
    }
    let value: serde_json::Value = serde_json::from_str(text).map_err(|error| not_json(&error))?;
    match value.as_object() {
        Some(object) if object.contains_key("nftables") => Ok(Format::Nft),
        Some(object) if object.values().any(|value| value.get("port_src").is_some()) => Ok(Format::DeCix),
        _ => Err(Garbage::new(".: neither `nftables` nor ACLs with `port_src` are in this JSON")
            .help("import what `nft -j list ruleset` writes, or a DE-CIX ACL file")),
    }
}

fn not_json(error: &serde_json::Error) -> Garbage {
    let text = error.to_string();
    let what = text.split(" at line").next().unwrap_or(&text).to_owned();
    Garbage::new(format!("line {}, column {}: not JSON: {what}", error.line(), error.column()))
        .help("is the file complete?")
}

fn from_chains(rules: Ruleset, options: &Options) -> Result<write::Draft, Garbage> {
    let chains = flow::entered(&rules, &options.chains)?;
    let mut flow = flow::flatten(&rules, &chains)?;
    let said = flow::others(&rules, &chains).into_iter().map(write::Step::Finding);
    flow.steps.splice(0..0, said);
    let about = chains.iter().map(|chain| format!("chain `{}` of table `{}`", chain.name, chain.table));
    Ok(write::Draft {
        about: about.collect::<Vec<_>>().join(", then "),
        remarks: write::remarks_on(&chains),
        sets: rules.sets,
        steps: flow.steps,
        drops: flow.drops,
    })
}

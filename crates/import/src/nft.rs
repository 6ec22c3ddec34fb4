//! `nft -j list ruleset`.

mod fields;
mod matches;
mod rates;
mod sets;
mod show;
mod values;

use crate::names::{self, Names};
use crate::rule::{Base, Chain, Entry, Family, Origin, Rule, Ruleset, Target};
use crate::{Finding, Garbage, Kind, Options, not_json};
use matches::Matches;
use serde_json::Value;
use sets::NamedSet;

/// Reads the tables.
pub(crate) fn read(text: &str, options: &Options) -> Result<Ruleset, Garbage> {
    let value: Value = serde_json::from_str(text).map_err(|error| not_json(&error))?;
    let Some(objects) = value.get("nftables").and_then(Value::as_array) else {
        return Err(Garbage::new(".nftables: there is no such list")
            .help("write the file with `nft -j list ruleset`"));
    };
    let mut rules = Ruleset::default();
    let mut sets = Vec::new();
    let mut taken = Names::default();
    for (index, object) in objects.iter().enumerate() {
        let path = format!(".nftables[{index}]");
        if let Some(chain) = object.get("chain") {
            rules.chains.extend(chain_of(&path, chain)?);
        }
        if let Some(set) = object.get("set").or_else(|| object.get("map")) {
            sets.push(NamedSet::read(&path, set, &mut taken)?);
        }
    }
    for (index, object) in objects.iter().enumerate() {
        if let Some(rule) = object.get("rule") {
            add_rule(&mut rules, &sets, options, &format!(".nftables[{index}].rule"), rule)?;
        }
    }
    rules.sets = sets.into_iter().filter_map(NamedSet::declared).collect();
    Ok(rules)
}

/// A text under a key, or where it is missing.
fn text<'a>(path: &str, object: &'a Value, key: &str) -> Result<&'a str, Garbage> {
    object
        .get(key)
        .and_then(Value::as_str)
        .ok_or_else(|| Garbage::new(format!("{path}.{key}: a text is missing")).help(AS_PRINTED))
}

const AS_PRINTED: &str = "import what `nft -j list ruleset` prints, as it is";

fn table_of(path: &str, object: &Value) -> Result<String, Garbage> {
    Ok(format!("{} {}", text(path, object, "family")?, text(path, object, "table")?))
}

fn family_of(name: &str) -> Option<Family> {
    match name {
        "ip" => Some(Family::V4),
        "ip6" => Some(Family::V6),
        "inet" => Some(Family::Both),
        "bridge" | "netdev" => Some(Family::Link),
        _ => None,
    }
}

/// A chain; nothing for families that see no packets of ours (`arp`).
fn chain_of(path: &str, chain: &Value) -> Result<Option<Chain>, Garbage> {
    let path = format!("{path}.chain");
    let Some(family) = family_of(text(&path, chain, "family")?) else { return Ok(None) };
    let base = chain.get("hook").and_then(Value::as_str).map(|hook| Base {
        hook: hook.to_owned(),
        priority: chain.get("prio").and_then(Value::as_i64).unwrap_or(0),
        filters: chain.get("type").and_then(Value::as_str) == Some("filter"),
        drops: chain.get("policy").and_then(Value::as_str) == Some("drop"),
    });
    let name = text(&path, chain, "name")?.to_owned();
    Ok(Some(Chain { table: table_of(&path, chain)?, name, family, base, entries: Vec::new() }))
}

fn add_rule(
    rules: &mut Ruleset,
    sets: &[NamedSet],
    options: &Options,
    path: &str,
    rule: &Value,
) -> Result<(), Garbage> {
    let (table, name) = (table_of(path, rule)?, text(path, rule, "chain")?);
    let Some(chain) = rules.chains.iter_mut().find(|chain| chain.table == table && chain.name == name) else {
        return match family_of(text(path, rule, "family")?) {
            None => Ok(()),
            Some(_) => {
                Err(Garbage::new(format!("{path}.chain: no chain is called `{name}`")).help(AS_PRINTED))
            }
        };
    };
    let Some(statements) = rule.get("expr").and_then(Value::as_array) else {
        return Err(Garbage::new(format!("{path}.expr: a list is missing")).help(AS_PRINTED));
    };
    let comment = rule.get("comment").and_then(Value::as_str);
    let place = match rule.get("handle").and_then(Value::as_u64) {
        Some(handle) => format!("handle {handle}"),
        None => path.to_owned(),
    };
    let origin = Origin { place, chain: name.to_owned(), text: show::rule(statements) };
    let generated = format!("{name}_{}", position(chain));
    let call = match comment {
        Some(comment) => (names::name(comment), true),
        None => (generated, false),
    };
    let scope = Scope { family: chain.family, table: &table, sets, options };
    let read = Reading { scope: &scope, origin: &origin, call };
    chain.entries.extend(read.entries(statements));
    Ok(())
}

/// Rules are counted as nft lists them, whatever they become.
fn position(chain: &Chain) -> usize {
    let mut places: Vec<&str> = chain
        .entries
        .iter()
        .map(|entry| match entry {
            Entry::Rule(rule) => rule.origin.place.as_str(),
            Entry::Aside(finding) => finding.place.as_str(),
        })
        .collect();
    places.dedup();
    places.len() + 1
}

/// What the rules of a table can name.
pub(super) struct Scope<'a> {
    family: Family,
    table: &'a str,
    sets: &'a [NamedSet],
    options: &'a Options,
}

impl<'a> Scope<'a> {
    /// `@blocked`
    fn set(&self, reference: &str) -> Option<&'a NamedSet> {
        let name = reference.strip_prefix('@')?;
        self.sets.iter().find(|set| set.table == self.table && set.name == name)
    }
}

/// One rule.
struct Reading<'a> {
    scope: &'a Scope<'a>,
    origin: &'a Origin,
    /// Its name, and whether its author called it so.
    call: (String, bool),
}

/// What a statement that ends a rule does.
enum End {
    Target(Target),
    /// `reject`: it drops, and more.
    Changed(Target, &'static str),
    Aside(Kind, String),
}

impl Reading<'_> {
    fn entries(&self, statements: &[Value]) -> Vec<Entry> {
        self.read(statements).unwrap_or_else(|(kind, why)| vec![Entry::Aside(self.finding(kind, why))])
    }

    fn finding(&self, kind: Kind, why: String) -> Finding {
        self.origin.finding(kind, why)
    }

    fn read(&self, statements: &[Value]) -> Result<Vec<Entry>, (Kind, String)> {
        let refused = |why: String| (Kind::Refused, why);
        if let Some(why) = only_tells(statements) {
            return Err((Kind::Ignored, why.to_owned()));
        }
        let mut found = Matches::new(self.scope);
        let mut entries = Vec::new();
        let mut counts = false;
        for (index, statement) in statements.iter().enumerate() {
            let (verb, about) =
                single(statement).ok_or_else(|| refused("a statement that is no object".into()))?;
            match verb {
                "counter" if statements[index + 1..].iter().any(asks) => {
                    entries.push(self.rule(&found, Target::Count, None)?);
                }
                "counter" => counts = true,
                "match" => found.add(about).map_err(refused)?,
                "limit" => found.limit(about).map_err(refused)?,
                "set" | "meter" => found.limit_by_key(about).map_err(refused)?,
                "vmap" => {
                    entries.extend(self.verdicts(&found, about)?);
                    return Ok(entries);
                }
                _ => match end(verb, about) {
                    None => {}
                    Some(End::Target(target)) => {
                        entries.push(self.rule(&found, target, None)?);
                        return Ok(entries);
                    }
                    Some(End::Changed(target, why)) => {
                        entries.push(self.rule(&found, target, Some(why))?);
                        return Ok(entries);
                    }
                    Some(End::Aside(kind, why)) => return Err((kind, why)),
                },
            }
        }
        if counts || entries.is_empty() {
            entries.push(self.rule(&found, Target::Count, None)?);
        }
        Ok(entries)
    }

    fn rule(&self, found: &Matches, target: Target, changed: Option<&str>) -> Result<Entry, (Kind, String)> {
        let (when, limit) = found.conditions()?;
        let (name, chosen) = self.call.clone();
        let changed = changed.map(str::to_owned);
        Ok(Entry::Rule(Rule { origin: self.origin.clone(), name, chosen, when, limit, target, changed }))
    }

    /// A verdict map: its keys exclude each other, so that each becomes a rule.
    fn verdicts(&self, found: &Matches, vmap: &Value) -> Result<Vec<Entry>, (Kind, String)> {
        let refused = |why: &str| (Kind::Refused, why.to_owned());
        let key = vmap.get("key").ok_or_else(|| refused("a map without a key"))?;
        let data = vmap.get("data").ok_or_else(|| refused("a map without data"))?;
        let pairs = match data.as_str() {
            Some(name) => self.scope.set(name).map(|map| map.verdicts.as_slice()),
            None => data.get("set").and_then(Value::as_array).map(Vec::as_slice),
        };
        let pairs = pairs.ok_or_else(|| refused("a map that is not in this file"))?;
        let mut entries = Vec::new();
        for pair in pairs {
            let (Some(value), Some(verdict)) = (pair.get(0), pair.get(1)) else {
                return Err(refused("an element of a map without a verdict"));
            };
            let (verb, about) = single(verdict).ok_or_else(|| refused("a verdict that is no object"))?;
            let mut own = found.clone();
            let default = value.as_str() == Some("*");
            if !default {
                own.compare(key, "==", sets::value(value)).map_err(|why| (Kind::Refused, why))?;
            }
            match (default, end(verb, about)) {
                (true, _) => return Err(refused("a verdict for all other keys (`*`)")),
                (_, Some(End::Target(target))) => match self.rule(&own, target, None) {
                    Ok(entry) => entries.push(entry),
                    Err((Kind::Ignored, why)) => entries.push(Entry::Aside(self.finding(Kind::Ignored, why))),
                    Err(other) => return Err(other),
                },
                (_, None) => {}
                _ => return Err(refused("a map to what is no verdict here")),
            }
        }
        Ok(entries)
    }
}

/// `{"accept": null}`: the verb and what is said of it.
fn single(statement: &Value) -> Option<(&str, &Value)> {
    let object = statement.as_object()?;
    let (verb, about) = object.iter().next()?;
    Some((verb, about))
}

/// Whether a packet may come to the statement and not behind it.
fn asks(statement: &Value) -> bool {
    ["match", "limit", "set", "meter", "vmap"].iter().any(|verb| statement.get(verb).is_some())
}

/// A rule that does nothing but tell somebody, whatever it matches.
fn only_tells(statements: &[Value]) -> Option<&'static str> {
    let verbs: Vec<&str> = statements.iter().filter_map(|one| single(one).map(|(verb, _)| verb)).collect();
    let silent = ["match", "limit", "counter", "log", "notrack"];
    let tells = verbs.contains(&"log") || verbs.contains(&"notrack");
    let only = verbs.iter().all(|verb| silent.contains(verb));
    (tells && only && !verbs.contains(&"counter"))
        .then_some("it logs or ends tracking; no verdict depends on it")
}

/// Nothing for statements that change no verdict.
fn end(verb: &str, about: &Value) -> Option<End> {
    let chain = || about.get("target").and_then(Value::as_str).unwrap_or_default().to_owned();
    let refused = |why: &str| Some(End::Aside(Kind::Refused, why.to_owned()));
    match verb {
        "accept" => Some(End::Target(Target::Accept)),
        "drop" => Some(End::Target(Target::Drop)),
        "return" => Some(End::Target(Target::Return)),
        "jump" => Some(End::Target(Target::Jump(chain()))),
        "goto" => Some(End::Target(Target::Goto(chain()))),
        "reject" => Some(End::Changed(Target::Drop, crate::iptables::REJECTED)),
        "continue" | "log" | "notrack" => None,
        "mangle" => refused("Weir does not change packets or their marks"),
        "snat" | "dnat" | "masquerade" | "redirect" | "tproxy" | "fwd" | "dup" => {
            refused("Weir does not translate, redirect or copy")
        }
        "queue" => refused("Weir hands no packets to programs"),
        "xt" => refused("an extension of iptables, which nft does not show: import `iptables-save`"),
        other => Some(End::Aside(Kind::Refused, format!("the statement `{other}` has no counterpart"))),
    }
}

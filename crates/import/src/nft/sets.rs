//! Named sets and maps.

use super::values::{Constant, element};
use super::{table_of, text};
use crate::names::{self, Names};
use crate::rule::{Live, Set};
use crate::{Finding, Garbage, Kind};
use serde_json::Value;

/// What a set holds that does not say how much.
const MAX: u64 = 65_536;

/// A set or a map of a table.
pub(crate) struct NamedSet {
    pub(super) table: String,
    pub(super) name: String,
    /// The name in the policy.
    pub(super) called: String,
    types: Option<Vec<Constant>>,
    elements: Vec<String>,
    /// Pairs of keys and verdicts.
    pub(super) verdicts: Vec<Value>,
    live: Option<Live>,
    fading: usize,
    /// Why it cannot be asked.
    pub(super) refused: Option<String>,
    pub(super) size: Option<u64>,
}

impl NamedSet {
    pub(super) fn read(path: &str, set: &Value, taken: &mut Names) -> Result<NamedSet, Garbage> {
        let path = &format!("{path}.set");
        let (table, name) = (table_of(path, set)?, text(path, set, "name")?.to_owned());
        let types = types(set);
        let empty = Vec::new();
        let written = set.get("elem").and_then(Value::as_array).unwrap_or(&empty);
        let verdict_map = set.get("map").is_some();
        let mut own = NamedSet {
            table,
            called: taken.give(&names::name(&name)),
            name,
            elements: Vec::new(),
            verdicts: if verdict_map { written.clone() } else { Vec::new() },
            live: None,
            fading: written.iter().filter(|element| element.pointer("/elem/expires").is_some()).count(),
            refused: None,
            size: set.get("size").and_then(Value::as_u64),
            types,
        };
        match &own.types {
            None => own.refused = Some(format!("the set `{}` holds what is not in a packet", own.name)),
            Some(_) if verdict_map => {}
            Some(types) => match written.iter().map(|one| element(value(one), types)).collect() {
                Ok(elements) => own.elements = elements,
                Err(why) => own.refused = Some(why),
            },
        }
        own.live = own.lives(set);
        Ok(own)
    }

    /// Sets of addresses that change stay so; so does one that waits to be filled.
    fn lives(&self, set: &Value) -> Option<Live> {
        let flags = set.get("flags").and_then(Value::as_array).into_iter().flatten();
        let changes = flags.filter_map(Value::as_str).any(|flag| matches!(flag, "timeout" | "dynamic"));
        let addresses = matches!(self.types.as_deref(), Some([Constant::Ip4 | Constant::Ip6]));
        let stays = !changes || !addresses;
        if stays && !self.elements.is_empty() {
            return None;
        }
        let timeout = set.get("timeout").and_then(Value::as_u64);
        let max = self.size.unwrap_or(MAX).max(self.elements.len() as u64);
        Some(Live { timeout, max })
    }

    pub(super) fn declared(self) -> Option<Set> {
        let types = self.types.filter(|_| self.refused.is_none())?;
        let changed = (self.fading > 0).then(|| Finding {
            kind: Kind::Changed,
            place: format!("set {}", self.name),
            chain: String::new(),
            rule: format!("set {} of table {}", self.name, self.table),
            why: format!(
                "{} of its elements have a lifetime; here they stay as long as the policy runs",
                self.fading
            ),
        });
        let types = types.iter().map(|ty| ty.name().to_owned()).collect();
        Some(Set { name: self.called, types, elements: self.elements, live: self.live, changed })
    }
}

fn types(set: &Value) -> Option<Vec<Constant>> {
    let ty = set.get("type")?;
    match ty.as_array() {
        Some(many) => many.iter().map(|one| Constant::named(one.as_str()?)).collect(),
        None => Some(vec![Constant::named(ty.as_str()?)?]),
    }
}

/// An element without its lifetime, comment and counter.
pub(super) fn value(element: &Value) -> &Value {
    element.pointer("/elem/val").unwrap_or(element)
}

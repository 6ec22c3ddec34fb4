//! `ipset save`: the sets that rules of iptables ask for.

use crate::condition::Condition;
use crate::names::{self, Names};
use crate::numbers::protocol_number;
use crate::rule::{Family, Live, Set};
use crate::transport::{carried, header_of};
use crate::{Finding, Garbage, Kind};
use std::net::IpAddr;

/// What ipset assumes where a set does not say how much it holds.
const MAX: u64 = 65_536;

/// A set of ipset.
#[derive(Debug, Default)]
pub(crate) struct IpSet {
    /// Its own name.
    pub(crate) name: String,
    /// The name in the policy.
    called: String,
    /// The line that made it.
    line: usize,
    text: String,
    six: bool,
    parts: Vec<Part>,
    elements: Vec<Element>,
    live: Option<Live>,
    /// Elements that would go by themselves.
    fading: usize,
    /// Why it cannot be asked.
    refused: Option<String>,
}

/// What a part of an element is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Part {
    Address,
    Port,
    Mac,
}

#[derive(Debug)]
struct Element {
    /// Of its port, if it has one.
    protocol: Option<u8>,
    values: Vec<String>,
}

/// Reads all sets.
pub(crate) fn read(text: &str) -> Result<Vec<IpSet>, Garbage> {
    let mut sets: Vec<IpSet> = Vec::new();
    let mut names = Names::default();
    for (index, line) in text.lines().enumerate() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [] => {}
            [first, ..] if first.starts_with('#') => {}
            ["create" | "-N", name, kind, options @ ..] => {
                sets.push(create(index + 1, line, name, names.give(name), kind, options));
            }
            ["add" | "-A", name, element, options @ ..] => {
                let Some(set) = sets.iter_mut().find(|set| set.name == *name) else {
                    return Err(Garbage::new(format!(
                        "line {} of the sets: no set is called `{name}`",
                        index + 1
                    ))
                    .help("give the whole of what `ipset save` writes"));
                };
                set.add(index + 1, element, options)?;
            }
            _ => {
                return Err(Garbage::new(format!(
                    "line {} of the sets: no line of `ipset save`: `{line}`",
                    index + 1
                ))
                .help("write the file with `ipset save`"));
            }
        }
    }
    Ok(sets)
}

fn create(line: usize, text: &str, name: &str, called: String, kind: &str, options: &[&str]) -> IpSet {
    let after = |word: &str| {
        let at = options.iter().position(|option| *option == word)?;
        options.get(at + 1).and_then(|value| value.parse::<u64>().ok())
    };
    let mut set = IpSet { name: name.into(), called, line, text: text.trim().into(), ..IpSet::default() };
    set.six = options.contains(&"inet6");
    for part in kind.split_once(':').map_or("", |(_, parts)| parts).split(',') {
        match part {
            "ip" | "net" => set.parts.push(Part::Address),
            "port" => set.parts.push(Part::Port),
            "mac" => set.parts.push(Part::Mac),
            other => {
                set.refused = Some(format!("a set of `{kind}` holds what is not in a packet: `{other}`"))
            }
        }
    }
    if let Some(timeout) = after("timeout") {
        let timeout = (timeout > 0).then_some(timeout);
        set.live = Some(Live { timeout, max: after("maxelem").unwrap_or(MAX) });
    }
    set
}

impl IpSet {
    fn add(&mut self, line: usize, text: &str, options: &[&str]) -> Result<(), Garbage> {
        if options.contains(&"nomatch") {
            self.refused = Some(format!("`{text}` is an exception (`nomatch`), which sets do not have here"));
        }
        self.fading += usize::from(options.contains(&"timeout"));
        let texts: Vec<&str> = text.split(',').collect();
        if self.refused.is_some() {
            return Ok(());
        }
        let wrong =
            || Garbage::new(format!("line {line} of the sets: no element of `{}`: `{text}`", self.name));
        if texts.len() != self.parts.len() {
            return Err(wrong());
        }
        let mut element = Element { protocol: None, values: Vec::new() };
        for (part, text) in self.parts.clone().into_iter().zip(texts) {
            let value = match part {
                Part::Address => address(text).filter(|value| value.contains(':') == self.six),
                Part::Mac => names::mac(text),
                Part::Port => port(text, &mut element.protocol),
            };
            element.values.push(value.ok_or_else(wrong)?);
        }
        self.elements.push(element);
        Ok(())
    }

    /// Whether it can be a set of the policy: those with ports are spelt out for each protocol.
    fn is_plain(&self) -> bool {
        self.refused.is_none() && !self.parts.contains(&Part::Port)
    }

    /// The set for the policy.
    pub(crate) fn declared(self, family: Family) -> Option<Set> {
        if !self.is_plain() || self.six != (family == Family::V6) {
            return None;
        }
        let addresses = self.parts == [Part::Address];
        let fading = (self.fading > 0).then(|| Finding {
            kind: Kind::Changed,
            place: format!("line {} of the sets", self.line),
            chain: String::new(),
            rule: self.text.clone(),
            why: format!(
                "{} of its elements had a lifetime; they stay as long as the policy runs",
                self.fading
            ),
        });
        let types = self.parts.iter().map(|part| match part {
            Part::Mac => "mac",
            _ if self.six => "ip6",
            _ => "ip4",
        });
        let types = types.map(str::to_owned).collect();
        let elements: Vec<String> = self.elements.into_iter().map(|element| joined(element.values)).collect();
        let empty = elements.is_empty().then_some(Live { timeout: None, max: MAX });
        let live = self.live.filter(|_| addresses).or(empty);
        Some(Set { name: self.called, types, elements, live, changed: fading })
    }

    /// The packet's values on these sides are in the set.
    pub(crate) fn condition(&self, sides: &str, family: Family) -> Result<Condition, String> {
        if let Some(why) = &self.refused {
            return Err(why.clone());
        }
        if self.six != (family == Family::V6) {
            return Err(format!("set `{}` is of the other family", self.name));
        }
        let sides: Vec<&str> = sides.split(',').collect();
        if sides.len() < self.parts.len() || sides.iter().any(|side| !matches!(*side, "src" | "dst")) {
            return Err(format!(
                "`{}` needs a side, `src` or `dst`, for each part of `{}`",
                sides.join(","),
                self.name
            ));
        }
        let fields = |header: &str| {
            let named = self.parts.iter().zip(&sides).map(|(part, side)| match part {
                Part::Address if self.six => format!("ip6.{side}"),
                Part::Address => format!("ip4.{side}"),
                Part::Port => format!("{header}.{side}port"),
                Part::Mac => format!("eth.{side}"),
            });
            joined(named.collect())
        };
        if self.is_plain() {
            return Ok(Condition::InSet(fields(""), self.called.clone()));
        }
        let mut protocols: Vec<Option<u8>> = self.elements.iter().map(|element| element.protocol).collect();
        protocols.sort_unstable();
        protocols.dedup();
        let each = protocols.into_iter().map(|protocol| self.with_ports(protocol, family, &fields));
        Ok(Condition::any(each.collect::<Result<Vec<_>, _>>()?))
    }

    /// The elements of one protocol; ports alone are of TCP and UDP.
    fn with_ports(
        &self,
        protocol: Option<u8>,
        family: Family,
        fields: &impl Fn(&str) -> String,
    ) -> Result<Condition, String> {
        let own = self.elements.iter().filter(|element| element.protocol == protocol);
        let values: Vec<String> = own.map(|element| joined(element.values.clone())).collect();
        let numbers = protocol.map_or(vec![6, 17], |number| vec![number]);
        let each = numbers.into_iter().map(|number| match header_of(number) {
            Some((header, true)) => {
                Ok(Condition::all([carried(family, number), Condition::Is(fields(header), values.clone())]))
            }
            _ => Err(format!("`{}` has elements with types of ICMP for ports", self.name)),
        });
        Ok(Condition::any(each.collect::<Result<Vec<_>, _>>()?))
    }
}

fn joined(values: Vec<String>) -> String {
    if values.len() == 1 { values.concat() } else { format!("({})", values.join(", ")) }
}

/// An address, a prefix or a range, as the language writes it.
pub(crate) fn address(text: &str) -> Option<String> {
    if let Some((low, high)) = text.split_once('-') {
        let (low, high): (IpAddr, IpAddr) = (low.trim().parse().ok()?, high.trim().parse().ok()?);
        let ordered = low.is_ipv4() == high.is_ipv4() && low <= high;
        return ordered.then(|| if low == high { low.to_string() } else { format!("{low}..{high}") });
    }
    let (address, length) =
        text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
    let address: IpAddr = address.trim().parse().ok()?;
    let whole = if address.is_ipv6() { 128 } else { 32 };
    names::network(address, length.map_or(Some(whole), |length| length.trim().parse().ok())?)
}

/// `tcp:80`, `80`, `80-90`
fn port(text: &str, protocol: &mut Option<u8>) -> Option<String> {
    let ports = match text.split_once(':') {
        Some((name, ports)) => {
            *protocol = Some(protocol_number(name)?);
            ports
        }
        None => text,
    };
    match ports.split_once('-') {
        Some((low, high)) => {
            let (low, high): (u16, u16) = (low.parse().ok()?, high.parse().ok()?);
            (low <= high).then(|| format!("{low}..{high}"))
        }
        None => ports.parse::<u16>().ok().map(|port| port.to_string()),
    }
}

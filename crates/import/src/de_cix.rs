//! DE-CIX's mined ACLs: <https://github.com/DE-CIX/ripe84-learning-acls>.
//!
//! Each says what attacks look like: protocol, ports, the size of the IP packet. `*` is any value, `~{…}` any but
//! these; no ports at all (0 and 0) means later fragments. A size is an interval as pandas writes it,
//! `(400,500]`: more than 400, at most 500. (Its README says it the other way round; then no ACL would hold
//! for packets of 1,500 bytes, which most of the attacks are made of.)

use crate::condition::Condition;
use crate::rule::Family;
use crate::transport::{header_of, numbered};
use crate::write::{Action, Draft, Statement, Step};
use crate::{Garbage, not_json};
use serde_json::Value;

/// Reads the ACLs. All drop, so their order is free: those that ask the same questions stand together, and become
/// one statement with a set of the answers. (A statement for each is more than the kernel's verifier follows.)
pub(crate) fn read(text: &str) -> Result<Draft, Garbage> {
    let value: Value = serde_json::from_str(text).map_err(|error| not_json(&error))?;
    let Some(object) = value.as_object() else {
        return Err(Garbage::new(".: ACLs are an object with an ACL under each identifier"));
    };
    let mut acls = object.iter().map(|(id, acl)| Acl::read(id, acl)).collect::<Result<Vec<_>, _>>()?;
    acls.sort_by(|a, b| a.order().cmp(&b.order()));
    let steps = acls
        .iter()
        .map(|acl| Step::Statement(Statement::new(format!("acl_{}", acl.id), acl.condition(), Action::Drop)));
    Ok(Draft { steps: steps.collect(), ..Draft::default() })
}

/// The values that a field may have.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Values {
    One(u64),
    Except(Vec<u64>),
    Any,
}

struct Acl {
    id: String,
    protocol: Values,
    source: Values,
    destination: Values,
    /// More than the first, at most the second.
    size: Option<(u64, u64)>,
}

impl Acl {
    fn read(id: &str, acl: &Value) -> Result<Acl, Garbage> {
        let field = |name: &str, most: u64| {
            let value = acl.get(name).ok_or_else(|| Garbage::new(format!(".{id}: there is no `{name}`")))?;
            values(value, most).ok_or_else(|| {
                Garbage::new(format!(".{id}.{name}: not a value: `{value}`"))
                    .help(format!("values are a number up to {most}, `\"*\"` and `\"~{{1,2}}\"`"))
            })
        };
        let wrong_size = || {
            Garbage::new(format!(".{id}.packet_size: not an interval"))
                .help("such as `\"(400,500]\"`, or `\"*\"`")
        };
        let size = acl.get("packet_size").and_then(Value::as_str).ok_or_else(wrong_size)?;
        Ok(Acl {
            id: id.to_owned(),
            protocol: field("protocol", 0xff)?,
            source: field("port_src", 0xffff)?,
            destination: field("port_dst", 0xffff)?,
            size: if size == "*" { None } else { Some(interval(size).ok_or_else(wrong_size)?) },
        })
    }

    /// By questions first, then by answers.
    fn order(&self) -> impl Ord {
        let question =
            |values: &Values| Some(values).filter(|values| !matches!(values, Values::One(_))).cloned();
        let ports = (question(&self.source), question(&self.destination));
        let answers = (self.source.clone(), self.destination.clone(), self.size, self.id.clone());
        (self.protocol.clone(), self.is_fragment(), ports, self.size.is_some(), answers)
    }

    fn is_fragment(&self) -> bool {
        (&self.source, &self.destination) == (&Values::One(0), &Values::One(0))
    }

    fn condition(&self) -> Condition {
        if self.is_fragment() {
            return Condition::all([self.later_fragment(), tuple(self.sizes())]);
        }
        let portless = (&self.source, &self.destination) == (&Values::Any, &Values::Any);
        match self.protocol {
            _ if portless => Condition::all([self.numbered(), tuple(self.sizes())]),
            Values::One(number) => self.ports(number),
            // No other protocol has ports that a flow's record would name.
            _ => {
                let all = [6, 17, 132, 136].into_iter().filter(|number| self.protocol.has(*number));
                Condition::any(all.map(|number| self.ports(number)))
            }
        }
    }

    fn ports(&self, number: u64) -> Condition {
        let Some((header, true)) = u8::try_from(number).ok().and_then(header_of) else {
            return Condition::Never;
        };
        let (mut others, mut one) = (Vec::new(), Vec::new());
        for (values, side) in [(&self.source, "srcport"), (&self.destination, "dstport")] {
            let field = format!("{header}.{side}");
            match values {
                Values::One(number) => one.push((field, number.to_string())),
                Values::Except(numbers) => others.push(Condition::differs(header, &field, texts(numbers))),
                Values::Any => {}
            }
        }
        one.extend(self.sizes());
        others.push(tuple(one));
        Condition::all(others)
    }

    fn sizes(&self) -> Vec<(String, String)> {
        let size = self.size.map(|(above, most)| ("ip.len".into(), format!("{}..{most}", above + 1)));
        size.into_iter().collect()
    }

    fn numbered(&self) -> Condition {
        match &self.protocol {
            Values::Any => Condition::test("ip"),
            Values::One(number) => numbered(Family::Link, &[number.to_string()], false),
            Values::Except(numbers) => numbered(Family::Link, &texts(numbers), true),
        }
    }

    fn later_fragment(&self) -> Condition {
        let number = |field: &str| match &self.protocol {
            Values::One(number) => Condition::is(field, number),
            Values::Except(numbers) => Condition::Is(field.into(), texts(numbers)).not(),
            Values::Any => Condition::Always,
        };
        Condition::any([
            Condition::all([Condition::test("ip4.frag != 0"), number("ip4.proto")]),
            Condition::all([Condition::test("ip6.frag.frag != 0"), number("ip6.frag.nxt")]),
        ])
    }
}

impl Values {
    fn has(&self, number: u64) -> bool {
        match self {
            Values::One(own) => *own == number,
            Values::Except(others) => !others.contains(&number),
            Values::Any => true,
        }
    }
}

/// Each field has its value.
fn tuple(parts: Vec<(String, String)>) -> Condition {
    let (fields, values): (Vec<String>, Vec<String>) = parts.into_iter().unzip();
    match fields.len() {
        0 => Condition::Always,
        1 => Condition::Is(fields.concat(), values),
        _ => Condition::Is(format!("({})", fields.join(", ")), vec![format!("({})", values.join(", "))]),
    }
}

fn texts(numbers: &[u64]) -> Vec<String> {
    numbers.iter().map(u64::to_string).collect()
}

fn values(value: &Value, most: u64) -> Option<Values> {
    if let Some(number) = value.as_u64() {
        return (number <= most).then_some(Values::One(number));
    }
    let text = value.as_str()?;
    if text == "*" {
        return Some(Values::Any);
    }
    let inside = text.strip_prefix("~{")?.strip_suffix('}')?;
    let numbers: Option<Vec<u64>> = inside.split(',').map(|number| number.trim().parse().ok()).collect();
    numbers.filter(|numbers| numbers.iter().all(|number| *number <= most)).map(Values::Except)
}

fn interval(text: &str) -> Option<(u64, u64)> {
    let (above, most) = text.strip_prefix('(')?.strip_suffix(']')?.split_once(',')?;
    let (above, most): (u64, u64) = (above.trim().parse().ok()?, most.trim().parse().ok()?);
    (above < most && most <= 0xffff).then_some((above, most))
}

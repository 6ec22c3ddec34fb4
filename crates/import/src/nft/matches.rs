//! What a rule matches: expressions → conditions.

use super::fields::{self, Field};
use super::values::{Constant, element, listed, number};
use super::{Scope, rates};
use crate::Kind;
use crate::condition::Condition;
use crate::rule::{Family, Limit};
use crate::transport::{self, Transport, carried, header_of};
use serde_json::Value;

/// Conditions of one rule, as its statements are read.
#[derive(Clone)]
pub(super) struct Matches<'a> {
    scope: &'a Scope<'a>,
    transport: Transport,
    when: Vec<Condition>,
    limit: Option<Limit>,
    /// The rule's own order: a limit counts what meets the matches before it.
    after_limit: bool,
    elsewhere: Option<String>,
}

type Said = Result<(), String>;

impl<'a> Matches<'a> {
    pub(super) fn new(scope: &'a Scope<'a>) -> Matches<'a> {
        Matches {
            scope,
            transport: Transport::new(scope.family),
            when: Vec::new(),
            limit: None,
            after_limit: false,
            elsewhere: None,
        }
    }

    /// The conditions and the limit.
    pub(super) fn conditions(&self) -> Result<(Vec<Condition>, Option<Limit>), (Kind, String)> {
        if let Some(why) = &self.elsewhere {
            return Err((Kind::Ignored, why.clone()));
        }
        if self.after_limit {
            let why = "the limit stands before other matches, and also counts packets that do not meet those";
            return Err((Kind::Refused, why.into()));
        }
        let when = self.transport.conditions().into_iter().chain(self.when.iter().cloned()).collect();
        Ok((when, self.limit.clone()))
    }

    /// A `match`.
    pub(super) fn add(&mut self, about: &Value) -> Said {
        let (Some(left), Some(right)) = (about.get("left"), about.get("right")) else {
            return Err("a comparison without two sides".into());
        };
        let op = about.get("op").and_then(Value::as_str).unwrap_or("==");
        self.compare(left, op, right)
    }

    pub(super) fn compare(&mut self, left: &Value, op: &str, right: &Value) -> Said {
        self.after_limit |= self.limit.is_some();
        let (kind, about) = super::single(left).ok_or_else(|| format!("`{left}` is no expression"))?;
        match kind {
            "payload" if about.get("protocol").and_then(Value::as_str) == Some("th") => {
                self.any_transport(about, op, right)
            }
            "payload" => {
                let field = self.field(left)?;
                self.relation(&field, op, right)
            }
            "&" => self.masked(about, op, right),
            "concat" => self.tuple(about, op, right),
            "meta" => self.meta(about.get("key").and_then(Value::as_str).unwrap_or_default(), op, right),
            "exthdr" => self.optional(fields::extension(about), None, op, right),
            "tcp option" => self.optional(fields::tcp_option(about), Some(6), op, right),
            "ct" => Err("Weir keeps no state of connections: each packet is judged by itself. Answers over \
                TCP have `tcp.flags.ack` or `tcp.flags.reset`"
                .into()),
            "fib" | "rt" => Err(format!("`{kind}` asks this machine's routes")),
            other => Err(format!("the expression `{other}` has no counterpart")),
        }
    }

    /// A field of a header, whose header is then asked for as well.
    fn field(&mut self, expression: &Value) -> Result<Field, String> {
        let payload = expression.get("payload").ok_or("only fields of headers can be compared like this")?;
        let name = |key: &str| payload.get(key).and_then(Value::as_str);
        let field = match (name("protocol"), name("field")) {
            (Some("th"), Some(field)) => {
                return Err(format!(
                    "`th {field}` is of any protocol: compare it alone, behind `meta l4proto`"
                ));
            }
            (Some(protocol), Some(field)) => fields::named(protocol, field)
                .ok_or_else(|| format!("the field `{protocol} {field}` is not known here"))?,
            _ => fields::raw(payload, self.scope.family).ok_or("these bytes are not all in one header")?,
        };
        if let Some(number) = field.protocol {
            self.transport.header(number);
        }
        Ok(field)
    }

    fn relation(&mut self, field: &Field, op: &str, right: &Value) -> Said {
        let condition = self.related(field, op, right)?;
        self.when.push(condition);
        Ok(())
    }

    fn related(&self, field: &Field, op: &str, right: &Value) -> Result<Condition, String> {
        if let Some(name) = right.as_str().filter(|text| text.starts_with('@')) {
            return self.in_set(&field.path, &field.header, op, name);
        }
        if field.mask.is_some() || matches!(op, "in" | "!") {
            return bits(field, op, right);
        }
        match op {
            "==" | "!=" => {
                let values: Result<Vec<String>, String> =
                    listed(right).into_iter().map(|value| element(value, &[field.ty])).collect();
                Ok(match op {
                    "==" => Condition::Is(field.path.clone(), values?),
                    _ => Condition::differs(&field.header, &field.path, values?),
                })
            }
            "<" | ">" | "<=" | ">=" => {
                let value = element(right, &[field.ty])?;
                Ok(Condition::test(format!("{} {op} {value}", field.path)))
            }
            other => Err(format!("the relation `{other}` has no counterpart")),
        }
    }

    fn in_set(&self, field: &str, header: &str, op: &str, name: &str) -> Result<Condition, String> {
        let set = self.scope.set(name).ok_or_else(|| format!("there is no set `{name}`"))?;
        if let Some(why) = &set.refused {
            return Err(why.clone());
        }
        let inside = Condition::InSet(field.to_owned(), set.called.clone());
        match op {
            "==" | "in" => Ok(inside),
            "!=" => Ok(Condition::all([Condition::test(header), inside.not()])),
            other => Err(format!("the relation `{other}` has no counterpart for sets")),
        }
    }

    /// `field & mask == value`
    fn masked(&mut self, about: &Value, op: &str, right: &Value) -> Said {
        let (Some(left), Some(mask)) = (about.get(0), about.get(1)) else {
            return Err("a mask without two sides".into());
        };
        let mut field = self.field(left)?;
        if let Some(bytes) = field.bytes.take() {
            let (mask, value) = (ip4_bits(mask)?, ip4_bits(right)?);
            let relation = equal_or_not(op)?;
            self.when.push(Condition::test(format!("{bytes} & {mask:#010x} {relation} {value:#010x}")));
            return Ok(());
        }
        if matches!(field.ty, Constant::Ip4 | Constant::Ip6 | Constant::Mac) {
            return Err("masked addresses of this family are not integers here".into());
        }
        field.mask = Some(number(mask, field.ty)?);
        self.relation(&field, op, right)
    }

    /// Several fields against tuples.
    fn tuple(&mut self, about: &Value, op: &str, right: &Value) -> Said {
        let parts = about.as_array().ok_or("a concatenation that is no list")?;
        let fields = parts.iter().map(|part| self.field(part)).collect::<Result<Vec<_>, _>>()?;
        if fields.iter().any(|field| field.mask.is_some()) {
            return Err("masked fields in a concatenation".into());
        }
        let paths: Vec<&str> = fields.iter().map(|field| field.path.as_str()).collect();
        let headers = Condition::all(fields.iter().map(|field| Condition::test(field.header.clone())));
        let whole = format!("({})", paths.join(", "));
        let inside = match right.as_str().filter(|text| text.starts_with('@')) {
            Some(name) => self.in_set(&whole, "", "==", name)?,
            None => {
                let types: Vec<Constant> = fields.iter().map(|field| field.ty).collect();
                let values: Result<_, String> =
                    listed(right).into_iter().map(|value| element(value, &types)).collect();
                Condition::Is(whole, values?)
            }
        };
        self.when.push(match equal_or_not(op)? {
            "==" => inside,
            _ => Condition::all([headers, inside.not()]),
        });
        Ok(())
    }

    /// `th dport`: of every protocol that the rule names.
    fn any_transport(&mut self, about: &Value, op: &str, right: &Value) -> Said {
        let name = about.get("field").and_then(Value::as_str).unwrap_or_default();
        let numbers = self.transport.named();
        if numbers.is_empty() {
            return Err(format!("`th {name}` is of any protocol: say which before it, with `meta l4proto`"));
        }
        let mut each = Vec::new();
        for number in numbers {
            let field = header_of(number)
                .filter(|(_, ports)| *ports)
                .and_then(|(header, _)| fields::named(header, name));
            let field = field.ok_or_else(|| format!("`th {name}` of protocol {number} is not known here"))?;
            let own = self.related(&field, op, right)?;
            each.push(Condition::all([carried(self.scope.family, number), own]));
        }
        self.transport.spelt();
        self.when.push(Condition::any(each));
        Ok(())
    }

    fn meta(&mut self, key: &str, op: &str, right: &Value) -> Said {
        let names = || listed(right).into_iter().filter_map(Value::as_str).collect::<Vec<_>>();
        match key {
            "l4proto" => self.protocols(op, right),
            "iifname" | "iif" => self.interface(op, &names()),
            "nfproto" | "protocol" => {
                let headers = names().into_iter().map(|name| match name {
                    "ipv4" | "ip" => Ok(Condition::test("ip4")),
                    "ipv6" | "ip6" => Ok(Condition::test("ip6")),
                    other => Err(format!("`meta {key} {other}` is not known here")),
                });
                self.one_of(op, headers.collect::<Result<_, _>>()?)
            }
            "pkttype" => {
                let known = names().into_iter().map(|name| {
                    crate::iptables::packet_type(name)
                        .ok_or_else(|| "whether a packet is for this machine is not in its frame".to_owned())
                });
                self.one_of(op, known.collect::<Result<_, _>>()?)
            }
            "length" => match self.scope.family.header() {
                Some(ip) => {
                    let field = Field {
                        path: format!("{ip}.len"),
                        header: ip.to_owned(),
                        ty: Constant::Number(16),
                        protocol: None,
                        mask: None,
                        bytes: None,
                    };
                    self.relation(&field, op, right)
                }
                None => Err("the length of what is behind the Ethernet header".into()),
            },
            "oifname" | "oif" => Err("an edge does not know where a packet will leave".into()),
            _ => Err(format!(
                "`meta {key}` is about what the kernel knows of a packet, not about what is in it"
            )),
        }
    }

    fn one_of(&mut self, op: &str, conditions: Vec<Condition>) -> Said {
        let one = Condition::any(conditions);
        self.when.push(if equal_or_not(op)? == "==" { one } else { one.not() });
        Ok(())
    }

    fn protocols(&mut self, op: &str, right: &Value) -> Said {
        let values: Vec<String> = listed(right)
            .into_iter()
            .map(|value| element(value, &[Constant::Protocol]))
            .collect::<Result<_, _>>()?;
        let extension = |value: &String| value.parse().map_or(true, transport::is_extension);
        if self.scope.family != Family::V4 && values.iter().any(extension) {
            return Err("ranges of protocols and extension headers of IPv6 as protocols".into());
        }
        self.transport.protocol(values, equal_or_not(op)? == "!=");
        Ok(())
    }

    fn interface(&mut self, op: &str, names: &[&str]) -> Said {
        let is = |own: &str, pattern: &str| match pattern.strip_suffix('*') {
            Some(start) => own.starts_with(start),
            None => own == pattern,
        };
        let among = match self.scope.options.interface.as_deref() {
            Some(own) => names.iter().any(|name| is(own, name)),
            None if !names.is_empty() && names.iter().all(|name| *name == "lo") => false,
            None => {
                let help = names.iter().find(|name| **name != "lo").unwrap_or(&"NAME");
                return Err(format!("say which interface the edge is at: `--interface {help}`"));
            }
        };
        if among == (equal_or_not(op)? == "!=") {
            self.elsewhere =
                Some(format!("it is about other interfaces than this edge's: {}", names.join(", ")));
        }
        Ok(())
    }

    /// A header or an option that may be there, and its field.
    fn optional(
        &mut self,
        found: Option<(String, Option<&'static str>)>,
        protocol: Option<u8>,
        op: &str,
        right: &Value,
    ) -> Said {
        let (header, field) = found.ok_or("this option or extension header is not known here")?;
        if let Some(number) = protocol {
            self.transport.header(number);
        }
        let Some(field) = field else {
            let wanted = (right.as_bool() != Some(false)) == (equal_or_not(op)? == "==");
            // What would have it must be there.
            let whole = header.split('.').next().unwrap_or_default().to_owned();
            let there = Condition::test(header);
            self.when.push(if wanted {
                there
            } else {
                Condition::all([Condition::test(whole), there.not()])
            });
            return Ok(());
        };
        let field = Field {
            path: format!("{header}.{field}"),
            header,
            ty: fields::optional_type(field),
            protocol,
            mask: None,
            bytes: None,
        };
        self.relation(&field, op, right)
    }

    /// `limit rate 10/second`
    pub(super) fn limit(&mut self, about: &Value) -> Said {
        if self.limit.is_some() {
            return Err("two limits in one rule".into());
        }
        self.limit = Some(rates::limit(about, Vec::new(), None)?);
        Ok(())
    }

    /// `update @set { ip saddr limit rate over 10/second }`, or a meter.
    pub(super) fn limit_by_key(&mut self, about: &Value) -> Said {
        let statement = match about.get("stmt") {
            Some(Value::Array(many)) if many.len() == 1 => many.first(),
            Some(Value::Array(_)) | None => None,
            one => one,
        };
        let limit = statement.and_then(|statement| statement.get("limit"));
        let (Some(limit), false) = (limit, self.limit.is_some()) else {
            return Err("packets do not change Weir's sets; `weir set add` does".into());
        };
        let key = about.get("elem").or_else(|| about.get("key")).ok_or("a meter without a key")?;
        let key = super::sets::value(key);
        let parts = key
            .get("concat")
            .and_then(Value::as_array)
            .map_or_else(|| vec![key], |many| many.iter().collect());
        let per = parts.into_iter().map(|part| self.key(part)).collect::<Result<Vec<_>, _>>()?;
        let set = about.get("set").and_then(Value::as_str).and_then(|name| self.scope.set(name));
        let size = about.get("size").and_then(Value::as_u64).or_else(|| set?.size);
        self.limit = Some(rates::limit(limit, per, size)?);
        Ok(())
    }

    /// A field, or an address under a mask that is a prefix.
    fn key(&mut self, part: &Value) -> Result<String, String> {
        let Some(masked) = part.get("&").and_then(Value::as_array) else {
            return self.field(part).map(|field| field.path);
        };
        let [left, mask] = masked.as_slice() else { return Err("a mask without two sides".into()) };
        let field = self.field(left)?;
        let mask = ip4_bits(mask)?;
        let prefix = field.bytes.is_some() && mask.leading_ones() + mask.trailing_zeros() == 32;
        if prefix {
            Ok(format!("{}/{}", field.path, mask.leading_ones()))
        } else {
            Err("keys under this mask".into())
        }
    }
}

fn equal_or_not(op: &str) -> Result<&str, String> {
    match op {
        "==" | "in" => Ok("=="),
        "!=" => Ok("!="),
        other => Err(format!("the relation `{other}` has no counterpart here")),
    }
}

/// Relations of some bits of a field.
fn bits(field: &Field, op: &str, right: &Value) -> Result<Condition, String> {
    let path = &field.path;
    if let "in" | "!" = op {
        let some = number(right, field.ty)?;
        let relation = if op == "in" { "!=" } else { "==" };
        return Ok(Condition::test(format!("{path} & {some:#04x} {relation} 0")));
    }
    let relation = equal_or_not(op)?;
    let masked = field.mask.map(|mask| format!(" & {mask:#04x}")).unwrap_or_default();
    let each = listed(right).into_iter().map(|value| {
        let value = number(value, field.ty)?;
        Ok(Condition::test(format!("{path}{masked} {relation} {}", hexadecimal(value))))
    });
    let each = each.collect::<Result<Vec<_>, String>>()?;
    Ok(if relation == "==" { Condition::any(each) } else { Condition::all(each) })
}

/// Nothing is written `0`.
fn hexadecimal(value: u64) -> String {
    if value == 0 { "0".into() } else { format!("{value:#04x}") }
}

fn ip4_bits(value: &Value) -> Result<u32, String> {
    let address = value.as_str().and_then(|text| text.parse::<std::net::Ipv4Addr>().ok());
    let number = || value.as_u64().and_then(|number| u32::try_from(number).ok());
    address.map(u32::from).or_else(number).ok_or_else(|| format!("`{value}` is no mask of IPv4"))
}

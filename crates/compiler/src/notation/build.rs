//! From layers to a frame.

use super::Problem;
use super::header::{Header, write_bits};
use super::route::{Step, route};
use super::solve;
use crate::check::{dotted, literal_range, names_protocol};
use crate::policy::{FieldRef, HeaderRef, Place, Policy, ProtocolId, Protocols, Term, ValueType};
use crate::source::Span;
use crate::syntax::ast::{self, Literal, LiteralValue};

/// Values that definitions do not imply but packets have, by protocol and field.
const DEFAULTS: &[(&str, &str, u128)] = &[
    ("eth", "dst", 0x0200_0000_0002),
    ("eth", "src", 0x0200_0000_0001),
    ("ip4", "ttl", 64),
    ("ip4", "src", 0xc000_0201),
    ("ip4", "dst", 0xc633_6401),
    ("ip6", "hlim", 64),
    ("ip6", "src", 0x2001_0db8_0000_0000_0000_0000_0000_0001),
    ("ip6", "dst", 0x2001_0db8_0000_0000_0000_0000_0000_0002),
    ("udp", "srcport", 40_000),
    ("udp", "dstport", 40_001),
    ("tcp", "srcport", 40_000),
    ("tcp", "dstport", 40_001),
    ("tcp", "window_size_value", 65_535),
    ("sctp", "srcport", 40_000),
    ("sctp", "dstport", 40_001),
    ("mpls", "ttl", 64),
    ("mpls", "bottom", 1),
    ("ip6.frag", "ident", 1),
    // As if the packet's destination had sent what an error quotes to the packet's source.
    ("icmp.error", "ttl", 64),
    ("icmp.error", "src", 0xc633_6401),
    ("icmp.error", "dst", 0xc000_0201),
    ("icmpv6.error", "hlim", 64),
    ("icmpv6.error", "src", 0x2001_0db8_0000_0000_0000_0000_0000_0002),
    ("icmpv6.error", "dst", 0x2001_0db8_0000_0000_0000_0000_0000_0001),
];

/// Fields that say how long something is: protocol, field, and how many bytes of the header itself
/// do not count.
const LENGTHS: &[(&str, &str, usize)] =
    &[("ip4", "len", 0), ("ip6", "plen", 40), ("udp", "length", 0), ("gtp", "length", 8)];

pub(super) fn frame(policy: &Policy, packet: &ast::Packet) -> Result<Vec<u8>, Problem> {
    let mut build =
        Build { protocols: &policy.protocols, headers: Vec::new(), payload: Vec::new(), frame_len: None };
    for layer in &packet.layers {
        build.layer(layer)?;
    }
    Ok(build.finish())
}

/// A frame of exactly these headers, the root first.
pub(super) fn chain(protocols: &Protocols, steps: &[super::Step]) -> Vec<u8> {
    let mut build = Build { protocols, headers: Vec::new(), payload: Vec::new(), frame_len: None };
    for (step, given) in steps {
        build.push(*step);
        if let Some(header) = build.headers.last_mut() {
            header.given = given.clone();
            header.give();
        }
    }
    build.finish()
}

struct Build<'a> {
    protocols: &'a Protocols,
    headers: Vec<Header<'a>>,
    payload: Vec<u8>,
    frame_len: Option<usize>,
}

impl<'a> Build<'a> {
    fn layer(&mut self, layer: &ast::Layer) -> Result<(), Problem> {
        if let Some(bytes) = &layer.bytes {
            self.payload.extend(bytes);
            return Ok(());
        }
        let goals = self.protocols_named(&layer.name, layer.span)?;
        for via in self.mentioned(layer, &goals) {
            // A protocol that does not lie on the way is told when its field is set.
            let _ = self.go_to(&[via], layer);
        }
        self.go_to(&goals, layer)?;
        let own = self.headers.len() - 1;
        for (path, literal) in &layer.fields {
            self.field(own, path, literal)?;
        }
        Ok(())
    }

    /// The protocols that a layer's name means: one, or the members of a family.
    fn protocols_named(&self, path: &ast::Path, span: Span) -> Result<Vec<ProtocolId>, Problem> {
        let (found, rest) = names_protocol(self.protocols, &path.segments);
        if found.is_empty() || rest != path.segments.len() {
            return Err(Problem::new(span, format!("no protocol is called `{}`", dotted(&path.segments))));
        }
        Ok(found)
    }

    /// Protocols whose fields a layer names, which are not there yet and are not the layer itself. A field of the layer's
    /// own may be called as another protocol's is.
    fn mentioned(&self, layer: &ast::Layer, goals: &[ProtocolId]) -> Vec<ProtocolId> {
        let level = self.headers.last().map_or(0, |h| h.name.level);
        let there =
            |id: &ProtocolId| self.headers.iter().any(|h| h.name.protocol == *id && h.name.level == level);
        let mut found = Vec::new();
        for (path, literal) in &layer.fields {
            if goals.iter().any(|id| has_field(&self.protocols[*id], &dotted(&path.segments))) {
                continue;
            }
            let (protocols, _) = names_protocol(self.protocols, &path.segments);
            let chosen = match protocols.as_slice() {
                [one] => Some(*one),
                many => self.of_family(many, literal),
            };
            found.extend(chosen.filter(|id| !there(id) && !goals.contains(id) && !found.contains(id)));
        }
        found
    }

    /// The member of a family whose addresses are of the literal's kind.
    fn of_family(&self, members: &[ProtocolId], literal: &Literal) -> Option<ProtocolId> {
        let wanted = match literal.value {
            LiteralValue::Ip6(_) => ValueType::Ip6,
            LiteralValue::Ip4(_) => ValueType::Ip4,
            _ => return None,
        };
        members.iter().copied().find(|id| self.protocols[*id].fields.iter().any(|f| f.ty == wanted))
    }

    /// Adds the layers that lead to one of `goals`, and itself.
    fn go_to(&mut self, goals: &[ProtocolId], layer: &ast::Layer) -> Result<(), Problem> {
        if self.headers.is_empty() {
            let Some(root) = self.protocols.root else {
                return Err(Problem::new(layer.span, "no protocol begins a frame"));
            };
            self.push((root, false));
            if goals.contains(&root) {
                return Ok(());
            }
        }
        let wants6 = layer.fields.iter().any(|(_, l)| matches!(l.value, LiteralValue::Ip6(_)));
        let avoided = if wants6 { ValueType::Ip4 } else { ValueType::Ip6 };
        let avoid = |id: ProtocolId| {
            let family = self.protocols.families.iter().any(|f| f.members.contains(&id));
            family && self.protocols[id].fields.iter().any(|f| f.ty == avoided)
        };
        let last = self.headers.last().expect("the root is there").name.protocol;
        let mut sorted = goals.to_vec();
        sorted.sort_by_key(|id| avoid(*id));
        let steps = sorted.iter().find_map(|goal| route(self.protocols, last, &[*goal], &avoid));
        let Some(steps) = steps else {
            let (from, to) = (&self.protocols[last].name, &self.protocols[goals[0]].name);
            return Err(Problem::new(layer.span, format!("`{to}` cannot follow `{from}`")));
        };
        for step in steps {
            self.push(step);
        }
        Ok(())
    }

    fn push(&mut self, (protocol, inner): Step) {
        let level = self.headers.last().map_or(0, |h| h.name.level) + u8::from(inner);
        let same = self.headers.iter().filter(|h| h.name.level == level && h.name.protocol == protocol);
        let name = HeaderRef { level, protocol, index: same.count() as u8 };
        if let Some(before) = self.headers.last_mut() {
            before.select(protocol);
        }
        let mut header = Header::new(self.protocols, name);
        for (of, field, value) in DEFAULTS {
            if header.definition().name == *of
                && let Some(field) = header.definition().field(field)
            {
                header.set_default(field, *value);
            }
        }
        if let Some(require) = &header.definition().require {
            solve::satisfy(&mut header, require);
        }
        self.headers.push(header);
    }

    /// `field=value`, said in the layer of header `own`.
    fn field(&mut self, own: usize, path: &ast::Path, literal: &Literal) -> Result<(), Problem> {
        match dotted(&path.segments).as_str() {
            "frame.len" => {
                let LiteralValue::Int(length @ 1..=65_535) = literal.value else {
                    return Err(Problem::new(literal.span, "a frame has 1 to 65535 bytes"));
                };
                self.frame_len = Some(length as usize);
                return Ok(());
            }
            "payload" => {
                let LiteralValue::Bytes(bytes) = &literal.value else {
                    return Err(Problem::new(
                        literal.span,
                        "a payload is written as bytes, such as `\"GET \"`",
                    ));
                };
                self.payload.extend(bytes);
                return Ok(());
            }
            _ => {}
        }
        let (header, name) = self.header_of(own, path)?;
        self.give(header, &name, path.span, literal)
    }

    /// The header that a field's name means, and the field's name in it.
    fn header_of(&self, own: usize, path: &ast::Path) -> Result<(usize, String), Problem> {
        let own_name = self.headers[own].name;
        let tail = |from: usize| dotted(&path.segments[from..]);
        if has_field(self.headers[own].definition(), &tail(0)) {
            return Ok((own, tail(0)));
        }
        let inner = path.segments.iter().take_while(|s| s.name.text == "inner").count();
        let segments = &path.segments[inner..];
        let (protocols, used) = names_protocol(self.protocols, segments);
        let level = own_name.level + inner as u8;
        let index = used.checked_sub(1).and_then(|last| segments[last].index).map(|(index, _)| index);
        let fits = |h: &Header| {
            let place = match index {
                Some(index) => u32::from(h.name.index) == index,
                None => {
                    h.name == own_name
                        || h.name.protocol != own_name.protocol && h.name.index == 0
                        || h.name.level != own_name.level
                }
            };
            h.name.level == level && protocols.contains(&h.name.protocol) && place
        };
        match self.headers.iter().position(fits) {
            Some(header) => Ok((header, tail(inner + used))),
            None => Err(Problem::new(path.span, format!("the packet has no header for `{}`", tail(0)))),
        }
    }

    fn give(&mut self, header: usize, name: &str, span: Span, literal: &Literal) -> Result<(), Problem> {
        let definition = self.headers[header].definition();
        let field = match definition.field(name) {
            Some(field) => Some((field, None)),
            None => definition.derived.iter().find(|(n, _)| n == name).map(|(_, term)| match term {
                Term::Field(FieldRef { field, .. }) => (*field, None),
                term => (u32::MAX, Some(term)),
            }),
        };
        let Some((field, computed)) = field else {
            let either = definition.sides.iter().any(|(n, _)| n == name);
            let why = if either { "means either side: name one" } else { "is no field of it" };
            return Err(Problem::new(span, format!("`{}`: `{name}` {why}", definition.name)));
        };
        let ty = if computed.is_some() { ValueType::Int(64) } else { definition.fields[field as usize].ty };
        let value = value_of(literal, ty)?;
        match computed {
            Some(term) => solve::reach(&mut self.headers[header], term, value),
            None => {
                let optional = matches!(
                    definition.fields[field as usize].place,
                    Place::Option(..) | Place::OptionThere(_)
                );
                self.headers[header].given.insert(field, value);
                if !optional {
                    self.headers[header].give();
                }
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Vec<u8> {
        for header in &mut self.headers {
            header.give();
            header.grow();
        }
        self.reselect();
        let headers: usize = self.headers.iter().map(|h| h.bytes.len()).sum();
        if let Some(length) = self.frame_len {
            self.payload.resize(self.payload.len().max(length.saturating_sub(headers)), 0);
        }
        self.lengths();
        let mut frame: Vec<u8> = self.headers.iter().flat_map(|h| h.bytes.iter().copied()).collect();
        frame.extend(&self.payload);
        let mut starts = Vec::new();
        let mut at = 0;
        for header in &self.headers {
            starts.push(at);
            at += header.bytes.len();
        }
        // Outer checksums cover inner ones, so the inner packets come first.
        for (start, header) in starts.iter().zip(&self.headers).rev() {
            match header.definition().name.as_str() {
                "ip4" => fix_checksums(&mut frame, *start, 0x0800),
                "ip6" => fix_checksums(&mut frame, *start, 0x86dd),
                "igmp" => fix_igmp(&mut frame[*start..]),
                _ => {}
            }
        }
        for (start, header) in starts.iter().zip(&self.headers) {
            rewrite_given(&mut frame[*start..], header);
        }
        if let Some(length) = self.frame_len {
            frame.truncate(length);
        }
        frame
    }

    /// What selects the next protocol may lie in fields that were not there before the header grew.
    fn reselect(&mut self) {
        for index in 1..self.headers.len() {
            let next = self.headers[index].name.protocol;
            self.headers[index - 1].select(next);
            self.headers[index - 1].grow();
        }
    }

    fn lengths(&mut self) {
        let mut behind = self.payload.len();
        for header in self.headers.iter_mut().rev() {
            behind += header.bytes.len();
            for (of, field, own) in LENGTHS {
                if header.definition().name == *of
                    && let Some(field) = header.definition().field(field)
                {
                    header.set_default(field, behind.saturating_sub(*own) as u128 & 0xffff);
                }
            }
        }
    }
}

fn has_field(definition: &crate::policy::Protocol, name: &str) -> bool {
    definition.field(name).is_some()
        || definition.sides.iter().any(|(n, _)| n == name)
        || definition.derived.iter().any(|(n, _)| n == name)
}

/// Sets the checksums of the IP packet that begins at `start`.
fn fix_checksums(frame: &mut [u8], start: usize, ethertype: u16) {
    let mut alone = vec![0; 12];
    alone.extend(ethertype.to_be_bytes());
    alone.extend(&frame[start..]);
    weir_packet::checksum::fix_checksums(&mut alone);
    frame[start..].copy_from_slice(&alone[14..]);
}

/// Sets the checksum of an IGMP message, which covers the whole of it (RFC 3376, section 4.1.2).
fn fix_igmp(message: &mut [u8]) {
    message[2..4].fill(0);
    let checksum = weir_packet::checksum::internet(message);
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
}

/// Named fields have the last word, also over checksums.
fn rewrite_given(bytes: &mut [u8], header: &Header) {
    for (&field, &value) in &header.given {
        let definition = &header.definition().fields[field as usize];
        if let Place::Bit(bit) = definition.place {
            write_bits(bytes, bit as usize, usize::from(definition.ty.bits()), value);
        }
    }
}

fn value_of(literal: &Literal, ty: ValueType) -> Result<u128, Problem> {
    match literal_range(literal, ty) {
        Ok((low, high)) if low == high => Ok(low),
        Ok(_) => Err(Problem::new(literal.span, "a packet has one value, not a range")),
        Err(why) => Err(Problem::new(literal.span, why)),
    }
}

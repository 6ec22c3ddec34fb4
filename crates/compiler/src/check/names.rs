//! Dotted names → headers and fields.

use super::{Checker, Typed};
use crate::diagnostic::{Code, nearest};
use crate::policy::{FieldRef, HeaderRef, LEVELS, Place, Pred, ProtocolId, Protocols, Term, ValueType};
use crate::source::Span;
use crate::syntax::ast;

/// What people know from Wireshark, tcpdump and nft, and how it is called here.
const SYNONYMS: &[(&str, &str)] = &[
    ("ipv6", "ip6"),
    ("ipv6.src", "ip6.src"),
    ("ipv6.dst", "ip6.dst"),
    ("ipv6.addr", "ip6.addr"),
    ("ipv6.nxt", "ip6.nxt"),
    ("ipv6.hlim", "ip6.hlim"),
    ("ip.proto", "ip4.proto"),
    ("ip.id", "ip4.id"),
    ("ip.flags.mf", "ip4.flags.mf"),
    ("ip.flags.df", "ip4.flags.df"),
    ("ip.frag_offset", "ip4.frag_offset"),
    ("ip.saddr", "ip.src"),
    ("ip.daddr", "ip.dst"),
    ("ip.hdr_len", "ip4.hdr_len"),
    ("ip.checksum", "ip4.checksum"),
    ("tcp.dport", "tcp.dstport"),
    ("tcp.sport", "tcp.srcport"),
    ("udp.dport", "udp.dstport"),
    ("udp.sport", "udp.srcport"),
    ("tcp.flags.rst", "tcp.flags.reset"),
    ("tcp.flags.psh", "tcp.flags.push"),
    ("tcp.window_size", "tcp.window_size_value"),
    ("icmp6", "icmpv6"),
    ("ether", "eth"),
    ("gtpu", "gtp"),
    ("pkt.len", "frame.len"),
    ("len", "frame.len"),
    ("src", "ip.src"),
    ("dst", "ip.dst"),
    ("srcport", "udp.srcport"),
    ("dstport", "udp.dstport"),
];

/// What a name means.
pub(super) enum Resolved {
    /// A protocol, or each member of a family.
    Headers(Vec<Member>),
    /// A value, for each member of a family.
    Values(Vec<(Member, Vec<Typed>)>),
    /// What follows a header.
    Payload(Vec<Member>),
}

/// One header that a name stands for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    pub(super) header: HeaderRef,
    /// Of which family it is which member. All names of one family in a comparison mean the same
    /// member, since a packet has only one at a level.
    pub(super) choice: Option<Choice>,
}

/// A choice made for a family at a level.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Choice {
    family: usize,
    level: u8,
    member: usize,
}

impl Choice {
    /// Whether two choices exclude each other.
    pub(super) fn conflicts(self, other: Choice) -> bool {
        (self.family, self.level) == (other.family, other.level) && self.member != other.member
    }
}

/// The family of all transports, behind `payload`.
const PAYLOAD: usize = usize::MAX;

impl Checker<'_> {
    /// Resolves a name of the policy.
    pub(super) fn resolve(&mut self, path: &ast::Path) -> Option<Resolved> {
        let inner = path.segments.iter().take_while(|s| s.name.text == "inner" && s.index.is_none()).count();
        if inner >= usize::from(LEVELS) {
            self.diagnostics
                .report(Code::UnknownName, path.span, format!("packets are looked at {LEVELS} levels deep"))
                .label(format!("this is level {}", inner + 1));
            return None;
        }
        let (level, segments) = (inner as u8, &path.segments[inner..]);
        if dotted(segments) == "frame.len" && inner == 0 {
            let mut typed = Typed::new(Term::FrameLen, ValueType::Int(32));
            typed.max = 0xffff_ffff;
            let member = Member { header: Protocols::THIS, choice: None };
            return Some(Resolved::Values(vec![(member, vec![typed])]));
        }
        if dotted(segments) == "payload" {
            return Some(Resolved::Payload(self.transports(level)));
        }
        for used in (1..=segments.len()).rev() {
            let members = self.members(&segments[..used], level)?;
            if !members.is_empty() {
                return self.in_header(path, members, &segments[used..]);
            }
        }
        self.unknown(path, segments);
        None
    }

    fn transports(&self, level: u8) -> Vec<Member> {
        let protocols = self.protocols_table();
        let transports = protocols.ids().filter(|id| protocols[*id].transport).enumerate();
        transports
            .map(|(member, protocol)| Member {
                header: HeaderRef { level, protocol, index: 0 },
                choice: Some(Choice { family: PAYLOAD, level, member }),
            })
            .collect()
    }

    /// The headers that the first segments name; empty if they name none, `None` if told.
    fn members(&mut self, segments: &[ast::Segment], level: u8) -> Option<Vec<Member>> {
        let (last, before) = segments.split_last()?;
        if before.iter().any(|s| s.index.is_some()) {
            return Some(Vec::new());
        }
        let name = dotted(segments);
        let index = last.index.map_or(0, |(index, _)| index);
        if let Some(protocol) = self.protocols_table().find(&name) {
            let depth = self.protocols_table()[protocol].depth;
            if index >= u32::from(depth) {
                let span = last.index.map_or(last.name.span, |(_, span)| span);
                self.diagnostics
                    .report(
                        Code::UnknownName,
                        span,
                        format!("`{name}` is looked at {depth} deep, counted from 0"),
                    )
                    .label("no such header");
                return None;
            }
            return Some(vec![Member {
                header: HeaderRef { level, protocol, index: index as u8 },
                choice: None,
            }]);
        }
        let protocols = self.protocols_table();
        let Some(family) = protocols.families.iter().position(|f| f.name == name) else {
            return Some(Vec::new());
        };
        if last.index.is_some() {
            return Some(Vec::new());
        }
        let members = protocols.families[family].members.iter().enumerate();
        Some(
            members
                .map(|(member, &protocol)| Member {
                    header: HeaderRef { level, protocol, index: 0 },
                    choice: Some(Choice { family, level, member }),
                })
                .collect(),
        )
    }

    /// What the rest of a name means inside the headers that its beginning named.
    fn in_header(
        &mut self,
        path: &ast::Path,
        members: Vec<Member>,
        rest: &[ast::Segment],
    ) -> Option<Resolved> {
        if rest.is_empty() {
            return Some(Resolved::Headers(members));
        }
        if let Some((index, span)) = rest.iter().find_map(|s| s.index) {
            self.diagnostics
                .report(Code::UnknownName, span, "only headers that stack have a number, not their fields")
                .label(format!("`[{index}]` belongs behind the protocol's name"));
            return None;
        }
        let name = dotted(rest);
        if name == "payload" {
            return Some(Resolved::Payload(members));
        }
        let values: Vec<_> = members.iter().map(|m| (*m, self.field_sides(m.header, &name))).collect();
        if values.iter().all(|(_, sides)| !sides.is_empty()) {
            return Some(Resolved::Values(values));
        }
        self.unknown_field(path, &members, rest, &name);
        None
    }

    /// The values that a name stands for in one header: one, or either side; none if unknown.
    fn field_sides(&self, header: HeaderRef, name: &str) -> Vec<Typed> {
        let protocol = &self.protocols_table()[header.protocol];
        let field = |field: u32| self.typed_field(header, field);
        if let Some(index) = protocol.field(name) {
            return vec![field(index)];
        }
        if let Some((_, sides)) = protocol.sides.iter().find(|(n, _)| n == name) {
            return sides.iter().map(|&side| field(side)).collect();
        }
        let derived = protocol.derived.iter().find(|(n, _)| n == name);
        derived.map(|(_, term)| vec![self.typed_derived(header, term)]).unwrap_or_default()
    }

    pub(super) fn typed_field(&self, header: HeaderRef, field: u32) -> Typed {
        let ty = self.protocols_table()[header.protocol].fields[field as usize].ty;
        Typed::new(Term::Field(FieldRef { header, field }), ty)
    }

    fn typed_derived(&self, header: HeaderRef, term: &Term) -> Typed {
        let protocol = &self.protocols_table()[header.protocol];
        let (min, max) = interval(term, &|field| protocol.fields[field as usize].ty.bits());
        let ty = match term {
            Term::Field(f) => protocol.fields[f.field as usize].ty,
            _ => ValueType::Int(if max <= 0xffff_ffff { 32 } else { 64 }),
        };
        let exact = Typed::new(Term::Const(0), ty);
        let (min, max) = if ty.bits() > 64 { (exact.min, exact.max) } else { (min, max) };
        Typed { term: in_header(term, header), ty, min, max, slice: false }
    }

    fn unknown(&mut self, path: &ast::Path, segments: &[ast::Segment]) {
        let name = dotted(segments);
        let protocols = self.protocols_table();
        let families = protocols.families.iter().map(|f| f.name.clone());
        let mut names: Vec<String> = protocols.list.iter().map(|p| p.name.clone()).chain(families).collect();
        names.push("frame.len".into());
        names.push("payload".into());
        let suggestion = synonym(&name)
            .or_else(|| nearest(&name, names.iter().map(String::as_str)).map(str::to_owned))
            .or_else(|| {
                let near = nearest(&segments[0].name.text, names.iter().map(String::as_str))?;
                Some(
                    [near]
                        .into_iter()
                        .chain(segments[1..].iter().map(|s| s.name.text.as_str()))
                        .collect::<Vec<_>>()
                        .join("."),
                )
            });
        let is_set = self.set_names.contains_key(&name);
        let found = self.diagnostics.report(
            Code::UnknownName,
            path.span,
            format!("no field or protocol is called `{name}`"),
        );
        if is_set {
            found.label("this is a set").help(format!("ask whether a field is in it: `ip.src in {name}`"));
        } else if let Some(near) = suggestion {
            found.label("unknown").help(format!("there is `{near}`"));
        } else {
            found.label("unknown");
        }
    }

    fn unknown_field(&mut self, path: &ast::Path, members: &[Member], rest: &[ast::Segment], name: &str) {
        let protocols = self.protocols_table();
        let known = members.iter().position(|m| !self.field_sides(m.header, name).is_empty());
        let protocol = &protocols[members[0].header.protocol];
        let whole = dotted(&path.segments);
        let head = whole[..whole.len() - name.len()].trim_end_matches('.').to_owned();
        let fields = protocol.fields.iter().map(|f| f.name.as_str());
        let others =
            protocol.derived.iter().map(|d| d.0.as_str()).chain(protocol.sides.iter().map(|s| s.0.as_str()));
        let near = nearest(name, fields.chain(others)).map(|near| format!("{head}.{near}"));
        let suggestion = match known {
            Some(member) => Some(format!("{}.{name}", protocols[members[member].header.protocol].name)),
            None => synonym(&whole).or(near),
        };
        let span = rest.iter().fold(rest[0].name.span, |span, s| span.to(s.name.span));
        let found =
            self.diagnostics.report(Code::UnknownName, span, format!("`{head}` has no field `{name}`"));
        found.label("unknown");
        if let Some(near) = suggestion {
            found.help(format!("there is `{near}`"));
        }
    }

    /// A name inside a protocol's own definition: one of its fields.
    pub(super) fn resolve_own(&mut self, protocol: ProtocolId, path: &ast::Path) -> Option<Typed> {
        let name = dotted(&path.segments);
        let definition = &self.protocols_table()[protocol];
        if let Some(index) = definition.field(&name) {
            let ty = definition.fields[index as usize].ty;
            return Some(Typed::new(Term::Field(FieldRef { header: Protocols::THIS, field: index }), ty));
        }
        if let Some((_, term)) = definition.derived.iter().find(|(n, _)| *n == name) {
            let (min, max) = interval(term, &|field| definition.fields[field as usize].ty.bits());
            return Some(Typed { term: term.clone(), ty: ValueType::Int(64), min, max, slice: false });
        }
        let names = definition.fields.iter().map(|f| f.name.as_str());
        let near = nearest(&name, names).map(str::to_owned);
        let owner = definition.name.clone();
        let found = self.diagnostics.report(
            Code::UnknownName,
            path.span,
            format!("`{owner}` has no field `{name}` here; a definition can use its own fields only"),
        );
        if let Some(near) = near {
            found.help(format!("there is `{near}`"));
        }
        None
    }

    /// The type that a name stands for: a type's own name, or a field's.
    pub(super) fn type_named(&mut self, name: &ast::TypeName) -> Option<ValueType> {
        let text = dotted(&name.path.segments);
        if let Some(ty) = builtin_type(&text) {
            return Some(ty);
        }
        if name.path.segments.len() == 1 {
            self.unknown_type(name.path.span, &text);
            return None;
        }
        let Resolved::Values(values) = self.resolve(&name.path)? else {
            self.unknown_type(name.path.span, &text);
            return None;
        };
        let types: Vec<ValueType> = values.iter().flat_map(|(_, sides)| sides.iter().map(|s| s.ty)).collect();
        if types.iter().all(|ty| *ty == types[0]) {
            return Some(types[0]);
        }
        // `ip.len` is narrower in IPv4; `ip.src` is an address of either family.
        let number = |ty: &ValueType| matches!(ty, ValueType::Int(_) | ValueType::Bool);
        let address = |ty: &ValueType| matches!(ty, ValueType::Ip4 | ValueType::Ip6 | ValueType::Ip);
        if types.iter().all(number) {
            return types.iter().map(|ty| ValueType::Int(ty.bits())).max();
        }
        if types.iter().all(address) {
            return Some(ValueType::Ip);
        }
        let other = types.iter().find(|ty| **ty != types[0]).expect("not all are alike");
        let message = format!("`{text}` is {} or {}", super::describe(types[0]), super::describe(*other));
        self.diagnostics
            .report(Code::TypeMismatch, name.path.span, message)
            .label("a set has one type")
            .help(format!("write `{}` or `{other}`, and ask for the one field", types[0]));
        None
    }

    fn unknown_type(&mut self, span: Span, text: &str) {
        let known =
            ["ip", "ip4", "ip6", "mac", "port", "bool", "prefix", "u8", "u16", "u32", "u64", "bytes4"];
        let near = nearest(text, known);
        let found = self.diagnostics.report(Code::UnknownName, span, format!("no type is called `{text}`"));
        found.label("expected `ip`, `ip4`, `ip6`, `mac`, `port`, `bool`, `uN`, `bytesN` or a field's name");
        if let Some(near) = near {
            found.help(format!("there is `{near}`"));
        }
    }
}

fn builtin_type(text: &str) -> Option<ValueType> {
    Some(match text {
        "ip" | "prefix" => ValueType::Ip,
        "ip4" => ValueType::Ip4,
        "ip6" => ValueType::Ip6,
        "mac" => ValueType::Mac,
        "port" => ValueType::Int(16),
        "bool" => ValueType::Bool,
        _ => {
            if let Some(bits) = text.strip_prefix('u') {
                ValueType::Int(bits.parse().ok().filter(|bits| (1..=64).contains(bits))?)
            } else {
                let length = text.strip_prefix("bytes")?;
                ValueType::Bytes(length.parse().ok().filter(|n| (1..=16).contains(n))?)
            }
        }
    })
}

fn synonym(name: &str) -> Option<String> {
    SYNONYMS.iter().find(|(foreign, _)| *foreign == name).map(|(_, ours)| (*ours).to_owned())
}

/// A path without its indices.
pub(crate) fn dotted(segments: &[ast::Segment]) -> String {
    segments.iter().map(|s| s.name.text.as_str()).collect::<Vec<_>>().join(".")
}

/// The smallest and largest value of a term over fields of known widths.
pub(super) fn interval(term: &Term, bits: &dyn Fn(u32) -> u8) -> (i128, i128) {
    match term {
        Term::Const(value) => (*value as i128, *value as i128),
        Term::Field(field) => (0, (1i128 << bits(field.field).min(126)) - 1),
        Term::Slice(slice) => (0, (1i128 << (u32::from(slice.length) * 8).min(126)) - 1),
        Term::FrameLen => (0, 0xffff_ffff),
        Term::Begin(_) => (0, 0xffff),
        Term::Truth(_) => (0, 1),
        Term::Binary(op, a, b) => combine(*op, interval(a, bits), interval(b, bits)),
    }
}

/// The smallest and largest result of an operation.
pub(super) fn combine(op: ast::ArithmeticOp, a: (i128, i128), b: (i128, i128)) -> (i128, i128) {
    use ast::ArithmeticOp as Op;
    match op {
        Op::Add => (a.0.saturating_add(b.0), a.1.saturating_add(b.1)),
        Op::Sub => (a.0.saturating_sub(b.1), a.1.saturating_sub(b.0)),
        Op::Mul => {
            let corners = [(a.0, b.0), (a.0, b.1), (a.1, b.0), (a.1, b.1)].map(|(x, y)| x.saturating_mul(y));
            (*corners.iter().min().expect("four"), *corners.iter().max().expect("four"))
        }
        // Bits of a number that is not negative stay below it; -1 has all bits.
        Op::And => match (a.0 >= 0, b.0 >= 0) {
            (true, true) => (0, a.1.min(b.1)),
            (true, false) => (0, a.1),
            (false, true) => (0, b.1),
            (false, false) => (i128::from(i64::MIN), a.1.max(b.1)),
        },
    }
}

/// A definition's term, said of a header of a packet.
pub(super) fn in_header(term: &Term, header: HeaderRef) -> Term {
    match term {
        Term::Field(field) if field.header == Protocols::THIS => {
            Term::Field(FieldRef { header, field: field.field })
        }
        Term::Binary(op, a, b) => {
            Term::Binary(*op, Box::new(in_header(a, header)), Box::new(in_header(b, header)))
        }
        Term::Truth(pred) => Term::Truth(Box::new(pred_in_header(pred, header))),
        other => other.clone(),
    }
}

fn pred_in_header(pred: &Pred, header: HeaderRef) -> Pred {
    let list = |all: &[Pred]| all.iter().map(|p| pred_in_header(p, header)).collect();
    match pred {
        Pred::Not(inner) => Pred::Not(Box::new(pred_in_header(inner, header))),
        Pred::And(all) => Pred::And(list(all)),
        Pred::Or(any) => Pred::Or(list(any)),
        Pred::There(term) => Pred::There(in_header(term, header)),
        Pred::In(term, ranges) => Pred::In(in_header(term, header), ranges.clone()),
        Pred::Compare(c) => {
            let (left, right) = (in_header(&c.left, header), in_header(&c.right, header));
            Pred::Compare(crate::policy::Compare { op: c.op, left, right })
        }
        other => other.clone(),
    }
}

/// Whether a field's place is a whole number of bytes from the header's start, and which.
pub(super) fn byte_place(place: &Place) -> Option<u32> {
    match place {
        Place::Bit(bit) if bit % 8 == 0 => Some(bit / 8),
        _ => None,
    }
}

/// The smallest and largest value of a term of a policy.
pub fn interval_of(protocols: &Protocols, term: &Term) -> (i128, i128) {
    match term {
        Term::Field(f) if f.header != Protocols::THIS => {
            let bits = protocols[f.header.protocol].fields[f.field as usize].ty.bits();
            (0, (1i128 << bits.min(126)) - 1)
        }
        Term::Binary(op, a, b) => combine(*op, interval_of(protocols, a), interval_of(protocols, b)),
        // A definition's own fields have at most 64 bits where they are calculated with.
        other => interval(other, &|_| 64),
    }
}

/// The protocols that the first segments of a name mean (several for a family), and how many
/// segments that took; none if the name begins with no protocol.
pub fn names_protocol(protocols: &Protocols, segments: &[ast::Segment]) -> (Vec<ProtocolId>, usize) {
    for used in (1..=segments.len()).rev() {
        let name = dotted(&segments[..used]);
        if let Some(id) = protocols.find(&name) {
            return (vec![id], used);
        }
        if let Some(family) = protocols.families.iter().find(|f| f.name == name) {
            return (family.members.clone(), used);
        }
    }
    (Vec::new(), 0)
}

//! What there is to ask of packets: names and types come from the compiler's own table of protocols, so
//! that a new protocol is asked about without a word here.

use crate::dice::Dice;
use weir_compiler::eval::{Header, Scope, walk};
use weir_compiler::policy::{FieldRef, HeaderRef, LEVELS, Place, ProtocolId, Protocols, Term, ValueType};

/// A frame with its headers.
#[derive(Clone)]
pub(crate) struct Focus {
    pub(crate) frame: Vec<u8>,
    pub(crate) headers: Vec<Header>,
}

impl Focus {
    pub(crate) fn new(protocols: &Protocols, frame: Vec<u8>) -> Self {
        let headers = walk(protocols, &frame);
        Self { frame, headers }
    }
}

/// Something with a value.
#[derive(Clone)]
pub(crate) struct Operand {
    pub(crate) path: String,
    pub(crate) ty: ValueType,
    /// What the frame in focus has there.
    pub(crate) value: Option<u128>,
    /// It is bytes of a packet, which may be compared with whatever is as long.
    pub(crate) slice: bool,
    /// It means either side.
    pub(crate) either: bool,
    /// It means a field of each member of a family.
    pub(crate) family: bool,
    /// It was computed.
    pub(crate) computed: bool,
    /// Its place, where it begins with a byte and is always there.
    pub(crate) bytes: bool,
}

pub(crate) struct Vocabulary<'a> {
    pub(crate) protocols: &'a Protocols,
}

impl<'a> Vocabulary<'a> {
    /// A header of the frame in focus mostly, any at all sometimes.
    pub(crate) fn header(&self, dice: &mut Dice, focus: &Focus) -> HeaderRef {
        if !focus.headers.is_empty() && dice.percent(85) {
            return dice.pick(&focus.headers).name;
        }
        let protocol = ProtocolId(dice.below(self.protocols.list.len()) as u32);
        let level = if dice.percent(60) { 0 } else { dice.below(usize::from(LEVELS)) as u8 };
        let index = dice.below(usize::from(self.protocols[protocol].depth)) as u8;
        HeaderRef { level, protocol, index }
    }

    /// A header's name; sometimes its family's.
    pub(crate) fn header_name(&self, dice: &mut Dice, header: HeaderRef) -> String {
        if let Some(family) = self.family_of(header).filter(|_| dice.percent(40)) {
            return family;
        }
        self.own_name(dice, header)
    }

    fn own_name(&self, dice: &mut Dice, header: HeaderRef) -> String {
        let name = &self.protocols[header.protocol].name;
        let inner = "inner.".repeat(usize::from(header.level));
        match header.index {
            0 if !dice.one_in(8) || self.protocols[header.protocol].depth == 1 => format!("{inner}{name}"),
            index => format!("{inner}{name}[{index}]"),
        }
    }

    fn family_of(&self, header: HeaderRef) -> Option<String> {
        let family = self.protocols.families.iter().find(|f| f.members.contains(&header.protocol))?;
        (header.index == 0).then(|| format!("{}{}", "inner.".repeat(usize::from(header.level)), family.name))
    }

    /// A field, an either-side field or a computed one.
    pub(crate) fn operand(&self, dice: &mut Dice, focus: &Focus) -> Operand {
        loop {
            if dice.one_in(25) {
                return self.frame_len(focus);
            }
            if dice.one_in(8) {
                return self.slice(dice, focus);
            }
            let header = self.header(dice, focus);
            if let Some(operand) = self.field(dice, focus, header) {
                return operand;
            }
        }
    }

    pub(crate) fn frame_len(&self, focus: &Focus) -> Operand {
        Operand {
            path: "frame.len".into(),
            ty: ValueType::Int(32),
            value: Some(focus.frame.len() as u128),
            slice: false,
            either: false,
            family: false,
            computed: false,
            bytes: false,
        }
    }

    fn field(&self, dice: &mut Dice, focus: &Focus, header: HeaderRef) -> Option<Operand> {
        let definition = &self.protocols[header.protocol];
        let (fields, sides) = (definition.fields.len(), definition.sides.len());
        let all = fields + 2 * sides + definition.derived.len();
        if all == 0 {
            return None;
        }
        let chosen = dice.below(all);
        let this = |field: u32| Term::Field(FieldRef { header: Protocols::THIS, field });
        let (name, ty, term, either) = if chosen < fields {
            let field = &definition.fields[chosen];
            (&field.name, field.ty, this(chosen as u32), false)
        } else if chosen < fields + 2 * sides {
            let (name, sides) = &definition.sides[(chosen - fields) / 2];
            let ty = |side: u32| definition.fields[side as usize].ty;
            // As the type of a set the name means the widest side's, and of a number beside a truth value the number's.
            let rank = |side: u32| (ty(side).bits(), ty(side) != ValueType::Bool);
            let widest = sides.iter().copied().max_by_key(|side| rank(*side)).expect("there are sides");
            let alike: Vec<u32> = sides.iter().copied().filter(|&side| ty(side) == ty(widest)).collect();
            let side = *dice.pick(&alike);
            (name, ty(side), this(side), true)
        } else {
            let (name, term) = &definition.derived[chosen - fields - 2 * sides];
            let ty = match term {
                Term::Field(field) => definition.fields[field.field as usize].ty,
                _ => ValueType::Int(64),
            };
            (name, ty, term.clone(), false)
        };
        let family = self
            .family_of(header)
            .filter(|_| self.all_members_have(header.protocol, name, ty) && dice.percent(60));
        let path = format!("{}.{name}", family.clone().unwrap_or_else(|| self.own_name(dice, header)));
        let there = focus.headers.iter().find(|h| h.name == header);
        let value = there.and_then(|there| Scope::inside(self.protocols, &focus.frame, there).term(&term));
        let bytes = match definition.fields.get(chosen) {
            Some(field) => matches!(field.place, Place::Bit(bit) if bit % 8 == 0) && field.when.is_none(),
            None => false,
        };
        let computed = !matches!(term, Term::Field(_));
        let family = family.is_some();
        Some(Operand { path, ty, value, slice: false, either, family, computed, bytes })
    }

    /// Whether all members of its families have a value of that name, and of that kind.
    fn all_members_have(&self, protocol: ProtocolId, name: &str, ty: ValueType) -> bool {
        let is = |other: ValueType| match (ty, other) {
            (ValueType::Int(_), ValueType::Int(_)) => true,
            (ValueType::Ip4 | ValueType::Ip6, ValueType::Ip4 | ValueType::Ip6) => true,
            (ty, other) => ty == other,
        };
        let has = |id: &ProtocolId| {
            let member = &self.protocols[*id];
            let field = |field: u32| is(member.fields[field as usize].ty);
            match (member.field(name), member.sides.iter().find(|side| side.0 == name)) {
                (Some(number), _) => field(number),
                (None, Some((_, sides))) => sides.iter().all(|side| field(*side)),
                (None, None) => {
                    member.derived.iter().any(|derived| derived.0 == name) && is(ValueType::Int(64))
                }
            }
        };
        self.protocols
            .families
            .iter()
            .filter(|f| f.members.contains(&protocol))
            .all(|f| f.members.iter().all(has))
    }

    /// Bytes of a header, of what follows it, or of the transport's payload.
    pub(crate) fn slice(&self, dice: &mut Dice, focus: &Focus) -> Operand {
        let header = self.header(dice, focus);
        let there = focus.headers.iter().find(|h| h.name == header);
        let payload = dice.percent(45);
        let length = if dice.percent(75) { dice.between(1, 8) } else { dice.between(9, 16) };
        let (from, room) = match (there, payload) {
            (Some(there), false) => (there.offset, there.length),
            (Some(there), true) => {
                (there.offset + there.length, focus.frame.len() - there.offset - there.length)
            }
            (None, _) => (0, 24),
        };
        let offset = match dice.below(10) {
            0 => room.saturating_sub(length) + dice.below(3),
            1 => dice.below(2001),
            _ => dice.below(room.saturating_sub(length) + 1),
        };
        let offset = offset.min(2000);
        let bytes =
            focus.frame.get(from + offset..from + offset + length).filter(|_| offset + length <= room);
        let value =
            there.and(bytes).map(|bytes| bytes.iter().fold(0, |value, &byte| value << 8 | u128::from(byte)));
        let mut path = self.header_name(dice, header);
        if payload {
            path = match self.protocols[header.protocol].transport && dice.percent(50) {
                true => format!("{}payload", "inner.".repeat(usize::from(header.level))),
                false => path + ".payload",
            };
        }
        let ty = if length <= 8 { ValueType::Int(length as u8 * 8) } else { ValueType::Bytes(length as u8) };
        Operand {
            path: format!("{path}[{offset}:{length}]"),
            ty,
            value,
            slice: true,
            either: false,
            family: false,
            computed: false,
            bytes: false,
        }
    }
}

const KNOWN: &[u128] = &[
    0, 1, 2, 3, 4, 5, 6, 8, 15, 16, 17, 20, 40, 47, 53, 58, 64, 80, 123, 128, 255, 256, 443, 0x600, 0x800,
    0x86dd, 0x8100, 4789, 0xfffe,
];

/// A value at which mistakes like to sit.
pub(crate) fn edge(dice: &mut Dice, bits: u8) -> u128 {
    let max = u128::MAX >> (128 - u32::from(bits));
    let power = 1u128 << dice.below(usize::from(bits));
    let value = match dice.below(8) {
        0 => 0,
        1 => max,
        2 => power,
        3 => power.wrapping_sub(1),
        4 => power + 1,
        5 | 6 => *dice.pick(KNOWN),
        _ => dice.wide(),
    };
    value & max
}

/// The value in focus, one beside it, or another.
pub(crate) fn near(dice: &mut Dice, value: Option<u128>, bits: u8) -> u128 {
    let max = u128::MAX >> (128 - u32::from(bits));
    let Some(value) = value else { return edge(dice, bits) };
    let near = match dice.below(10) {
        0..=5 => value,
        6 => value.wrapping_add(1),
        7 => value.wrapping_sub(1),
        8 => value ^ 1 << dice.below(usize::from(bits)),
        _ => return edge(dice, bits),
    };
    near & max
}

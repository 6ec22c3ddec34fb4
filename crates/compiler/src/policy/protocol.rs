//! Protocol definitions after checking, and the graph that they make.

use super::{Pred, Term, ValueType};
use crate::source::Span;
use std::collections::HashMap;

/// Index into [`Protocols`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ProtocolId(pub u32);

/// The longest header that is looked at, in bytes; one that claims more is not there. Longer than
/// any that a standard allows (IPv6 extension headers: 2,048), and short enough that a few of them
/// stay below the 64 KiB up to which the kernel's verifier follows packet pointers.
pub const MAX_HEADER: u16 = 4_096;

/// One protocol. Terms in it name its own header as [`Protocols::THIS`].
#[derive(Clone, Debug)]
pub struct Protocol {
    /// Its name in policies.
    pub name: String,
    /// The document that defines it.
    pub reference: String,
    /// Where it is defined.
    pub span: Span,
    /// `payload` alone means what follows this header.
    pub transport: bool,
    /// Protocols with the same group share [`Protocol::depth`].
    pub group: u32,
    /// How many of the group may stand in a packet at one level.
    pub depth: u8,
    /// Fields, bits of fields and fields of options.
    pub fields: Vec<Field>,
    /// Computed fields.
    pub derived: Vec<(String, Term)>,
    /// Either-side fields: name and the sides.
    pub sides: Vec<(String, Vec<u32>)>,
    /// Bytes that are always there: nothing of the header is looked at unless they are.
    pub fixed: u16,
    /// The header's length in bytes; never less than `fixed`.
    pub length: Term,
    /// Else the header is not there. Looks at the fixed bytes only.
    pub require: Option<Pred>,
    /// Else nothing follows.
    pub carries: Option<Pred>,
    /// What may follow, tried in order.
    pub next: Vec<Next>,
    /// Options.
    pub options: Option<Options>,
}

/// A field.
#[derive(Clone, Debug)]
pub struct Field {
    /// Its name inside the protocol, such as `flags.syn` or `options.mss.val`.
    pub name: String,
    /// Its type; an option itself is a `Bool` with [`Place::OptionThere`].
    pub ty: ValueType,
    /// Where it is.
    pub place: Place,
    /// Only then is it there.
    pub when: Option<Pred>,
}

/// Where a field's first bit is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// Bits from the header's first bit.
    Bit(u32),
    /// Bytes from the header's first byte, computed; then bits from there.
    Computed(Term, u32),
    /// Bits from the first byte after an option's length byte; index into [`Options::kinds`].
    Option(u32, u32),
    /// No bits: whether the option is there.
    OptionThere(u32),
}

/// Kind, length, value; repeated.
#[derive(Clone, Debug)]
pub struct Options {
    /// First byte, from the header's start.
    pub from: u16,
    /// The length byte counts the value only, not the kind and itself.
    pub length_of_value: bool,
    /// The kind that ends the walk.
    pub end: Option<u8>,
    /// A kind of a single byte.
    pub nop: Option<u8>,
    /// The kinds with names: number, name.
    pub kinds: Vec<(u8, String)>,
}

impl Options {
    /// The walk gives up after this many options: a TCP header has room for no more, and IPv6's
    /// longer areas get the same bound.
    pub const TURNS: u32 = 40;
}

/// A question about what follows.
#[derive(Clone, Debug)]
pub struct Next {
    /// Only then is it asked.
    pub when: Option<Pred>,
    /// What is looked at.
    pub selector: Selector,
    /// Which value means which protocol, and whether a new packet begins there.
    pub table: Vec<(u128, ProtocolId, bool)>,
}

/// What a question looks at.
#[derive(Clone, Debug)]
pub enum Selector {
    /// A value of the header.
    Term(Term),
    /// The first bits of what follows; at most 32.
    Peek(u8),
    /// Nothing: the table's one row is the answer.
    Always,
}

/// `ip = ip4, ip6`
#[derive(Clone, Debug)]
pub struct Family {
    /// Its name.
    pub name: String,
    /// Its members.
    pub members: Vec<ProtocolId>,
}

/// All protocols.
#[derive(Clone, Default, Debug)]
pub struct Protocols {
    /// By [`ProtocolId`].
    pub list: Vec<Protocol>,
    /// Families.
    pub families: Vec<Family>,
    /// The protocol that every frame begins with.
    pub root: Option<ProtocolId>,
    by_name: HashMap<String, ProtocolId>,
}

impl Protocols {
    /// The header whose definition is being read; no packet has it.
    pub const THIS: super::HeaderRef =
        super::HeaderRef { level: u8::MAX, protocol: ProtocolId(u32::MAX), index: 0 };

    /// Adds a protocol; the caller sees to it that the name is new.
    pub fn add(&mut self, protocol: Protocol) -> ProtocolId {
        let id = ProtocolId(self.list.len() as u32);
        self.by_name.insert(protocol.name.clone(), id);
        self.list.push(protocol);
        id
    }

    /// Looks a name up.
    pub fn find(&self, name: &str) -> Option<ProtocolId> {
        self.by_name.get(name).copied()
    }

    /// All ids.
    pub fn ids(&self) -> impl Iterator<Item = ProtocolId> + use<> {
        (0..self.list.len() as u32).map(ProtocolId)
    }
}

impl std::ops::Index<ProtocolId> for Protocols {
    type Output = Protocol;
    fn index(&self, id: ProtocolId) -> &Protocol {
        &self.list[id.0 as usize]
    }
}

impl std::ops::IndexMut<ProtocolId> for Protocols {
    fn index_mut(&mut self, id: ProtocolId) -> &mut Protocol {
        &mut self.list[id.0 as usize]
    }
}

impl Protocol {
    /// Looks a plain field up.
    pub fn field(&self, name: &str) -> Option<u32> {
        self.fields.iter().position(|f| f.name == name).map(|i| i as u32)
    }
}

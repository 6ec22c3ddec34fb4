//! The checked policy: every name resolved, every type known, every shorthand spelled out.
//!
//! Either-family fields (`ip.src`), either-side fields (`tcp.port`) and computed fields are gone
//! here: the checker turned them into `or`, `and` and arithmetic over fields of one header each.
//! What a policy *means* is defined on this form, by [`crate::eval`].

mod admitted;
mod balance;
pub(crate) mod cookie;
mod decap;
pub(crate) mod echo;
mod elements;
mod nat;
mod print;
mod protocol;
mod sample;
mod service;
mod simplify;
mod through;

pub use crate::ir::{Origin, Via};
pub(crate) use admitted::{Admitted, destinations, joined};
pub(crate) use balance::FAMILIES;
pub use balance::{Backend, Balance, FLOWS, Fragments, GUE_PORT, MTU, Pool, Said, Unsent, VXLAN_PORT};
pub use cookie::PARTS as COOKIE_PARTS;
pub(crate) use decap::leads;
pub use decap::{Decap, IpHeader};
pub use elements::Elements;
pub use nat::{Kind, Outer, Quoted, ending};
pub use print::{header_text, pred_text, range_text, term_text, value_text};
pub use protocol::*;
pub use sample::{BUDGET, BYTES, MOST_BYTES, MOST_SAMPLES, Sample};
pub(crate) use service::services;
pub use service::{MOST_PREFIXES, Prefix, Service};
pub use simplify::{Presence, simplify};
pub use through::Through;

use crate::ir::Verdict;
use crate::source::Span;
use crate::syntax::ast;
use weir_pool::flow;

/// How many packets inside packets are looked at: the outer one, `inner.`, `inner.inner.`.
pub const LEVELS: u8 = 3;

/// One header of a packet: the `index`-th of its protocol at its level of encapsulation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct HeaderRef {
    /// 0 is the outer packet.
    pub level: u8,
    /// Which protocol.
    pub protocol: ProtocolId,
    /// 0 is the first of its protocol at this level.
    pub index: u8,
}

/// A field of a header.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct FieldRef {
    /// Whose.
    pub header: HeaderRef,
    /// Index into [`Protocol::fields`].
    pub field: u32,
}

/// Bytes of a header, or of what follows it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct SliceRef {
    /// Whose.
    pub header: HeaderRef,
    /// What follows the header instead of the header itself.
    pub payload: bool,
    /// First byte.
    pub offset: u16,
    /// 1 to 16 bytes.
    pub length: u8,
}

/// A value that a packet may or may not have. Values are unsigned and of at most 128 bits;
/// arithmetic is exact, in two's complement of 128 bits (the checker proves that 64 suffice).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Term {
    /// A constant.
    Const(u128),
    /// A field.
    Field(FieldRef),
    /// Bytes, as a big-endian number.
    Slice(SliceRef),
    /// The frame's length in bytes, without FCS.
    FrameLen,
    /// How many bytes of the frame stand before a header; no condition asks for it, only what [`Decap`] needs.
    Begin(HeaderRef),
    /// Arithmetic.
    Binary(ast::ArithmeticOp, Box<Term>, Box<Term>),
    /// 1 if the condition holds, else 0; in protocol definitions only.
    Truth(Box<Pred>),
}

/// A condition. Never undecided: a comparison with something absent is false.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Pred {
    /// Always or never.
    Const(bool),
    /// The opposite.
    Not(Box<Pred>),
    /// All of them.
    And(Vec<Pred>),
    /// Any of them.
    Or(Vec<Pred>),
    /// The header is there.
    Header(HeaderRef),
    /// The field or slice is there.
    There(Term),
    /// Both sides are there and the relation holds.
    Compare(Compare),
    /// The value is there and in one of the ranges (both ends in them; sorted, disjoint).
    In(Term, Vec<(u128, u128)>),
    /// All values are there and the set holds them.
    InSet(Vec<Term>, SetPart),
}

/// A relation of two terms.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Compare {
    /// Which.
    pub op: Relation,
    /// The left side.
    pub left: Term,
    /// The right side.
    pub right: Term,
}

/// Relations, on signed values: the checker keeps 128-bit values out of `<` and its kin.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[allow(missing_docs)]
pub enum Relation {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

/// One family's part of a set: index into [`Policy::sets`] and [`Set::parts`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct SetPart {
    /// Which set.
    pub set: u32,
    /// Which part.
    pub part: u32,
}

/// A set.
#[derive(Clone, Debug)]
pub struct Set {
    /// Its name.
    pub name: String,
    /// Where it is declared.
    pub span: Span,
    /// The types of an element, as declared.
    pub types: Vec<ValueType>,
    /// Present if it can change while running.
    pub live: Option<Live>,
    /// One part, or one for each address family where an element has an either-family address.
    pub parts: Vec<Part>,
}

/// A set that changes while running.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Live {
    /// How long an element lives unless said otherwise, in nanoseconds.
    pub timeout: Option<u64>,
    /// How many elements it may hold (of each part).
    pub max: u32,
}

/// The elements of a set that are of one family.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part {
    /// Which family, where the set was split.
    pub family: Option<Family46>,
    /// The width of each value in bits.
    pub widths: Vec<u8>,
    /// What it holds, or begins with.
    pub elements: Elements,
}

/// An address family.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[allow(missing_docs)]
pub enum Family46 {
    V4,
    V6,
}

/// The type of a value.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum ValueType {
    /// An unsigned integer of a width in bits, at most 64.
    Int(u8),
    /// A truth value.
    Bool,
    /// An IPv4 address.
    Ip4,
    /// An IPv6 address.
    Ip6,
    /// An address of either family; in sets only.
    Ip,
    /// A MAC address.
    Mac,
    /// Bytes, at most 16.
    Bytes(u8),
}

impl ValueType {
    /// Width in bits; an either-family address has none of its own.
    pub fn bits(self) -> u8 {
        match self {
            ValueType::Int(bits) => bits,
            ValueType::Bool => 1,
            ValueType::Ip4 => 32,
            ValueType::Ip6 | ValueType::Ip => 128,
            ValueType::Mac => 48,
            ValueType::Bytes(n) => n * 8,
        }
    }
}

/// As policies write it.
impl std::fmt::Display for ValueType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ValueType::Int(bits) => write!(f, "u{bits}"),
            ValueType::Bool => f.write_str("bool"),
            ValueType::Ip4 => f.write_str("ip4"),
            ValueType::Ip6 => f.write_str("ip6"),
            ValueType::Ip => f.write_str("ip"),
            ValueType::Mac => f.write_str("mac"),
            ValueType::Bytes(bytes) => write!(f, "bytes{bytes}"),
        }
    }
}

/// What a statement does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Ends the packet's way.
    Verdict(Verdict),
    /// Counts, nothing else.
    Count,
    /// Drops what is over the rate.
    Limit(Limit),
    /// Takes the outermost tunnel off and passes what was inside, see [`Decap`]. The condition says that there is one.
    Decap,
    /// Sends to a backend of a pool.
    Balance(Balance),
    /// Sends on to clients what backends answer, where the next statement translates.
    Answer(Balance),
    /// Answers an echo request of ICMP. The condition says that it is one, and that it can be answered.
    Echo,
    /// Answers SYNs of TCP with SYN cookies, and drops acknowledgements that bring none back. The condition says that it is either, and
    /// that it can be answered.
    Syncookie,
    /// Hands some of the packets on, with what becomes of them.
    Sample(Sample),
}

impl Action {
    /// The values that it needs of a packet, beside those that the condition asks for.
    pub fn terms(&self, protocols: &Protocols) -> Vec<Term> {
        match self {
            Action::Verdict(_) | Action::Count | Action::Sample(_) => Vec::new(),
            Action::Limit(Limit { keys, .. }) => {
                keys.iter().flatten().map(|part| part.term.clone()).collect()
            }
            Action::Balance(balance) | Action::Answer(balance) => balance.terms(protocols),
            Action::Decap => Decap::of(protocols).iter().flat_map(Decap::terms).collect(),
            Action::Syncookie => cookie::terms(protocols),
            Action::Echo => echo::headers(protocols).into_iter().map(|(ip, _)| Term::Begin(ip)).collect(),
        }
    }
}

/// A token bucket per key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limit {
    /// What a packet costs.
    pub unit: LimitUnit,
    /// See [`crate::ir::LimitDecl::interval`].
    pub interval: u64,
    /// See [`crate::ir::LimitDecl::tolerance`].
    pub tolerance: u64,
    /// The keys: the first whose values are all there is used, and a packet that has none is not
    /// limited. Families make several. Empty for one bucket in all.
    pub keys: Vec<Vec<KeyPart>>,
    /// How many keys are told apart.
    pub max: u32,
    /// The rate and burst as the policy says them, for people.
    pub text: String,
}

/// One value of a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyPart {
    /// The value.
    pub term: Term,
    /// Its width in bits.
    pub width: u8,
    /// Bits of it that count, from the most significant.
    pub prefix: u8,
    /// Where the part is of either family: room for both, see [`KeyPart::words`].
    pub mapped: bool,
}

impl KeyPart {
    /// The widths of the scalars that it takes in a key.
    pub fn words(&self) -> &'static [u8] {
        match (self.width, self.mapped) {
            (_, true) | (65.., _) => &[64, 64],
            (1..=8, _) => &[8],
            (9..=16, _) => &[16],
            (17..=32, _) => &[32],
            _ => &[64],
        }
    }

    /// The words of a value as keys of flows have them.
    pub fn flow_words(&self, value: u128) -> Vec<flow::Word> {
        let word = |(width, scalar): (&u8, u64)| match width {
            8 => flow::Word::W8(scalar as u8),
            16 => flow::Word::W16(scalar as u16),
            32 => flow::Word::W32(scalar as u32),
            _ => flow::Word::W64(scalar),
        };
        self.words().iter().zip(self.scalars(value)).map(word).collect()
    }

    /// The scalars of a value. An IPv4 address beside IPv6 ones is written as `::ffff:a.b.c.d`
    /// (RFC 4291), which no IPv6 packet may have as its address.
    pub fn scalars(&self, value: u128) -> Vec<u64> {
        let low = u32::from(self.width - self.prefix);
        let mut value = if low >= 128 { 0 } else { value >> low << low };
        if self.mapped && self.width == 32 {
            value |= 0xffff << 32;
        }
        match self.words().len() {
            2 => vec![(value >> 64) as u64, value as u64],
            _ => vec![value as u64],
        }
    }
}

/// What a limit counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum LimitUnit {
    Packets,
    Bytes,
}

/// A statement.
#[derive(Clone, Debug)]
pub struct Statement {
    /// Its name, given or made of its action and line (`drop@12`).
    pub name: String,
    /// Where it stands.
    pub span: Span,
    /// How often it is expected to apply, if the policy says so.
    pub likelihood: Option<ast::Likelihood>,
    /// Counts what it would have done, and does nothing.
    pub shadow: bool,
    /// What it does.
    pub action: Action,
    /// For which packets.
    pub when: Pred,
}

impl Statement {
    /// The verb, as `status` and `replay` show it.
    pub fn verb(&self) -> &'static str {
        match self.action {
            Action::Verdict(Verdict::Pass) => "pass",
            Action::Verdict(Verdict::Drop) => "drop",
            Action::Verdict(Verdict::Send) => "send",
            Action::Count => "count",
            Action::Limit(_) => "limit",
            Action::Decap => "decap",
            Action::Balance(_) => "balance",
            Action::Answer(_) => "answer",
            Action::Syncookie => "syncookie",
            Action::Echo => "echo",
            Action::Sample(_) => "sample",
        }
    }

    /// What it counts: the packets that it applies to under its name, then those that it treats in some way of their own.
    pub fn counters(&self) -> Vec<String> {
        let parts: &[&str] = match self.action {
            Action::Limit(_) => &["over"],
            Action::Balance(_) | Action::Answer(_) if !self.shadow => return self.balance_counters(),
            Action::Sample(_) => &["lost"],
            Action::Syncookie if !self.shadow => &cookie::PARTS,
            _ => &[],
        };
        let own = parts.iter().map(|part| format!("{}/{part}", self.name));
        [self.name.clone()].into_iter().chain(own).collect()
    }

    fn balance_counters(&self) -> Vec<String> {
        let unsent = self.unsent().iter().map(|why| format!("{}/{}", self.name, why.word()));
        [self.name.clone()].into_iter().chain(unsent).collect()
    }

    /// Why it may not send packets.
    pub fn unsent(&self) -> &'static [Unsent] {
        match &self.action {
            Action::Balance(balance) if balance.via.banks().is_some() => &Unsent::ALL,
            Action::Balance(_) => &Unsent::ALL[..4],
            Action::Answer(_) => &Unsent::ALL[1..4],
            _ => &[],
        }
    }

    /// Whether it ends the way of every packet that it applies to.
    pub fn ends(&self) -> bool {
        let changes = matches!(self.action, Action::Decap | Action::Balance(_) | Action::Echo);
        self.decides().is_some() || changes && !self.shadow
    }

    /// What becomes of every packet that it applies to, if that ends their way and leaves them as they are.
    pub fn decides(&self) -> Option<Verdict> {
        match self.action {
            Action::Verdict(verdict) if !self.shadow => Some(verdict),
            _ => None,
        }
    }

    /// Whether it only counts the packets that it applies to.
    pub fn only_counts(&self) -> bool {
        match self.action {
            Action::Count => true,
            Action::Verdict(_) | Action::Decap | Action::Balance(_) | Action::Echo | Action::Syncookie => {
                self.shadow
            }
            Action::Limit(_) | Action::Answer(_) | Action::Sample(_) => false,
        }
    }
}

/// A checked policy.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Every protocol, built-in and the policy's own.
    pub protocols: Protocols,
    /// The sets.
    pub sets: Vec<Set>,
    /// The pools.
    pub pools: Vec<Pool>,
    /// The statements, in order.
    pub statements: Vec<Statement>,
    /// The services that `balance` statements send to backends.
    pub services: Vec<Service>,
    /// What happens to packets that no statement decides.
    pub default: Option<Verdict>,
    /// The tests.
    pub tests: Vec<ast::Test>,
}

impl Policy {
    /// What happens to packets that no statement decides: they pass unless said otherwise.
    pub fn default_verdict(&self) -> Verdict {
        self.default.unwrap_or(Verdict::Pass)
    }

    /// The statements that sample, with their indices.
    pub fn samples(&self) -> impl Iterator<Item = (usize, &Sample)> {
        self.statements.iter().enumerate().filter_map(|(index, statement)| match &statement.action {
            Action::Sample(sample) => Some((index, sample)),
            _ => None,
        })
    }
}

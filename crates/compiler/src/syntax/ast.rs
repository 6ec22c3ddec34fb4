//! What the parser reads: the text's structure, before names and types mean anything.
//!
//! Every node has the span of its text. The tree keeps what the formatter needs (comments are
//! found again through [`File::comments`]) and nothing that can be computed.

mod pool;

use crate::source::Span;
use std::net::{Ipv4Addr, Ipv6Addr};

pub use pool::*;

/// A name with its place.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Name {
    /// The name as written.
    pub text: String,
    /// Where.
    pub span: Span,
}

/// One source text.
#[derive(Clone, Debug, Default)]
pub struct File {
    /// Items in their order.
    pub items: Vec<Item>,
    /// Comments (`# …` to the end of the line, the `#` included), in their order.
    pub comments: Vec<Span>,
}

/// A top-level item.
#[derive(Clone, Debug)]
pub enum Item {
    /// `include "file"`
    Include(Include),
    /// `set NAME : TYPE …`
    Set(Set),
    /// `pool NAME { … }`
    Pool(Pool),
    /// `protocol NAME …`
    Protocol(Protocol),
    /// `family NAME = A, B`
    Family(Family),
    /// `pass`, `drop`, `count`, `limit` …, with or without `likely`, `unlikely` and `shadow`
    Statement(Statement),
    /// `default VERDICT`
    Default(Default_),
    /// `test "NAME" { … }`
    Test(Test),
}

/// `include "path"`
#[derive(Clone, Debug)]
pub struct Include {
    /// The path as written, relative to the including file.
    pub path: Str,
    /// The whole item.
    pub span: Span,
}

/// A quoted string, its escapes resolved (`\"`, `\\`, `\n`, `\r`, `\t`, `\xHH`).
#[derive(Clone, Debug)]
pub struct Str {
    /// The bytes between the quotes.
    pub value: Vec<u8>,
    /// With the quotes.
    pub span: Span,
}

/// `set NAME : TYPE [= { … }] [from "file"] [timeout DURATION] [max COUNT]`
#[derive(Clone, Debug)]
pub struct Set {
    /// Its name.
    pub name: Name,
    /// What its elements are: one part, or several in parentheses.
    pub types: Vec<TypeName>,
    /// `= { … }`
    pub elements: Option<Vec<Element>>,
    /// `from "file"`
    pub from: Option<Str>,
    /// `timeout 10m`
    pub timeout: Option<Literal>,
    /// `max 1M`
    pub max: Option<Literal>,
    /// The whole item.
    pub span: Span,
}

/// The type of a set's part or of a field: `ip`, `ip4`, `ip6`, `mac`, `bool`, `port`, `uN`,
/// `bytesN`, `prefix`, or (in a set) a field's name, whose type it takes.
#[derive(Clone, Debug)]
pub struct TypeName {
    /// The dotted name.
    pub path: Path,
}

/// One element of a set or of an `in { … }`.
#[derive(Clone, Debug)]
pub enum Element {
    /// A value or a prefix.
    One(Literal),
    /// `A..B`, both ends in it.
    Range(Literal, Literal),
    /// `(a, b, …)`, for sets of tuples.
    Tuple(Vec<Element>, Span),
}

/// A constant.
#[derive(Clone, Debug)]
pub struct Literal {
    /// What it says.
    pub value: LiteralValue,
    /// Where.
    pub span: Span,
}

/// The kinds of constants, as their spelling tells them.
#[derive(Clone, PartialEq, Debug)]
pub enum LiteralValue {
    /// `80`, `0xff`, `0b101`, with the multipliers `k M G` (powers of 1,000).
    Int(u128),
    /// `true`, `false`
    Bool(bool),
    /// `10.0.0.1`
    Ip4(Ipv4Addr),
    /// `2001:db8::1`
    Ip6(Ipv6Addr),
    /// `10.0.0.0/8`: address bits below the mask are kept as written, to be judged later.
    Prefix4(Ipv4Addr, u8),
    /// `2001:db8::/32`
    Prefix6(Ipv6Addr, u8),
    /// `02:00:00:00:00:01`
    Mac([u8; 6]),
    /// `"GET "`
    Bytes(Vec<u8>),
    /// `10m`, `500ms`, `2s`, `1h`, `1d`, in nanoseconds
    Duration(u64),
    /// A size with a byte unit, in bytes: `1500B`, `64kB`, `1MB`, `1GB` (powers of 1,000).
    Size(u64),
    /// `500/s`, `30/m`, `10MB/s`, `100Mbit/s`
    Rate(Rate),
}

/// A rate as written, as a fraction of whole units a period.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// Packets, or bits (a byte unit is eight of them).
    pub amount: u64,
    /// What `amount` counts.
    pub unit: RateUnit,
    /// Nanoseconds in which the amount may pass: a second, minute or hour.
    pub period: u64,
}

/// What a rate counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RateUnit {
    /// Packets.
    Packets,
    /// Bits of the frame.
    Bits,
}

/// A dotted name with optional stack indices: `ip.src`, `vlan[1].id`, `inner.tcp.flags.syn`.
#[derive(Clone, Debug)]
pub struct Path {
    /// Its segments; never empty.
    pub segments: Vec<Segment>,
    /// Where.
    pub span: Span,
}

/// One segment of a path.
#[derive(Clone, Debug)]
pub struct Segment {
    /// The word.
    pub name: Name,
    /// `[n]`, counted from 0.
    pub index: Option<(u32, Span)>,
}

/// `[likely | unlikely] [shadow] ACTION [NAME] [when EXPR] [clauses]`
#[derive(Clone, Debug)]
pub struct Statement {
    /// How often it is expected to apply, if that was said.
    pub likelihood: Option<Likelihood>,
    /// `shadow` was said.
    pub shadow: bool,
    /// The verb.
    pub action: Action,
    /// Where the verb stands.
    pub action_span: Span,
    /// The name, unless left out.
    pub name: Option<Name>,
    /// The condition, unless left out.
    pub when: Option<Expr>,
    /// The whole statement.
    pub span: Span,
}

/// How often a statement is expected to apply to the packets that come by. It never changes what they mean.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Likelihood {
    /// `likely`
    Likely,
    /// `unlikely`
    Unlikely,
}

impl Likelihood {
    /// The likelihood that policies call by this name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "likely" => Some(Self::Likely),
            "unlikely" => Some(Self::Unlikely),
            _ => None,
        }
    }

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Likely => "likely",
            Self::Unlikely => "unlikely",
        }
    }
}

/// The verbs of version 1.
#[derive(Clone, Debug)]
pub enum Action {
    /// `pass`
    Pass,
    /// `drop`
    Drop,
    /// `count`
    Count,
    /// `decap`
    Decap,
    /// `limit … to RATE [burst N] [per KEYS] [max N]`
    Limit(Limit),
    /// `balance … to POOL [by KEYS] [via MODE …] [echo]`
    Balance(Box<Balance>),
    /// `sample [NAME] 1 in N [when …] [bytes B] [budget RATE]`
    Sample(Sample),
    /// `answer [NAME] syncookie [when …]`
    Syncookie,
}

/// The clauses of `sample`.
#[derive(Clone, Debug)]
pub struct Sample {
    /// `1 in 1000`: the second number.
    pub one_in: Literal,
    /// `bytes 256`: how many of a packet are handed on.
    pub bytes: Option<Literal>,
    /// `budget 10k/s`: how many samples there may be in a time.
    pub budget: Option<Literal>,
}

/// The clauses of `limit`.
#[derive(Clone, Debug)]
pub struct Limit {
    /// `to 500/s`
    pub rate: Literal,
    /// `burst 1000`
    pub burst: Option<Literal>,
    /// `per ip.src/24` or `per (ip.src, udp.dstport)`; empty for one bucket in all.
    pub per: Vec<Key>,
    /// `max 100k`: how many keys are told apart.
    pub max: Option<Literal>,
}

/// One part of a key: a field, for addresses with the prefix length to count by.
#[derive(Clone, Debug)]
pub struct Key {
    /// The value.
    pub value: Expr,
    /// `/24`, or `/24/56` for IPv4 and IPv6.
    pub prefix: Vec<(u8, Span)>,
}

/// `default VERDICT`
#[derive(Clone, Debug)]
pub struct Default_ {
    /// `pass` or `drop`.
    pub verdict: Name,
    /// The whole item.
    pub span: Span,
}

/// An expression.
#[derive(Clone, Debug)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Where, parentheses around it not included.
    pub span: Span,
}

/// The kinds of expressions, loosest first; `docs/language.md` has the precedence table.
#[derive(Clone, Debug)]
pub enum ExprKind {
    /// `a or b`
    Or(Box<Expr>, Box<Expr>),
    /// `a and b`
    And(Box<Expr>, Box<Expr>),
    /// `not a`
    Not(Box<Expr>),
    /// `a == b` and its kin; they do not chain.
    Compare(CompareOp, Box<Expr>, Box<Expr>),
    /// `a in { … }`
    InElements(Box<Expr>, Vec<Element>, Span),
    /// `a in NAME`
    InSet(Box<Expr>, Name),
    /// `a + b`, `a - b`, `a * b`, `a & b`
    Arithmetic(ArithmeticOp, Box<Expr>, Box<Expr>),
    /// `(a, b)`, only before `in`
    Tuple(Vec<Expr>),
    /// A field or a protocol.
    Path(Path),
    /// `tcp[12:2]`, `payload[0:4]`: offset and length in bytes.
    Slice(Path, SliceRange),
    /// A constant.
    Literal(LiteralValue),
    /// What stood here could not be read; a diagnostic was given.
    Error,
}

/// `[offset:length]` in bytes.
#[derive(Clone, Debug)]
pub struct SliceRange {
    /// First byte.
    pub offset: u32,
    /// How many.
    pub length: u32,
    /// With the brackets.
    pub span: Span,
}

/// Relations.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CompareOp {
    /// `==`
    Eq,
    /// `!=`
    Ne,
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `>`
    Gt,
    /// `>=`
    Ge,
}

/// Operations on integers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum ArithmeticOp {
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `&`
    And,
}

impl ArithmeticOp {
    /// The result, modulo 2^128.
    pub fn apply(self, a: u128, b: u128) -> u128 {
        match self {
            ArithmeticOp::Add => a.wrapping_add(b),
            ArithmeticOp::Sub => a.wrapping_sub(b),
            ArithmeticOp::Mul => a.wrapping_mul(b),
            ArithmeticOp::And => a & b,
        }
    }
}

/// `protocol NAME "RFC" [transport] [root] [stack [GROUP] N] { … }`
#[derive(Clone, Debug)]
pub struct Protocol {
    /// Dotted name, such as `ip6.frag`.
    pub name: Path,
    /// The document that defines it.
    pub reference: Option<Str>,
    /// `root`: a frame begins with it.
    pub root: Option<Span>,
    /// `transport`: `payload` alone means what follows it.
    pub transport: Option<Span>,
    /// `stack 4`, or `stack ipext 6` where several protocols share the count.
    pub stack: Option<Stack>,
    /// What it says, in order.
    pub entries: Vec<ProtocolEntry>,
    /// The whole item.
    pub span: Span,
}

/// How many of a protocol (or of a group of protocols) may follow each other in a packet.
#[derive(Clone, Debug)]
pub struct Stack {
    /// The shared count's name.
    pub group: Option<Name>,
    /// How many.
    pub depth: u32,
    /// Where.
    pub span: Span,
}

/// A line of a protocol definition.
#[derive(Clone, Debug)]
pub enum ProtocolEntry {
    /// `over SPACE NUMBER [inner]`: this protocol follows where SPACE says NUMBER.
    Over(Over),
    /// `NAME : TYPE …`: a field; bits follow each other from the most significant.
    Field(Field),
    /// `NAME = EXPR`: computed from the header's own fields.
    Derived(Name, Expr),
    /// `any NAME = A, B`: either side.
    Any(Name, Vec<Name>),
    /// `length EXPR`: the whole header in bytes, when it is not what the fields add up to.
    Length(Expr),
    /// `require EXPR`: else the header is not there.
    Require(Expr),
    /// `carries when EXPR`: else nothing follows (a later fragment).
    Carries(Expr),
    /// `next …`
    Next(Next),
    /// `options from N [length value] { … }`
    Options(Options),
}

/// `over SPACE NUMBER [inner]`
#[derive(Clone, Debug)]
pub struct Over {
    /// The number space, such as `ethertype`, `ipproto`, `udp.port`.
    pub space: Path,
    /// The number there.
    pub number: Literal,
    /// `inner`: a new packet begins, its fields are `inner.…`.
    pub inner: bool,
    /// The whole entry.
    pub span: Span,
}

/// `NAME : TYPE [at EXPR] [when EXPR] [{ bits }]`
#[derive(Clone, Debug)]
pub struct Field {
    /// Its name, `_` for bits that have none; dotted inside (`src.mac`) is a path's tail.
    pub name: Path,
    /// Its type: `uN`, `bool`, `ip4`, `ip6`, `mac`, `bytesN`.
    pub ty: TypeName,
    /// `at EXPR`: bytes from the header's start, instead of after the field before.
    pub at: Option<Expr>,
    /// `when EXPR`: only then is it in the packet.
    pub when: Option<Expr>,
    /// `{ syn : bool … }`: the same bits with names, from the most significant.
    pub bits: Vec<Field>,
    /// The whole entry.
    pub span: Span,
}

/// `next …`: which protocol follows. Entries are tried in order; the first that knows a protocol wins.
#[derive(Clone, Debug)]
pub struct Next {
    /// What is looked at.
    pub selector: Selector,
    /// Where the value is looked up.
    pub table: Table,
    /// `inner`: what follows is a new packet.
    pub inner: bool,
    /// `when EXPR`: only then is this entry tried.
    pub when: Option<Expr>,
    /// The whole entry.
    pub span: Span,
}

/// What `next` looks at.
#[derive(Clone, Debug)]
pub enum Selector {
    /// A field of the header.
    Field(Path),
    /// `peek uN`: the first N bits (at most 32) of what follows.
    Peek(u32, Span),
    /// `always`: no question; the table has the one protocol.
    Always(Span),
}

/// Where `next` looks.
#[derive(Clone, Debug)]
pub enum Table {
    /// `in SPACE`: protocols bind themselves with `over`.
    Space(Path),
    /// `{ 4 = ip4, 6 = ip6 }`
    Entries(Vec<(Literal, Path)>, Span),
    /// `= eth`, after `always`
    One(Path),
}

/// `options from N [length value] { KIND NAME { fields } … }`: a walk over kind, length and value.
#[derive(Clone, Debug)]
pub struct Options {
    /// First byte of the options, from the header's start.
    pub from: u32,
    /// What the length byte counts.
    pub length: OptionLength,
    /// The kinds.
    pub kinds: Vec<OptionKind>,
    /// The whole entry.
    pub span: Span,
}

/// What an option's length byte counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OptionLength {
    /// Kind, length and value, as in IPv4 and TCP.
    Whole,
    /// The value alone, as in IPv6.
    Value,
}

/// `2 mss { val : u16 }`, `0 end`, `1 nop`
#[derive(Clone, Debug)]
pub struct OptionKind {
    /// The kind byte.
    pub number: Literal,
    /// `end` and `nop` are single bytes: the first ends the walk.
    pub name: Name,
    /// Fields after the length byte.
    pub fields: Vec<Field>,
    /// The whole entry.
    pub span: Span,
}

/// `family ip = ip4, ip6`: whichever is there; its fields are those that all members have.
#[derive(Clone, Debug)]
pub struct Family {
    /// Its name.
    pub name: Name,
    /// Its members.
    pub members: Vec<Path>,
    /// The whole item.
    pub span: Span,
}

/// `test "NAME" { PACKET => VERDICT … }`
#[derive(Clone, Debug)]
pub struct Test {
    /// What it shows.
    pub name: Str,
    /// Its cases.
    pub cases: Vec<TestCase>,
    /// The whole item.
    pub span: Span,
}

/// `PACKET => VERDICT [by NAME] [as PACKET]`
#[derive(Clone, Debug)]
pub struct TestCase {
    /// The packet.
    pub packet: Packet,
    /// `pass` or `drop`.
    pub verdict: Name,
    /// The statement that decided; `by default` for none.
    pub by: Option<Name>,
    /// The packet as which it leaves, where the policy changes it.
    pub leaves: Option<Packet>,
    /// `xN` after the packet: how often it is sent; the verdict is the last one's.
    pub times: Option<u32>,
    /// The whole case.
    pub span: Span,
}

/// `LAYER / LAYER / …`: `eth`, `vlan` and `ip` before the first named layer are filled in.
#[derive(Clone, Debug)]
pub struct Packet {
    /// The layers, outermost first.
    pub layers: Vec<Layer>,
    /// Where.
    pub span: Span,
}

/// `udp(ip.src=10.0.0.1, udp.dstport=53, frame.len=100, payload="…")`, `hex(00 11 …)`,
/// `payload("…")`
#[derive(Clone, Debug)]
pub struct Layer {
    /// A protocol's name, `hex` or `payload`.
    pub name: Path,
    /// `field=value`; the field may be of any layer that the packet has.
    pub fields: Vec<(Path, Literal)>,
    /// The bytes of `hex(…)` and `payload(…)`.
    pub bytes: Option<Vec<u8>>,
    /// Where.
    pub span: Span,
}

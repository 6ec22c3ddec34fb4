//! The intermediate representation: what a policy does to a frame, as a graph of blocks.
//!
//! SSA with block parameters. Every scalar is an unsigned integer of a known width that fits a
//! 64-bit register; signedness is the comparison's. 128-bit values are two scalars, high half first.
//! The packet is read through cursors only: a [`Op::Load`] is legal only where a
//! [`Terminator::Fits`] on the same cursor has proved that the bytes are inside the frame (the
//! verifier in `verify` holds this), which is exactly what the kernel's verifier will ask for.
//!
//! What the data plane keeps (sets, limits, counters) is named by index; [`Program`] declares it.
//! The meaning of every operation is the interpreter's (`interp`).

pub mod analysis;
mod balance;
pub mod build;
mod cookie;
pub mod effort;
pub mod facts;
pub mod interp;
mod nat;
pub mod parse;
pub mod print;
pub mod verify;
pub mod visit;

pub use balance::{BalanceDecl, Echo, Origin, PoolDecl, QUOTED, Refuse, Send, VXLAN_FLAGS, Via};
pub use cookie::{CookieCall, SynAck};
pub use nat::{BackendPart, Edit, Forward, Half, NOT_NOTED, NatCall, NatDecl, NatPart};

use crate::source::Span;
use crate::table::Table;
use std::collections::BTreeMap;

macro_rules! entities {
    ($($(#[$doc:meta])* $name:ident $prefix:literal)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u32);
        impl $name {
            /// As an index into its table.
            pub fn index(self) -> usize { self.0 as usize }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(self, f)
            }
        }
    )*};
}

entities! {
    /// A value: defined once, by an instruction or as a block's parameter.
    Value "v"
    /// A block.
    Block "b"
    /// A place in the policy, for line info: index into [`Program::lines`].
    Line "@"
    /// A statement of the policy, in its order.
    StatementId "s"
    /// A set that lives in a map: index into [`Program::sets`].
    SetRef "set"
    /// A limit: index into [`Program::limits`].
    LimitRef "limit"
    /// A table of rules: index into [`Program::tables`].
    TableRef "table"
    /// A pool of backends: index into [`Program::pools`].
    PoolRef "pool"
    /// A way to backends: index into [`Program::balances`].
    BalanceRef "balance"
    /// The flows that a statement translates: index into [`Program::nats`].
    NatRef "nat"
    /// A statement that samples: index into [`Program::samples`].
    SampleRef "sample"
}

/// The type of a value.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Type {
    /// An unsigned integer below 2^n, n from 1 to 64. `u1` is a truth value.
    Int(u8),
    /// A place in the frame: a packet pointer in eBPF.
    Cursor,
}

/// `u1`
pub const BOOL: Type = Type::Int(1);

/// Two-operand arithmetic, modulo 2^64; the result's declared width must hold the result
/// (`Sub` is declared `u64` where it may be negative).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs)]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    And,
    Or,
    Xor,
    Shl,
    Shr,
}

/// Relations; `S…` compare as two's complement.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs)]
pub enum Relation {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    Slt,
    Sle,
    Sgt,
    Sge,
}

impl Relation {
    /// The relation with its sides exchanged.
    pub fn mirrored(self) -> Relation {
        match self {
            Relation::Eq | Relation::Ne => self,
            Relation::Lt => Relation::Gt,
            Relation::Le => Relation::Ge,
            Relation::Gt => Relation::Lt,
            Relation::Ge => Relation::Le,
            Relation::Slt => Relation::Sgt,
            Relation::Sle => Relation::Sge,
            Relation::Sgt => Relation::Slt,
            Relation::Sge => Relation::Sle,
        }
    }
}

/// An operation.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs)]
pub enum Op {
    /// A constant.
    Const(u64),
    /// Arithmetic.
    Binary(BinaryOp, Value, Value),
    /// A relation, giving `u1`.
    Compare(Relation, Value, Value),
    /// The frame's first byte.
    Start,
    /// A cursor `by` bytes further, where `by` is at most `max` (the eBPF verifier wants the bound).
    Advance { cursor: Value, by: Value, max: u16 },
    /// A cursor a fixed number of bytes further.
    Skip { cursor: Value, bytes: u16 },
    /// `bytes` (1, 2, 4, 8) at `cursor + offset`, big endian, giving `u8*bytes`.
    Load { cursor: Value, offset: u16, bytes: u8 },
    /// The same cursor (at most `max` bytes from the frame's start), reached in a way on which the
    /// kernel's verifier loses what it knew of it. Where many ways meet, cursors that took a detour
    /// are all the same to it, so that it goes through what follows once.
    Detour { cursor: Value, max: u16 },
    /// How many bytes lie between the frame's start and the cursor, giving `u16`.
    Offset(Value),
    /// The length of the frame in bytes, without FCS, giving `u32`.
    FrameLen,
    /// Whether the set holds the key (and the element has not expired), giving `u1`. One value for
    /// each word of the key, see [`SetDecl::words`].
    InSet { set: SetRef, key: Vec<Value> },
    /// Whether some row of the table holds the key, giving `u1`.
    InTable { table: TableRef, key: Vec<Value> },
    /// Takes `cost` from the key's bucket: 1 if it was there, 0 if the packet is over the limit.
    Take { limit: LimitRef, key: Vec<Value>, cost: Value },
    /// The number of the backend that the flow of a hash gets, `u16`, or 0; `begins` says whether the packet is a flow's first. It is
    /// the one that has the flow already (or 0), as long as that is alive.
    Pick { pool: PoolRef, hash: Value, begins: Value, held: Option<Value> },
    /// What is known of a backend, by its number `u16`.
    Backend { pool: PoolRef, backend: Value, part: BackendPart },
    /// Finds a flow that is translated, or does something with it.
    Nat { nat: NatRef, six: bool, call: NatCall, args: Vec<Value> },
    /// Asks the host's TCP about the segment in the packet, by its offset `u16`, which has no options or extension headers.
    Cookie { call: CookieCall, six: bool, packet: Value },
    /// How long a packet to an address may be by the kernel's routes, giving `u16`; 0 if none leads there. One value of 32 bits, or
    /// two of 64.
    Route { to: Vec<Value> },
    /// How long a packet to a backend may be, by the way of a balance, giving `u16`; 0 if no way leads there.
    Room { balance: BalanceRef, backend: Value },
    /// Remembers a word by a key, both `u64`, for the next packets: for so long that a datagram's fragments come in. No result.
    Note { key: Value, word: Value },
    /// The word that was noted by a key, or 0, giving `u64`.
    Recall { key: Value },
    /// Counts the packet and its bytes for a counter slot (see [`Program::counters`]). No result.
    Count { counter: u32 },
    /// Hands a copy of the frame to the capture ring, with the statement and verdict. No result.
    Capture { statement: StatementId, verdict: Verdict },
    /// Draws the packet, or lets it go by ([`Sampler`](crate::sampling::Sampler)). One that was drawn is counted, and goes to the
    /// ring of samples when its way ends, with what became of it. No result.
    Draw { sample: SampleRef },
    /// Keeps a scalar in the program's scratch memory (for policies with more live values than the
    /// stack holds). No result.
    Stash { slot: u32, value: Value },
    /// Reads it back; the type is the stashed one's.
    Unstash { slot: u32 },
}

/// An instruction: an operation, its result where it has one, the policy's line that asked for it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Inst {
    pub result: Option<Value>,
    pub op: Op,
    pub line: Line,
}

/// A jump's target and the values of its parameters.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs)]
pub struct Target {
    pub block: Block,
    pub args: Vec<Value>,
}

/// What happens to the packet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[allow(missing_docs)]
pub enum Verdict {
    Pass,
    Drop,
    /// Leaves by an interface again, as another frame.
    Send,
}

impl Verdict {
    /// The verdict that statements and defaults call by this name.
    pub fn named(name: &str) -> Option<Verdict> {
        match name {
            "pass" => Some(Verdict::Pass),
            "drop" => Some(Verdict::Drop),
            _ => None,
        }
    }

    /// The verdict that tests call by this name.
    pub fn in_test(name: &str) -> Option<Verdict> {
        if name == "send" { Some(Verdict::Send) } else { Verdict::named(name) }
    }
}

/// How a block ends.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs)]
pub enum Terminator {
    /// Goes on elsewhere.
    Jump(Target),
    /// `u1`: 1 goes to `then`.
    Branch { cond: Value, then: Target, other: Target },
    /// Whether `cursor + bytes` is still inside the frame (at its end counts as inside).
    Fits { cursor: Value, bytes: u16, then: Target, other: Target },
    /// The case whose range (both ends in it) holds the value; ranges are sorted and disjoint.
    Switch { value: Value, cases: Vec<(u64, u64, Target)>, default: Target },
    /// The rows of the table in their order: one that holds the key counts the packet, and the first of them that
    /// decides ends its way; a packet that none decides goes on. One value for each word of the key, see
    /// [`Table::words`].
    Match { table: TableRef, key: Vec<Value>, otherwise: Target },
    /// The packet's way ends; the statement that decided, `None` for the policy's default.
    Return { verdict: Verdict, by: Option<StatementId> },
    /// The packet's way ends as by `Return` with `pass`, as a shorter frame: what stands at the offset `inner`
    /// and behind it. With `link`, which is how long the frame's Ethernet header is with its VLAN tags (14 to 30), that comes
    /// before it, and an IP header stands at `inner`, whose version says which EtherType the link's last two bytes become.
    /// First the ECN changes.
    Decap { by: StatementId, inner: Value, link: Option<Value>, ecn: Option<EcnChange> },
    /// The packet's way ends by [`Verdict::Send`], or goes on.
    Send(Box<Send>),
    /// The packet's way ends by [`Verdict::Send`], or goes on.
    Forward(Box<Forward>),
    /// The packet's way ends by [`Verdict::Send`].
    Refuse(Refuse),
    /// The packet's way ends by [`Verdict::Send`].
    Echo(Echo),
    /// The packet's way ends by [`Verdict::Send`].
    SynAck(SynAck),
}

/// A change of the two bits of congestion notification of an IPv4 or IPv6 header; the version in its first four bits says
/// where they are, and that of IPv4 has a checksum, which changes with them (RFC 1624).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct EcnChange {
    /// Where the header begins, as an offset from the frame's start.
    pub at: Value,
    /// The bits that flip, as `u2`.
    pub flip: Value,
}

/// A block: parameters, instructions, an end.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct BlockData {
    pub params: Vec<Value>,
    pub insts: Vec<Inst>,
    pub end: Terminator,
    pub end_line: Line,
    /// Expected to be taken rarely: laid out behind the others.
    pub cold: bool,
    /// Where the one block before it is expected to go rather than elsewhere: laid out right behind it.
    pub likely: bool,
    /// A loop's header: how often the block runs at most each time the loop is entered. Only such
    /// a block may be the target of a back edge; the loop's own test must end it within the bound.
    pub loop_bound: Option<u32>,
}

/// How a set that lives in a map is looked up.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SetKind {
    /// Exact keys in a hash map.
    Hash,
    /// One address (one or two words) by its longest prefix in an LPM trie.
    Lpm,
    /// One word, or two of 64 bits, by all prefixes that hold them, in an index ([`crate::index`]). For sets that change
    /// while running.
    Index,
}

/// A set that lives in a map.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SetDecl {
    /// The policy's name for it, with `.4` or `.6` behind it where a set of either family was split.
    pub name: String,
    /// How it is looked up.
    pub kind: SetKind,
    /// Width in bits of each scalar of the key; an IPv6 address is `[64, 64]`.
    pub words: Vec<u8>,
    /// Whether elements carry a time at which they expire.
    pub expires: bool,
    /// How many elements it can hold.
    pub max: u32,
}

/// A token bucket per key, as a virtual schedule (the generic cell rate algorithm, ITU-T I.371).
///
/// Time is in sixteenths of a nanosecond. A bucket is the theoretical arrival time `tat` of the
/// next packet; one that costs `c` is within the limit iff
/// `max(tat, now) + c * interval <= now + burst * interval`, and then `tat` becomes the left side.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct LimitDecl {
    pub name: String,
    /// Time that one unit (packet or byte) takes, in sixteenths of a nanosecond, scaled by 2^16 more.
    pub interval: u64,
    /// `burst * interval` in sixteenths of a nanosecond.
    pub tolerance: u64,
    /// Width in bits of each scalar of the key; empty for one bucket in all.
    pub words: Vec<u8>,
    /// How many keys are told apart.
    pub max: u32,
}

/// A statement that samples.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SampleDecl {
    /// The statement.
    pub statement: StatementId,
    /// It draws one in so many packets.
    pub one_in: u32,
    /// How many bytes of a packet go to the ring at most.
    pub bytes: u16,
    /// Counts those that were drawn.
    pub counter: u32,
    /// Counts those of them that found the ring full.
    pub lost: u32,
    /// Nothing goes to the ring.
    pub shadow: bool,
}

/// What a row of a table does with the packets that it holds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs)]
pub struct Rule {
    pub verdict: Verdict,
    pub by: StatementId,
    pub counter: u32,
}

/// Rules that are matched as one, or the elements of a set.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TableDecl {
    /// The rows. The result of each is the number of its rule, from 1; elements of a set all have 1. Of rows that
    /// count and go on it is their counter and 1.
    pub table: Table,
    /// What rows do that decide; of a set nothing.
    pub rules: Vec<Rule>,
}

impl TableDecl {
    /// What the first row does that holds the key and decides; calls `count` with the counters of those before it
    /// that hold the key and count.
    pub fn find(&self, key: &[u64], mut count: impl FnMut(u32)) -> Option<Rule> {
        let row = self.table.first(key);
        if let Some(counting) = self.table.counting() {
            counting.count(key, row, |result| count(result - 1));
        }
        self.rule(self.table.row(row? as usize).result)
    }

    /// What a row with this result does.
    pub fn rule(&self, result: u32) -> Option<Rule> {
        self.rules.get((result as usize).checked_sub(1)?).copied()
    }
}

/// Frequencies are parts of this.
pub const MILLION: u32 = 1_000_000;

/// How often a counter is expected to count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frequency {
    /// Of a million packets in all, at most.
    pub all: u32,
    /// Of a million packets that come to the question whether they are counted, if there is one.
    pub met: Option<u32>,
}

/// A place in the policy for line info.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct LineInfo {
    pub span: Option<Span>,
    /// `file`, as the user wrote the path.
    pub file: String,
    pub line: u32,
    pub column: u32,
    /// The line's text.
    pub text: String,
}

/// A whole policy in IR.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Program {
    /// Blocks by index; the first is the entry and has no parameters.
    pub blocks: Vec<BlockData>,
    /// The type of each value.
    pub values: Vec<Type>,
    /// Sets in maps.
    pub sets: Vec<SetDecl>,
    /// Limits.
    pub limits: Vec<LimitDecl>,
    /// Tables of rules.
    pub tables: Vec<TableDecl>,
    /// Pools of backends.
    pub pools: Vec<PoolDecl>,
    /// Ways to backends.
    pub balances: Vec<BalanceDecl>,
    /// Flows that are translated.
    pub nats: Vec<NatDecl>,
    /// Statements that sample.
    pub samples: Vec<SampleDecl>,
    /// What samples call those that decide: by statement the counter that is its own, then the default's. Empty where
    /// nothing samples.
    pub tells: Vec<u32>,
    /// How many counter slots there are.
    pub counters: u32,
    /// How often counters count, where that is known: nothing but the layout depends on it.
    pub frequencies: BTreeMap<u32, Frequency>,
    /// How many scratch slots of 8 bytes there are.
    pub scratch: u32,
    /// Places; `@0` is always "no particular line".
    pub lines: Vec<LineInfo>,
    /// Names of the statements, by [`StatementId`].
    pub statements: Vec<String>,
}

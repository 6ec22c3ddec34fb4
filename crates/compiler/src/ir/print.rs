//! The text form of a program. `parse` reads it back.

use super::{
    BackendPart, BalanceDecl, BinaryOp, Block, BlockData, CookieCall, Echo, EcnChange, Edit, Forward,
    Frequency, Inst, Line, LineInfo, NatCall, NatDecl, NatPart, Op, PoolDecl, Program, Refuse, Relation,
    Rule, SampleDecl, Send, SetKind, SynAck, TableDecl, Target, Terminator, Type, Value, Verdict, Via,
};
use crate::nat::Bank;
use crate::table::Entry;
use std::fmt::{self, Display, Formatter};

/// The words of the text form; the parser reads the same tables.
pub(super) const BINARY: [(BinaryOp, &str); 8] = [
    (BinaryOp::Add, "add"),
    (BinaryOp::Sub, "sub"),
    (BinaryOp::Mul, "mul"),
    (BinaryOp::And, "and"),
    (BinaryOp::Or, "or"),
    (BinaryOp::Xor, "xor"),
    (BinaryOp::Shl, "shl"),
    (BinaryOp::Shr, "shr"),
];

pub(super) const RELATIONS: [(Relation, &str); 10] = [
    (Relation::Eq, "eq"),
    (Relation::Ne, "ne"),
    (Relation::Lt, "lt"),
    (Relation::Le, "le"),
    (Relation::Gt, "gt"),
    (Relation::Ge, "ge"),
    (Relation::Slt, "slt"),
    (Relation::Sle, "sle"),
    (Relation::Sgt, "sgt"),
    (Relation::Sge, "sge"),
];

pub(super) const SET_KINDS: [(SetKind, &str); 3] =
    [(SetKind::Hash, "hash"), (SetKind::Lpm, "lpm"), (SetKind::Index, "index")];

pub(super) const VERDICTS: [(Verdict, &str); 3] =
    [(Verdict::Pass, "pass"), (Verdict::Drop, "drop"), (Verdict::Send, "send")];

fn word<T: Copy + PartialEq>(table: &[(T, &'static str)], item: T) -> &'static str {
    table.iter().find(|entry| entry.0 == item).map_or("?", |entry| entry.1)
}

impl Display for Program {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.declarations(f)?;
        self.block_ids().try_for_each(|block| self.block(f, block))
    }
}

impl Program {
    fn declarations(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (index, set) in self.sets.iter().enumerate() {
            let expires = if set.expires { " expires" } else { "" };
            let kind = word(&SET_KINDS, set.kind);
            writeln!(f, "set{index} {:?} {kind} {:?}{expires} max {}", set.name, set.words, set.max)?;
        }
        for (index, limit) in self.limits.iter().enumerate() {
            write!(
                f,
                "limit{index} {:?} interval {} tolerance {}",
                limit.name, limit.interval, limit.tolerance
            )?;
            writeln!(f, " {:?} max {}", limit.words, limit.max)?;
        }
        for (index, decl) in self.tables.iter().enumerate() {
            writeln!(f, "table{index} {:?}", decl.table.words())?;
            decl.table.entries().try_for_each(|entry| row(f, decl, entry))?;
        }
        for (index, PoolDecl { name, slots, max, flows, silence }) in self.pools.iter().enumerate() {
            write!(f, "pool{index} {name:?} slots {slots} max {max} flows {flows}")?;
            silence.iter().try_for_each(|silence| write!(f, " all silence {silence}"))?;
            writeln!(f)?;
        }
        for (index, BalanceDecl { pool, via }) in self.balances.iter().enumerate() {
            writeln!(f, "balance{index} {pool} {via}")?;
        }
        for (index, NatDecl { name, pool, banks: [four, six] }) in self.nats.iter().enumerate() {
            write!(f, "nat{index} {name:?} {pool}")?;
            four.map_or(Ok(()), |bank| write!(f, " bank4 {}{bank}", bank.address))?;
            six.map_or(Ok(()), |bank| {
                write!(f, " bank6 {} {}{bank}", (bank.address >> 64) as u64, bank.address as u64)
            })?;
            writeln!(f)?;
        }
        for (index, sample) in self.samples.iter().enumerate() {
            writeln!(f, "sample{index} {sample}")?;
        }
        if !self.tells.is_empty() {
            writeln!(f, "tells {:?}", self.tells)?;
        }
        if self.counters > 0 {
            writeln!(f, "counters {}", self.counters)?;
        }
        for (counter, Frequency { all, met }) in &self.frequencies {
            let met = met.map_or(String::new(), |met| format!(" met {met}"));
            writeln!(f, "frequency {counter} all {all}{met}")?;
        }
        if self.scratch > 0 {
            writeln!(f, "scratch {}", self.scratch)?;
        }
        // `@0` is always "no particular line" and goes without saying.
        for (index, info) in self.lines.iter().enumerate().skip(1) {
            writeln!(f, "@{index} {info}")?;
        }
        self.statements.iter().enumerate().try_for_each(|(index, name)| writeln!(f, "s{index} {name:?}"))
    }

    fn block(&self, f: &mut Formatter<'_>, block: Block) -> fmt::Result {
        let data = &self[block];
        writeln!(f, "{block}{}{}:", self.params(data), Marks(data))?;
        data.insts.iter().try_for_each(|inst| self.inst(f, inst))?;
        writeln!(f, "    {}{}", data.end, AtLine(data.end_line))
    }

    fn params(&self, data: &BlockData) -> String {
        if data.params.is_empty() {
            return String::new();
        }
        let params: Vec<_> =
            data.params.iter().map(|&param| format!("{param}: {}", self.type_of(param))).collect();
        format!("({})", params.join(", "))
    }

    fn inst(&self, f: &mut Formatter<'_>, inst: &Inst) -> fmt::Result {
        f.write_str("    ")?;
        let ty = inst.result.map(|result| self.type_of(result));
        if let (Some(result), Some(ty)) = (inst.result, ty) {
            write!(f, "{result}: {ty} = ")?;
        }
        write!(f, "{}", inst.op)?;
        // How much is loaded is seen from the type; not so in a program that the verifier refuses.
        match inst.op {
            Op::Load { bytes, .. } if ty != inst.op.fixed_type() => write!(f, " bytes {bytes}")?,
            _ => {}
        }
        writeln!(f, "{}", AtLine(inst.line))
    }
}

impl Display for LineInfo {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
        if !self.file.is_empty() && self.file.chars().all(plain) {
            write!(f, "{}:{}:{}", self.file, self.line, self.column)?;
        } else {
            write!(f, "{:?}:{}:{}", self.file, self.line, self.column)?;
        }
        if let Some(span) = self.span {
            write!(f, " bytes {}:{}..{}", span.source.0, span.start, span.end)?;
        }
        write!(f, " {:?}", self.text)
    }
}

fn row(f: &mut Formatter<'_>, decl: &TableDecl, entry: Entry<'_>) -> fmt::Result {
    let range = |&(low, high): &(u64, u64)| Range(low, high).to_string();
    let ranges: Vec<_> = entry.row().ranges.iter().map(range).collect();
    write!(f, "row [{}]", ranges.join(", "))?;
    match (entry, decl.rule(entry.row().result)) {
        (Entry::Counts(row), _) => writeln!(f, " count {}", row.result - 1),
        (Entry::Decides(_), Some(Rule { verdict, by, counter })) => {
            writeln!(f, " {verdict} by {by} count {counter}")
        }
        (Entry::Decides(_), None) => writeln!(f),
    }
}

impl Display for SampleDecl {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let SampleDecl { statement, one_in, bytes, counter, lost, shadow } = self;
        write!(f, "{statement} one_in {one_in} bytes {bytes} count {counter} lost {lost}")?;
        if *shadow { f.write_str(" shadow") } else { Ok(()) }
    }
}

struct Marks<'a>(&'a BlockData);

impl Display for Marks<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(bound) = self.0.loop_bound {
            write!(f, " loop {bound}")?;
        }
        if self.0.cold {
            f.write_str(" cold")?;
        }
        if self.0.likely { f.write_str(" likely") } else { Ok(()) }
    }
}

struct AtLine(Line);

impl Display for AtLine {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.0 == Line(0) { Ok(()) } else { write!(f, " {}", self.0) }
    }
}

/// Small numbers are counts and ports, large ones are patterns of bits.
struct Number(u64);

impl Display for Number {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.0 < 256 { write!(f, "{}", self.0) } else { write!(f, "{:#x}", self.0) }
    }
}

struct Range(u64, u64);

impl Display for Range {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Number(self.0))?;
        if self.0 == self.1 { Ok(()) } else { write!(f, "..{}", Number(self.1)) }
    }
}

struct List<'a>(&'a [Value]);

impl Display for List<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (index, value) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{value}")?;
        }
        Ok(())
    }
}

impl Display for Type {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Type::Int(bits) => write!(f, "u{bits}"),
            Type::Cursor => f.write_str("cursor"),
        }
    }
}

impl Display for Verdict {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(word(&VERDICTS, *self))
    }
}

impl Display for Op {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Op::Const(number) => write!(f, "const {}", Number(*number)),
            Op::Binary(op, a, b) => write!(f, "{} {a}, {b}", word(&BINARY, *op)),
            Op::Compare(relation, a, b) => write!(f, "{} {a}, {b}", word(&RELATIONS, *relation)),
            Op::Start => f.write_str("start"),
            Op::Advance { cursor, by, max } => write!(f, "advance {cursor} by {by} max {max}"),
            Op::Detour { cursor, max } => write!(f, "detour {cursor} max {max}"),
            Op::Skip { cursor, bytes } => write!(f, "skip {cursor} + {bytes}"),
            Op::Load { cursor, offset, .. } => write!(f, "load {cursor} + {offset}"),
            Op::Offset(cursor) => write!(f, "offset {cursor}"),
            Op::FrameLen => f.write_str("frame_len"),
            Op::InSet { set, key } => write!(f, "in {set} [{}]", List(key)),
            Op::InTable { table, key } => write!(f, "in {table} [{}]", List(key)),
            Op::Take { limit, key, cost } => write!(f, "take {limit} [{}] cost {cost}", List(key)),
            Op::Pick { pool, hash, begins, held } => {
                write!(f, "pick {pool} {hash} begins {begins}")?;
                held.map_or(Ok(()), |held| write!(f, " held {held}"))
            }
            Op::Backend { pool, backend, part } => {
                write!(f, "backend {pool} {backend} {}", word(&BackendPart::NAMES, *part))
            }
            Op::Nat { nat, six, call, args } => {
                write!(f, "nat {nat} {} {call} [{}]", family(*six), List(args))
            }
            Op::Cookie { call, six, packet } => {
                write!(f, "cookie {} {} {packet}", word(&CookieCall::NAMES, *call), family(*six))
            }
            Op::Route { to } => write!(f, "route [{}]", List(to)),
            Op::Note { key, word } => write!(f, "note {key}, {word}"),
            Op::Room { balance, backend } => write!(f, "room {balance} {backend}"),
            Op::Recall { key } => write!(f, "recall {key}"),
            Op::Count { counter } => write!(f, "count {counter}"),
            Op::Capture { statement, verdict } => write!(f, "capture {statement} {verdict}"),
            Op::Draw { sample } => write!(f, "draw {sample}"),
            Op::Stash { slot, value } => write!(f, "stash {slot}, {value}"),
            Op::Unstash { slot } => write!(f, "unstash {slot}"),
        }
    }
}

impl Display for Target {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.args.is_empty() {
            write!(f, "{}", self.block)
        } else {
            write!(f, "{}({})", self.block, List(&self.args))
        }
    }
}

impl Display for Terminator {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Terminator::Jump(target) => write!(f, "jump {target}"),
            Terminator::Branch { cond, then, other } => {
                write!(f, "branch {cond} ? {then} : {other}")
            }
            Terminator::Fits { cursor, bytes, then, other } => {
                write!(f, "fits {cursor} + {bytes} ? {then} : {other}")
            }
            Terminator::Switch { value, cases, default } => {
                write!(f, "switch {value} {{")?;
                for (index, (first, last, target)) in cases.iter().enumerate() {
                    let comma = if index == 0 { " " } else { ", " };
                    write!(f, "{comma}{} => {target}", Range(*first, *last))?;
                }
                write!(f, " }} else {default}")
            }
            Terminator::Match { table, key, otherwise } => {
                write!(f, "match {table} [{}] else {otherwise}", List(key))
            }
            Terminator::Return { verdict, by } => {
                write!(f, "return {verdict}")?;
                by.map_or(Ok(()), |statement| write!(f, " by {statement}"))
            }
            Terminator::Decap { by, inner, link, ecn } => {
                write!(f, "decap {inner}")?;
                link.map_or(Ok(()), |link| write!(f, " link {link}"))?;
                ecn.map_or(Ok(()), |EcnChange { at, flip }| write!(f, " flip {flip} at {at}"))?;
                write!(f, " by {by}")
            }
            Terminator::Send(send) => send.fmt(f),
            Terminator::Forward(forward) => forward.fmt(f),
            Terminator::Refuse(Refuse { by, six, packet, room }) => {
                write!(f, "refuse {} {packet} room {room} by {by}", family(*six))
            }
            Terminator::Echo(Echo { by, six, packet }) => {
                write!(f, "echo {} {packet} by {by}", family(*six))
            }
            Terminator::SynAck(SynAck { by, six, packet, cookie }) => {
                write!(f, "synack {} {packet} cookie {cookie} by {by}", family(*six))
            }
        }
    }
}

impl Display for Send {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Send { by, balance, backend, packet, length, service, hash, long, unreachable, .. } = self;
        let family = family(self.six);
        write!(f, "send {family} {packet} length {length} service {service} hash {hash}")?;
        write!(f, " to {backend} of {balance} long {long} unreachable {unreachable} by {by}")
    }
}

impl Display for Forward {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Forward { by, six, packet, length, service, backend, source, dest, edits, long, unreachable } =
            self;
        write!(f, "forward {} {packet} length {length} service {service}", family(*six))?;
        backend.map_or(Ok(()), |(pool, backend)| write!(f, " backend {pool} {backend}"))?;
        write!(f, " from [{}] to [{}] edits [", List(source), List(dest))?;
        for (nth, Edit { base, offset, bytes, value }) in edits.iter().enumerate() {
            let comma = if nth == 0 { "" } else { ", " };
            write!(f, "{comma}{base} + {offset} bytes {bytes} = {value}")?;
        }
        write!(f, "] long {long} unreachable {unreachable} by {by}")
    }
}

impl Display for NatCall {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            NatCall::Find { whole } => f.write_str(if *whole { "find" } else { "find_addresses" }),
            NatCall::Bind => f.write_str("bind"),
            NatCall::Answered { whole } => {
                f.write_str(if *whole { "answered" } else { "answered_addresses" })
            }
            NatCall::Part(part) => f.write_str(word(&NatPart::NAMES, *part)),
        }
    }
}

/// Behind its first address.
impl Display for Bank {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Bank { addresses, port, ports, .. } = self;
        write!(f, " addresses {addresses} port {port} ports {ports}")
    }
}

fn family(six: bool) -> &'static str {
    if six { "ip6" } else { "ip4" }
}

impl Display for Via {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())?;
        self.network().map_or(Ok(()), |id| write!(f, " id {id}"))?;
        self.port().map_or(Ok(()), |port| write!(f, " port {port}"))?;
        if let Via::Nat { ports: (first, last), .. } = self {
            write!(f, " ports {first}..{last}")?;
        }
        let Some(origin) = self.origin() else { return Ok(()) };
        origin.v4.map_or(Ok(()), |(address, bits)| write!(f, " from4 {address}/{bits}"))?;
        origin.v6.map_or(Ok(()), |(address, bits)| {
            write!(f, " from6 {} {}/{bits}", (address >> 64) as u64, address as u64)
        })
    }
}

//! Flattens a program into steps: registers for values, places for blocks, moves for arguments.

use crate::ir::analysis::Graph;
use crate::ir::{
    BackendPart, BalanceRef, BinaryOp, Block, CookieCall, Echo, Forward, Inst, LimitRef, NatCall, NatRef, Op,
    PoolRef, Program, Refuse, Relation, SampleRef, Send, SetRef, StatementId, SynAck, TableRef, Target,
    Terminator, Value, Verdict,
};
use weir_pool::slots::Track;

/// One step. Registers are the numbers of values; places are indices of steps. A step that may go
/// elsewhere names where; else the next one follows.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Const {
        to: u32,
        number: u64,
    },
    Move {
        to: u32,
        from: u32,
    },
    Binary {
        op: BinaryOp,
        to: u32,
        a: u32,
        b: u32,
        bits: u8,
    },
    Compare {
        relation: Relation,
        to: u32,
        a: u32,
        b: u32,
    },
    Advance {
        to: u32,
        cursor: u32,
        by: u32,
        max: u16,
    },
    Skip {
        to: u32,
        cursor: u32,
        bytes: u16,
    },
    Load {
        to: u32,
        cursor: u32,
        offset: u16,
        bytes: u8,
    },
    Offset {
        to: u32,
        cursor: u32,
    },
    FrameLen {
        to: u32,
    },
    InSet {
        to: u32,
        set: SetRef,
        key: u32,
        words: u16,
    },
    InTable {
        to: u32,
        table: TableRef,
        key: u32,
        words: u16,
    },
    Take {
        to: u32,
        limit: LimitRef,
        key: u32,
        words: u16,
    },
    Pick {
        to: u32,
        pool: PoolRef,
        track: Track,
        hash: u32,
        begins: u32,
        held: Option<u32>,
    },
    Backend {
        to: u32,
        pool: PoolRef,
        backend: u32,
        part: BackendPart,
    },
    /// As many words as the call takes.
    Nat {
        to: u32,
        nat: NatRef,
        six: bool,
        call: NatCall,
        args: u32,
    },
    Cookie {
        to: u32,
        call: CookieCall,
        six: bool,
        packet: u32,
    },
    Route {
        to: u32,
    },
    Room {
        to: u32,
        balance: BalanceRef,
        backend: u32,
    },
    Note {
        key: u32,
        word: u32,
    },
    Recall {
        to: u32,
        key: u32,
    },
    Count {
        counter: u32,
    },
    Draw {
        sample: SampleRef,
    },
    Capture {
        statement: StatementId,
        verdict: Verdict,
    },
    Stash {
        slot: u32,
        value: u32,
    },
    Unstash {
        to: u32,
        slot: u32,
    },
    Turn {
        slot: u32,
        step: LoopStep,
    },
    Jump {
        to: u32,
    },
    Branch {
        cond: u32,
        other: u32,
    },
    Fits {
        cursor: u32,
        bytes: u16,
        other: u32,
    },
    Switch {
        value: u32,
        first: u32,
        count: u32,
        default: u32,
    },
    Match {
        table: TableRef,
        key: u32,
        words: u16,
    },
    Return {
        verdict: Verdict,
        by: Option<StatementId>,
    },
    Decap {
        by: StatementId,
        inner: u32,
        link: Option<u32>,
        ecn: Option<(u32, u32)>,
    },
    Refuse {
        by: StatementId,
        six: bool,
        packet: u32,
        room: u32,
    },
    Echo {
        by: StatementId,
        six: bool,
        packet: u32,
    },
    SynAck {
        by: StatementId,
        six: bool,
        packet: u32,
        cookie: u32,
    },
    /// Index into [`Resolved::forwards`]. What is too long for its next hop goes on right behind it.
    Forward {
        forward: u32,
        unreachable: u32,
    },
    /// Index into [`Resolved::sends`]. What is too long for its next hop goes on right behind it.
    Send {
        send: u32,
        unreachable: u32,
    },
}

/// What an edge to a loop's header does to the count of its turns.
#[derive(Clone, Copy, Debug)]
pub(super) enum LoopStep {
    Enter,
    Again { bound: u32 },
}

pub(super) struct Resolved {
    pub(super) steps: Vec<Step>,
    pub(super) cases: Vec<(u64, u64, u32)>,
    /// Registers of keys, each followed by that of the cost where there is one.
    pub(super) keys: Vec<u32>,
    pub(super) sends: Vec<Send>,
    pub(super) forwards: Vec<Forward>,
    pub(super) registers: usize,
    pub(super) loops: usize,
}

pub(super) fn resolve(program: &Program) -> Resolved {
    let mut resolver = Resolver {
        program,
        graph: Graph::new(program),
        places: vec![0; program.blocks.len()],
        jumps: Vec::new(),
        loops: loop_slots(program),
        out: Resolved {
            steps: Vec::new(),
            cases: Vec::new(),
            keys: Vec::new(),
            sends: Vec::new(),
            forwards: Vec::new(),
            registers: program.values.len(),
            loops: program.blocks.iter().filter(|block| block.loop_bound.is_some()).count(),
        },
    };
    for block in resolver.graph.order.clone() {
        resolver.block(block);
    }
    resolver.finish()
}

fn loop_slots(program: &Program) -> Vec<u32> {
    let mut next = 0;
    let slot = |block: &crate::ir::BlockData| {
        let slot = next;
        next += u32::from(block.loop_bound.is_some());
        slot
    };
    program.blocks.iter().map(slot).collect()
}

struct Resolver<'a> {
    program: &'a Program,
    graph: Graph,
    places: Vec<u32>,
    /// Jumps whose place is still that of a block.
    jumps: Vec<(u32, Block)>,
    loops: Vec<u32>,
    out: Resolved,
}

impl Resolver<'_> {
    fn here(&self) -> u32 {
        self.out.steps.len() as u32
    }

    fn push(&mut self, step: Step) {
        self.out.steps.push(step);
    }

    fn block(&mut self, block: Block) {
        self.places[block.index()] = self.here();
        let data = &self.program[block];
        data.insts.iter().for_each(|inst| self.inst(inst));
        match &data.end {
            Terminator::Jump(target) => self.edge(block, target),
            Terminator::Branch { cond, then, other } => {
                self.fork(block, Step::Branch { cond: cond.0, other: 0 }, then, other);
            }
            Terminator::Fits { cursor, bytes, then, other } => {
                self.fork(block, Step::Fits { cursor: cursor.0, bytes: *bytes, other: 0 }, then, other);
            }
            Terminator::Switch { value, cases, default } => self.switch(block, *value, cases, default),
            Terminator::Match { table, key, otherwise } => {
                let (first, words) = (self.key(key), key.len() as u16);
                self.push(Step::Match { table: *table, key: first, words });
                self.edge(block, otherwise);
            }
            Terminator::Return { verdict, by } => self.push(Step::Return { verdict: *verdict, by: *by }),
            Terminator::Decap { by, inner, link, ecn } => {
                let link = link.map(|link| link.0);
                let ecn = ecn.map(|ecn| (ecn.at.0, ecn.flip.0));
                self.push(Step::Decap { by: *by, inner: inner.0, link, ecn });
            }
            Terminator::Refuse(Refuse { by, six, packet, room }) => {
                self.push(Step::Refuse { by: *by, six: *six, packet: packet.0, room: room.0 });
            }
            Terminator::Echo(Echo { by, six, packet }) => {
                self.push(Step::Echo { by: *by, six: *six, packet: packet.0 });
            }
            Terminator::SynAck(SynAck { by, six, packet, cookie }) => {
                self.push(Step::SynAck { by: *by, six: *six, packet: packet.0, cookie: cookie.0 });
            }
            Terminator::Forward(forward) => {
                let index = self.out.forwards.len() as u32;
                self.out.forwards.push((**forward).clone());
                let step = Step::Forward { forward: index, unreachable: 0 };
                self.fork(block, step, &forward.long, &forward.unreachable);
            }
            Terminator::Send(send) => {
                let index = self.out.sends.len() as u32;
                self.out.sends.push((**send).clone());
                let step = Step::Send { send: index, unreachable: 0 };
                self.fork(block, step, &send.long, &send.unreachable);
            }
        }
    }

    fn inst(&mut self, inst: &Inst) {
        let to = inst.result.map_or(0, |result| result.0);
        let bits = inst.result.and_then(|result| self.program.type_of(result).bits()).unwrap_or(64);
        let step = match &inst.op {
            Op::Const(number) => Step::Const { to, number: *number },
            Op::Binary(op, a, b) => Step::Binary { op: *op, to, a: a.0, b: b.0, bits },
            Op::Compare(relation, a, b) => Step::Compare { relation: *relation, to, a: a.0, b: b.0 },
            Op::Start => Step::Const { to, number: 0 },
            Op::Advance { cursor, by, max } => Step::Advance { to, cursor: cursor.0, by: by.0, max: *max },
            Op::Skip { cursor, bytes } => Step::Skip { to, cursor: cursor.0, bytes: *bytes },
            Op::Load { cursor, offset, bytes } => {
                Step::Load { to, cursor: cursor.0, offset: *offset, bytes: *bytes }
            }
            Op::Detour { cursor, .. } => Step::Move { to, from: cursor.0 },
            Op::Offset(cursor) => Step::Offset { to, cursor: cursor.0 },
            Op::FrameLen => Step::FrameLen { to },
            Op::InTable { table, key } => {
                Step::InTable { to, table: *table, key: self.key(key), words: key.len() as u16 }
            }
            Op::InSet { set, key } => {
                Step::InSet { to, set: *set, key: self.key(key), words: key.len() as u16 }
            }
            Op::Take { limit, key, cost } => {
                let (first, words) = (self.key(key), key.len() as u16);
                self.out.keys.push(cost.0);
                Step::Take { to, limit: *limit, key: first, words }
            }
            Op::Pick { pool, hash, begins, held } => {
                let (track, held) = (self.program.pools[pool.index()].track(), held.map(|held| held.0));
                Step::Pick { to, pool: *pool, track, hash: hash.0, begins: begins.0, held }
            }
            Op::Backend { pool, backend, part } => {
                Step::Backend { to, pool: *pool, backend: backend.0, part: *part }
            }
            Op::Nat { nat, six, call, args } => {
                Step::Nat { to, nat: *nat, six: *six, call: *call, args: self.key(args) }
            }
            Op::Cookie { call, six, packet } => Step::Cookie { to, call: *call, six: *six, packet: packet.0 },
            Op::Route { .. } => Step::Route { to },
            Op::Note { key, word } => Step::Note { key: key.0, word: word.0 },
            Op::Room { balance, backend } => Step::Room { to, balance: *balance, backend: backend.0 },
            Op::Recall { key } => Step::Recall { to, key: key.0 },
            Op::Count { counter } => Step::Count { counter: *counter },
            Op::Draw { sample } => Step::Draw { sample: *sample },
            Op::Capture { statement, verdict } => Step::Capture { statement: *statement, verdict: *verdict },
            Op::Stash { slot, value } => Step::Stash { slot: *slot, value: value.0 },
            Op::Unstash { slot } => Step::Unstash { to, slot: *slot },
        };
        self.push(step);
    }

    fn key(&mut self, key: &[Value]) -> u32 {
        let first = self.out.keys.len() as u32;
        self.out.keys.extend(key.iter().map(|value| value.0));
        first
    }

    fn fork(&mut self, block: Block, test: Step, then: &Target, other: &Target) {
        let at = self.out.steps.len();
        self.push(test);
        self.edge(block, then);
        let behind = self.here();
        match &mut self.out.steps[at] {
            Step::Branch { other, .. }
            | Step::Fits { other, .. }
            | Step::Send { unreachable: other, .. }
            | Step::Forward { unreachable: other, .. } => {
                *other = behind;
            }
            _ => {}
        }
        self.edge(block, other);
    }

    fn switch(&mut self, block: Block, value: Value, cases: &[(u64, u64, Target)], default: &Target) {
        let at = self.out.steps.len();
        let (first, count) = (self.out.cases.len() as u32, cases.len() as u32);
        self.push(Step::Switch { value: value.0, first, count, default: at as u32 + 1 });
        self.edge(block, default);
        for (least, most, target) in cases {
            let here = self.here();
            self.out.cases.push((*least, *most, here));
            self.edge(block, target);
        }
    }

    /// Moves the arguments as if all at once, minds the loop, jumps.
    fn edge(&mut self, from: Block, target: &Target) {
        let params = &self.program[target.block].params;
        let moves: Vec<(u32, u32)> =
            params.iter().zip(&target.args).map(|(param, arg)| (param.0, arg.0)).collect();
        let clashes = moves
            .iter()
            .enumerate()
            .any(|(index, (to, _))| moves[index + 1..].iter().any(|(_, arg)| arg == to));
        if clashes {
            let spare = self.program.values.len() as u32;
            self.out.registers = self.out.registers.max(spare as usize + moves.len());
            for (&(_, from), to) in moves.iter().zip(spare..) {
                self.push(Step::Move { to, from });
            }
            for (&(to, _), from) in moves.iter().zip(spare..) {
                self.push(Step::Move { to, from });
            }
        } else {
            moves
                .iter()
                .filter(|(to, from)| to != from)
                .for_each(|&(to, from)| self.push(Step::Move { to, from }));
        }
        if let Some(bound) = self.program[target.block].loop_bound {
            let back = self.graph.goes_back(from, target.block);
            let step = if back { LoopStep::Again { bound } } else { LoopStep::Enter };
            self.push(Step::Turn { slot: self.loops[target.block.index()], step });
        }
        self.jumps.push((self.here(), target.block));
        self.push(Step::Jump { to: 0 });
    }

    fn finish(mut self) -> Resolved {
        for (at, block) in self.jumps {
            self.out.steps[at as usize] = Step::Jump { to: self.places[block.index()] };
        }
        self.out
    }
}

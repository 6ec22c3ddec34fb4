//! Runs a program on a frame: the definition of what each operation means.
//!
//! A program is resolved once into a flat list of steps over registers, so that a replay of a
//! capture judges millions of frames a second. What the verifier holds is relied on; what only a run
//! can show (a load outside the frame, a loop beyond its bound, a result too wide for its type)
//! stops the run with a [`Fault`], which is always a bug of the lowering or of a pass.

mod cookie;
mod decap;
mod echo;
mod nat;
mod resolve;
mod send;

use super::{
    BalanceDecl, BinaryOp, Forward, LimitDecl, NatDecl, Program, Relation, SampleDecl, Send, SetDecl,
    StatementId, TableDecl, Verdict,
};
use crate::policy::Unsent;
use crate::state::{ROUTED, State};
use resolve::{LoopStep, Step};
use std::fmt;

/// What a program did with a frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// What happens to the packet.
    pub verdict: Verdict,
    /// The statement that decided; `None` for the policy's default.
    pub by: Option<StatementId>,
    /// The copies that went to the capture ring, in order.
    pub captured: Vec<Captured>,
    /// The frame that leaves, where the program has changed it.
    pub frame: Option<Vec<u8>>,
    /// The statements that took it as a sample, in order, each with the N that it was taken with: to the ring of samples
    /// goes what became of it.
    pub samples: Vec<(StatementId, u32)>,
}

/// A copy of the frame that went to the capture ring.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Captured {
    /// The statement that asked for it.
    pub statement: StatementId,
    /// The verdict that it is filed under.
    pub verdict: Verdict,
}

/// What no verified program should run into.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// A load reaches beyond the frame's end.
    LoadOutside {
        /// The place of the load's first byte.
        at: u64,
        /// How many bytes are loaded.
        bytes: u8,
        /// The frame's length.
        len: usize,
    },
    /// A result is too large for its type.
    TooWide {
        /// The result.
        result: u64,
        /// The type's largest value.
        most: u64,
    },
    /// A cursor is advanced further than the operation says.
    AdvanceBeyond {
        /// By how much.
        by: u64,
        /// By how much at most.
        max: u16,
    },
    /// A tunnel is taken off that does not lie in the frame, or from behind a link header of another length.
    DecapOutside {
        /// Where what leaves begins.
        inner: u64,
        /// The frame's length.
        len: usize,
    },
    /// A packet is sent that does not lie in the frame behind a link header, or to a backend that is not there.
    SendOutside {
        /// Where the packet begins.
        packet: u64,
        /// How long it says that it is.
        length: u64,
        /// The frame's length.
        len: usize,
        /// The backend's number.
        backend: u64,
    },
    /// A flow is asked for that is not there.
    NoFlow {
        /// Its number.
        number: u64,
    },
    /// A loop's header ran more often than its bound.
    LoopBeyond {
        /// The bound.
        bound: u32,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::LoadOutside { at, bytes, len } => {
                write!(f, "load of {bytes} bytes at {at} in a frame of {len}")
            }
            Fault::TooWide { result, most } => {
                write!(f, "result {result:#x} in a type up to {most:#x}")
            }
            Fault::AdvanceBeyond { by, max } => write!(f, "cursor advanced by {by}, at most {max}"),
            Fault::DecapOutside { inner, len } => {
                write!(f, "decap at {inner} in a frame of {len}, or a link or ECN that is not there")
            }
            Fault::SendOutside { packet, length, len, backend } => {
                write!(f, "send of {length} bytes at {packet} in a frame of {len} to backend {backend}")
            }
            Fault::NoFlow { number } => write!(f, "flow {number} is not there"),
            Fault::LoopBeyond { bound } => write!(f, "loop ran more than {bound} times"),
        }
    }
}

impl std::error::Error for Fault {}

/// Runs a program once. To run it often, keep an [`Interpreter`].
///
/// # Errors
/// If the program breaks a promise that only a run can show.
pub fn run(program: &Program, state: &mut State, frame: &[u8]) -> Result<Outcome, Fault> {
    Interpreter::new(program).run(state, frame)
}

/// A program made ready to run.
#[derive(Clone, Debug)]
pub struct Interpreter {
    steps: Vec<Step>,
    cases: Vec<(u64, u64, u32)>,
    keys: Vec<u32>,
    sets: Vec<SetDecl>,
    limits: Vec<LimitDecl>,
    tables: Vec<TableDecl>,
    balances: Vec<BalanceDecl>,
    sends: Vec<Send>,
    forwards: Vec<Forward>,
    nats: Vec<NatDecl>,
    samples: Vec<SampleDecl>,
    registers: Vec<u64>,
    scratch: Vec<u64>,
    turns: Vec<u32>,
    key: Vec<u64>,
}

impl Interpreter {
    /// Makes a verified program ready to run.
    pub fn new(program: &Program) -> Self {
        let resolved = resolve::resolve(program);
        Self {
            steps: resolved.steps,
            cases: resolved.cases,
            keys: resolved.keys,
            sets: program.sets.clone(),
            limits: program.limits.clone(),
            tables: program.tables.clone(),
            balances: program.balances.clone(),
            sends: resolved.sends,
            forwards: resolved.forwards,
            nats: program.nats.clone(),
            samples: program.samples.clone(),
            registers: vec![0; resolved.registers],
            scratch: vec![0; program.scratch as usize],
            turns: vec![0; resolved.loops],
            key: Vec::new(),
        }
    }

    /// Judges a frame.
    ///
    /// # Errors
    /// If the program breaks a promise that only a run can show.
    pub fn run(&mut self, state: &mut State, frame: &[u8]) -> Result<Outcome, Fault> {
        let (mut captured, mut samples) = (Vec::new(), Vec::new());
        let mut at = 0;
        loop {
            let step = self.steps[at as usize];
            at += 1;
            match step {
                Step::Jump { to } => at = to,
                Step::Branch { cond, other } if self.read(cond) == 0 => at = other,
                Step::Branch { .. } => {}
                Step::Fits { cursor, bytes, other } => {
                    if self.read(cursor) + u64::from(bytes) > frame.len() as u64 {
                        at = other;
                    }
                }
                Step::Switch { value, first, count, default } => {
                    at = self.find_case(self.read(value), first, count).unwrap_or(default);
                }
                Step::Turn { slot, step } => self.turn(slot, step)?,
                Step::Match { table, key, words } => {
                    self.read_key(key, words);
                    let bytes = frame.len() as u64;
                    let count = |counter| state.count(counter, bytes);
                    if let Some(outcome) = self.tables[table.index()].find(&self.key, count) {
                        state.count(outcome.counter, bytes);
                        let (verdict, by) = (outcome.verdict, Some(outcome.by));
                        return Ok(Outcome { verdict, by, captured, frame: None, samples });
                    }
                }
                Step::Return { verdict, by } => {
                    return Ok(Outcome { verdict, by, captured, frame: None, samples });
                }
                Step::Decap { by, inner, link, ecn } => {
                    let frame = self.decap(frame, inner, link, ecn)?;
                    let verdict = Verdict::Pass;
                    return Ok(Outcome { verdict, by: Some(by), captured, frame: Some(frame), samples });
                }
                Step::Send { send, unreachable } => match self.send(send, &state.pools, frame)? {
                    Ok(frame) => {
                        let (verdict, by) = (Verdict::Send, Some(self.sends[send as usize].by));
                        return Ok(Outcome { verdict, by, captured, frame: Some(frame), samples });
                    }
                    Err(Unsent::Long) => {}
                    Err(_) => at = unreachable,
                },
                Step::Forward { forward, unreachable } => match self.forward(forward, state, frame)? {
                    Ok(frame) => {
                        let (verdict, by) = (Verdict::Send, Some(self.forwards[forward as usize].by));
                        return Ok(Outcome { verdict, by, captured, frame: Some(frame), samples });
                    }
                    Err(Unsent::Long) => {}
                    Err(_) => at = unreachable,
                },
                Step::Refuse { by, six, packet, room } => {
                    let frame = Some(self.refuse(frame, six, packet, room)?);
                    let verdict = Verdict::Send;
                    return Ok(Outcome { verdict, by: Some(by), captured, frame, samples });
                }
                Step::Echo { by, six, packet } => {
                    let frame = Some(self.echo(frame, six, packet)?);
                    let verdict = Verdict::Send;
                    return Ok(Outcome { verdict, by: Some(by), captured, frame, samples });
                }
                Step::SynAck { by, six, packet, cookie } => {
                    let frame = Some(self.syn_ack(frame, six, packet, cookie)?);
                    let verdict = Verdict::Send;
                    return Ok(Outcome { verdict, by: Some(by), captured, frame, samples });
                }
                Step::Capture { statement, verdict } => captured.push(Captured { statement, verdict }),
                Step::Draw { sample } => {
                    if let Some(one_in) = state.draw(sample.index()) {
                        let SampleDecl { statement, counter, shadow, .. } = self.samples[sample.index()];
                        state.count(counter, frame.len() as u64);
                        samples.extend((!shadow).then_some((statement, one_in)));
                    }
                }
                step => self.step(step, state, frame)?,
            }
        }
    }

    /// Does a step that neither jumps nor ends.
    fn step(&mut self, step: Step, state: &mut State, frame: &[u8]) -> Result<(), Fault> {
        match step {
            Step::Const { to, number } => self.write(to, number),
            Step::Move { to, from } => self.write(to, self.read(from)),
            Step::Binary { op, to, a, b, bits } => {
                let result = binary(op, self.read(a), self.read(b));
                let most = u64::MAX >> (64 - bits);
                if result > most {
                    return Err(Fault::TooWide { result, most });
                }
                self.write(to, result);
            }
            Step::Compare { relation, to, a, b } => {
                self.write(to, u64::from(compare(relation, self.read(a), self.read(b))));
            }
            Step::Advance { to, cursor, by, max } => {
                let by = self.read(by);
                if by > u64::from(max) {
                    return Err(Fault::AdvanceBeyond { by, max });
                }
                self.write(to, self.read(cursor) + by);
            }
            Step::Skip { to, cursor, bytes } => self.write(to, self.read(cursor) + u64::from(bytes)),
            Step::Load { to, cursor, offset, bytes } => {
                let at = self.read(cursor) + u64::from(offset);
                self.write(to, load(frame, at, bytes)?);
            }
            Step::Offset { to, cursor } => self.write(to, self.read(cursor) & 0xffff),
            Step::FrameLen { to } => self.write(to, frame.len() as u64),
            Step::InSet { to, set, key, words } => {
                self.read_key(key, words);
                let holds = state.sets[set.index()].holds(&self.sets[set.index()], &self.key, state.now);
                self.write(to, u64::from(holds));
            }
            Step::InTable { to, table, key, words } => {
                self.read_key(key, words);
                let holds = self.tables[table.index()].table.find_fast(&self.key) != 0;
                self.write(to, u64::from(holds));
            }
            Step::Take { to, limit, key, words } => {
                self.read_key(key, words);
                // The cost stands behind the key.
                let cost = self.read(self.keys[(key + u32::from(words)) as usize]);
                let within = state.take(limit.index(), &self.limits[limit.index()], &self.key, cost);
                self.write(to, u64::from(within));
            }
            Step::Pick { to, pool, track, hash, begins, held } => {
                let held = held.map_or(0, |held| self.read(held) as u16);
                let (hash, begins) = (self.read(hash), self.read(begins) != 0);
                let backend = state.pools[pool.index()].pick(track, hash, begins, held);
                self.write(to, backend.into());
            }
            Step::Backend { to, pool, backend, part } => {
                self.write(to, self.backend(state, pool, backend, part));
            }
            Step::Nat { to, nat, six, call, args } => {
                let result = self.nat(state, nat, six, call, args)?;
                self.write(to, result);
            }
            Step::Cookie { to, call, six, packet } => {
                let said = self.cookie(&state.sockets, frame, (call, six), packet)?;
                self.write(to, said);
            }
            Step::Route { to } => self.write(to, ROUTED.mtu.into()),
            Step::Room { to, balance, backend } => {
                let room = self.room(balance, self.read(backend), &state.pools);
                self.write(to, room.into());
            }
            Step::Note { key, word } => drop(state.notes.insert(self.read(key), self.read(word))),
            Step::Recall { to, key } => {
                let word = state.notes.get(&self.read(key)).copied();
                self.write(to, word.unwrap_or(0));
            }
            Step::Count { counter } => state.count(counter, frame.len() as u64),
            Step::Stash { slot, value } => self.scratch[slot as usize] = self.read(value),
            Step::Unstash { to, slot } => self.write(to, self.scratch[slot as usize]),
            Step::Jump { .. }
            | Step::Branch { .. }
            | Step::Fits { .. }
            | Step::Switch { .. }
            | Step::Turn { .. }
            | Step::Capture { .. }
            | Step::Draw { .. }
            | Step::Match { .. }
            | Step::Return { .. }
            | Step::Decap { .. }
            | Step::Send { .. }
            | Step::Forward { .. }
            | Step::Refuse { .. }
            | Step::Echo { .. }
            | Step::SynAck { .. } => {}
        }
        Ok(())
    }

    fn read(&self, register: u32) -> u64 {
        self.registers[register as usize]
    }

    fn write(&mut self, register: u32, number: u64) {
        self.registers[register as usize] = number;
    }

    fn read_key(&mut self, first: u32, words: u16) {
        self.key.clear();
        let registers = &self.keys[first as usize..first as usize + usize::from(words)];
        self.key.extend(registers.iter().map(|&register| self.registers[register as usize]));
    }

    fn find_case(&self, number: u64, first: u32, count: u32) -> Option<u32> {
        let cases = &self.cases[first as usize..(first + count) as usize];
        let index = cases.partition_point(|case| case.1 < number);
        cases.get(index).filter(|case| case.0 <= number).map(|case| case.2)
    }

    fn turn(&mut self, slot: u32, step: LoopStep) -> Result<(), Fault> {
        let turns = &mut self.turns[slot as usize];
        match step {
            LoopStep::Enter => *turns = 1,
            LoopStep::Again { bound } if *turns >= bound => {
                return Err(Fault::LoopBeyond { bound });
            }
            LoopStep::Again { .. } => *turns += 1,
        }
        Ok(())
    }
}

/// What an arithmetic operation gives, modulo 2^64.
pub fn binary(op: BinaryOp, a: u64, b: u64) -> u64 {
    match op {
        BinaryOp::Add => a.wrapping_add(b),
        BinaryOp::Sub => a.wrapping_sub(b),
        BinaryOp::Mul => a.wrapping_mul(b),
        BinaryOp::And => a & b,
        BinaryOp::Or => a | b,
        BinaryOp::Xor => a ^ b,
        BinaryOp::Shl => a << (b & 63),
        BinaryOp::Shr => a >> (b & 63),
    }
}

/// Whether a relation holds.
pub fn compare(relation: Relation, a: u64, b: u64) -> bool {
    let (signed_a, signed_b) = (a as i64, b as i64);
    match relation {
        Relation::Eq => a == b,
        Relation::Ne => a != b,
        Relation::Lt => a < b,
        Relation::Le => a <= b,
        Relation::Gt => a > b,
        Relation::Ge => a >= b,
        Relation::Slt => signed_a < signed_b,
        Relation::Sle => signed_a <= signed_b,
        Relation::Sgt => signed_a > signed_b,
        Relation::Sge => signed_a >= signed_b,
    }
}

fn load(frame: &[u8], at: u64, bytes: u8) -> Result<u64, Fault> {
    let outside = Fault::LoadOutside { at, bytes, len: frame.len() };
    let start = usize::try_from(at).map_err(|_| outside)?;
    let field = frame.get(start..start + usize::from(bytes)).ok_or(outside)?;
    Ok(field.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)))
}

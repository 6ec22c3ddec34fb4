//! Options: one bounded walk over kind, length and value for all that is asked of a header's options.
//!
//! The walk keeps its place and what it found in scratch memory, where the kernel's verifier knows
//! nothing of them: so every turn looks the same to it, whatever the turns before it met. In
//! registers it would tell each of the 2^40 sequences of options from the others.

use super::Lower;
use super::field::Found;
use super::shape::{Bit, Env, Scalars, option_fields};
use crate::ir::{BinaryOp, Block, Relation, Target, Type, Value};
use crate::plan::width;
use crate::policy::{HeaderRef, MAX_HEADER, Options, Protocol, Term};
use std::collections::BTreeSet;

/// One option that is asked about.
struct Wanted {
    kind: u8,
    /// Scratch slot: whether one was met. The first of a kind counts.
    met: u32,
    /// Terms that ask only whether it is there.
    presence: Vec<Term>,
    fields: Vec<WantedField>,
}

/// A field of an option.
struct WantedField {
    term: Term,
    /// First bit of it in the option's value.
    bit: u32,
    bits: u8,
    /// Scratch slots: whether it is there, its low half, its high half if it is wide.
    there: u32,
    low: u32,
    high: u32,
}

struct Walk<'a> {
    options: &'a Options,
    found: &'a Found,
    wanted: Vec<Wanted>,
    /// Scratch slot: where the next option begins, in bytes from the header's start.
    at: u32,
    turn: Block,
    exit: Block,
}

/// Walks a header's options if any of them is asked about.
pub(super) fn walk(
    lower: &mut Lower,
    header: HeaderRef,
    protocol: &Protocol,
    found: &Found,
    terms: &BTreeSet<Term>,
    env: &mut Env,
) {
    let Some(options) = &protocol.options else { return };
    if option_fields(&lower.policy.protocols, terms).is_empty() {
        return;
    }
    let mut slots = Slots { header, next: 0 };
    let at = slots.take(lower);
    let wanted = wanted(lower, options, terms, &mut slots);
    let turn = lower.b.loop_block(&[Type::Int(64)], Options::TURNS + 1);
    let walk = Walk { options, found, wanted, at, turn, exit: lower.fresh() };
    walk.begin(lower);
    walk.turn(lower);
    lower.b.switch_to(walk.exit);
    walk.deliver(lower, env);
}

/// Scratch slots of a header's walk, the same wherever in the parser it stands.
struct Slots {
    header: HeaderRef,
    next: usize,
}

impl Slots {
    fn take(&mut self, lower: &mut Lower) -> u32 {
        let slots = lower.walk_slots.entry(self.header).or_default();
        if self.next == slots.len() {
            slots.push(lower.b.scratch());
        }
        self.next += 1;
        slots[self.next - 1]
    }
}

fn wanted(lower: &mut Lower, options: &Options, terms: &BTreeSet<Term>, slots: &mut Slots) -> Vec<Wanted> {
    let policy = lower.policy;
    let mut all = Vec::new();
    for (kind, asked) in option_fields(&policy.protocols, terms) {
        let met = slots.take(lower);
        let mut wanted =
            Wanted { kind: options.kinds[kind as usize].0, met, presence: Vec::new(), fields: Vec::new() };
        for (term, bit) in asked {
            let Some(bit) = bit else {
                wanted.presence.push(term);
                continue;
            };
            let bits = width(&policy.protocols, &term);
            let (there, low, high) = (slots.take(lower), slots.take(lower), slots.take(lower));
            wanted.fields.push(WantedField { term, bit, bits, there, low, high });
        }
        all.push(wanted);
    }
    all
}

impl Walk<'_> {
    fn begin(&self, lower: &mut Lower) {
        let zero = lower.b.constant(0);
        for wanted in &self.wanted {
            lower.b.stash(wanted.met, zero);
            for field in &wanted.fields {
                lower.b.stash(field.there, zero);
                lower.b.stash(field.low, zero);
                if field.bits > 64 {
                    lower.b.stash(field.high, zero);
                }
            }
        }
        let from = lower.b.constant(u64::from(self.options.from));
        lower.b.stash(self.at, from);
        lower.b.jump(Target { block: self.turn, args: vec![zero] });
    }

    /// Goes on with the option at `at`.
    fn again(&self, lower: &mut Lower, at: Value, count: Value) {
        lower.b.stash(self.at, at);
        lower.b.jump(Target { block: self.turn, args: vec![count] });
    }

    /// Goes on only if the relation holds.
    fn require(&self, lower: &mut Lower, relation: Relation, value: Value, bound: Value) {
        let ok = lower.b.compare(relation, value, bound);
        let next = lower.fresh();
        lower.b.branch(ok, next, self.exit);
        lower.b.switch_to(next);
    }

    fn inside(&self, lower: &mut Lower, cursor: Value, bytes: u16) {
        let next = lower.fresh();
        lower.b.fits(cursor, bytes, next, self.exit);
        lower.b.switch_to(next);
    }

    /// One option.
    fn turn(&self, lower: &mut Lower) {
        lower.b.switch_to(self.turn);
        let count = lower.b.param(self.turn, 0);
        let turns = lower.b.constant(u64::from(Options::TURNS));
        self.require(lower, Relation::Lt, count, turns);
        let at = lower.b.unstash(self.at, Type::Int(64));
        self.require(lower, Relation::Lt, at, self.found.length);
        let one = lower.b.constant(1);
        let next_count = lower.b.binary_as(BinaryOp::Add, count, one, Type::Int(64));
        let cursor = lower.b.advance(self.found.cursor, at, MAX_HEADER);
        self.inside(lower, cursor, 1);
        let kind = lower.b.load(cursor, 0, 1);
        let (long, nop) = (lower.fresh(), lower.fresh());
        let end = self.options.end.map(|end| (u64::from(end), u64::from(end), self.exit.into()));
        let skip = self.options.nop.map(|kind| (u64::from(kind), u64::from(kind), nop.into()));
        lower.b.switch(kind, end.into_iter().chain(skip).collect(), long);
        lower.b.switch_to(nop);
        let after = lower.b.binary_as(BinaryOp::Add, at, one, Type::Int(64));
        self.again(lower, after, next_count);
        lower.b.switch_to(long);
        self.long(lower, cursor, kind, at, next_count);
    }

    /// An option with a length byte.
    fn long(&self, lower: &mut Lower, cursor: Value, kind: Value, at: Value, next_count: Value) {
        let two = lower.b.constant(2);
        let behind_length = lower.b.binary_as(BinaryOp::Add, at, two, Type::Int(64));
        self.require(lower, Relation::Le, behind_length, self.found.length);
        self.inside(lower, cursor, 2);
        let claimed = lower.b.load(cursor, 1, 1);
        let whole = match self.options.length_of_value {
            true => lower.b.add_const(claimed, 2),
            false => claimed,
        };
        self.require(lower, Relation::Ge, whole, two);
        let after = lower.b.binary_as(BinaryOp::Add, at, whole, Type::Int(64));
        self.require(lower, Relation::Le, after, self.found.length);
        let go_on = lower.fresh();
        let mut cases = Vec::new();
        let mut to_read = Vec::new();
        for wanted in &self.wanted {
            let block = lower.fresh();
            cases.push((u64::from(wanted.kind), u64::from(wanted.kind), block.into()));
            to_read.push((block, wanted));
        }
        lower.b.switch(kind, cases, go_on);
        for (block, wanted) in to_read {
            lower.b.switch_to(block);
            let met = lower.b.unstash(wanted.met, Type::Int(1));
            let first = lower.fresh();
            lower.b.branch(met, go_on, first);
            lower.b.switch_to(first);
            self.read(lower, wanted, cursor, whole);
            lower.b.jump(go_on);
        }
        lower.b.switch_to(go_on);
        self.again(lower, after, next_count);
    }

    /// Reads the fields of an option that was met for the first time.
    fn read(&self, lower: &mut Lower, wanted: &Wanted, cursor: Value, whole: Value) {
        let one = lower.b.constant(1);
        lower.b.stash(wanted.met, one);
        for field in &wanted.fields {
            let room = 2 + (field.bit + u32::from(field.bits)).div_ceil(8) as u16;
            let ok = lower.b.compare_const(Relation::Ge, whole, u64::from(room));
            let (long_enough, there, after) = (lower.fresh(), lower.fresh(), lower.fresh());
            lower.b.branch(ok, long_enough, after);
            lower.b.switch_to(long_enough);
            lower.b.fits(cursor, room, there, after);
            lower.b.switch_to(there);
            let scalars = lower.load_bits(cursor, 16 + field.bit, field.bits, room);
            let one = lower.b.constant(1);
            lower.b.stash(field.there, one);
            lower.b.stash(field.low, scalars.low);
            if let Some(high) = scalars.high {
                lower.b.stash(field.high, high);
            }
            lower.b.jump(after);
            lower.b.switch_to(after);
        }
    }

    /// Hands what was found to those who asked.
    fn deliver(&self, lower: &mut Lower, env: &mut Env) {
        for wanted in &self.wanted {
            for term in &wanted.presence {
                let met = lower.b.unstash(wanted.met, Type::Int(1));
                lower.shape.set_bit(&mut lower.b, env, &Bit::Term(term.clone()), Some(met));
                lower.shape.put(&mut lower.b, env, term, Scalars { high: None, low: met });
            }
            for field in &wanted.fields {
                let there = lower.b.unstash(field.there, Type::Int(1));
                let low = lower.b.unstash(field.low, Type::Int(field.bits.min(64)));
                let high = (field.bits > 64).then(|| lower.b.unstash(field.high, Type::Int(field.bits - 64)));
                let bit = Bit::Term(field.term.clone());
                lower.shape.set_bit(&mut lower.b, env, &bit, Some(there));
                lower.shape.put(&mut lower.b, env, &field.term, Scalars { high, low });
            }
        }
    }
}

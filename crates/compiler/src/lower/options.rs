//! Options: one bounded walk over kind, length and value for all that is asked of a header's options.
//!
//! The walk's block carries the place, the number of turns, and for every option that is asked
//! about whether it was met (the first of a kind counts) and what of its fields was read.

use super::field::Found;
use super::shape::{Bit, Env, Scalars, option_fields, width};
use super::Lower;
use crate::ir::{BinaryOp, Block, Relation, Target, Type, Value};
use crate::policy::{MAX_HEADER, Options, Protocol, Term};
use std::collections::BTreeSet;

/// One option that is asked about.
struct Wanted {
    kind: u8,
    /// Field, first bit of it in the option's value, width.
    fields: Vec<(Term, u32, u8)>,
    /// Terms that ask only whether it is there.
    presence: Vec<Term>,
    /// Where its carried values begin among the walk's parameters: whether it was met; then for
    /// each field whether it is there, its low and, where it is wide, high half.
    first: usize,
}

struct Walk<'a> {
    options: &'a Options,
    found: &'a Found,
    wanted: Vec<Wanted>,
    turn: Block,
    exit: Block,
    /// Types of what is carried, behind place and turn.
    carried: Vec<Type>,
}

/// Walks a header's options if any of them is asked about.
pub(super) fn walk(lower: &mut Lower, protocol: &Protocol, found: &Found, terms: &BTreeSet<Term>, env: &mut Env) {
    let Some(options) = &protocol.options else { return };
    let (wanted, carried) = wanted(lower, options, terms);
    if wanted.is_empty() {
        return;
    }
    // What a loop adds to itself has no width of its own.
    let mut types = vec![Type::Int(64), Type::Int(64)];
    types.extend(&carried);
    let turn = lower.b.loop_block(&types, Options::TURNS + 1);
    let exit = lower.b.block(&carried);
    let walk = Walk { options, found, wanted, turn, exit, carried };
    let from = lower.b.constant(u64::from(options.from));
    let zero = lower.b.constant(0);
    let mut args = vec![from, zero];
    args.extend(walk.carried.iter().map(|_| zero));
    lower.b.jump(Target { block: turn, args });
    walk.turn(lower);
    lower.b.switch_to(exit);
    walk.deliver(lower, env);
}

fn wanted(lower: &Lower, options: &Options, terms: &BTreeSet<Term>) -> (Vec<Wanted>, Vec<Type>) {
    let protocols = &lower.policy.protocols;
    let mut carried = Vec::new();
    let mut all = Vec::new();
    for (kind, asked) in option_fields(protocols, terms) {
        let (mut fields, mut presence) = (Vec::new(), Vec::new());
        let first = carried.len();
        carried.push(Type::Int(1));
        for (term, bit) in asked {
            let Some(bit) = bit else {
                presence.push(term);
                continue;
            };
            let bits = width(protocols, &term);
            carried.extend([Type::Int(1), Type::Int(bits.min(64))]);
            if bits > 64 {
                carried.push(Type::Int(bits - 64));
            }
            fields.push((term, bit, bits));
        }
        all.push(Wanted { kind: options.kinds[kind as usize].0, fields, presence, first });
    }
    (all, carried)
}

impl Walk<'_> {
    fn state(&self, lower: &Lower) -> Vec<Value> {
        (0..self.carried.len()).map(|i| lower.b.param(self.turn, i + 2)).collect()
    }

    fn leave(&self, lower: &Lower) -> Target {
        Target { block: self.exit, args: self.state(lower) }
    }

    fn again(&self, at: Value, count: Value, state: Vec<Value>) -> Target {
        let mut args = vec![at, count];
        args.extend(state);
        Target { block: self.turn, args }
    }

    /// One option.
    fn turn(&self, lower: &mut Lower) {
        lower.b.switch_to(self.turn);
        let (at, count) = (lower.b.param(self.turn, 0), lower.b.param(self.turn, 1));
        let leave = self.leave(lower);
        self.go_on_if(lower, Relation::Lt, count, None);
        self.go_on_if(lower, Relation::Lt, at, Some(self.found.length));
        let next_count = lower.b.constant(1);
        let next_count = lower.b.binary_as(BinaryOp::Add, count, next_count, Type::Int(64));
        let cursor = lower.b.advance(self.found.cursor, at, MAX_HEADER);
        self.inside(lower, cursor, 1);
        let kind = lower.b.load(cursor, 0, 1);
        let long = lower.fresh();
        let mut cases = Vec::new();
        if let Some(end) = self.options.end {
            cases.push((u64::from(end), u64::from(end), leave));
        }
        if let Some(nop) = self.options.nop {
            let one = lower.b.constant(1);
            let after = lower.b.binary_as(BinaryOp::Add, at, one, Type::Int(64));
            let again = self.again(after, next_count, self.state(lower));
            cases.push((u64::from(nop), u64::from(nop), again));
        }
        lower.b.switch(kind, cases, long);
        lower.b.switch_to(long);
        self.long(lower, cursor, kind, at, next_count);
    }

    /// Goes on only if the relation holds, `None` being the bound on turns.
    fn go_on_if(&self, lower: &mut Lower, relation: Relation, value: Value, bound: Option<Value>) {
        let bound = bound.unwrap_or_else(|| lower.b.constant(u64::from(Options::TURNS)));
        let ok = lower.b.compare(relation, value, bound);
        let (next, leave) = (lower.fresh(), self.leave(lower));
        lower.b.branch(ok, next, leave);
        lower.b.switch_to(next);
    }

    fn inside(&self, lower: &mut Lower, cursor: Value, bytes: u16) {
        let (next, leave) = (lower.fresh(), self.leave(lower));
        lower.b.fits(cursor, bytes, next, leave);
        lower.b.switch_to(next);
    }

    /// An option with a length byte.
    fn long(&self, lower: &mut Lower, cursor: Value, kind: Value, at: Value, next_count: Value) {
        let two = lower.b.constant(2);
        let behind_length = lower.b.binary_as(BinaryOp::Add, at, two, Type::Int(64));
        self.go_on_if(lower, Relation::Le, behind_length, Some(self.found.length));
        self.inside(lower, cursor, 2);
        let claimed = lower.b.load(cursor, 1, 1);
        let whole = match self.options.length_of_value {
            true => lower.b.add_const(claimed, 2),
            false => claimed,
        };
        self.go_on_if(lower, Relation::Ge, whole, Some(two));
        let after = lower.b.binary_as(BinaryOp::Add, at, whole, Type::Int(64));
        self.go_on_if(lower, Relation::Le, after, Some(self.found.length));
        let skip = self.again(after, next_count, self.state(lower));
        let mut cases = Vec::new();
        let mut to_read = Vec::new();
        for wanted in &self.wanted {
            let block = lower.fresh();
            cases.push((u64::from(wanted.kind), u64::from(wanted.kind), Target { block, args: Vec::new() }));
            to_read.push((block, wanted));
        }
        lower.b.switch(kind, cases, skip.clone());
        for (block, wanted) in to_read {
            lower.b.switch_to(block);
            let met = self.state(lower)[wanted.first];
            let first = lower.fresh();
            lower.b.branch(met, skip.clone(), first);
            lower.b.switch_to(first);
            let state = self.read(lower, wanted, cursor, whole);
            let again = self.again(after, next_count, state);
            lower.b.jump(again);
        }
    }

    /// Reads the fields of an option that was met for the first time.
    fn read(&self, lower: &mut Lower, wanted: &Wanted, cursor: Value, whole: Value) -> Vec<Value> {
        let mut state = self.state(lower);
        state[wanted.first] = lower.b.constant(1);
        let mut place = wanted.first + 1;
        for (_, bit, bits) in &wanted.fields {
            let room = 2 + (bit + u32::from(*bits)).div_ceil(8) as u16;
            let merge = lower.merge(*bits);
            let ok = lower.b.compare_const(Relation::Ge, whole, u64::from(room));
            let (long_enough, missing) = (lower.fresh(), merge.missing(lower));
            lower.b.branch(ok, long_enough, missing);
            lower.b.switch_to(long_enough);
            let (there, missing) = (lower.fresh(), merge.missing(lower));
            lower.b.fits(cursor, room, there, missing);
            lower.b.switch_to(there);
            let scalars = lower.load_bits(cursor, 16 + bit, *bits, room);
            let (there, scalars) = merge.done(lower, scalars);
            state[place] = there;
            state[place + 1] = scalars.low;
            place += 2;
            if let Some(high) = scalars.high {
                state[place] = high;
                place += 1;
            }
        }
        state
    }

    /// Hands what was found to those who asked.
    fn deliver(&self, lower: &mut Lower, env: &mut Env) {
        let value = |lower: &Lower, index: usize| lower.b.param(self.exit, index);
        for wanted in &self.wanted {
            let met = value(lower, wanted.first);
            for term in &wanted.presence {
                lower.shape.set_bit(&mut lower.b, env, &Bit::Term(term.clone()), Some(met));
                lower.shape.put(&mut lower.b, env, term, Scalars { high: None, low: met });
            }
            let mut place = wanted.first + 1;
            for (term, _, bits) in &wanted.fields {
                let wide = *bits > 64;
                let (there, low) = (value(lower, place), value(lower, place + 1));
                let high = wide.then(|| value(lower, place + 2));
                lower.shape.set_bit(&mut lower.b, env, &Bit::Term(term.clone()), Some(there));
                lower.shape.put(&mut lower.b, env, term, Scalars { high, low });
                place += if wide { 3 } else { 2 };
            }
        }
    }
}

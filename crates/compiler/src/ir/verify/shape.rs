//! What can be seen at one place: indices, types, widths.

use super::{Errors, Location};
use crate::ir::analysis::constants;
use crate::ir::build::upper_bound;
use crate::ir::{
    BOOL, BinaryOp, Block, Echo, Forward, Frequency, Inst, MILLION, Op, Program, Refuse, Rule, SampleDecl,
    SynAck, TableDecl, TableRef, Target, Terminator, Type, Value,
};
use crate::policy::{MOST_BYTES, MOST_SAMPLES};
use crate::table::{Entry, MOST_WORDS};

/// Holds every index to its table.
pub(super) fn check_indices(program: &Program, errors: &mut Errors) {
    errors.require(!program.blocks.is_empty(), Location::Program, || "no entry block".into());
    errors.require(!program.lines.is_empty(), Location::Program, || "no line `@0`".into());
    for block in program.block_ids() {
        let data = &program[block];
        for param in &data.params {
            check_value(program, *param, Location::Block(block), errors);
        }
        for (index, inst) in data.insts.iter().enumerate() {
            check_inst_indices(program, inst, Location::Inst(block, index), errors);
        }
        let at = Location::End(block);
        errors.require(!(data.cold && data.likely), Location::Block(block), || {
            "a block is cold or likely, not both".into()
        });
        data.end.operands(|value| check_value(program, value, at, errors));
        data.end
            .targets(|target| check_index(target.block, target.block.0, program.blocks.len(), at, errors));
        check_index(data.end_line, data.end_line.0, program.lines.len(), at, errors);
        match data.end {
            Terminator::Return { by: Some(by), .. } | Terminator::Decap { by, .. } => {
                check_index(by, by.0, program.statements.len(), at, errors);
            }
            Terminator::Match { table, .. } => {
                check_index(table, table.0, program.tables.len(), at, errors);
            }
            Terminator::Forward(ref forward) => {
                check_index(forward.by, forward.by.0, program.statements.len(), at, errors);
                if let Some((pool, _)) = forward.backend {
                    check_index(pool, pool.0, program.pools.len(), at, errors);
                }
            }
            Terminator::Refuse(Refuse { by, .. })
            | Terminator::Echo(Echo { by, .. })
            | Terminator::SynAck(SynAck { by, .. }) => {
                check_index(by, by.0, program.statements.len(), at, errors);
            }
            Terminator::Send(ref send) => {
                check_index(send.by, send.by.0, program.statements.len(), at, errors);
                check_index(send.balance, send.balance.0, program.balances.len(), at, errors);
            }
            _ => {}
        }
    }
    program.tables.iter().for_each(|table| check_table(program, table, errors));
    let pools = program.balances.iter().map(|decl| decl.pool);
    for pool in pools.chain(program.nats.iter().map(|decl| decl.pool)) {
        check_index(pool, pool.0, program.pools.len(), Location::Program, errors);
    }
    for bank in program.nats.iter().flat_map(|decl| decl.banks).flatten() {
        errors.require(bank.is_sound(), Location::Program, || format!("a table of flows{bank}"));
    }
    check_samples(program, errors);
    for (counter, Frequency { all, met }) in &program.frequencies {
        let (at, met) = (Location::Program, met.unwrap_or(MILLION));
        check_index(format!("counter {counter}"), *counter, program.counters as usize, at, errors);
        errors.require(*all <= met && met <= MILLION, at, || format!("counter {counter} counts too often"));
    }
}

fn check_samples(program: &Program, errors: &mut Errors) {
    let (at, counters) = (Location::Program, program.counters as usize);
    for SampleDecl { statement, one_in, bytes, counter, lost, .. } in &program.samples {
        check_index(statement, statement.0, program.statements.len(), at, errors);
        let fine = *one_in > 0 && (1..=MOST_BYTES).contains(bytes);
        errors.require(fine, at, || format!("a sample of one in {one_in}, {bytes} bytes of it"));
        for counter in [counter, lost] {
            check_index(format!("counter {counter}"), *counter, counters, at, errors);
        }
    }
    errors.require(program.samples.len() <= MOST_SAMPLES, at, || "too many samples".into());
    let all = program.samples.is_empty() || program.tells.len() == program.statements.len() + 1;
    errors.require(all, at, || "samples have no name for each statement and the default".into());
    for counter in &program.tells {
        check_index(format!("counter {counter}"), *counter, counters, at, errors);
    }
}

fn check_table(program: &Program, decl: &TableDecl, errors: &mut Errors) {
    let (at, words) = (Location::Program, decl.table.words());
    let fine = words.len() <= MOST_WORDS && words.iter().all(|bits| (1..=64).contains(bits));
    errors.require(fine, at, || format!("a table of words {words:?}"));
    let inside = |((low, high), bits): (&(u64, u64), &u8)| low <= high && *high <= Type::Int(*bits).max();
    for entry in decl.table.entries() {
        let row = entry.row();
        let whole = row.ranges.iter().zip(words).all(inside);
        let known = match entry {
            Entry::Counts(_) => (1..=program.counters).contains(&row.result),
            Entry::Decides(_) => decl.rule(row.result).is_some() || decl.rules.is_empty() && row.result == 1,
        };
        errors.require(whole && known, at, || format!("a row that does not fit its table: {row:?}"));
    }
    for Rule { by, counter, .. } in &decl.rules {
        check_index(by, by.0, program.statements.len(), at, errors);
        check_index(format!("counter {counter}"), *counter, program.counters as usize, at, errors);
    }
}

/// Of what only asks whether a key is in a table no row counts.
fn check_set_table(program: &Program, table: TableRef, at: Location, errors: &mut Errors) {
    check_index(table, table.0, program.tables.len(), at, errors);
    let counting = program.tables.get(table.index()).and_then(|decl| decl.table.counting());
    errors.require(counting.is_none(), at, || format!("rows of {table} count"));
}

fn check_inst_indices(program: &Program, inst: &Inst, at: Location, errors: &mut Errors) {
    inst.op.operands(|value| check_value(program, value, at, errors));
    inst.result.into_iter().for_each(|value| check_value(program, value, at, errors));
    check_index(inst.line, inst.line.0, program.lines.len(), at, errors);
    match &inst.op {
        Op::InTable { table, .. } => check_set_table(program, *table, at, errors),
        Op::InSet { set, .. } => check_index(set, set.0, program.sets.len(), at, errors),
        Op::Take { limit, .. } => check_index(limit, limit.0, program.limits.len(), at, errors),
        Op::Room { balance, .. } => check_index(balance, balance.0, program.balances.len(), at, errors),
        Op::Pick { pool, .. } | Op::Backend { pool, .. } => {
            check_index(pool, pool.0, program.pools.len(), at, errors)
        }
        Op::Nat { nat, six, .. } => {
            check_index(nat, nat.0, program.nats.len(), at, errors);
            let decl = program.nats.get(nat.index());
            let bank = decl.is_none_or(|decl| decl.banks[usize::from(*six)].is_some());
            errors.require(bank, at, || format!("{nat} has no flows of this family"));
        }
        Op::Capture { statement, .. } => {
            check_index(statement, statement.0, program.statements.len(), at, errors)
        }
        Op::Draw { sample } => check_index(sample, sample.0, program.samples.len(), at, errors),
        Op::Count { counter } => {
            check_index(format_args!("counter {counter}"), *counter, program.counters as usize, at, errors);
        }
        Op::Stash { slot, .. } | Op::Unstash { slot } => {
            check_index(format_args!("scratch slot {slot}"), *slot, program.scratch as usize, at, errors);
        }
        _ => {}
    }
}

fn check_value(program: &Program, value: Value, at: Location, errors: &mut Errors) {
    check_index(value, value.0, program.values.len(), at, errors);
}

fn check_index(name: impl std::fmt::Display, index: u32, len: usize, at: Location, errors: &mut Errors) {
    errors.require((index as usize) < len, at, || format!("{name} is not declared"));
}

/// Holds types and widths to the operations.
pub(super) fn check_types(program: &Program, errors: &mut Errors) {
    errors.require(program[Block(0)].params.is_empty(), Location::Block(Block(0)), || {
        "the entry block has parameters".into()
    });
    let types = Types { program, constants: constants(program) };
    for block in program.block_ids() {
        for param in &program[block].params {
            types.check_width(*param, Location::Block(block), errors);
        }
        for (index, inst) in program[block].insts.iter().enumerate() {
            types.check_inst(inst, Location::Inst(block, index), errors);
        }
        types.check_end(&program[block].end, Location::End(block), errors);
    }
}

struct Types<'a> {
    program: &'a Program,
    constants: Vec<Option<u64>>,
}

impl Types<'_> {
    fn check_width(&self, value: Value, at: Location, errors: &mut Errors) {
        if let Type::Int(bits) = self.program.type_of(value) {
            errors.require((1..=64).contains(&bits), at, || format!("{value} is {bits} bits wide"));
        }
    }

    fn check_inst(&self, inst: &Inst, at: Location, errors: &mut Errors) {
        match inst.result {
            None => errors.require(!inst.op.has_result(), at, || "the result is missing".into()),
            Some(_) if !inst.op.has_result() => errors.add(at, "the operation has no result"),
            Some(result) => self.check_result(&inst.op, result, at, errors),
        }
        self.check_operands(&inst.op, at, errors);
    }

    fn check_result(&self, op: &Op, result: Value, at: Location, errors: &mut Errors) {
        self.check_width(result, at, errors);
        let ty = self.program.type_of(result);
        match op {
            Op::Load { bytes, .. } if ![1, 2, 4, 8].contains(bytes) => {
                errors.add(at, format!("{bytes} bytes cannot be loaded at once"));
            }
            _ => {}
        }
        match op.fixed_type() {
            Some(fixed) => errors.require(ty == fixed, at, || format!("the result is a {fixed}, not a {ty}")),
            None => errors.require(ty != Type::Cursor, at, || "the result is not a cursor".into()),
        }
        let most = match *op {
            Op::Const(number) => number,
            Op::Binary(op, a, b) if op != BinaryOp::Sub => {
                upper_bound(op, self.most(a), self.least(b)..=self.most(b))
            }
            _ => return,
        };
        errors.require(most <= ty.max(), at, || format!("a {ty} does not hold {most:#x}"));
    }

    fn most(&self, value: Value) -> u64 {
        self.constants[value.index()].unwrap_or(self.program.type_of(value).max())
    }

    fn least(&self, value: Value) -> u64 {
        self.constants[value.index()].unwrap_or(0)
    }

    fn check_operands(&self, op: &Op, at: Location, errors: &mut Errors) {
        match op {
            Op::Advance { cursor, by, .. } => {
                self.require_cursor(*cursor, at, errors);
                self.require_int(*by, at, errors);
            }
            Op::Skip { cursor, .. }
            | Op::Detour { cursor, .. }
            | Op::Load { cursor, .. }
            | Op::Offset(cursor) => {
                self.require_cursor(*cursor, at, errors);
            }
            _ => op.operands(|value| self.require_int(value, at, errors)),
        }
        match op {
            Op::Binary(BinaryOp::Shl | BinaryOp::Shr, _, by) => {
                let most = self.most(*by);
                errors.require(most < 64, at, || format!("a shift by up to {most}"));
            }
            Op::InTable { table, key } => {
                self.check_key(key, self.program.tables[table.index()].table.words(), at, errors)
            }
            Op::InSet { set, key } => self.check_key(key, &self.program.sets[set.index()].words, at, errors),
            Op::Nat { six, call, args, .. } => self.check_key(args, &call.widths(*six), at, errors),
            Op::Cookie { packet, .. } => self.require_width(*packet, 16, at, errors),
            Op::Route { to } => self.check_key(to, address_words(to), at, errors),
            Op::Take { limit, key, .. } => {
                self.check_key(key, &self.program.limits[limit.index()].words, at, errors)
            }
            _ => {}
        }
    }

    fn check_key(&self, key: &[Value], words: &[u8], at: Location, errors: &mut Errors) {
        let types = || key.iter().map(|&value| self.program.type_of(value));
        let fits =
            key.len() == words.len() && types().zip(words).all(|(ty, &bits)| ty.widens_to(Type::Int(bits)));
        errors.require(fits, at, || format!("the key is {words:?}, not {:?}", types().collect::<Vec<_>>()));
    }

    fn check_end(&self, end: &Terminator, at: Location, errors: &mut Errors) {
        match end {
            Terminator::Branch { cond, .. } => {
                let ty = self.program.type_of(*cond);
                errors.require(ty == BOOL, at, || format!("the condition is a u1, not a {ty}"));
            }
            Terminator::Fits { cursor, .. } => self.require_cursor(*cursor, at, errors),
            Terminator::Switch { value, cases, .. } => {
                self.require_int(*value, at, errors);
                check_cases(cases, at, errors);
            }
            Terminator::Match { table, key, .. } => {
                self.check_key(key, self.program.tables[table.index()].table.words(), at, errors);
            }
            Terminator::Decap { inner, link, ecn, .. } => {
                let places = [Some(*inner), *link, ecn.map(|ecn| ecn.at)];
                places.into_iter().flatten().for_each(|place| self.require_width(place, 16, at, errors));
                ecn.iter().for_each(|ecn| self.require_width(ecn.flip, 2, at, errors));
            }
            Terminator::Send(send) => {
                let widths = [
                    (send.backend, 16),
                    (send.packet, 16),
                    (send.length, 17),
                    (send.service, 8),
                    (send.hash, 64),
                ];
                widths.into_iter().for_each(|(value, bits)| self.require_width(value, bits, at, errors));
            }
            Terminator::Forward(forward) => self.check_forward(forward, at, errors),
            Terminator::Refuse(Refuse { packet, room, .. }) => {
                [*packet, *room].into_iter().for_each(|value| self.require_width(value, 16, at, errors));
            }
            Terminator::Echo(Echo { packet, .. }) => self.require_width(*packet, 16, at, errors),
            Terminator::SynAck(SynAck { packet, cookie, .. }) => {
                self.require_width(*packet, 16, at, errors);
                self.require_width(*cookie, 48, at, errors);
            }
            Terminator::Jump(_) | Terminator::Return { .. } => {}
        }
        end.targets(|target| self.check_target(target, at, errors));
    }

    fn check_forward(&self, forward: &Forward, at: Location, errors: &mut Errors) {
        let Forward { packet, length, service, backend, source, dest, edits, .. } = forward;
        let own = [(*packet, 16), (*length, 17), (*service, 8)].into_iter();
        let own = own.chain(backend.map(|(_, backend)| (backend, 16)));
        own.for_each(|(value, bits)| self.require_width(value, bits, at, errors));
        let words: &[u8] = if forward.six { &[64, 64] } else { &[32] };
        [source, dest].into_iter().for_each(|key| self.check_key(key, words, at, errors));
        for edit in edits {
            let fine = matches!(edit.bytes, 1 | 2 | 4 | 8);
            errors.require(fine, at, || format!("an edit of {} bytes", edit.bytes));
            self.require_width(edit.base, 16, at, errors);
            self.require_width(edit.value, edit.bytes.min(8) * 8, at, errors);
        }
    }

    fn check_target(&self, target: &Target, at: Location, errors: &mut Errors) {
        let block = target.block;
        let params = &self.program[block].params;
        errors.require(params.len() == target.args.len(), at, || {
            format!("{block} has {} parameters, not {}", params.len(), target.args.len())
        });
        for (arg, param) in target.args.iter().zip(params) {
            let (is, wanted) = (self.program.type_of(*arg), self.program.type_of(*param));
            errors.require(is.widens_to(wanted), at, || format!("{block} takes a {wanted}, not a {is}"));
        }
    }

    fn require_cursor(&self, value: Value, at: Location, errors: &mut Errors) {
        let ty = self.program.type_of(value);
        errors.require(ty == Type::Cursor, at, || format!("{value} is a {ty}, not a cursor"));
    }

    fn require_width(&self, value: Value, bits: u8, at: Location, errors: &mut Errors) {
        let ty = self.program.type_of(value);
        errors.require(ty.widens_to(Type::Int(bits)), at, || format!("{value} is a {ty}, not a u{bits}"));
    }

    fn require_int(&self, value: Value, at: Location, errors: &mut Errors) {
        errors.require(self.program.type_of(value) != Type::Cursor, at, || format!("{value} is a cursor"));
    }
}

/// An address is one word or two.
fn address_words(to: &[Value]) -> &'static [u8] {
    if to.len() == 1 { &[32] } else { &[64, 64] }
}

fn check_cases(cases: &[(u64, u64, Target)], at: Location, errors: &mut Errors) {
    for (first, last, _) in cases {
        errors.require(first <= last, at, || format!("the range {first}..{last} is empty"));
    }
    for pair in cases.windows(2) {
        let (last, next) = (pair[0].1, pair[1].0);
        errors.require(last < next, at, || format!("{next} stands behind {last}"));
    }
}

//! Random programs, valid by construction, and frames, from a tape of bytes.
//!
//! The generator keeps its own account of what each block may use (values and proved bytes, as the
//! intersection over the edges that lead there), so that it shares no errors with the verifier.

use std::collections::BTreeMap;
use weir_compiler::ir::build::Builder;
use weir_compiler::ir::{
    BinaryOp, Block, EcnChange, Frequency, LimitDecl, LimitRef, LineInfo, Program, Relation, Rule,
    SampleDecl, SampleRef, SetDecl, SetKind, SetRef, StatementId, TableDecl, TableRef, Target, Terminator,
    Type, Value, Verdict,
};
use weir_compiler::source::{SourceId, Span};
use weir_compiler::state::State;
use weir_compiler::table::Table;

/// Choices; all zero where the tape ends, so that a shorter tape is a simpler program.
pub(crate) struct Tape<'a>(&'a [u8]);

impl<'a> Tape<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn byte(&mut self) -> u64 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        u64::from(*first)
    }

    /// A number below `limit` (at most 256).
    fn below(&mut self, limit: usize) -> usize {
        if limit <= 1 { 0 } else { self.byte() as usize % limit }
    }

    fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == times - 1
    }

    fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }
}

/// What may be used at a place, by value; for a cursor how many bytes are proved, for a slot its type.
#[derive(Clone, Default)]
struct Known {
    ints: Vec<Value>,
    cursors: BTreeMap<Value, u16>,
    slots: BTreeMap<u32, Type>,
}

impl Known {
    fn meet(&mut self, other: &Known) {
        self.ints.retain(|value| other.ints.contains(value));
        self.cursors.retain(|cursor, bytes| {
            let there = other.cursors.get(cursor);
            *bytes = (*bytes).min(there.copied().unwrap_or(0));
            there.is_some()
        });
        self.slots.retain(|slot, ty| other.slots.get(slot) == Some(ty));
    }
}

struct Generator<'a> {
    tape: Tape<'a>,
    builder: Builder,
    blocks: Vec<Block>,
    entry: Vec<Option<Known>>,
    cursor_params: Vec<BTreeMap<Value, u16>>,
    known: Known,
}

/// A random program.
pub(crate) fn program(tape: Tape<'_>) -> Program {
    let mut generator = Generator {
        tape,
        builder: Builder::new(),
        blocks: vec![Block(0)],
        entry: vec![Some(Known::default())],
        cursor_params: vec![BTreeMap::new()],
        known: Known::default(),
    };
    generator.declare();
    generator.make_blocks();
    for index in 0..generator.blocks.len() {
        generator.fill(index);
    }
    generator.builder.finish()
}

impl Generator<'_> {
    fn declare(&mut self) {
        for (words, kind) in
            [(vec![16], SetKind::Hash), (vec![32], SetKind::Lpm), (vec![64, 64], SetKind::Index)]
        {
            let name = format!("set \"{}\"", words.len());
            self.builder.set(SetDecl { name, kind, words, expires: true, max: 16 });
        }
        for words in [vec![8], vec![16, 8], vec![64, 1, 16]] {
            self.table(&words);
        }
        for words in [vec![], vec![8]] {
            let name = "limit".into();
            self.builder.limit(LimitDecl { name, interval: 1 << 30, tolerance: 1 << 18, words, max: 4 });
        }
        for (one_in, shadow) in [(1, false), (3, true)] {
            let (statement, bytes) = (StatementId(0), 100);
            self.builder.sample(SampleDecl { statement, one_in, bytes, counter: 0, lost: 1, shadow });
        }
        self.builder.tells(vec![0, 1, 2, 0]);
        for name in ["first", "second", "third\n"] {
            let counter = self.builder.counter();
            if self.tape.one_in(2) {
                let met = self.tape.below(101) as u32 * 10_000;
                let all = met / (1 + self.tape.below(60) as u32);
                let met = self.tape.one_in(2).then_some(met);
                self.builder.frequency(counter, Frequency { all, met });
            }
            self.builder.scratch();
            self.builder.statement(name);
            let span = (name != "first").then(|| Span::new(SourceId(1), 2, 7));
            let file = if name == "second" { "a b.weir" } else { "edge.weir" }.into();
            self.builder.line(LineInfo { span, file, line: 3, column: 1, text: name.into() });
        }
    }

    /// A few rows, which decide or count and go on.
    fn table(&mut self, words: &[u8]) {
        let mut decl = TableDecl { table: Table::new(words.to_vec()), rules: Vec::new() };
        for _ in 0..self.tape.below(9) {
            let ranges: Vec<(u64, u64)> = words.iter().map(|bits| self.range(*bits)).collect();
            let counter = self.tape.below(3) as u32;
            if self.tape.one_in(2) {
                decl.table.push_counting(&ranges, counter + 1);
                continue;
            }
            let verdict = self.tape.pick(&[Verdict::Pass, Verdict::Drop]);
            let rule = Rule { verdict, by: StatementId(counter), counter };
            let known = decl.rules.iter().position(|known| *known == rule);
            let number = known.unwrap_or_else(|| {
                decl.rules.push(rule);
                decl.rules.len() - 1
            });
            decl.table.push(&ranges, number as u32 + 1);
        }
        self.builder.table(decl);
    }

    /// Small values, or all.
    fn range(&mut self, bits: u8) -> (u64, u64) {
        let most = Type::Int(bits).max();
        let low = self.tape.pick(&[0, 0, 1, 6, 17, 80]).min(most);
        (low, low.saturating_add(self.tape.pick(&[most, 0, 1, 40])).min(most))
    }

    fn make_blocks(&mut self) {
        for _ in 0..self.tape.below(24) {
            let types = [Type::Int(8), Type::Int(16), Type::Int(64), Type::Cursor];
            let params: Vec<Type> = (0..self.tape.below(3)).map(|_| self.tape.pick(&types)).collect();
            let block = if self.tape.one_in(4) {
                self.builder.cold_block(&params)
            } else {
                self.builder.block(&params)
            };
            self.blocks.push(block);
            self.entry.push(None);
            self.cursor_params.push(BTreeMap::new());
        }
    }

    fn fill(&mut self, index: usize) {
        self.builder.switch_to(self.blocks[index]);
        let line = weir_compiler::ir::Line(self.tape.below(4) as u32);
        self.builder.at_line(line);
        let Some(known) = self.entry[index].clone() else {
            return self.builder.ret(Verdict::Pass, None);
        };
        self.known = known;
        for &param in &self.builder.program()[self.blocks[index]].params.clone() {
            match self.builder.program().type_of(param) {
                Type::Cursor => {
                    let proved = self.cursor_params[index].get(&param).copied().unwrap_or(0);
                    self.known.cursors.insert(param, proved);
                }
                Type::Int(_) => self.known.ints.push(param),
            }
        }
        for _ in 0..self.tape.below(6) {
            self.inst();
        }
        if self.tape.one_in(8) {
            self.walk();
        }
        self.end(index);
    }

    fn int(&mut self) -> Value {
        if self.known.ints.is_empty() || self.tape.one_in(5) {
            let number = self.tape.pick(&[0, 1, 2, 6, 14, 17, 80, 255, 0x800, 65535]);
            return self.builder.constant(number);
        }
        let ints = self.known.ints.clone();
        self.tape.pick(&ints)
    }

    fn int_of(&mut self, ty: Type) -> Value {
        let value = self.int();
        if self.builder.program().type_of(value).widens_to(ty) {
            return value;
        }
        self.builder.bits(value, 0, ty.bits().unwrap())
    }

    fn cursor(&mut self) -> Value {
        let cursors: Vec<Value> = self.known.cursors.keys().copied().collect();
        if cursors.is_empty() {
            let start = self.builder.start();
            self.known.cursors.insert(start, 0);
            return start;
        }
        self.tape.pick(&cursors)
    }

    fn inst(&mut self) {
        match self.tape.below(15) {
            0 | 1 => self.load(),
            2 | 3 => {
                let (a, b) = (self.int(), self.int());
                let relations =
                    [Relation::Eq, Relation::Ne, Relation::Lt, Relation::Ge, Relation::Slt, Relation::Sge];
                let relation = self.tape.pick(&relations);
                let result = self.builder.compare(relation, a, b);
                self.known.ints.push(result);
            }
            4 | 5 => self.binary(),
            6 => {
                let cursor = self.cursor();
                let bytes = self.tape.pick(&[2, 4, 14]);
                let next = self.builder.skip(cursor, bytes);
                self.known.cursors.insert(next, 0);
            }
            7 => {
                let (cursor, by) = (self.cursor(), self.int_of(Type::Int(6)));
                let next = self.builder.advance(cursor, by, 63);
                self.known.cursors.insert(next, 0);
            }
            8 => {
                let cursor = self.cursor();
                let offset = self.builder.offset(cursor);
                let len = self.builder.frame_len();
                self.known.ints.extend([offset, len]);
            }
            9 => {
                let set = self.tape.below(3) as u32;
                let words = self.builder.program().sets[set as usize].words.clone();
                let key: Vec<Value> = words.iter().map(|&bits| self.int_of(Type::Int(bits))).collect();
                let held = self.builder.in_set(SetRef(set), &key);
                self.known.ints.push(held);
            }
            10 => {
                let limit = self.tape.below(2) as u32;
                let key: Vec<Value> = (0..limit).map(|_| self.int_of(Type::Int(8))).collect();
                let cost = self.int_of(Type::Int(16));
                let within = self.builder.take(LimitRef(limit), &key, cost);
                self.known.ints.push(within);
            }
            11 => self.builder.count(2),
            12 => self.builder.capture(StatementId(1), Verdict::Drop),
            13 => {
                let sample = SampleRef(self.tape.below(2) as u32);
                self.builder.draw(sample);
            }
            _ => self.scratch(),
        }
    }

    fn load(&mut self) {
        let cursor = self.cursor();
        let proved = self.known.cursors[&cursor];
        let bytes = self.tape.pick(&[1, 2, 4, 8]);
        if proved < bytes {
            return;
        }
        let offset = self.tape.below(usize::from(proved - bytes) + 1) as u16;
        let loaded = self.builder.load(cursor, offset, bytes as u8);
        self.known.ints.push(loaded);
    }

    fn binary(&mut self) {
        use BinaryOp::{Add, And, Mul, Or, Shl, Shr, Sub, Xor};
        let op = self.tape.pick(&[Add, Sub, Mul, And, Or, Xor, Shl, Shr]);
        let a = self.int();
        let b = if matches!(op, Shl | Shr) { self.int_of(Type::Int(4)) } else { self.int() };
        let result = self.builder.binary(op, a, b);
        self.known.ints.push(result);
    }

    fn scratch(&mut self) {
        let slot = self.tape.below(3) as u32;
        if let Some(&ty) = self.known.slots.get(&slot)
            && self.tape.one_in(2)
        {
            let value = self.builder.unstash(slot, ty);
            self.known.ints.push(value);
            return;
        }
        let value = self.int();
        self.builder.stash(slot, value);
        self.known.slots.insert(slot, self.builder.program().type_of(value));
    }

    /// A bounded walk over bytes: what an option parser looks like.
    fn walk(&mut self) {
        let bound = 1 + self.tape.below(5) as u64;
        let header = self.builder.loop_block(&[Type::Int(8), Type::Cursor], bound as u32 + 1);
        let (test, body) = (self.builder.block(&[]), self.builder.block(&[]));
        let after = self.builder.block(&[Type::Int(8)]);
        let (zero, cursor) = (self.builder.constant(0), self.cursor());
        self.builder.jump((header, [zero, cursor]));
        let (turn, at) = (self.builder.param(header, 0), self.builder.param(header, 1));
        self.builder.switch_to(header);
        let more = self.builder.compare_const(Relation::Lt, turn, bound);
        self.builder.branch(more, test, (after, [turn]));
        self.builder.switch_to(test);
        self.builder.fits(at, 1, body, (after, [turn]));
        self.builder.switch_to(body);
        let byte = self.builder.load(at, 0, 1);
        let step = self.builder.bits(byte, 0, 2);
        let next = self.builder.advance(at, step, 3);
        let sum = self.builder.add_const(turn, 1);
        let turn_next = self.builder.bits(sum, 0, 8);
        let stop = self.builder.compare_const(Relation::Eq, byte, 0);
        self.builder.branch(stop, (after, [byte]), (header, [turn_next, next]));
        self.builder.switch_to(after);
        self.known.ints.push(self.builder.param(after, 0));
    }

    fn end(&mut self, index: usize) {
        let last = index + 1 == self.blocks.len();
        match if last { 0 } else { self.tape.below(11) } {
            0 => self.leave(),
            1 => {
                let target = self.target(index, None);
                self.builder.jump(target);
            }
            2 | 3 => {
                let (a, b) = (self.int(), self.int());
                let relation = self.tape.pick(&[Relation::Eq, Relation::Ne, Relation::Lt, Relation::Gt]);
                let cond = self.builder.compare(relation, a, b);
                let (then, other) = (self.target(index, None), self.target(index, None));
                self.builder.branch(cond, then, other);
            }
            4..=6 => {
                let cursor = self.cursor();
                let bytes = self.tape.pick(&[14, 1, 2, 8, 20, 40]);
                let then = self.target(index, Some((cursor, bytes)));
                let other = self.target(index, None);
                self.builder.fits(cursor, bytes, then, other);
            }
            7 => self.chain(index),
            8 => self.headers(index),
            9 => self.look_up(index),
            _ => self.switch(index),
        }
    }

    fn leave(&mut self) {
        if self.tape.one_in(4) {
            return self.decap();
        }
        let by = self.tape.one_in(2).then_some(StatementId(2));
        let verdict = self.tape.pick(&[Verdict::Pass, Verdict::Drop]);
        self.builder.ret(verdict, by);
    }

    /// A frame that begins further in, where all that is looked at is inside it.
    fn decap(&mut self) {
        let (start, inside, outside) =
            (self.builder.start(), self.builder.block(&[]), self.builder.block(&[]));
        self.builder.fits(start, 90, inside, outside);
        self.builder.switch_to(outside);
        self.builder.ret(Verdict::Drop, None);
        self.builder.switch_to(inside);
        let [inner, at] = [30, 14].map(|least| {
            let byte = self.builder.load(start, self.tape.below(90) as u16, 1);
            let low = self.builder.bits(byte, 0, 4);
            self.builder.add_const(low, least + self.tape.below(26) as u64)
        });
        let link = self.tape.one_in(2).then(|| 14 + 4 * self.tape.below(5) as u64);
        let link = link.map(|link| self.builder.constant(link));
        let ecn = self.tape.one_in(2).then(|| EcnChange { at, flip: self.int_of(Type::Int(2)) });
        self.builder.end(Terminator::Decap { by: StatementId(2), inner, link, ecn });
    }

    /// One value compared with constants in turn: what rules about one field look like.
    fn chain(&mut self, index: usize) {
        let value = self.int();
        for _ in 0..2 + self.tape.below(4) {
            let link = self.builder.block(&[]);
            let number = self.tape.pick(&[0, 1, 2, 6, 17, 80]);
            let relation = self.tape.pick(&[Relation::Eq, Relation::Eq, Relation::Ne, Relation::Gt]);
            let cond = self.builder.compare_const(relation, value, number);
            let target = self.target(index, None);
            if relation == Relation::Ne {
                self.builder.branch(cond, link, target);
            } else {
                self.builder.branch(cond, target, link);
            }
            self.builder.switch_to(link);
            if self.tape.one_in(6) {
                self.builder.count(1);
            }
        }
        let target = self.target(index, None);
        self.builder.jump(target);
    }

    /// Rows that are matched as one.
    fn look_up(&mut self, index: usize) {
        let table = TableRef(self.tape.below(3) as u32);
        let words = self.builder.program().tables[table.index()].table.words().to_vec();
        let key = words.iter().map(|bits| self.int_of(Type::Int(*bits))).collect();
        let otherwise = self.target(index, None);
        self.builder.end(Terminator::Match { table, key, otherwise });
    }

    /// Checks of one cursor in a row: what headers behind each other look like.
    fn headers(&mut self, index: usize) {
        let cursor = self.cursor();
        let out = self.target(index, None);
        let other = if self.tape.one_in(4) { self.target(index, None) } else { out.clone() };
        let next = self.builder.block(&[]);
        let bytes = self.tape.pick(&[14, 1, 8]);
        self.builder.fits(cursor, bytes, next, out);
        self.builder.switch_to(next);
        let skipped = self.builder.skip(cursor, bytes);
        if self.tape.one_in(4) {
            self.builder.count(0);
        }
        let more = self.tape.pick(&[20, 1, 8]);
        let (behind, wider) = if self.tape.one_in(2) { (skipped, more) } else { (cursor, more + bytes) };
        let then = self.target(index, Some((behind, wider)));
        self.builder.fits(behind, wider, then, other);
    }

    fn switch(&mut self, index: usize) {
        let value = self.int();
        let mut cases: Vec<(u64, u64, Target)> = Vec::new();
        let mut next = 0;
        for _ in 0..self.tape.below(5) {
            let first = next + self.tape.byte();
            let last = first + self.tape.pick(&[0, 0, 1, 300]);
            cases.push((first, last, self.target(index, None)));
            next = last + 1;
        }
        let default = self.target(index, None);
        self.builder.switch(value, cases, default);
    }

    /// An edge to some later block, which tells that block what is known on it.
    fn target(&mut self, index: usize, fits: Option<(Value, u16)>) -> Target {
        let next = index + 1 + self.tape.below((self.blocks.len() - index - 1).min(5));
        let params = self.builder.program()[self.blocks[next]].params.clone();
        let types: Vec<Type> = params.iter().map(|&param| self.builder.program().type_of(param)).collect();
        let args: Vec<Value> = types
            .iter()
            .map(|&ty| if ty == Type::Cursor { self.cursor() } else { self.int_of(ty) })
            .collect();
        let mut known = self.known.clone();
        if let Some((cursor, bytes)) = fits {
            let proved = known.cursors.entry(cursor).or_default();
            *proved = bytes.max(*proved);
        }
        let seen = self.entry[next].is_some();
        for (&param, arg) in params.iter().zip(&args) {
            let Some(&there) = known.cursors.get(arg) else {
                continue;
            };
            let proved = self.cursor_params[next].entry(param).or_insert(there);
            *proved = if seen { there.min(*proved) } else { there };
        }
        match &mut self.entry[next] {
            Some(before) => before.meet(&known),
            none => *none = Some(known),
        }
        Target { block: self.blocks[next], args }
    }
}

/// A state in which random keys are sometimes held.
pub(crate) fn state(program: &Program) -> State {
    let mut state = State::new(program);
    for (set, decl) in state.sets.iter_mut().zip(&program.sets) {
        let bits = decl.words.iter().map(|&bits| u32::from(bits)).sum();
        for word in [0, 1, 6, 14, 80] {
            let mut key = vec![0; decl.words.len()];
            *key.last_mut().unwrap() = word;
            set.insert(decl, &key, bits, None);
        }
    }
    state.now = 1_000;
    state
}

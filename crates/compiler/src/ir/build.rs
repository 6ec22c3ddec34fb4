//! Makes a program: blocks, then instructions and an end for each.
//!
//! Result types of arithmetic are the narrowest that hold the result, from what is known of the
//! operands' definitions; so `(x & 15) << 2` of a `u8` is a `u6`.

use super::{
    BackendPart, BalanceDecl, BalanceRef, BinaryOp, Block, BlockData, CookieCall, Frequency, Inst, LimitDecl,
    LimitRef, Line, LineInfo, NatCall, NatDecl, NatRef, Op, PoolDecl, PoolRef, Program, Relation, SampleDecl,
    SampleRef, SetDecl, SetRef, StatementId, TableDecl, TableRef, Target, Terminator, Type, Value, Verdict,
};
use std::collections::HashMap;
use std::ops::RangeInclusive;

/// A program in the making. One block at a time is the current one, which instructions go to.
#[derive(Debug)]
pub struct Builder {
    program: Program,
    ends: Vec<bool>,
    current: Block,
    line: Line,
    constants: HashMap<(Block, u64), Value>,
    known: HashMap<Value, u64>,
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

/// Declarations.
impl Builder {
    /// An empty program whose entry block is the current one.
    pub fn new() -> Self {
        let nowhere = LineInfo { span: None, file: String::new(), line: 0, column: 0, text: String::new() };
        let program = Program { lines: vec![nowhere], ..Program::default() };
        let mut builder = Self {
            program,
            ends: Vec::new(),
            current: Block(0),
            line: Line(0),
            constants: HashMap::new(),
            known: HashMap::new(),
        };
        builder.block(&[]);
        builder
    }

    /// Declares a set.
    pub fn set(&mut self, decl: SetDecl) -> SetRef {
        self.program.sets.push(decl);
        SetRef(self.program.sets.len() as u32 - 1)
    }

    /// Declares a limit.
    pub fn limit(&mut self, decl: LimitDecl) -> LimitRef {
        self.program.limits.push(decl);
        LimitRef(self.program.limits.len() as u32 - 1)
    }

    /// Declares a table.
    pub fn table(&mut self, decl: TableDecl) -> TableRef {
        self.program.tables.push(decl);
        TableRef(self.program.tables.len() as u32 - 1)
    }

    /// Declares a pool.
    pub fn pool(&mut self, decl: PoolDecl) -> PoolRef {
        self.program.pools.push(decl);
        PoolRef(self.program.pools.len() as u32 - 1)
    }

    /// Declares a way to the backends of a pool.
    pub fn balance(&mut self, decl: BalanceDecl) -> BalanceRef {
        self.program.balances.push(decl);
        BalanceRef(self.program.balances.len() as u32 - 1)
    }

    /// Declares a table of flows.
    pub fn flows(&mut self, decl: NatDecl) -> NatRef {
        self.program.nats.push(decl);
        NatRef(self.program.nats.len() as u32 - 1)
    }

    /// Declares a statement that samples.
    pub fn sample(&mut self, decl: SampleDecl) -> SampleRef {
        self.program.samples.push(decl);
        SampleRef(self.program.samples.len() as u32 - 1)
    }

    /// Says what samples call those that decide.
    pub fn tells(&mut self, counters: Vec<u32>) {
        self.program.tells = counters;
    }

    /// Names the next statement.
    pub fn statement(&mut self, name: impl Into<String>) -> StatementId {
        self.program.statements.push(name.into());
        StatementId(self.program.statements.len() as u32 - 1)
    }

    /// Declares one more counter slot.
    pub fn counter(&mut self) -> u32 {
        self.program.counters += 1;
        self.program.counters - 1
    }

    /// Says how often a counter is expected to count.
    pub fn frequency(&mut self, counter: u32, frequency: Frequency) {
        self.program.frequencies.insert(counter, frequency);
    }

    /// Declares one more scratch slot.
    pub fn scratch(&mut self) -> u32 {
        self.program.scratch += 1;
        self.program.scratch - 1
    }

    /// Adds a place of the policy.
    pub fn line(&mut self, info: LineInfo) -> Line {
        self.program.lines.push(info);
        Line(self.program.lines.len() as u32 - 1)
    }

    /// What follows belongs to this place of the policy.
    pub fn at_line(&mut self, line: Line) {
        self.line = line;
    }

    /// The program so far.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// The finished program.
    ///
    /// # Panics
    /// If a block has no end: the lowering forgot one.
    pub fn finish(self) -> Program {
        let open = self.ends.iter().position(|ended| !ended);
        assert!(open.is_none(), "b{} has no end", open.unwrap_or_default());
        self.program
    }
}

/// Blocks.
impl Builder {
    /// A new block with parameters of the given types. The current block stays.
    pub fn block(&mut self, params: &[Type]) -> Block {
        let params = params.iter().map(|&ty| self.program.new_value(ty)).collect();
        let end = Terminator::Return { verdict: Verdict::Pass, by: None };
        let (insts, end_line) = (Vec::new(), Line(0));
        let (cold, likely) = (false, false);
        self.program.blocks.push(BlockData { params, insts, end, end_line, cold, likely, loop_bound: None });
        self.ends.push(false);
        Block(self.program.blocks.len() as u32 - 1)
    }

    /// A block that is expected to run rarely.
    pub fn cold_block(&mut self, params: &[Type]) -> Block {
        let block = self.block(params);
        self.program[block].cold = true;
        block
    }

    /// A block that back edges may lead to, and that runs at most `bound` times each time the loop
    /// is entered.
    pub fn loop_block(&mut self, params: &[Type], bound: u32) -> Block {
        let block = self.block(params);
        self.program[block].loop_bound = Some(bound);
        block
    }

    /// What follows goes to the end of this block.
    pub fn switch_to(&mut self, block: Block) {
        self.current = block;
    }

    /// The block that instructions go to.
    pub fn current(&self) -> Block {
        self.current
    }

    /// A block's parameter.
    pub fn param(&self, block: Block, index: usize) -> Value {
        self.program[block].params[index]
    }

    /// Whether a block has its end.
    pub fn is_ended(&self, block: Block) -> bool {
        self.ends[block.index()]
    }
}

/// Instructions, appended to the current block.
impl Builder {
    /// A constant, in the narrowest type that holds it; one for each block and value.
    pub fn constant(&mut self, number: u64) -> Value {
        if let Some(&value) = self.constants.get(&(self.current, number)) {
            return value;
        }
        let value = self.append(Op::Const(number), Type::holding(number));
        self.constants.insert((self.current, number), value);
        value
    }

    /// Arithmetic, in the narrowest type that holds the result; `Sub` gives a `u64`.
    pub fn binary(&mut self, op: BinaryOp, a: Value, b: Value) -> Value {
        let least = self.known.get(&b).copied().unwrap_or(0);
        let ty = Type::holding(upper_bound(op, self.most(a), least..=self.most(b)));
        self.append(Op::Binary(op, a, b), ty)
    }

    /// Arithmetic with a constant.
    pub fn binary_const(&mut self, op: BinaryOp, a: Value, b: u64) -> Value {
        let b = self.constant(b);
        self.binary(op, a, b)
    }

    /// Arithmetic whose result the lowering knows to fit `ty` (which the interpreter checks).
    pub fn binary_as(&mut self, op: BinaryOp, a: Value, b: Value, ty: Type) -> Value {
        self.append(Op::Binary(op, a, b), ty)
    }

    /// `a + b`.
    pub fn add_const(&mut self, a: Value, b: u64) -> Value {
        if b == 0 { a } else { self.binary_const(BinaryOp::Add, a, b) }
    }

    /// Bits `shift..shift + bits` of a value.
    pub fn bits(&mut self, value: Value, shift: u8, bits: u8) -> Value {
        let shifted =
            if shift == 0 { value } else { self.binary_const(BinaryOp::Shr, value, u64::from(shift)) };
        let mask = Type::Int(bits).max();
        if self.most(shifted) <= mask { shifted } else { self.binary_const(BinaryOp::And, shifted, mask) }
    }

    /// A relation.
    pub fn compare(&mut self, relation: Relation, a: Value, b: Value) -> Value {
        self.append(Op::Compare(relation, a, b), super::BOOL)
    }

    /// A relation to a constant.
    pub fn compare_const(&mut self, relation: Relation, a: Value, b: u64) -> Value {
        let b = self.constant(b);
        self.compare(relation, a, b)
    }

    /// The frame's first byte.
    pub fn start(&mut self) -> Value {
        self.append(Op::Start, Type::Cursor)
    }

    /// A cursor `by` (at most `max`) bytes further.
    pub fn advance(&mut self, cursor: Value, by: Value, max: u16) -> Value {
        self.append(Op::Advance { cursor, by, max }, Type::Cursor)
    }

    /// A cursor a fixed number of bytes further.
    pub fn skip(&mut self, cursor: Value, bytes: u16) -> Value {
        if bytes == 0 { cursor } else { self.append(Op::Skip { cursor, bytes }, Type::Cursor) }
    }

    /// `bytes` (1, 2, 4, 8) at `cursor + offset`, big endian.
    pub fn load(&mut self, cursor: Value, offset: u16, bytes: u8) -> Value {
        self.append(Op::Load { cursor, offset, bytes }, Type::Int(8 * bytes))
    }

    /// The same cursor, of which the kernel's verifier knows only that it is at most `max` bytes in.
    pub fn detour(&mut self, cursor: Value, max: u16) -> Value {
        self.append(Op::Detour { cursor, max }, Type::Cursor)
    }

    /// How far the cursor is from the frame's start.
    pub fn offset(&mut self, cursor: Value) -> Value {
        self.append(Op::Offset(cursor), Type::Int(16))
    }

    /// The frame's length.
    pub fn frame_len(&mut self) -> Value {
        self.append(Op::FrameLen, Type::Int(32))
    }

    /// Whether a set holds a key.
    pub fn in_set(&mut self, set: SetRef, key: &[Value]) -> Value {
        self.append(Op::InSet { set, key: key.to_vec() }, super::BOOL)
    }

    /// Whether some row of the table holds the key.
    pub fn in_table(&mut self, table: TableRef, key: &[Value]) -> Value {
        self.append(Op::InTable { table, key: key.to_vec() }, super::BOOL)
    }

    /// Takes from a bucket; 1 if the packet is within the limit.
    pub fn take(&mut self, limit: LimitRef, key: &[Value], cost: Value) -> Value {
        self.append(Op::Take { limit, key: key.to_vec(), cost }, super::BOOL)
    }

    /// The backend that a flow gets, by its hash.
    pub fn pick(&mut self, pool: PoolRef, hash: Value, begins: Value, held: Option<Value>) -> Value {
        self.append(Op::Pick { pool, hash, begins, held }, Type::Int(16))
    }

    /// What is known of a backend.
    pub fn backend(&mut self, pool: PoolRef, backend: Value, part: BackendPart) -> Value {
        self.append(Op::Backend { pool, backend, part }, part.ty())
    }

    /// Does something with a table of flows.
    pub fn nat(&mut self, nat: NatRef, six: bool, call: NatCall, args: &[Value]) -> Value {
        self.append(Op::Nat { nat, six, call, args: args.to_vec() }, call.ty(six))
    }

    /// Asks the host's TCP about a segment.
    pub fn cookie(&mut self, call: CookieCall, six: bool, packet: Value) -> Value {
        self.append(Op::Cookie { call, six, packet }, call.ty())
    }

    /// How long a packet to an address may be, or 0.
    pub fn route(&mut self, to: &[Value]) -> Value {
        self.append(Op::Route { to: to.to_vec() }, Type::Int(16))
    }

    /// How long a packet to a backend may be, or 0.
    pub fn room(&mut self, balance: BalanceRef, backend: Value) -> Value {
        self.append(Op::Room { balance, backend }, Type::Int(16))
    }

    /// Remembers a word by a key.
    pub fn note(&mut self, key: Value, word: Value) {
        self.append_effect(Op::Note { key, word });
    }

    /// The word that was noted by a key, or 0.
    pub fn recall(&mut self, key: Value) -> Value {
        self.append(Op::Recall { key }, Type::Int(64))
    }

    /// Counts the packet.
    pub fn count(&mut self, counter: u32) {
        self.append_effect(Op::Count { counter });
    }

    /// Draws the packet, or lets it go by.
    pub fn draw(&mut self, sample: SampleRef) {
        self.append_effect(Op::Draw { sample });
    }

    /// Hands a copy of the frame to the capture ring.
    pub fn capture(&mut self, statement: StatementId, verdict: Verdict) {
        self.append_effect(Op::Capture { statement, verdict });
    }

    /// Keeps a scalar in a scratch slot.
    pub fn stash(&mut self, slot: u32, value: Value) {
        self.append_effect(Op::Stash { slot, value });
    }

    /// Reads a scratch slot.
    pub fn unstash(&mut self, slot: u32, ty: Type) -> Value {
        self.append(Op::Unstash { slot }, ty)
    }

    fn append(&mut self, op: Op, ty: Type) -> Value {
        let result = self.program.new_value(ty);
        if let Op::Const(number) = op {
            self.known.insert(result, number);
        }
        self.push(Inst { result: Some(result), op, line: self.line });
        result
    }

    fn append_effect(&mut self, op: Op) {
        self.push(Inst { result: None, op, line: self.line });
    }

    fn push(&mut self, inst: Inst) {
        debug_assert!(!self.is_ended(self.current), "{} has ended", self.current);
        self.program[self.current].insts.push(inst);
    }

    /// The largest number that a value can be.
    fn most(&self, value: Value) -> u64 {
        self.known.get(&value).copied().unwrap_or(self.program.type_of(value).max())
    }
}

/// Ends of the current block.
impl Builder {
    /// Goes on elsewhere.
    pub fn jump(&mut self, target: impl Into<Target>) {
        self.end(Terminator::Jump(target.into()));
    }

    /// Goes on at `then` if `cond` is 1.
    pub fn branch(&mut self, cond: Value, then: impl Into<Target>, other: impl Into<Target>) {
        self.end(Terminator::Branch { cond, then: then.into(), other: other.into() });
    }

    /// Goes on at `then` if `bytes` from the cursor on are inside the frame.
    pub fn fits(&mut self, cursor: Value, bytes: u16, then: impl Into<Target>, other: impl Into<Target>) {
        self.end(Terminator::Fits { cursor, bytes, then: then.into(), other: other.into() });
    }

    /// Goes on at the case whose range holds the value; the builder sorts them.
    pub fn switch(&mut self, value: Value, mut cases: Vec<(u64, u64, Target)>, default: impl Into<Target>) {
        cases.sort_by_key(|case| case.0);
        self.end(Terminator::Switch { value, cases, default: default.into() });
    }

    /// Ends the packet's way.
    pub fn ret(&mut self, verdict: Verdict, by: Option<StatementId>) {
        self.end(Terminator::Return { verdict, by });
    }

    /// Ends the current block.
    pub fn end(&mut self, end: Terminator) {
        debug_assert!(!self.is_ended(self.current), "{} has ended", self.current);
        let line = self.line;
        let block = &mut self.program[self.current];
        block.end = end;
        block.end_line = line;
        self.ends[self.current.index()] = true;
    }
}

/// The largest result of an operation whose left operand is at most `a` and whose right one is in `b`.
pub fn upper_bound(op: BinaryOp, a: u64, b: RangeInclusive<u64>) -> u64 {
    let (least, most) = b.into_inner();
    match op {
        BinaryOp::Add => a.saturating_add(most),
        BinaryOp::Mul => a.saturating_mul(most),
        BinaryOp::Sub => u64::MAX,
        BinaryOp::And => a.min(most),
        BinaryOp::Or | BinaryOp::Xor => Type::holding(a | most).max(),
        BinaryOp::Shl if most < 64 && u64::from(a.leading_zeros()) >= most => a << most,
        BinaryOp::Shl => u64::MAX,
        BinaryOp::Shr => a >> least.min(63),
    }
}

//! What operations and ends refer to: operands, targets, effects.

use super::{Block, CookieCall, Inst, NatCall, Op, Program, Send, Target, Terminator, Type, Value};

impl Type {
    /// The width of an integer; `None` for a cursor.
    pub fn bits(self) -> Option<u8> {
        match self {
            Type::Int(bits) => Some(bits),
            Type::Cursor => None,
        }
    }

    /// The largest value of the type; a cursor has none to speak of.
    pub fn max(self) -> u64 {
        match self {
            Type::Int(bits) if bits < 64 => (1 << bits) - 1,
            _ => u64::MAX,
        }
    }

    /// The narrowest integer that holds `max`.
    pub fn holding(max: u64) -> Type {
        Type::Int((64 - max.leading_zeros()).max(1) as u8)
    }

    /// Whether every value of the type is one of `wider` as well.
    pub fn widens_to(self, wider: Type) -> bool {
        match (self, wider) {
            (Type::Int(from), Type::Int(to)) => from <= to,
            (from, to) => from == to,
        }
    }
}

impl Op {
    /// Calls `f` with each operand in order.
    pub fn operands(&self, mut f: impl FnMut(Value)) {
        match self {
            Op::Const(_)
            | Op::Start
            | Op::FrameLen
            | Op::Count { .. }
            | Op::Capture { .. }
            | Op::Draw { .. }
            | Op::Unstash { .. } => {}
            Op::Binary(_, a, b) | Op::Compare(_, a, b) => [*a, *b].into_iter().for_each(f),
            Op::Advance { cursor, by, .. } => [*cursor, *by].into_iter().for_each(f),
            Op::Skip { cursor, .. }
            | Op::Detour { cursor, .. }
            | Op::Load { cursor, .. }
            | Op::Offset(cursor) => f(*cursor),
            Op::InSet { key, .. } | Op::InTable { key, .. } => key.iter().copied().for_each(f),
            Op::Take { key, cost, .. } => key.iter().chain([cost]).copied().for_each(f),
            Op::Pick { hash, begins, held, .. } => {
                [*hash, *begins].into_iter().chain(*held).for_each(f);
            }
            Op::Nat { args, .. } | Op::Route { to: args } => args.iter().copied().for_each(f),
            Op::Note { key, word } => [*key, *word].into_iter().for_each(f),
            Op::Recall { key: value }
            | Op::Cookie { packet: value, .. }
            | Op::Room { backend: value, .. }
            | Op::Backend { backend: value, .. } => f(*value),
            Op::Stash { value, .. } => f(*value),
        }
    }

    /// Calls `f` with each operand in order, to change it.
    pub fn operands_mut(&mut self, mut f: impl FnMut(&mut Value)) {
        match self {
            Op::Const(_)
            | Op::Start
            | Op::FrameLen
            | Op::Count { .. }
            | Op::Capture { .. }
            | Op::Draw { .. }
            | Op::Unstash { .. } => {}
            Op::Binary(_, a, b) | Op::Compare(_, a, b) => [a, b].into_iter().for_each(f),
            Op::Advance { cursor, by, .. } => [cursor, by].into_iter().for_each(f),
            Op::Skip { cursor, .. }
            | Op::Detour { cursor, .. }
            | Op::Load { cursor, .. }
            | Op::Offset(cursor) => f(cursor),
            Op::InSet { key, .. } | Op::InTable { key, .. } => key.iter_mut().for_each(f),
            Op::Take { key, cost, .. } => key.iter_mut().chain([cost]).for_each(f),
            Op::Pick { hash, begins, held, .. } => {
                [hash, begins].into_iter().chain(held).for_each(f);
            }
            Op::Nat { args, .. } | Op::Route { to: args } => args.iter_mut().for_each(f),
            Op::Note { key, word } => [key, word].into_iter().for_each(f),
            Op::Recall { key: value }
            | Op::Cookie { packet: value, .. }
            | Op::Room { backend: value, .. }
            | Op::Backend { backend: value, .. } => f(value),
            Op::Stash { value, .. } => f(value),
        }
    }

    /// Whether the operation does more than give its result, so that it must stay.
    pub fn has_effect(&self) -> bool {
        matches!(
            self,
            Op::Take { .. }
                | Op::Pick { .. }
                | Op::Nat { call: NatCall::Bind | NatCall::Answered { .. }, .. }
                | Op::Cookie { call: CookieCall::Make, .. }
                | Op::Note { .. }
                | Op::Count { .. }
                | Op::Capture { .. }
                | Op::Draw { .. }
                | Op::Stash { .. }
        )
    }

    /// Whether the result depends on the operands, the frame and the sets alone: such an operation
    /// gives the same wherever on the packet's way it stands.
    pub fn is_pure(&self) -> bool {
        let asks = matches!(
            self,
            Op::Unstash { .. }
                | Op::Recall { .. }
                | Op::Room { .. }
                | Op::Route { .. }
                | Op::Backend { .. }
                | Op::Cookie { .. }
                | Op::Nat { .. }
        );
        !self.has_effect() && !asks
    }

    /// Whether the operation has a result at all.
    pub fn has_result(&self) -> bool {
        !matches!(
            self,
            Op::Note { .. } | Op::Count { .. } | Op::Capture { .. } | Op::Draw { .. } | Op::Stash { .. }
        )
    }

    /// The type that the result must have; `None` where the operation leaves it open
    /// (constants, arithmetic, `unstash`) or has no result.
    pub fn fixed_type(&self) -> Option<Type> {
        Some(match self {
            Op::Compare(..) | Op::InSet { .. } | Op::InTable { .. } | Op::Take { .. } => super::BOOL,
            Op::Start | Op::Advance { .. } | Op::Skip { .. } | Op::Detour { .. } => Type::Cursor,
            Op::Load { bytes, .. } => Type::Int(bytes.saturating_mul(8)),
            Op::Offset(_) | Op::Pick { .. } | Op::Room { .. } | Op::Route { .. } => Type::Int(16),
            Op::Backend { part, .. } => part.ty(),
            Op::Nat { six, call, .. } => call.ty(*six),
            Op::Cookie { call, .. } => call.ty(),
            Op::FrameLen => Type::Int(32),
            Op::Recall { .. } => Type::Int(64),
            _ => return None,
        })
    }
}

impl Terminator {
    /// Calls `f` with its own values, then with the arguments of all targets.
    pub fn operands(&self, mut f: impl FnMut(Value)) {
        self.deciding(&mut f);
        self.targets(|target| target.args.iter().copied().for_each(&mut f));
    }

    /// Calls `f` with its own values, then with the arguments of all targets, to change them.
    pub fn operands_mut(&mut self, mut f: impl FnMut(&mut Value)) {
        match self {
            Terminator::Branch { cond: value, .. }
            | Terminator::Fits { cursor: value, .. }
            | Terminator::Switch { value, .. } => f(value),
            Terminator::Match { key, .. } => key.iter_mut().for_each(&mut f),
            Terminator::Decap { inner, link, ecn, .. } => {
                f(inner);
                link.iter_mut().for_each(&mut f);
                ecn.iter_mut().flat_map(|ecn| [&mut ecn.flip, &mut ecn.at]).for_each(&mut f);
            }
            Terminator::Send(send) => {
                let Send { backend, packet, length, service, hash, .. } = &mut **send;
                [backend, packet, length, service, hash].into_iter().for_each(&mut f);
            }
            Terminator::Forward(forward) => forward.operands_mut(&mut f),
            Terminator::Refuse(refuse) => [&mut refuse.packet, &mut refuse.room].into_iter().for_each(&mut f),
            Terminator::Echo(echo) => f(&mut echo.packet),
            Terminator::SynAck(answer) => {
                [&mut answer.packet, &mut answer.cookie].into_iter().for_each(&mut f)
            }
            Terminator::Jump(_) | Terminator::Return { .. } => {}
        }
        self.targets_mut(|target| target.args.iter_mut().for_each(&mut f));
    }

    /// Calls `f` with each value of its own: that decides where to go, or what leaves.
    pub fn deciding(&self, mut f: impl FnMut(Value)) {
        match self {
            Terminator::Branch { cond: value, .. }
            | Terminator::Fits { cursor: value, .. }
            | Terminator::Switch { value, .. } => f(*value),
            Terminator::Match { key, .. } => key.iter().copied().for_each(f),
            Terminator::Decap { inner, link, ecn, .. } => {
                let ecn = ecn.iter().flat_map(|ecn| [ecn.flip, ecn.at]);
                [*inner].into_iter().chain(*link).chain(ecn).for_each(f);
            }
            Terminator::Send(send) => {
                let Send { backend, packet, length, service, hash, .. } = **send;
                [backend, packet, length, service, hash].into_iter().for_each(f);
            }
            Terminator::Forward(forward) => forward.operands(f),
            Terminator::Refuse(refuse) => [refuse.packet, refuse.room].into_iter().for_each(f),
            Terminator::Echo(echo) => f(echo.packet),
            Terminator::SynAck(answer) => [answer.packet, answer.cookie].into_iter().for_each(f),
            Terminator::Jump(_) | Terminator::Return { .. } => {}
        }
    }

    /// Calls `f` with each target, in the order in which they are written.
    pub fn targets<'a>(&'a self, mut f: impl FnMut(&'a Target)) {
        match self {
            Terminator::Jump(target) | Terminator::Match { otherwise: target, .. } => f(target),
            Terminator::Branch { then, other, .. } | Terminator::Fits { then, other, .. } => {
                f(then);
                f(other);
            }
            Terminator::Switch { cases, default, .. } => {
                cases.iter().for_each(|(_, _, target)| f(target));
                f(default);
            }
            Terminator::Forward(forward) => {
                f(&forward.long);
                f(&forward.unreachable);
            }
            Terminator::Send(send) => {
                f(&send.long);
                f(&send.unreachable);
            }
            Terminator::Return { .. }
            | Terminator::Decap { .. }
            | Terminator::Refuse(_)
            | Terminator::Echo(_)
            | Terminator::SynAck(_) => {}
        }
    }

    /// Calls `f` with each target, to change it.
    pub fn targets_mut(&mut self, mut f: impl FnMut(&mut Target)) {
        match self {
            Terminator::Jump(target) | Terminator::Match { otherwise: target, .. } => f(target),
            Terminator::Branch { then, other, .. } | Terminator::Fits { then, other, .. } => {
                f(then);
                f(other);
            }
            Terminator::Switch { cases, default, .. } => {
                cases.iter_mut().for_each(|(_, _, target)| f(target));
                f(default);
            }
            Terminator::Forward(forward) => {
                f(&mut forward.long);
                f(&mut forward.unreachable);
            }
            Terminator::Send(send) => {
                f(&mut send.long);
                f(&mut send.unreachable);
            }
            Terminator::Return { .. }
            | Terminator::Decap { .. }
            | Terminator::Refuse(_)
            | Terminator::Echo(_)
            | Terminator::SynAck(_) => {}
        }
    }
}

impl Inst {
    /// An instruction without a line.
    pub fn new(result: Option<Value>, op: Op) -> Self {
        Self { result, op, line: super::Line(0) }
    }
}

impl From<Block> for Target {
    fn from(block: Block) -> Self {
        Target { block, args: Vec::new() }
    }
}

impl<A: Into<Vec<Value>>> From<(Block, A)> for Target {
    fn from((block, args): (Block, A)) -> Self {
        Target { block, args: args.into() }
    }
}

impl Program {
    /// All blocks by index.
    pub fn block_ids(&self) -> impl DoubleEndedIterator<Item = Block> + use<> {
        (0..self.blocks.len() as u32).map(Block)
    }

    /// The type of a value.
    pub fn type_of(&self, value: Value) -> Type {
        self.values[value.index()]
    }

    /// A value of the given type that nothing defines yet.
    pub fn new_value(&mut self, ty: Type) -> Value {
        self.values.push(ty);
        Value(self.values.len() as u32 - 1)
    }
}

impl std::ops::Index<Block> for Program {
    type Output = super::BlockData;
    fn index(&self, block: Block) -> &Self::Output {
        &self.blocks[block.index()]
    }
}

impl std::ops::IndexMut<Block> for Program {
    fn index_mut(&mut self, block: Block) -> &mut Self::Output {
        &mut self.blocks[block.index()]
    }
}

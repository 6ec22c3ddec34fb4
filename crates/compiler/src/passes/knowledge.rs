//! What is known of each value in a block: from its type, its definition, and the edges on the only
//! way there. Passes that use it walk the blocks in the dominators' preorder.

use super::edit::Substitution;
use super::ranges::{Range, binary_range, exactly, given, meet, opposite, relation_holds, single};
use crate::ir::analysis::{Def, Dominators, Graph, definitions};
use crate::ir::{BOOL, BinaryOp, Block, Op, Program, Target, Terminator, Value};

pub(super) struct Knowledge {
    pub(super) defs: Vec<Option<Def>>,
    /// Values that are known to be the same as others.
    pub(super) aliases: Substitution,
    /// Of an integer, where it lies; of a cursor, where its distance from the frame's start lies.
    ranges: Vec<Range>,
    undo: Vec<(Value, Range)>,
    open: Vec<(Block, usize)>,
}

impl Knowledge {
    /// What types say.
    pub(super) fn new(program: &Program) -> Self {
        Self {
            defs: definitions(program),
            aliases: Substitution::new(program),
            ranges: program.values.iter().map(|ty| (0, ty.max())).collect(),
            undo: Vec::new(),
            open: Vec::new(),
        }
    }

    /// Between which numbers a value lies here.
    pub(super) fn range(&self, value: Value) -> Range {
        // A value that a pass has made since is not known.
        self.ranges.get(self.aliases.resolve(value).index()).copied().unwrap_or((0, u64::MAX))
    }

    /// Learns where a value lies, until the walk leaves the block.
    pub(super) fn learn(&mut self, value: Value, range: Range) {
        let known = self.ranges[value.index()];
        if let Some(both) = meet(known, range)
            && both != known
        {
            self.undo.push((value, known));
            self.ranges[value.index()] = both;
        }
    }

    fn forget(&mut self, mark: usize) {
        for (value, range) in self.undo.drain(mark..).rev() {
            self.ranges[value.index()] = range;
        }
    }

    /// Steps into the next block of the dominators' preorder: forgets what blocks that do not
    /// dominate it knew, learns what the only edge into it says.
    pub(super) fn enter(&mut self, program: &Program, graph: &Graph, dominators: &Dominators, block: Block) {
        while let Some(&(above, mark)) = self.open.last()
            && !dominators.dominates(above, block)
        {
            self.forget(mark);
            self.open.pop();
        }
        self.open.push((block, self.undo.len()));
        self.learn_edge(program, graph, block);
    }

    fn learn_edge(&mut self, program: &Program, graph: &Graph, block: Block) {
        let [from] = *graph.predecessors(block) else {
            return;
        };
        let mut edge = None;
        program[from].end.targets(|target| {
            if target.block == block {
                edge = Some(target);
            }
        });
        // The edge may have been folded or threaded away since; then it says nothing any more.
        let Some(edge) = edge else { return };
        for (&param, &arg) in program[block].params.iter().zip(&edge.args) {
            let range = self.range(arg);
            self.learn(param, range);
        }
        match &program[from].end {
            Terminator::Branch { cond, then, .. } => {
                self.assume(program, *cond, exactly(u64::from(then.block == block)));
            }
            Terminator::Switch { value, cases, .. } => {
                let case = cases.iter().find(|(_, _, target)| target.block == block);
                let known = self.range(*value);
                let range = case.map_or_else(|| outside(known, cases), |(first, last, _)| (*first, *last));
                self.assume(program, *value, range);
            }
            _ => {}
        }
    }

    /// Learns a value's range, and what follows for the values that it was made from.
    pub(super) fn assume(&mut self, program: &Program, value: Value, range: Range) {
        let mut left = vec![(value, range)];
        while let Some((value, range)) = left.pop() {
            let value = self.aliases.resolve(value);
            if self.ranges[value.index()] == range {
                continue;
            }
            self.learn(value, range);
            let (Some(truth), BOOL) = (single(range), program.type_of(value)) else {
                continue;
            };
            let Some(Def::Inst(block, index)) = self.defs[value.index()] else {
                continue;
            };
            match program[block].insts[index as usize].op {
                Op::Compare(relation, a, b) => {
                    let relation = if truth == 1 { relation } else { opposite(relation) };
                    let (range_a, range_b) = (self.range(a), self.range(b));
                    let (known_a, known_b) =
                        (given(relation, range_a, range_b), given(relation.mirrored(), range_b, range_a));
                    left.extend([(a, known_a), (b, known_b)]);
                }
                Op::Binary(BinaryOp::And, a, b) if truth == 1 => {
                    self.both(program, &mut left, a, b, exactly(1))
                }
                Op::Binary(BinaryOp::Or, a, b) if truth == 0 => {
                    self.both(program, &mut left, a, b, exactly(0))
                }
                _ => {}
            }
        }
    }

    fn both(&self, program: &Program, left: &mut Vec<(Value, Range)>, a: Value, b: Value, range: Range) {
        let bools = [a, b].into_iter().filter(|&value| program.type_of(value) == BOOL);
        left.extend(bools.map(|value| (value, range)));
    }

    /// Where an operation's result lies.
    pub(super) fn result_range(&self, op: &Op) -> Range {
        match *op {
            Op::Const(number) => exactly(number),
            Op::Binary(op, a, b) => binary_range(op, self.range(a), self.range(b)),
            Op::Compare(relation, a, b) => relation_holds(relation, self.range(a), self.range(b))
                .map_or((0, 1), |holds| exactly(u64::from(holds))),
            Op::Start => exactly(0),
            Op::Skip { cursor, bytes } => {
                binary_range(BinaryOp::Add, self.range(cursor), exactly(u64::from(bytes)))
            }
            Op::Detour { cursor, .. } => self.range(cursor),
            Op::Advance { cursor, by, .. } => binary_range(BinaryOp::Add, self.range(cursor), self.range(by)),
            Op::Offset(cursor) if self.range(cursor).1 <= 0xffff => self.range(cursor),
            _ => (0, u64::MAX),
        }
    }
}

/// What is known if no case holds: the ends that cases cover are cut off.
fn outside(known: Range, cases: &[(u64, u64, Target)]) -> Range {
    let (mut least, mut most) = known;
    for &(first, last, _) in cases {
        if first <= least && least <= last {
            least = last.saturating_add(1);
        }
    }
    for &(first, last, _) in cases.iter().rev() {
        if first <= most && most <= last {
            most = first.saturating_sub(1);
        }
    }
    if least <= most { (least, most) } else { known }
}

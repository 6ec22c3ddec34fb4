//! Switches: a balanced tree of comparisons, since eBPF has no jump tables.
//!
//! Ranges that touch and lead to the same place are one. Where some cases are cold and few are not, those few
//! are asked for first. Three or more small values that lead to the same place are bits of one number, so that
//! only one jump has to be guessed for all of them. Inner nodes halve the ranges; a leaf is a chain of equalities, or the comparisons of
//! one range that its path leaves open. A switch is one instruction to the register allocator, whatever its
//! size, and becomes jumps in emission.

use super::emit::Emitter;
use weir_bpf::asm::Label;
use weir_bpf::insn::{AluOp, Cond, Insn, Operand, Reg, Width};

/// A range, both ends in it, and the edge that it leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Case {
    pub(super) low: u64,
    pub(super) high: u64,
    pub(super) edge: u32,
    /// It leads to a block that is not run often.
    pub(super) cold: bool,
}

/// Where a step leads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum To {
    Edge(u32),
    Step(u32),
}

/// One jump of the tree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    If(Cond, u64, To),
    /// The value is the number of a bit that is set.
    In(u64, u32),
    Goto(u32),
}

/// The jumps of a switch, in order.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Tree {
    steps: Vec<Step>,
    default: u32,
    width: Width,
    /// The largest value.
    most: u64,
}

/// Up to so many single values are compared one by one.
const CHAIN: usize = 4;

/// So many values with the same target are asked for at once.
const BITS: u32 = 3;

/// Up to so many single values that are not cold are asked for before the others.
const FIRST: usize = 2;

impl Tree {
    /// `bits` is the value's width; `short` says that comparisons of 32 bits are there.
    pub(super) fn new(cases: Vec<Case>, default: u32, bits: u8, short: bool) -> Tree {
        let most = u64::MAX >> (64 - bits.clamp(1, 64));
        let width = if bits <= 32 && short { Width::W32 } else { Width::W64 };
        let mut tree = Tree { steps: Vec::new(), default, width, most };
        let cases = merged(cases, default, most);
        let is_first = |case: &Case| !case.cold && case.low == case.high;
        let (first, mut rest): (Vec<Case>, Vec<Case>) = cases.iter().partition(|case| is_first(case));
        match rest.is_empty() || first.len() > FIRST {
            true => rest = cases,
            false => first.iter().for_each(|case| tree.test(Cond::Eq, case.low, case.edge)),
        }
        if let Some((bits, edge)) = most_bits(&rest) {
            tree.steps.push(Step::In(bits, edge));
            rest.retain(|case| case.edge != edge || case.high >= u64::from(u64::BITS));
        }
        tree.node(&rest, 0, most);
        tree
    }

    /// Whether some step needs a register of its own: for bits, or a constant that fits no immediate.
    pub(super) fn needs_temporary(&self) -> bool {
        let mut steps = self.steps.iter();
        steps.any(|step| match step {
            Step::If(_, constant, _) => self.immediate(*constant).is_none(),
            Step::In(..) => true,
            Step::Goto(_) => false,
        })
    }

    /// The edges that are taken for some value.
    pub(super) fn edges(&self) -> impl Iterator<Item = u32> + '_ {
        self.steps.iter().filter_map(|step| match step {
            Step::If(_, _, To::Edge(edge)) | Step::In(_, edge) | Step::Goto(edge) => Some(*edge),
            Step::If(..) => None,
        })
    }

    fn immediate(&self, constant: u64) -> Option<i32> {
        match self.width {
            Width::W32 => u32::try_from(constant).ok().map(|imm| imm as i32),
            Width::W64 => i32::try_from(constant as i64).ok(),
        }
    }

    /// Decides between cases for a value known to be from `low` to `high`.
    fn node(&mut self, cases: &[Case], low: u64, high: u64) {
        match cases {
            [] => self.steps.push(Step::Goto(self.default)),
            [case] => self.range(*case, low, high),
            _ if cases.len() <= CHAIN && cases.iter().all(|case| case.low == case.high) => {
                for case in cases {
                    self.test(Cond::Eq, case.low, case.edge);
                }
                self.steps.push(Step::Goto(self.default));
            }
            _ => {
                let middle = cases.len() / 2;
                let pivot = cases[middle].low;
                let at = self.steps.len();
                self.steps.push(Step::If(Cond::Ge, pivot, To::Step(0)));
                self.node(&cases[..middle], low, pivot - 1);
                let right = To::Step(self.steps.len() as u32);
                self.steps[at] = Step::If(Cond::Ge, pivot, right);
                self.node(&cases[middle..], pivot, high);
            }
        }
    }

    fn range(&mut self, case: Case, low: u64, high: u64) {
        let (from_start, to_end) = (case.low <= low, case.high >= high);
        match (from_start, to_end) {
            (true, true) => return self.steps.push(Step::Goto(case.edge)),
            _ if case.low == case.high => self.test(Cond::Eq, case.low, case.edge),
            (true, false) => self.test(Cond::Le, case.high, case.edge),
            (false, true) => self.test(Cond::Ge, case.low, case.edge),
            (false, false) => {
                self.test(Cond::Lt, case.low, self.default);
                self.test(Cond::Le, case.high, case.edge);
            }
        }
        self.steps.push(Step::Goto(self.default));
    }

    fn test(&mut self, cond: Cond, constant: u64, edge: u32) {
        self.steps.push(Step::If(cond, constant, To::Edge(edge)));
    }
}

/// Of the cases below 64, the edge that most single values or ranges lead to, and their values as bits.
fn most_bits(cases: &[Case]) -> Option<(u64, u32)> {
    let small = || cases.iter().filter(|case| case.high < u64::from(u64::BITS));
    let count = |edge: u32| small().filter(|case| case.edge == edge).count() as u32;
    let edge = small().map(|case| case.edge).max_by_key(|edge| (count(*edge), std::cmp::Reverse(*edge)))?;
    let bits = |case: &Case| u64::MAX >> (63 - (case.high - case.low)) << case.low;
    let all = small().filter(|case| case.edge == edge).fold(0, |all, case| all | bits(case));
    (count(edge) >= BITS).then_some((all, edge))
}

/// Sorted, without what leads to the default or cannot be, neighbours joined.
fn merged(mut cases: Vec<Case>, default: u32, most: u64) -> Vec<Case> {
    cases.retain(|case| case.edge != default && case.low <= most);
    cases.sort_by_key(|case| case.low);
    let mut merged: Vec<Case> = Vec::with_capacity(cases.len());
    for case in cases {
        match merged.last_mut() {
            Some(last) if last.edge == case.edge && last.high.checked_add(1) == Some(case.low) => {
                last.high = case.high;
            }
            _ => merged.push(case),
        }
    }
    merged
}

impl Emitter<'_> {
    /// Jumps to one of `edges`; falls through to the edge `next` where that saves the last jump.
    pub(super) fn switch(
        &mut self,
        tree: &Tree,
        value: Reg,
        temporary: Option<Reg>,
        edges: &[Label],
        next: Option<u32>,
    ) {
        let mut places: Vec<Option<Label>> = vec![None; tree.steps.len()];
        let last = tree.steps.len() - 1;
        let falls = |edge: u32| next == Some(edge);
        for (nth, step) in tree.steps.iter().enumerate() {
            if let Some(label) = places[nth] {
                self.asm.bind(label);
            }
            match *step {
                // The last test leads to what follows: ask the opposite, and leave out the jump.
                Step::If(cond, constant, To::Edge(edge))
                    if nth + 1 == last && falls(edge) && places[last].is_none() =>
                {
                    let label = edges[tree.default as usize];
                    let operand = self.switch_constant(tree, constant, temporary);
                    let cond = cond.inverse().unwrap_or(cond);
                    return self.asm.branch(cond, tree.width, value, operand, label);
                }
                Step::If(cond, constant, to) => {
                    let label = match to {
                        To::Edge(edge) => edges[edge as usize],
                        To::Step(step) => *places[step as usize].get_or_insert_with(|| self.asm.label()),
                    };
                    let operand = self.switch_constant(tree, constant, temporary);
                    self.asm.branch(cond, tree.width, value, operand, label);
                }
                Step::In(bits, edge) => self.bits(tree, bits, value, temporary, edges[edge as usize]),
                Step::Goto(edge) if nth == last && falls(edge) => {}
                Step::Goto(edge) => self.asm.jump(edges[edge as usize]),
            }
        }
    }

    /// Jumps if the bit of the value's number is set.
    fn bits(&mut self, tree: &Tree, bits: u64, value: Reg, temporary: Option<Reg>, to: Label) {
        let temporary = temporary.expect("the tree asked for one");
        let beyond = self.asm.label();
        if tree.most >= u64::from(u64::BITS) {
            self.asm.branch(Cond::Gt, tree.width, value, (u64::BITS - 1) as i32, beyond);
        }
        self.asm.emit(Insn::load_constant(temporary, bits));
        self.asm.emit(Insn::alu(AluOp::Rsh, temporary, value));
        self.asm.branch(Cond::Set, Width::W64, temporary, 1, to);
        self.asm.bind(beyond);
    }

    fn switch_constant(&mut self, tree: &Tree, constant: u64, temporary: Option<Reg>) -> Operand {
        match (tree.immediate(constant), temporary) {
            (Some(imm), _) => Operand::Imm(imm),
            (None, Some(reg)) => {
                self.asm.emit(Insn::load_constant(reg, constant));
                Operand::Reg(reg)
            }
            (None, None) => Operand::Imm(constant as i32),
        }
    }
}

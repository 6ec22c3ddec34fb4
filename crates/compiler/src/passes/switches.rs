//! Chains of `branch x == c` and of switches on one value become one `switch`.
//!
//! A link is a block with nothing but pure operations that only it uses, so that looking at all
//! constants at once (the first of two equal ones wins) goes where trying them in turn goes.
//!
//! Earns: a tree of comparisons instead of a line of them.

use crate::ir::analysis::{Def, Graph, constants, definitions, used_elsewhere};
use crate::ir::{Block, Op, Program, Relation, Target, Terminator, Value};
use std::collections::BTreeMap;

/// Two comparisons are as fast in turn as in a tree.
const SHORTEST: usize = 3;

/// A link that other ways lead to as well is copied into every chain that goes through it: in a list
/// of n tests that can be entered anywhere that would be n² of them, so few are copied.
const COPIED: usize = 4;

/// The pass.
pub(super) fn switches(program: &mut Program) -> bool {
    let graph = Graph::new(program);
    let chains = Chains::new(program, &graph);
    let mut taken = vec![false; program.blocks.len()];
    let mut found = Vec::new();
    for &block in &graph.order {
        if taken[block.index()] {
            continue;
        }
        if let Some(end) = chains.follow(block, &mut taken) {
            found.push((block, end));
        }
    }
    let changed = !found.is_empty();
    found.into_iter().for_each(|(block, end)| program[block].end = end);
    changed
}

struct Chains<'a> {
    program: &'a Program,
    graph: &'a Graph,
    defs: Vec<Option<Def>>,
    constants: Vec<Option<u64>>,
    elsewhere: Vec<bool>,
}

/// What a block asks of a value.
struct Test<'a> {
    value: Value,
    /// Ranges and where they go.
    cases: Vec<(u64, u64, &'a Target)>,
    /// Where other values go.
    default: &'a Target,
}

impl<'a> Chains<'a> {
    fn new(program: &'a Program, graph: &'a Graph) -> Self {
        let defs = definitions(program);
        let elsewhere = used_elsewhere(program, &defs);
        Self { program, graph, constants: constants(program), defs, elsewhere }
    }

    fn test(&self, block: Block) -> Option<Test<'a>> {
        let (cond, then, other) = match &self.program[block].end {
            Terminator::Branch { cond, then, other } => (cond, then, other),
            Terminator::Switch { value, cases, default } => {
                let cases = cases.iter().map(|(low, high, target)| (*low, *high, target)).collect();
                return Some(Test { value: *value, cases, default });
            }
            _ => return None,
        };
        let Some(Def::Inst(home, index)) = self.defs[cond.index()] else {
            return None;
        };
        let Op::Compare(relation, value, to) = self.program[home].insts[index as usize].op else {
            return None;
        };
        let number = self.constants[to.index()]?;
        match relation {
            Relation::Eq => Some(Test { value, cases: vec![(number, number, then)], default: other }),
            Relation::Ne => Some(Test { value, cases: vec![(number, number, other)], default: then }),
            _ => None,
        }
    }

    /// Whether a block does nothing but test, so that it may be left out.
    fn is_link(&self, block: Block) -> bool {
        let data = &self.program[block];
        let mut results = data.insts.iter().filter_map(|inst| inst.result);
        let mut local = true;
        data.end.targets(|target| {
            local &= target.args.iter().all(|arg| self.defs[arg.index()].map(Def::block) != Some(block));
        });
        local
            && data.params.is_empty()
            && data.loop_bound.is_none()
            && data.insts.iter().all(|inst| inst.op.is_pure())
            && results.all(|result| !self.elsewhere[result.index()])
    }

    /// The switch for the chain that begins with a block's test.
    fn follow(&self, start: Block, taken: &mut [bool]) -> Option<Terminator> {
        let Test { value, cases, mut default } = self.test(start)?;
        let is_switch = |block: Block| matches!(self.program[block].end, Terminator::Switch { .. });
        let mut ranges = Ranges::default();
        cases.into_iter().for_each(|case| ranges.add(case));
        let mut links = Vec::new();
        let (mut copied, mut tests) = (0, if is_switch(start) { SHORTEST - 1 } else { 1 });
        while self.is_link(default.block)
            && let Some(test) = self.test(default.block)
            && test.value == value
        {
            copied += usize::from(self.graph.predecessors(default.block).len() > 1);
            if copied > COPIED {
                break;
            }
            links.push(default.block);
            tests += if is_switch(default.block) { SHORTEST - 1 } else { 1 };
            test.cases.into_iter().for_each(|case| ranges.add(case));
            default = test.default;
        }
        if links.is_empty() || tests < SHORTEST {
            return None;
        }
        links.iter().for_each(|link| taken[link.index()] = true);
        Some(Terminator::Switch { value, cases: ranges.joined(), default: default.clone() })
    }
}

/// Disjoint ranges of numbers, by their first, each with its last and its target.
#[derive(Default)]
struct Ranges<'a>(BTreeMap<u64, (u64, &'a Target)>);

impl<'a> Ranges<'a> {
    /// Adds what of a range is in none yet.
    fn add(&mut self, (low, high, target): (u64, u64, &'a Target)) {
        let mut next = Some(low);
        while let Some(start) = next.filter(|start| *start <= high) {
            let before = self.0.range(..=start).next_back().filter(|(_, (last, _))| *last >= start);
            if let Some((_, (last, _))) = before {
                next = last.checked_add(1);
                continue;
            }
            let end = self.0.range(start..=high).next().map_or(high, |(first, _)| first - 1);
            self.0.insert(start, (end, target));
            next = end.checked_add(1);
        }
    }

    /// Neighbours with one target as one range.
    fn joined(self) -> Vec<(u64, u64, Target)> {
        let mut ranges: Vec<(u64, u64, Target)> = Vec::new();
        for (low, (high, target)) in self.0 {
            match ranges.last_mut() {
                Some((_, last, same)) if *last + 1 == low && same == target => *last = high,
                _ => ranges.push((low, high, target.clone())),
            }
        }
        ranges
    }
}

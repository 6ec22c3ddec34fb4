//! Chains of `branch x == c` on one value become one `switch`.
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

/// A test of one number: the value, the number, where equal values go, where the others go.
type Test<'a> = (Value, u64, &'a Target, &'a Target);

impl<'a> Chains<'a> {
    fn new(program: &'a Program, graph: &'a Graph) -> Self {
        let defs = definitions(program);
        let elsewhere = used_elsewhere(program, &defs);
        Self { program, graph, constants: constants(program), defs, elsewhere }
    }

    fn test(&self, block: Block) -> Option<Test<'a>> {
        let Terminator::Branch { cond, then, other } = &self.program[block].end else {
            return None;
        };
        let Some(Def::Inst(home, index)) = self.defs[cond.index()] else {
            return None;
        };
        let Op::Compare(relation, value, to) = self.program[home].insts[index as usize].op else {
            return None;
        };
        let number = self.constants[to.index()]?;
        match relation {
            Relation::Eq => Some((value, number, then, other)),
            Relation::Ne => Some((value, number, other, then)),
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
        let (value, number, target, mut default) = self.test(start)?;
        let mut cases = BTreeMap::from([(number, target)]);
        let mut links = Vec::new();
        let mut copied = 0;
        while self.is_link(default.block)
            && let Some((same, number, target, next)) = self.test(default.block)
            && same == value
        {
            copied += usize::from(self.graph.predecessors(default.block).len() > 1);
            if copied > COPIED {
                break;
            }
            links.push(default.block);
            cases.entry(number).or_insert(target);
            default = next;
        }
        if links.len() + 1 < SHORTEST {
            return None;
        }
        links.iter().for_each(|link| taken[link.index()] = true);
        Some(Terminator::Switch { value, cases: ranges(cases), default: default.clone() })
    }
}

/// Neighbouring numbers with one target become a range.
fn ranges(cases: BTreeMap<u64, &Target>) -> Vec<(u64, u64, Target)> {
    let mut ranges: Vec<(u64, u64, Target)> = Vec::new();
    for (number, target) in cases {
        match ranges.last_mut() {
            Some((_, last, same)) if *last + 1 == number && same == target => *last = number,
            _ => ranges.push((number, number, target.clone())),
        }
    }
    ranges
}

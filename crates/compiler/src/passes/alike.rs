//! Of blocks that do the same, all but one go.
//!
//! Earns: headers that nothing asks for are told apart no longer where they are walked over alike (IPv6 options,
//! routing headers): one jump that is hard to guess for several, a smaller program, and fewer ways for the
//! kernel's verifier.

use super::edit::remove_unreachable;
use crate::hash::{FastHasher, FastMap};
use crate::ir::analysis::{Graph, use_counts};
use crate::ir::{Block, Op, Program, Target, Terminator, Type, Value};
use std::hash::{Hash, Hasher};

/// Larger trees are not compared: what is alike in them is found in their parts.
const MOST_BLOCKS: usize = 8;

/// Numbers from here on stand for what a tree defines itself.
const OWN: u32 = 1 << 31;

/// The pass.
pub(super) fn alike(program: &mut Program) -> bool {
    let graph = Graph::new(program);
    let uses = use_counts(program);
    let mut found =
        Found { stands_for: program.block_ids().collect(), shared: vec![false; program.blocks.len()] };
    let mut seen: FastMap<Vec<Shape>, Block> = FastMap::default();
    let marks = marks(program, &graph);
    let mut of_mark: FastMap<u64, u32> = FastMap::default();
    graph.order.iter().for_each(|block| *of_mark.entry(marks[block.index()]).or_default() += 1);
    let has_peer = |block: Block| block != Block(0) && of_mark[&marks[block.index()]] > 1;
    // What follows a block comes before it, so that equal ends are one already.
    for &block in graph.order.iter().rev().filter(|block| has_peer(**block)) {
        let Some(shape) = Tree::new(program, &graph, &uses, &found).shape(block) else { continue };
        match seen.get(&shape) {
            Some(&same) => {
                found.stands_for[block.index()] = same;
                found.shared[same.index()] = true;
            }
            None => {
                seen.insert(shape, block);
            }
        }
    }
    let mut changed = false;
    for block in program.block_ids() {
        let same = found.stands_for[block.index()];
        if same != block {
            changed = true;
            program[same].cold &= program[block].cold;
        }
    }
    if changed {
        for block in &mut program.blocks {
            block.end.targets_mut(|target| target.block = found.stands_for[target.block.index()]);
        }
        remove_unreachable(program);
    }
    changed
}

/// By block a number that blocks have in common if they do the same: nearly all that do not are told apart by it, and
/// need no shape.
fn marks(program: &Program, graph: &Graph) -> Vec<u64> {
    let mut marks = vec![0; program.blocks.len()];
    for &block in graph.order.iter().rev() {
        let mut hasher = FastHasher::default();
        for inst in &program[block].insts {
            let mut op = inst.op.clone();
            op.operands_mut(|value| *value = Value(0));
            op.hash(&mut hasher);
        }
        std::mem::discriminant(&program[block].end).hash(&mut hasher);
        // What back edges lead to has none yet.
        graph.successors(block).iter().for_each(|to| marks[to.index()].hash(&mut hasher));
        marks[block.index()] = hasher.finish();
    }
    marks
}

/// What was found so far.
struct Found {
    /// By block, itself if it stays.
    stands_for: Vec<Block>,
    /// Blocks that others than those of the graph lead to as well.
    shared: Vec<bool>,
}

/// A block, whatever its own values are called.
#[derive(PartialEq, Eq, Hash)]
struct Shape {
    params: Vec<Type>,
    insts: Vec<(Op, Option<Type>)>,
    end: Terminator,
}

/// A block and those that only it leads to, and so on.
struct Tree<'a> {
    program: &'a Program,
    graph: &'a Graph,
    uses: &'a [u32],
    found: &'a Found,
    blocks: Vec<Block>,
    /// Its own values, in the order in which they are defined.
    values: FastMap<Value, u32>,
    /// How often it uses them.
    used: Vec<u32>,
}

impl<'a> Tree<'a> {
    fn new(program: &'a Program, graph: &'a Graph, uses: &'a [u32], found: &'a Found) -> Self {
        Self { program, graph, uses, found, blocks: Vec::new(), values: FastMap::default(), used: Vec::new() }
    }

    /// What it does; `None` if it is too large, a loop, or what others use is defined in it.
    fn shape(mut self, root: Block) -> Option<Vec<Shape>> {
        self.blocks.push(root);
        let (mut shapes, mut next) = (Vec::new(), 0);
        while let Some(&block) = self.blocks.get(next) {
            next += 1;
            if self.program[block].loop_bound.is_some() {
                return None;
            }
            shapes.push(self.block(block)?);
        }
        let own = self.values.iter();
        own.map(|(value, number)| (value.index(), *number as usize))
            .all(|(value, number)| self.uses[value] == self.used[number])
            .then_some(shapes)
    }

    fn block(&mut self, block: Block) -> Option<Shape> {
        let data = &self.program[block];
        data.params.iter().for_each(|param| self.define(*param));
        let mut insts = Vec::with_capacity(data.insts.len());
        for inst in &data.insts {
            let mut op = inst.op.clone();
            op.operands_mut(|value| self.rename(value));
            insts.push((op, inst.result.map(|result| self.program.type_of(result))));
            inst.result.into_iter().for_each(|result| self.define(result));
        }
        let mut end = data.end.clone();
        end.operands_mut(|value| self.rename(value));
        let mut fits = true;
        end.targets_mut(|target| fits &= self.target(block, target));
        let params = data.params.iter().map(|param| self.program.type_of(*param)).collect();
        fits.then_some(Shape { params, insts, end })
    }

    /// Calls a target by its place in the tree, or by the block that stands for it; whether the tree stays small.
    fn target(&mut self, from: Block, target: &mut Target) -> bool {
        let to = target.block;
        let same = self.found.stands_for[to.index()];
        let own = same == to && !self.found.shared[to.index()] && self.graph.predecessors(to) == [from];
        target.block = match own {
            true => {
                self.blocks.push(to);
                Block(OWN + self.blocks.len() as u32)
            }
            false => same,
        };
        self.blocks.len() <= MOST_BLOCKS && !self.graph.goes_back(from, to)
    }

    fn define(&mut self, value: Value) {
        self.values.insert(value, self.used.len() as u32);
        self.used.push(0);
    }

    fn rename(&mut self, value: &mut Value) {
        if let Some(number) = self.values.get(value) {
            self.used[*number as usize] += 1;
            *value = Value(OWN + number);
        }
    }
}

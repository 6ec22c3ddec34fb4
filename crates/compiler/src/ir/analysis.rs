//! What passes and code generation ask about a program: the graph's edges and order, dominators,
//! definitions and uses, live values. Each is computed in (nearly) linear time, without recursion.

use super::{Block, Op, Program, Value};

/// The edges of a program and the order in which a walk from the entry meets its blocks.
#[derive(Clone, Debug)]
pub struct Graph {
    succs: Edges,
    preds: Edges,
    /// Reachable blocks in reverse postorder: each stands behind all that lead to it, but for back edges.
    pub order: Vec<Block>,
    /// Place of each block in `order`; `u32::MAX` for one that cannot be reached.
    pub place: Vec<u32>,
}

impl Graph {
    /// The graph of a program.
    pub fn new(program: &Program) -> Self {
        let succs = Edges::forward(program);
        let order = reverse_postorder(&succs);
        let mut place = vec![u32::MAX; program.blocks.len()];
        for (index, block) in order.iter().enumerate() {
            place[block.index()] = index as u32;
        }
        let preds = succs.reversed(&order);
        Self { succs, preds, order, place }
    }

    /// The blocks that a block leads to, one entry for each edge.
    pub fn successors(&self, block: Block) -> &[Block] {
        self.succs.of(block)
    }

    /// The reachable blocks that lead to a block, one entry for each edge.
    pub fn predecessors(&self, block: Block) -> &[Block] {
        self.preds.of(block)
    }

    /// Whether the entry leads to a block.
    pub fn is_reachable(&self, block: Block) -> bool {
        self.place[block.index()] != u32::MAX
    }

    /// Whether the edge goes back in the order, as only the edges that close loops do.
    pub fn goes_back(&self, from: Block, to: Block) -> bool {
        self.place[to.index()] <= self.place[from.index()]
    }
}

/// The other ends of each block's edges, in one list: walks over large programs stay in the cache.
#[derive(Clone, Debug)]
struct Edges {
    /// Where each block's begin, and where the last one's end.
    starts: Vec<u32>,
    ends: Vec<Block>,
}

impl Edges {
    fn of(&self, block: Block) -> &[Block] {
        &self.ends[self.starts[block.index()] as usize..self.starts[block.index() + 1] as usize]
    }

    fn forward(program: &Program) -> Self {
        let mut edges = Self { starts: Vec::with_capacity(program.blocks.len() + 1), ends: Vec::new() };
        edges.starts.push(0);
        for block in &program.blocks {
            block.end.targets(|target| edges.ends.push(target.block));
            edges.starts.push(edges.ends.len() as u32);
        }
        edges
    }

    /// The edges that leave the given blocks, by where they lead.
    fn reversed(&self, blocks: &[Block]) -> Self {
        let mut starts = vec![0; self.starts.len()];
        for &block in blocks {
            self.of(block).iter().for_each(|to| starts[to.index() + 1] += 1);
        }
        for index in 1..starts.len() {
            starts[index] += starts[index - 1];
        }
        let mut next = starts.clone();
        let mut ends = vec![Block(0); starts[starts.len() - 1] as usize];
        for &block in blocks {
            for to in self.of(block) {
                ends[next[to.index()] as usize] = block;
                next[to.index()] += 1;
            }
        }
        Self { starts, ends }
    }
}

fn reverse_postorder(succs: &Edges) -> Vec<Block> {
    let count = succs.starts.len() - 1;
    let mut seen = vec![false; count];
    let mut order = Vec::with_capacity(count);
    // Each block with its targets that are still to be looked at; they are taken from the back, so
    // that the first one comes first in the reversed order.
    let mut stack = vec![(Block(0), succs.of(Block(0)))];
    seen[0] = true;
    while let Some((block, left)) = stack.last_mut() {
        let Some((&next, others)) = left.split_last() else {
            order.push(*block);
            stack.pop();
            continue;
        };
        *left = others;
        if !std::mem::replace(&mut seen[next.index()], true) {
            stack.push((next, succs.of(next)));
        }
    }
    order.reverse();
    order
}

/// Which blocks every way to a block goes through (Lengauer and Tarjan's algorithm, with path
/// compression: long chains that all lead to one block must not cost their square).
#[derive(Clone, Debug)]
pub struct Dominators {
    idom: Vec<Option<Block>>,
    spans: Vec<(u32, u32)>,
    /// Reachable blocks, each behind the one that immediately dominates it, subtree by subtree.
    pub preorder: Vec<Block>,
}

impl Dominators {
    /// The dominators of a graph.
    pub fn new(graph: &Graph) -> Self {
        let idom = LengauerTarjan::new(graph).run(graph);
        let (preorder, spans) = number_tree(&idom, graph);
        Self { idom, spans, preorder }
    }

    /// The last block before `block` that every way to it goes through.
    pub fn immediate(&self, block: Block) -> Option<Block> {
        self.idom[block.index()]
    }

    /// Whether every way to `b` goes through `a` (a block dominates itself).
    pub fn dominates(&self, a: Block, b: Block) -> bool {
        let ((first, last), (at, _)) = (self.spans[a.index()], self.spans[b.index()]);
        first <= at && at < last
    }
}

/// Numbers the dominator tree so that a subtree is a range.
fn number_tree(idom: &[Option<Block>], graph: &Graph) -> (Vec<Block>, Vec<(u32, u32)>) {
    let mut sizes = vec![1u32; idom.len()];
    for &block in graph.order.iter().rev() {
        if let Some(parent) = idom[block.index()] {
            sizes[parent.index()] += sizes[block.index()];
        }
    }
    let mut preorder = vec![Block(0); graph.order.len()];
    let mut spans = vec![(u32::MAX, 0); idom.len()];
    let mut next = vec![0u32; idom.len()];
    for &block in &graph.order {
        let at = idom[block.index()].map_or(0, |parent| next[parent.index()]);
        if let Some(parent) = idom[block.index()] {
            next[parent.index()] += sizes[block.index()];
        }
        spans[block.index()] = (at, at + sizes[block.index()]);
        next[block.index()] = at + 1;
        preorder[at as usize] = block;
    }
    (preorder, spans)
}

/// Nodes are numbered in the order of a depth-first walk; the names are the paper's.
struct LengauerTarjan {
    vertex: Vec<Block>,
    number: Vec<u32>,
    parent: Vec<u32>,
    semi: Vec<u32>,
    ancestor: Vec<u32>,
    label: Vec<u32>,
    /// What [`Self::eval`] works in.
    path: Vec<u32>,
}

const NONE: u32 = u32::MAX;

impl LengauerTarjan {
    fn new(graph: &Graph) -> Self {
        let mut number = vec![NONE; graph.place.len()];
        let (mut vertex, mut parent) = (Vec::new(), Vec::new());
        let mut stack = vec![(Block(0), NONE)];
        while let Some((block, from)) = stack.pop() {
            if number[block.index()] != NONE {
                continue;
            }
            let at = vertex.len() as u32;
            number[block.index()] = at;
            vertex.push(block);
            parent.push(from);
            stack.extend(graph.successors(block).iter().map(|&next| (next, at)));
        }
        let all: Vec<u32> = (0..vertex.len() as u32).collect();
        let ancestor = vec![NONE; all.len()];
        Self { number, parent, semi: all.clone(), ancestor, label: all, vertex, path: Vec::new() }
    }

    fn run(mut self, graph: &Graph) -> Vec<Option<Block>> {
        let count = self.vertex.len();
        // Lists of the nodes that have the same semidominator: the first of each, and what follows each.
        let (mut first, mut follows) = (vec![NONE; count], vec![NONE; count]);
        let mut idom = vec![NONE; count];
        for w in (1..count).rev() {
            for pred in graph.predecessors(self.vertex[w]) {
                let u = self.eval(self.number[pred.index()]);
                self.semi[w] = self.semi[w].min(self.semi[u as usize]);
            }
            follows[w] = std::mem::replace(&mut first[self.semi[w] as usize], w as u32);
            let parent = self.parent[w];
            self.ancestor[w] = parent;
            let mut v = std::mem::replace(&mut first[parent as usize], NONE);
            while v != NONE {
                let u = self.eval(v);
                idom[v as usize] = if self.semi[u as usize] < self.semi[v as usize] { u } else { parent };
                v = follows[v as usize];
            }
        }
        for w in 1..count {
            if idom[w] != self.semi[w] {
                idom[w] = idom[idom[w] as usize];
            }
        }
        let mut blocks = vec![None; self.number.len()];
        for w in 1..count {
            blocks[self.vertex[w].index()] = Some(self.vertex[idom[w] as usize]);
        }
        blocks
    }

    /// The node with the least semidominator on the way up from `v`.
    fn eval(&mut self, v: u32) -> u32 {
        if self.ancestor[v as usize] == NONE {
            return v;
        }
        let mut at = v;
        while self.ancestor[self.ancestor[at as usize] as usize] != NONE {
            self.path.push(at);
            at = self.ancestor[at as usize];
        }
        while let Some(node) = self.path.pop() {
            let above = self.ancestor[node as usize] as usize;
            if self.semi[self.label[above] as usize] < self.semi[self.label[node as usize] as usize] {
                self.label[node as usize] = self.label[above];
            }
            self.ancestor[node as usize] = self.ancestor[above];
        }
        self.label[v as usize]
    }
}

/// Where a value comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Def {
    /// A block's parameter.
    Param(Block, u32),
    /// An instruction's result.
    Inst(Block, u32),
}

impl Def {
    /// The block that defines the value.
    pub fn block(self) -> Block {
        match self {
            Def::Param(block, _) | Def::Inst(block, _) => block,
        }
    }
}

/// Where each value comes from; `None` for one that nothing defines.
pub fn definitions(program: &Program) -> Vec<Option<Def>> {
    let mut defs = vec![None; program.values.len()];
    for block in program.block_ids() {
        for (index, param) in program[block].params.iter().enumerate() {
            defs[param.index()] = Some(Def::Param(block, index as u32));
        }
        for (index, inst) in program[block].insts.iter().enumerate() {
            if let Some(result) = inst.result {
                defs[result.index()] = Some(Def::Inst(block, index as u32));
            }
        }
    }
    defs
}

/// The number of each value that is a constant.
pub fn constants(program: &Program) -> Vec<Option<u64>> {
    let mut constants = vec![None; program.values.len()];
    for inst in program.blocks.iter().flat_map(|block| &block.insts) {
        if let (Op::Const(number), Some(result)) = (&inst.op, inst.result) {
            constants[result.index()] = Some(*number);
        }
    }
    constants
}

/// How often each value is an operand.
pub fn use_counts(program: &Program) -> Vec<u32> {
    let mut counts = vec![0; program.values.len()];
    for block in &program.blocks {
        block.insts.iter().for_each(|inst| inst.op.operands(|value| counts[value.index()] += 1));
        block.end.operands(|value| counts[value.index()] += 1);
    }
    counts
}

/// For each value whether a block other than the one that defines it uses it.
pub fn used_elsewhere(program: &Program, defs: &[Option<Def>]) -> Vec<bool> {
    let mut elsewhere = vec![false; program.values.len()];
    for block in program.block_ids() {
        let mut note = |value: Value| {
            if defs[value.index()].map(Def::block) != Some(block) {
                elsewhere[value.index()] = true;
            }
        };
        program[block].insts.iter().for_each(|inst| inst.op.operands(&mut note));
        program[block].end.operands(&mut note);
    }
    elsewhere
}

/// The values that are alive where a block begins (its parameters not among them), sorted.
///
/// Found by walking up from each use to the definition, so the time is that of the answer's size.
pub fn live_in(program: &Program, graph: &Graph, defs: &[Option<Def>]) -> Vec<Vec<Value>> {
    let mut users: Vec<Vec<Block>> = vec![Vec::new(); program.values.len()];
    for &block in &graph.order {
        let mut note = |value: Value| {
            if users[value.index()].last() != Some(&block) {
                users[value.index()].push(block);
            }
        };
        program[block].insts.iter().for_each(|inst| inst.op.operands(&mut note));
        program[block].end.operands(&mut note);
    }
    let mut live: Vec<Vec<Value>> = vec![Vec::new(); program.blocks.len()];
    for (index, stack) in users.iter_mut().enumerate() {
        let value = Value(index as u32);
        let Some(home) = defs[index].map(Def::block) else {
            continue;
        };
        while let Some(block) = stack.pop() {
            if block == home || live[block.index()].last() == Some(&value) {
                continue;
            }
            live[block.index()].push(value);
            stack.extend(graph.predecessors(block));
        }
    }
    live
}

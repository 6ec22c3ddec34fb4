//! What the kernel's verifier has to go through, as an estimate.
//!
//! The verifier follows every way through a program with all that it knows on it, and leaves one only where it
//! comes to a place that it has been at knowing no more of what matters there (`is_state_visited`,
//! kernel/bpf/verifier.c). What matters is what some comparison behind the place was foretold by. It gives up after
//! a million instructions, or when so many ways wait for it ([`MOST_PENDING`]). This is the same walk over blocks:
//! what is known are the ranges of the values that several tests look at, and a block counts for the
//! instructions that it will about be.
//!
//! Not modelled: what is known of pointers (lowering takes detours for that), and of results of arithmetic.

mod asked;
mod known;
mod weight;

use super::analysis::{Def, Graph, definitions};
use super::{Block, Line, Program, Target, Terminator};
use asked::{Test, Tests};
use known::{Key, Known, Range};

/// The verifier gives up after so many instructions (`BPF_COMPLEXITY_LIMIT_INSNS`).
pub const MOST_STEPS: u64 = 1_000_000;

/// It keeps so many ways for later (`BPF_COMPLEXITY_LIMIT_JMP_SEQ`).
pub const MOST_PENDING: usize = 8_192;

/// What the verifier has to go through.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Effort {
    /// Instructions, with repetitions; far beyond [`MOST_STEPS`] the count was given up.
    pub steps: u64,
    /// What it would be if it went through each block once.
    pub once: u64,
    /// How many ways wait at most while it follows one.
    pub pending: usize,
    /// How often a value was why a place had to be gone through again, by [`Value`](super::Value).
    pub blame: Vec<u32>,
    /// Values that foretold some test, by [`Value`](super::Value).
    pub foretold: Vec<bool>,
    /// The line of the policy in whose blocks most steps were.
    pub line: Line,
}

/// A place forgets a visit that more than so many ways were compared with in vain; each way that ended there allows so many
/// more.
const MISSES: u32 = 3;

impl Effort {
    /// Goes through a program as the verifier would.
    pub fn of(program: &Program) -> Effort {
        Effort::up_to(program, MOST_STEPS)
    }

    /// The same, given up when it goes through blocks again for so many steps.
    pub fn up_to(program: &Program, again: u64) -> Effort {
        let walk = Walk::new(program);
        let most = walk.effort.once + again;
        walk.run(most)
    }

    /// The steps in blocks that it has been in before.
    pub fn again(&self) -> u64 {
        self.steps.saturating_sub(self.once)
    }
}

/// A place that was gone through.
struct Visit {
    number: usize,
    /// What was known of what mattered behind it, sorted.
    known: Vec<(Key, Range)>,
    /// How many ways ended here because of it, and how many did not.
    hits: u32,
    misses: u32,
}

/// The visits of a place that it remembers, the last one at the end.
#[derive(Default)]
struct Place {
    visits: Vec<Visit>,
    count: usize,
}

/// A way on, and what is known on it besides.
struct Edge<'a> {
    target: &'a Target,
    learned: Option<(Key, Range)>,
}

impl Place {
    /// Remembers a visit, behind those that began before it.
    fn went_through(&mut self, number: usize, known: Vec<(Key, Range)>) {
        let at = self.visits.partition_point(|visit| visit.number < number);
        self.visits.insert(at, Visit { number, known, hits: 0, misses: 0 });
    }
}

struct Frame<'a> {
    block: Block,
    /// How it was come to.
    via: Option<&'a Target>,
    /// Edges that are still to be followed, the next one last.
    edges: Vec<Edge<'a>>,
    /// Where its visit is kept, if ways meet here.
    visit: Option<usize>,
    /// What mattered behind it so far, sorted.
    mattered: Vec<Key>,
    /// How much had been learned before it was come to.
    before: usize,
}

struct Walk<'a> {
    program: &'a Program,
    graph: Graph,
    definitions: Vec<Option<Def>>,
    tests: Tests,
    /// What is known where the walk is.
    known: Known,
    weights: Vec<u64>,
    places: Vec<Place>,
    /// Steps by line.
    lines: Vec<u64>,
    effort: Effort,
}

impl<'a> Walk<'a> {
    fn new(program: &'a Program) -> Self {
        let graph = Graph::new(program);
        let (tests, known) = asked::of(program, &graph);
        let weights = weight::weights(program, &graph);
        let places = program.blocks.iter().map(|_| Place::default()).collect();
        let values = program.values.len();
        let functions = weight::functions(program);
        let effort = Effort {
            steps: functions,
            once: functions + graph.order.iter().map(|block| weights[block.index()]).sum::<u64>(),
            pending: 0,
            blame: vec![0; values],
            foretold: vec![false; values],
            line: Line(0),
        };
        let lines = vec![0; program.lines.len().max(1)];
        let definitions = definitions(program);
        Self { program, graph, definitions, tests, known, weights, places, lines, effort }
    }

    fn run(mut self, most: u64) -> Effort {
        let mut frames = Vec::new();
        let mut pending = 0;
        self.enter(Block(0), None, 0, &mut frames);
        while let Some(frame) = frames.last_mut() {
            if let Some(Edge { target, learned }) = frame.edges.pop() {
                pending += frame.edges.len();
                self.effort.pending = self.effort.pending.max(pending);
                pending -= frame.edges.len();
                if self.graph.goes_back(frame.block, target.block) {
                    continue;
                }
                let before = self.known.learned();
                self.go_along(target, learned);
                match self.was_here(target.block) {
                    Some(visit) => {
                        self.known.unlearn(before);
                        let visit = &self.places[target.block.index()].visits[visit];
                        self.matter(frame, target, visit.known.iter().map(|(key, _)| *key));
                    }
                    None => {
                        pending += frame.edges.len();
                        self.enter(target.block, Some(target), before, &mut frames);
                    }
                }
                if self.effort.steps > most {
                    break;
                }
                continue;
            }
            let Some(done) = frames.pop() else { break };
            if let Some(visit) = done.visit {
                let known = done.mattered.iter().map(|key| (*key, self.known.range(*key)));
                self.places[done.block.index()].went_through(visit, known.collect());
            }
            self.known.unlearn(done.before);
            if let (Some(parent), Some(target)) = (frames.last_mut(), done.via) {
                pending -= parent.edges.len();
                self.matter(parent, target, done.mattered.iter().copied());
            }
        }
        let most = (1..self.lines.len()).max_by_key(|line| self.lines[*line]);
        self.effort.line = Line(most.unwrap_or(0) as u32);
        self.effort
    }

    fn enter(&mut self, block: Block, via: Option<&'a Target>, before: usize, frames: &mut Vec<Frame<'a>>) {
        self.effort.steps += self.weights[block.index()];
        self.lines[self.program[block].end_line.index()] += self.weights[block.index()];
        let visit = (self.graph.predecessors(block).len() > 1).then(|| {
            let place = &mut self.places[block.index()];
            place.count += 1;
            place.count
        });
        let (edges, foretold) = self.edges(block);
        if let Some(key) = foretold {
            self.effort.foretold[self.known.value(key).index()] = true;
        }
        let mattered = Vec::from_iter(foretold);
        frames.push(Frame { block, via, edges, visit, mattered, before });
    }

    /// Learns what is known where an edge leads.
    fn go_along(&mut self, target: &Target, learned: Option<(Key, Range)>) {
        if let Some((key, range)) = learned {
            self.known.learn(key, range);
        }
        for (param, arg) in self.program[target.block].params.iter().zip(&target.args) {
            let range = self.known.range(self.known.whole(*arg));
            if range != (0, self.program.type_of(*param).max()) {
                self.known.learn(self.known.whole(*param), range);
            }
        }
    }

    /// The visit of a place at which no more was known than is known now.
    fn was_here(&mut self, block: Block) -> Option<usize> {
        let known = &self.known;
        let more = |(key, before): &(Key, Range)| {
            let now = known.range(*key);
            now.0 < before.0 || now.1 > before.1
        };
        let place = &mut self.places[block.index()];
        let (mut blamed, mut found) = (None, None);
        // What told the last visit apart mostly tells the next one apart.
        let mut told = 0;
        for visit in place.visits.iter_mut().rev() {
            if blamed.is_none() || !visit.known.get(told).is_some_and(more) {
                match visit.known.iter().position(more) {
                    None => {
                        visit.hits += 1;
                        found = Some(visit.number);
                        break;
                    }
                    Some(at) => {
                        told = at;
                        blamed = blamed.or(Some(visit.known[at].0));
                    }
                }
            }
            visit.misses += 1;
        }
        place.visits.retain(|visit| visit.misses <= MISSES * (visit.hits + 1));
        if let Some(key) = blamed.filter(|_| found.is_none()) {
            self.effort.blame[known.value(key).index()] += 1;
        }
        place.visits.iter().position(|visit| Some(visit.number) == found)
    }

    /// Hands what mattered behind an edge on to the block before it, where nothing is known yet of what is defined
    /// behind the edge.
    fn matter(&self, frame: &mut Frame<'a>, target: &Target, behind: impl Iterator<Item = Key> + Clone) {
        let before = |key: Key| match self.definitions[self.known.value(key).index()] {
            Some(Def::Inst(block, _)) if block == target.block => None,
            Some(Def::Param(block, nth)) if block == target.block => {
                self.known.same_of(key, target.args[nth as usize])
            }
            _ => Some(key),
        };
        let behind = behind.filter_map(before);
        // Mostly all of it is there already.
        let mut there = frame.mattered.iter();
        if behind.clone().all(|key| there.any(|other| *other == key)) {
            return;
        }
        frame.mattered.extend(behind);
        frame.mattered.sort();
        frame.mattered.dedup();
    }

    /// The ways on from a block, the first one last; and what foretold that others are none.
    fn edges(&self, block: Block) -> (Vec<Edge<'a>>, Option<Key>) {
        let way = |target| Edge { target, learned: None };
        match &self.program[block].end {
            Terminator::Return { .. }
            | Terminator::Decap { .. }
            | Terminator::Refuse(_)
            | Terminator::Echo(_)
            | Terminator::SynAck(_) => (Vec::new(), None),
            Terminator::Jump(target) | Terminator::Match { otherwise: target, .. } => {
                (vec![way(target)], None)
            }
            Terminator::Fits { then, other, .. } => (vec![way(other), way(then)], None),
            Terminator::Send(send) => (vec![way(&send.long), way(&send.unreachable)], None),
            Terminator::Forward(forward) => (vec![way(&forward.long), way(&forward.unreachable)], None),
            Terminator::Branch { then, other, .. } => match self.tests.of(block) {
                None => (vec![way(then), way(other)], None),
                Some(test) => self.branch(test, then, other),
            },
            Terminator::Switch { value, cases, default } => {
                self.cases(self.known.whole(*value), self.program.type_of(*value).max(), cases, default)
            }
        }
    }

    fn branch(&self, test: &Test, then: &'a Target, other: &'a Target) -> (Vec<Edge<'a>>, Option<Key>) {
        let range = self.known.range(test.key);
        let way = |target, range| Edge { target, learned: Some((test.key, range)) };
        match (test.narrow(range, true), test.narrow(range, false)) {
            (Some(yes), Some(no)) => {
                let mut ways = vec![way(then, yes), way(other, no)];
                // The one that the code falls through to is gone through first.
                if self.falls_through(then, other) {
                    ways.reverse();
                }
                (ways, None)
            }
            (yes, _) => {
                let target = if yes.is_some() { then } else { other };
                (vec![Edge { target, learned: None }], Some(test.key))
            }
        }
    }

    /// Whether the code is laid out so that the way on is there where the test holds: `codegen/layout.rs`.
    fn falls_through(&self, then: &Target, other: &Target) -> bool {
        let last = |target: &Target| {
            let block = &self.program[target.block];
            (block.cold, !block.likely, self.graph.predecessors(target.block).len() > 1)
        };
        last(then) < last(other)
    }

    /// The ways on from a tree of comparisons, in each of whose leaves a range is known.
    fn cases(
        &self,
        key: Key,
        max: u64,
        cases: &'a [(u64, u64, Target)],
        default: &'a Target,
    ) -> (Vec<Edge<'a>>, Option<Key>) {
        let (low, high) = self.known.range(key);
        let open = cases.iter().filter(|case| case.0 <= high && case.1 >= low);
        let open: Vec<Case<'a>> =
            open.map(|(first, last, target)| ((*first).max(low), (*last).min(high), target)).collect();
        let mut leaves = Vec::new();
        leaves_of(&open, default, (low, high), &mut leaves);
        let way = |(target, range)| Edge { target, learned: Some((key, range)) };
        (leaves.into_iter().rev().map(way).collect(), ((low, high) != (0, max)).then_some(key))
    }
}

/// Values from the first to the last, and where they lead.
type Case<'a> = (u64, u64, &'a Target);

/// The leaves of the comparisons that a switch becomes (`codegen/switch.rs`), in the order in which the verifier comes to them,
/// and what it knows in each: of a value that is not one of the middle it knows nothing.
fn leaves_of<'a>(
    cases: &[Case<'a>],
    default: &'a Target,
    (low, high): Range,
    leaves: &mut Vec<(&'a Target, Range)>,
) {
    let single = |case: &Case<'_>| case.0 == case.1;
    match cases {
        [] => leaves.push((default, (low, high))),
        [(first, last, target)] if first < last => {
            leaves.push((target, (*first, *last)));
            leaves.extend((*last < high).then(|| (default, (last + 1, high))));
            leaves.extend((low < *first).then(|| (default, (low, first - 1))));
        }
        few if few.len() <= CHAIN && few.iter().all(single) => {
            let ends = |value: u64| few.iter().any(|case| case.0 == value);
            let rest = || (default, (low + u64::from(ends(low)), high - u64::from(ends(high))));
            let values = few.iter().rev().map(|(value, _, target)| (*target, (*value, *value)));
            let rest = (high - low >= few.len() as u64).then(rest);
            match few.len() {
                1 => leaves.extend(values.chain(rest)),
                _ => leaves.extend(rest.into_iter().chain(values)),
            }
        }
        many => {
            let (left, right) = many.split_at(many.len() / 2);
            let pivot = right[0].0;
            if pivot > low {
                leaves_of(left, default, (low, pivot - 1), leaves);
            }
            leaves_of(right, default, (pivot.max(low), high), leaves);
        }
    }
}

/// So many single values are asked for one after the other, as `codegen/switch.rs` does.
const CHAIN: usize = 4;

//! How many bytes behind each cursor are inside the frame: what `fits` has proved so far.

use super::analysis::Graph;
use super::{Block, Program, Target, Terminator, Value};

/// Proved bytes by cursor, sorted by cursor; a cursor that is missing has none.
type Facts = Vec<(Value, u16)>;

/// What is proved where each block begins (and so, in all of it).
///
/// A forward dataflow: an edge adds what its `fits` proves and hands the arguments' facts on to the
/// parameters; where edges meet, what all of them have is kept. A block knows few cursors, the
/// headers on the way to it, so the facts of all blocks are small.
#[derive(Clone, Debug)]
pub struct Reach {
    facts: Vec<Option<Facts>>,
}

impl Reach {
    /// The facts of a program.
    pub fn new(program: &Program, graph: &Graph) -> Self {
        let mut reach = Self { facts: vec![None; program.blocks.len()] };
        reach.facts[0] = Some(Vec::new());
        // In reverse postorder one round is enough, except where an edge goes back.
        while reach.round(program, graph) {}
        reach
    }

    /// How many bytes behind the cursor are proved to be inside the frame in a block.
    pub fn at(&self, block: Block, cursor: Value) -> u16 {
        self.facts[block.index()].as_ref().map_or(0, |facts| proved(facts, cursor))
    }

    fn round(&mut self, program: &Program, graph: &Graph) -> bool {
        let mut again = false;
        let mut facts = Facts::new();
        for &block in &graph.order {
            facts.clone_from(self.facts[block.index()].as_ref().unwrap_or(&Facts::new()));
            each_edge(&program[block].end, |target, fits| {
                again |= self.flow(program, &facts, target, fits) && graph.goes_back(block, target.block);
            });
        }
        again
    }

    /// Meets the facts of an edge with those of its target; whether the target lost any.
    fn flow(
        &mut self,
        program: &Program,
        facts: &Facts,
        target: &Target,
        fits: Option<(Value, u16)>,
    ) -> bool {
        let here = |cursor: Value| match fits {
            Some((fitting, bytes)) if fitting == cursor => bytes.max(proved(facts, cursor)),
            _ => proved(facts, cursor),
        };
        let params = &program[target.block].params;
        let argument = |cursor: Value| match params.iter().position(|&param| param == cursor) {
            Some(index) => here(target.args[index]),
            None => here(cursor),
        };
        match &mut self.facts[target.block.index()] {
            Some(known) => {
                let before = known.len();
                let mut less = false;
                known.retain_mut(|(cursor, bytes)| {
                    let met = (*bytes).min(argument(*cursor));
                    less |= met < *bytes;
                    *bytes = met;
                    met > 0
                });
                less || known.len() < before
            }
            unknown => {
                let inherited = facts.iter().map(|fact| fact.0).chain(fits.map(|fact| fact.0));
                let cursors = inherited.chain(params.iter().copied());
                let mut first: Facts = cursors.map(|cursor| (cursor, argument(cursor))).collect();
                first.retain(|fact| fact.1 > 0);
                first.sort_unstable();
                first.dedup();
                *unknown = Some(first);
                false
            }
        }
    }
}

/// Calls `visit` with each target and what getting there proves.
fn each_edge<'a>(end: &'a Terminator, mut visit: impl FnMut(&'a Target, Option<(Value, u16)>)) {
    match end {
        Terminator::Fits { cursor, bytes, then, other } => {
            visit(then, Some((*cursor, *bytes)));
            visit(other, None);
        }
        end => end.targets(|target| visit(target, None)),
    }
}

fn proved(facts: &Facts, cursor: Value) -> u16 {
    facts.binary_search_by_key(&cursor, |fact| fact.0).map_or(0, |index| facts[index].1)
}

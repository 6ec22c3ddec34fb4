//! How many bytes behind each cursor are inside the frame: what `fits` has proved so far.

use super::analysis::Graph;
use super::{Block, Program, Target, Terminator, Type, Value};

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
        let (mut facts, mut handed) = (Facts::new(), Facts::new());
        for &block in &graph.order {
            let here = self.facts[block.index()].as_deref().unwrap_or_default();
            facts.clear();
            facts.extend_from_slice(here);
            each_edge(&program[block].end, |target, fits| {
                let handed = hand_on(program, &facts, target, fits, &mut handed);
                again |= self.flow(handed, target) && graph.goes_back(block, target.block);
            });
        }
        again
    }

    /// Meets the facts of an edge with those of its target; whether the target lost any.
    fn flow(&mut self, handed: &[(Value, u16)], target: &Target) -> bool {
        match &mut self.facts[target.block.index()] {
            Some(known) => {
                let before = known.len();
                let (mut less, mut left) = (false, handed);
                known.retain_mut(|(cursor, bytes)| {
                    let smaller = left.iter().take_while(|fact| fact.0 < *cursor).count();
                    left = &left[smaller..];
                    let given = left.first().filter(|fact| fact.0 == *cursor).map_or(0, |fact| fact.1);
                    let met = (*bytes).min(given);
                    less |= met < *bytes;
                    *bytes = met;
                    met > 0
                });
                less || known.len() < before
            }
            unknown => {
                *unknown = Some(handed.to_vec());
                false
            }
        }
    }
}

/// The facts of an edge: those of the block that it leaves, what it proves, and those of the arguments as the parameters'.
/// They are made in `room` where they are others than the block's.
fn hand_on<'f>(
    program: &Program,
    facts: &'f Facts,
    target: &Target,
    fits: Option<(Value, u16)>,
    room: &'f mut Facts,
) -> &'f [(Value, u16)] {
    let here = |cursor: Value| match fits {
        Some((fitting, bytes)) if fitting == cursor => bytes.max(proved(facts, cursor)),
        _ => proved(facts, cursor),
    };
    let params = &program[target.block].params;
    let is_cursor = |value: &Value| program.type_of(*value) == Type::Cursor;
    if fits.is_none() && !params.iter().any(is_cursor) {
        return facts;
    }
    room.clone_from(facts);
    let news = fits.iter().map(|(cursor, _)| (*cursor, here(*cursor)));
    let given = params.iter().zip(&target.args).filter(|(param, _)| is_cursor(param));
    for (cursor, bytes) in news.chain(given.map(|(&param, &arg)| (param, here(arg)))) {
        match room.binary_search_by_key(&cursor, |fact| fact.0) {
            Ok(at) => room[at].1 = bytes,
            Err(at) => room.insert(at, (cursor, bytes)),
        }
    }
    room.retain(|fact| fact.1 > 0);
    room
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

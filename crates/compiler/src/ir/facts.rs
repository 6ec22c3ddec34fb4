//! How many bytes behind each cursor are inside the frame: what `fits` has proved so far.

use super::analysis::Graph;
use super::{Block, Program, Target, Terminator, Type, Value};
use std::ops::Range;

/// Proved bytes by cursor, sorted by cursor; a cursor that is missing has none.
type Facts = Vec<(Value, u16)>;

/// What is proved where each block begins (and so, in all of it).
///
/// A forward dataflow: an edge adds what its `fits` proves and hands the arguments' facts on to the
/// parameters; where edges meet, what all of them have is kept. A block knows few cursors, the
/// headers on the way to it, so the facts of all blocks are small.
#[derive(Clone, Debug)]
pub struct Reach {
    /// Where each block's facts stand; `None` before a way there is known.
    places: Vec<Option<Range<usize>>>,
    /// The facts of all blocks, one block's after the other's: they become fewer, never more.
    facts: Facts,
}

impl Reach {
    /// The facts of a program.
    pub fn new(program: &Program, graph: &Graph) -> Self {
        let mut reach = Self { places: vec![None; program.blocks.len()], facts: Facts::new() };
        reach.places[0] = Some(0..0);
        // In reverse postorder one round is enough, except where an edge goes back.
        while reach.round(program, graph) {}
        reach
    }

    /// How many bytes behind the cursor are proved to be inside the frame in a block.
    pub fn at(&self, block: Block, cursor: Value) -> u16 {
        proved(self.of(block), cursor)
    }

    fn of(&self, block: Block) -> &[(Value, u16)] {
        match &self.places[block.index()] {
            Some(place) => &self.facts[place.clone()],
            None => &[],
        }
    }

    fn round(&mut self, program: &Program, graph: &Graph) -> bool {
        let mut again = false;
        let (mut facts, mut handed) = (Facts::new(), Facts::new());
        for &block in &graph.order {
            facts.clear();
            facts.extend_from_slice(self.of(block));
            each_edge(&program[block].end, |target, fits| {
                let handed = hand_on(program, &facts, target, fits, &mut handed);
                again |= self.flow(handed, target) && graph.goes_back(block, target.block);
            });
        }
        again
    }

    /// Meets the facts of an edge with those of its target; whether the target lost any.
    fn flow(&mut self, handed: &[(Value, u16)], target: &Target) -> bool {
        let Some(place) = &mut self.places[target.block.index()] else {
            let start = self.facts.len();
            self.facts.extend_from_slice(handed);
            self.places[target.block.index()] = Some(start..self.facts.len());
            return false;
        };
        let (mut less, mut left, mut end) = (false, handed, place.start);
        for at in place.clone() {
            let (cursor, bytes) = self.facts[at];
            let smaller = left.iter().take_while(|fact| fact.0 < cursor).count();
            left = &left[smaller..];
            let given = left.first().filter(|fact| fact.0 == cursor).map_or(0, |fact| fact.1);
            let met = bytes.min(given);
            less |= met < bytes;
            if met > 0 {
                self.facts[end] = (cursor, met);
                end += 1;
            }
        }
        place.end = end;
        less
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

fn proved(facts: &[(Value, u16)], cursor: Value) -> u16 {
    facts.binary_search_by_key(&cursor, |fact| fact.0).map_or(0, |index| facts[index].1)
}

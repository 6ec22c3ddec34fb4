//! Lists of statements as diagrams: what becomes of a packet.
//!
//! What a list does to a packet is an [`Outcome`]: the limits that it meets, in their order, and
//! what ends its way. Outcomes of a list's halves make the outcome of the list, so a list is joined
//! from its halves and no statement is gone through often.

use super::diagram::{Diagrams, Made, Node, Rule, Tag};
use crate::ir::Verdict;
use std::collections::HashMap;

/// What becomes of a packet in a list or in a part of it.
#[derive(Clone, PartialEq, Eq, Hash, Default, Debug)]
pub struct Outcome {
    /// What it meets on its way, by name: limits, and whatever else counts as a difference.
    pub meets: Vec<u32>,
    /// What ends its way and which statement does, or `None` if nothing here does.
    pub end: Option<(Verdict, u32)>,
}

/// All outcomes that there are, by leaf.
pub struct Outcomes {
    list: Vec<Outcome>,
    by_value: HashMap<Outcome, u32>,
    /// Pairs of outcomes that differ, by leaf.
    pairs: Vec<(Node, Node)>,
    by_pair: HashMap<(Node, Node), u32>,
}

impl Default for Outcomes {
    /// Leaf 0 is the outcome of an empty list, and leaf 1 is kept for conditions.
    fn default() -> Self {
        let nothing = Outcome::default();
        Self {
            list: vec![nothing.clone(), nothing.clone()],
            by_value: HashMap::from([(nothing, 0)]),
            pairs: vec![(Node::FALSE, Node::FALSE); 2],
            by_pair: HashMap::new(),
        }
    }
}

impl Outcomes {
    /// The leaf of an outcome.
    pub fn leaf(&mut self, outcome: Outcome) -> Node {
        let next = self.list.len() as u32;
        let index = *self.by_value.entry(outcome.clone()).or_insert(next);
        if index == next {
            self.list.push(outcome);
        }
        Node::leaf(index)
    }

    /// The outcome of a leaf.
    pub fn outcome(&self, leaf: Node) -> Option<&Outcome> {
        self.list.get(leaf.result()? as usize)
    }

    /// The two outcomes of a leaf of [`Outcomes::differ`].
    pub fn pair(&self, leaf: Node) -> Option<(&Outcome, &Outcome)> {
        let (a, b) = *self.pairs.get(leaf.result()? as usize)?;
        Some((self.outcome(a)?, self.outcome(b)?))
    }

    /// A list of statements: conditions with what they do.
    pub fn list(&mut self, diagrams: &mut Diagrams, mut parts: Vec<Node>) -> Made {
        while parts.len() > 1 {
            let mut halves = Vec::with_capacity(parts.len().div_ceil(2));
            for pair in parts.chunks(2) {
                halves.push(match *pair {
                    [a, b] => diagrams.combine(&mut Then(self), a, b)?,
                    _ => pair[0],
                });
            }
            parts = halves;
        }
        Ok(parts.pop().unwrap_or(Node::FALSE))
    }

    /// Where two lists do not do the same: a leaf for each pair of outcomes.
    pub fn differ(&mut self, diagrams: &mut Diagrams, a: Node, b: Node) -> Made {
        diagrams.combine(&mut Differ(self), a, b)
    }

    fn joined(&mut self, a: Node, b: Node) -> Node {
        let (first, then) = (&self.list[index(a)], &self.list[index(b)]);
        let meets = first.meets.iter().chain(&then.meets).copied().collect();
        let outcome = Outcome { meets, end: then.end };
        self.leaf(outcome)
    }

    fn pair_of(&mut self, a: Node, b: Node) -> Node {
        let (first, second) = (&self.list[index(a)], &self.list[index(b)]);
        let verdict = |outcome: &Outcome| outcome.end.map(|(verdict, _)| verdict);
        if first.meets == second.meets && verdict(first) == verdict(second) {
            return Node::FALSE;
        }
        let next = self.pairs.len() as u32;
        let index = *self.by_pair.entry((a, b)).or_insert(next);
        if index == next {
            self.pairs.push((a, b));
        }
        Node::leaf(index)
    }
}

fn index(leaf: Node) -> usize {
    leaf.result().map_or(0, |index| index as usize)
}

struct Then<'a>(&'a mut Outcomes);

impl Rule for Then<'_> {
    const TAG: Tag = Tag::Then;
    fn left(&self, a: Node) -> Option<Node> {
        self.0.outcome(a)?.end.map(|_| a)
    }
    fn right(&self, _: Node) -> Option<Node> {
        None
    }
    fn both(&mut self, a: Node, b: Node) -> Option<Node> {
        match (a, b) {
            (Node::FALSE, other) | (other, Node::FALSE) => Some(other),
            _ => (a.result().is_some() && b.result().is_some()).then(|| self.0.joined(a, b)),
        }
    }
}

struct Differ<'a>(&'a mut Outcomes);

impl Rule for Differ<'_> {
    const TAG: Tag = Tag::Differ;
    fn left(&self, _: Node) -> Option<Node> {
        None
    }
    fn right(&self, _: Node) -> Option<Node> {
        None
    }
    fn both(&mut self, a: Node, b: Node) -> Option<Node> {
        if a == b {
            return Some(Node::FALSE);
        }
        (a.result().is_some() && b.result().is_some()).then(|| self.0.pair_of(a, b))
    }
}

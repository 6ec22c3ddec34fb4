//! Ways through a diagram: what the values must be for a function to have a result.

use super::dice::Dice;
use crate::symbolic::{Diagrams, Node};
use std::collections::HashMap;

/// Variables with the range in which each must lie.
pub(super) type Path = Vec<(u32, (u128, u128))>;

/// All results other than 0 that a function has.
pub(super) fn results(diagrams: &Diagrams, node: Node) -> Vec<Node> {
    let mut seen = std::collections::HashSet::from([node]);
    let (mut todo, mut found) = (vec![node], Vec::new());
    while let Some(node) = todo.pop() {
        match diagrams.branch(node) {
            Some(branch) => todo.extend(branch.ways.iter().map(|way| way.node).filter(|n| seen.insert(*n))),
            None if node != Node::FALSE => found.push(node),
            None => {}
        }
    }
    found.sort_unstable();
    found
}

/// Finds ways to one result.
pub(super) struct Paths<'d> {
    diagrams: &'d Diagrams,
    goal: Node,
    leads: HashMap<Node, bool>,
}

impl<'d> Paths<'d> {
    /// To a result.
    pub(super) fn to(diagrams: &'d Diagrams, goal: Node) -> Self {
        Self { diagrams, goal, leads: HashMap::new() }
    }

    /// A way from a function on which values are as `plain` says where that is possible, else picked
    /// with the dice; `None` if the function never has the result.
    pub(super) fn pick(
        &mut self,
        from: Node,
        plain: &mut dyn FnMut(u32) -> Option<u128>,
        dice: &mut Dice,
    ) -> Option<Path> {
        if !self.leads(from) {
            return None;
        }
        let diagrams = self.diagrams;
        let (mut node, mut path) = (from, Path::new());
        while let Some(branch) = diagrams.branch(node) {
            let mut low = 0;
            let mut ways = Vec::new();
            for way in &branch.ways {
                if self.leads(way.node) {
                    ways.push((way.node, (low, way.to)));
                }
                low = way.to.wrapping_add(1);
            }
            let wanted = plain(branch.variable);
            let holds =
                |range: (u128, u128)| wanted.is_some_and(|value| range.0 <= value && value <= range.1);
            let (next, range) = match ways.iter().find(|way| holds(way.1)) {
                Some(way) => *way,
                None => *dice.pick(&ways)?,
            };
            path.push((branch.variable, range));
            node = next;
        }
        Some(path)
    }

    fn leads(&mut self, node: Node) -> bool {
        if node == self.goal {
            return true;
        }
        let Some(branch) = self.diagrams.branch(node) else { return false };
        if let Some(&known) = self.leads.get(&node) {
            return known;
        }
        let leads = branch.ways.iter().any(|way| self.leads(way.node));
        self.leads.insert(node, leads);
        leads
    }
}

//! What a plan's parts tell the user, and other parts of the compiler.

use super::{Graph, Plan, demand, graph, sets};
use crate::diagnostic::{Code, Diagnostics};
use crate::policy::{HeaderRef, Policy, Pred};
use crate::symbolic;
use std::collections::BTreeSet;

/// Warns of statements that can never match, and refuses sets that no structure can hold.
pub fn warnings(policy: &Policy, plan: &Plan, diagnostics: &mut Diagnostics) {
    for (set, homes) in policy.sets.iter().zip(&plan.sets) {
        if sets::too_many_tuples(set, homes) {
            let message = format!("`{}` has too many tuples with ranges or prefixes", set.name);
            let help = format!(
                "up to {} are compared one by one; tuples of single values can be any number",
                sets::CHAIN_TUPLES
            );
            diagnostics.report(Code::BadSet, set.span, message).help(help);
        }
    }
    symbolic::warn(policy, diagnostics);
}

/// The ways through the protocols to all that a policy asks for.
pub struct Ways {
    /// The walk over the protocols, unrolled.
    pub graph: Graph,
    /// The headers that its classes tell apart: all, unless that would be too many ways.
    pub statics: BTreeSet<HeaderRef>,
}

/// Finds these ways; `None` if they are too many however little is told apart. With so many `states`
/// fewer headers are told apart, and with none told apart there may be so many as `most`.
pub fn ways(policy: &Policy, states: usize, most: usize) -> Option<Ways> {
    let conditions: Vec<Pred> = policy.statements.iter().map(|s| s.when.clone()).collect();
    let demand = demand::demand(policy, &conditions);
    let mut choices = demand.static_choices(&policy.protocols).into_iter();
    choices.find_map(|statics| {
        let budget = if statics.is_empty() { most } else { states };
        let graph = graph::build(policy, &demand, None, &statics, budget)?;
        Some(Ways { graph, statics })
    })
}

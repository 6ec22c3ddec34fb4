//! The way through the protocol graph to a named layer.

use crate::policy::{ProtocolId, Protocols};
use std::collections::{HashMap, VecDeque};

/// A step: the protocol, and whether a new packet begins with it.
pub(super) type Step = (ProtocolId, bool);

/// The shortest way from behind `from` to one of `goals`, `from` not included. Among ways of the
/// same length, protocols that `avoid` names are gone around.
pub(super) fn route(
    protocols: &Protocols,
    from: ProtocolId,
    goals: &[ProtocolId],
    avoid: &dyn Fn(ProtocolId) -> bool,
) -> Option<Vec<Step>> {
    let shortest = search(protocols, from, goals, &|_| false)?;
    let around = search(protocols, from, goals, avoid).filter(|way| way.len() <= shortest.len());
    Some(around.unwrap_or(shortest))
}

fn search(
    protocols: &Protocols,
    from: ProtocolId,
    goals: &[ProtocolId],
    avoid: &dyn Fn(ProtocolId) -> bool,
) -> Option<Vec<Step>> {
    let mut came_from: HashMap<Step, Option<Step>> = HashMap::new();
    let mut todo: VecDeque<(ProtocolId, Option<Step>)> = VecDeque::from([(from, None)]);
    while let Some((at, last)) = todo.pop_front() {
        for row in protocols[at].next.iter().flat_map(|next| &next.table) {
            let step = (row.1, row.2);
            if avoid(step.0) && !goals.contains(&step.0) || came_from.contains_key(&step) {
                continue;
            }
            came_from.insert(step, last);
            if goals.contains(&step.0) {
                return Some(unwind(&came_from, step));
            }
            todo.push_back((step.0, Some(step)));
        }
    }
    None
}

fn unwind(came_from: &HashMap<Step, Option<Step>>, last: Step) -> Vec<Step> {
    let mut steps = vec![last];
    while let Some(Some(before)) = came_from.get(steps.last().expect("never empty")) {
        steps.push(*before);
    }
    steps.reverse();
    steps
}

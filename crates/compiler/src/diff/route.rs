//! Ways through the protocols to the packets of a class.

use super::path::Path;
use crate::plan::{Goto, StateId};
use crate::policy::{HeaderRef, Place, Selector, Term};
use crate::symbolic::{Region, Space, Variable};
use std::collections::VecDeque;

/// So many ways through the protocols are looked at for one class.
const MOST_ROUTES: usize = 24;

/// So many beginnings of ways are followed to find them.
const MOST_STEPS: usize = 20_000;

/// A way through the protocols to a class: headers that are there, and whether the last is cut off.
#[derive(Clone, Debug)]
pub(super) struct Route {
    pub(super) states: Vec<StateId>,
    pub(super) cut: bool,
}

/// Ways to a class, the shorter ones first.
pub(super) fn routes(space: &Space, class: usize) -> Vec<Route> {
    let mut found = Vec::new();
    let mut todo: VecDeque<Vec<StateId>> = VecDeque::new();
    match space.graph.start {
        Goto::State(start) => todo.push_back(vec![start]),
        Goto::Class(_) => found.push(Route { states: Vec::new(), cut: false }),
    }
    let mut steps = 0;
    while let Some(states) = todo.pop_front() {
        steps += 1;
        if steps > MOST_STEPS || found.len() >= MOST_ROUTES {
            break;
        }
        let Some(last) = states.last() else { continue };
        let state = &space.graph.states[last.0 as usize];
        if state.last.0 as usize == class {
            found.push(Route { states: states.clone(), cut: false });
        }
        if state.absent.0 as usize == class {
            found.push(Route { states: states.clone(), cut: true });
        }
        let mut next: Vec<StateId> = Vec::new();
        for (_, goto) in state.next.iter().flat_map(|edge| &edge.rows) {
            match goto {
                Goto::State(id) if !next.contains(id) => next.push(*id),
                _ => {}
            }
        }
        todo.extend(next.into_iter().map(|id| states.iter().copied().chain([id]).collect()));
    }
    found
}

/// Whether the values that select the headers of a route are allowed.
pub(super) fn fits(space: &Space, route: &Route, path: &Path) -> bool {
    let headers = headers(space, route);
    headers.windows(2).all(|pair| {
        let definition = &space.protocols()[pair[0].protocol];
        definition.next.iter().any(|next| {
            let rows = next.table.iter().filter(|row| row.1 == pair[1].protocol);
            rows.into_iter().any(|row| match &next.selector {
                Selector::Term(Term::Field(field)) => {
                    let place = &definition.fields[field.field as usize];
                    let Place::Bit(first) = place.place else { return true };
                    allowed(space, path, pair[0], first, u32::from(place.ty.bits()), row.0)
                }
                _ => true,
            })
        })
    })
}

/// Whether a path lets bits of a header have a value.
fn allowed(space: &Space, path: &Path, header: HeaderRef, first: u32, width: u32, value: u128) -> bool {
    path.iter().all(|&(variable, range)| match space.name(variable) {
        Variable::Bits((of, Region::Header), from, bits)
            if *of == header && first <= *from && from + bits <= first + width =>
        {
            let part = value >> (first + width - from - bits) & (u128::MAX >> (128 - bits));
            range.0 <= part && part <= range.1
        }
        _ => true,
    })
}

/// The headers of a route, the cut one among them.
pub(super) fn headers(space: &Space, route: &Route) -> Vec<HeaderRef> {
    route.states.iter().map(|id| space.graph.states[id.0 as usize].header).collect()
}

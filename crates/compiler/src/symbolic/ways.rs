//! The classes of packets, and what is known of the packets of each.
//!
//! The walk over the protocols is followed once for all packets: where a header must be to be
//! there, what it requires and what must stand in it for the next to follow are conditions, of which
//! those are kept that touch bits that a statement asks for.

use super::TooLarge;
use super::bits::Asked;
use super::condition::Bound;
use super::diagram::{Made, Node};
use super::rename::{about, term_about};
use super::space::{Space, Variable};
use crate::check::interval_of;
use crate::plan::{Goto, Graph, State, StateId};
use crate::policy::{
    Compare, HeaderRef, MAX_HEADER, Next, Pred, Protocol, Protocols, Relation, Selector, Term,
};
use std::collections::BTreeSet;

/// Packets that have the same headers, of those that matter.
pub struct Class {
    /// The headers.
    pub headers: BTreeSet<HeaderRef>,
    /// The packets that can be in it, as far as is known.
    pub packets: Node,
}

/// Adds the bits that definitions look at, of those headers of which statements ask for them.
pub(super) fn add_touched(protocols: &Protocols, graph: &Graph, asked: &mut Asked) {
    let headers: BTreeSet<_> = graph.states.iter().map(|state| state.header).collect();
    for header in headers {
        let definition = &protocols[header.protocol];
        for pred in definition_asks(definition) {
            let pred = about(header)(&pred);
            if asked.touches(protocols, &pred) {
                asked.pred(protocols, &pred);
            }
        }
    }
}

fn definition_asks(definition: &Protocol) -> Vec<Pred> {
    let mut asks: Vec<Pred> = definition.require.iter().chain(&definition.carries).cloned().collect();
    asks.extend(long_enough(definition));
    for next in &definition.next {
        asks.extend(next.when.clone());
        asks.extend(answered(next));
    }
    asks
}

/// The header's length is not below that of its fixed part.
fn long_enough(definition: &Protocol) -> Option<Pred> {
    let right = Term::Const(u128::from(definition.fixed));
    let left = definition.length.clone();
    (left != right).then_some(Pred::Compare(Compare { op: Relation::Ge, left, right }))
}

/// A question about what follows finds an answer.
fn answered(next: &Next) -> Option<Pred> {
    let values = next.table.iter().map(|row| row.0);
    selected(next, values.collect())
}

fn selected(next: &Next, mut values: Vec<u128>) -> Option<Pred> {
    values.sort_unstable();
    match &next.selector {
        Selector::Term(term) => Some(Pred::In(term.clone(), values.into_iter().map(|v| (v, v)).collect())),
        Selector::Peek(_) | Selector::Always => None,
    }
}

/// What is known of a state before it is looked at.
#[derive(Clone, Copy)]
struct Reached {
    packets: Node,
    /// The header begins no earlier than this, and no later.
    from: u64,
    to: u64,
}

/// The classes of the graph, of which nothing is known.
pub(super) fn unknown(graph: &Graph) -> Vec<Class> {
    let class = |headers: &BTreeSet<HeaderRef>| Class { headers: headers.clone(), packets: Node::TRUE };
    graph.classes.iter().map(class).collect()
}

/// The classes of the graph, and which packets can be in each.
pub(super) fn classes(space: &mut Space, asked: &Asked) -> Result<Vec<Class>, TooLarge> {
    let mut classes = unknown(&space.graph);
    let nowhere = Reached { packets: Node::FALSE, from: u64::MAX, to: 0 };
    let graph = space.graph.clone();
    let mut walk = Walk {
        space,
        asked,
        reached: vec![nowhere; graph.states.len()],
        packets: vec![Node::FALSE; classes.len()],
        behind: Vec::new(),
    };
    walk.arrive(graph.start, Node::TRUE, 0, 0)?;
    for id in in_order(&graph) {
        walk.state(&graph.states[id.0 as usize], walk.reached[id.0 as usize])?;
    }
    let Walk { packets, behind, .. } = walk;
    for (class, packets) in classes.iter_mut().zip(packets) {
        class.packets = packets;
        for &(header, end) in behind.iter().filter(|(header, _)| class.headers.contains(header)) {
            let room = frame_has_room(space, asked, header, end)?;
            class.packets = space.diagrams.and(class.packets, room)?;
        }
    }
    Ok(classes)
}

/// The frame is long enough for what it has behind a header that ends no earlier than `end`.
fn frame_has_room(space: &mut Space, asked: &Asked, header: HeaderRef, end: u64) -> Made {
    let mut all = Node::TRUE;
    for &bytes in &asked.behind[&header] {
        let most = u128::from(u32::MAX);
        let behind = space.variable(Variable::Behind(header));
        let fewer = space.interval(behind, most, &[(0, u128::from(bytes) - 1)])?;
        let room = at_least(space, end + u64::from(bytes))?;
        let either = space.diagrams.or(fewer, room)?;
        all = space.diagrams.and(all, either)?;
    }
    Ok(all)
}

fn at_least(space: &mut Space, bytes: u64) -> Made {
    let most = u128::from(u32::MAX);
    let length = space.variable(Variable::FrameLen);
    space.interval(length, most, &[(u128::from(bytes), most)])
}

/// States so that each comes behind all that lead to it: the graph has no circles, because stacks
/// are counted.
fn in_order(graph: &Graph) -> Vec<StateId> {
    fn visit(graph: &Graph, id: StateId, seen: &mut [bool], order: &mut Vec<StateId>) {
        if std::mem::replace(&mut seen[id.0 as usize], true) {
            return;
        }
        for (_, goto) in graph.states[id.0 as usize].next.iter().flat_map(|edge| &edge.rows) {
            if let Goto::State(next) = goto {
                visit(graph, *next, seen, order);
            }
        }
        order.push(id);
    }
    let (mut seen, mut order) = (vec![false; graph.states.len()], Vec::new());
    if let Goto::State(start) = graph.start {
        visit(graph, start, &mut seen, &mut order);
    }
    order.reverse();
    order
}

struct Walk<'w, 'p> {
    space: &'w mut Space<'p>,
    asked: &'w Asked,
    reached: Vec<Reached>,
    packets: Vec<Node>,
    /// Headers behind which bytes are asked for, and where they end at the earliest.
    behind: Vec<(HeaderRef, u64)>,
}

impl Walk<'_, '_> {
    fn arrive(&mut self, goto: Goto, packets: Node, from: u64, to: u64) -> Result<(), TooLarge> {
        match goto {
            Goto::Class(class) => {
                let before = &mut self.packets[class.0 as usize];
                *before = self.space.diagrams.or(*before, packets)?;
            }
            Goto::State(id) => {
                let before = self.reached[id.0 as usize];
                self.reached[id.0 as usize] = Reached {
                    packets: self.space.diagrams.or(before.packets, packets)?,
                    from: before.from.min(from),
                    to: before.to.max(to),
                };
            }
        }
        Ok(())
    }

    fn state(&mut self, state: &State, reached: Reached) -> Result<(), TooLarge> {
        let protocols = self.space.protocols();
        let definition = &protocols[state.header.protocol];
        let fixed = u64::from(definition.fixed);
        let longest = interval_of(protocols, &term_about(state.header, &definition.length)).1;
        // A header that claims more than this is not there, however long the frame is.
        let claims_too_much = longest > i128::from(MAX_HEADER);
        let longest = longest.clamp(i128::from(definition.fixed), i128::from(MAX_HEADER)) as u64;
        let sound = Pred::And(definition.require.iter().cloned().chain(long_enough(definition)).collect());
        let unsound = Pred::Not(Box::new(sound.clone()));

        let mut missing = self.holds(state.header, &unsound)?;
        let cut = match claims_too_much {
            true => Node::TRUE,
            false => self.frame_ends_before(reached.to + longest)?,
        };
        missing = self.space.diagrams.or(missing, cut)?;
        let absent = self.space.diagrams.and(reached.packets, missing)?;
        self.arrive(Goto::Class(state.absent), absent, 0, 0)?;

        let mut there = self.also(reached.packets, state.header, &sound)?;
        if self.asked.frame_len {
            let room = at_least(self.space, reached.from + fixed)?;
            there = self.space.diagrams.and(there, room)?;
        }
        if self.asked.behind.contains_key(&state.header) {
            self.note_end(state.header, reached.from + fixed);
        }
        self.follow(state, definition, there, (reached.from + fixed, reached.to + longest))
    }

    fn follow(
        &mut self,
        state: &State,
        definition: &Protocol,
        there: Node,
        (from, to): (u64, u64),
    ) -> Result<(), TooLarge> {
        let last = Goto::Class(state.last);
        let mut left = there;
        if let Some(carries) = &definition.carries {
            let not = self.also(there, state.header, &Pred::Not(Box::new(carries.clone())))?;
            self.arrive(last, not, 0, 0)?;
            left = self.also(there, state.header, carries)?;
        }
        for (next, edge) in definition.next.iter().zip(&state.next) {
            let asked = Pred::And(next.when.iter().cloned().collect());
            let here = self.also(left, state.header, &asked)?;
            let mut targets: Vec<Goto> = edge.rows.iter().map(|row| row.1).collect();
            targets.sort_unstable();
            targets.dedup();
            for target in targets {
                let values = edge.rows.iter().filter(|row| row.1 == target).map(|row| row.0).collect();
                let leads = selected(next, values).unwrap_or(Pred::Const(true));
                let packets = self.also(here, state.header, &leads)?;
                self.arrive(target, packets, from, to)?;
            }
            let found = match (&next.selector, answered(next)) {
                (Selector::Always, _) => Pred::Const(!next.table.is_empty()),
                (_, Some(answered)) => answered,
                // What follows may be anything, or cut off.
                (_, None) => continue,
            };
            left = self.also(left, state.header, &Pred::Not(Box::new(Pred::And(vec![asked, found]))))?;
        }
        self.arrive(last, left, 0, 0)
    }

    /// What a definition says of its header. Headers of a stack that no class tells share one state,
    /// whichever of them they are, so nothing is known of any.
    fn holds(&mut self, header: HeaderRef, pred: &Pred) -> Made {
        if self.space.protocols()[header.protocol].depth > 1 && !self.space.tells(header) {
            return Ok(Node::TRUE);
        }
        self.space.bounded(&about(header)(pred), Bound::Upper)
    }

    fn also(&mut self, packets: Node, header: HeaderRef, pred: &Pred) -> Made {
        let holds = self.holds(header, pred)?;
        self.space.diagrams.and(packets, holds)
    }

    fn frame_ends_before(&mut self, bytes: u64) -> Made {
        if !self.asked.frame_len {
            return Ok(Node::TRUE);
        }
        let enough = at_least(self.space, bytes)?;
        self.space.diagrams.not(enough)
    }

    fn note_end(&mut self, header: HeaderRef, end: u64) {
        if !self.asked.frame_len {
            return;
        }
        match self.behind.iter_mut().find(|(known, _)| *known == header) {
            Some((_, before)) => *before = end.min(*before),
            None => self.behind.push((header, end)),
        }
    }
}

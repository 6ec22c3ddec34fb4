//! Where in the program each statement is decided.
//!
//! A statement need not wait until the whole packet is parsed: as soon as nothing that is still to
//! come can be asked for by it or by one before it, it is decided, behind the header that was found
//! last. What a source address decides costs no look at the transport header then, and such
//! statements stand in the program once and not in every class.

use super::tables::{Chain, Members, Pieces};
use super::{Class, ClassId, Goto, Graph, Presence, Site, State, StateId, headers_asked, simplify};
use crate::policy::{Action, HeaderRef, KeyPart, Policy, Pred, Statement};
use std::collections::{BTreeMap, BTreeSet};

/// Statements that are decided early, in their order.
#[derive(Clone, Debug, Default)]
pub struct Decided {
    /// The first of them; those before it were decided still earlier.
    pub first: usize,
    /// What is left of their conditions.
    pub conditions: Vec<Pred>,
}

impl Decided {
    /// The first statement behind the chain.
    pub fn end(&self) -> usize {
        self.first + self.conditions.len()
    }
}

/// The chains behind parser states, by state and by how many statements were decided before it.
///
/// A state without an entry decides nothing. Of a class all statements are decided that were not before.
pub type Early = BTreeMap<(StateId, usize), Decided>;

/// What is decided where, and what all chains cost.
#[derive(Default)]
pub(super) struct Found {
    pub(super) early: Early,
    /// What may be runs at each site that some way leads to.
    pub(super) sites: BTreeMap<Site, Pieces>,
    pub(super) cost: u64,
}

impl Found {
    fn add(&mut self, site: Site, pieces: Pieces) {
        self.cost += pieces.cost;
        self.sites.insert(site, pieces);
    }
}

/// Finds what is decided before the packet is parsed to its end. Ways that meet in one state having
/// decided more and fewer statements need what follows twice; where that costs more than it spares,
/// nothing is decided early.
pub(super) fn find(
    policy: &Policy,
    graph: &Graph,
    statics: &BTreeSet<HeaderRef>,
    conditions: &[Pred],
    classes: &[Class],
) -> Found {
    let members = Members::new(policy, statics);
    let search = Search { policy, graph, statics, conditions, classes, members, coming: coming(graph) };
    let mut late = Found::default();
    for (number, class) in (0..).zip(classes) {
        late.add(Site::Class(ClassId(number), 0), search.pieces(0, &class.conditions));
    }
    match search.walk(&late) {
        Some(found) if found.cost <= late.cost => found,
        _ => late,
    }
}

struct Search<'a> {
    policy: &'a Policy,
    graph: &'a Graph,
    statics: &'a BTreeSet<HeaderRef>,
    conditions: &'a [Pred],
    classes: &'a [Class],
    members: Members<'a>,
    coming: Vec<BTreeSet<HeaderRef>>,
}

/// Beyond this many visits for each state the copies cost too much, whatever they spare.
const MOST_COPIES: usize = 2;

impl Search<'_> {
    fn pieces(&self, first: usize, conditions: &[Pred]) -> Pieces {
        Chain { members: &self.members, first, conditions }.pieces(&|_| false)
    }

    /// Follows all ways; `None` where states would have to be copied too often. What is found `late`, where nothing
    /// is decided before a class, is known already.
    fn walk(&self, late: &Found) -> Option<Found> {
        let mut all = Found::default();
        let (mut todo, mut seen) = (vec![(self.graph.start, 0)], BTreeSet::new());
        while let Some((goto, first)) = todo.pop() {
            if !seen.insert((goto, first)) {
                continue;
            }
            let id = match goto {
                Goto::State(id) => id,
                Goto::Class(id) => {
                    let site = Site::Class(id, first);
                    let known = late.sites.get(&site).cloned();
                    let conditions = &self.classes[id.0 as usize].conditions[first..];
                    all.add(site, known.unwrap_or_else(|| self.pieces(first, conditions)));
                    continue;
                }
            };
            if seen.len() > (self.graph.states.len() + self.classes.len()) * MOST_COPIES {
                return None;
            }
            let state = &self.graph.states[id.0 as usize];
            let chain = self.chain(id, state, first);
            todo.push((Goto::Class(state.absent), first));
            if !ends(self.policy, &chain) {
                let ways = state.ways().chain([Goto::Class(state.last)]);
                todo.extend(ways.map(|goto| (goto, chain.end())));
            }
            if !chain.conditions.is_empty() {
                all.add(Site::Behind(id, first), self.pieces(first, &chain.conditions));
                all.early.insert((id, first), chain);
            }
        }
        Some(all)
    }

    /// The statements from `first` on that can be decided behind a state's header.
    fn chain(&self, id: StateId, state: &State, first: usize) -> Decided {
        let mut chain = Decided { first, conditions: Vec::new() };
        // What ends here anyway goes on to a class, which others may share.
        if state.states_behind().next().is_none() {
            return chain;
        }
        let found = &self.graph.classes[state.last.0 as usize];
        let coming = &self.coming[id.0 as usize];
        let known = Known { policy: self.policy, found, coming, statics: self.statics };
        for (statement, condition) in self.policy.statements.iter().zip(self.conditions).skip(first) {
            let condition = known.simplify(condition);
            let never = condition == Pred::Const(false);
            if !(never || known.decides(&condition) && known.can_act(statement)) {
                break;
            }
            let over = condition == Pred::Const(true) && statement.ends();
            chain.conditions.push(condition);
            if over {
                break;
            }
        }
        chain
    }
}

/// Whether no packet gets past a chain.
pub fn ends(policy: &Policy, chain: &Decided) -> bool {
    let last = chain.end().checked_sub(1).filter(|_| !chain.conditions.is_empty());
    let all = chain.conditions.last() == Some(&Pred::Const(true));
    chain.end() == policy.statements.len() || last.is_some_and(|last| all && policy.statements[last].ends())
}

/// What is known behind a state's header.
struct Known<'a> {
    policy: &'a Policy,
    found: &'a BTreeSet<HeaderRef>,
    coming: &'a BTreeSet<HeaderRef>,
    statics: &'a BTreeSet<HeaderRef>,
}

impl Known<'_> {
    fn simplify(&self, pred: &Pred) -> Pred {
        simplify(pred, &|header| match header {
            _ if self.found.contains(&header) => Presence::Yes,
            _ if self.statics.contains(&header) && !self.coming.contains(&header) => Presence::No,
            _ => Presence::Unknown,
        })
    }

    /// Whether nothing that is still to come is asked for.
    fn decides(&self, pred: &Pred) -> bool {
        headers_asked(pred).is_disjoint(self.coming)
    }

    /// Whether all that a statement needs to do its work is known: of a limit's key that cannot be nothing is asked.
    fn can_act(&self, statement: &Statement) -> bool {
        let needs = |there: Vec<Pred>| self.decides(&self.simplify(&Pred::And(there)));
        match &statement.action {
            Action::Verdict(_) | Action::Count | Action::Sample(_) => true,
            Action::Limit(limit) => {
                let there = |part: &KeyPart| Pred::There(part.term.clone());
                limit.keys.iter().all(|key| needs(key.iter().map(there).collect()))
            }
            Action::Decap | Action::Balance(_) | Action::Answer(_) | Action::Echo | Action::Syncookie => {
                let terms = statement.action.terms(&self.policy.protocols).into_iter();
                terms.map(Pred::There).all(|there| needs(vec![there]))
            }
        }
    }
}

/// For each state the headers that may still be found behind its own.
fn coming(graph: &Graph) -> Vec<BTreeSet<HeaderRef>> {
    let mut coming: Vec<Option<BTreeSet<HeaderRef>>> = vec![None; graph.states.len()];
    for id in 0..graph.states.len() {
        gather(graph, StateId(id as u32), &mut coming);
    }
    coming.into_iter().map(Option::unwrap_or_default).collect()
}

/// Ways never lead back to a state, so this ends.
fn gather(graph: &Graph, id: StateId, coming: &mut Vec<Option<BTreeSet<HeaderRef>>>) {
    if coming[id.0 as usize].is_some() {
        return;
    }
    let mut headers = BTreeSet::new();
    let behind: BTreeSet<StateId> = graph.states[id.0 as usize].states_behind().collect();
    for next in behind {
        gather(graph, next, coming);
        headers.insert(graph.states[next.0 as usize].header);
        headers.extend(coming[next.0 as usize].iter().flatten().copied());
    }
    coming[id.0 as usize] = Some(headers);
}

impl State {
    /// All ways on from a state whose header is there, with repetitions.
    pub(super) fn ways(&self) -> impl Iterator<Item = Goto> + '_ {
        self.next.iter().flat_map(|edge| &edge.rows).map(|row| row.1)
    }

    /// Those that lead to further headers.
    pub(super) fn states_behind(&self) -> impl Iterator<Item = StateId> + '_ {
        self.ways().filter_map(|goto| match goto {
            Goto::State(id) => Some(id),
            Goto::Class(_) => None,
        })
    }
}

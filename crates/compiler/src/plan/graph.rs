//! The parser as a graph: the walk of [`crate::eval`], unrolled and pruned.
//!
//! A state is "a header of this protocol begins here, and these static headers were found before".
//! Only ways are followed on which what is known leaves a statement open that asks for something that can still come;
//! elsewhere the graph ends in a class. Of `ip6.dst == 2001:db8::1 and tcp` nothing is open behind an IPv4 header, of
//! `vxlan.vni == 7 and inner.tcp` nothing behind GRE.

use super::demand::headers_asked;
use super::{ClassId, Demand, Presence, simplify};
use crate::hash::FastMap;
use crate::policy::{Compare, FieldRef, HeaderRef, LEVELS, Policy, Pred, ProtocolId, Protocols, Term};
use std::collections::{BTreeMap, BTreeSet};

/// Index into [`Graph::states`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct StateId(pub u32);

/// Where the parser goes on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Goto {
    /// The next header.
    State(StateId),
    /// Nothing more to find.
    Class(ClassId),
}

/// A header may begin here.
#[derive(Clone, Debug)]
pub struct State {
    /// Which header it would be.
    pub header: HeaderRef,
    /// Where to go if it is not there after all.
    pub absent: ClassId,
    /// Where to go if it is there and nothing that is asked for can follow.
    pub last: ClassId,
    /// For each entry of the protocol's `next`: the values that lead on. Other values of the
    /// entry's table lead to `last`, values that are not in the table to the next entry.
    pub next: Vec<Edge>,
    /// The state before it on the shortest way, if several ways meet here.
    pub main_way: Option<StateId>,
}

/// The ways on from one entry of `next`.
#[derive(Clone, Debug)]
pub struct Edge {
    /// Value and where it leads, sorted.
    pub rows: Vec<(u128, Goto)>,
}

/// The parser.
#[derive(Clone, Debug)]
pub struct Graph {
    /// By [`StateId`].
    pub states: Vec<State>,
    /// The headers of each class, by [`ClassId`].
    pub classes: Vec<BTreeSet<HeaderRef>>,
    /// Where a frame begins.
    pub start: Goto,
}

type Found = BTreeSet<HeaderRef>;

/// Of each group (true) or protocol (false) how many headers were passed at this level.
type Passed = BTreeMap<(bool, u32), u8>;

/// Whether a protocol comes so many levels further in.
type Levels = [bool; LEVELS as usize];

/// Index into [`Building::passed`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct PassedId(u32);

/// Where a level begins.
const NOTHING: PassedId = PassedId(0);

/// What a state is known by: the header, the static headers before it, and of each group (or
/// protocol) that can still come how many were passed at this level.
type Key = (HeaderRef, ClassId, PassedId);

struct Building<'a> {
    protocols: &'a Protocols,
    demand: &'a Demand,
    statics: &'a BTreeSet<HeaderRef>,
    budget: usize,
    /// By protocol: what can follow a header, and whether a new packet begins there.
    follows: Vec<BTreeSet<(ProtocolId, bool)>>,
    /// Which protocols can be reached from each protocol's end.
    reach: Vec<Vec<Levels>>,
    /// What [`Self::useful`] and [`Self::still_relevant`] have said: they are asked for each edge of each state.
    useful: FastMap<(ProtocolId, u8), bool>,
    relevant: FastMap<(ProtocolId, PassedId), PassedId>,
    /// What statements ask for, in their conditions and by what they do; nothing where every way is to be followed.
    asked: Option<BTreeSet<(Pred, BTreeSet<HeaderRef>)>>,
    open: FastMap<(ProtocolId, u8, ClassId), bool>,
    /// What was passed anywhere, each once; first nothing.
    passed: Vec<Passed>,
    passed_ids: FastMap<Passed, PassedId>,
    /// What [`Self::with`] and [`Self::behind`] have said: many states have the same headers before them.
    with: FastMap<(ClassId, HeaderRef), ClassId>,
    behind: FastMap<(PassedId, HeaderRef), PassedId>,
    states: Vec<State>,
    by_key: FastMap<Key, StateId>,
    classes: Vec<Found>,
    class_ids: FastMap<Found, ClassId>,
}

/// Builds the parser, or gives up beyond `budget` states. Without conditions it follows every way to what is asked
/// for, whatever is open there.
pub(super) fn build(
    policy: &Policy,
    demand: &Demand,
    conditions: Option<&[Pred]>,
    statics: &BTreeSet<HeaderRef>,
    budget: usize,
) -> Option<Graph> {
    let follows = follows(&policy.protocols);
    let mut building = Building {
        asked: conditions.map(|conditions| asked(policy, conditions)),
        open: FastMap::default(),
        passed: Vec::new(),
        passed_ids: FastMap::default(),
        with: FastMap::default(),
        behind: FastMap::default(),
        protocols: &policy.protocols,
        demand,
        statics,
        budget,
        reach: policy.protocols.ids().map(|id| reachable(&follows, id)).collect(),
        follows,
        useful: FastMap::default(),
        relevant: FastMap::default(),
        states: Vec::new(),
        by_key: FastMap::default(),
        classes: Vec::new(),
        class_ids: FastMap::default(),
    };
    let none = building.class(&Found::new());
    building.passed(Passed::new());
    let start = match policy.protocols.root {
        Some(root) => building.enter(root, 0, none, NOTHING)?,
        None => None,
    };
    let start = start.unwrap_or(Goto::Class(none));
    let mut graph = Graph { states: building.states, classes: building.classes, start };
    graph.find_meeting_ways();
    Some(graph)
}

/// What can follow a header of each protocol, and whether a new packet begins there.
fn follows(protocols: &Protocols) -> Vec<BTreeSet<(ProtocolId, bool)>> {
    let rows = |id: ProtocolId| protocols[id].next.iter().flat_map(|next| &next.table);
    protocols.ids().map(|id| rows(id).map(|row| (row.1, row.2)).collect()).collect()
}

/// Everything that can follow a header of a protocol or come behind that, with how many levels further in.
fn reachable(follows: &[BTreeSet<(ProtocolId, bool)>], from: ProtocolId) -> Vec<Levels> {
    let mut seen = vec![Levels::default(); follows.len()];
    let mut todo = vec![(from, 0)];
    while let Some((protocol, rise)) = todo.pop() {
        for &(next, inner) in &follows[protocol.0 as usize] {
            let rise = rise + usize::from(inner);
            if rise < usize::from(LEVELS) && !std::mem::replace(&mut seen[next.0 as usize][rise], true) {
                todo.push((next, rise));
            }
        }
    }
    seen
}

/// What statements ask for, each once: thousands of them differ in values only.
fn asked(policy: &Policy, conditions: &[Pred]) -> BTreeSet<(Pred, BTreeSet<HeaderRef>)> {
    let asked = policy.statements.iter().zip(conditions).map(|(statement, condition)| {
        let terms = statement.action.terms(&policy.protocols).into_iter();
        (of_headers(condition), terms.flat_map(|term| headers_asked(&Pred::There(term))).collect())
    });
    asked.collect()
}

/// A condition without the values that it compares: [`simplify`] leaves as much of it open, and the same headers asked for.
fn of_headers(pred: &Pred) -> Pred {
    let each = |list: &[Pred]| list.iter().map(of_headers).collect::<BTreeSet<_>>().into_iter().collect();
    match pred {
        Pred::Not(inner) => Pred::Not(Box::new(of_headers(inner))),
        Pred::And(list) => Pred::And(each(list)),
        Pred::Or(list) => Pred::Or(each(list)),
        Pred::In(Term::Field(FieldRef { header, .. }), ranges) if !ranges.is_empty() => some_value(*header),
        Pred::Compare(Compare { left: Term::Field(left), right: Term::Const(_), .. }) => {
            some_value(left.header)
        }
        Pred::InSet(terms, _) if terms.iter().all(|term| matches!(term, Term::Field(_))) => {
            Pred::And(headers_asked(pred).into_iter().map(some_value).collect())
        }
        _ => pred.clone(),
    }
}

/// Open where a header is there.
fn some_value(of: HeaderRef) -> Pred {
    Pred::There(Term::Begin(of))
}

impl Graph {
    /// Notes for every state that is reached from several others which of them is nearest to the
    /// frame's start: by that way most packets come.
    fn find_meeting_ways(&mut self) {
        let Goto::State(start) = self.start else { return };
        let mut first: Vec<Option<StateId>> = vec![None; self.states.len()];
        let mut seen = vec![false; self.states.len()];
        let mut todo = std::collections::VecDeque::from([start]);
        seen[start.0 as usize] = true;
        while let Some(from) = todo.pop_front() {
            let behind: Vec<_> = self.states[from.0 as usize].states_behind().collect();
            for to in behind {
                let index = to.0 as usize;
                match first[index] {
                    None if to != start => first[index] = Some(from),
                    Some(before) if before != from => self.states[index].main_way = Some(before),
                    _ => {}
                }
                if !std::mem::replace(&mut seen[index], true) {
                    todo.push_back(to);
                }
            }
        }
    }
}

impl Building<'_> {
    /// Whether a header of `protocol` at `level`, or something behind it, may be asked for.
    fn useful(&mut self, protocol: ProtocolId, level: u8) -> bool {
        if let Some(known) = self.useful.get(&(protocol, level)) {
            return *known;
        }
        let useful = self.demand.headers.iter().any(|header| self.comes(*header, protocol, level));
        self.useful.insert((protocol, level), useful);
        useful
    }

    /// Whether a header may be found where one of `protocol` at `level` begins.
    fn comes(&self, header: HeaderRef, protocol: ProtocolId, level: u8) -> bool {
        header.level == level && header.protocol == protocol
            || header.level >= level
                && self.reach[protocol.0 as usize][header.protocol.0 as usize]
                    [usize::from(header.level - level)]
    }

    /// Whether a statement is still open that asks for a header of `protocol` at `level` or for what comes behind it, `found`
    /// being the static headers before it.
    fn open(&mut self, protocol: ProtocolId, level: u8, found: ClassId) -> bool {
        let Some(asked) = &self.asked else { return true };
        let key = (protocol, level, found);
        if let Some(known) = self.open.get(&key) {
            return *known;
        }
        let found = &self.classes[found.0 as usize];
        let comes = |header: &HeaderRef| self.comes(*header, protocol, level);
        let presence = |header: HeaderRef| match header {
            _ if found.contains(&header) => Presence::Yes,
            _ if self.statics.contains(&header) && !comes(&header) => Presence::No,
            _ => Presence::Unknown,
        };
        let open = asked.iter().any(|(condition, keys)| {
            let left = simplify(condition, &presence);
            left != Pred::Const(false) && headers_asked(&left).iter().chain(keys).any(comes)
        });
        self.open.insert(key, open);
        open
    }

    /// How many headers of a protocol at a level are told apart: one more than are asked for. Where
    /// only the first is asked for and its presence is a bit at run time, that bit tells.
    fn told_apart(&self, protocol: ProtocolId, level: u8) -> u8 {
        let asked = || self.demand.headers.iter().filter(|h| h.level == level && h.protocol == protocol);
        match asked().map(|h| h.index + 1).max().unwrap_or(0) {
            1 if asked().all(|h| !self.statics.contains(h)) => 0,
            count => count,
        }
    }

    fn class(&mut self, found: &Found) -> ClassId {
        if let Some(&id) = self.class_ids.get(found) {
            return id;
        }
        let id = ClassId(self.classes.len() as u32);
        self.classes.push(found.clone());
        self.class_ids.insert(found.clone(), id);
        id
    }

    /// The class of the headers of another and one more.
    fn with(&mut self, found: ClassId, header: HeaderRef) -> ClassId {
        if let Some(&known) = self.with.get(&(found, header)) {
            return known;
        }
        let mut headers = self.classes[found.0 as usize].clone();
        headers.insert(header);
        let class = self.class(&headers);
        self.with.insert((found, header), class);
        class
    }

    /// What was passed behind a header.
    fn behind(&mut self, before: PassedId, header: HeaderRef) -> PassedId {
        if let Some(&known) = self.behind.get(&(before, header)) {
            return known;
        }
        let HeaderRef { level, protocol, index } = header;
        let mut passed = self.passed[before.0 as usize].clone();
        *passed.entry((true, self.protocols[protocol].group)).or_insert(0) += 1;
        let counted = self.told_apart(protocol, level).min(index + 1);
        if counted > 0 {
            passed.insert((false, protocol.0), counted);
        }
        let behind = self.passed(passed);
        self.behind.insert((before, header), behind);
        behind
    }

    fn passed(&mut self, passed: Passed) -> PassedId {
        if let Some(&id) = self.passed_ids.get(&passed) {
            return id;
        }
        let id = PassedId(self.passed.len() as u32);
        self.passed.push(passed.clone());
        self.passed_ids.insert(passed, id);
        id
    }

    /// The state for a header that may begin here; `None` inside if it is of no use, or if its
    /// stack is full; `None` outside if the budget is used up.
    fn enter(
        &mut self,
        protocol: ProtocolId,
        level: u8,
        found: ClassId,
        passed: PassedId,
    ) -> Option<Option<Goto>> {
        let definition = &self.protocols[protocol];
        let before = &self.passed[passed.0 as usize];
        let of_group = before.get(&(true, definition.group)).copied().unwrap_or(0);
        let index = before.get(&(false, protocol.0)).copied().unwrap_or(0);
        if level >= LEVELS || of_group >= definition.depth || !self.useful(protocol, level) {
            return Some(None);
        }
        let header = HeaderRef { level, protocol, index };
        let key = (header, found, passed);
        if let Some(&id) = self.by_key.get(&key) {
            return Some(Some(Goto::State(id)));
        }
        if self.states.len() >= self.budget {
            return None;
        }
        let id = StateId(self.states.len() as u32);
        self.by_key.insert(key, id);
        let last = if self.statics.contains(&header) { self.with(found, header) } else { found };
        self.states.push(State { header, absent: found, last, next: Vec::new(), main_way: None });
        let passed = self.behind(passed, header);
        let next = self.edges(header, last, passed)?;
        self.states[id.0 as usize].next = next;
        Some(Some(Goto::State(id)))
    }

    fn edges(&mut self, header: HeaderRef, last: ClassId, passed: PassedId) -> Option<Vec<Edge>> {
        let definition = &self.protocols[header.protocol];
        let mut edges = Vec::new();
        for next in &definition.next {
            let mut rows = Vec::new();
            for &(value, protocol, inner) in &next.table {
                let level = header.level + u8::from(inner);
                let goto = match inner {
                    _ if !self.useful(protocol, level) => None,
                    _ if !self.open(protocol, level, last) => None,
                    true => self.enter(protocol, level, last, NOTHING)?,
                    false => {
                        let passed = self.still_relevant(protocol, passed);
                        self.enter(protocol, level, last, passed)?
                    }
                };
                rows.push((value, goto.unwrap_or(Goto::Class(last))));
            }
            rows.sort_by_key(|row| row.0);
            edges.push(Edge { rows });
        }
        Some(edges)
    }

    /// Counts of what can still come at this level, so that ways that differ only in what lies
    /// behind them meet in one state.
    fn still_relevant(&mut self, next: ProtocolId, passed: PassedId) -> PassedId {
        if let Some(known) = self.relevant.get(&(next, passed)) {
            return *known;
        }
        let all = &self.passed[passed.0 as usize];
        let coming = self.coming(next, all);
        let relevant = |key: &(bool, u32)| match key {
            (true, group) => coming.iter().any(|id| self.protocols[*id].group == *group),
            (false, protocol) => coming.iter().any(|id| id.0 == *protocol),
        };
        let still = all.iter().filter(|(key, _)| relevant(key)).map(|(k, v)| (*k, *v)).collect();
        let still = self.passed(still);
        self.relevant.insert((next, passed), still);
        still
    }

    /// What can still come at this level once `next` begins: protocols whose stacks are full may be
    /// named by others, but nothing comes by way of them.
    fn coming(&self, next: ProtocolId, passed: &Passed) -> BTreeSet<ProtocolId> {
        let full = |id: ProtocolId| {
            let definition = &self.protocols[id];
            passed.get(&(true, definition.group)).is_some_and(|count| *count >= definition.depth)
        };
        let mut coming = BTreeSet::from([next]);
        let mut todo = vec![next];
        while let Some(protocol) = todo.pop() {
            if full(protocol) {
                continue;
            }
            let here = self.follows[protocol.0 as usize].iter().filter(|(_, inner)| !inner);
            todo.extend(here.map(|(id, _)| *id).filter(|id| coming.insert(*id)));
        }
        coming
    }
}

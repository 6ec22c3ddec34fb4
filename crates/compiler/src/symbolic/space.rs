//! All that two packets can differ in, as far as a policy's statements can tell.

use super::bits::{Asked, Home};
use super::diagram::{Diagrams, Made, Node};
use super::ways::{self, Class};
use super::{Sum, TooLarge};
use crate::hash::FastMap;
use crate::plan::{Graph, Ways, headers_asked};
use crate::policy::{Action, HeaderRef, Policy, Pred, Protocols, SetPart, Term};
use std::collections::{BTreeSet, HashMap};

/// What a branch asks for.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Variable {
    /// Bits of a packet: where they are counted from, the first, and how many.
    Bits(Home, u32, u32),
    /// Whether a header is there that a class does not tell.
    Header(HeaderRef),
    /// How many bytes the frame has behind a header.
    Behind(HeaderRef),
    /// An option's length and 1; 0 if it is not there.
    Option(HeaderRef, u32),
    /// The frame's length.
    FrameLen,
    /// The value of a sum whose parts are taken as independent, see [`super::shift`].
    Sum(Sum),
    /// Whether these values are in what was added to a live set while running.
    Member(SetPart, Vec<Term>),
}

/// Bits that no question divides.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    /// The first bit.
    pub first: u32,
    /// How many.
    pub width: u32,
    /// The index of the variable that they are.
    pub variable: u32,
}

/// The part of the room that may be used for what is known of classes: without that less can be
/// proven, and nothing wrong.
const ROOM_FOR_WAYS: usize = 8;

/// The statements of a policy over packets of every class.
pub struct Space<'p> {
    /// Whose statements.
    pub policy: &'p Policy,
    /// All diagrams.
    pub diagrams: Diagrams,
    /// The packet classes.
    pub classes: Vec<Class>,
    /// The ways through the protocols, by which packets get to the classes.
    pub graph: Graph,
    /// The headers that classes tell.
    statics: BTreeSet<HeaderRef>,
    entered: Option<usize>,
    segments: HashMap<Home, Vec<Segment>>,
    variables: Vec<Variable>,
    by_name: HashMap<Variable, u32>,
    asked_headers: Vec<Vec<HeaderRef>>,
    conditions: FastMap<(usize, Vec<bool>), Node>,
    pub(super) memberships: HashMap<(Vec<Term>, SetPart), Node>,
}

impl<'p> Space<'p> {
    /// Finds the classes and variables of a policy; `room` is how many ways of branches may be made.
    pub fn new(policy: &'p Policy, ways: Ways, room: usize) -> Self {
        let mut asked = asked(policy);
        ways::add_touched(&policy.protocols, &ways.graph, &mut asked);
        let mut space = Space {
            policy,
            diagrams: Diagrams::new(room),
            classes: Vec::new(),
            graph: ways.graph,
            statics: ways.statics,
            entered: None,
            segments: HashMap::new(),
            variables: Vec::new(),
            by_name: HashMap::new(),
            asked_headers: policy.statements.iter().map(headers).collect(),
            conditions: FastMap::default(),
            memberships: HashMap::new(),
        };
        for (home, segments) in asked.segments() {
            let named = segments.into_iter().map(|(first, width)| {
                let variable = space.variable(Variable::Bits(home.clone(), first, width));
                Segment { first, width, variable }
            });
            let named = named.collect();
            space.segments.insert(home, named);
        }
        space.diagrams.make_room(room / ROOM_FOR_WAYS);
        space.classes = match ways::classes(&mut space, &asked) {
            Ok(classes) => classes,
            Err(TooLarge) => ways::unknown(&space.graph),
        };
        space.diagrams.make_room(room);
        space
    }

    /// The protocol definitions.
    pub fn protocols(&self) -> &'p Protocols {
        &self.policy.protocols
    }

    /// From now on conditions are those of packets of a class.
    pub fn enter(&mut self, class: usize) {
        self.entered = Some(class);
    }

    /// The packets of the class entered for which a statement's condition holds, and which, if it is
    /// a limit, have a key.
    pub fn statement(&mut self, index: usize) -> Made {
        let known = self.asked_headers[index].iter().map(|header| self.known_header(*header) == Some(true));
        let key = (index, known.collect());
        if let Some(&node) = self.conditions.get(&key) {
            return Ok(node);
        }
        let policy = self.policy;
        let statement = &policy.statements[index];
        let mut node = self.condition(&statement.when)?;
        if let Action::Limit(limit) = &statement.action
            && !limit.keys.is_empty()
            && node != Node::FALSE
        {
            let there = |key: &Vec<_>| {
                Pred::And(
                    key.iter().map(|part: &crate::policy::KeyPart| Pred::There(part.term.clone())).collect(),
                )
            };
            let key = self.condition(&Pred::Or(limit.keys.iter().map(there).collect()))?;
            node = self.diagrams.and(node, key)?;
        }
        self.conditions.insert(key, node);
        Ok(node)
    }

    /// Whether packets of the class entered have a header; `None` if the class does not tell.
    /// Definitions speak of headers that are there.
    pub fn known_header(&self, header: HeaderRef) -> Option<bool> {
        match self.entered {
            None => Some(true),
            Some(class) if self.statics.contains(&header) => {
                Some(self.classes[class].headers.contains(&header))
            }
            Some(_) => None,
        }
    }

    /// Whether classes tell if a header is there.
    pub fn tells(&self, header: HeaderRef) -> bool {
        self.statics.contains(&header)
    }

    /// The undivided bits of a place that are asked for, in their order.
    pub fn segments(&self, home: &Home) -> &[Segment] {
        self.segments.get(home).map_or(&[], Vec::as_slice)
    }

    /// The index of a variable.
    pub fn variable(&mut self, variable: Variable) -> u32 {
        let next = self.variables.len() as u32;
        let index = *self.by_name.entry(variable.clone()).or_insert(next);
        if index == next {
            self.variables.push(variable);
        }
        index
    }

    /// What the variable of an index is.
    pub fn name(&self, variable: u32) -> &Variable {
        &self.variables[variable as usize]
    }

    /// Live sets of the same name and shape are one, whatever they hold at first.
    pub fn shared_set(&self, set: u32) -> u32 {
        let sets = &self.policy.sets;
        let wanted = &sets[set as usize];
        let same = |other: &crate::policy::Set| {
            other.live.is_some() && other.name == wanted.name && other.types == wanted.types
        };
        sets.iter().position(same).map_or(set, |index| index as u32)
    }
}

/// The headers that a statement asks for.
fn headers(statement: &crate::policy::Statement) -> Vec<HeaderRef> {
    let mut headers = headers_asked(&statement.when);
    for term in key_terms(&statement.action) {
        headers.extend(headers_asked(&Pred::There(term.clone())));
    }
    headers.into_iter().collect()
}

fn key_terms(action: &Action) -> Vec<&Term> {
    match action {
        Action::Limit(limit) => limit.keys.iter().flatten().map(|part| &part.term).collect(),
        _ => Vec::new(),
    }
}

/// The bits that the statements ask for.
fn asked(policy: &Policy) -> Asked {
    let mut asked = Asked::default();
    for statement in &policy.statements {
        asked.pred(&policy.protocols, &statement.when);
        for term in key_terms(&statement.action) {
            asked.pred(&policy.protocols, &Pred::There(term.clone()));
        }
    }
    asked
}

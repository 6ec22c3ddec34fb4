//! What structure the program gets, before any of it is made.
//!
//! Comes in: a checked policy. Goes out: a [`Plan`], which says
//! * which headers and values any statement asks for ([`demand`]), and so what is parsed,
//! * the parser as a graph of states, unrolled where headers stack ([`graph`]),
//! * the packet classes: sets of headers that a packet can have. Statements are compiled once
//!   for each class, where presence is known and whatever asks for an absent header vanishes,
//! * which statements are decided before that, while the packet is still parsed ([`chains`]),
//! * which neighbouring statements are matched as one ([`tables`]),
//! * where each set lives: in the code as a comparison tree, in a table, or in a map ([`sets`]).
//!
//! How statements are matched is decided here and nowhere else.
//!
//! Invariants: a plan depends on the policy and the options only; every header that a statement
//! asks for is reached by the graph on every path on which the walk of [`crate::eval`] reaches it and
//! the statement is still open;
//! a class's headers are exactly the static headers found on the paths that end in it.

mod boxes;
mod chains;
mod choices;
mod cost;
mod demand;
mod estimate;
mod graph;
mod overlap;
mod sets;
mod tables;

pub use crate::policy::{Presence, simplify};
pub use chains::{Decided, Early, ends};
pub use choices::{Choice, Choices};
pub use cost::{COSTS, Costs, pred_cost};
pub use demand::{Demand, base_terms, headers_asked, is_optional, width};
pub use estimate::Estimate;
pub use graph::{Edge, Goto, Graph, State, StateId};
pub use overlap::{Ways, warnings, ways};
pub use sets::{SetHome, TREE, ranges_to_prefixes};
pub use tables::{Run, Step, Word};

use crate::policy::{Action, HeaderRef, Policy, Pred, SetPart, Statement};
use crate::table::Table;
use chains::Found;
use std::collections::{BTreeMap, BTreeSet};
use tables::{Chain, Members};

/// Index into [`Plan::classes`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ClassId(pub u32);

/// The statements of one packet class.
#[derive(Clone, Debug)]
pub struct Class {
    /// The static headers that its packets have.
    pub headers: BTreeSet<HeaderRef>,
    /// What is left of each statement's condition; `Const(false)` for one that cannot match.
    pub conditions: Vec<Pred>,
}

/// The structure of a program.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What the statements ask for.
    pub demand: Demand,
    /// Headers whose presence a class knows; the others' presence is a bit at run time.
    pub static_headers: BTreeSet<HeaderRef>,
    /// The parser.
    pub graph: Graph,
    /// The packet classes, by [`ClassId`].
    pub classes: Vec<Class>,
    /// What is decided before the parser's end.
    pub early: Early,
    /// How the statements of each site are matched.
    pub steps: Steps,
    /// Where each part of each set lives: `[set][part]`.
    pub sets: Vec<Vec<SetHome>>,
    /// The sets that live in tables.
    pub set_tables: BTreeMap<SetPart, Table>,
    /// Runs of so many statements are matched as one.
    pub shortest_run: usize,
    /// Estimated size of all chains, in comparisons.
    pub cost: u64,
}

/// Where statements are decided, for packets of which so many were decided before.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Site {
    /// Behind a state's header.
    Behind(StateId, usize),
    /// In a class.
    Class(ClassId, usize),
}

/// How statements are matched, for each site that some way leads to.
pub type Steps = BTreeMap<Site, Vec<Step>>;

/// Chains beyond this many comparisons in all classes together are not worth their copies: fewer
/// headers are then told apart statically. About as many instructions as fit the second-level
/// instruction cache of current processors.
const CHAIN_BUDGET: u64 = 12_000;

/// A program of more comparisons than this in chains fits no kernel: each is two to four instructions, and the verifier
/// goes through all of them.
const MOST_COMPARISONS: u64 = 200_000;

/// Parsers beyond this many states are not worth knowing every header statically.
const STATE_BUDGET: usize = 300;

/// A parser of more states than this fits no program, however little is known statically.
const MOST_STATES: usize = 8_000;

/// More classes than this are never told apart.
const CLASS_BUDGET: usize = 96;

/// Plans a program for a policy; `None` if its protocols can follow each other in too many ways.
pub fn plan(policy: &Policy) -> Option<Plan> {
    let (sets, set_tables) = sets::homes(policy);
    let condition = |statement: &Statement| {
        let own = sets::inline(policy, &sets, &statement.when);
        match follows(policy, statement) {
            Pred::Const(false) => own,
            follows => Pred::Or(vec![own, follows]),
        }
    };
    let conditions: Vec<Pred> = policy.statements.iter().map(condition).collect();
    let demand = demand::demand(policy, &conditions);
    let mut last = None;
    for static_headers in demand.static_choices(&policy.protocols) {
        let budget = if static_headers.is_empty() { MOST_STATES } else { STATE_BUDGET };
        let graph = graph::build(policy, &demand, Some(&conditions), &static_headers, budget);
        let Some(graph) = graph else { continue };
        if graph.classes.len() > CLASS_BUDGET && !static_headers.is_empty() {
            continue;
        }
        let classes = classes(&graph, &static_headers, &conditions);
        let found = chains::find(policy, &graph, &static_headers, &conditions, &classes);
        let fits = found.cost <= CHAIN_BUDGET;
        last = Some((static_headers, graph, classes, found));
        if fits {
            break;
        }
    }
    let (static_headers, graph, classes, Found { early, sites, cost }) = last?;
    let shortest_run = tables::shortest_run(&sites);
    let steps =
        |(site, pieces): (Site, tables::Pieces)| (site, pieces.steps(&policy.protocols, shortest_run));
    let steps = sites.into_iter().map(steps).collect();
    Some(Plan { demand, static_headers, graph, classes, early, steps, sets, set_tables, shortest_run, cost })
}

/// The packets to which a statement may apply although its condition does not hold, because of an earlier packet. Where a
/// transport that the condition asks for is there, none does: later fragments have none.
pub fn follows(policy: &Policy, statement: &Statement) -> Pred {
    let followers = match &statement.action {
        Action::Balance(balance) if !statement.shadow => balance.follows(&policy.protocols),
        Action::Answer(balance) => balance.later_answers(&policy.protocols),
        _ => return Pred::Const(false),
    };
    let transport = |header: &HeaderRef| header.level == 0 && policy.protocols[header.protocol].transport;
    let asked = headers_asked(&statement.when).into_iter().filter(transport);
    let absent = asked.map(|header| Pred::Not(Box::new(Pred::Header(header))));
    Pred::And(absent.chain([followers]).collect())
}

impl Plan {
    /// A statement's condition, with its sets where they live.
    pub fn own_condition(&self, policy: &Policy, statement: &Statement) -> Pred {
        sets::inline(policy, &self.sets, &statement.when)
    }

    /// The statement with which the chains of all sites together become too long for any program, and how many
    /// comparisons they have in all; sites are taken by turns, statement by statement.
    pub fn too_long(&self) -> Option<(usize, u64)> {
        let mut costs = BTreeMap::<usize, u64>::new();
        for (site, steps) in &self.steps {
            let (first, conditions) = self.conditions(*site);
            for step in steps {
                if let Step::One(index) = step {
                    *costs.entry(*index).or_default() += pred_cost(&conditions[index - first]);
                }
            }
        }
        let mut sum = 0;
        let over = costs.iter().find_map(|(index, cost)| {
            sum += cost;
            (sum > MOST_COMPARISONS).then_some(*index)
        })?;
        Some((over, costs.values().sum()))
    }

    /// The statements of a site: the first of them, and what is left of its condition and of the next ones'.
    pub fn conditions(&self, site: Site) -> (usize, &[Pred]) {
        match site {
            Site::Behind(state, first) => (first, &self.early[&(state, first)].conditions),
            Site::Class(class, first) => (first, &self.classes[class.0 as usize].conditions[first..]),
        }
    }

    /// How statements are matched if runs have `shortest` at least, and none of those that are `alone`.
    pub fn steps_with(&self, policy: &Policy, shortest: usize, alone: &dyn Fn(usize) -> bool) -> Steps {
        let members = Members::new(policy, &self.static_headers);
        let steps = |site: &Site| {
            let (first, conditions) = self.conditions(*site);
            let chain = Chain { members: &members, first, conditions };
            (*site, chain.pieces(alone).steps(&policy.protocols, shortest))
        };
        self.steps.keys().map(steps).collect()
    }

    /// Neighbours of a site that may be matched as one.
    fn groups(&self, members: &Members, site: Site) -> Vec<tables::Group> {
        let (first, conditions) = self.conditions(site);
        let pieces = Chain { members, first, conditions }.pieces(&|_| false);
        pieces.groups(members.protocols(), self.shortest_run)
    }
}

fn classes(graph: &Graph, static_headers: &BTreeSet<HeaderRef>, conditions: &[Pred]) -> Vec<Class> {
    let class = |headers: &BTreeSet<HeaderRef>| {
        let presence = |header: HeaderRef| match static_headers.contains(&header) {
            true if headers.contains(&header) => Presence::Yes,
            true => Presence::No,
            false => Presence::Unknown,
        };
        let conditions = conditions.iter().map(|pred| simplify(pred, &presence)).collect();
        Class { headers: headers.clone(), conditions }
    };
    graph.classes.iter().map(class).collect()
}

//! Statements that no packet reaches, or none that they are there for, and conditions that no packet, or every packet, meets.

use super::diagram::{Diagrams, Made, Node};
use super::{Space, TooLarge};
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::plan::{self, headers_asked};
use crate::policy::{Action, FAMILIES, Policy, Pred, Statement};
use std::collections::BTreeSet;

/// Parsers of more states than this are looked at with fewer headers told apart.
const STATES: usize = 300;

/// So many ways of branches may be made: a policy of ten lines needs a few thousand.
const ROOM: usize = 400_000;

/// Longer policies are not looked at: all classes together could take longer than the compiler.
const MOST_CONDITIONS: usize = 60_000;

/// So many of the statements that take a packet away are named.
const MOST_NAMED: usize = 4;

/// Of so many it is seen which could be spared.
const MOST_SPARED: usize = 16;

/// What was found of a statement.
enum Found {
    AlwaysTrue,
    AlwaysFalse,
    Taken(BTreeSet<usize>),
    /// All packets of a service are taken; of ICMP errors about its flows that is not proven.
    ServiceTaken(BTreeSet<usize>),
}

/// Warns of statements that can never match, and of conditions that say nothing. A policy that is
/// too large to be looked at gets no warnings.
pub fn warn(policy: &Policy, diagnostics: &mut Diagnostics) {
    let Some(found) = plan::ways(policy, STATES, STATES).and_then(|ways| look(policy, ways).ok()) else {
        return;
    };
    for (index, found) in found {
        tell(policy, index, &found, diagnostics);
    }
}

fn look(policy: &Policy, ways: plan::Ways) -> Result<Vec<(usize, Found)>, TooLarge> {
    if ways.graph.classes.len() * policy.statements.len() > MOST_CONDITIONS {
        return Err(TooLarge);
    }
    let mut space = Space::new(policy, ways, ROOM);
    let mut seen = vec![(Seen::default(), Seen::default()); policy.statements.len()];
    for class in 0..space.classes.len() {
        space.enter(class);
        let packets = space.classes[class].packets;
        if packets != Node::FALSE {
            see(&mut space, packets, &mut seen)?;
        }
    }
    let found = seen.into_iter().enumerate().filter_map(|(index, (all, service))| {
        let says_nothing = policy.statements[index].when == Pred::Const(true);
        let found = match (all.meets, all.left) {
            (false, _) => Found::AlwaysFalse,
            (true, false) => Found::Taken(all.takers),
            _ if service.meets && !service.left => Found::ServiceTaken(service.takers),
            _ if !all.lacks && !says_nothing => Found::AlwaysTrue,
            _ => return None,
        };
        Some((index, found))
    });
    Ok(found.collect())
}

/// Looks at the packets of the class entered: all of each statement, and those of its service.
fn see(space: &mut Space, packets: Node, seen: &mut [(Seen, Seen)]) -> Result<(), TooLarge> {
    let policy = space.policy;
    let conditions = conditions(space, packets)?;
    let mut before = Before::default();
    for (index, (condition, (all, service))) in conditions.into_iter().zip(seen).enumerate() {
        let statement = &policy.statements[index];
        all.class(&mut space.diagrams, packets, condition, &before)?;
        if matches!(statement.action, Action::Balance(_)) {
            let errors = errors(space, &statement.when)?;
            let served = space.diagrams.without(condition, errors)?;
            service.class(&mut space.diagrams, packets, served, &before)?;
        }
        if statement.ends() {
            before.taken.add(&mut space.diagrams, condition)?;
            before.ending.push((index, condition));
        }
    }
    Ok(())
}

/// The packets of a class for which each statement's condition holds.
fn conditions(space: &mut Space, packets: Node) -> Result<Vec<Node>, TooLarge> {
    let mut conditions = Vec::with_capacity(space.policy.statements.len());
    for statement in &space.policy.statements {
        let holds = space.condition(&statement.when)?;
        conditions.push(space.diagrams.and(packets, holds)?);
    }
    Ok(conditions)
}

/// The ICMP errors of the class entered, as far as a condition asks for them.
fn errors(space: &mut Space, when: &Pred) -> Made {
    let protocols = space.protocols();
    let errors = FAMILIES.iter().filter_map(|family| protocols.find(family[1])).collect::<Vec<_>>();
    let asked = headers_asked(when).into_iter().filter(|header| errors.contains(&header.protocol));
    space.condition(&Pred::Or(asked.map(Pred::Header).collect()))
}

/// What is decided before a statement.
#[derive(Default)]
struct Before {
    taken: Taken,
    /// The statements that take it, with what they take.
    ending: Vec<(usize, Node)>,
}

/// What was seen of a statement's packets in the classes so far.
#[derive(Clone, Default)]
struct Seen {
    /// There are some.
    meets: bool,
    /// Some packets are none of them.
    lacks: bool,
    /// Some of them were left to it.
    left: bool,
    /// Who took the others.
    takers: BTreeSet<usize>,
}

impl Seen {
    fn class(
        &mut self,
        diagrams: &mut Diagrams,
        packets: Node,
        own: Node,
        before: &Before,
    ) -> Result<(), TooLarge> {
        self.lacks |= own != packets;
        if own == Node::FALSE {
            return Ok(());
        }
        self.meets = true;
        if before.taken.rest(diagrams, own)? != Node::FALSE {
            self.left = true;
        } else if !self.left {
            self.takers.extend(those_that_take(diagrams, own, &before.ending)?);
        }
        Ok(())
    }
}

/// Statements that together take all packets of a condition, none of which could be spared.
fn those_that_take(
    diagrams: &mut Diagrams,
    condition: Node,
    earlier: &[(usize, Node)],
) -> Result<Vec<usize>, TooLarge> {
    let (mut left, mut takers) = (condition, Vec::new());
    for &(index, taken) in earlier {
        let rest = diagrams.without(left, taken)?;
        if rest != left {
            takers.push((index, taken));
        }
        left = rest;
        if left == Node::FALSE {
            break;
        }
    }
    if takers.len() <= MOST_SPARED {
        spare(diagrams, condition, &mut takers)?;
    }
    Ok(takers.into_iter().map(|taker| taker.0).collect())
}

/// Leaves out statements whose packets the others take too.
fn spare(diagrams: &mut Diagrams, condition: Node, takers: &mut Vec<(usize, Node)>) -> Result<(), TooLarge> {
    let mut at = 0;
    while at < takers.len() {
        let others = takers.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, taker)| taker.1);
        let others = others.collect::<Vec<_>>();
        let rest = others.into_iter().try_fold(condition, |rest, taken| diagrams.without(rest, taken))?;
        match rest {
            Node::FALSE => drop(takers.remove(at)),
            _ => at += 1,
        }
    }
    Ok(())
}

/// The packets that are taken so far, in parts of twice the size each: one large union would be
/// copied for every statement.
#[derive(Default)]
struct Taken(Vec<Node>);

impl Taken {
    fn add(&mut self, diagrams: &mut Diagrams, mut node: Node) -> Result<(), TooLarge> {
        for part in &mut self.0 {
            if *part == Node::FALSE {
                *part = node;
                return Ok(());
            }
            node = diagrams.or(std::mem::replace(part, Node::FALSE), node)?;
        }
        self.0.push(node);
        Ok(())
    }

    fn rest(&self, diagrams: &mut Diagrams, node: Node) -> Made {
        self.0.iter().try_fold(node, |rest, part| diagrams.without(rest, *part))
    }
}

fn tell(policy: &Policy, index: usize, found: &Found, diagnostics: &mut Diagnostics) {
    let statement = &policy.statements[index];
    let name = &statement.name;
    match found {
        Found::AlwaysTrue => {
            let message = format!("every packet meets the condition of `{name}`");
            let told = diagnostics.report(Code::AlwaysTrue, statement.span, message);
            told.label("always true").help("leave the condition out");
        }
        Found::AlwaysFalse => {
            let message = format!("no packet meets the condition of `{name}`");
            diagnostics.report(Code::AlwaysFalse, statement.span, message).label("never true");
        }
        Found::Taken(takers) => {
            let takers: Vec<&Statement> = takers.iter().map(|&taker| &policy.statements[taker]).collect();
            tell_taken(statement, &takers, diagnostics);
        }
        Found::ServiceTaken(takers) => {
            let takers: Vec<&Statement> = takers.iter().map(|&taker| &policy.statements[taker]).collect();
            tell_service_taken(statement, &takers, diagnostics);
        }
    }
}

fn tell_taken(statement: &Statement, takers: &[&Statement], diagnostics: &mut Diagnostics) {
    let takes = if takers.len() == 1 { "takes" } else { "take" };
    let message =
        format!("`{}` never matches: {} before it {takes} all its packets", statement.name, listed(takers));
    let told = diagnostics.report(Code::NeverMatches, statement.span, message);
    told.label("no packet comes this far");
    point_at(takers, told);
    if statement.decides().is_some() && takers.iter().all(|taker| taker.action != statement.action) {
        let verb = statement.verb();
        told.help(format!(
            "what it should {verb} meets the opposite verdict first: move it up, or take it out"
        ));
    }
}

/// Errors about its flows are not what a service is there for.
fn tell_service_taken(statement: &Statement, takers: &[&Statement], diagnostics: &mut Diagnostics) {
    let takes = if takers.len() == 1 { "takes" } else { "take" };
    let message = format!(
        "at most ICMP errors reach `{}`: {} before it {takes} the packets of its service",
        statement.name,
        listed(takers)
    );
    let told = diagnostics.report(Code::ServiceTaken, statement.span, message);
    told.label("only errors about its flows come this far");
    point_at(takers, told);
    told.help("move it up, or say in its condition what is left to it");
}

fn point_at(takers: &[&Statement], told: &mut Diagnostic) {
    for taker in takers.iter().take(MOST_NAMED) {
        told.also(taker.span, if takers.len() == 1 { "takes them" } else { "takes some of them" });
    }
}

/// `a`, `b` and 3 others
fn listed(takers: &[&Statement]) -> String {
    let mut names: Vec<String> = takers.iter().map(|taker| format!("`{}`", taker.name)).collect();
    if names.len() > MOST_NAMED {
        let others = names.len() - (MOST_NAMED - 1);
        names.truncate(MOST_NAMED - 1);
        names.push(format!("{others} others"));
    }
    match names.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, names)) => format!("{} and {last}", names.join(", ")),
        None => String::new(),
    }
}

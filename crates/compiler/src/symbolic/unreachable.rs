//! Statements that no packet reaches, and conditions that no packet, or every packet, meets.

use super::diagram::{Diagrams, Made, Node};
use super::{Space, TooLarge};
use crate::diagnostic::{Code, Diagnostics};
use crate::plan;
use crate::policy::{Policy, Statement};
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
    let count = policy.statements.len();
    let mut seen = Seen { always: vec![true; count], never: vec![true; count], left: vec![false; count] };
    let mut takers = vec![BTreeSet::new(); count];
    for class in 0..space.classes.len() {
        space.enter(class);
        let packets = space.classes[class].packets;
        if packets == Node::FALSE {
            continue;
        }
        let conditions = conditions(&mut space, packets)?;
        seen.class(policy, &mut space.diagrams, packets, &conditions, &mut takers)?;
    }
    let found = takers.into_iter().enumerate().filter_map(|(index, takers)| {
        let always = seen.always[index] && policy.statements[index].when != crate::policy::Pred::Const(true);
        match (always, seen.never[index], seen.left[index]) {
            (_, true, _) => Some((index, Found::AlwaysFalse)),
            (_, _, false) => Some((index, Found::Taken(takers))),
            (true, _, _) => Some((index, Found::AlwaysTrue)),
            _ => None,
        }
    });
    Ok(found.collect())
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

/// What was seen of each statement in the classes so far.
struct Seen {
    /// Its condition held for every packet.
    always: Vec<bool>,
    /// It held for none.
    never: Vec<bool>,
    /// Some packets were left to it.
    left: Vec<bool>,
}

impl Seen {
    fn class(
        &mut self,
        policy: &Policy,
        diagrams: &mut Diagrams,
        packets: Node,
        conditions: &[Node],
        takers: &mut [BTreeSet<usize>],
    ) -> Result<(), TooLarge> {
        let mut taken = Taken::default();
        for (index, &condition) in conditions.iter().enumerate() {
            self.always[index] &= condition == packets;
            if condition != Node::FALSE {
                self.never[index] = false;
                match taken.rest(diagrams, condition)? {
                    Node::FALSE if !self.left[index] => {
                        let earlier = ending(policy, &conditions[..index]);
                        takers[index].extend(those_that_take(diagrams, condition, earlier)?);
                    }
                    Node::FALSE => {}
                    _ => self.left[index] = true,
                }
                if policy.statements[index].ends() {
                    taken.add(diagrams, condition)?;
                }
            }
        }
        Ok(())
    }
}

fn ending<'a>(policy: &'a Policy, conditions: &'a [Node]) -> impl Iterator<Item = (usize, Node)> + 'a {
    conditions.iter().copied().enumerate().filter(|(index, _)| policy.statements[*index].ends())
}

/// Statements that together take all packets of a condition, none of which could be spared.
fn those_that_take(
    diagrams: &mut Diagrams,
    condition: Node,
    earlier: impl Iterator<Item = (usize, Node)>,
) -> Result<Vec<usize>, TooLarge> {
    let (mut left, mut takers) = (condition, Vec::new());
    for (index, taken) in earlier {
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
    }
}

fn tell_taken(statement: &Statement, takers: &[&Statement], diagnostics: &mut Diagnostics) {
    let takes = if takers.len() == 1 { "takes" } else { "take" };
    let message =
        format!("`{}` never matches: {} before it {takes} all its packets", statement.name, listed(takers));
    let told = diagnostics.report(Code::NeverMatches, statement.span, message);
    told.label("no packet comes this far");
    for taker in takers.iter().take(MOST_NAMED) {
        told.also(taker.span, if takers.len() == 1 { "takes them" } else { "takes some of them" });
    }
    if statement.decides().is_some() && takers.iter().all(|taker| taker.action != statement.action) {
        let verb = statement.verb();
        told.help(format!(
            "what it should {verb} meets the opposite verdict first: move it up, or take it out"
        ));
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

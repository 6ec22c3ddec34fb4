//! Statements that no packet reaches, and conditions that no packet meets.
//!
//! Inside one packet class a condition becomes a list of boxes: conjunctions of "this value is in
//! these ranges" and of questions that are only compared as a whole. A statement is unreachable in
//! a class if one earlier statement that ends the packet's way has a box around each of its boxes.
//! This finds what people write by mistake; it does not claim to find everything.

use super::{Class, Plan, sets};
use crate::diagnostic::{Code, Diagnostics};
use crate::policy::{Action, Compare, Policy, Pred, Relation, Statement, Term};
use std::collections::{BTreeMap, BTreeSet};

/// Conditions with more alternatives than this are not looked at.
const MOST_BOXES: usize = 64;

/// In longer policies only statements that take everything are compared with the others.
const MOST_STATEMENTS: usize = 400;

type Ranges = Vec<(u128, u128)>;

/// A conjunction.
#[derive(Clone, Default, Debug, PartialEq)]
struct Cell {
    /// Values that are there and in ranges.
    inside: BTreeMap<Term, Ranges>,
    /// Values that are in none of these ranges, or not there.
    outside: BTreeMap<Term, Ranges>,
    /// Other questions and their answers.
    asked: BTreeSet<(Pred, bool)>,
    /// No packet is in it.
    empty: bool,
}

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
    let classes: Vec<Vec<Option<Vec<Cell>>>> =
        plan.classes.iter().map(|c| c.conditions.iter().map(|p| cells(p, true)).collect()).collect();
    for (index, statement) in policy.statements.iter().enumerate() {
        if statement.when != Pred::Const(true) && always_true(index, &plan.classes) {
            diagnostics
                .report(
                    Code::AlwaysTrue,
                    statement.span,
                    format!("every packet meets the condition of `{}`", statement.name),
                )
                .label("always true")
                .help("leave the condition out");
        }
        if never_true(index, &plan.classes, &classes) {
            diagnostics
                .report(
                    Code::AlwaysFalse,
                    statement.span,
                    format!("no packet meets the condition of `{}`", statement.name),
                )
                .label("never true");
        } else if let Some(by) = shadowed_by(policy, index, &plan.classes, &classes) {
            let names: Vec<_> = by.iter().map(|&i| format!("`{}`", policy.statements[i].name)).collect();
            let found = diagnostics.report(
                Code::NeverMatches,
                statement.span,
                format!(
                    "`{}` never matches: {} before it takes all its packets",
                    statement.name,
                    names.join(" and ")
                ),
            );
            found.label("no packet comes this far");
            for i in by {
                found.also(policy.statements[i].span, "takes them");
            }
        }
    }
}

fn never_true(index: usize, classes: &[Class], cells: &[Vec<Option<Vec<Cell>>>]) -> bool {
    classes.iter().zip(cells).all(|(class, cells)| {
        class.conditions[index] == Pred::Const(false) || cells[index].as_ref().is_some_and(Vec::is_empty)
    })
}

fn always_true(index: usize, classes: &[Class]) -> bool {
    classes.iter().all(|class| class.conditions[index] == Pred::Const(true))
}

/// The earlier statements that together leave nothing over, if there are such.
fn shadowed_by(
    policy: &Policy,
    index: usize,
    classes: &[Class],
    cells: &[Vec<Option<Vec<Cell>>>],
) -> Option<BTreeSet<usize>> {
    let mut by = BTreeSet::new();
    let long = policy.statements.len() > MOST_STATEMENTS;
    for (class, cells) in classes.iter().zip(cells) {
        let mine = cells[index].as_ref()?;
        if mine.is_empty() {
            continue;
        }
        let takes = |&earlier: &usize| {
            ends(&policy.statements[earlier])
                && (class.conditions[earlier] == Pred::Const(true)
                    || !long && cells[earlier].as_ref().is_some_and(|theirs| covers(theirs, mine)))
        };
        by.insert((0..index).find(takes)?);
    }
    (!by.is_empty()).then_some(by)
}

fn ends(statement: &Statement) -> bool {
    matches!(statement.action, Action::Verdict(_)) && !statement.shadow
}

fn covers(theirs: &[Cell], mine: &[Cell]) -> bool {
    mine.iter().all(|cell| theirs.iter().any(|around| around.holds_all_of(cell)))
}

impl Cell {
    /// Whether every packet of `other` is in this cell.
    fn holds_all_of(&self, other: &Cell) -> bool {
        let inside = self.inside.iter().all(|(term, ranges)| {
            other.inside.get(term).is_some_and(|theirs| theirs.iter().all(|r| within(*r, ranges)))
        });
        let outside = self.outside.iter().all(|(term, ranges)| {
            let elsewhere = other.inside.get(term).is_some_and(|theirs| intersect(theirs, ranges).is_empty());
            let excluded =
                other.outside.get(term).is_some_and(|theirs| ranges.iter().all(|r| within(*r, theirs)));
            elsewhere || excluded
        });
        inside && outside && self.asked.is_subset(&other.asked)
    }

    /// Both at once.
    fn and(&self, other: &Cell) -> Cell {
        let mut both = self.clone();
        for (term, ranges) in &other.inside {
            let joined = match both.inside.get(term) {
                Some(mine) => intersect(mine, ranges),
                None => ranges.clone(),
            };
            both.inside.insert(term.clone(), joined);
        }
        for (term, ranges) in &other.outside {
            both.outside.entry(term.clone()).or_default().extend(ranges);
        }
        both.asked.extend(other.asked.iter().cloned());
        let contradicts =
            both.asked.iter().any(|(pred, answer)| both.asked.contains(&(pred.clone(), !answer)));
        let nowhere = both.inside.iter().any(|(term, ranges)| {
            let gone = both.outside.get(term);
            ranges.iter().all(|r| gone.is_some_and(|gone| within(*r, gone)))
        });
        both.empty = self.empty || other.empty || contradicts || nowhere;
        both
    }
}

/// The boxes of a condition, or of its opposite; `None` if there are too many.
fn cells(pred: &Pred, truth: bool) -> Option<Vec<Cell>> {
    match (pred, truth) {
        (Pred::Const(value), _) => Some(if *value == truth { vec![Cell::default()] } else { Vec::new() }),
        (Pred::Not(inner), _) => cells(inner, !truth),
        (Pred::And(list), true) | (Pred::Or(list), false) => {
            let mut all = vec![Cell::default()];
            for part in list {
                let part = cells(part, truth)?;
                let product = all.iter().flat_map(|a| part.iter().map(|b| a.and(b)));
                all = product.filter(|cell| !cell.empty).collect();
                if all.len() > MOST_BOXES {
                    return None;
                }
            }
            Some(all)
        }
        (Pred::Or(list), true) | (Pred::And(list), false) => {
            let mut any = Vec::new();
            for part in list {
                any.extend(cells(part, truth)?);
                if any.len() > MOST_BOXES {
                    return None;
                }
            }
            Some(any)
        }
        (Pred::In(term, ranges), _) => Some(vec![literal(term, ranges.clone(), truth)]),
        (Pred::Compare(compare), _) => Some(comparison(pred, compare, truth)),
        (other, _) => Some(vec![Cell { asked: BTreeSet::from([(other.clone(), truth)]), ..Cell::default() }]),
    }
}

fn literal(term: &Term, ranges: Ranges, truth: bool) -> Cell {
    let of_term = BTreeMap::from([(term.clone(), ranges)]);
    match truth {
        true => Cell { inside: of_term, ..Cell::default() },
        false => Cell { outside: of_term, ..Cell::default() },
    }
}

fn comparison(pred: &Pred, compare: &Compare, truth: bool) -> Vec<Cell> {
    let as_asked = || vec![Cell { asked: BTreeSet::from([(pred.clone(), truth)]), ..Cell::default() }];
    // Computed values may be negative, which ranges do not know.
    let (Term::Const(bound), false) = (&compare.right, matches!(compare.left, Term::Binary(..))) else {
        return as_asked();
    };
    let most = u128::MAX;
    let ranges = match compare.op {
        Relation::Eq => vec![(*bound, *bound)],
        Relation::Ne if *bound == 0 => vec![(1, most)],
        Relation::Ne => vec![(0, bound - 1), (bound.saturating_add(1), most)],
        Relation::Lt if *bound == 0 => Vec::new(),
        Relation::Lt => vec![(0, bound - 1)],
        Relation::Le => vec![(0, *bound)],
        Relation::Gt => vec![(bound.saturating_add(1), most)],
        Relation::Ge => vec![(*bound, most)],
    };
    vec![literal(&compare.left, ranges, truth)]
}

fn within(range: (u128, u128), ranges: &[(u128, u128)]) -> bool {
    ranges.iter().any(|&(low, high)| low <= range.0 && range.1 <= high)
}

fn intersect(a: &[(u128, u128)], b: &[(u128, u128)]) -> Ranges {
    let pairs = a.iter().flat_map(|x| b.iter().map(move |y| (x.0.max(y.0), x.1.min(y.1))));
    pairs.filter(|(low, high)| low <= high).collect()
}

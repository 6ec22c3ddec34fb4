//! Statements that are matched as one.
//!
//! A run is neighbouring statements that each end the way of their packets, and whose conditions are
//! boxes over a few values: ranges, prefixes, single values, presence. First match over boxes is
//! what a [`Table`](crate::table::Table) is, and costs about the same for ten thousand rows as for fifty.
//! What is in no run is asked one by one.

use super::Site;
use super::cost::pred_cost;
use super::demand::{base_terms, is_optional, width};
use crate::policy::{Compare, HeaderRef, Policy, Pred, Protocols, Relation, Term};
use crate::table::{MOST_WORDS, Range, Table, boxes};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Shorter runs are a chain: a table costs a packet about as much as this many comparisons that fail (20 ns
/// to 0.3 ns each, with some that need two).
const SHORTEST_RUN: usize = 48;

/// Where a policy has a run of that length, shorter ones from this on are tables as well. They cost a few nanoseconds
/// more than chains, but statements that come and go in the long run, whose other ways through the program the short
/// ones are, then need no other program.
const SHORTEST_BESIDE: usize = 16;

/// How long a run is at least in a policy that has these.
pub(super) fn shortest_run(sites: &BTreeMap<Site, Pieces>) -> usize {
    let longest = sites.values().map(|pieces| pieces.longest).max().unwrap_or(0);
    if longest >= SHORTEST_RUN { SHORTEST_BESIDE } else { SHORTEST_RUN }
}

/// A condition of more boxes than this is asked by itself: as a tree in the code it costs less.
const MOST_BOXES: usize = 256;

/// What a word of a table's key is.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Word {
    /// A value, or its low 64 bits.
    Low(Term),
    /// What a wide value has above them.
    High(Term),
    /// Whether a header is there, which the class does not know.
    Header(HeaderRef),
    /// Whether a value is there that may be missing.
    There(Term),
}

/// What comes next in a chain.
#[derive(Clone, Debug)]
pub enum Step {
    /// A statement by itself.
    One(usize),
    /// Statements that are matched as one.
    Run(Run),
}

/// Statements that are matched as one. The result of a row is the statement's number, from 1.
#[derive(Clone, Debug)]
pub struct Run {
    /// The words of the key.
    pub words: Vec<Word>,
    /// The rows.
    pub table: Table,
}

/// A range for each word that a box asks.
type Cell = BTreeMap<Word, Range>;

/// What a condition is made of, where it can be boxes.
struct Boxes<'a> {
    protocols: &'a Protocols,
    statics: &'a BTreeSet<HeaderRef>,
}

/// Statements of a policy, with what is left of their conditions in one place of the program.
pub(super) struct Chain<'a> {
    pub(super) policy: &'a Policy,
    /// The headers whose presence is known there.
    pub(super) statics: &'a BTreeSet<HeaderRef>,
    /// The first statement.
    pub(super) first: usize,
    /// What is left of its condition, and of those of the next ones.
    pub(super) conditions: &'a [Pred],
}

impl Chain<'_> {
    /// Neighbours that may be a run, and others by themselves. Those that are `alone` are in none.
    pub(super) fn pieces(&self, alone: &dyn Fn(usize) -> bool) -> Pieces {
        let boxes = Boxes { protocols: &self.policy.protocols, statics: self.statics };
        let mut pieces: Vec<Piece> = Vec::new();
        for (index, condition) in (self.first..).zip(self.conditions) {
            let statement = &self.policy.statements[index];
            if *condition == Pred::Const(false) {
                continue;
            }
            let cells =
                if statement.decides().is_some() && !alone(index) { boxes.of(condition, true) } else { None };
            match (cells.filter(|cells| Piece::default().takes(cells)), pieces.last_mut()) {
                (Some(cells), Some(last)) if last.takes(&cells) => last.add(index, cells),
                (Some(cells), _) => {
                    let mut piece = Piece::default();
                    piece.add(index, cells);
                    pieces.push(piece);
                }
                (None, _) => {
                    pieces.push(Piece {
                        statements: vec![(index, Vec::new())],
                        closed: true,
                        ..Piece::default()
                    });
                }
            }
        }
        Pieces { cost: self.cost(&pieces), longest: longest(&pieces), list: pieces.into() }
    }

    /// What they add to a program's size, in comparisons.
    fn cost(&self, pieces: &[Piece]) -> u64 {
        let one = |index: usize| pred_cost(&self.conditions[index - self.first]);
        let piece = |piece: &Piece| match piece.is_run(SHORTEST_RUN) {
            // Rows are data, which costs less than code.
            true => piece.statements.iter().map(|(_, cells)| cells.len() as u64).sum::<u64>() / 4,
            false => piece.statements.iter().map(|(index, _)| one(*index)).sum(),
        };
        pieces.iter().map(piece).sum()
    }
}

fn longest(pieces: &[Piece]) -> usize {
    let open = pieces.iter().filter(|piece| !piece.closed);
    open.map(|piece| piece.statements.len()).max().unwrap_or(0)
}

/// What the statements of a site may be matched as.
#[derive(Clone)]
pub(super) struct Pieces {
    list: Rc<[Piece]>,
    /// What they add to a program's size, in comparisons.
    pub(super) cost: u64,
    /// How many statements the longest has that may be a run.
    longest: usize,
}

impl Pieces {
    /// How they are matched if runs have `shortest` statements at least.
    pub(super) fn steps(&self, protocols: &Protocols, shortest: usize) -> Vec<Step> {
        let mut steps = Vec::new();
        for piece in self.list.iter() {
            match piece.run(protocols, shortest).filter(|run| run.table.parts()) {
                Some(run) => steps.push(Step::Run(run)),
                None => steps.extend(piece.statements.iter().map(|(index, _)| Step::One(*index))),
            }
        }
        steps
    }

    /// Neighbours that may be matched as one, and whether they are.
    pub(super) fn groups(&self, protocols: &Protocols, shortest: usize) -> Vec<Group> {
        let group = |piece: &Piece| {
            let run = piece.run(protocols, FEWEST)?;
            let is_run = piece.is_run(shortest) && run.table.parts();
            let statements = piece.statements.iter().map(|(index, _)| *index).collect();
            Some(Group { statements, run, is_run })
        };
        self.list.iter().filter_map(group).collect()
    }
}

/// Fewer are no group.
const FEWEST: usize = 2;

/// Neighbours that may be matched as one.
pub(super) struct Group {
    pub(super) statements: Vec<usize>,
    /// As one, if its rows can be cut apart.
    pub(super) run: Run,
    /// Whether they are matched so.
    pub(super) is_run: bool,
}

/// Neighbours that may become a run.
#[derive(Default)]
struct Piece {
    statements: Vec<(usize, Vec<Cell>)>,
    words: BTreeSet<Word>,
    /// It is one statement that is no boxes.
    closed: bool,
}

impl Piece {
    fn takes(&self, cells: &[Cell]) -> bool {
        let more = cells.iter().flat_map(Cell::keys).filter(|word| !self.words.contains(word));
        !self.closed && self.words.len() + more.collect::<BTreeSet<_>>().len() <= MOST_WORDS
    }

    fn add(&mut self, index: usize, cells: Vec<Cell>) {
        self.words.extend(cells.iter().flat_map(|cell| cell.keys().cloned()));
        self.statements.push((index, cells));
    }

    fn is_run(&self, shortest: usize) -> bool {
        !self.closed && self.statements.len() >= shortest && !self.words.is_empty()
    }

    fn run(&self, protocols: &Protocols, shortest: usize) -> Option<Run> {
        if !self.is_run(shortest) {
            return None;
        }
        let words: Vec<Word> = self.words.iter().cloned().collect();
        let bits: Vec<u8> = words.iter().map(|word| word.bits(protocols)).collect();
        let range = |cell: &Cell, word: &Word, bits: u8| {
            cell.get(word).copied().unwrap_or((0, u64::MAX >> (64 - bits)))
        };
        let mut table = Table::new(bits.clone());
        for (index, cells) in &self.statements {
            for cell in cells {
                let ranges: Vec<_> =
                    words.iter().zip(&bits).map(|(word, bits)| range(cell, word, *bits)).collect();
                table.push(&ranges, *index as u32 + 1);
            }
        }
        Some(Run { words, table })
    }
}

impl Word {
    fn bits(&self, protocols: &Protocols) -> u8 {
        match self {
            Word::Low(term) => width(protocols, term).min(64),
            Word::High(term) => width(protocols, term) - 64,
            Word::Header(_) | Word::There(_) => 1,
        }
    }
}

impl Boxes<'_> {
    /// The boxes in which a condition is true, or false; `None` if it is no boxes, or too many.
    fn of(&self, pred: &Pred, truth: bool) -> Option<Vec<Cell>> {
        match pred {
            Pred::Const(value) => Some(if *value == truth { vec![Cell::new()] } else { vec![] }),
            Pred::Not(inner) => self.of(inner, !truth),
            Pred::And(list) if truth => self.all(list, truth),
            Pred::Or(list) if !truth => self.all(list, truth),
            Pred::And(list) | Pred::Or(list) => self.any(list, truth),
            Pred::Header(header) if self.statics.contains(header) => {
                Some(if truth { vec![Cell::new()] } else { vec![] })
            }
            Pred::Header(header) => Some(vec![bit(Word::Header(*header), truth)]),
            Pred::There(term @ (Term::Field(_) | Term::Slice(_))) => Some(self.there(term, truth)),
            Pred::In(term, ranges) => self.ranges(term, ranges, truth),
            Pred::Compare(Compare { left, op, right: Term::Const(value) }) => {
                let most = self.most(left)?;
                self.ranges(left, &inside(*op, *value, most), truth)
            }
            Pred::There(_) | Pred::Compare(_) | Pred::InSet(..) => None,
        }
    }

    fn all(&self, list: &[Pred], truth: bool) -> Option<Vec<Cell>> {
        let mut all = vec![Cell::new()];
        for pred in list {
            let more = self.of(pred, truth)?;
            if all.len() * more.len() > MOST_BOXES {
                return None;
            }
            all = all.iter().flat_map(|a| more.iter().filter_map(|b| meet(a, b))).collect();
        }
        Some(all)
    }

    fn any(&self, list: &[Pred], truth: bool) -> Option<Vec<Cell>> {
        let mut any = Vec::new();
        for pred in list {
            any.extend(self.of(pred, truth)?);
            if any.len() > MOST_BOXES {
                return None;
            }
        }
        Some(any)
    }

    /// Whether a value is there.
    fn there(&self, term: &Term, truth: bool) -> Vec<Cell> {
        match self.presence(term) {
            Some(word) => vec![bit(word, truth)],
            None if truth => vec![Cell::new()],
            None => vec![],
        }
    }

    /// What says whether a value is there, where that is not certain.
    fn presence(&self, term: &Term) -> Option<Word> {
        let header = match term {
            Term::Field(field) => field.header,
            Term::Slice(slice) => slice.header,
            _ => return None,
        };
        match is_optional(self.protocols, term) {
            true => Some(Word::There(term.clone())),
            false if self.statics.contains(&header) => None,
            false => Some(Word::Header(header)),
        }
    }

    /// The largest value of a term that can be a word.
    fn most(&self, term: &Term) -> Option<u128> {
        match term {
            Term::Field(_) | Term::Slice(_) | Term::FrameLen => {
                Some(u128::MAX >> (128 - u32::from(width(self.protocols, term))))
            }
            _ => None,
        }
    }

    /// Where a value is there and in ranges, or where that is not so.
    fn ranges(&self, term: &Term, ranges: &[(u128, u128)], truth: bool) -> Option<Vec<Cell>> {
        let most = self.most(term)?;
        debug_assert!(base_terms(&Pred::There(term.clone())).len() <= 1);
        let inside = if truth { ranges.to_vec() } else { others(ranges, most) };
        if inside.len() > MOST_BOXES {
            return None;
        }
        let mut cells: Vec<Cell> = inside.iter().flat_map(|range| self.cells(term, *range)).collect();
        match self.presence(term) {
            Some(word) if truth => {
                for cell in &mut cells {
                    cell.insert(word.clone(), (1, 1));
                }
            }
            Some(word) => cells.push(bit(word, false)),
            None => {}
        }
        Some(cells)
    }

    /// A range of a value as boxes over its words; what is whole is not asked.
    fn cells(&self, term: &Term, range: (u128, u128)) -> Vec<Cell> {
        let bits = width(self.protocols, term);
        let (high, low) = (Word::High(term.clone()), Word::Low(term.clone()));
        let words = if bits <= 64 { vec![low] } else { vec![high, low] };
        let asked = |(word, range): (&Word, Range)| {
            let whole = range == (0, u64::MAX >> (64 - word.bits(self.protocols)));
            (!whole).then(|| (word.clone(), range))
        };
        let cell = |ranges: Vec<Range>| words.iter().zip(ranges).filter_map(asked).collect();
        boxes(bits, range).into_iter().map(cell).collect()
    }
}

fn bit(word: Word, truth: bool) -> Cell {
    Cell::from([(word, (u64::from(truth), u64::from(truth)))])
}

/// What lies in both.
fn meet(a: &Cell, b: &Cell) -> Option<Cell> {
    let mut both = a.clone();
    for (word, range) in b {
        let here = both.entry(word.clone()).or_insert(*range);
        *here = (here.0.max(range.0), here.1.min(range.1));
        if here.0 > here.1 {
            return None;
        }
    }
    Some(both)
}

/// The values from 0 to `most` that stand in a relation to a constant.
fn inside(op: Relation, value: u128, most: u128) -> Vec<(u128, u128)> {
    // A constant below zero, in two's complement; only calculations give one, and they are compared signed.
    let below = (value as i128) < 0 && most < 1 << 127;
    let up_to = |end: Option<u128>| end.map(|end| (0, end.min(most)));
    let from = |start: Option<u128>| start.filter(|start| *start <= most).map(|start| (start, most));
    let ranges = match op {
        _ if below => {
            let all = matches!(op, Relation::Ne | Relation::Gt | Relation::Ge);
            [all.then_some((0, most)), None]
        }
        Relation::Eq => [(value <= most).then_some((value, value)), None],
        Relation::Ne => [up_to(value.checked_sub(1)), from(value.checked_add(1))],
        Relation::Lt => [up_to(value.checked_sub(1)), None],
        Relation::Le => [up_to(Some(value)), None],
        Relation::Gt => [from(value.checked_add(1)), None],
        Relation::Ge => [from(Some(value)), None],
    };
    ranges.into_iter().flatten().collect()
}

/// The values from 0 to `most` in none of the ranges.
fn others(ranges: &[(u128, u128)], most: u128) -> Vec<(u128, u128)> {
    let mut sorted = ranges.to_vec();
    sorted.sort_unstable();
    let (mut others, mut next) = (Vec::new(), Some(0));
    for (low, high) in sorted {
        let Some(start) = next else { break };
        if low > start {
            others.push((start, (low - 1).min(most)));
        }
        next = high.checked_add(1).map(|after| after.max(start)).filter(|after| *after <= most);
    }
    others.extend(next.map(|start| (start, most)));
    others
}

//! Statements that are matched as one.
//!
//! A run is neighbouring statements that each end the way of their packets or only count them, and whose conditions are
//! boxes over a few values: ranges, prefixes, single values, presence. First match over boxes is
//! what a [`Table`](crate::table::Table) is, and costs about the same for ten thousand rows as for fifty; rows that
//! count take another walk. What is in no run is asked one by one.

use super::Site;
use super::boxes::{Boxes, Cell};
use super::cost::{COSTS, pred_cost};
use super::demand::width;
use crate::policy::{HeaderRef, Policy, Pred, Protocols, Statement, Term};
use crate::table::{MOST_WORDS, Table};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

/// Shorter runs are a chain.
const SHORTEST_RUN: usize = COSTS.shortest_run();

/// Where a policy has a run of that length, shorter ones from this on are tables as well. They cost a few nanoseconds
/// more than chains, but statements that come and go in the long run, whose other ways through the program the short
/// ones are, then need no other program.
const SHORTEST_BESIDE: usize = 16;

/// So many rows that count are tried for the price of a walk; more cost two comparisons each.
const FEW_TRIED: f64 = 8.0;

/// How long a run is at least in a policy that has these.
pub(super) fn shortest_run(sites: &BTreeMap<Site, Pieces>) -> usize {
    if sites.values().any(|pieces| pieces.has_run) { SHORTEST_BESIDE } else { SHORTEST_RUN }
}

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
    /// The rows, those that count among those that decide.
    pub table: Table,
}

impl Run {
    /// Its statements in their order.
    pub fn statements(&self) -> Vec<usize> {
        let mut statements: Vec<usize> =
            self.table.entries().map(|entry| entry.row().result as usize - 1).collect();
        statements.dedup();
        statements
    }
}

/// Statements of a policy, with what is left of their conditions in one place of the program.
pub(super) struct Chain<'a> {
    pub(super) members: &'a Members<'a>,
    /// The first statement.
    pub(super) first: usize,
    /// What is left of its condition, and of those of the next ones.
    pub(super) conditions: &'a [Pred],
}

impl Chain<'_> {
    /// Neighbours that may be a run, and others by themselves. Those that are `alone` are in none.
    pub(super) fn pieces(&self, alone: &dyn Fn(usize) -> bool) -> Pieces {
        let mut pieces: Vec<Piece> = Vec::new();
        for (index, condition) in (self.first..).zip(self.conditions) {
            if *condition == Pred::Const(false) {
                continue;
            }
            let member = if alone(index) { None } else { self.members.of(index, condition) };
            match (member.filter(|member| Piece::default().takes(member)), pieces.last_mut()) {
                (Some(member), Some(last)) if last.takes(&member) => last.add(member),
                (Some(member), _) => pieces.push(Piece::from_iter([member])),
                (None, _) => pieces.push(Piece::closed(index)),
            }
        }
        Pieces { cost: self.cost(&pieces), has_run: has_run(&pieces), list: pieces.into() }
    }

    /// What they add to a program's size, in comparisons.
    fn cost(&self, pieces: &[Piece]) -> u64 {
        let one = |index: usize| pred_cost(&self.conditions[index - self.first]);
        let piece = |piece: Piece| match piece.is_run(SHORTEST_RUN) {
            // Rows are data, which costs less than code.
            true => piece.members.iter().map(|member| member.cells.len() as u64).sum::<u64>() / 4,
            false => piece.members.iter().map(|member| one(member.index)).sum(),
        };
        pieces.iter().flat_map(|whole| whole.clone().divided(SHORTEST_RUN)).map(piece).sum()
    }
}

/// The statements of a policy as boxes. Most sites leave the same of a condition, and to take its boxes apart is the most
/// that a plan costs: it is done once.
pub(super) struct Members<'a> {
    policy: &'a Policy,
    /// The headers whose presence is known.
    statics: &'a BTreeSet<HeaderRef>,
    /// By statement, and by what is left of its condition.
    known: RefCell<Vec<HashMap<Pred, Option<Member>>>>,
}

impl<'a> Members<'a> {
    pub(super) fn new(policy: &'a Policy, statics: &'a BTreeSet<HeaderRef>) -> Self {
        let known = RefCell::new(vec![HashMap::new(); policy.statements.len()]);
        Self { policy, statics, known }
    }

    pub(super) fn protocols(&self) -> &'a Protocols {
        &self.policy.protocols
    }

    /// A statement as boxes, if it can be, where so much is left of its condition.
    fn of(&self, index: usize, condition: &Pred) -> Option<Member> {
        let known = &mut self.known.borrow_mut()[index];
        if let Some(member) = known.get(condition) {
            return member.clone();
        }
        let member = self.make(index, condition);
        known.insert(condition.clone(), member.clone());
        member
    }

    fn make(&self, index: usize, condition: &Pred) -> Option<Member> {
        let boxes = Boxes { protocols: &self.policy.protocols, statics: self.statics };
        let role = Role::of(&self.policy.statements[index])?;
        let cells = boxes.of(condition, true)?;
        // A packet in several boxes of one statement is counted once.
        let cells = if role == Role::Counts { boxes.apart(cells)? } else { cells };
        let words = cells.iter().flat_map(Cell::keys).cloned().collect();
        Some(Member { index, role, words: Rc::new(words), cells: cells.into() })
    }
}

fn has_run(pieces: &[Piece]) -> bool {
    let divided = |piece: &Piece| piece.clone().divided(SHORTEST_RUN);
    pieces.iter().flat_map(divided).any(|piece| piece.is_run(SHORTEST_RUN))
}

/// What the statements of a site may be matched as.
#[derive(Clone)]
pub(super) struct Pieces {
    list: Rc<[Piece]>,
    /// What they add to a program's size, in comparisons.
    pub(super) cost: u64,
    /// Whether one of them is a run in any policy.
    has_run: bool,
}

impl Pieces {
    /// How they are matched if runs have `shortest` statements at least.
    pub(super) fn steps(&self, protocols: &Protocols, shortest: usize) -> Vec<Step> {
        let steps = |(piece, run): (Piece, Option<Run>)| match run {
            Some(run) => vec![Step::Run(run)],
            None => piece.indices().map(Step::One).collect(),
        };
        self.matched(protocols, shortest).into_iter().flat_map(steps).collect()
    }

    /// Neighbours that may be matched as one, and whether they are.
    pub(super) fn groups(&self, protocols: &Protocols, shortest: usize) -> Vec<Group> {
        let group = |(piece, run): (Piece, Option<Run>)| {
            let (is_run, statements) = (run.is_some(), piece.indices().collect());
            let run = run.or_else(|| piece.is_run(FEWEST).then(|| piece.run(protocols)))?;
            Some(Group { statements, run, is_run })
        };
        self.matched(protocols, shortest).into_iter().filter_map(group).collect()
    }

    /// What stays together, with the run that it is if it is one.
    fn matched(&self, protocols: &Protocols, shortest: usize) -> Vec<(Piece, Option<Run>)> {
        self.list.iter().flat_map(|piece| piece.clone().matched(protocols, shortest)).collect()
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

/// What a statement of a run does with its packets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Decides,
    Counts,
}

impl Role {
    /// Statements that keep something are in no run.
    fn of(statement: &Statement) -> Option<Role> {
        let decides = statement.decides().map(|_| Role::Decides);
        decides.or(statement.only_counts().then_some(Role::Counts))
    }
}

/// A statement of a piece.
#[derive(Clone)]
struct Member {
    index: usize,
    role: Role,
    /// What its boxes ask.
    words: Rc<BTreeSet<Word>>,
    cells: Rc<[Cell]>,
}

/// Neighbours that may become a run.
#[derive(Clone, Default)]
struct Piece {
    members: Vec<Member>,
    words: BTreeSet<Word>,
    /// It is one statement that is no boxes.
    closed: bool,
}

impl FromIterator<Member> for Piece {
    fn from_iter<T: IntoIterator<Item = Member>>(members: T) -> Self {
        let mut piece = Piece::default();
        members.into_iter().for_each(|member| piece.add(member));
        piece
    }
}

impl Piece {
    /// A statement that is in no run.
    fn closed(index: usize) -> Self {
        let member = Member { index, role: Role::Decides, words: Rc::default(), cells: Rc::new([]) };
        Self { closed: true, ..Piece::from_iter([member]) }
    }

    fn takes(&self, member: &Member) -> bool {
        !self.closed && self.words.len() + member.words.difference(&self.words).count() <= MOST_WORDS
    }

    fn add(&mut self, member: Member) {
        self.words.extend(member.words.iter().cloned());
        self.members.push(member);
    }

    fn indices(&self) -> impl Iterator<Item = usize> + '_ {
        self.members.iter().map(|member| member.index)
    }

    /// Whether it costs a packet no less to match its parts by themselves.
    fn is_run(&self, shortest: usize) -> bool {
        self.spares(shortest).is_some()
    }

    /// How many comparisons a packet is spared if it is matched as one: those that decide take a walk, those that count
    /// another, and each walk is worth the shortest run. Where there are both, the rest is what its parts cost by
    /// themselves: a `count` in the middle of a long run is a row of it, one before it is not.
    fn spares(&self, shortest: usize) -> Option<usize> {
        let parts = self.members.chunk_by(|a, b| a.role == b.role).map(<[Member]>::len);
        let (walks, otherwise) = match self.is_pure() {
            true => (1, parts.sum::<usize>()),
            false => (2, parts.map(|length| length.min(shortest)).sum()),
        };
        let spares = otherwise.checked_sub(shortest.saturating_mul(walks));
        spares.filter(|_| !self.closed && !self.words.is_empty())
    }

    /// As one, if that is a run, can be cut apart, and rows that count do not cost what it spares: they hide nothing, so
    /// that a walk tries all that overlap.
    fn as_run(&self, protocols: &Protocols, shortest: usize) -> Option<Run> {
        let spares = self.spares(shortest)?;
        let run = self.run(protocols);
        let tried = run.table.counting().map_or(Some(0.0), |counting| counting.rows().tried())?;
        let more = 2.0 * (tried - FEW_TRIED).max(0.0);
        (run.table.parts() && more <= spares as f64).then_some(run)
    }

    /// Whether all of it does the same.
    fn is_pure(&self) -> bool {
        self.members.iter().all(|member| member.role == self.members[0].role)
    }

    /// What would be matched by itself if runs have `shortest` statements at least: the whole, or what decides and what
    /// counts.
    fn divided(self, shortest: usize) -> Vec<Piece> {
        if self.is_run(shortest) || self.is_pure() {
            return vec![self];
        }
        let parts = self.members.chunk_by(|a, b| a.role == b.role);
        parts.map(|part| part.iter().cloned().collect()).collect()
    }

    /// How it is matched: what is no run, though it has the length of one, is tried again in halves.
    fn matched(self, protocols: &Protocols, shortest: usize) -> Vec<(Piece, Option<Run>)> {
        let mut found = Vec::new();
        for piece in self.divided(shortest) {
            let run = piece.as_run(protocols, shortest);
            if run.is_some() || piece.members.len() < 2 || !piece.is_run(shortest) {
                found.push((piece, run));
                continue;
            }
            let (first, second) = piece.members.split_at(piece.members.len() / 2);
            for half in [first, second] {
                found.extend(Piece::from_iter(half.iter().cloned()).matched(protocols, shortest));
            }
        }
        found
    }

    fn run(&self, protocols: &Protocols) -> Run {
        let words: Vec<Word> = self.words.iter().cloned().collect();
        let mut table = Table::new(words.iter().map(|word| word.bits(protocols)).collect());
        let whole: Vec<_> = words.iter().map(|word| (0, word.most(protocols))).collect();
        for Member { index, role, cells, .. } in &self.members {
            let result = *index as u32 + 1;
            for cell in cells.iter() {
                let range = |(word, whole)| cell.get(word).copied().unwrap_or(whole);
                let ranges: Vec<_> = words.iter().zip(whole.iter().copied()).map(range).collect();
                match role {
                    Role::Decides => table.push(&ranges, result),
                    Role::Counts => table.push_counting(&ranges, result),
                }
            }
        }
        Run { words, table }
    }
}

impl Word {
    /// Its width.
    pub(super) fn bits(&self, protocols: &Protocols) -> u8 {
        match self {
            Word::Low(term) => width(protocols, term).min(64),
            Word::High(term) => width(protocols, term) - 64,
            Word::Header(_) | Word::There(_) => 1,
        }
    }

    /// Its largest value.
    pub(super) fn most(&self, protocols: &Protocols) -> u64 {
        u64::MAX >> (64 - self.bits(protocols))
    }
}

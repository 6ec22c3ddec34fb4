//! Conditions as boxes: ranges, prefixes, single values and presence over a few words.

use super::demand::{base_terms, is_optional, width};
use super::tables::Word;
use crate::policy::{Compare, HeaderRef, Pred, Protocols, Relation, Term};
use crate::table::{Range, boxes};
use std::collections::{BTreeMap, BTreeSet};

/// A condition of more boxes than this is asked by itself: as a tree in the code it costs less.
const MOST_BOXES: usize = 256;

/// A range for each word that a box asks.
pub(super) type Cell = BTreeMap<Word, Range>;

/// What a condition is made of, where it can be boxes.
pub(super) struct Boxes<'a> {
    pub(super) protocols: &'a Protocols,
    pub(super) statics: &'a BTreeSet<HeaderRef>,
}

impl Boxes<'_> {
    /// The boxes in which a condition is true, or false; `None` if it is no boxes, or too many.
    pub(super) fn of(&self, pred: &Pred, truth: bool) -> Option<Vec<Cell>> {
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

    /// The same boxes as others of which none meets another; `None` if they are too many.
    pub(super) fn apart(&self, cells: Vec<Cell>) -> Option<Vec<Cell>> {
        let mut apart: Vec<Cell> = Vec::new();
        for cell in cells {
            let mut left = vec![cell];
            for other in &apart {
                left = left.into_iter().flat_map(|cell| self.without(cell, other)).collect();
                if left.len() > MOST_BOXES {
                    return None;
                }
            }
            apart.extend(left);
        }
        (apart.len() <= MOST_BOXES).then_some(apart)
    }

    /// What of a box lies outside of another.
    fn without(&self, cell: Cell, other: &Cell) -> Vec<Cell> {
        if !meets(&cell, other) {
            return vec![cell];
        }
        let (mut inside, mut outside) = (cell, Vec::new());
        for (word, (low, high)) in other {
            let here = inside.get(word).copied().unwrap_or((0, word.most(self.protocols)));
            let with = |range: Range| {
                let mut part = inside.clone();
                part.insert(word.clone(), range);
                part
            };
            if here.0 < *low {
                outside.push(with((here.0, low - 1)));
            }
            if here.1 > *high {
                outside.push(with((high + 1, here.1)));
            }
            inside = with((here.0.max(*low), here.1.min(*high)));
        }
        outside
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
            let whole = range == (0, word.most(self.protocols));
            (!whole).then(|| (word.clone(), range))
        };
        let cell = |ranges: Vec<Range>| words.iter().zip(ranges).filter_map(asked).collect();
        boxes(bits, range).into_iter().map(cell).collect()
    }
}

fn bit(word: Word, truth: bool) -> Cell {
    Cell::from([(word, (u64::from(truth), u64::from(truth)))])
}

/// Whether something lies in both.
fn meets(a: &Cell, b: &Cell) -> bool {
    b.iter().all(|(word, (low, high))| a.get(word).is_none_or(|here| here.0 <= *high && *low <= here.1))
}

/// What lies in both.
fn meet(a: &Cell, b: &Cell) -> Option<Cell> {
    if !meets(a, b) {
        return None;
    }
    let mut both = a.clone();
    for (word, range) in b {
        let here = both.entry(word.clone()).or_insert(*range);
        *here = (here.0.max(range.0), here.1.min(range.1));
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

//! From conditions to diagrams.
//!
//! Terms become bits where they can, sums of terms otherwise; what is neither is a value of its
//! own, taken as independent of all others. So a diagram may hold packets that cannot be, and never
//! lacks one that can.

use super::TooLarge;
use super::bits::{self, Region, Spot, leaves, masked, presence, spot};
use super::diagram::{Made, Node, Way};
use super::linear::{Ranges, Sum, divided};
use super::ranges::{blocks, joined, mirrored, ones, shift, signed, unsigned};
use super::rename::of_itself;
use super::space::{Space, Variable};
use crate::eval;
use crate::policy::{Compare, HeaderRef, Place, Pred, SetPart, Term};

/// Conditions over so many bits of one header are tried out, value by value.
const MOST_TRIED_BITS: u32 = 12;

/// Part of a value, from the most significant on.
#[derive(Clone, Copy)]
enum Piece {
    /// A variable of so many bits.
    Variable(u32, u32),
    /// So many bits that are masked out, or a constant.
    Fixed(u128, u32),
}

/// What to take for questions about bits that no statement asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// They may be as they like: the diagram holds every packet for which the condition holds.
    Upper,
    /// The diagram holds no packet for which it does not.
    Lower,
}

impl Bound {
    fn opposite(self) -> Bound {
        match self {
            Bound::Upper => Bound::Lower,
            Bound::Lower => Bound::Upper,
        }
    }

    fn node(self) -> Node {
        match self {
            Bound::Upper => Node::TRUE,
            Bound::Lower => Node::FALSE,
        }
    }
}

impl Space<'_> {
    /// A condition of a statement, in the class that was entered last.
    pub fn condition(&mut self, pred: &Pred) -> Made {
        self.bounded(pred, Bound::Upper)
    }

    /// A condition that may ask for bits that no statement asks for.
    pub fn bounded(&mut self, pred: &Pred, bound: Bound) -> Made {
        match pred {
            Pred::Const(value) => Ok(truth(*value)),
            Pred::Not(inner) => {
                let inner = self.bounded(inner, bound.opposite())?;
                self.diagrams.not(inner)
            }
            Pred::And(list) => {
                let mut all = Node::TRUE;
                for part in list {
                    if all == Node::FALSE {
                        break;
                    }
                    let part = self.bounded(part, bound)?;
                    all = self.diagrams.and(all, part)?;
                }
                Ok(all)
            }
            Pred::Or(list) => {
                let any = list.iter().map(|part| self.bounded(part, bound)).collect::<Result<_, _>>()?;
                self.diagrams.any(any)
            }
            Pred::Header(header) => self.header(*header),
            _ => self.atom(pred, bound),
        }
    }

    fn atom(&mut self, pred: &Pred, bound: Bound) -> Made {
        let mut known = true;
        let mut there = Node::TRUE;
        let mut terms = Vec::new();
        bits::visit(pred, &mut |term| leaves(term, &mut |leaf| terms.push(leaf)));
        for term in terms {
            known &= self.knows(term);
            let part = self.there(term, bound)?;
            there = self.diagrams.and(there, part)?;
        }
        if there == Node::FALSE || matches!(pred, Pred::There(_)) {
            return Ok(there);
        }
        let holds = if known { self.relation(pred)? } else { bound.node() };
        self.diagrams.and(there, holds)
    }

    fn relation(&mut self, pred: &Pred) -> Made {
        match pred {
            Pred::In(term, ranges) => self.inside(pred, term, ranges),
            Pred::Compare(compare) => self.compare(pred, compare),
            Pred::InSet(terms, part) => self.in_set(terms, *part),
            _ => unreachable!("no relation"),
        }
    }

    fn inside(&mut self, pred: &Pred, term: &Term, ranges: &[(u128, u128)]) -> Made {
        if let Some(pieces) = self.pieces(term) {
            return self.within(&pieces, ranges);
        }
        const MOST: u128 = i128::MAX as u128;
        let low = ranges.iter().filter(|range| range.0 <= MOST);
        let signed: Ranges = low.map(|&(low, high)| (low as i128, high.min(MOST) as i128)).collect();
        self.sum(pred, Sum::of(term), &signed)
    }

    fn compare(&mut self, pred: &Pred, compare: &Compare) -> Made {
        if let (Some(pieces), Term::Const(bound)) = (self.pieces(&compare.left), &compare.right) {
            return self.within(&pieces, &unsigned(compare.op, *bound));
        }
        if let (Term::Const(bound), Some(pieces)) = (&compare.left, self.pieces(&compare.right)) {
            return self.within(&pieces, &unsigned(mirrored(compare.op), *bound));
        }
        let difference = Sum::of(&compare.left).plus(&Sum::of(&compare.right), -1);
        self.sum(pred, difference, &signed(compare.op))
    }

    /// A sum lies in one of the ranges.
    fn sum(&mut self, pred: &Pred, sum: Sum, ranges: &[(i128, i128)]) -> Made {
        let (sum, ranges) = sum.normal(ranges);
        if sum.parts.is_empty() {
            return Ok(truth(ranges.iter().any(|&(low, high)| low <= 0 && 0 <= high)));
        }
        if let (1, Some((term, &times))) = (sum.parts.len(), sum.parts.first_key_value())
            && let Some(pieces) = self.pieces(term)
        {
            return self.within(&pieces, &divided(&ranges, times));
        }
        if let Some(node) = self.tried(pred)? {
            return Ok(node);
        }
        let variable = self.variable(Variable::Sum(sum));
        let shifted: Vec<_> = ranges.iter().map(|&(low, high)| (shift(low), shift(high))).collect();
        self.interval(variable, u128::MAX, &shifted)
    }

    /// A condition over a few bits of one header: every value of them, judged by the evaluator.
    fn tried(&mut self, pred: &Pred) -> Result<Option<Node>, TooLarge> {
        let mut terms = Vec::new();
        bits::visit(pred, &mut |term| leaves(term, &mut |leaf| terms.push(leaf.clone())));
        terms.retain(|term| !matches!(term, Term::Const(_)));
        let mut pieces: Vec<(u32, u32, u32)> = Vec::new();
        let mut header = None;
        for term in &terms {
            let Some(Spot { header: of, region: Region::Header, first, width }) =
                spot(self.protocols(), term)
            else {
                return Ok(None);
            };
            let always = presence(self.protocols(), term).is_none();
            if !always || matches!(term, Term::Slice(_)) || *header.get_or_insert(of) != of {
                return Ok(None);
            }
            let segments = self.segments(&(of, Region::Header));
            let inside = segments.iter().filter(|s| first <= s.first && s.first < first + width);
            pieces.extend(inside.map(|s| (s.variable, s.first, s.width)));
        }
        pieces.sort_unstable();
        pieces.dedup();
        let Some(header) = header else { return Ok(None) };
        if pieces.iter().map(|piece| piece.2).sum::<u32>() > MOST_TRIED_BITS {
            return Ok(None);
        }
        let mut bytes = vec![0; usize::from(self.protocols()[header.protocol].fixed)];
        self.each_value(&of_itself(header, pred), header, &pieces, &mut bytes).map(Some)
    }

    fn each_value(
        &mut self,
        pred: &Pred,
        name: HeaderRef,
        pieces: &[(u32, u32, u32)],
        bytes: &mut [u8],
    ) -> Made {
        let Some((&(variable, first, width), rest)) = pieces.split_first() else {
            let header = eval::Header { name, offset: 0, length: bytes.len() };
            return Ok(truth(eval::Scope::inside(self.protocols(), bytes, &header).holds(pred)));
        };
        let mut ways = Vec::new();
        for to in 0..1u128 << width {
            crate::notation::write_bits(bytes, first as usize, width as usize, to);
            ways.push(Way { to, node: self.each_value(pred, name, rest, bytes)? });
        }
        self.diagrams.node(variable, ways)
    }

    fn in_set(&mut self, terms: &[Term], part: SetPart) -> Made {
        let key = (terms.to_vec(), part);
        if let Some(&node) = self.memberships.get(&key) {
            return Ok(node);
        }
        let set = &self.policy.sets[part.set as usize];
        let elements = &set.parts[part.part as usize].elements;
        // Each takes a way of a branch.
        if elements.len() > self.diagrams.room() {
            return Err(TooLarge);
        }
        let listed = match terms {
            [term] => {
                let mut ranges = elements.ranges().to_vec();
                ranges.sort_unstable();
                self.inside(&Pred::In(term.clone(), ranges.clone()), term, &joined(&ranges))?
            }
            _ => {
                let mut rows = Vec::with_capacity(elements.len());
                for element in elements.iter() {
                    let mut row = Node::TRUE;
                    for (term, range) in terms.iter().zip(element).rev() {
                        let one = Pred::In(term.clone(), vec![*range]);
                        let part = self.inside(&one, term, &[*range])?;
                        row = self.diagrams.and(part, row)?;
                    }
                    rows.push(row);
                }
                self.diagrams.any(rows)?
            }
        };
        let node = match set.live {
            None => listed,
            Some(_) => {
                let shared = self.shared_set(part.set);
                let member = Variable::Member(SetPart { set: shared, ..part }, terms.to_vec());
                let variable = self.variable(member);
                let added = self.interval(variable, 1, &[(1, 1)])?;
                self.diagrams.or(listed, added)?
            }
        };
        self.memberships.insert(key, node);
        Ok(node)
    }

    /// The header is there.
    pub fn header(&mut self, header: HeaderRef) -> Made {
        match self.known_header(header) {
            Some(known) => Ok(truth(known)),
            None => {
                let variable = self.variable(Variable::Header(header));
                self.interval(variable, 1, &[(1, 1)])
            }
        }
    }

    /// A leaf of a term is there.
    fn there(&mut self, term: &Term, bound: Bound) -> Made {
        let header = match term {
            Term::Field(field) => field.header,
            Term::Slice(slice) => slice.header,
            _ => return Ok(Node::TRUE),
        };
        let mut there = self.header(header)?;
        if there == Node::FALSE {
            return Ok(there);
        }
        if let Some(presence) = presence(self.protocols(), term) {
            let part = self.bounded(&presence, bound)?;
            there = self.diagrams.and(there, part)?;
        }
        let size = match (term, spot(self.protocols(), term)) {
            (_, Some(Spot { region: Region::Payload, first, width, .. })) => {
                let bytes = u128::from((first + width).div_ceil(8));
                Some((Variable::Behind(header), bytes, u128::from(u32::MAX)))
            }
            // An option's length, or 0 where there is none, is counted from 1.
            (_, Some(Spot { region: Region::Option(kind), first, width, .. })) => {
                let bytes = u128::from((first + width).div_ceil(8));
                Some((Variable::Option(header, kind), bytes + 1, 256))
            }
            (Term::Field(field), None) => {
                let place = &self.protocols()[header.protocol].fields[field.field as usize].place;
                let Place::OptionThere(kind) = place else { unreachable!("fields have bits") };
                Some((Variable::Option(header, *kind), 1, 256))
            }
            _ => None,
        };
        let Some((variable, least, most)) = size else { return Ok(there) };
        let variable = self.variable(variable);
        let enough = self.interval(variable, most, &[(least, most)])?;
        self.diagrams.and(there, enough)
    }

    /// Whether the statements ask for all bits of a leaf.
    fn knows(&self, term: &Term) -> bool {
        let Some(Spot { header, region, first, width }) = spot(self.protocols(), term) else { return true };
        let inside = self.segments(&(header, region)).iter();
        let covered = inside.filter(|s| first <= s.first && s.first < first + width).map(|s| s.width);
        covered.sum::<u32>() == width
    }

    /// The bits of a term that is a field, a slice, the frame's length, or one of them masked.
    fn pieces(&mut self, term: &Term) -> Option<Vec<Piece>> {
        if *term == Term::FrameLen {
            return Some(vec![Piece::Variable(self.variable(Variable::FrameLen), 32)]);
        }
        let (inner, mask) = masked(term)?;
        let Some(Spot { header, region, first, width }) = spot(self.protocols(), inner) else {
            return Some(vec![Piece::Fixed(mask & 1, 1)]);
        };
        let inside = self.segments(&(header, region)).iter();
        let inside = inside.filter(|s| first <= s.first && s.first < first + width);
        let piece = |s: &super::space::Segment| match mask >> (first + width - s.first - s.width) & 1 {
            0 => Piece::Fixed(0, s.width),
            _ => Piece::Variable(s.variable, s.width),
        };
        Some(inside.map(piece).collect())
    }

    /// A value made of pieces lies in one of the ranges, which are sorted and apart.
    fn within(&mut self, pieces: &[Piece], ranges: &[(u128, u128)]) -> Made {
        let Some((piece, rest)) = pieces.split_first() else {
            return Ok(truth(!ranges.is_empty()));
        };
        let low_bits: u32 = rest.iter().map(|piece| piece.width()).sum();
        let most = ones(low_bits + piece.width());
        let mut ways: Vec<Way> = Vec::new();
        for block in blocks(ranges, low_bits, most) {
            let node = self.within(rest, &block.inside)?;
            match piece {
                Piece::Fixed(value, _) if block.from <= *value && *value <= block.to => return Ok(node),
                Piece::Fixed(..) => {}
                Piece::Variable(..) => ways.push(Way { to: block.to, node }),
            }
        }
        match piece {
            Piece::Fixed(..) => Ok(Node::FALSE),
            Piece::Variable(variable, _) => self.diagrams.node(*variable, ways),
        }
    }

    /// A variable's value lies in one of the ranges, which are sorted and apart.
    pub fn interval(&mut self, variable: u32, most: u128, ranges: &[(u128, u128)]) -> Made {
        let mut ways = Vec::with_capacity(2 * ranges.len() + 1);
        let mut next = Some(0);
        for &(low, high) in ranges.iter().filter(|range| range.0 <= most) {
            if next.is_some_and(|next| next < low) {
                ways.push(Way { to: low - 1, node: Node::FALSE });
            }
            ways.push(Way { to: high.min(most), node: Node::TRUE });
            next = high.min(most).checked_add(1).filter(|next| *next <= most);
        }
        if next.is_some() {
            ways.push(Way { to: most, node: Node::FALSE });
        }
        self.diagrams.node(variable, ways)
    }
}

impl Piece {
    fn width(self) -> u32 {
        match self {
            Piece::Variable(_, width) | Piece::Fixed(_, width) => width,
        }
    }
}

fn truth(value: bool) -> Node {
    if value { Node::TRUE } else { Node::FALSE }
}

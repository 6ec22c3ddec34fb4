//! Frames made to order: the headers of a class, and values in given ranges.
//!
//! A frame is a proposal: whoever asked for it looks at it with the evaluator.

use super::dice::Dice;
use super::path::Path;
use super::route::{self, Route, fits, routes};
use crate::notation::{self, chain, write_bits};
use crate::policy::{HeaderRef, Place, Selector, SetPart, Term};
use crate::symbolic::{Reader, Region, Space, Sum, Variable, shift, value};
use std::collections::{BTreeMap, HashMap};

/// The longest frame that is made.
const LONGEST: usize = 70_000;

type Steps = Vec<notation::Step>;

/// Bits with the value that they should have.
struct Bits {
    header: HeaderRef,
    region: Region,
    first: u32,
    width: u32,
    value: u128,
}

/// What a frame should be like.
#[derive(Default)]
struct Order {
    bits: Vec<Bits>,
    behind: BTreeMap<HeaderRef, (u128, u128)>,
    options: BTreeMap<(HeaderRef, u32), (u128, u128)>,
    frame_len: Option<(u128, u128)>,
    sums: Vec<(Sum, (u128, u128))>,
    members: Vec<(SetPart, Vec<Term>)>,
}

/// A frame, and what should be in live sets: the joint policy's set, and the values.
pub(super) struct Forged {
    /// The frame.
    pub frame: Vec<u8>,
    /// Values that live sets hold.
    pub members: Vec<(SetPart, Vec<u128>)>,
}

/// What frames should be like where the order leaves a choice.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Taste {
    /// As plain as can be: for people.
    Plain,
    /// Anything: for surprises.
    Any,
}

/// Makes frames for a space's classes.
pub(super) struct Forge<'s, 'p> {
    space: &'s Space<'p>,
    routes: HashMap<usize, Vec<Route>>,
    plain: HashMap<usize, Vec<u8>>,
}

impl<'s, 'p> Forge<'s, 'p> {
    /// For a space.
    pub(super) fn new(space: &'s Space<'p>) -> Self {
        Self { space, routes: HashMap::new(), plain: HashMap::new() }
    }

    /// A frame of a class whose values are as the path says, as far as can be.
    pub(super) fn make(
        &mut self,
        class: usize,
        path: &Path,
        taste: Taste,
        dice: &mut Dice,
    ) -> Option<Forged> {
        let space = self.space;
        let routes = self.routes(class);
        let fitting: Vec<&Route> = routes.iter().filter(|route| fits(space, route, path)).collect();
        // The shortest is the plainest.
        let route = match dice.below(3) {
            0 if taste == Taste::Any => dice.pick(&fitting)?,
            _ => fitting.first()?,
        };
        let plain = chain(space.protocols(), &steps(space, route));
        let order = ordered(space, path, &plain, taste, dice);
        let frame = build(space, route, &plain, &order, dice)?;
        let reader = Reader::new(space.protocols(), &frame);
        let member = |(part, terms): &(SetPart, Vec<Term>)| {
            Some((*part, terms.iter().map(|term| reader.term(term)).collect::<Option<Vec<_>>>()?))
        };
        let members = order.members.iter().map(member).collect::<Option<_>>()?;
        Some(Forged { frame, members })
    }

    fn routes(&mut self, class: usize) -> &[Route] {
        let space = self.space;
        self.routes.entry(class).or_insert_with(|| routes(space, class))
    }

    /// What a plain packet of a class has for a variable.
    pub(super) fn plain(&mut self, class: usize, variable: u32) -> Option<u128> {
        let space = self.space;
        let route = self.routes(class).first()?.clone();
        let made = self.plain.entry(class).or_insert_with(|| {
            let frame = chain(space.protocols(), &steps(space, &route));
            match route.cut {
                false => frame,
                true => {
                    let end = Reader::new(space.protocols(), &frame).end_of(route.states.len() - 1);
                    frame[..end.unwrap_or(frame.len())].to_vec()
                }
            }
        });
        let reader = Reader::new(space.protocols(), made);
        match space.name(variable) {
            Variable::Bits((header, region), first, width) => reader.bits(*header, region, *first, *width),
            Variable::FrameLen => Some(made.len() as u128),
            Variable::Behind(header) => Some((made.len() - reader.end(*header)?) as u128),
            Variable::Option(..) | Variable::Member(..) => Some(0),
            Variable::Sum(_) | Variable::Header(_) => None,
        }
    }
}

/// Picks values: what a plain packet has, if that is allowed.
fn ordered(space: &Space, path: &Path, plain: &[u8], taste: Taste, dice: &mut Dice) -> Order {
    let reader = Reader::new(space.protocols(), plain);
    let mut order = Order::default();
    for &(variable, range) in path {
        match space.name(variable) {
            Variable::Bits((header, region), first, width) => {
                let plain = reader.bits(*header, region, *first, *width);
                let value = picked(plain, range, taste, dice);
                let (header, region) = (*header, region.clone());
                order.bits.push(Bits { header, region, first: *first, width: *width, value });
            }
            Variable::Behind(header) => drop(order.behind.insert(*header, range)),
            Variable::Option(header, kind) => drop(order.options.insert((*header, *kind), range)),
            Variable::FrameLen => order.frame_len = Some(range),
            Variable::Sum(sum) => order.sums.push((sum.clone(), range)),
            Variable::Member(part, terms) if range.0 == 1 => order.members.push((*part, terms.clone())),
            Variable::Member(..) | Variable::Header(_) => {}
        }
    }
    order
}

fn picked(plain: Option<u128>, range: (u128, u128), taste: Taste, dice: &mut Dice) -> u128 {
    let chance = taste == Taste::Any && dice.below(8) == 0;
    match plain {
        Some(plain) if range.0 <= plain && plain <= range.1 && !chance => plain,
        _ if taste == Taste::Plain => range.0,
        _ => match dice.below(4) {
            0 => range.1,
            1 => dice.within(range),
            _ => range.0,
        },
    }
}

fn steps(space: &Space, route: &Route) -> Steps {
    let mut level = 0;
    let step = |header: HeaderRef| {
        let inner = header.level > std::mem::replace(&mut level, header.level);
        ((header.protocol, inner), BTreeMap::new())
    };
    route::headers(space, route).into_iter().map(step).collect()
}

/// Builds a frame twice: with the fields that must be right for the headers to be there, and then
/// bit by bit where the order says more.
fn build(space: &Space, route: &Route, plain: &[u8], order: &Order, dice: &mut Dice) -> Option<Vec<u8>> {
    let mut steps = steps(space, route);
    let reader = Reader::new(space.protocols(), plain);
    let names = reader.names(route::headers(space, route).len());
    // A protocol may be bound so that a plain packet goes another way than the route, or ends before it.
    let follows = steps.iter().zip(&names).all(|(((protocol, _), _), name)| *protocol == name.protocol);
    if !follows || names.len() + usize::from(route.cut) < steps.len() {
        return None;
    }
    for ((_, given), header) in steps.iter_mut().zip(&names) {
        give(space, *header, order, &reader, given);
    }
    if let (false, Some((_, given)), Some(last)) = (route.cut, steps.last_mut(), names.last()) {
        lead_nowhere(space, *last, order, &reader, given);
    }
    let mut frame = chain(space.protocols(), &steps);
    if route.cut {
        let kept = Reader::new(space.protocols(), &frame);
        let end = kept.end_of(steps.len() - 1)?;
        frame.truncate(end);
    }
    finish(space, &mut frame, order, dice)?;
    Some(frame)
}

/// The fields of a header that the order touches, with the values that it gives them.
fn give(space: &Space, header: HeaderRef, order: &Order, plain: &Reader, given: &mut BTreeMap<u32, u128>) {
    let definition = &space.protocols()[header.protocol];
    for (index, field) in definition.fields.iter().enumerate() {
        let (region, first) = match &field.place {
            Place::Bit(first) => (Region::Header, *first),
            Place::Computed(start, first) => (Region::At(Box::new(start.clone())), *first),
            Place::Option(kind, first) => (Region::Option(*kind), *first),
            Place::OptionThere(kind) => {
                let wanted = order.options.get(&(header, *kind)).is_some_and(|range| range.1 > 0);
                let absent = order.options.get(&(header, *kind)).is_some_and(|range| range.0 == 0);
                if wanted && !absent {
                    given.insert(index as u32, 1);
                }
                continue;
            }
        };
        let width = u32::from(field.ty.bits());
        if let Region::Option(kind) = region {
            let least = u128::from((first + width).div_ceil(8)) + 1;
            if order.options.get(&(header, kind)).is_none_or(|range| range.1 < least || range.0 == 0) {
                continue;
            }
        }
        let mut touched = false;
        let mut value = plain.bits(header, &region, first, width).unwrap_or(0);
        for bits in order.bits.iter().filter(|bits| bits.header == header && bits.region == region) {
            if bits.first < first + width && first < bits.first + bits.width {
                touched = true;
                value = overlaid(value, (first, width), bits);
            }
        }
        if touched {
            given.insert(index as u32, value);
        }
    }
}

/// A value with the bits that another place shares with it.
fn overlaid(value: u128, (first, width): (u32, u32), bits: &Bits) -> u128 {
    (bits.first..bits.first + bits.width).filter(|at| first <= *at && *at < first + width).fold(
        value,
        |value, at| {
            let bit = bits.value >> (bits.first + bits.width - 1 - at) & 1;
            let place = first + width - 1 - at;
            value & !(1 << place) | bit << place
        },
    )
}

/// Lets the last header name nothing that is known, where the order leaves it the choice.
fn lead_nowhere(
    space: &Space,
    header: HeaderRef,
    order: &Order,
    plain: &Reader,
    given: &mut BTreeMap<u32, u128>,
) {
    let definition = &space.protocols()[header.protocol];
    for next in &definition.next {
        let Selector::Term(Term::Field(name)) = &next.selector else { continue };
        let field = &definition.fields[name.field as usize];
        let Place::Bit(first) = field.place else { continue };
        let width = u32::from(field.ty.bits());
        let now = given.get(&name.field).copied().or(plain.bits(header, &Region::Header, first, width));
        let known = |value: u128| next.table.iter().any(|row| row.0 == value);
        let asked = order.bits.iter().any(|bits| {
            bits.header == header
                && bits.region == Region::Header
                && bits.first < first + width
                && first < bits.first + bits.width
        });
        if !asked && now.is_some_and(known) {
            let most = u128::MAX >> (128 - width);
            given.extend(
                (0..=most).rev().take(300).find(|value| !known(*value)).map(|value| (name.field, value)),
            );
        }
    }
}

/// Lengths, what follows the headers, bits that are no field's, and sums.
fn finish(space: &Space, frame: &mut Vec<u8>, order: &Order, dice: &mut Dice) -> Option<()> {
    let protocols = space.protocols();
    for (header, (least, most)) in &order.behind {
        let end = Reader::new(protocols, frame).end(*header)?;
        let room = frame.len().checked_sub(end)? as u128;
        let wanted = room.clamp(*least, *most);
        frame.resize(end + usize::try_from(wanted).ok().filter(|bytes| *bytes <= LONGEST)?, 0);
    }
    if let Some((least, most)) = order.frame_len {
        let wanted = (frame.len() as u128).clamp(least, most);
        frame.resize(usize::try_from(wanted).ok().filter(|bytes| *bytes <= LONGEST)?, 0);
    }
    for bits in &order.bits {
        let Some(start) = Reader::new(protocols, frame).start(bits.header, &bits.region) else { continue };
        let (first, width) = (start * 8 + bits.first as usize, bits.width as usize);
        if first + width <= frame.len() * 8 {
            write_bits(frame, first, width, bits.value);
        }
    }
    for (sum, range) in &order.sums {
        meet(space, frame, sum, *range, dice);
    }
    Some(())
}

/// Changes one part of a sum, or several, until the sum is in its range.
fn meet(space: &Space, frame: &mut Vec<u8>, sum: &Sum, range: (u128, u128), dice: &mut Dice) {
    let protocols = space.protocols();
    let total = |frame: &[u8]| value(protocols, frame, sum);
    let signed = |value: u128| shift(value as i128) as i128;
    let mut parts: Vec<_> = sum.parts.iter().collect();
    if dice.below(2) == 0 {
        parts.reverse();
    }
    for (term, &times) in parts {
        let Some(now) = total(frame) else { return };
        let (low, high) = (signed(range.0), signed(range.1));
        if low <= now && now <= high {
            return;
        }
        let near = if now < low { low } else { high };
        let Some(change) = near.checked_sub(now) else { continue };
        let steps = change / times + if change % times == 0 { 0 } else { change.signum() * times.signum() };
        let Some(old) = Reader::new(protocols, frame).term(term) else { continue };
        let Some(wanted) = (old as i128).checked_add(steps).filter(|wanted| *wanted >= 0) else { continue };
        put(space, frame, term, wanted as u128);
    }
}

/// Writes a value to where a term has its bits, as far as it fits.
fn put(space: &Space, frame: &mut Vec<u8>, term: &Term, value: u128) {
    if *term == Term::FrameLen {
        if let Ok(bytes @ 1..=LONGEST) = usize::try_from(value) {
            frame.resize(bytes, 0);
        }
        return;
    }
    let Some(spot) = crate::symbolic::spot(space.protocols(), term) else { return };
    let most = u128::MAX >> (128 - spot.width);
    let Some(start) = Reader::new(space.protocols(), frame).start(spot.header, &spot.region) else { return };
    let first = start * 8 + spot.first as usize;
    if first + spot.width as usize <= frame.len() * 8 {
        write_bits(frame, first, spot.width as usize, value.min(most));
    }
}

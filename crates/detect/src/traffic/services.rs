//! Destinations with a name.

use std::collections::HashMap;

use super::config::{Config, Limit, Service};
use super::entry::Entry;
use super::prefix::{Span, masked};
use super::window::Arrival;

/// Each service's windows, and which services an address belongs to.
#[derive(Clone, Debug)]
pub(super) struct Services {
    /// By length, then by prefix; the longest first.
    by_length: Vec<(u8, HashMap<u128, Vec<Member>>)>,
    all: Vec<One>,
}

/// A service, and which of its spans it is.
type Member = (u32, usize);

#[derive(Clone, Debug)]
struct One {
    name: String,
    spans: Vec<Span>,
    /// What goes to each span, where that is not the same as what goes to the service or to a host.
    parts: Vec<Option<Entry>>,
    limit: Limit,
    entry: Entry,
}

impl Services {
    pub(super) fn new(config: &Config) -> Services {
        let all: Vec<_> = config
            .services
            .iter()
            .enumerate()
            .map(|(slot, service)| One::new(slot, service, config))
            .collect();
        let mut lengths: Vec<u8> =
            all.iter().flat_map(|one| one.spans.iter().map(|span| span.length)).collect();
        lengths.sort_unstable_by(|one, other| other.cmp(one));
        lengths.dedup();
        let by_length = lengths.into_iter().map(|length| (length, members(&all, length))).collect();
        Services { by_length, all }
    }

    /// Counts a sample for all that an address belongs to, and shows them.
    pub(super) fn add(
        &mut self,
        address: u128,
        arrival: &Arrival,
        mut each: impl FnMut(u32, &mut Entry, &Limit),
    ) {
        for (length, members) in &self.by_length {
            for (slot, span) in members.get(&masked(address, *length)).into_iter().flatten() {
                let one = &mut self.all[*slot as usize];
                if let Some(part) = &mut one.parts[*span] {
                    part.add(arrival);
                }
                one.entry.add(arrival);
                each(*slot, &mut one.entry, &one.limit);
            }
        }
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (u32, &Entry)> {
        self.all.iter().enumerate().map(|(slot, one)| (slot as u32, &one.entry))
    }

    pub(super) fn entry(&self, slot: u32) -> Option<&Entry> {
        self.all.get(slot as usize).map(|one| &one.entry)
    }

    pub(super) fn entry_mut(&mut self, slot: u32) -> Option<&mut Entry> {
        self.all.get_mut(slot as usize).map(|one| &mut one.entry)
    }

    pub(super) fn find(&self, name: &str) -> Option<u32> {
        self.all.iter().position(|one| one.name == name).map(|slot| slot as u32)
    }

    pub(super) fn name(&self, slot: u32) -> String {
        self.all[slot as usize].name.clone()
    }

    pub(super) fn spans(&self, slot: u32) -> Vec<Span> {
        self.all[slot as usize].spans.clone()
    }

    /// Whether a service is this one address.
    pub(super) fn is_one(&self, host: u128) -> bool {
        let longest = self.by_length.first().filter(|(length, _)| *length == 128);
        let members = longest.and_then(|(_, members)| members.get(&host));
        members.into_iter().flatten().any(|(slot, _)| self.all[*slot as usize].spans.len() == 1)
    }

    /// The sums over each span of a service that has windows of its own.
    pub(super) fn part(&self, slot: u32, span: Span) -> Option<&Entry> {
        let one = self.all.get(slot as usize)?;
        one.parts[one.spans.iter().position(|other| *other == span)?].as_ref()
    }

    /// Goes on with the windows of those that were there before, under the same name and with the same addresses; gives
    /// where each of the former ones is now, if it still is there.
    pub(super) fn inherit(&mut self, mut former: Services) -> Vec<Option<u32>> {
        let slots: Vec<Option<u32>> = former
            .all
            .iter()
            .map(|old| self.find(&old.name).filter(|slot| self.all[*slot as usize].spans == old.spans))
            .collect();
        for (old, slot) in former.all.iter_mut().zip(&slots) {
            let Some(slot) = *slot else { continue };
            let one = &mut self.all[slot as usize];
            (one.entry, one.parts) = (std::mem::take(&mut old.entry), std::mem::take(&mut old.parts));
            one.entry.key = slot.into();
            one.entry.look_again();
        }
        slots
    }

    /// Names of those that all of this is in, and more.
    pub(super) fn around(&self, spans: &[Span]) -> impl Iterator<Item = String> {
        let is_in = |one: &&One| {
            one.spans != spans && spans.iter().all(|span| one.spans.iter().any(|outer| outer.holds(*span)))
        };
        self.all.iter().filter(is_in).map(|one| one.name.clone()).collect::<Vec<_>>().into_iter()
    }

    pub(super) fn limit(&self, slot: u32) -> Limit {
        self.all[slot as usize].limit
    }

    pub(super) fn same_shape(&self, other: &Services) -> bool {
        self.all.len() == other.all.len()
            && self.all.iter().zip(&other.all).all(|(mine, theirs)| mine.spans == theirs.spans)
    }

    pub(super) fn merge(&mut self, other: &Services) {
        for (mine, theirs) in self.all.iter_mut().zip(&other.all) {
            mine.entry.merge(&theirs.entry);
            let parts = mine.parts.iter_mut().zip(&theirs.parts);
            parts.for_each(|parts| {
                if let (Some(mine), Some(theirs)) = parts {
                    mine.merge(theirs);
                }
            });
        }
    }
}

impl One {
    fn new(slot: usize, service: &Service, config: &Config) -> One {
        let spans: Vec<Span> = service.prefixes.iter().map(|prefix| prefix.span()).collect();
        // An address in two of its prefixes would count twice.
        let is_inside = |at: usize, span: Span| {
            spans
                .iter()
                .enumerate()
                .any(|(other, outer)| other != at && outer.holds(span) && (*outer != span || other < at))
        };
        let kept = spans.iter().enumerate().filter(|(at, span)| !is_inside(*at, **span));
        let spans: Vec<Span> = kept.map(|(_, span)| *span).collect();
        let is_apart = |span: &Span| spans.len() > 1 && span.length < 128;
        One {
            name: service.name.clone(),
            parts: spans.iter().map(|span| is_apart(span).then(|| Entry::of(span.key))).collect(),
            spans,
            limit: Limit::of(config.limit(service.floor, service.capacity, None)),
            // The index stands for the key.
            entry: Entry::of(slot as u128),
        }
    }
}

fn members(all: &[One], length: u8) -> HashMap<u128, Vec<Member>> {
    let mut members: HashMap<u128, Vec<Member>> = HashMap::new();
    for (slot, one) in all.iter().enumerate() {
        for (at, span) in one.spans.iter().enumerate().filter(|(_, span)| span.length == length) {
            members.entry(span.key).or_default().push((slot as u32, at));
        }
    }
    members
}

//! Destinations with a name.

use std::collections::HashMap;

use super::config::{Config, Limit, Service};
use super::entry::Entry;
use super::prefix::{Span, masked};

/// Each service's windows, and which services an address belongs to.
#[derive(Clone, Debug)]
pub(super) struct Services {
    /// By length, then by prefix; the longest first.
    by_length: Vec<(u8, HashMap<u128, Vec<u32>>)>,
    all: Vec<One>,
}

#[derive(Clone, Debug)]
struct One {
    name: String,
    spans: Vec<Span>,
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

    pub(super) fn each(&mut self, address: u128, mut each: impl FnMut(u32, &mut Entry, &Limit)) {
        for (length, members) in &self.by_length {
            for slot in members.get(&masked(address, *length)).into_iter().flatten() {
                let one = &mut self.all[*slot as usize];
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
        One {
            name: service.name.clone(),
            spans: kept.map(|(_, span)| *span).collect(),
            limit: Limit::of(config.limit(service.floor, service.capacity, None)),
            // The index stands for the key.
            entry: Entry::of(slot as u128),
        }
    }
}

fn members(all: &[One], length: u8) -> HashMap<u128, Vec<u32>> {
    let mut members: HashMap<u128, Vec<u32>> = HashMap::new();
    for (slot, one) in all.iter().enumerate() {
        for span in one.spans.iter().filter(|span| span.length == length) {
            members.entry(span.key).or_default().push(slot as u32);
        }
    }
    members
}

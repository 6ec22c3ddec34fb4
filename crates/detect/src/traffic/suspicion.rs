//! What may become an alert, and what is one.

use super::alert::{Alert, Victim};
use super::config::{Limit, Rate};
use super::prefix::Span;
use super::sources::Sources;
use super::tally::{Place, Seen};

/// A destination with at least half of what an alert takes.
#[derive(Clone, Debug)]
pub(super) struct Suspicion {
    pub(super) place: Place,
    pub(super) victim: Victim,
    pub(super) spans: Vec<Span>,
    pub(super) usual: Option<Rate>,
    pub(super) limit: Limit,
    pub(super) era: u32,
    sources: Sources,
    packets: u64,
    dropped: u64,
    /// Since when a prefix is above its limit, and hosts that may yet have alerts of their own explain it.
    pub(super) explained_since: Option<u64>,
    /// Not to be judged by samples before this.
    pub(super) rest_until: u64,
    /// When it last had half of its limit.
    pub(super) held: u64,
    pub(super) alert: Option<Alert>,
    /// Packets and bits a second that were told last.
    pub(super) told: Rate,
}

impl Suspicion {
    pub(super) fn new(place: Place, victim: Victim, spans: Vec<Span>, now: u64) -> Suspicion {
        Suspicion {
            place,
            victim,
            spans,
            usual: None,
            limit: Limit::NONE,
            era: 0,
            sources: Sources::default(),
            packets: 0,
            dropped: 0,
            explained_since: None,
            rest_until: 0,
            held: now,
            alert: None,
            told: Rate::default(),
        }
    }

    pub(super) fn see(&mut self, seen: &Seen) {
        self.sources.see(seen.source);
        let packets = seen.weight.into();
        self.packets = self.packets.saturating_add(packets);
        if seen.is_dropped {
            self.dropped = self.dropped.saturating_add(packets);
        }
    }

    /// Whether it has an alert, or is above its limit and only waits whether somebody else explains it.
    pub(super) fn is_above(&self) -> bool {
        self.alert.is_some() || self.explained_since.is_some()
    }

    pub(super) fn meets(&self, spans: &[Span]) -> bool {
        self.spans.iter().any(|span| spans.iter().any(|other| other.meets(*span)))
    }

    /// The alert with what is counted beside it.
    pub(super) fn told(&self, alert: &Alert) -> Alert {
        let dropped = if self.packets == 0 { 0.0 } else { self.dropped as f64 / self.packets as f64 };
        Alert { sources: self.sources.count(), dropped, ..alert.clone() }
    }
}

/// Suspicions in places of which there is a fixed number.
#[derive(Clone, Debug)]
pub(super) struct Suspicions {
    slots: Vec<Option<Box<Suspicion>>>,
    room: usize,
}

impl Suspicions {
    pub(super) fn new(room: usize) -> Suspicions {
        Suspicions { slots: Vec::new(), room }
    }

    /// Where it is now; none if there is no place left.
    pub(super) fn add(&mut self, suspicion: Suspicion) -> Option<usize> {
        let free = self.slots.iter().position(Option::is_none);
        let slot = match free {
            Some(slot) => slot,
            None if self.slots.len() < self.room => {
                self.slots.push(None);
                self.slots.len() - 1
            }
            None => return None,
        };
        self.slots[slot] = Some(Box::new(suspicion));
        Some(slot)
    }

    /// The one without an alert that had half of its limit longest ago, if there is no place left.
    pub(super) fn weakest_if_full(&self) -> Option<usize> {
        if self.slots.len() < self.room || self.slots.iter().any(Option::is_none) {
            return None;
        }
        let waiting = self.slots.iter().enumerate().filter_map(|(slot, one)| Some((slot, one.as_ref()?)));
        let waiting = waiting.filter(|(_, one)| one.alert.is_none());
        waiting.min_by_key(|(_, one)| one.held).map(|(slot, _)| slot)
    }

    pub(super) fn remove(&mut self, slot: usize) -> Option<Box<Suspicion>> {
        self.slots.get_mut(slot)?.take()
    }

    pub(super) fn put(&mut self, slot: usize, suspicion: Box<Suspicion>) {
        if let Some(place) = self.slots.get_mut(slot) {
            *place = Some(suspicion);
        }
    }

    pub(super) fn at(&self, slot: usize) -> Option<&Suspicion> {
        self.slots.get(slot)?.as_deref()
    }

    pub(super) fn at_mut(&mut self, slot: usize) -> Option<&mut Suspicion> {
        self.slots.get_mut(slot)?.as_deref_mut()
    }

    /// As many as there can be now: the places up to here may be empty.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Suspicion> {
        self.slots.iter().flatten().map(Box::as_ref)
    }
}

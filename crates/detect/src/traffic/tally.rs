//! Traffic by destination, and nothing said about it.

use std::net::IpAddr;
use std::time::Duration;

use weir_packet::layers::Layers;

use crate::sample::{Fate, Sample};

use super::alert::Victim;
use super::clock::Clock;
use super::config::{Config, Level, Limit};
use super::entry::{Bounds, Entry, is_suspect};
use super::prefix::{self, Span, is_ipv4, masked};
use super::services::Services;
use super::table::Table;
use super::window::Arrival;

/// Where windows are fewer than hosts, a host has some from this part of what an alert takes on.
const WORTH_WINDOWS: u64 = 50;

/// Sums over samples by host, prefix and service.
///
/// # Merging
/// Two tallies of the same configuration that saw parts of the same traffic, told by one clock, become one by
/// [`Tally::merge`]. Where no key had to give way to another and all have windows ([`Tally::lost`] is 0), every sum is exactly
/// that of a tally that saw all of it. Elsewhere the sum for a destination is at most that, and at most [`Tally::lost`]
/// packets less.
#[derive(Clone, Debug)]
pub struct Tally {
    pub(super) clock: Clock,
    pub(super) hosts: Table,
    pub(super) levels: Vec<Prefixes>,
    pub(super) services: Services,
    /// In which lookups of limits are still good.
    pub(super) era: u32,
    /// What an alert takes where nothing is learnt: for hosts, then for each level.
    pub(super) limits: Vec<Limit>,
    pub(super) bounds: Bounds,
    pub(super) sigmas: f64,
    unread: u64,
}

/// The prefixes of a level.
#[derive(Clone, Debug)]
pub(super) struct Prefixes {
    pub(super) table: Table,
    lengths: Lengths,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Lengths {
    ipv4: u8,
    ipv6: u8,
}

/// Where an entry is: 0 for hosts, then the levels, then services.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Place {
    pub(super) kind: usize,
    pub(super) slot: u32,
}

/// A sample as far as it matters.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    time: Duration,
    pub(super) source: u128,
    destination: u128,
    pub(super) weight: u32,
    length: u32,
    pub(super) is_dropped: bool,
}

impl Seen {
    /// With the address that it went to; nothing if the frame has no IP header that can be read.
    pub(super) fn of(sample: &Sample<'_>) -> Option<(Seen, IpAddr)> {
        let ip = Layers::of(sample.header)?.ip?;
        let seen = Seen {
            time: sample.time,
            source: prefix::key(ip.src),
            destination: prefix::key(ip.dst),
            weight: sample.one_in.max(1),
            length: sample.frame_len,
            is_dropped: sample.fate == Fate::Dropped,
        };
        Some((seen, ip.dst))
    }
}

impl Lengths {
    /// The prefix that an address is in.
    fn key(self, address: u128) -> u128 {
        masked(address, self.of(address))
    }

    fn of(self, address: u128) -> u8 {
        if is_ipv4(address) { self.ipv4 } else { self.ipv6 }
    }
}

impl Tally {
    /// An empty one.
    pub fn new(config: &Config) -> Tally {
        let level = |level: &Level| Prefixes {
            lengths: Lengths { ipv4: 96 + level.ipv4.min(32), ipv6: level.ipv6.min(128) },
            table: Table::new(config.prefixes, usize::MAX, Limit::NONE, config.seed),
        };
        let of_hosts = Limit::of(config.limit(config.floor, config.capacity, None));
        let of_levels = config.levels.iter().map(|level| Limit::of(level.floor));
        let worth = of_hosts.part(WORTH_WINDOWS);
        Tally {
            clock: Clock::default(),
            hosts: Table::new(config.hosts, config.windows, worth, config.seed),
            levels: config.levels.iter().map(level).collect(),
            services: Services::new(config),
            era: 1,
            limits: std::iter::once(of_hosts).chain(of_levels).collect(),
            bounds: Bounds { samples: config.samples, parts: config.notable_parts() },
            sigmas: config.sigmas,
            unread: 0,
        }
    }

    /// Counts a sample. Frames without an IP header that can be read have no destination and are only counted as such.
    pub fn count(&mut self, sample: &Sample<'_>) {
        let Some((seen, _)) = Seen::of(sample) else { return self.skip(sample) };
        self.find_all(&[seen]);
        let arrival = self.arrive(&seen);
        self.add(0, &seen, &arrival, |_, _, _| ());
    }

    /// Time goes on without a sample.
    pub fn tick(&mut self, now: Duration) {
        self.clock.advance(now);
    }

    /// Samples without a destination so far.
    pub fn unread(&self) -> u64 {
        self.unread
    }

    /// The most bytes that it takes, whatever comes, beside its services: a constant of the configuration.
    pub fn bound(&self) -> usize {
        self.hosts.bound() + self.levels.iter().map(|level| level.table.bound()).sum::<usize>()
    }

    /// By how many packets the sums for a destination may be below the truth: what went with keys that gave way to others
    /// in its part of the table, and what came for those without windows. 0 as long as there is room.
    pub fn lost(&self, victim: &Victim) -> u64 {
        match victim {
            Victim::Host(address) => self.hosts.lost(prefix::key(*address)),
            Victim::Prefix(prefix) => {
                let span = prefix.span();
                self.level_of(span).map_or(0, |level| self.levels[level].table.lost(span.key))
            }
            Victim::Service(_) => 0,
        }
    }

    /// Adds what another one saw, which must be of the same configuration; the answer is whether it was. Each sample must
    /// be in one of them only, so what was merged once must be a new tally before it is merged again.
    pub fn merge(&mut self, other: &Tally) -> bool {
        let levels = self.levels.iter().zip(&other.levels);
        let is_same = self.levels.len() == other.levels.len()
            && self.hosts.same_shape(&other.hosts)
            && levels
                .clone()
                .all(|(mine, theirs)| mine.lengths == theirs.lengths && mine.table.same_shape(&theirs.table))
            && self.services.same_shape(&other.services);
        if !is_same {
            return false;
        }
        self.clock.follow(&other.clock);
        let now = self.clock.now();
        self.hosts.merge(&other.hosts, now);
        for (mine, theirs) in self.levels.iter_mut().zip(&other.levels) {
            mine.table.merge(&theirs.table, now);
        }
        self.services.merge(&other.services);
        self.unread += other.unread;
        true
    }

    /// Counts a sample that has no destination.
    pub(super) fn skip(&mut self, sample: &Sample<'_>) {
        self.clock.advance(sample.time);
        self.unread += 1;
    }

    /// Looks for the places of samples that come next.
    pub(super) fn find_all(&mut self, all: &[Seen]) {
        let destinations = all.iter().map(|seen| seen.destination);
        self.hosts.find_all(destinations.clone());
        for level in &mut self.levels {
            let lengths = level.lengths;
            level.table.find_all(destinations.clone().map(|address| lengths.key(address)));
        }
    }

    /// Goes on to the time of a sample.
    pub(super) fn arrive(&mut self, seen: &Seen) -> Arrival {
        Arrival { nanos: self.clock.advance(seen.time), weight: seen.weight, length: seen.length }
    }

    /// Counts it for all that it goes to, and shows each of them with the limit that it has if no other is known. It is the
    /// one of this index among those that were looked for.
    pub(super) fn add(
        &mut self,
        at: usize,
        seen: &Seen,
        arrival: &Arrival,
        mut each: impl FnMut(Place, &mut Entry, &Limit),
    ) {
        let now = self.clock.now();
        let tables = self.levels.iter_mut().map(|level| {
            let key = level.lengths.key(seen.destination);
            (&mut level.table, key)
        });
        let tables = std::iter::once((&mut self.hosts, seen.destination)).chain(tables);
        let mut kinds = 0;
        for ((kind, (table, key)), limit) in tables.enumerate().zip(&self.limits) {
            kinds = kind + 1;
            let Some((slot, entry)) = table.add(at, key, now, arrival) else { continue };
            each(Place { kind, slot }, entry, limit);
        }
        self.services.add(seen.destination, arrival, |slot, entry, limit| {
            each(Place { kind: kinds, slot }, entry, limit);
        });
    }

    /// What an alert takes at a place of which nothing is learnt.
    pub(super) fn limit(&self, place: Place) -> Limit {
        self.limits.get(place.kind).copied().unwrap_or_else(|| self.services.limit(place.slot))
    }

    pub(super) fn entry(&self, place: Place) -> Option<&Entry> {
        match place.kind {
            0 => self.hosts.entry(place.slot),
            kind if kind <= self.levels.len() => self.levels[kind - 1].table.entry(place.slot),
            _ => self.services.entry(place.slot),
        }
    }

    pub(super) fn entry_mut(&mut self, place: Place) -> Option<&mut Entry> {
        match place.kind {
            0 => self.hosts.entry_mut(place.slot),
            kind if kind <= self.levels.len() => self.levels[kind - 1].table.entry_mut(place.slot),
            _ => self.services.entry_mut(place.slot),
        }
    }

    /// Tells an entry which suspicion is about it, or that none is any more; as long as one is, it stays.
    pub(super) fn hold(&mut self, place: Place, suspicion: Option<usize>) {
        match place.kind {
            0 => self.hosts.hold(place.slot, suspicion.is_some()),
            kind if kind <= self.levels.len() => {
                self.levels[kind - 1].table.hold(place.slot, suspicion.is_some());
            }
            _ => {}
        }
        if let Some(entry) = self.entry_mut(place) {
            entry.suspicion = suspicion.map_or(0, |suspicion| suspicion as u32 + 1);
        }
    }

    pub(super) fn services_kind(&self) -> usize {
        self.levels.len() + 1
    }

    pub(super) fn victim(&self, place: Place) -> Option<Victim> {
        Some(self.name(place.kind, self.entry(place)?.key))
    }

    /// The addresses of what is at a place.
    pub(super) fn spans(&self, place: Place) -> Vec<Span> {
        match (place.kind, self.entry(place)) {
            (0, Some(entry)) => vec![Span::host(entry.key)],
            (kind, _) if kind == self.services_kind() => self.services.spans(place.slot),
            (kind, Some(entry)) => vec![self.span(kind, entry.key)],
            (_, None) => Vec::new(),
        }
    }

    /// What goes to some of the addresses of a service: none if that is not counted apart.
    pub(super) fn part(&self, service: u32, span: Span) -> Option<&Entry> {
        match span.length {
            128 => self.hosts.entry(self.hosts.find(span.key)?),
            _ => self.services.part(service, span),
        }
    }

    fn span(&self, kind: usize, key: u128) -> Span {
        Span { key, length: self.levels[kind - 1].lengths.of(key) }
    }

    pub(super) fn name(&self, kind: usize, key: u128) -> Victim {
        match kind {
            0 => Victim::Host(prefix::address(key)),
            kind if kind <= self.levels.len() => Victim::Prefix(self.span(kind, key).prefix()),
            _ => Victim::Service(self.services.name(key as u32)),
        }
    }

    fn level_of(&self, span: Span) -> Option<usize> {
        self.levels.iter().position(|level| span.length == level.lengths.of(span.key))
    }

    pub(super) fn kind(&self, victim: &Victim) -> Option<usize> {
        match victim {
            Victim::Host(_) => Some(0),
            Victim::Prefix(prefix) => self.level_of(prefix.span()).map(|level| level + 1),
            Victim::Service(_) => Some(self.services_kind()),
        }
    }

    pub(super) fn place(&self, victim: &Victim) -> Option<Place> {
        let (kind, slot) = match victim {
            Victim::Host(address) => (0, self.hosts.find(prefix::key(*address))?),
            Victim::Prefix(prefix) => {
                let span = prefix.span();
                let level = self.level_of(span)?;
                (level + 1, self.levels[level].table.find(span.key)?)
            }
            Victim::Service(name) => (self.services_kind(), self.services.find(name)?),
        };
        Some(Place { kind, slot })
    }

    /// The prefixes and services that a place is in.
    pub(super) fn around(&self, spans: &[Span]) -> Vec<(usize, Victim)> {
        let prefixes = (1..=self.levels.len()).flat_map(|kind| {
            let outer = spans.iter().map(move |span| {
                let length = self.span(kind, span.key).length;
                (length < span.length).then(|| Span { key: masked(span.key, length), length })
            });
            outer.flatten().map(move |span| (kind, Victim::Prefix(span.prefix())))
        });
        let kind = self.services_kind();
        prefixes.chain(self.services.around(spans).map(|name| (kind, Victim::Service(name)))).collect()
    }

    /// Places of which a window has half of what an alert takes.
    pub(super) fn suspects(&self) -> Vec<Place> {
        let tables = std::iter::once(&self.hosts).chain(self.levels.iter().map(|level| &level.table));
        let mut found = Vec::new();
        for (kind, table) in tables.enumerate() {
            let entries = table.entries().filter(|(_, entry)| self.is_suspect(entry, &self.limits[kind]));
            found.extend(entries.map(|(slot, _)| Place { kind, slot }));
        }
        let kind = self.services_kind();
        let services = self
            .services
            .entries()
            .filter(|(slot, entry)| self.is_suspect(entry, &self.services.limit(*slot)));
        found.extend(services.map(|(slot, _)| Place { kind, slot }));
        found
    }

    fn is_suspect(&self, entry: &Entry, floor: &Limit) -> bool {
        let sums = entry.horizons(&self.clock.moment());
        is_suspect(&sums, &entry.limit(self.era, floor), self.bounds.samples)
    }
}

//! A key of a table, and what came for it in the last moments.

use super::config::Limit;
use super::window::{Arrival, Sums};

/// How long a period is, in nanoseconds; it begins with a sample.
const PERIOD: u64 = 1_000_000_000;

/// No windows.
const NONE: u32 = u32::MAX;

/// The sums of the last period, in one line of a cache.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct Row {
    pub(super) key: u128,
    /// When the first sample of the period was, or what came late in it.
    since: u64,
    packets: u64,
    bytes: u64,
    samples: u32,
    /// The largest weight and the largest length.
    heaviest: u32,
    longest: u32,
    /// What there was before the period: halved every second.
    before: u32,
    windows: u32,
}

impl Row {
    /// Nothing came yet.
    pub(super) fn of(key: u128, windows: Option<u32>) -> Row {
        let windows = windows.unwrap_or(NONE);
        Row { key, since: 0, packets: 0, bytes: 0, samples: 0, heaviest: 0, longest: 0, before: 0, windows }
    }

    /// Where its windows are; nowhere while it is at rest.
    pub(super) fn windows(&self) -> Option<u32> {
        (self.windows != NONE).then_some(self.windows)
    }

    pub(super) fn give(&mut self, windows: Option<u32>) {
        self.windows = windows.unwrap_or(NONE);
    }

    pub(super) fn packets(&self) -> u64 {
        self.packets
    }

    /// Begins a new period if this one is over, and gives the packets that it had.
    pub(super) fn turn(&mut self, now: u64) -> u64 {
        if now.saturating_sub(self.since) < PERIOD && self.samples > 0 {
            return 0;
        }
        let gone = self.packets;
        let before = u32::try_from(self.recent(now)).unwrap_or(u32::MAX);
        *self = Row { since: now, before, ..Row::of(self.key, self.windows()) };
        gone
    }

    /// Counts a sample of the period.
    pub(super) fn count(&mut self, arrival: &Arrival) {
        self.since = self.since.min(arrival.nanos);
        self.packets = self.packets.saturating_add(arrival.weight.into());
        self.bytes = self.bytes.saturating_add(arrival.bytes());
        self.samples = self.samples.saturating_add(1);
        self.heaviest = self.heaviest.max(arrival.weight);
        self.longest = self.longest.max(arrival.length);
    }

    /// How often what the period has in more than one sample doubles this, from the first power of two beyond it on.
    pub(super) fn doublings(&self, of: &Limit) -> u32 {
        if self.samples > 1 { of.doublings(self.packets, self.bytes) } else { 0 }
    }

    /// The weight of what came lately, halved for each second that went by.
    pub(super) fn recent(&self, now: u64) -> u64 {
        let seconds = now.saturating_sub(self.since) / PERIOD;
        self.packets.saturating_add(self.before.into()) >> seconds.min(63)
    }

    /// When the period began, and what it has.
    pub(super) fn sums(&self) -> (u64, Sums) {
        let Row { since, packets, bytes, samples, heaviest, longest, .. } = *self;
        (since, Sums::at_most(packets, bytes, samples, heaviest, longest))
    }

    /// Adds what another observer saw of the same key; gives the packets of a period that is over by the other's.
    pub(super) fn merge(&mut self, other: &Row) -> u64 {
        let is_older = self.since < other.since;
        let (old, new) = if is_older { (&*self, other) } else { (other, &*self) };
        let windows = self.windows;
        if new.since - old.since >= PERIOD {
            let before = old.recent(new.since).saturating_add(new.before.into());
            let gone = old.packets;
            *self = Row { before: u32::try_from(before).unwrap_or(u32::MAX), windows, ..*new };
            return gone;
        }
        *self = Row {
            key: self.key,
            since: old.since,
            packets: self.packets.saturating_add(other.packets),
            bytes: self.bytes.saturating_add(other.bytes),
            samples: self.samples.saturating_add(other.samples),
            heaviest: self.heaviest.max(other.heaviest),
            longest: self.longest.max(other.longest),
            before: self.before.saturating_add(other.before),
            windows,
        };
        0
    }

    /// A word of it.
    pub(super) fn touch(&self) -> u32 {
        self.windows
    }
}

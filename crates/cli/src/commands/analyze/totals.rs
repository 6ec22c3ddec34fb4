//! All traffic by destination, in bounded memory.

use std::collections::HashMap;
use std::net::IpAddr;

/// So many destinations are counted at most.
const MOST: usize = 1 << 16;

/// What one destination got, as samples say it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Total {
    /// Packets.
    pub(super) packets: u64,
    /// Their bytes, without FCS.
    pub(super) bytes: u64,
}

/// Sums over everything that came. Where there are too many destinations, the half with the least traffic is forgotten:
/// sums are then too low, by no more than [`Totals::forgotten`].
#[derive(Debug, Default)]
pub(super) struct Totals {
    destinations: HashMap<IpAddr, Total>,
    forgotten: u64,
}

impl Totals {
    /// Counts frames to a destination.
    pub(super) fn add(&mut self, to: IpAddr, packets: u64, bytes: u64) {
        if self.destinations.len() >= MOST && !self.destinations.contains_key(&to) {
            self.forget();
        }
        let total = self.destinations.entry(to).or_default();
        total.packets = total.packets.saturating_add(packets);
        total.bytes = total.bytes.saturating_add(bytes);
    }

    /// Those with the most bytes, the most first.
    pub(super) fn top(&self, count: usize) -> Vec<(IpAddr, Total)> {
        let mut all: Vec<_> = self.destinations.iter().map(|(to, total)| (*to, *total)).collect();
        all.sort_unstable_by_key(|(to, total)| (std::cmp::Reverse(total.bytes), *to));
        all.truncate(count);
        all
    }

    /// How many bytes a destination may have got beyond its sum.
    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    fn forget(&mut self) {
        let mut all: Vec<u64> = self.destinations.values().map(|total| total.bytes).collect();
        let (_, middle, _) = all.select_nth_unstable(MOST / 2);
        let middle = *middle;
        self.destinations.retain(|_, total| total.bytes > middle);
        self.forgotten = self.forgotten.saturating_add(middle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_destinations_do_not_hide_the_large_ones() {
        let mut totals = Totals::default();
        let large = IpAddr::from([192, 0, 2, 1]);
        for number in 0..500_000u32 {
            totals.add(IpAddr::from((number | 0x0a00_0000).to_be_bytes()), 1, 100);
            totals.add(large, 1, 1000);
        }
        assert_eq!(totals.top(1), [(large, Total { packets: 500_000, bytes: 500_000_000 })]);
        assert!(totals.destinations.len() <= MOST && totals.forgotten() < 5000);
    }
}

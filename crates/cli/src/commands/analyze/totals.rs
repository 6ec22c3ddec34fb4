//! All traffic by destination, in bounded memory.

use foldhash::HashMap;
use std::net::{IpAddr, Ipv6Addr};

/// So many destinations are counted at most, in some 5 MiB.
const MOST: usize = 1 << 17;
/// So many samples are added together, as a processor then waits for the memory of several destinations at once.
const TOGETHER: usize = 32;

/// What one destination got, as samples say it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Total {
    /// Packets.
    pub(super) packets: u64,
    /// Their bytes, without FCS.
    pub(super) bytes: u64,
}

impl Total {
    fn add(&mut self, other: Total) {
        self.packets = self.packets.saturating_add(other.packets);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

/// Sums over everything that came. Where there are too many destinations, the half with the least traffic is forgotten:
/// sums are then too low, by no more than [`Totals::forgotten`].
#[derive(Debug, Default)]
pub(super) struct Totals {
    /// By address, those of IPv4 as IPv6 maps them.
    destinations: HashMap<u128, Total>,
    /// What is not added yet.
    waiting: Vec<(u128, Total)>,
    forgotten: u64,
}

impl Totals {
    /// Counts frames to a destination, when it is caught up with them.
    pub(super) fn add(&mut self, to: IpAddr, packets: u64, bytes: u64) {
        self.waiting.push((key(to), Total { packets, bytes }));
        if self.waiting.len() == TOGETHER {
            self.catch_up();
        }
    }

    /// Counts what waits.
    pub(super) fn catch_up(&mut self) {
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.drain(..).for_each(|(to, total)| self.count(to, total));
        self.waiting = waiting;
    }

    /// Those with the most bytes, the most first.
    pub(super) fn top(&self, count: usize) -> Vec<(IpAddr, Total)> {
        let all = self.destinations.iter().map(|(to, total)| (address(*to), *total));
        let mut all: Vec<_> = all.collect();
        all.sort_unstable_by_key(|(to, total)| (std::cmp::Reverse(total.bytes), *to));
        all.truncate(count);
        all
    }

    /// How many bytes a destination may have got beyond its sum.
    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    fn count(&mut self, to: u128, new: Total) {
        if let Some(total) = self.destinations.get_mut(&to) {
            return total.add(new);
        }
        if self.destinations.len() >= MOST {
            self.forget();
        }
        self.destinations.insert(to, new);
    }

    fn forget(&mut self) {
        let mut all: Vec<u64> = self.destinations.values().map(|total| total.bytes).collect();
        let (_, middle, _) = all.select_nth_unstable(MOST / 2);
        let middle = *middle;
        self.destinations.retain(|_, total| total.bytes > middle);
        self.forgotten = self.forgotten.saturating_add(middle);
    }
}

fn key(to: IpAddr) -> u128 {
    match to {
        IpAddr::V4(to) => to.to_ipv6_mapped().to_bits(),
        IpAddr::V6(to) => to.to_bits(),
    }
}

fn address(key: u128) -> IpAddr {
    Ipv6Addr::from_bits(key).to_canonical()
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
        totals.catch_up();
        assert_eq!(totals.top(1), [(large, Total { packets: 500_000, bytes: 500_000_000 })]);
        assert!(totals.destinations.len() <= MOST && totals.forgotten() < 5000);
    }

    #[test]
    fn sums_are_of_their_destination() {
        let mut totals = Totals::default();
        let all =
            ["192.0.2.1", "192.0.2.2", "2001:db8::1"].map(|to| to.parse::<IpAddr>().expect("an address"));
        for round in 0..TOGETHER as u64 {
            all.iter().zip(1..).for_each(|(to, times)| totals.add(*to, times, times * round));
        }
        totals.catch_up();
        let (packets, bytes) = (TOGETHER as u64, (0..TOGETHER as u64).sum::<u64>());
        let sum = |times: u64| Total { packets: times * packets, bytes: times * bytes };
        assert_eq!(totals.top(9), [(all[2], sum(3)), (all[1], sum(2)), (all[0], sum(1))]);
        assert_eq!(totals.forgotten(), 0);
    }
}

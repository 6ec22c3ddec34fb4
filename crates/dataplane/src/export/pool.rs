//! What samples of one statement stand among, by interface, from what their records say for each CPU.

use std::collections::HashMap;

/// Pools and losses of a statement.
#[derive(Debug, Default)]
pub struct Pools {
    /// What the last record of a CPU said: the pool and the losses.
    cpus: HashMap<u32, (u64, u64)>,
    interfaces: HashMap<u32, Pool>,
}

/// As sFlow counts: modulo 2^32.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Pool {
    /// Packets that could have been sampled so far.
    pub packets: u32,
    /// Samples that were lost so far.
    pub lost: u32,
}

impl Pools {
    /// A record of a CPU, of a packet of an interface: what is known of that interface then.
    pub fn record(&mut self, cpu: u32, interface: u32, pool: u64, lost: u64) -> Pool {
        let before = self.cpus.entry(cpu).or_default();
        let entry = self.interfaces.entry(interface).or_default();
        entry.packets = entry.packets.wrapping_add(grown(&mut before.0, pool) as u32);
        entry.lost = entry.lost.wrapping_add(grown(&mut before.1, lost) as u32);
        *entry
    }
}

/// By how much a counter grew. It may begin anew with a reload; and two records of a CPU may come in the wrong order, as
/// a packet that goes out can be interrupted by one that comes in.
fn grown(before: &mut u64, now: u64) -> u64 {
    let is_anew = now < *before / 2;
    let grown = if is_anew { now } else { now.saturating_sub(*before) };
    if is_anew || now > *before {
        *before = now;
    }
    grown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpus_add_up_and_each_counts_for_itself() {
        let mut pools = Pools::default();
        assert_eq!(pools.record(0, 3, 100, 0), Pool { packets: 100, lost: 0 });
        assert_eq!(pools.record(1, 3, 50, 2), Pool { packets: 150, lost: 2 });
        assert_eq!(pools.record(0, 3, 160, 0), Pool { packets: 210, lost: 2 });
    }

    #[test]
    fn what_came_between_two_samples_is_of_the_second_ones_interface() {
        let mut pools = Pools::default();
        pools.record(0, 3, 100, 0);
        assert_eq!(pools.record(0, 4, 250, 1), Pool { packets: 150, lost: 1 });
        assert_eq!(pools.record(0, 3, 260, 1), Pool { packets: 110, lost: 0 });
    }

    #[test]
    fn a_reload_begins_anew_and_a_record_out_of_order_does_not() {
        let mut pools = Pools::default();
        pools.record(0, 3, 1000, 5);
        assert_eq!(pools.record(0, 3, 990, 5).packets, 1000, "the one before it came late");
        assert_eq!(pools.record(0, 3, 1010, 5).packets, 1010);
        assert_eq!(pools.record(0, 3, 20, 5), Pool { packets: 1030, lost: 5 });
    }

    #[test]
    fn they_go_around() {
        let mut pools = Pools::default();
        assert_eq!(pools.record(0, 3, (1 << 32) + 7, 1).packets, 7);
    }
}

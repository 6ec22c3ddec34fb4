//! What a tally says of single destinations.

use super::alert::Victim;
use super::estimate::Estimate;
use super::prefix::{Prefix, Span};
use super::tally::Tally;
use super::window::{HORIZONS, LONGEST, Sums};

/// The traffic to one destination.
#[derive(Clone, PartialEq, Debug)]
pub struct Flow {
    /// The destination.
    pub victim: Victim,
    /// Packets a second.
    pub packets_per_second: Estimate,
    /// Bits a second.
    pub bits_per_second: Estimate,
    /// What that is made of.
    pub samples: u32,
}

/// Destinations of one sort.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Addresses.
    Hosts,
    /// Prefixes of the configuration's level of this index.
    Prefixes(usize),
    /// Services.
    Services,
}

impl Tally {
    /// The traffic to a destination over the horizon of this index (0.1 s, 1 s, 10 s); nothing if there was none.
    pub fn flow(&self, victim: &Victim, horizon: usize) -> Option<Flow> {
        let entry = self.entry(self.place(victim)?)?;
        let sums = entry.over(horizon.min(LONGEST), &self.clock.moment());
        (sums.samples > 0).then(|| self.flow_of(victim.clone(), &sums, horizon.min(LONGEST)))
    }

    /// The addresses of a destination, as prefixes of which none is in another: a service has several, and what is found
    /// out about it is found out prefix by prefix. None for a service that the configuration does not have.
    pub fn prefixes(&self, victim: &Victim) -> Vec<Prefix> {
        match victim {
            Victim::Host(address) => vec![Prefix::new(*address, 128)],
            Victim::Prefix(prefix) => vec![*prefix],
            Victim::Service(name) => {
                let spans = self.services.find(name).map(|slot| self.services.spans(slot));
                spans.into_iter().flatten().map(Span::prefix).collect()
            }
        }
    }

    /// The destinations with the most bits over ten seconds.
    pub fn top(&self, kind: Kind, count: usize) -> Vec<Flow> {
        let now = self.clock.moment();
        let (kind, entries): (usize, Vec<_>) = match kind {
            Kind::Hosts => (0, self.hosts.entries().collect()),
            Kind::Prefixes(level) => (
                level + 1,
                self.levels.get(level).map_or_else(Vec::new, |level| level.table.entries().collect()),
            ),
            Kind::Services => (self.levels.len() + 1, self.services.entries().collect()),
        };
        let sums = entries.into_iter().map(|(_, entry)| (entry.key, entry.over(LONGEST, &now)));
        let mut sums: Vec<_> = sums.filter(|(_, sums)| sums.samples > 0).collect();
        sums.sort_unstable_by_key(|(key, sums)| (std::cmp::Reverse(sums.bytes), *key));
        sums.truncate(count);
        sums.iter().map(|(key, sums)| self.flow_of(self.name(kind, *key), sums, LONGEST)).collect()
    }

    fn flow_of(&self, victim: Victim, sums: &Sums, level: usize) -> Flow {
        let seconds = HORIZONS[level].as_secs_f64();
        let packets = sums.packets as f64;
        Flow {
            victim,
            packets_per_second: Estimate::over(seconds, packets, sums.packets_variance(), self.sigmas),
            bits_per_second: Estimate::over(seconds, sums.bits(), sums.bits_variance(), self.sigmas),
            samples: sums.samples,
        }
    }
}

//! What is asked of the detection.

use std::time::Duration;

use super::prefix::Prefix;
use super::window::Sums;

/// Traffic a second.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Rate {
    /// Packets a second.
    pub packets: f64,
    /// Bits a second, of frames without their FCS.
    pub bits: f64,
}

/// A named destination that alerts speak of by its name.
#[derive(Clone, PartialEq, Debug)]
pub struct Service {
    /// Its name; two services of one name are two that look alike.
    pub name: String,
    /// Its addresses.
    pub prefixes: Vec<Prefix>,
    /// Below this it has no alert.
    pub floor: Rate,
    /// Above this it has one, whatever is usual; nothing by default.
    pub capacity: Option<Rate>,
}

/// Prefixes of these lengths are looked at as one destination each.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Level {
    /// The length in IPv4.
    pub ipv4: u8,
    /// The length in IPv6.
    pub ipv6: u8,
    /// Below this none of them has an alert.
    pub floor: Rate,
}

/// How attacks are told from traffic. The defaults have their reasons with them.
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// Below this no host has an alert: 20,000 packets/s, which any server can take (FastNetMon begins there, too), or 200
    /// Mbit/s, a fifth of the slowest link worth an edge. As long as nothing is learnt of a host, this alone decides.
    pub floor: Rate,
    /// Above this a host has an alert, whatever is usual for it; none by default.
    pub capacity: Option<Rate>,
    /// Prefixes above hosts, the longest first: /24 and /48, the smallest that are routed between networks, from twice
    /// the floor of a host on, as even an idle prefix has several that are busy.
    pub levels: Vec<Level>,
    /// Destinations with a name; none by default.
    pub services: Vec<Service>,
    /// An alert takes so many times the usual peak: 6, as a good day's swing is up to 5.
    pub factor: f64,
    /// By how many standard deviations an estimate must be above: 3, which chance alone passes once in 740 windows, and
    /// only where the traffic is at the limit anyway.
    pub sigmas: f64,
    /// And so many samples it must be made of, at least: 20, a relative error of 22 %.
    pub samples: u32,
    /// An alert ends after so long below half of its limit: 30 s, more than the pause of attacks in pulses.
    pub quiet: Duration,
    /// By how much a baseline may grow a day: a quarter. More than that is a change that a person knows of: see
    /// [`super::Detector::accept`].
    pub growth: f64,
    /// For so long after the first sample everything is learnt and only capacities give alerts: not at all by default,
    /// as an attack in that time would be learnt.
    pub learn: Duration,
    /// What to add to the time of samples to get to the start of some day, for the hours of a week. Nothing suits times since
    /// 1970 and days of UTC.
    pub origin: Duration,
    /// Hosts that are told apart: 262,144, which take 18 MiB when all are there.
    pub hosts: usize,
    /// Hosts with windows of their own: 16,384, which take 11 MiB. Where there are more, those with the least traffic have
    /// none, up to a fiftieth of what an alert takes: what comes for them is lost after a second.
    pub windows: usize,
    /// Prefixes of each level with windows of their own: 16,384, which take 11 MiB.
    pub prefixes: usize,
    /// Destinations with a baseline of their own: 4,096 of 1.5 KiB. Only those need one that get near a floor.
    pub baselines: usize,
    /// Alerts, and what may become one, at a time: 1,024 of about 5 KiB.
    /// What is no alert yet makes room for others; more alerts than that wait.
    pub alerts: usize,
    /// Chooses places in tables. Analysers that are to be merged need the same; otherwise better one that nobody knows.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Config {
        let floor = Rate { packets: 20e3, bits: 200e6 };
        Config {
            floor,
            capacity: None,
            levels: vec![Level { ipv4: 24, ipv6: 48, floor: Rate { packets: 40e3, bits: 400e6 } }],
            services: Vec::new(),
            factor: 6.0,
            sigmas: 3.0,
            samples: 20,
            quiet: Duration::from_secs(30),
            growth: 0.25,
            learn: Duration::ZERO,
            origin: Duration::ZERO,
            hosts: 1 << 18,
            windows: 1 << 14,
            prefixes: 1 << 14,
            baselines: 4096,
            alerts: 1024,
            seed: 0,
        }
    }
}

impl Service {
    /// With the floor of a host in the default configuration.
    pub fn new(name: impl Into<String>, prefixes: Vec<Prefix>) -> Service {
        Service { name: name.into(), prefixes, floor: Config::default().floor, capacity: None }
    }
}

/// A rate as whole numbers a second, to compare sums with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Limit {
    packets: u64,
    bytes: u64,
}

/// No traffic gets here, and arithmetic does not end.
const NO_LIMIT: f64 = (1u64 << 52) as f64;

/// The horizons in tenths of a second.
const TENTHS: [u64; 3] = [1, 10, 100];

impl Limit {
    pub(super) const NONE: Limit = Limit { packets: NO_LIMIT as u64, bytes: NO_LIMIT as u64 };

    pub(super) fn of(rate: Rate) -> Limit {
        let whole = |rate: f64| if rate < NO_LIMIT { rate.max(1.0) as u64 } else { NO_LIMIT as u64 };
        Limit { packets: whole(rate.packets), bytes: whole(rate.bits / 8.0) }
    }

    /// Whether the sums over a horizon are one in so many parts of this, at least.
    pub(super) fn is_part_reached(&self, parts: u64, sums: &Sums, level: usize) -> bool {
        sums.packets.saturating_mul(10 * parts) >= self.packets.saturating_mul(TENTHS[level])
            || sums.bytes.saturating_mul(10 * parts) >= self.bytes.saturating_mul(TENTHS[level])
    }

    /// One in so many parts of this.
    pub(super) fn part(&self, parts: u64) -> Limit {
        Limit { packets: (self.packets / parts).max(1), bytes: (self.bytes / parts).max(1) }
    }

    /// How often one or the other doubles this, from the first power of two beyond it on.
    pub(super) fn doublings(&self, packets: u64, bytes: u64) -> u32 {
        let over = |sum: u64, limit: u64| limit.leading_zeros().saturating_sub(sum.leading_zeros());
        over(packets, self.packets).max(over(bytes, self.bytes))
    }

    /// What is missing until that is reached, or somewhat less.
    pub(super) fn left(&self, parts: u64, sums: &Sums, level: usize) -> Limit {
        let part = |limit: u64| limit.saturating_mul(TENTHS[level]) / (10 * parts);
        Limit {
            packets: part(self.packets).saturating_sub(sums.packets),
            bytes: part(self.bytes).saturating_sub(sums.bytes),
        }
    }

    pub(super) fn min(self, other: Limit) -> Limit {
        Limit { packets: self.packets.min(other.packets), bytes: self.bytes.min(other.bytes) }
    }

    /// Takes that much away from it; the answer is whether something is left of both.
    pub(super) fn spend(&mut self, packets: u64, bytes: u64) -> bool {
        self.packets = self.packets.saturating_sub(packets);
        self.bytes = self.bytes.saturating_sub(bytes);
        self.packets > 0 && self.bytes > 0
    }

    pub(super) fn rate(&self) -> Rate {
        Rate { packets: self.packets(), bits: self.bits() }
    }

    pub(super) fn packets(&self) -> f64 {
        self.packets as f64
    }

    pub(super) fn bits(&self) -> f64 {
        self.bytes as f64 * 8.0
    }
}

impl Config {
    /// The floor and the capacity of what is at a place.
    pub(super) fn bounds(&self, kind: usize, slot: u32) -> (Rate, Option<Rate>) {
        match self.services.get(slot as usize).filter(|_| kind > self.levels.len()) {
            Some(service) => (service.floor, service.capacity),
            None if kind == 0 => (self.floor, self.capacity),
            None => (self.floor_of(kind), None),
        }
    }

    /// The floor of hosts (0) and levels (from 1 on).
    pub(super) fn floor_of(&self, kind: usize) -> Rate {
        kind.checked_sub(1).and_then(|level| self.levels.get(level)).map_or(self.floor, |level| level.floor)
    }

    pub(super) fn floor_of_service(&self, name: &str) -> Rate {
        self.services.iter().find(|service| service.name == name).map_or(self.floor, |service| service.floor)
    }

    /// A baseline matters from the rate on that is this part of the floor, with a factor of two to spare.
    pub(super) fn notable_parts(&self) -> u64 {
        (2.0 * self.factor).max(1.0) as u64
    }

    /// What an alert takes: more than the floor, than so many times what is usual, but no more than the capacity.
    pub(super) fn limit(&self, floor: Rate, capacity: Option<Rate>, usual: Option<Rate>) -> Rate {
        let usual = usual.unwrap_or_default();
        let capacity = capacity.unwrap_or(Rate { packets: f64::INFINITY, bits: f64::INFINITY });
        Rate {
            packets: floor.packets.max(self.factor * usual.packets).min(capacity.packets),
            bits: floor.bits.max(self.factor * usual.bits).min(capacity.bits),
        }
    }
}

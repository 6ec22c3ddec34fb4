//! Traffic made at random, sampled at random, shown to a detector.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use weir_detect::sample::{Fate, Sample};
use weir_detect::traffic::{Config, Detector, Event, Victim};
use weir_packet::random::SplitMix;

/// How often the detector is told the time.
const TICK: Duration = Duration::from_millis(20);

/// A sample that owns its header.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    pub(crate) time: Duration,
    pub(crate) header: Vec<u8>,
    pub(crate) length: u32,
    pub(crate) one_in: u32,
    pub(crate) fate: Fate,
}

impl Taken {
    pub(crate) fn sample(&self) -> Sample<'_> {
        Sample {
            time: self.time,
            header: &self.header,
            frame_len: self.length,
            one_in: self.one_in,
            fate: self.fate,
            statement: None,
        }
    }
}

/// Packets that come at random moments at an even rate, of which one in so many is taken.
#[derive(Clone, Debug)]
pub(crate) struct Flow {
    pub(crate) from: Duration,
    pub(crate) to: Duration,
    /// Packets a second.
    pub(crate) rate: f64,
    pub(crate) one_in: u32,
    pub(crate) length: u32,
    /// The last bits of the destinations that it is spread over.
    pub(crate) victims: Vec<IpAddr>,
    pub(crate) sources: u32,
    pub(crate) fate: Fate,
}

impl Flow {
    pub(crate) fn to(victim: &str, rate: f64) -> Flow {
        Flow {
            from: seconds(0.0),
            to: seconds(3.0),
            rate,
            one_in: 100,
            length: 400,
            victims: vec![victim.parse().unwrap()],
            sources: 10_000,
            fate: Fate::Passed,
        }
    }

    pub(crate) fn between(mut self, from: f64, to: f64) -> Flow {
        (self.from, self.to) = (seconds(from), seconds(to));
        self
    }

    /// The samples of it: of packets that come at random, a random part comes at random as well.
    pub(crate) fn samples(&self, random: &mut SplitMix) -> Vec<Taken> {
        let mut found = Vec::new();
        let mut time = self.from;
        loop {
            let gap = -(1.0 - unit(random)).ln() * f64::from(self.one_in) / self.rate;
            time += Duration::from_secs_f64(gap.min(1e9));
            if time >= self.to {
                return found;
            }
            let victim = self.victims[random.bits() as usize % self.victims.len()];
            let source = Ipv4Addr::from(0x0b00_0000 + random.bits() as u32 % self.sources);
            found.push(Taken {
                time,
                header: header(source.into(), victim),
                length: self.length,
                one_in: self.one_in,
                fate: self.fate,
            });
        }
    }
}

/// All samples of several flows in the order of their time.
pub(crate) fn mixed(flows: &[Flow], seed: u64) -> Vec<Taken> {
    let mut random = SplitMix::new(seed);
    let mut all: Vec<_> = flows.iter().flat_map(|flow| flow.samples(&mut random)).collect();
    all.sort_by_key(|taken| taken.time);
    all
}

/// Shows samples, and the time in between up to some moment.
pub(crate) fn play(detector: &mut Detector, samples: &[Taken], until: Duration) -> Vec<(Duration, Event)> {
    let mut events = Vec::new();
    let mut next = samples.first().map_or(until, |first| first.time.min(until));
    let mut tick_to = |detector: &mut Detector, time: Duration| {
        while next <= time {
            events.extend(detector.tick(next).map(|event| (next, event)));
            next += TICK;
        }
    };
    for taken in samples {
        tick_to(detector, taken.time);
        detector.observe(&taken.sample());
    }
    tick_to(detector, until);
    events
}

/// What a detector with the default configuration says of some flows.
pub(crate) fn seen(flows: &[Flow], seed: u64, until: f64) -> Vec<(Duration, Event)> {
    play(&mut Detector::new(Config::default()), &mixed(flows, seed), seconds(until))
}

/// Who has an alert that began, in order.
pub(crate) fn began(events: &[(Duration, Event)]) -> Vec<Victim> {
    let began = events.iter().filter(|(_, event)| matches!(event, Event::Began(_)));
    began.map(|(_, event)| event.alert().victim.clone()).collect()
}

pub(crate) fn ended(events: &[(Duration, Event)]) -> usize {
    events.iter().filter(|(_, event)| matches!(event, Event::Ended(_))).count()
}

pub(crate) fn host(address: &str) -> Victim {
    Victim::Host(address.parse().unwrap())
}

pub(crate) fn prefix(text: &str) -> Victim {
    Victim::Prefix(text.parse().unwrap())
}

pub(crate) fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// From 0 to 1, which it never is.
pub(crate) fn unit(random: &mut SplitMix) -> f64 {
    (random.bits() >> 11) as f64 / (1u64 << 53) as f64
}

/// The first bytes of a UDP packet in Ethernet. The source is IPv4, and mapped for a victim of IPv6.
pub(crate) fn header(source: IpAddr, victim: IpAddr) -> Vec<u8> {
    let mut bytes = vec![0; 12];
    match (source, victim) {
        (IpAddr::V4(source), IpAddr::V4(victim)) => {
            bytes.extend([0x08, 0x00, 0x45, 0, 0, 40, 0, 0, 0, 0, 64, 17, 0, 0]);
            bytes.extend(source.octets());
            bytes.extend(victim.octets());
        }
        (source, victim) => {
            let mapped = |address: IpAddr| match address {
                IpAddr::V4(four) => four.to_ipv6_mapped().octets(),
                IpAddr::V6(six) => six.octets(),
            };
            bytes.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 20, 17, 64]);
            bytes.extend(mapped(source));
            bytes.extend(mapped(victim));
        }
    }
    bytes.extend([0x00, 0x35, 0x12, 0x34, 0, 20, 0, 0]);
    bytes.extend([0; 12]);
    bytes
}

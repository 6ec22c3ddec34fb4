//! What is sent when, without sockets and clocks. Time is what passed since the agent began.

use super::pool::{Pool, Pools};
use crate::samples::Sample;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;
use weir_detect::sample::Fate;
use weir_detect::sflow::{
    Direction, Discard, Encoder, Interface, InterfaceCounters, Reason, Refused, Source, StatementCounters,
    Taken,
};

/// Samples wait so long for others at most, to go in one datagram: sFlow asks for a second.
const PATIENCE: Duration = Duration::from_millis(500);
/// The most of a frame that is sent: what a policy asks for, as far as it fits into a datagram beside a name.
const HEADER: usize = 1024;
/// The host itself, whose counters the statements are: the first physical entity.
const HOST: Source = Source { kind: 2, index: 1 };

/// How to tell of packets that were dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Dropped {
    /// As flow samples whose output says so: every collector scales them.
    #[default]
    Flows,
    /// As discarded packets, with the reason that a rule did it: what drop monitors read. They have no sampling rate.
    Discarded,
}

/// What an agent is told once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// By which address collectors know it.
    pub address: IpAddr,
    /// How to tell of packets that were dropped.
    pub dropped: Dropped,
    /// How often counters are sent.
    pub counters: Duration,
    /// On which side of the host the policy is.
    pub direction: Direction,
}

/// Counters at a moment.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Counted {
    /// Of interfaces.
    pub interfaces: Vec<InterfaceCounters>,
    /// Of statements: name, packets, bytes.
    pub statements: Vec<(String, u64, u64)>,
}

/// Makes datagrams of samples and counters.
#[derive(Debug)]
pub struct Agent {
    settings: Settings,
    /// The one of the first statement; counters go with it even if nothing is sampled.
    senders: Vec<Sender>,
    /// By statement.
    numbers: BTreeMap<String, usize>,
    /// When what waits must go.
    flush: Option<Duration>,
    counters: Duration,
    refused: u64,
}

#[derive(Debug)]
struct Sender {
    encoder: Encoder,
    pools: Pools,
}

impl Agent {
    /// Counters are sent at once, and then as often as the settings say.
    pub fn new(settings: Settings) -> Agent {
        let senders = vec![Sender::new(settings.address, 0)];
        let (numbers, counters) = (BTreeMap::new(), Duration::ZERO);
        Agent { settings, senders, numbers, flush: None, counters, refused: 0 }
    }

    /// A sample was read.
    pub fn sample(&mut self, now: Duration, sample: &Sample<'_>, send: &mut dyn FnMut(&[u8])) {
        let Settings { dropped, direction, .. } = self.settings;
        let sender = self.sender(sample.statement);
        let record = &sample.record;
        let Pool { packets: pool, lost: drops } =
            sender.pools.record(record.cpu, record.interface, record.pool, record.lost);
        let source = Source::interface(record.interface);
        let (input, output) = match direction {
            Direction::Egress => (0, record.interface),
            _ => (record.interface, 0),
        };
        let frame = sample.detected();
        let full = if frame.fate == Fate::Dropped && dropped == Dropped::Discarded {
            let discard = Discard { source, drops, input, output, reason: Reason::ACL, direction };
            sender.encoder.discarded(now, &discard, &frame)
        } else {
            let (input, output) = (Interface::index(input), Interface::index(output));
            sender.encoder.flow(now, &Taken { source, pool, drops, input, output, direction }, &frame)
        };
        let refused = sent(full, send);
        self.waits(now, refused);
    }

    /// Whether counters are due; then [`Agent::counted`] or [`Agent::not_counted`] is to be called.
    pub fn wants_counters(&self, now: Duration) -> bool {
        now >= self.counters
    }

    /// There are none now: they are due again after their time.
    pub fn not_counted(&mut self, now: Duration) {
        self.counters = now + self.settings.counters;
    }

    /// Counters, as they are now.
    pub fn counted(&mut self, now: Duration, counted: &Counted, send: &mut dyn FnMut(&[u8])) {
        // What was late does not make the next ones come sooner.
        self.counters = now + self.settings.counters;
        let mut refused = false;
        let encoder = &mut self.senders[0].encoder;
        for interface in &counted.interfaces {
            refused |= sent(encoder.interface(now, Source::interface(interface.index), interface), send);
        }
        for (name, packets, bytes) in &counted.statements {
            let counters = StatementCounters { name, packets: *packets, bytes: *bytes };
            refused |= sent(encoder.statement(now, HOST, &counters), send);
        }
        self.waits(now, refused);
    }

    /// Sends what has waited long enough. To be called some times a second.
    pub fn turn(&mut self, now: Duration, send: &mut dyn FnMut(&[u8])) {
        if self.flush.is_some_and(|due| now >= due) {
            self.finish(now, send);
        }
    }

    /// Sends all that waits.
    pub fn finish(&mut self, now: Duration, send: &mut dyn FnMut(&[u8])) {
        self.flush = None;
        self.senders.iter_mut().filter_map(|sender| sender.encoder.finish(now)).for_each(send);
    }

    /// Samples that fit into no datagram so far.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Of a statement; the first one has the sender that is there anyway.
    fn sender(&mut self, statement: &str) -> &mut Sender {
        let number = match self.numbers.get(statement) {
            Some(number) => *number,
            None => {
                let number = self.numbers.len();
                self.numbers.insert(statement.to_owned(), number);
                if number == self.senders.len() {
                    self.senders.push(Sender::new(self.settings.address, number as u32));
                }
                number
            }
        };
        &mut self.senders[number]
    }

    fn waits(&mut self, now: Duration, refused: bool) {
        self.refused += u64::from(refused);
        self.flush.get_or_insert(now + PATIENCE);
    }
}

impl Sender {
    fn new(address: IpAddr, number: u32) -> Sender {
        Sender { encoder: Encoder::new(address, number).header(HEADER), pools: Pools::default() }
    }
}

/// Sends a datagram that became full; whether what filled it was refused.
fn sent(full: Result<Option<&[u8]>, Refused>, send: &mut dyn FnMut(&[u8])) -> bool {
    match full {
        Ok(Some(datagram)) => send(datagram),
        Ok(None) => {}
        Err(_) => return true,
    }
    false
}

#[cfg(test)]
#[path = "agent_tests.rs"]
mod tests;

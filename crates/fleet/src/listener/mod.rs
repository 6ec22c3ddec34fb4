//! sFlow datagrams that agents send, and other analysers hand on. What is wrong with one is counted, and ends nothing.
//!
//! Analysers hand each other what agents sent them, datagram by datagram as it came: so each of them knows what all of them
//! know, and nothing is to be merged. A datagram that comes by several ways counts once.

mod clock;
mod inbox;

use clock::AgentClock;
use inbox::Inbox;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;
use weir_detect::sample::Sample;
use weir_detect::sflow::{self, Datagram, Tally};

/// How long one wait may take, so that time goes on without datagrams.
const WAIT: Duration = Duration::from_millis(20);
/// Senders of agents whose numbers are followed.
const FOLLOWED: usize = 1024;
/// A number that is further away is no gap: the agent has begun anew, or the datagram was overtaken.
const GAP: u32 = 1 << 16;
/// Senders that are told by name.
const NAMED: usize = 64;
/// So many datagrams are known again.
const KNOWN: usize = 1 << 14;

/// Whose datagrams are read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Senders {
    /// Everybody's.
    Anybody,
    /// Those of these addresses.
    Listed(BTreeSet<IpAddr>),
}

/// Receives what agents send.
#[derive(Debug)]
pub struct Listener {
    inbox: Inbox,
    from: Senders,
    /// Other analysers, by where they listen, which is where they send from.
    peers: Vec<SocketAddr>,
    seen: Seen,
    /// What datagrams held.
    pub tally: Tally,
    /// Datagrams of others.
    pub strange: u64,
    /// Datagrams that did not come, by the numbers of those that did.
    pub lost: u64,
    /// Datagrams that came a second time.
    pub again: u64,
    /// Datagrams that could not be handed on.
    pub unsent: u64,
    /// When agents began, for each of their senders.
    clocks: HashMap<(IpAddr, u32), AgentClock>,
    /// The last number of each agent's senders, by the address that it came from.
    numbers: HashMap<(IpAddr, Option<IpAddr>, u32), u32>,
    /// Datagrams of others and malformed ones, by sender: those are told when they come first.
    told: BTreeSet<(IpAddr, bool)>,
}

impl Listener {
    /// On an address and port.
    pub fn bind(address: SocketAddr, from: Senders) -> io::Result<Listener> {
        let socket = UdpSocket::bind(address)?;
        socket.set_read_timeout(Some(WAIT))?;
        Ok(Listener {
            inbox: Inbox::of(socket)?,
            from,
            peers: Vec::new(),
            seen: Seen::default(),
            tally: Tally::default(),
            strange: 0,
            lost: 0,
            again: 0,
            unsent: 0,
            clocks: HashMap::new(),
            numbers: HashMap::new(),
            told: BTreeSet::new(),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.inbox.socket.local_addr()
    }

    /// Reads these from now on.
    pub fn listen_to(&mut self, from: Senders) {
        self.from = from;
    }

    /// Hands on to these what agents send, and reads what they hand on.
    pub fn share_with(&mut self, peers: Vec<SocketAddr>) {
        self.peers = peers;
    }

    /// Waits a moment for a datagram and hands over its samples, as if they were taken when it was sent, by the clock that
    /// `now` reads. Whether one came, and what is to be said of it.
    pub fn read(
        &mut self,
        now: impl FnOnce() -> Duration,
        each: impl for<'a> FnMut(Sample<'a>),
    ) -> io::Result<(bool, Option<String>)> {
        if !self.inbox.advance()? {
            return Ok((false, None));
        }
        let Some((bytes, address)) = self.inbox.datagram() else { return Ok((true, None)) };
        let sender = address.ip().to_canonical();
        let is_handed_on = self.peers.contains(&address);
        if !is_handed_on && !self.from.has(sender) {
            self.strange += 1;
            let told = format!("datagrams of {sender} are not read: it is no listed agent");
            return Ok((true, self.first(sender, false).then_some(told)));
        }
        if !self.peers.is_empty() && !self.seen.is_new(bytes) {
            self.again += 1;
            return Ok((true, None));
        }
        if !is_handed_on {
            let unsent = self.peers.iter().filter(|peer| self.inbox.socket.send_to(bytes, peer).is_err());
            self.unsent += unsent.count() as u64;
        }
        let time = sent(&mut self.clocks, bytes, sender, now());
        let read = sflow::samples(bytes, time, &mut self.tally, each);
        match read.map(|datagram| (datagram.agent, datagram.sub_agent, datagram.sequence)) {
            // Whoever handed it on knows what it has not got.
            Ok(_) if is_handed_on => Ok((true, None)),
            Ok((agent, sub_agent, number)) => {
                self.follow((sender, agent, sub_agent), number);
                Ok((true, None))
            }
            Err(error) => {
                let told = format!("malformed datagram of {sender}: {error}");
                Ok((true, self.first(sender, true).then_some(told)))
            }
        }
    }

    /// Counts what is missing before a datagram of this number.
    fn follow(&mut self, from: (IpAddr, Option<IpAddr>, u32), number: u32) {
        if let Some(last) = self.numbers.get_mut(&from) {
            let missing = number.wrapping_sub(*last).wrapping_sub(1);
            self.lost += if missing < GAP { u64::from(missing) } else { 0 };
            *last = number;
        } else if self.numbers.len() < FOLLOWED {
            self.numbers.insert(from, number);
        }
    }

    /// Whether it is the first of its kind, as far as there is room to remember that.
    fn first(&mut self, sender: IpAddr, malformed: bool) -> bool {
        self.told.len() < NAMED && self.told.insert((sender, malformed))
    }
}

impl Senders {
    /// These, or everybody if there are none.
    pub fn of(addresses: &[IpAddr]) -> Senders {
        match addresses.is_empty() {
            true => Senders::Anybody,
            false => Senders::Listed(addresses.iter().map(IpAddr::to_canonical).collect()),
        }
    }

    fn has(&self, sender: IpAddr) -> bool {
        match self {
            Senders::Anybody => true,
            Senders::Listed(addresses) => addresses.contains(&sender),
        }
    }
}

/// When a datagram was sent.
fn sent(
    clocks: &mut HashMap<(IpAddr, u32), AgentClock>,
    bytes: &[u8],
    sender: IpAddr,
    now: Duration,
) -> Duration {
    let Ok(datagram) = Datagram::decode(bytes) else { return now };
    let key = (datagram.agent.unwrap_or(sender), datagram.sub_agent);
    if clocks.len() == FOLLOWED && !clocks.contains_key(&key) {
        return now;
    }
    let clock = clocks.entry(key).or_insert_with(|| AgentClock::new(now, datagram.uptime));
    clock.time(now, datagram.uptime)
}

/// The last datagrams, by what is in them: numbers do not tell those of agents that begin anew.
#[derive(Debug, Default)]
struct Seen {
    hasher: RandomState,
    known: HashSet<u64>,
    order: VecDeque<u64>,
}

impl Seen {
    fn is_new(&mut self, bytes: &[u8]) -> bool {
        let hash = self.hasher.hash_one(bytes);
        if !self.known.insert(hash) {
            return false;
        }
        self.order.push_back(hash);
        if self.order.len() > KNOWN
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

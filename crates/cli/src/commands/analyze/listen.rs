//! sFlow datagrams that agents send. What is wrong with one is counted, and ends nothing.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;
use weir_detect::sample::Sample;
use weir_detect::sflow::{self, Tally};

/// How long one wait may take, so that time goes on without datagrams.
const WAIT: Duration = Duration::from_millis(20);
/// Senders of agents whose numbers are followed.
const FOLLOWED: usize = 1024;
/// A number that is further away is no gap: the agent has begun anew, or the datagram was overtaken.
const GAP: u32 = 1 << 16;
/// Senders that are told by name.
const NAMED: usize = 64;

/// Receives what agents send.
#[derive(Debug)]
pub(super) struct Listener {
    socket: UdpSocket,
    /// Whose datagrams are read; everybody's if there are none.
    from: Vec<IpAddr>,
    bytes: Vec<u8>,
    /// What datagrams held.
    pub(super) tally: Tally,
    /// Datagrams of others.
    pub(super) strange: u64,
    /// Datagrams that did not come, by the numbers of those that did.
    pub(super) lost: u64,
    /// The last number of each agent's senders, by the address that it came from.
    numbers: HashMap<(IpAddr, Option<IpAddr>, u32), u32>,
    /// Datagrams of others and malformed ones, by sender: those are told when they come first.
    told: BTreeSet<(IpAddr, bool)>,
}

impl Listener {
    /// On an address and port.
    pub(super) fn bind(address: SocketAddr, from: &[IpAddr]) -> io::Result<Listener> {
        let socket = UdpSocket::bind(address)?;
        socket.set_read_timeout(Some(WAIT))?;
        let from = from.iter().map(IpAddr::to_canonical).collect();
        let (bytes, tally, told) = (vec![0; 1 << 16], Tally::default(), BTreeSet::new());
        let numbers = HashMap::new();
        Ok(Listener { socket, from, bytes, tally, strange: 0, lost: 0, numbers, told })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Waits a moment for a datagram and hands over its samples, as if they were taken when `now` says; what is to be
    /// said of it.
    pub(super) fn read(
        &mut self,
        now: impl FnOnce() -> Duration,
        each: impl for<'a> FnMut(Sample<'a>),
    ) -> io::Result<Option<String>> {
        let (count, sender) = match self.socket.recv_from(&mut self.bytes) {
            Ok((count, sender)) => (count, sender.ip().to_canonical()),
            Err(error) if is_nothing(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        if !self.from.is_empty() && !self.from.contains(&sender) {
            self.strange += 1;
            let told = format!("datagrams of {sender} are not read: it is not named by `--from`");
            return Ok(self.first(sender, false).then_some(told));
        }
        let read = sflow::samples(&self.bytes[..count], now(), &mut self.tally, each);
        match read.map(|datagram| (datagram.agent, datagram.sub_agent, datagram.sequence)) {
            Ok((agent, sub_agent, number)) => {
                self.follow((sender, agent, sub_agent), number);
                Ok(None)
            }
            Err(error) => {
                let told = format!("malformed datagram of {sender}: {error}");
                Ok(self.first(sender, true).then_some(told))
            }
        }
    }

    /// Counts what is missing before a datagram of this number.
    fn follow(&mut self, from: (IpAddr, Option<IpAddr>, u32), number: u32) {
        if let Some(last) = self.numbers.get(&from) {
            let missing = number.wrapping_sub(*last).wrapping_sub(1);
            self.lost += if missing < GAP { u64::from(missing) } else { 0 };
        } else if self.numbers.len() == FOLLOWED {
            return;
        }
        self.numbers.insert(from, number);
    }

    /// Whether it is the first of its kind, as far as there is room to remember that.
    fn first(&mut self, sender: IpAddr, malformed: bool) -> bool {
        self.told.len() < NAMED && self.told.insert((sender, malformed))
    }
}

/// No datagram came, or something that says nothing of the next one.
fn is_nothing(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), WouldBlock | TimedOut | Interrupted | ConnectionRefused)
}

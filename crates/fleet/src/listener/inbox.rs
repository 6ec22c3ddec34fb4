//! Datagrams from a socket, without being woken up for each of them.
//!
//! To sleep until a datagram comes and to be woken up for it costs as much as to read it. So where they come fast, the
//! reader naps for a moment once it has taken all that there are, and then takes all that have come. Nobody waits for the
//! answer as long as that: the shortest window of the detection is a hundred naps.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::thread::sleep;
use std::time::{Duration, Instant};
use weir_kernel::datagrams::{BATCH, Datagrams, make_room};

/// What may wait at the socket: of datagrams of 1,400 bytes, ten million samples a second for longer than a nap.
const ROOM: usize = 16 << 20;
/// What a datagram takes of it at most, but for long ones and a few drivers.
const EACH: usize = 4 << 10;
/// Datagrams that come further apart are waited for one by one.
const FAST: Duration = Duration::from_micros(250);
/// The longest nap, and what is none any more: the kernel's timers are not finer.
const NAP: Duration = Duration::from_millis(1);
const SHORTEST: Duration = Duration::from_micros(100);

/// A socket, and what has come from it and was not looked at yet.
#[derive(Debug)]
pub(super) struct Inbox {
    pub(super) socket: UdpSocket,
    datagrams: Datagrams,
    came: usize,
    next: usize,
    pace: Pace,
}

/// How fast datagrams come, by those since the last time that there were none.
#[derive(Debug)]
struct Pace {
    since: Instant,
    count: u32,
    /// So many may come while nobody looks.
    most: u32,
}

impl Inbox {
    /// Of a socket that has a timeout of reading.
    pub(super) fn of(socket: UdpSocket) -> io::Result<Inbox> {
        let room = make_room(&socket, ROOM)?;
        let pace = Pace::new(Instant::now(), room);
        Ok(Inbox { socket, datagrams: Datagrams::default(), came: 0, next: 0, pace })
    }

    /// Whether there is another datagram; waits for it as long as the socket's timeout says.
    pub(super) fn advance(&mut self) -> io::Result<bool> {
        self.next += 1;
        if self.next >= self.came {
            self.fill()?;
        }
        Ok(self.came > 0)
    }

    /// That datagram, and who sent it.
    pub(super) fn datagram(&self) -> Option<(&[u8], SocketAddr)> {
        self.datagrams.get(self.next)
    }

    fn fill(&mut self) -> io::Result<()> {
        // Fewer than there could have been: there are no more.
        if self.came < BATCH
            && let Some(nap) = self.pace.nap(Instant::now())
        {
            sleep(nap);
        }
        (self.next, self.came) = (0, 0);
        self.came = match self.datagrams.receive(&self.socket) {
            Err(error) if is_nothing(&error) => 0,
            received => received?,
        };
        self.pace.count += self.came as u32;
        Ok(())
    }
}

impl Pace {
    fn new(now: Instant, room: usize) -> Pace {
        // A quarter: what comes is not even.
        Pace { since: now, count: 0, most: u32::try_from(room / EACH / 4).unwrap_or(u32::MAX) }
    }

    /// There are no datagrams: how long to nap, if they come fast enough for that.
    fn nap(&mut self, now: Instant) -> Option<Duration> {
        let (passed, count) = (now.saturating_duration_since(self.since), self.count);
        (self.since, self.count) = (now, 0);
        let apart = passed.checked_div(count)?;
        let nap = NAP.min(apart * self.most);
        (apart < FAST && nap >= SHORTEST).then_some(nap)
    }
}

/// No datagram came, or something that says nothing of the next one.
fn is_nothing(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), WouldBlock | TimedOut | Interrupted | ConnectionRefused)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is done when so many datagrams came in so long, with this much room.
    fn nap(count: u32, micros: u64, room: usize) -> Option<Duration> {
        let start = Instant::now();
        let mut pace = Pace::new(start, room);
        pace.count = count;
        pace.nap(start + Duration::from_micros(micros))
    }

    #[test]
    fn only_what_comes_fast_is_napped_for() {
        assert_eq!(nap(0, 20_000, ROOM), None, "none came");
        assert_eq!(nap(1, 20_000, ROOM), None);
        assert_eq!(nap(1, 200, ROOM), Some(NAP));
        assert_eq!(nap(1_000, 1_000, ROOM), Some(NAP));
        assert_eq!(nap(1_000, 0, ROOM), None, "faster than any nap");
    }

    #[test]
    fn nothing_is_lost_or_overtaken_in_naps() {
        let socket = UdpSocket::bind(("127.0.0.1", 0)).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout");
        let to = socket.local_addr().expect("an address");
        let mut inbox = Inbox::of(socket).expect("an inbox");
        let sender = std::thread::spawn(move || {
            let socket = UdpSocket::bind(("127.0.0.1", 0)).expect("a socket");
            for number in 0..5_000u32 {
                socket.send_to(&number.to_be_bytes(), to).expect("room for it");
                if number % 50 == 49 {
                    sleep(NAP);
                }
            }
            socket.local_addr().expect("an address")
        });
        let (mut numbers, mut senders, start) = (Vec::new(), Vec::new(), Instant::now());
        while numbers.len() < 5_000 && start.elapsed() < Duration::from_secs(20) {
            if inbox.advance().expect("datagrams") {
                let (bytes, from) = inbox.datagram().expect("one");
                numbers.push(u32::from_be_bytes(bytes.try_into().expect("four bytes")));
                senders.push(from);
            }
        }
        assert!(numbers.iter().copied().eq(0..5_000));
        senders.dedup();
        assert_eq!(senders, [sender.join().expect("it sent")]);
        assert!(!inbox.advance().expect("nothing") && inbox.datagram().is_none());
    }

    #[test]
    fn a_nap_never_fills_more_than_a_quarter_of_the_room() {
        let room = 416 << 10;
        assert_eq!(nap(100, 1_000, room), Some(Duration::from_micros(260)));
        assert_eq!(nap(400, 1_000, room), None, "a hundred thousand a second for four");
        assert_eq!(nap(10, 1_000, room), Some(NAP));
    }
}

//! Datagrams from a socket, several in a system call.

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg};
use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::thread;
use std::time::{Duration, Instant};

/// Datagrams that are taken at once.
const BATCH: usize = 16;
/// The longest that there can be.
const LONGEST: usize = 1 << 16;
/// Where the last ones came less than `BUSY` ago, the next ones are left to gather for a moment: to be woken up for each of
/// them costs more than to read it.
const BUSY: Duration = Duration::from_millis(1);
const GATHER: Duration = Duration::from_micros(250);

/// What has come and was not looked at yet.
#[derive(Debug)]
pub(super) struct Inbox {
    buffers: Vec<Vec<u8>>,
    /// Buffer, length and sender.
    waiting: VecDeque<(usize, usize, SocketAddr)>,
    filled: Option<Instant>,
}

impl Inbox {
    pub(super) fn new() -> Inbox {
        Inbox { buffers: vec![vec![0; LONGEST]; BATCH], waiting: VecDeque::new(), filled: None }
    }

    /// The next datagram, waited for as long as the socket's timeout says: its length, its sender, and in which buffer it is.
    pub(super) fn next(&mut self, socket: &UdpSocket) -> io::Result<Option<(usize, usize, SocketAddr)>> {
        if self.waiting.is_empty() {
            self.fill(socket)?;
        }
        Ok(self.waiting.pop_front())
    }

    /// What is in a buffer.
    pub(super) fn bytes(&self, buffer: usize, length: usize) -> &[u8] {
        &self.buffers[buffer][..length]
    }

    fn fill(&mut self, socket: &UdpSocket) -> io::Result<()> {
        if self.filled.is_some_and(|filled| filled.elapsed() < BUSY) {
            thread::sleep(GATHER);
        }
        let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(BATCH, None);
        let mut slices: Vec<[IoSliceMut<'_>; 1]> =
            self.buffers.iter_mut().map(|buffer| [IoSliceMut::new(buffer)]).collect();
        let flags = MsgFlags::MSG_WAITFORONE;
        let received = recvmmsg(socket.as_raw_fd(), &mut headers, slices.iter_mut(), flags, None);
        let received = match received {
            Ok(received) => received,
            // None came, or something that says nothing of the next one.
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ECONNREFUSED | Errno::ETIMEDOUT) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        for (buffer, message) in received.enumerate() {
            if let Some(sender) = message.address.as_ref().and_then(address) {
                self.waiting.push_back((buffer, message.bytes, sender));
            }
        }
        self.filled = Some(Instant::now());
        Ok(())
    }
}

fn address(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| SocketAddr::V4((*v4).into()));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| SocketAddr::V6((*v6).into())))
}

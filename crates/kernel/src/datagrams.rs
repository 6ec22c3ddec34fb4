//! UDP datagrams where they come in numbers: several in one system call, and room for those that wait.

use nix::errno::Errno;
use nix::sys::socket::{
    MsgFlags, MultiHeaders, SockaddrStorage, getsockopt, recvmmsg, setsockopt, sockopt::RcvBuf,
    sockopt::RcvBufForce,
};
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

/// Datagrams that are taken in one call.
pub const BATCH: usize = 16;

/// The longest that there can be.
const LONGEST: usize = 1 << 16;

/// From one buffer's begin to the next one's. Were it a power of two, the begins of all would want the same few lines of a
/// cache.
const APART: usize = LONGEST + 1600;

/// Buffers, and what came into them last.
#[derive(Debug)]
pub struct Datagrams {
    bytes: Vec<u8>,
    /// How long each is that came, and who sent it.
    came: Vec<(usize, Option<SocketAddr>)>,
}

impl Default for Datagrams {
    fn default() -> Datagrams {
        Datagrams {
            // Pages that nothing came into are only reserved.
            bytes: vec![0; BATCH * APART],
            came: Vec::with_capacity(BATCH),
        }
    }
}

impl Datagrams {
    /// Waits for one, for as long as the socket's timeout of reading says, and takes those behind it that are there
    /// already, [`BATCH`] at most. The answer is how many came.
    ///
    /// # Errors
    /// Those of `recvmmsg(2)`; then none came.
    pub fn receive(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        self.came.clear();
        let buffers =
            self.bytes.chunks_exact_mut(APART).map(|bytes| [IoSliceMut::new(&mut bytes[..LONGEST])]);
        let mut buffers: Vec<_> = buffers.collect();
        // It has pointers in it, so whoever kept it could not go to another thread.
        let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(BATCH, None);
        let (descriptor, flags) = (socket.as_raw_fd(), MsgFlags::MSG_WAITFORONE);
        let received = recvmmsg(descriptor, &mut headers, &mut buffers, flags, None)?;
        self.came.extend(received.map(|one| (one.bytes, one.address.as_ref().and_then(address))));
        Ok(self.came.len())
    }

    /// One of those that came last, in the order in which they came, and who sent it.
    pub fn get(&self, index: usize) -> Option<(&[u8], SocketAddr)> {
        let (length, sender) = *self.came.get(index)?;
        Some((self.bytes.get(index * APART..)?.get(..length)?, sender?))
    }
}

/// Makes room for so many bytes that wait at a socket, as the kernel counts them: beyond what anybody may ask for, if this
/// process may. The answer is how much there is now.
pub fn make_room(socket: &UdpSocket, bytes: usize) -> io::Result<usize> {
    // The kernel doubles what it is asked for.
    let half = bytes / 2;
    setsockopt(socket, RcvBufForce, &half).or_else(|_: Errno| setsockopt(socket, RcvBuf, &half))?;
    room(socket)
}

fn room(socket: &UdpSocket) -> io::Result<usize> {
    Ok(getsockopt(socket, RcvBuf)?)
}

fn address(sender: &SockaddrStorage) -> Option<SocketAddr> {
    let four = sender.as_sockaddr_in().map(|four| SocketAddr::V4((*four).into()));
    four.or_else(|| sender.as_sockaddr_in6().map(|six| SocketAddr::V6((*six).into())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn pair(address: &str) -> (UdpSocket, UdpSocket) {
        let [one, other] = [0, 1].map(|_| UdpSocket::bind((address, 0)).expect("a socket"));
        one.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout");
        (one, other)
    }

    /// The sixth is as long as few are.
    fn content(number: usize) -> Vec<u8> {
        vec![number as u8; if number == 5 { 60_000 } else { 70 * number }]
    }

    #[test]
    fn what_waits_comes_at_once_and_in_its_order() {
        for address in ["127.0.0.1", "::1"] {
            let (receiver, sender) = pair(address);
            let to = receiver.local_addr().expect("an address");
            for number in 0..BATCH + 3 {
                sender.send_to(&content(number), to).expect("room for it");
            }
            let (mut all, mut datagrams) = (0, Datagrams::default());
            for expected in [BATCH, 3] {
                assert_eq!(datagrams.receive(&receiver).expect("datagrams"), expected);
                for index in 0..expected {
                    let (bytes, from) = datagrams.get(index).expect("one of them");
                    assert_eq!(bytes, content(all));
                    assert_eq!(from, sender.local_addr().expect("an address"));
                    all += 1;
                }
                assert_eq!(datagrams.get(expected), None);
            }
            let none = datagrams.receive(&receiver).map_err(|error| error.kind());
            assert_eq!(none, Err(io::ErrorKind::WouldBlock));
            assert_eq!(datagrams.get(0), None);
        }
    }

    #[test]
    fn there_is_as_much_room_as_is_told() {
        let (receiver, sender) = pair("127.0.0.1");
        let before = room(&receiver).expect("a figure");
        let room = make_room(&receiver, 1 << 20).expect("room");
        assert!(room >= before.min(1 << 20), "{room}");
        let to = receiver.local_addr().expect("an address");
        // Of what the kernel counts, a datagram is the least part.
        (0..room / 8192).for_each(|_| assert_eq!(sender.send_to(&[0; 1400], to).expect("room for it"), 1400));
        let (mut datagrams, mut count) = (Datagrams::default(), 0);
        while let Ok(more) = datagrams.receive(&receiver) {
            count += more;
        }
        assert_eq!(count, room / 8192);
    }
}

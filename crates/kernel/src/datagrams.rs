//! UDP datagrams where they come in numbers: several in one system call, and room for those that wait.

use std::io;
use std::mem;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::os::fd::AsRawFd;
use std::ptr;

/// Datagrams that are taken in one call.
pub const BATCH: usize = 16;

/// The longest that there can be.
const LONGEST: usize = 1 << 16;

/// From one buffer's begin to the next one's. Were it a power of two, the begins of all would want the same few lines of a
/// cache.
const APART: usize = LONGEST + 1600;

/// The longest address: `struct sockaddr_in6`.
const ADDRESS: usize = size_of::<libc::sockaddr_in6>();

/// Buffers, and what came into them last.
#[derive(Debug)]
pub struct Datagrams {
    bytes: Vec<u8>,
    senders: [[u8; ADDRESS]; BATCH],
    lengths: [usize; BATCH],
    count: usize,
}

impl Default for Datagrams {
    fn default() -> Datagrams {
        Datagrams {
            // Pages that nothing came into are only reserved.
            bytes: vec![0; BATCH * APART],
            senders: [[0; ADDRESS]; BATCH],
            lengths: [0; BATCH],
            count: 0,
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
        self.count = 0;
        let senders = &mut self.senders;
        let mut parts: [libc::iovec; BATCH] =
            std::array::from_fn(|_| libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 });
        for (part, bytes) in parts.iter_mut().zip(self.bytes.chunks_exact_mut(APART)) {
            *part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: LONGEST };
        }
        // SAFETY: zeros are a message without name, parts and control data.
        let mut messages: [libc::mmsghdr; BATCH] = unsafe { mem::zeroed() };
        for ((message, part), sender) in messages.iter_mut().zip(&mut parts).zip(senders) {
            message.msg_hdr.msg_name = sender.as_mut_ptr().cast();
            message.msg_hdr.msg_namelen = ADDRESS as u32;
            message.msg_hdr.msg_iov = part;
            message.msg_hdr.msg_iovlen = 1;
        }
        let (descriptor, flags) = (socket.as_raw_fd(), libc::MSG_WAITFORONE);
        // SAFETY: each message names one part and one address, which are there until the call returns; each part is
        // memory of ours alone that is as long as it says.
        let count = unsafe {
            libc::recvmmsg(descriptor, messages.as_mut_ptr(), BATCH as u32, flags, ptr::null_mut())
        };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        for (length, message) in self.lengths.iter_mut().zip(&messages) {
            *length = message.msg_len as usize;
        }
        self.count = count.min(BATCH);
        Ok(self.count)
    }

    /// One of those that came last, in the order in which they came, and who sent it.
    pub fn get(&self, index: usize) -> Option<(&[u8], SocketAddr)> {
        if index >= self.count {
            return None;
        }
        let bytes = self.bytes.get(index * APART..)?.get(..self.lengths[index])?;
        Some((bytes, address(&self.senders[index])?))
    }
}

/// Makes room for so many bytes that wait at a socket, as the kernel counts them: beyond what anybody may ask for, if this
/// process may. The answer is how much there is now.
pub fn make_room(socket: &UdpSocket, bytes: usize) -> io::Result<usize> {
    // The kernel doubles what it is asked for.
    let half = libc::c_int::try_from(bytes / 2).unwrap_or(libc::c_int::MAX);
    if set(socket, libc::SO_RCVBUFFORCE, half).is_err() {
        set(socket, libc::SO_RCVBUF, half)?;
    }
    room(socket)
}

fn set(socket: &UdpSocket, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let length = size_of_val(&value) as libc::socklen_t;
    // SAFETY: the option is an integer, which is there until the call returns.
    let answer = unsafe {
        let value = ptr::from_ref(&value).cast();
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, option, value, length)
    };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn room(socket: &UdpSocket) -> io::Result<usize> {
    let mut value: libc::c_int = 0;
    let mut length = size_of_val(&value) as libc::socklen_t;
    // SAFETY: the option is an integer, and the pointers are to one and to its length.
    let answer = unsafe {
        let value = ptr::from_mut(&mut value).cast();
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_RCVBUF, value, &mut length)
    };
    if answer == 0 { Ok(usize::try_from(value).unwrap_or(0)) } else { Err(io::Error::last_os_error()) }
}

/// `struct sockaddr_in` or `sockaddr_in6`: the family and the scope are in the machine's order.
fn address(bytes: &[u8; ADDRESS]) -> Option<SocketAddr> {
    let word = |at: usize| bytes[at..].first_chunk::<4>().copied();
    let (family, port) = (u16::from_ne_bytes([bytes[0], bytes[1]]), u16::from_be_bytes([bytes[2], bytes[3]]));
    match i32::from(family) {
        libc::AF_INET => Some((Ipv4Addr::from(word(4)?), port).into()),
        libc::AF_INET6 => {
            let ip = Ipv6Addr::from(*bytes[8..].first_chunk::<16>()?);
            Some(
                SocketAddrV6::new(ip, port, u32::from_be_bytes(word(4)?), u32::from_ne_bytes(word(24)?))
                    .into(),
            )
        }
        _ => None,
    }
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

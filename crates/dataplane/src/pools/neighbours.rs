//! MAC addresses of next hops. A program can look up what the kernel knows of its neighbours, and cannot ask them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

/// The port that discards (RFC 863).
const DISCARD: u16 = 9;

/// Makes the kernel find out by which neighbours these addresses are reached: an empty datagram to each, from the calling
/// thread's namespace. What fails is not told: packets to such a backend are counted as `unreachable`.
pub(crate) fn ask(addresses: impl IntoIterator<Item = IpAddr>) {
    let socket = |any: IpAddr| UdpSocket::bind((any, 0)).ok();
    let sockets = [socket(Ipv4Addr::UNSPECIFIED.into()), socket(Ipv6Addr::UNSPECIFIED.into())];
    for address in addresses {
        if let Some(socket) = &sockets[usize::from(address.is_ipv6())] {
            let _ = socket.send_to(&[], (address, DISCARD));
        }
    }
}

//! MAC addresses of next hops. A program can look up what the kernel knows of its neighbours, and cannot ask them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

/// The port that discards (RFC 863).
const DISCARD: u16 = 9;

/// Who makes the kernel find out by which neighbours addresses are reached, in one network namespace.
#[derive(Debug)]
pub(crate) struct Neighbours {
    /// For each family, where the system has it.
    sockets: [Option<UdpSocket>; 2],
}

impl Neighbours {
    /// In the calling thread's namespace, also if others ask by it later.
    pub(crate) fn here() -> Neighbours {
        let socket = |any: IpAddr| UdpSocket::bind((any, 0)).ok();
        Neighbours { sockets: [socket(Ipv4Addr::UNSPECIFIED.into()), socket(Ipv6Addr::UNSPECIFIED.into())] }
    }

    /// An empty datagram to each. What fails is not told: packets to such a backend are counted as `unreachable`.
    pub(crate) fn ask(&self, addresses: impl IntoIterator<Item = IpAddr>) {
        for address in addresses {
            if let Some(socket) = &self.sockets[usize::from(address.is_ipv6())] {
                let _ = socket.send_to(&[], (address, DISCARD));
            }
        }
    }
}

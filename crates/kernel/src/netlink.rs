//! Links, addresses, neighbours and routes, by synchronous netlink.
//!
//! `netlink-packet-route` knows the messages and `netlink-sys` the socket. Both are kept by the rust-netlink
//! project; its `rtnetlink` on top of them is for tokio, and here every request waits for its answer.

mod address;
mod counters;
mod link;
mod socket;
pub(crate) mod tc;

use crate::KernelError;
use crate::netns::Namespace;

pub use address::{Found, Route, Way};
pub use counters::{Direction, LinkCounters};
pub use socket::Netlink;

/// A network interface of some namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Interface {
    /// Its index, unique in its namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
}

impl Interface {
    /// Finds an interface of the calling thread's namespace.
    pub fn named(name: &str) -> Result<Self, KernelError> {
        Netlink::open()?.link(name).map(|link| Self { index: link.index, name: link.name })
    }
}

/// What is known about an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// The kind of a virtual one: `veth`, `bridge`, `tun`; nothing for cards.
    pub kind: Option<String>,
    /// Its hardware address.
    pub mac: Option<[u8; 6]>,
    /// Its MTU.
    pub mtu: u32,
    /// It is set up (`IFF_UP`).
    pub up: bool,
    /// It has a carrier (`IFF_RUNNING`).
    pub running: bool,
    /// The index of a veth's other end, in its own namespace.
    pub peer: Option<u32>,
    /// The other end is in another namespace, where the index means something else than here.
    pub peer_elsewhere: bool,
    /// Queues for sending and receiving.
    pub queues: (u32, u32),
}

/// One end of a veth pair to make.
#[derive(Clone, Copy, Debug)]
pub struct VethEnd<'a> {
    /// Its name.
    pub name: &'a str,
    /// Where it is made; nothing for the socket's own namespace.
    pub namespace: Option<&'a Namespace>,
    /// Its hardware address; the kernel chooses one otherwise.
    pub mac: Option<[u8; 6]>,
    /// Its MTU; 1500 otherwise.
    pub mtu: Option<u32>,
    /// Queues for sending and for receiving; one otherwise.
    pub queues: Option<u32>,
}

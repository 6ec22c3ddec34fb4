//! Pools of backends, and how packets get to them.

use super::{BalanceRef, PoolRef, StatementId, Target, Value};
use crate::nat::Bank;
use weir_pool::slots::Track;

/// A pool of backends. Which these are, and which slots they have, is data and no part of a program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PoolDecl {
    /// The policy's name for it.
    pub name: String,
    /// Slots of its ring.
    pub slots: u32,
    /// The largest number that a backend can have.
    pub max: u16,
    /// How many flows it can remember.
    pub flows: u32,
    /// If all flows are remembered: those that were silent for longer than so many nanoseconds give way to others.
    pub silence: Option<u64>,
}

impl PoolDecl {
    /// Which flows it remembers.
    pub fn track(&self) -> Track {
        if self.silence.is_some() { Track::All } else { Track::Changes }
    }
}

/// A statement's way to the backends of a pool.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BalanceDecl {
    /// The pool.
    pub pool: PoolRef,
    /// How packets get to its backends.
    pub via: Via,
}

/// How packets get to backends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Via {
    /// As they are, to the backend's MAC address.
    L2,
    /// In an IP packet to the backend (RFC 2003, RFC 2473, RFC 4213).
    IpIp(Origin),
    /// In UDP to the backend, to a port: GUE's variant 1, an IP packet right behind the UDP header.
    Gue(Origin, u16),
    /// In a frame of their own in VXLAN (RFC 7348), whose destination is the backend's MAC address and whose source is the address to
    /// which the packet's frame came.
    Vxlan {
        /// Where packets come from.
        origin: Origin,
        /// The port to which they go.
        port: u16,
        /// The number of the network, of 24 bits.
        id: u32,
    },
    /// As packets of this edge, from an address and a port that are the flow's while it lasts, to the backend's own.
    Nat {
        /// Where packets come from.
        origin: Origin,
        /// The first port and the last one.
        ports: (u16, u16),
    },
}

/// The first word of a VXLAN header: the flag that the network's number is there.
pub const VXLAN_FLAGS: u32 = 0x0800_0000;

/// Bytes of UDP's header, of VXLAN's, and of a frame inside it before its packet.
const UDP_HEADER: u16 = 8;
const VXLAN_HEADER: u16 = 8;
const INNER_LINK: u16 = 14;

/// From where encapsulated packets come, for each family of backends. What a prefix leaves open is the flow's hash, so that receivers
/// spread flows over their queues.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Origin {
    /// To IPv4 backends: the address and how many of its bits are fixed.
    pub v4: Option<(u32, u8)>,
    /// To IPv6 backends; of the bits that are open only the lowest 32 ever differ.
    pub v6: Option<(u128, u8)>,
}

impl Via {
    /// The word for it in policies.
    pub fn word(&self) -> &'static str {
        match self {
            Via::L2 => "l2",
            Via::IpIp(_) => "ipip",
            Via::Gue(..) => "gue",
            Via::Vxlan { .. } => "vxlan",
            Via::Nat { .. } => "nat",
        }
    }

    /// Bytes of the headers that are written before a packet, with an IP header of this family outside.
    pub fn overhead(&self, six: bool) -> u16 {
        let ip = if six { 40 } else { 20 };
        match self {
            Via::L2 | Via::Nat { .. } => 0,
            Via::IpIp(_) => ip,
            Via::Gue(..) => ip + UDP_HEADER,
            Via::Vxlan { .. } => ip + UDP_HEADER + VXLAN_HEADER + INNER_LINK,
        }
    }

    /// Where packets come from; `None` if they stay as they are.
    pub fn origin(&self) -> Option<&Origin> {
        match self {
            Via::L2 => None,
            Via::IpIp(origin) | Via::Gue(origin, _) | Via::Vxlan { origin, .. } | Via::Nat { origin, .. } => {
                Some(origin)
            }
        }
    }

    /// The port to which encapsulated packets go; `None` if they are not in UDP.
    pub fn port(&self) -> Option<u16> {
        match self {
            Via::L2 | Via::IpIp(_) | Via::Nat { .. } => None,
            Via::Gue(_, port) | Via::Vxlan { port, .. } => Some(*port),
        }
    }

    /// The network's number, where packets stand in a frame of their own.
    pub fn network(&self) -> Option<u32> {
        match self {
            Via::Vxlan { id, .. } => Some(*id),
            Via::L2 | Via::IpIp(_) | Via::Gue(..) | Via::Nat { .. } => None,
        }
    }

    /// The addresses and ports of flows that are translated, of IPv4 and of IPv6; `None` if none are.
    pub fn banks(&self) -> Option<[Option<Bank>; 2]> {
        let Via::Nat { origin, ports: (port, last) } = *self else { return None };
        let bank = |address: u128, open: u8| {
            let addresses = 1u32.checked_shl(open.into()).unwrap_or(u32::MAX);
            Bank { address, addresses, port, ports: last - port + 1 }
        };
        let four = origin.v4.map(|(address, bits)| bank(address.into(), 32 - bits));
        Some([four, origin.v6.map(|(address, bits)| bank(address, 128 - bits))])
    }
}

impl Origin {
    /// The address for a flow to an IPv4 backend.
    pub fn v4(&self, hash: u64) -> Option<u32> {
        let (address, bits) = self.v4?;
        let open = u32::MAX.checked_shr(bits.into()).unwrap_or(0);
        Some(address & !open | hash as u32 & open)
    }

    /// The address for a flow to an IPv6 backend.
    pub fn v6(&self, hash: u64) -> Option<u128> {
        let (address, bits) = self.v6?;
        let open = u128::MAX.checked_shr(bits.into()).unwrap_or(0) as u32;
        Some(address & !u128::from(open) | u128::from(hash as u32 & open))
    }
}

/// Sends the packet to a backend. Nothing has changed yet where it goes on elsewhere.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Send {
    /// The statement.
    pub by: StatementId,
    /// How.
    pub balance: BalanceRef,
    /// The number of the backend, as `u16`; 0 is none, and never comes here.
    pub backend: Value,
    /// Whether the packet is one of IPv6; else it is one of IPv4.
    pub six: bool,
    /// Where the packet begins in the frame, `u16`: behind a link header of 14 to 30 bytes.
    pub packet: Value,
    /// How long the packet says that it is, `u17`; it ends in the frame.
    pub length: Value,
    /// Its type of service or traffic class, `u8`.
    pub service: Value,
    /// The flow's hash, `u64`.
    pub hash: Value,
    /// Where packets go on that are longer than what the next hop takes.
    pub long: Target,
    /// Where packets go on to whose backend no way leads.
    pub unreachable: Target,
}

/// Tells a packet's sender that it is too long: the packet's way ends by [`Verdict::Send`](super::Verdict), as an ICMP message to the
/// address and by the interface from which it came (RFC 1191, RFC 8201). It comes from the address to which the packet went.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Refuse {
    /// The statement.
    pub by: StatementId,
    /// Whether the packet is one of IPv6; else it is one of IPv4.
    pub six: bool,
    /// Where the packet begins in the frame, `u16`: behind a link header of 14 to 30 bytes. [`QUOTED`] bytes of it are there.
    pub packet: Value,
    /// How long it may be, `u16`.
    pub room: Value,
}

/// Answers an echo request: the frame goes back by the interface by which it came, with its MAC addresses and its IP addresses
/// exchanged, as the reply with the same data (RFC 792, RFC 4443), which may go 64 hops. Checksums change by what else changes
/// (RFC 1624), so that a wrong one stays wrong.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Echo {
    /// The statement.
    pub by: StatementId,
    /// Whether the packet is one of IPv6; else it is one of IPv4.
    pub six: bool,
    /// Where the packet begins in the frame, `u16`: behind a link header of 14 to 30 bytes. Behind its IP header, which is as short as can
    /// be, stands the message.
    pub packet: Value,
}

/// Bytes of a packet that an ICMP message quotes. A packet that is too long for anything has so many.
pub const QUOTED: u16 = 120;

//! Ethernet, VLAN tags, ARP.

use std::net::Ipv4Addr;

use super::{Around, Layer};
use crate::Mac;
use crate::layers::ethertype;

/// An Ethernet header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ethernet {
    src: Mac,
    dst: Mac,
    ethertype: Option<u16>,
}

impl Default for Ethernet {
    fn default() -> Ethernet {
        Ethernet::new(Mac::local(1), Mac::local(2))
    }
}

impl Ethernet {
    /// From one address to another.
    pub fn new(src: Mac, dst: Mac) -> Ethernet {
        Ethernet { src, dst, ethertype: None }
    }

    /// Instead of that of the next layer.
    #[must_use]
    pub fn ethertype(mut self, ethertype: u16) -> Ethernet {
        self.ethertype = Some(ethertype);
        self
    }

    pub(super) fn header(&self, around: Around<'_>) -> Vec<u8> {
        let ethertype = self.ethertype.unwrap_or_else(|| ethertype_of(around.next));
        let mut header = Vec::with_capacity(14);
        header.extend_from_slice(&self.dst.0);
        header.extend_from_slice(&self.src.0);
        header.extend_from_slice(&ethertype.to_be_bytes());
        header
    }
}

/// One VLAN tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vlan {
    id: u16,
    priority: u8,
    tpid: u16,
    ethertype: Option<u16>,
}

impl Vlan {
    /// An 802.1Q tag; the identifier has 12 bits.
    pub fn new(id: u16) -> Vlan {
        Vlan { id: id & 0x0fff, priority: 0, tpid: ethertype::VLAN, ethertype: None }
    }

    /// An 802.1ad service tag, to be followed by an 802.1Q one.
    pub fn service(id: u16) -> Vlan {
        Vlan { tpid: ethertype::QINQ, ..Vlan::new(id) }
    }

    /// The priority code point, 0 to 7.
    #[must_use]
    pub fn priority(mut self, priority: u8) -> Vlan {
        self.priority = priority & 7;
        self
    }

    /// Instead of that of the next layer.
    #[must_use]
    pub fn ethertype(mut self, ethertype: u16) -> Vlan {
        self.ethertype = Some(ethertype);
        self
    }

    pub(super) fn header(&self, around: Around<'_>) -> Vec<u8> {
        let ethertype = self.ethertype.unwrap_or_else(|| ethertype_of(around.next));
        let tag = u16::from(self.priority) << 13 | self.id;
        [tag.to_be_bytes(), ethertype.to_be_bytes()].concat()
    }
}

/// What an ARP packet says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArpOperation {
    /// Who has the target's address?
    Request,
    /// The sender has it.
    Reply,
}

/// ARP for IPv4 over Ethernet: RFC 826.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arp {
    operation: ArpOperation,
    sender: (Mac, Ipv4Addr),
    target: (Mac, Ipv4Addr),
}

impl Arp {
    /// Asks who has `target`.
    pub fn request(mac: Mac, ip: impl Into<Ipv4Addr>, target: impl Into<Ipv4Addr>) -> Arp {
        Arp {
            operation: ArpOperation::Request,
            sender: (mac, ip.into()),
            target: (Mac::default(), target.into()),
        }
    }

    /// Tells `target` that `mac` has `ip`.
    pub fn reply(mac: Mac, ip: impl Into<Ipv4Addr>, target: (Mac, Ipv4Addr)) -> Arp {
        Arp { operation: ArpOperation::Reply, sender: (mac, ip.into()), target }
    }

    pub(super) fn header(&self) -> Vec<u8> {
        let operation: u8 = match self.operation {
            ArpOperation::Request => 1,
            ArpOperation::Reply => 2,
        };
        // Ethernet, IPv4, their address lengths.
        let mut header = vec![0, 1, 8, 0, 6, 4, 0, operation];
        for (mac, ip) in [self.sender, self.target] {
            header.extend_from_slice(&mac.0);
            header.extend_from_slice(&ip.octets());
        }
        header
    }
}

/// The EtherType that names a layer. A payload alone gets the one for local experiments.
pub(super) fn ethertype_of(layer: Option<&Layer>) -> u16 {
    match layer {
        Some(Layer::Vlan(vlan)) => vlan.tpid,
        Some(Layer::Arp(_)) => ethertype::ARP,
        Some(Layer::Ipv4(_)) => ethertype::IPV4,
        Some(Layer::Ipv6(_)) => ethertype::IPV6,
        Some(Layer::Ethernet(_)) => ethertype::TEB,
        _ => 0x88b5,
    }
}

//! What `balance` does with a frame, said as plainly as can be.

use super::Scope;
use super::walk::Header;
use crate::ir::QUOTED;
use crate::policy::{self, Balance, KeyPart, Policy, Said, Unsent, Via};
use crate::state::{Backend, Hop, PoolState, ROUTED};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use weir_packet::checksum;
use weir_pool::flow;
use weir_pool::ring::NOBODY;

/// Hops that a packet around another one may go.
const HOPS: u8 = 64;

/// What is known of a packet that is balanced.
pub(super) struct Balancing<'a> {
    pub(super) policy: &'a Policy,
    pub(super) statement: &'a str,
    pub(super) balance: &'a Balance,
    pub(super) frame: &'a [u8],
    pub(super) headers: &'a [Header],
    pub(super) scope: &'a Scope<'a>,
}

impl Balancing<'_> {
    /// The hash of the flow to which a later fragment belongs, if its datagram's first one was sent by the statement.
    pub(super) fn followed(&self, notes: &HashMap<u64, u64>) -> Option<u64> {
        let protocols = &self.policy.protocols;
        if !self.scope.holds(&self.balance.follows(protocols)) {
            return None;
        }
        let all = self.balance.fragments(protocols);
        let fragments = all.iter().find(|fragments| self.scope.holds(&fragments.later))?;
        notes.get(&self.hash(self.statement, &fragments.key)?).copied().filter(|hash| *hash != 0)
    }

    /// The frame that leaves for a backend, or why none does. An IP header stands behind the link's. The hash is the flow's,
    /// where it is known already.
    pub(super) fn sent(
        &self,
        known: Option<u64>,
        pool: &mut PoolState,
        notes: &mut HashMap<u64, u64>,
    ) -> Result<Vec<u8>, NotSent> {
        let (protocols, scope) = (&self.policy.protocols, self.scope);
        let packets = self.balance.said(protocols);
        let (said, header) = self.sound(&packets)?;
        let policy::Pool { name, track, .. } = &self.policy.pools[self.balance.pool as usize];
        let own = || self.own_hash(name);
        let hash = known.or_else(own).ok_or(Unsent::Nobody)?;
        let fragments =
            self.balance.fragments(protocols).into_iter().find(|fragments| fragments.six == said.six);
        if let Some(fragments) =
            fragments.filter(|fragments| known.is_none() && scope.holds(&fragments.first))
            && let Some(key) = self.hash(self.statement, &fragments.key)
        {
            notes.insert(key, hash);
        }
        let begins = known.is_none() && scope.holds(&Balance::begins(protocols));
        let number = pool.pick(*track, hash, begins, NOBODY);
        let backend = pool.backends.get(&number).filter(|_| number != NOBODY).ok_or(Unsent::Nobody)?;
        let packet = self.packet(said, header, hash);
        packet.to(backend, &self.balance.via).map_err(|why| match why {
            Unsent::Long if known.is_none() && scope.holds(&said.told) => {
                let hop = backend.hop.unwrap_or(ROUTED);
                let overhead = self.balance.via.overhead(backend.address.is_ipv6());
                NotSent { why, answer: Some(packet.too_long(hop.mtu - overhead)) }
            }
            why => why.into(),
        })
    }

    /// What the packet says of itself, if that is true, and its IP header.
    pub(super) fn sound<'s>(&self, packets: &'s [Said]) -> Result<(&'s Said, &Header), Unsent> {
        let there = |said: &'s Said| Some((said, self.headers.iter().find(|h| h.name == said.header)?));
        let (said, header) = packets.iter().find_map(there).ok_or(Unsent::Damaged)?;
        let routed = self.balance.via.banks().is_some();
        let sound = self.scope.holds(&said.sound(&self.policy.protocols, routed));
        if sound { Ok((said, header)) } else { Err(Unsent::Damaged) }
    }

    pub(super) fn packet(&self, said: &Said, header: &Header, hash: u64) -> Packet<'_> {
        let number_of = |term| self.scope.term(term).unwrap_or(0);
        Packet {
            link: &self.frame[..header.offset],
            rest: &self.frame[header.offset..],
            six: said.six,
            length: number_of(&said.length) as usize,
            service: number_of(&said.service) as u8,
            hash,
        }
    }

    /// The hash of the packet's own flow, and whether the packet begins it.
    pub(super) fn flow(&self) -> Option<(u64, bool)> {
        let name = &self.policy.pools[self.balance.pool as usize].name;
        let hash = self.own_hash(name)?;
        Some((hash, self.scope.holds(&Balance::begins(&self.policy.protocols))))
    }

    /// The hash by which the packet gets its backend.
    pub(super) fn own_hash(&self, pool: &str) -> Option<u64> {
        self.balance.keys.iter().find_map(|key| self.hash(pool, key))
    }

    /// The hash of a key, if all of its values are there.
    pub(super) fn hash(&self, whose: &str, key: &[KeyPart]) -> Option<u64> {
        let words = key.iter().map(|part| Some(part.flow_words(self.scope.term(&part.term)?)));
        let words = words.collect::<Option<Vec<_>>>()?.concat();
        Some(flow::hash(flow::seed(whose), &flow::lanes(&words)))
    }
}

/// The headers that a statement writes before a packet of one family to a backend, of which nothing is said yet of how long the packet
/// is. The packet's frame came to the interface with this MAC address.
pub fn headers_before(
    via: &Via,
    backend: &Backend,
    six: bool,
    mac: [u8; 6],
    hash: u64,
) -> Result<Vec<u8>, Unsent> {
    Packet { link: &mac, rest: &[], six, length: 0, service: 0, hash }.around(backend, via)
}

/// Why no frame leaves for a backend, and the one that leaves to the sender instead.
pub(super) struct NotSent {
    pub(super) why: Unsent,
    pub(super) answer: Option<Vec<u8>>,
}

impl From<Unsent> for NotSent {
    fn from(why: Unsent) -> NotSent {
        NotSent { why, answer: None }
    }
}

/// A packet in its frame.
pub(super) struct Packet<'a> {
    pub(super) link: &'a [u8],
    /// From the IP header to the frame's end, which may be behind the packet's.
    pub(super) rest: &'a [u8],
    pub(super) six: bool,
    pub(super) length: usize,
    service: u8,
    hash: u64,
}

impl Packet<'_> {
    fn to(&self, backend: &Backend, via: &Via) -> Result<Vec<u8>, Unsent> {
        let hop = backend.hop.unwrap_or(ROUTED);
        let overhead = usize::from(via.overhead(backend.address.is_ipv6()));
        if overhead + self.length > usize::from(hop.mtu) {
            return Err(Unsent::Long);
        }
        let around = self.around(backend, via)?;
        let six = if around.is_empty() { self.six } else { backend.address.is_ipv6() };
        let ethertype: u16 = if six { 0x86dd } else { 0x0800 };
        let tags = &self.link[12..self.link.len() - 2];
        Ok([&macs(&hop, self.link), tags, &ethertype.to_be_bytes(), &around, self.rest].concat())
    }

    /// The headers that are written before the packet.
    fn around(&self, backend: &Backend, via: &Via) -> Result<Vec<u8>, Unsent> {
        let inside = if self.six { 41 } else { 4 };
        let (origin, protocol, between) = match via {
            Via::L2 | Via::Nat { .. } => return Ok(Vec::new()),
            Via::IpIp(origin) => (origin, inside, Vec::new()),
            Via::Gue(origin, port) => (origin, 17, self.udp(*port, 0)),
            Via::Vxlan { origin, port, id } => {
                let frame =
                    [self.vxlan(*id), self.inner_link(backend.mac.ok_or(Unsent::Unreachable)?)].concat();
                (origin, 17, [self.udp(*port, frame.len()), frame].concat())
            }
        };
        let length = (between.len() + self.length) as u16;
        let ip = match backend.address {
            IpAddr::V4(to) => {
                let from = origin.v4(self.hash).ok_or(Unsent::Unreachable)?;
                let [high, low] = (length + 20).to_be_bytes();
                let mut ip = vec![0x45, self.service, high, low, 0, 0, 0x40, 0, HOPS, protocol, 0, 0];
                ip.extend(from.to_be_bytes());
                ip.extend(to.octets());
                let sum = checksum::internet(&ip);
                ip[10..12].copy_from_slice(&sum.to_be_bytes());
                ip
            }
            IpAddr::V6(to) => {
                let from = origin.v6(self.hash).ok_or(Unsent::Unreachable)?;
                let label = self.hash as u32 & 0xf_ffff;
                let first = 6 << 28 | u32::from(self.service) << 20 | label;
                let [high, low] = length.to_be_bytes();
                let mut ip = first.to_be_bytes().to_vec();
                ip.extend([high, low, protocol, HOPS]);
                ip.extend(from.to_be_bytes());
                ip.extend(to.octets());
                ip
            }
        };
        Ok([ip, between].concat())
    }

    /// The message to its sender that it may be no longer than this: back to where it came from, as if by the service.
    pub(super) fn too_long(&self, room: u16) -> Vec<u8> {
        let quote = &self.rest[..usize::from(QUOTED)];
        let [high, low] = room.to_be_bytes();
        let (kind, code) = if self.six { (2, 0) } else { (3, 4) };
        let mut icmp = [&[kind, code, 0, 0, 0, 0, high, low], quote].concat();
        let octets = |at: usize| <[u8; 16]>::try_from(&quote[at..at + 16]).unwrap_or_default();
        let four = |at: usize| <[u8; 4]>::try_from(&quote[at..at + 4]).unwrap_or_default();
        let ip = match self.six {
            true => {
                let (from, to) = (Ipv6Addr::from(octets(24)), Ipv6Addr::from(octets(8)));
                let sum = checksum::transport_v6(from, to, 58, &icmp);
                icmp[2..4].copy_from_slice(&sum.to_be_bytes());
                let [high, low] = (icmp.len() as u16).to_be_bytes();
                [&[0x60, 0, 0, 0, high, low, 58, HOPS], &from.octets()[..], &to.octets()[..]].concat()
            }
            false => {
                let sum = checksum::internet(&icmp);
                icmp[2..4].copy_from_slice(&sum.to_be_bytes());
                let [high, low] = (icmp.len() as u16 + 20).to_be_bytes();
                let begin = [0x45, 0, high, low, 0, 0, 0x40, 0, HOPS, 1, 0, 0];
                let mut ip = [&begin[..], &four(16), &four(12)].concat();
                let sum = checksum::internet(&ip);
                ip[10..12].copy_from_slice(&sum.to_be_bytes());
                ip
            }
        };
        let (to, from) = (&self.link[6..12], &self.link[..6]);
        [to, from, &self.link[12..], &ip, &icmp].concat()
    }

    /// The flag that says that the network's number is there, and that number (RFC 7348, section 5).
    fn vxlan(&self, id: u32) -> Vec<u8> {
        let [_, high, middle, low] = id.to_be_bytes();
        vec![0x08, 0, 0, 0, high, middle, low, 0]
    }

    /// The Ethernet header inside: from where the frame came to, without the link's tags.
    fn inner_link(&self, to: [u8; 6]) -> Vec<u8> {
        let ethertype = if self.six { [0x86, 0xdd] } else { [0x08, 0x00] };
        [&to, &self.link[..6], &ethertype].concat()
    }

    /// Ports above 49,151 are anyone's (RFC 6335); the flow's is its hash. Without a checksum (RFC 768, RFC 6935). So many
    /// bytes stand between it and the packet.
    fn udp(&self, port: u16, between: usize) -> Vec<u8> {
        let from = 0xc000 | (self.hash >> 16) as u16;
        let words = [from, port, (8 + between + self.length) as u16, 0];
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }
}

pub(super) fn macs(hop: &Hop, link: &[u8]) -> Vec<u8> {
    let from = hop.from.unwrap_or([link[0], link[1], link[2], link[3], link[4], link[5]]);
    [hop.to, from].concat()
}

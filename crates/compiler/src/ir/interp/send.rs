//! The frame that leaves for a backend.

use super::{Fault, Interpreter};
use crate::ir::{BalanceRef, QUOTED, Send, VXLAN_FLAGS, Via};
use crate::policy::Unsent;
use crate::state::{PoolState, ROUTED};
use std::net::IpAddr;

/// Where tags begin in a link's header, which has no longer one than this.
const TAGS: usize = 12;
const LONGEST_LINK: usize = 30;
/// Of headers that are written.
const HOPS: u8 = 64;
const UDP: u8 = 17;

impl Interpreter {
    /// The frame, or why none leaves.
    pub(super) fn send(
        &self,
        send: u32,
        pools: &[PoolState],
        frame: &[u8],
    ) -> Result<Result<Vec<u8>, Unsent>, Fault> {
        let send = &self.sends[send as usize];
        let decl = &self.balances[send.balance.index()];
        let [packet, length, number] =
            [send.packet, send.length, send.backend].map(|value| self.read(value.0));
        let outside = Fault::SendOutside { packet, length, len: frame.len(), backend: number };
        let fine = matches!(packet, 14 | 18 | 22 | 26 | 30) && packet + length <= frame.len() as u64;
        let backend =
            pools[decl.pool.index()].backends.get(&(number as u16)).filter(|_| fine).ok_or(outside)?;
        let (packet, length) = (packet as usize, length as usize);
        debug_assert!(packet <= LONGEST_LINK);
        let hop = backend.hop.unwrap_or(ROUTED);
        let total = length + usize::from(decl.via.overhead(backend.address.is_ipv6()));
        if total > usize::from(hop.mtu) {
            return Ok(Err(Unsent::Long));
        }
        let mut out = hop.to.to_vec();
        out.extend(hop.from.as_ref().map_or(&frame[..6], |own| own));
        out.extend(&frame[TAGS..packet - 2]);
        let six = if decl.via == Via::L2 { send.six } else { backend.address.is_ipv6() };
        out.extend(if six { [0x86, 0xdd] } else { [0x08, 0x00] });
        if let Some(unsent) = self.wrap(&mut out, send, &decl.via, backend.address, total) {
            return Ok(Err(unsent));
        }
        if let Some(id) = decl.via.network() {
            let Some(mac) = backend.mac else { return Ok(Err(Unsent::Unreachable)) };
            out.extend(VXLAN_FLAGS.to_be_bytes());
            out.extend((id << 8).to_be_bytes());
            out.extend(mac);
            out.extend(&frame[..6]);
            out.extend(&frame[packet - 2..packet]);
        }
        out.extend(&frame[packet..]);
        Ok(Ok(out))
    }

    /// How long a packet to a backend may be.
    pub(super) fn room(&self, balance: BalanceRef, number: u64, pools: &[PoolState]) -> u16 {
        let decl = &self.balances[balance.index()];
        let backend = pools[decl.pool.index()].backends.get(&(number as u16));
        backend.map_or(0, |backend| {
            let overhead = decl.via.overhead(backend.address.is_ipv6());
            backend.hop.unwrap_or(ROUTED).mtu.saturating_sub(overhead)
        })
    }

    /// The message that a packet is too long.
    pub(super) fn refuse(&self, frame: &[u8], six: bool, packet: u32, room: u32) -> Result<Vec<u8>, Fault> {
        let (packet, room) = (self.read(packet), self.read(room) as u16);
        let quoted = usize::from(QUOTED);
        let outside = Fault::SendOutside { packet, length: quoted as u64, len: frame.len(), backend: 0 };
        let fine = matches!(packet, 14 | 18 | 22 | 26 | 30) && packet as usize + quoted <= frame.len();
        let quote = frame.get(packet as usize..).filter(|_| fine).ok_or(outside)?;
        let quote = &quote[..quoted];
        let mut out = [&frame[6..12], &frame[..6], &frame[TAGS..packet as usize]].concat();
        let mut icmp = if six { vec![2, 0, 0, 0, 0, 0] } else { vec![3, 4, 0, 0, 0, 0] };
        icmp.extend(room.to_be_bytes());
        icmp.extend(quote);
        let words = |bytes: &[u8]| -> u32 {
            bytes.chunks(2).map(|two| u32::from(two[0]) << 8 | u32::from(two[1])).sum()
        };
        let checksum = |sum: u32| {
            let sum = (0..2).fold(sum, |sum, _| (sum & 0xffff) + (sum >> 16));
            (!sum as u16).to_be_bytes()
        };
        let length = (icmp.len() as u16).to_be_bytes();
        let ip = if six {
            let (from, to) = (&quote[24..40], &quote[8..24]);
            let sum = words(from) + words(to) + icmp.len() as u32 + 58 + words(&icmp);
            icmp[2..4].copy_from_slice(&checksum(sum));
            [&[0x60, 0, 0, 0], &length[..], &[58, HOPS], from, to].concat()
        } else {
            let sum = words(&icmp);
            icmp[2..4].copy_from_slice(&checksum(sum));
            let length = (icmp.len() as u16 + 20).to_be_bytes();
            let mut ip =
                [&[0x45, 0], &length[..], &[0, 0, 0x40, 0, HOPS, 1, 0, 0], &quote[16..20], &quote[12..16]]
                    .concat();
            let sum = words(&ip);
            ip[10..12].copy_from_slice(&checksum(sum));
            ip
        };
        out.extend(ip);
        out.extend(icmp);
        Ok(out)
    }

    /// Writes the headers of IP and UDP around a packet, which make `total` bytes with it.
    fn wrap(&self, out: &mut Vec<u8>, send: &Send, via: &Via, to: IpAddr, total: usize) -> Option<Unsent> {
        let (origin, port) = (via.origin()?, via.port());
        let (hash, service) = (self.read(send.hash.0), self.read(send.service.0) as u8);
        let protocol = match (port, send.six) {
            (Some(_), _) => UDP,
            (None, true) => 41,
            (None, false) => 4,
        };
        let start = out.len();
        match to {
            IpAddr::V4(to) => {
                let Some(from) = origin.v4(hash) else { return Some(Unsent::Unreachable) };
                out.extend([0x45, service]);
                out.extend((total as u16).to_be_bytes());
                out.extend([0, 0, 0x40, 0, HOPS, protocol, 0, 0]);
                out.extend(from.to_be_bytes());
                out.extend(to.octets());
                let sum: u32 =
                    out[start..].chunks(2).map(|two| u32::from(two[0]) << 8 | u32::from(two[1])).sum();
                let sum = (0..2).fold(sum, |sum, _| (sum & 0xffff) + (sum >> 16));
                out[start + 10..start + 12].copy_from_slice(&(!sum as u16).to_be_bytes());
            }
            IpAddr::V6(to) => {
                let Some(from) = origin.v6(hash) else { return Some(Unsent::Unreachable) };
                let label = (hash & 0xf_ffff) as u32;
                out.extend((0x6000_0000 | u32::from(service) << 20 | label).to_be_bytes());
                out.extend((total as u16 - 40).to_be_bytes());
                out.extend([protocol, HOPS]);
                out.extend(from.to_be_bytes());
                out.extend(to.octets());
            }
        }
        if let Some(port) = port {
            let ip = out.len() - start;
            out.extend((0xc000 | (hash >> 16) as u16).to_be_bytes());
            out.extend(port.to_be_bytes());
            out.extend(((total - ip) as u16).to_be_bytes());
            out.extend([0, 0]);
        }
        None
    }
}

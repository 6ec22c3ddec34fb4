//! A frame that is built once and then changed in place, its checksums with it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use weir_packet::build::Packet;
use weir_packet::checksum::{fix_checksums, update_bytes};
use weir_packet::layers::{Ip, Layers, protocol};

use crate::wire::{Flow, MARK_LEN, Mark};

/// A marked frame of one flow.
#[derive(Debug, Clone)]
pub(super) struct Template {
    frame: Vec<u8>,
    places: Places,
    flow: Flow,
    sequence: u64,
}

/// Offsets of what changes. All are even, counted from the start of what a checksum covers.
#[derive(Debug, Clone, Copy)]
struct Places {
    ip: usize,
    v6: bool,
    transport: usize,
    checksum: Option<usize>,
    udp: bool,
    /// ICMP alone covers no addresses.
    pseudo_header: bool,
}

impl Template {
    /// The packet must be Ethernet, IP and a transport, and leave [`MARK_LEN`] bytes at its end to
    /// the mark. `None` when it is not.
    pub(super) fn new(packet: &Packet, flow: Flow) -> Option<Template> {
        let mut frame = packet.build();
        let ip = Layers::of(&frame)?.ip?;
        let places = Places::of(&ip);
        if frame.len() < ip.payload.start + 8 + MARK_LEN || places.is_odd(frame.len()) {
            return None;
        }
        let mark = frame.len() - MARK_LEN;
        frame[mark..].copy_from_slice(&Mark { flow, sequence: 0 }.bytes());
        fix_checksums(&mut frame);
        Some(Template { frame, places, flow, sequence: 0 })
    }

    /// Any address of the template's family.
    pub(super) fn family(&self) -> IpAddr {
        match self.places.v6 {
            true => Ipv6Addr::UNSPECIFIED.into(),
            false => Ipv4Addr::UNSPECIFIED.into(),
        }
    }

    /// Changes the source address, which must be of the template's family.
    pub(super) fn set_src(&mut self, src: IpAddr) {
        let at = self.places.ip + if self.places.v6 { 8 } else { 12 };
        match src {
            IpAddr::V4(src) if !self.places.v6 => {
                self.set_in_header(at, &src.octets());
                match self.places.pseudo_header {
                    true => self.set_covered(at, &src.octets()),
                    false => self.frame[at..at + 4].copy_from_slice(&src.octets()),
                }
            }
            IpAddr::V6(src) if self.places.v6 => self.set_covered(at, &src.octets()),
            _ => {}
        }
    }

    pub(super) fn set_srcport(&mut self, port: u16) {
        self.set_covered(self.places.transport, &port.to_be_bytes());
    }

    pub(super) fn set_dstport(&mut self, port: u16) {
        self.set_covered(self.places.transport + 2, &port.to_be_bytes());
    }

    /// TCP's sequence number, which in UDP would be length and checksum.
    pub(super) fn set_tcp_seq(&mut self, seq: u32) {
        if !self.places.udp {
            self.set_covered(self.places.transport + 4, &seq.to_be_bytes());
        }
    }

    /// Numbers the frame, and writes it in place of what is in `into`.
    pub(super) fn emit(&mut self, into: &mut Vec<u8>) -> Flow {
        let at = self.frame.len() - 8;
        self.set_covered(at, &self.sequence.to_be_bytes());
        self.sequence += 1;
        into.clear();
        into.extend_from_slice(&self.frame);
        self.flow
    }

    /// Corrects the IPv4 header's checksum for bytes that are about to change.
    fn set_in_header(&mut self, at: usize, new: &[u8]) {
        let field = self.places.ip + 10;
        let found = self.word(field);
        let fixed = update_bytes(found, &self.frame[at..at + new.len()], new);
        self.frame[field..field + 2].copy_from_slice(&fixed.to_be_bytes());
    }

    /// Changes bytes that the transport checksum covers, and corrects it.
    fn set_covered(&mut self, at: usize, new: &[u8]) {
        if let Some(field) = self.places.checksum {
            let fixed = update_bytes(self.word(field), &self.frame[at..at + new.len()], new);
            let fixed = if self.places.udp && fixed == 0 { 0xffff } else { fixed };
            self.frame[field..field + 2].copy_from_slice(&fixed.to_be_bytes());
        }
        self.frame[at..at + new.len()].copy_from_slice(new);
    }

    fn word(&self, at: usize) -> u16 {
        u16::from_be_bytes([self.frame[at], self.frame[at + 1]])
    }
}

impl Places {
    fn of(ip: &Ip) -> Places {
        let transport = ip.payload.start;
        let checksum = match ip.protocol {
            protocol::UDP => Some(transport + 6),
            protocol::TCP => Some(transport + 16),
            protocol::ICMP | protocol::ICMPV6 => Some(transport + 2),
            _ => None,
        };
        let (v6, udp) = (ip.src.is_ipv6(), ip.protocol == protocol::UDP);
        Places { ip: ip.offset, v6, transport, checksum, udp, pseudo_header: ip.protocol != protocol::ICMP }
    }

    /// A mark at an odd place would swap the bytes of the sum.
    fn is_odd(&self, frame_len: usize) -> bool {
        !(frame_len - self.transport).is_multiple_of(2)
    }
}

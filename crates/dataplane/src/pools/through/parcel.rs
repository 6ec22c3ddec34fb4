//! What is done to the probes of one backend, as their program reads it: headers, and where the frame goes.

use std::net::IpAddr;
use weir_compiler::codegen::pools::Record;
use weir_compiler::eval::headers_before;
use weir_compiler::policy::{Unsent, Via};

/// Where things are in a parcel. Words of four bytes, of which the first ones are how long the headers are; where in the frame the
/// lengths of IP and UDP stand, and what they are without the packet; whether the next hop is fixed.
pub(super) const HEADERS_LENGTH: i16 = 0;
pub(super) const IP_AT: i16 = 4;
pub(super) const IP_LENGTH: i16 = 8;
/// 0 where there is no UDP.
pub(super) const UDP_AT: i16 = 12;
pub(super) const UDP_LENGTH: i16 = 16;
pub(super) const FIXED: i16 = 20;
/// The family by which the kernel is asked for a route.
pub(super) const FAMILY: i16 = 24;
/// What the frame is of, in the network's order: 2 bytes.
pub(super) const ETHERTYPE: i16 = 28;
/// How room is made for headers: the flags of `bpf_skb_adjust_room`, of 8 bytes.
pub(super) const ROOM: i16 = 32;
/// The fixed next hop.
pub(super) const HOP: i16 = 40;
/// From where and where to, as the kernel is asked: of IPv4 the first 4 bytes of 16.
pub(super) const FROM: i16 = 48;
pub(super) const TO: i16 = 64;
pub(super) const HEADERS: i16 = 80;
/// The longest headers: IPv6, UDP, VXLAN and Ethernet.
pub(super) const LONGEST: usize = 70;
pub(super) const BYTES: usize = 152;

/// `AF_INET` and `AF_INET6`.
pub(super) const INET: i32 = 2;
const INET6: i32 = 10;

/// Flags of `bpf_skb_adjust_room` (`linux/bpf.h`): of which kind the new headers are, so that segments are cut as they must be.
const OUTER_IP4: u64 = 1 << 1;
const OUTER_IP6: u64 = 1 << 2;
const OUTER_UDP: u64 = 1 << 4;
const INNER_ETHERNET: u64 = 1 << 6;
const INNER_LINK_SHIFT: u32 = 56;

const LINK: usize = 14;

/// What a probe for a service of IPv4 or IPv6 becomes on its way to a backend, that leaves by the interface of this MAC address.
pub(super) fn of(
    via: &Via,
    record: &Record,
    six: bool,
    mac: [u8; 6],
    hash: u64,
) -> Result<[u8; BYTES], Unsent> {
    let backend = &record.backend;
    let headers = headers_before(via, backend, six, mac, hash)?;
    let mut parcel = Parcel([0; BYTES]);
    let outer_six = backend.address.is_ipv6();
    parcel.word(FAMILY, if outer_six { INET6 } else { INET } as u32);
    parcel.put(TO, &octets(backend.address));
    if let Some(hop) = backend.hop {
        parcel.word(FIXED, 1);
        parcel.put(HOP, &hop.to);
    }
    if !headers.is_empty() {
        parcel.wrap(via, outer_six, &headers);
    }
    Ok(parcel.0)
}

struct Parcel([u8; BYTES]);

impl Parcel {
    fn wrap(&mut self, via: &Via, six: bool, headers: &[u8]) {
        // Of IPv6 the length is that of what follows, so its place and its meaning differ.
        let (ip, ip_at, from) = if six { (40, 4, 8..24) } else { (20, 2, 12..16) };
        let length = |at: usize| u32::from(u16::from_be_bytes([headers[at], headers[at + 1]]));
        self.word(HEADERS_LENGTH, headers.len() as u32);
        self.word(IP_AT, (LINK + ip_at) as u32);
        self.word(IP_LENGTH, length(ip_at));
        let mut room = if six { OUTER_IP6 } else { OUTER_IP4 };
        if via.port().is_some() {
            let udp_at = ip + 4;
            self.word(UDP_AT, (LINK + udp_at) as u32);
            self.word(UDP_LENGTH, length(udp_at));
            room |= OUTER_UDP;
            if via.network().is_some() {
                // Segments begin with the frame inside, so VXLAN's header is not counted.
                room |= INNER_ETHERNET | (LINK as u64) << INNER_LINK_SHIFT;
            }
        }
        self.put(ROOM, &room.to_ne_bytes());
        let ethertype: u16 = if six { 0x86dd } else { 0x0800 };
        self.put(ETHERTYPE, &ethertype.to_be_bytes());
        self.put(FROM, &headers[from]);
        self.put(HEADERS, headers);
    }

    fn word(&mut self, at: i16, word: u32) {
        self.put(at, &word.to_ne_bytes());
    }

    fn put(&mut self, at: i16, bytes: &[u8]) {
        self.0[at as usize..][..bytes.len()].copy_from_slice(bytes);
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

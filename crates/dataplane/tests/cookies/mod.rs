//! What a namespace needs so that the kernel's TCP says what [`Sockets`](weir_compiler::sockets::Sockets) say, and cookies that are its own
//! secret.

use std::net::{Ipv6Addr, TcpListener};
use weir_kernel::{KernelError, sysctl};
use weir_packet::checksum;

/// Where a segment has its sequence number and its checksum.
const SEQUENCE: usize = 4;
const CHECKSUM: usize = 16;

/// From now on the calling thread's namespace makes cookies for all SYNs.
pub(crate) fn always() -> Result<(), KernelError> {
    sysctl::write("net.ipv4.tcp_syncookies", "2")
}

/// Somebody who listens at a port, for both families.
pub(crate) fn listen(port: u16) -> TcpListener {
    TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).unwrap_or_else(|error| panic!("port {port}: {error}"))
}

/// Where the segment of a packet without options or extension headers begins, if a frame has one.
pub(crate) fn segment(frame: &[u8]) -> Option<usize> {
    let mut at = 12;
    while matches!(frame.get(at..at + 2)?, [0x81, 0x00] | [0x88, 0xa8]) {
        at += 4;
    }
    let (packet, segment) = match frame.get(at..at + 2)? {
        [0x08, 0x00] => (at + 11, at + 22),
        [0x86, 0xdd] => (at + 8, at + 42),
        _ => return None,
    };
    (frame.get(packet) == Some(&6) && frame.len() >= segment + 20).then_some(segment)
}

/// Puts the cookie of another answer into this one; its checksum changes by that, and stays wrong if it was.
pub(crate) fn put_cookie(frame: &mut [u8], other: &[u8]) {
    let (Some(segment), Some(others)) = (segment(frame), segment(other)) else { return };
    let own: [u8; 4] = frame[segment + SEQUENCE..][..4].try_into().expect("four bytes");
    let cookie = &other[others + SEQUENCE..][..4];
    let sum = u16::from_be_bytes(frame[segment + CHECKSUM..][..2].try_into().expect("two bytes"));
    let sum = checksum::update_bytes(sum, &own, cookie);
    frame[segment + SEQUENCE..][..4].copy_from_slice(cookie);
    frame[segment + CHECKSUM..][..2].copy_from_slice(&sum.to_be_bytes());
}

//! What `answer … syncookie` does, said as plainly as can be.

use super::walk::Header;
use crate::policy::{Policy, echo};
use crate::sockets::{Acknowledged, Sockets};

/// What becomes of a segment that is not left alone.
pub(super) enum Done {
    /// The answer to a SYN.
    Answered(Vec<u8>),
    /// It goes on: it brings a cookie.
    Valid,
    /// It is dropped: it should bring a cookie.
    Invalid,
}

impl Done {
    /// The counter's name.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Done::Answered(_) => "answered",
            Done::Valid => "valid",
            Done::Invalid => "invalid",
        }
    }
}

/// What is done with a segment, if anything.
pub(super) fn done(policy: &Policy, sockets: &Sockets, frame: &[u8], headers: &[Header]) -> Option<Done> {
    let families = echo::headers(&policy.protocols);
    let (six, ip) = families
        .iter()
        .find_map(|(ip, six)| Some((*six, headers.iter().find(|header| header.name == *ip)?.offset)))?;
    let (addresses, tcp) = if six { (ip + 8, ip + 40) } else { (ip + 12, ip + 20) };
    let ends = &frame[addresses..tcp + 4];
    let segment = &frame[tcp..tcp + usize::from(frame[tcp + 12] >> 4) * 4];
    let is_syn = segment[13] & 0x10 == 0;
    if !is_syn {
        return match sockets.acknowledged(ends, segment) {
            Acknowledged::Other => None,
            Acknowledged::Cookie => Some(Done::Valid),
            Acknowledged::NoCookie => Some(Done::Invalid),
        };
    }
    match sockets.cookie(ends, segment) {
        0 => None,
        cookie => Some(Done::Answered(answer(frame, ip, six, cookie))),
    }
}

/// The answer: a new packet in the link of the old one.
fn answer(frame: &[u8], ip: usize, six: bool, cookie: u64) -> Vec<u8> {
    let tcp = if six { ip + 40 } else { ip + 20 };
    let [source, destination] =
        if six { [ip + 8..ip + 24, ip + 24..ip + 40] } else { [ip + 12..ip + 16, ip + 16..ip + 20] };
    let mss = ((cookie >> 32) as u16).min(if six { 1440 } else { 1460 });
    let sequence = u32::from_be_bytes([frame[tcp + 4], frame[tcp + 5], frame[tcp + 6], frame[tcp + 7]]);
    let mut segment = [
        &frame[tcp + 2..tcp + 4],
        &frame[tcp..tcp + 2],
        &(cookie as u32).to_be_bytes(),
        &sequence.wrapping_add(1).to_be_bytes(),
        // Six words long, SYN and ACK, the window, no checksum yet and nothing urgent.
        &[0x60, 0x12],
        &14_600u16.to_be_bytes(),
        &[0, 0, 0, 0, 2, 4],
        &mss.to_be_bytes(),
    ]
    .concat();
    let addresses = [&frame[destination], &frame[source]].concat();
    let sum = checksum(&[&addresses, &[0, 6, 0, segment.len() as u8], &segment]);
    segment[16..18].copy_from_slice(&sum);
    let header = if six {
        [&[0x60, 0, 0, 0, 0, segment.len() as u8, 6, 64], addresses.as_slice()].concat()
    } else {
        let start = [0x45, 0, 0, 20 + segment.len() as u8, 0, 0, 0x40, 0, 64, 6];
        let sum = checksum(&[&start, &addresses]);
        [start.as_slice(), &sum, &addresses].concat()
    };
    [&frame[6..12], &frame[..6], &frame[12..ip], &header, &segment].concat()
}

/// RFC 1071, of parts with even lengths.
fn checksum(parts: &[&[u8]]) -> [u8; 2] {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let mut sum: u64 = words.map(|two| u64::from(two[0]) * 256 + u64::from(two[1])).sum();
    while sum > 0xffff {
        sum = sum % 0x1_0000 + sum / 0x1_0000;
    }
    (0xffff - sum as u16).to_be_bytes()
}

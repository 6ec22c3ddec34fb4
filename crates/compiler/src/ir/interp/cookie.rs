//! SYN cookies, and the segments that bring them to a client.

use super::{Fault, Interpreter};
use crate::ir::{CookieCall, SynAck};
use crate::sockets::Sockets;

/// Bytes of headers without options, and of an answer's segment.
const IP: [usize; 2] = [20, 40];
const TCP: usize = 20;
const SEGMENT: u8 = 24;
/// The protocol's number.
const NUMBER: u8 = 6;

impl Interpreter {
    /// What the host's TCP says of the segment in a packet.
    pub(super) fn cookie(
        &self,
        sockets: &Sockets,
        frame: &[u8],
        (call, six): (CookieCall, bool),
        packet: u32,
    ) -> Result<u64, Fault> {
        let (packet, tcp) = self.segment(frame, six, packet)?;
        let ends = &frame[packet + if six { 8 } else { 12 }..tcp + 4];
        let length = usize::from(frame[tcp + 12] >> 4) * 4;
        let segment = frame.get(tcp..tcp + length).filter(|segment| segment.len() >= TCP);
        let segment = segment.ok_or_else(|| outside(frame, packet))?;
        Ok(match call {
            CookieCall::Make => sockets.cookie(ends, segment),
            CookieCall::Check => sockets.acknowledged(ends, segment) as u64,
        })
    }

    /// The frame that goes back.
    pub(super) fn syn_ack(
        &self,
        frame: &[u8],
        six: bool,
        packet: u32,
        cookie: u32,
    ) -> Result<Vec<u8>, Fault> {
        let cookie = self.read(cookie);
        let (packet, tcp) = self.segment(frame, six, packet)?;
        let mut out = frame[..packet].to_vec();
        let (left, right) = out[..12].split_at_mut(6);
        left.swap_with_slice(right);
        let (start, length) = if six { (8, 16) } else { (12, 4) };
        let mut header: Vec<u8> = match six {
            true => vec![0x60, 0, 0, 0, 0, SEGMENT, NUMBER, SynAck::HOPS],
            false => vec![0x45, 0, 0, 20 + SEGMENT, 0, 0, 0x40, 0, SynAck::HOPS, NUMBER, 0, 0],
        };
        let mut addresses = frame[packet + start..tcp].to_vec();
        addresses.rotate_left(length);
        header.extend(&addresses);
        if !six {
            let sum = checksum(&header, 0);
            header[10..12].copy_from_slice(&sum);
        }
        let [from, to, sequence] = [&frame[tcp..tcp + 2], &frame[tcp + 2..tcp + 4], &frame[tcp + 4..tcp + 8]];
        let mut segment = [to, from, &(cookie as u32).to_be_bytes()].concat();
        let next = sequence.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)).wrapping_add(1);
        segment.extend(next.to_be_bytes());
        segment.extend([SEGMENT / 4 * 16, 0x12]);
        segment.extend(SynAck::WINDOW.to_be_bytes());
        segment.extend([0, 0, 0, 0, 2, 4]);
        let largest = SynAck::LARGEST[usize::from(six)];
        segment.extend(((cookie >> 32) as u16).min(largest).to_be_bytes());
        addresses.extend(&segment);
        let sum = checksum(&addresses, u32::from(NUMBER) + u32::from(SEGMENT));
        segment[16..18].copy_from_slice(&sum);
        out.extend(header);
        out.extend(segment);
        Ok(out)
    }

    /// Where a packet begins, and the segment right behind its header.
    fn segment(&self, frame: &[u8], six: bool, packet: u32) -> Result<(usize, usize), Fault> {
        let packet = self.read(packet) as usize;
        let tcp = packet + IP[usize::from(six)];
        match matches!(packet, 14 | 18 | 22 | 26 | 30) && tcp + TCP <= frame.len() {
            true => Ok((packet, tcp)),
            false => Err(outside(frame, packet)),
        }
    }
}

fn outside(frame: &[u8], packet: usize) -> Fault {
    Fault::SendOutside { packet: packet as u64, length: 0, len: frame.len(), backend: 0 }
}

/// The checksum of words and of a sum of others.
fn checksum(bytes: &[u8], others: u32) -> [u8; 2] {
    let words = bytes.chunks(2).map(|two| u32::from(two[0]) << 8 | u32::from(two[1]));
    let sum = others + words.sum::<u32>();
    let sum = (0..2).fold(sum, |sum, _| (sum & 0xffff) + (sum >> 16));
    (!sum as u16).to_be_bytes()
}

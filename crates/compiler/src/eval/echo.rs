//! What `echo` answers, said as plainly as can be.

use super::walk::Header;
use crate::policy::{Policy, echo};

/// The answer to a request: who asked and who was asked change places, in the frame and in the packet.
pub(super) fn answered(policy: &Policy, frame: &[u8], headers: &[Header]) -> Option<Vec<u8>> {
    let families = echo::headers(&policy.protocols);
    let (six, ip) = families
        .iter()
        .find_map(|(ip, six)| Some((*six, headers.iter().find(|header| header.name == *ip)?.offset)))?;
    let (addresses, message) = if six { (ip + 8, ip + 40) } else { (ip + 12, ip + 20) };
    let middle = (addresses + message) / 2;
    let (link, rest) = frame.split_at(ip);
    let at = |place: usize| place - ip;
    let mut packet = [
        &rest[..at(addresses)],
        &rest[at(middle)..at(message)],
        &rest[at(addresses)..at(middle)],
        &rest[at(message)..],
    ]
    .concat();
    if six {
        packet[7] = 64;
    } else {
        change(&mut packet, 8, 64, 10);
    }
    let (kind, sum) = (message - ip, message - ip + 2);
    change(&mut packet, kind, if six { 129 } else { 0 }, sum);
    // Both are zero to ones' complement, but a message whose words are all zero must not have a sum of zero.
    if packet[sum..sum + 2] == [0, 0] {
        packet[sum..sum + 2].fill(0xff);
    }
    let turned = [&link[6..12], &link[..6], &link[12..]].concat();
    Some([turned, packet].concat())
}

/// Changes the upper byte of a word, and the checksum that covers it: equation 3 of RFC 1624.
fn change(packet: &mut [u8], at: usize, to: u8, checksum: usize) {
    let word = |packet: &[u8], at: usize| u64::from(u16::from_be_bytes([packet[at], packet[at + 1]]));
    let before = word(packet, at);
    packet[at] = to;
    let mut sum = (0xffff - word(packet, checksum)) + (0xffff - before) + word(packet, at);
    while sum > 0xffff {
        sum = sum % 0x1_0000 + sum / 0x1_0000;
    }
    let [.., high, low] = (0xffff - sum).to_be_bytes();
    packet[checksum..checksum + 2].copy_from_slice(&[high, low]);
}

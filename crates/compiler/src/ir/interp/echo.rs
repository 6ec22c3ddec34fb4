//! The answer to an echo request.

use super::{Fault, Interpreter};

/// Hops that an answer may go.
const HOPS: u8 = 64;

impl Interpreter {
    /// The frame that goes back.
    pub(super) fn echo(&self, frame: &[u8], six: bool, packet: u32) -> Result<Vec<u8>, Fault> {
        let packet = self.read(packet);
        let message = packet as usize + if six { 40 } else { 20 };
        let outside = Fault::SendOutside { packet, length: 0, len: frame.len(), backend: 0 };
        if !matches!(packet, 14 | 18 | 22 | 26 | 30) || message + 8 > frame.len() {
            return Err(outside);
        }
        let mut out = frame.to_vec();
        let (left, right) = out[..12].split_at_mut(6);
        left.swap_with_slice(right);
        let addresses = packet as usize + if six { 8 } else { 12 };
        let (left, right) = out[addresses..message].split_at_mut(if six { 16 } else { 4 });
        left.swap_with_slice(right);
        let word = |at: usize| u32::from(frame[at]) << 8 | u32::from(frame[at + 1]);
        let folded = |sum: u32| (0..2).fold(sum, |sum, _| (sum & 0xffff) + (sum >> 16)) as u16;
        if six {
            out[packet as usize + 7] = HOPS;
            out[message] = 129;
        } else {
            let (time, sum) = (packet as usize + 8, packet as usize + 10);
            out[time] = HOPS;
            let (old, new) = (word(time), u32::from(HOPS) << 8 | u32::from(frame[time + 1]));
            let sum_now = !folded((!word(sum) & 0xffff) + (!old & 0xffff) + new);
            out[sum..sum + 2].copy_from_slice(&sum_now.to_be_bytes());
            out[message] = 0;
        }
        // The type is 128 and becomes 129, or is 8 and becomes 0: the sum loses so much, or gains it. So it is never zero, which
        // would be wrong for a message of zeros.
        let change = if six { 0xfeff } else { 0x0800 };
        let sum = folded(word(message + 2) + change);
        out[message + 2..message + 4].copy_from_slice(&sum.to_be_bytes());
        Ok(out)
    }
}

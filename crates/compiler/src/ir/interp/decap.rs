//! What `decap` makes of a frame.

use super::{Fault, Interpreter};

/// Of the shortest IP header.
const IP_HEADER: usize = 20;

impl Interpreter {
    /// The frame that leaves; arguments are registers.
    pub(super) fn decap(
        &self,
        frame: &[u8],
        inner: u32,
        link: Option<u32>,
        ecn: Option<(u32, u32)>,
    ) -> Result<Vec<u8>, Fault> {
        let inner = self.read(inner);
        let outside = Fault::DecapOutside { inner, len: frame.len() };
        let mut frame = frame.to_vec();
        if let Some((at, flip)) = ecn.filter(|(_, flip)| self.read(*flip) != 0) {
            let header = frame.get_mut(self.read(at) as usize..).filter(|header| header.len() >= IP_HEADER);
            flip_ecn(header.ok_or(outside)?, self.read(flip) as u8);
        }
        let packet = frame.get(inner as usize..).ok_or(outside)?;
        let Some(link) = link.map(|link| self.read(link)) else { return Ok(packet.to_vec()) };
        let fine = matches!(link, 14 | 18 | 22 | 26 | 30) && link <= inner && packet.len() >= IP_HEADER;
        if !fine {
            return Err(outside);
        }
        let ethertype: [u8; 2] = if packet[0] >> 4 == 4 { [0x08, 0x00] } else { [0x86, 0xdd] };
        Ok([&frame[..link as usize - 2], &ethertype, packet].concat())
    }
}

fn flip_ecn(header: &mut [u8], flip: u8) {
    if header[0] >> 4 != 4 {
        header[1] ^= flip << 4;
        return;
    }
    let word = |header: &[u8], at: usize| u32::from(header[at]) << 8 | u32::from(header[at + 1]);
    let before = word(header, 0);
    header[1] ^= flip;
    let sum = (!word(header, 10) & 0xffff) + (!before & 0xffff) + word(header, 0);
    // Three words carry twice at most.
    let sum = (0..2).fold(sum, |sum, _| (sum & 0xffff) + (sum >> 16));
    header[10..12].copy_from_slice(&(!sum as u16).to_be_bytes());
}

//! The Internet checksum: RFC 1071 (sum), RFC 1624 (update), and what it covers in IP, TCP, UDP,
//! ICMP and ICMPv6.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::layers::{Fragment, Ip, Layers, protocol, u16_at};

/// A ones-complement sum in the making.
///
/// The parts must have even lengths, but for the last one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sum(u64);

impl Sum {
    /// Adds bytes in pairs, the first one high; an odd last byte counts as if a zero followed.
    #[must_use]
    pub fn bytes(mut self, bytes: &[u8]) -> Sum {
        let (pairs, last) = bytes.as_chunks::<2>();
        for pair in pairs {
            self.0 += u64::from(u16::from_be_bytes(*pair));
        }
        if let [last] = last {
            self.0 += u64::from(*last) << 8;
        }
        self
    }

    /// Adds one 16-bit word.
    #[must_use]
    pub fn word(mut self, word: u16) -> Sum {
        self.0 += u64::from(word);
        self
    }

    /// Adds both addresses, the protocol and the length: RFC 9293 section 3.1, RFC 8200 section 8.1.
    ///
    /// Addresses of two families never meet in a packet; the destination's decides nothing here.
    #[must_use]
    pub fn pseudo_header(self, src: IpAddr, dst: IpAddr, protocol: u8, len: u32) -> Sum {
        self.address(src).address(dst).word(u16::from(protocol)).word((len >> 16) as u16).word(len as u16)
    }

    fn address(self, address: IpAddr) -> Sum {
        match address {
            IpAddr::V4(address) => self.bytes(&address.octets()),
            IpAddr::V6(address) => self.bytes(&address.octets()),
        }
    }

    /// The sum, folded to 16 bits and not complemented.
    pub fn folded(self) -> u16 {
        let mut sum = self.0;
        while sum > 0xffff {
            sum = (sum >> 16) + (sum & 0xffff);
        }
        sum as u16
    }

    /// The checksum as it stands in a header.
    pub fn checksum(self) -> u16 {
        !self.folded()
    }
}

/// The checksum of bytes whose checksum field is zero.
pub fn internet(bytes: &[u8]) -> u16 {
    Sum::default().bytes(bytes).checksum()
}

/// The checksum after one word that it covers changed: equation 3 of RFC 1624.
pub fn update(checksum: u16, old: u16, new: u16) -> u16 {
    Sum::default().word(!checksum).word(!old).word(new).checksum()
}

/// As [`update`], for a field of several words. Both must have the same, even, length.
pub fn update_bytes(checksum: u16, old: &[u8], new: &[u8]) -> u16 {
    let gone = !Sum::default().bytes(old).folded();
    Sum::default().word(!checksum).word(gone).bytes(new).checksum()
}

/// The checksum of a UDP or TCP segment or ICMPv6 message whose checksum field is zero.
///
/// A UDP checksum of zero would mean "none", so it is sent as all ones (RFC 768).
pub fn transport(src: IpAddr, dst: IpAddr, protocol: u8, segment: &[u8]) -> u16 {
    let checksum =
        Sum::default().pseudo_header(src, dst, protocol, segment.len() as u32).bytes(segment).checksum();
    match (protocol, checksum) {
        (protocol::UDP, 0) => 0xffff,
        (_, checksum) => checksum,
    }
}

/// As [`transport`], over IPv4.
pub fn transport_v4(src: Ipv4Addr, dst: Ipv4Addr, protocol: u8, segment: &[u8]) -> u16 {
    transport(src.into(), dst.into(), protocol, segment)
}

/// As [`transport`], over IPv6.
pub fn transport_v6(src: Ipv6Addr, dst: Ipv6Addr, protocol: u8, segment: &[u8]) -> u16 {
    transport(src.into(), dst.into(), protocol, segment)
}

/// What is known about one checksum of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// No such checksum is in the frame.
    Absent,
    /// A fragment, a cut packet or a bad length: it cannot be computed.
    Unknown,
    /// UDP over IPv4 sent without one.
    Unused,
    /// It is right.
    Good,
    /// It is wrong.
    Bad {
        /// What the frame should have.
        expected: u16,
    },
}

/// The checksums of the outer headers of an Ethernet frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checksums {
    /// That of the IPv4 header.
    pub ipv4: State,
    /// That of TCP, UDP, ICMP or ICMPv6.
    pub transport: State,
}

/// Computes the checksums of the outer headers and compares.
pub fn verify(frame: &[u8]) -> Checksums {
    let Some(ip) = Layers::of(frame).and_then(|layers| layers.ip) else {
        return Checksums { ipv4: State::Absent, transport: State::Absent };
    };
    Checksums {
        ipv4: header_field(&ip).map_or(State::Absent, |field| field.state(frame)),
        transport: match transport_field(frame, &ip) {
            Ok(field) => field.state(frame),
            Err(state) => state,
        },
    }
}

/// Writes the right checksums into the outer IPv4 and transport headers of an Ethernet frame, and
/// returns what was there. UDP without a checksum over IPv4 stays so; over IPv6, which forbids
/// that, it gets one.
pub fn fix_checksums(frame: &mut [u8]) -> Checksums {
    let found = verify(frame);
    let Some(ip) = Layers::of(frame).and_then(|layers| layers.ip) else {
        return found;
    };
    if let (State::Bad { expected }, Some(field)) = (found.ipv4, header_field(&ip)) {
        frame[field.at..field.at + 2].copy_from_slice(&expected.to_be_bytes());
    }
    if let (State::Bad { expected }, Ok(field)) = (found.transport, transport_field(frame, &ip)) {
        frame[field.at..field.at + 2].copy_from_slice(&expected.to_be_bytes());
    }
    found
}

/// A checksum field, the bytes that it covers, and the sum of the pseudo-header. All of it lies
/// inside of the frame.
struct Field {
    at: usize,
    covered: std::ops::Range<usize>,
    pseudo: Sum,
    zero_means_none: bool,
}

impl Field {
    fn state(&self, frame: &[u8]) -> State {
        let found = u16::from_be_bytes([frame[self.at], frame[self.at + 1]]);
        let sum = self.pseudo.bytes(&frame[self.covered.clone()]);
        // Both zeros of ones-complement arithmetic are right as a sum, so ask that, not equality.
        if sum.folded() == 0xffff && !(self.zero_means_none && found == 0) {
            return State::Good;
        }
        // The field starts at an even offset of what it covers. Its value is left out and not taken away: of nothing but zeros
        // the sum is zero, which ones' complement cannot tell from what is left of a sum.
        let before = self.pseudo.bytes(&frame[self.covered.start..self.at]);
        let expected = before.bytes(&frame[self.at + 2..self.covered.end]).checksum();
        State::Bad { expected: if self.zero_means_none && expected == 0 { 0xffff } else { expected } }
    }
}

fn header_field(ip: &Ip) -> Option<Field> {
    ip.src.is_ipv4().then(|| Field {
        at: ip.offset + 10,
        covered: ip.offset..ip.payload.start,
        pseudo: Sum::default(),
        zero_means_none: false,
    })
}

fn transport_field(frame: &[u8], ip: &Ip) -> Result<Field, State> {
    let offset = match ip.protocol {
        protocol::TCP => 16,
        protocol::UDP => 6,
        protocol::ICMP | protocol::ICMPV6 => 2,
        _ => return Err(State::Absent),
    };
    if ip.fragment != Fragment::Whole || ip.cut {
        return Err(State::Unknown);
    }
    let mut covered = ip.payload.clone();
    let at = covered.start + offset;
    if covered.end < at + 2 {
        return Err(State::Unknown);
    }
    if ip.protocol == protocol::UDP {
        covered.end = udp_end(frame, &covered).ok_or(State::Unknown)?;
        if ip.src.is_ipv4() && u16_at(frame, at) == Some(0) {
            return Err(State::Unused);
        }
    }
    let pseudo = match ip.protocol {
        protocol::ICMP => Sum::default(),
        protocol => Sum::default().pseudo_header(ip.src, ip.final_dst, protocol, covered.len() as u32),
    };
    Ok(Field { at, covered, pseudo, zero_means_none: ip.protocol == protocol::UDP })
}

/// UDP has a length of its own, which may be shorter than the packet's.
fn udp_end(frame: &[u8], payload: &std::ops::Range<usize>) -> Option<usize> {
    match usize::from(u16_at(frame, payload.start + 4)?) {
        0 => Some(payload.end),
        length if length < 8 => None,
        length => Some(payload.start + length).filter(|end| *end <= payload.end),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_1071() {
        let sum = Sum::default().bytes(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
        assert_eq!(sum.folded(), 0xddf2);
    }

    #[test]
    fn the_example_of_rfc_1624() {
        assert_eq!(update(0xdd2f, 0x5555, 0x3285), 0x0000);
    }

    /// RFC 792: the sum of nothing but zeros is no zero.
    #[test]
    fn a_message_of_zeros_has_a_sum() {
        let mut frame = [0; 42];
        frame[12..14].copy_from_slice(&[0x08, 0x00]);
        frame[14..24].copy_from_slice(&[0x45, 0, 0, 28, 0, 0, 0, 0, 64, 1]);
        fix_checksums(&mut frame);
        assert_eq!(frame[36..38], [0xff, 0xff]);
        assert_eq!(verify(&frame).transport, State::Good);
    }

    #[test]
    fn an_odd_last_byte_is_the_high_one() {
        assert_eq!(Sum::default().bytes(&[1, 2, 3]).folded(), 0x0402);
    }
}

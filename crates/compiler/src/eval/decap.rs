//! The frame that `decap` makes, said as plainly as can be.

use super::walk::Header;
use crate::policy::{ProtocolId, Protocols};

/// What becomes of a frame whose outermost tunnel is taken off; `None` if it is to be dropped, because it met congestion and
/// the inner packet cannot say so (RFC 6040, section 4.2). The condition of the statement held: there is a tunnel.
pub(super) fn unwrapped(protocols: &Protocols, frame: &[u8], headers: &[Header]) -> Option<Vec<u8>> {
    let at_level = |level: u8| headers.iter().filter(move |header| header.name.level == level);
    let outer_ip = at_level(0).find(|header| family(protocols, header.name.protocol).is_some());
    let inner_ip = at_level(1).find(|header| family(protocols, header.name.protocol).is_some());
    let first = at_level(1).next()?;
    let mut frame = frame.to_vec();
    if let (Some(outer), Some(inner)) = (outer_ip, inner_ip) {
        let (outer, was) = (ecn(protocols, &frame, outer), ecn(protocols, &frame, inner));
        let now = combined(was, outer)?;
        if now != was {
            set_ecn(protocols, &mut frame, inner, now);
        }
    }
    let payload = &frame[first.offset..];
    let Some(ethertype) = family(protocols, first.name.protocol) else { return Some(payload.to_vec()) };
    // What stands before the outer IP header is the link's, and its last two bytes say what follows.
    let link = &frame[..outer_ip?.offset - 2];
    Some([link, &ethertype.to_be_bytes(), payload].concat())
}

/// The EtherType of an IP header of either family.
fn family(protocols: &Protocols, protocol: ProtocolId) -> Option<u16> {
    match protocols[protocol].name.as_str() {
        "ip4" => Some(0x0800),
        "ip6" => Some(0x86dd),
        _ => None,
    }
}

fn is_ip4(protocols: &Protocols, header: &Header) -> bool {
    family(protocols, header.name.protocol) == Some(0x0800)
}

/// Explicit congestion notification (RFC 3168, section 5).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ecn {
    NotCapable,
    Capable1,
    Capable0,
    Congestion,
}

const ECN: [Ecn; 4] = [Ecn::NotCapable, Ecn::Capable1, Ecn::Capable0, Ecn::Congestion];

/// The inner packet's field behind the tunnel: figure 4 of RFC 6040.
fn combined(inner: Ecn, outer: Ecn) -> Option<Ecn> {
    match (inner, outer) {
        (Ecn::NotCapable, Ecn::Congestion) => None,
        (Ecn::NotCapable, _) => Some(Ecn::NotCapable),
        (_, Ecn::Congestion) | (Ecn::Congestion, _) => Some(Ecn::Congestion),
        (Ecn::Capable0, Ecn::Capable1) => Some(Ecn::Capable1),
        (inner, _) => Some(inner),
    }
}

fn ecn(protocols: &Protocols, frame: &[u8], ip: &Header) -> Ecn {
    let second = frame[ip.offset + 1];
    let bits = if is_ip4(protocols, ip) { second } else { second >> 4 };
    ECN[usize::from(bits & 3)]
}

fn set_ecn(protocols: &Protocols, frame: &mut [u8], ip: &Header, ecn: Ecn) {
    let header = &mut frame[ip.offset..];
    let before = [header[0], header[1]];
    if !is_ip4(protocols, ip) {
        header[1] = header[1] & !0x30 | (ecn as u8) << 4;
        return;
    }
    header[1] = header[1] & !3 | ecn as u8;
    let after = u16::from_be_bytes([header[0], header[1]]);
    let checksum = u16::from_be_bytes([header[10], header[11]]);
    // RFC 1624, equation 3: HC' = ~(~HC + ~m + m')
    let sum = u32::from(!checksum) + u32::from(!u16::from_be_bytes(before)) + u32::from(after);
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    header[10..12].copy_from_slice(&(!(folded as u16)).to_be_bytes());
}

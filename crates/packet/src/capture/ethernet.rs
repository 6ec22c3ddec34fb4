//! An Ethernet header in front of what was captured without one.

use std::borrow::Cow;

use super::{LinkType, NotEthernet};

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
/// Below this a protocol number is a length or one of Linux's own (`ETH_P_802_3`, `ETH_P_CAN` …).
const FIRST_ETHERTYPE: u16 = 0x0600;

pub(super) fn to_ethernet(link: LinkType, data: &[u8]) -> Result<Cow<'_, [u8]>, NotEthernet> {
    match link {
        LinkType::Ethernet => Ok(Cow::Borrowed(data)),
        LinkType::RawIp | LinkType::Ipv4 | LinkType::Ipv6 => raw(link, data),
        LinkType::Null | LinkType::Loop => loopback(link, data),
        LinkType::LinuxSll => sll(data),
        LinkType::LinuxSll2 => sll2(data),
        LinkType::Other(_) => Err(NotEthernet::Link(link)),
    }
}

fn raw(link: LinkType, data: &[u8]) -> Result<Cow<'static, [u8]>, NotEthernet> {
    let (first, _) = split::<1>(link, data)?;
    match first[0] >> 4 {
        4 => Ok(with_header([0; 6], IPV4, data)),
        6 => Ok(with_header([0; 6], IPV6, data)),
        version => Err(NotEthernet::IpVersion(version)),
    }
}

/// The family is in the capturing host's byte order (NULL) or the network's (LOOP), and systems
/// differ in the number of IPv6. Families are small, so the order shows itself.
fn loopback(link: LinkType, data: &[u8]) -> Result<Cow<'static, [u8]>, NotEthernet> {
    let (family, packet) = split::<4>(link, data)?;
    let family = u32::from_be_bytes(*family);
    let family = if family > 0xffff { family.swap_bytes() } else { family };
    match family {
        2 => Ok(with_header([0; 6], IPV4, packet)),
        10 | 24 | 28 | 30 => Ok(with_header([0; 6], IPV6, packet)),
        other => Err(NotEthernet::Family(other)),
    }
}

/// type, ARPHRD, address length, address (8), protocol.
fn sll(data: &[u8]) -> Result<Cow<'static, [u8]>, NotEthernet> {
    let (header, packet) = split::<16>(LinkType::LinuxSll, data)?;
    let length = u16::from_be_bytes([header[4], header[5]]);
    let protocol = u16::from_be_bytes([header[14], header[15]]);
    cooked(usize::from(length), &header[6..14], protocol, packet)
}

/// protocol, reserved (2), interface (4), ARPHRD, type (1), address length (1), address (8).
fn sll2(data: &[u8]) -> Result<Cow<'static, [u8]>, NotEthernet> {
    let (header, packet) = split::<20>(LinkType::LinuxSll2, data)?;
    let protocol = u16::from_be_bytes([header[0], header[1]]);
    cooked(usize::from(header[11]), &header[12..20], protocol, packet)
}

fn cooked(
    address_len: usize,
    address: &[u8],
    protocol: u16,
    packet: &[u8],
) -> Result<Cow<'static, [u8]>, NotEthernet> {
    if protocol < FIRST_ETHERTYPE {
        return Err(NotEthernet::Protocol(protocol));
    }
    let mut source = [0; 6];
    if address_len == source.len() {
        source.copy_from_slice(&address[..6]);
    }
    Ok(with_header(source, protocol, packet))
}

fn split<const N: usize>(link: LinkType, data: &[u8]) -> Result<(&[u8; N], &[u8]), NotEthernet> {
    data.split_first_chunk::<N>().ok_or(NotEthernet::Short { link, found: data.len(), needed: N })
}

fn with_header(source: [u8; 6], ethertype: u16, packet: &[u8]) -> Cow<'static, [u8]> {
    let mut frame = Vec::with_capacity(14 + packet.len());
    frame.extend_from_slice(&[0; 6]);
    frame.extend_from_slice(&source);
    frame.extend_from_slice(&ethertype.to_be_bytes());
    frame.extend_from_slice(packet);
    Cow::Owned(frame)
}

//! What carries packets in packets. IP-in-IP needs nothing of its own: push IP after IP.

use super::Around;
use super::link::ethertype_of;

/// A VXLAN header (RFC 7348); an Ethernet frame follows. Push it after [`super::Udp`] to
/// [`super::VXLAN_PORT`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vxlan {
    vni: u32,
}

impl Vxlan {
    /// The network identifier has 24 bits.
    pub fn new(vni: u32) -> Vxlan {
        Vxlan { vni: vni & 0x00ff_ffff }
    }

    pub(super) fn header(&self) -> Vec<u8> {
        [[0x08, 0, 0, 0], (self.vni << 8).to_be_bytes()].concat()
    }
}

/// A GRE header (RFC 2784, RFC 2890) without checksum; IP or Ethernet follows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gre {
    key: Option<u32>,
    sequence: Option<u32>,
}

impl Gre {
    /// Without key and sequence number.
    pub fn new() -> Gre {
        Gre::default()
    }

    /// Which tunnel it is.
    #[must_use]
    pub fn key(mut self, key: u32) -> Gre {
        self.key = Some(key);
        self
    }

    /// Sequence number.
    #[must_use]
    pub fn sequence(mut self, sequence: u32) -> Gre {
        self.sequence = Some(sequence);
        self
    }

    pub(super) fn header(&self, around: Around<'_>) -> Vec<u8> {
        let flags = if self.key.is_some() { 0x2000 } else { 0 }
            | if self.sequence.is_some() { 0x1000_u16 } else { 0 };
        let mut header = [flags.to_be_bytes(), ethertype_of(around.next).to_be_bytes()].concat();
        for word in [self.key, self.sequence].into_iter().flatten() {
            header.extend_from_slice(&word.to_be_bytes());
        }
        header
    }
}

//! The link's header: where a frame's Ethernet header and its VLAN tags have what, in bytes.

/// Both MAC addresses, and a VLAN tag.
pub(super) const ADDRESSES: i16 = 12;
pub(super) const TAG: i16 = 4;
/// An EtherType.
pub(super) const ETHERTYPE: i16 = 2;
/// Tags of the longest link header, as `protocols/vlan.weir` has it.
pub(super) const TAGS: i16 = 4;
/// Where the IP header of the shortest and of the longest link header begins.
pub(super) const SHORTEST_LINK: i16 = ADDRESSES + ETHERTYPE;
pub(super) const LONGEST_LINK: i16 = SHORTEST_LINK + TAGS * TAG;
/// EtherTypes as a little-endian machine stores them.
pub(super) const ETHERTYPE_4: u64 = 0x0008;
pub(super) const ETHERTYPE_6: u64 = 0xdd86;

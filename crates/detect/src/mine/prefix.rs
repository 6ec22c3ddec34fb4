//! Prefixes of addresses, and those that no mined statement may match.

use super::Destinations;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Addresses that begin alike.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(from = "(IpAddr, u8)", into = "(IpAddr, u8)")]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

impl Prefix {
    /// The first `length` bits of an address (at most as many as it has); the others become zero.
    pub fn new(address: IpAddr, length: u8) -> Prefix {
        match address {
            IpAddr::V4(address) => {
                let length = length.min(32);
                let kept = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
                Prefix { address: Ipv4Addr::from(u32::from(address) & kept).into(), length }
            }
            IpAddr::V6(address) => {
                let length = length.min(128);
                let kept = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
                Prefix { address: Ipv6Addr::from(u128::from(address) & kept).into(), length }
            }
        }
    }

    /// One address.
    pub fn host(address: IpAddr) -> Prefix {
        Prefix::new(address, 128)
    }

    /// Whether an address begins so; never one of the other family.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.is_v4() == address.is_ipv4() && Prefix::new(address, self.length) == *self
    }

    /// Whether the two have an address in common.
    pub fn meets(&self, other: &Prefix) -> bool {
        self.contains(other.address) || other.contains(self.address)
    }

    /// Its first address.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Whether it is of IPv4.
    pub fn is_v4(&self) -> bool {
        self.address.is_ipv4()
    }
}

impl From<(IpAddr, u8)> for Prefix {
    fn from((address, length): (IpAddr, u8)) -> Prefix {
        Prefix::new(address, length)
    }
}

impl From<Prefix> for (IpAddr, u8) {
    fn from(prefix: Prefix) -> (IpAddr, u8) {
        (prefix.address, prefix.length)
    }
}

/// Of those that traffic is counted by.
impl From<crate::traffic::Prefix> for Prefix {
    fn from(prefix: crate::traffic::Prefix) -> Prefix {
        Prefix::new(prefix.address(), prefix.length())
    }
}

/// As the language writes it: an address alone if it is one.
impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.address, self.length) {
            (IpAddr::V4(address), 32) => write!(f, "{address}"),
            (IpAddr::V6(address), 128) => write!(f, "{address}"),
            (address, length) => write!(f, "{address}/{length}"),
        }
    }
}

/// What no mined statement may match, whatever the samples say: they can be forged.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Protected {
    /// Packets from these are in no statement.
    pub sources: Vec<Prefix>,
    /// The policy's own set that holds `sources`: statements name it and do not list them, also while it holds none, as it
    /// may change.
    pub set: Option<String>,
    /// There is no statement for a victim that meets one of these.
    pub victims: Vec<Prefix>,
}

impl Protected {
    /// Whether packets from an address are in no statement.
    pub fn holds(&self, source: IpAddr) -> bool {
        self.sources.iter().any(|prefix| prefix.contains(source))
    }

    /// The condition that leaves its sources out of what goes to a victim; `None` if none is of its families.
    pub(super) fn exclusion(&self, victim: &Destinations) -> Option<String> {
        if let Some(set) = &self.set {
            return Some(format!("not ip.src in {set}"));
        }
        let mut own: Vec<_> = self.sources.iter().filter(|prefix| victim.is_of(prefix.is_v4())).collect();
        own.sort();
        own.dedup();
        let list: Vec<_> = own.iter().map(|prefix| prefix.to_string()).collect();
        match list.as_slice() {
            [] => None,
            [one] => Some(format!("not ip.src == {one}")),
            many => Some(format!("not ip.src in {{ {} }}", many.join(", "))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str, length: u8) -> Prefix {
        Prefix::new(text.parse().unwrap(), length)
    }

    #[test]
    fn prefixes_hold_addresses_of_their_family() {
        assert!(prefix("192.0.2.7", 24).contains("192.0.2.255".parse().unwrap()));
        assert!(!prefix("0.0.0.0", 0).contains("::".parse().unwrap()));
        assert!(prefix("::", 0).contains("2001:db8::1".parse().unwrap()));
        assert!(prefix("10.0.0.0", 8).meets(&prefix("10.2.0.0", 16)));
        assert!(!prefix("10.0.0.0", 16).meets(&prefix("10.2.0.0", 16)));
    }

    #[test]
    fn they_print_as_the_language_writes_them() {
        assert_eq!(prefix("192.0.2.7", 24).to_string(), "192.0.2.0/24");
        assert_eq!(Prefix::host("2001:db8::1".parse().unwrap()).to_string(), "2001:db8::1");
    }

    #[test]
    fn the_exclusion_is_of_the_victims_families() {
        let both = Protected {
            sources: vec![prefix("192.0.2.1", 32), prefix("2001:db8::", 32)],
            ..Default::default()
        };
        let [four, six] = [prefix("10.0.0.1", 32), prefix("2001:db8:1::1", 128)];
        let service = Destinations::new(None, vec![four, six]);
        let [four, six] = [four, six].map(Destinations::from);
        assert_eq!(both.exclusion(&four).unwrap(), "not ip.src == 192.0.2.1");
        assert_eq!(both.exclusion(&six).unwrap(), "not ip.src == 2001:db8::/32");
        assert_eq!(both.exclusion(&service).unwrap(), "not ip.src in { 192.0.2.1, 2001:db8::/32 }");
        let named = Protected { set: Some("friends".into()), ..both };
        assert_eq!(named.exclusion(&four).unwrap(), "not ip.src in friends");
        assert_eq!(Protected::default().exclusion(&four), None);
    }
}

//! Prefixes of both families as one number and a length.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An address and how many of its first bits count; the others are 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

/// What is no prefix.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotAPrefix;

impl Prefix {
    /// The prefix of an address; a length that is longer than the address means all of it.
    pub fn new(address: IpAddr, length: u8) -> Prefix {
        let (span, most) = match address {
            IpAddr::V4(_) => (Span::of(address, 96 + length.min(32)), 32),
            IpAddr::V6(_) => (Span::of(address, length.min(128)), 128),
        };
        let address = match address {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from((span.key & 0xffff_ffff) as u32)),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from(span.key)),
        };
        Prefix { address, length: length.min(most) }
    }

    /// Its first address.
    pub fn address(self) -> IpAddr {
        self.address
    }

    /// How many bits count.
    pub fn length(self) -> u8 {
        self.length
    }

    pub(super) fn span(self) -> Span {
        match self.address {
            IpAddr::V4(_) => Span::of(self.address, 96 + self.length),
            IpAddr::V6(_) => Span::of(self.address, self.length),
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

impl fmt::Display for NotAPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected an address or `address/length`")
    }
}

impl std::error::Error for NotAPrefix {}

impl FromStr for Prefix {
    type Err = NotAPrefix;

    fn from_str(text: &str) -> Result<Prefix, NotAPrefix> {
        let (address, length) = text.split_once('/').unwrap_or((text, "128"));
        let address: IpAddr = address.parse().map_err(|_| NotAPrefix)?;
        let length: u8 = length.parse().map_err(|_| NotAPrefix)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        if text.contains('/') && length > most {
            return Err(NotAPrefix);
        }
        Ok(Prefix::new(address, length))
    }
}

impl TryFrom<String> for Prefix {
    type Error = NotAPrefix;

    fn try_from(text: String) -> Result<Prefix, NotAPrefix> {
        text.parse()
    }
}

impl From<Prefix> for String {
    fn from(prefix: Prefix) -> String {
        prefix.to_string()
    }
}

/// A prefix of the one space of 128 bits: IPv4 stands there as `::ffff:0:0/96` (RFC 4291, 2.5.5.2), which no frame
/// carries as IPv6.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Span {
    pub(super) key: u128,
    pub(super) length: u8,
}

impl Span {
    fn of(address: IpAddr, length: u8) -> Span {
        Span { key: masked(key(address), length), length }
    }

    pub(super) fn host(key: u128) -> Span {
        Span { key, length: 128 }
    }

    /// Whether all of these are in those.
    pub(super) fn are_in(spans: &[Span], outer: &[Span]) -> bool {
        spans.iter().all(|span| outer.iter().any(|outer| outer.holds(*span)))
    }

    pub(super) fn holds(self, other: Span) -> bool {
        self.length <= other.length && masked(other.key, self.length) == self.key
    }

    pub(super) fn meets(self, other: Span) -> bool {
        self.holds(other) || other.holds(self)
    }

    /// As a prefix of its own family.
    pub(super) fn prefix(self) -> Prefix {
        let address = address(self.key);
        Prefix::new(address, if address.is_ipv4() { self.length.saturating_sub(96) } else { self.length })
    }
}

pub(super) fn key(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(four) => four.to_ipv6_mapped().into(),
        IpAddr::V6(six) => six.into(),
    }
}

pub(super) fn address(key: u128) -> IpAddr {
    Ipv6Addr::from(key).to_canonical()
}

pub(super) fn is_ipv4(key: u128) -> bool {
    key >> 32 == 0xffff
}

pub(super) fn masked(key: u128, length: u8) -> u128 {
    match length {
        0 => 0,
        length => key & (u128::MAX << (128 - u32::from(length.min(128)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_print_as_they_are_read() {
        for text in ["10.1.2.0/24", "0.0.0.0/0", "2001:db8::/48", "::/0", "10.1.2.3/32"] {
            let prefix: Prefix = text.parse().unwrap();
            assert_eq!(prefix.to_string(), text);
            assert_eq!(prefix.span().prefix(), prefix, "{text}");
        }
        assert_eq!("10.1.2.3/24".parse::<Prefix>().unwrap().to_string(), "10.1.2.0/24");
        assert_eq!("10.1.2.3".parse::<Prefix>().unwrap().to_string(), "10.1.2.3/32");
        for bad in ["10.0.0.0/33", "::/129", "x", "10.0.0.0/", ""] {
            assert_eq!(bad.parse::<Prefix>(), Err(NotAPrefix), "{bad}");
        }
    }

    #[test]
    fn families_do_not_meet() {
        let four: Prefix = "0.0.0.0/0".parse().unwrap();
        let six: Prefix = "2001:db8::/32".parse().unwrap();
        assert!(!four.span().meets(six.span()));
    }
}

//! An address and the length of its network's prefix.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// `10.0.0.1/24`: the host's part is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

impl Prefix {
    /// All of IPv4.
    pub const ALL_V4: Prefix = Prefix { address: IpAddr::V4(Ipv4Addr::UNSPECIFIED), length: 0 };
    /// All of IPv6.
    pub const ALL_V6: Prefix = Prefix { address: IpAddr::V6(Ipv6Addr::UNSPECIFIED), length: 0 };

    /// An address and a length; one beyond the family's bits counts as all of them.
    pub fn new(address: impl Into<IpAddr>, length: u8) -> Prefix {
        let address = address.into();
        Prefix { address, length: length.min(bits(address)) }
    }

    /// The address.
    pub fn address(self) -> IpAddr {
        self.address
    }

    /// How many bits the network's part has.
    pub fn length(self) -> u8 {
        self.length
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

/// A text that is no address with a length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAPrefix(String);

impl fmt::Display for NotAPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not an address with a length such as `10.0.0.1/24`: `{}`", self.0)
    }
}

impl std::error::Error for NotAPrefix {}

impl FromStr for Prefix {
    type Err = NotAPrefix;

    fn from_str(text: &str) -> Result<Prefix, NotAPrefix> {
        let fail = || NotAPrefix(text.to_owned());
        let (address, length) = text.split_once('/').ok_or_else(fail)?;
        let address = address.parse::<IpAddr>().map_err(|_| fail())?;
        let length = length.parse().map_err(|_| fail())?;
        if length > bits(address) {
            return Err(fail());
        }
        Ok(Prefix { address, length })
    }
}

fn bits(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_and_parses_back() {
        for text in ["10.0.0.1/24", "0.0.0.0/0", "2001:db8::1/64"] {
            assert_eq!(text.parse::<Prefix>().expect("a prefix").to_string(), text);
        }
        for wrong in ["10.0.0.1", "10.0.0.1/33", "::/129", "x/3", "10.0.0.1/"] {
            assert!(wrong.parse::<Prefix>().is_err(), "{wrong}");
        }
    }
}

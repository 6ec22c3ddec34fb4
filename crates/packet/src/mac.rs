//! Ethernet addresses.

use std::fmt;
use std::str::FromStr;

/// An Ethernet address, in the order of the wire.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Everybody on the link.
    pub const BROADCAST: Mac = Mac([0xff; 6]);

    /// A unicast address of the locally administered range, for hosts that we make.
    pub const fn local(number: u32) -> Mac {
        let [a, b, c, d] = number.to_be_bytes();
        Mac([0x02, 0x00, a, b, c, d])
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// A text that is not six two-digit hexadecimal numbers with colons between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAMac(String);

impl fmt::Display for NotAMac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not an ethernet address such as `02:00:00:00:00:01`: `{}`", self.0)
    }
}

impl std::error::Error for NotAMac {}

impl FromStr for Mac {
    type Err = NotAMac;

    fn from_str(text: &str) -> Result<Mac, NotAMac> {
        let fail = || NotAMac(text.to_owned());
        let mut octets = [0; 6];
        let mut parts = text.split(':');
        for octet in &mut octets {
            let part = parts.next().filter(|part| part.len() == 2).ok_or_else(fail)?;
            if !part.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return Err(fail());
            }
            *octet = u8::from_str_radix(part, 16).map_err(|_| fail())?;
        }
        parts.next().map_or(Ok(Mac(octets)), |_| Err(fail()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_and_parses_back() {
        let mac = Mac([0x02, 0, 0xa, 0xff, 1, 2]);
        assert_eq!(mac.to_string().parse(), Ok(mac));
        for wrong in ["", "02:00:00:00:00", "02:00:00:00:00:01:02", "2:0:0:0:0:1", "+2:00:00:00:00:01"] {
            assert!(wrong.parse::<Mac>().is_err(), "{wrong}");
        }
    }
}

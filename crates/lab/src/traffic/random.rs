//! Random numbers that a seed names for ever.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use weir_packet::random::SplitMix;

/// What traffic is drawn from.
#[derive(Debug, Clone)]
pub struct Random(SplitMix);

impl Random {
    /// From a seed.
    pub fn new(seed: u64) -> Random {
        Random(SplitMix::new(seed))
    }

    /// 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0.bits()
    }

    /// From 0 to below `end`, or 0 if that is 0. The bias is below 2^-32 for what labs ask.
    pub fn below(&mut self, end: u32) -> u32 {
        ((u128::from(self.bits()) * u128::from(end)) >> 64) as u32
    }

    /// A port that clients use.
    pub fn port(&mut self) -> u16 {
        (32768 + self.below(28232)) as u16
    }

    /// A global unicast address of a family.
    pub fn address(&mut self, like: IpAddr) -> IpAddr {
        match like {
            IpAddr::V4(_) => self.ipv4().into(),
            IpAddr::V6(_) => self.ipv6().into(),
        }
    }

    /// From 1.0.0.0 to 223.255.255.255, without the blocks that a router drops by itself.
    fn ipv4(&mut self) -> Ipv4Addr {
        loop {
            let address = Ipv4Addr::from((self.bits() >> 32) as u32);
            let [first, second, ..] = address.octets();
            let special = matches!(
                (first, second),
                (0 | 10 | 127 | 224.., _) | (169, 254) | (172, 16..=31) | (192, 168)
            );
            if !special {
                return address;
            }
        }
    }

    /// In 2000::/3.
    fn ipv6(&mut self) -> Ipv6Addr {
        let high = u128::from(self.bits() >> 3 | 1 << 61) << 64;
        Ipv6Addr::from(high | u128::from(self.bits()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_global() {
        let mut random = Random::new(1);
        for _ in 0..10_000 {
            let IpAddr::V4(v4) = random.address(Ipv4Addr::UNSPECIFIED.into()) else { panic!("v4") };
            assert!(!v4.is_private() && !v4.is_loopback() && !v4.is_multicast(), "{v4}");
            let IpAddr::V6(v6) = random.address(Ipv6Addr::UNSPECIFIED.into()) else { panic!("v6") };
            assert_eq!(v6.segments()[0] >> 13, 1, "{v6}");
            assert!(random.below(7) < 7);
            assert!(random.port() >= 32768);
        }
    }
}

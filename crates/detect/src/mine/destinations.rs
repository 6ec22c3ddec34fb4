//! Whom an attack is for: an address, a prefix, or several of them that are one service.

use super::prefix::Prefix;
use crate::traffic::{Alert, Victim};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;

/// One prefix or several, of which none is in another; and what they are called together, if they are a service.
///
/// In formats that describe themselves, one prefix without a name is written as [`Prefix`] is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct Destinations {
    name: Option<String>,
    /// Rising.
    prefixes: Vec<Prefix>,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    One(Prefix),
    Service { name: Option<String>, prefixes: Vec<Prefix> },
}

impl Destinations {
    /// A service; or just some prefixes, without a name.
    pub fn new(name: Option<String>, mut prefixes: Vec<Prefix>) -> Destinations {
        prefixes.sort_unstable();
        // What holds another one stands before it.
        prefixes.dedup_by(|later, kept| kept.contains(later.address()));
        Destinations { name, prefixes }
    }

    /// Those that an alert is about.
    pub fn of(alert: &Alert) -> Destinations {
        let name = match &alert.victim {
            Victim::Service(name) => Some(name.clone()),
            Victim::Host(_) | Victim::Prefix(_) => None,
        };
        Destinations::new(name, alert.prefixes.iter().copied().map(Prefix::from).collect())
    }

    /// All of them, rising.
    pub fn prefixes(&self) -> &[Prefix] {
        &self.prefixes
    }

    /// Whether an address is one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        let behind = self.prefixes.partition_point(|prefix| prefix.address() <= address);
        behind > 0 && self.prefixes[behind - 1].contains(address)
    }

    /// Whether the two have an address in common.
    pub fn meets(&self, other: &Destinations) -> bool {
        self.prefixes.iter().any(|prefix| other.meets_prefix(prefix))
    }

    /// Whether a prefix has an address in common with them.
    pub fn meets_prefix(&self, prefix: &Prefix) -> bool {
        self.contains(prefix.address()) || self.prefixes.iter().any(|own| prefix.contains(own.address()))
    }

    /// Whether some are of a family: IPv4, or IPv6.
    pub fn is_of(&self, v4: bool) -> bool {
        self.prefixes.iter().any(|prefix| prefix.is_v4() == v4)
    }

    /// The condition that a packet goes to one of them.
    pub(super) fn condition(&self) -> String {
        match self.prefixes.as_slice() {
            [one] => format!("ip.dst == {one}"),
            _ => format!("ip.dst in {{ {} }}", self.list()),
        }
    }

    fn list(&self) -> String {
        let all: Vec<String> = self.prefixes.iter().map(Prefix::to_string).collect();
        all.join(", ")
    }
}

impl From<Prefix> for Destinations {
    fn from(prefix: Prefix) -> Destinations {
        Destinations { name: None, prefixes: vec![prefix] }
    }
}

impl From<Written> for Destinations {
    fn from(written: Written) -> Destinations {
        match written {
            Written::One(prefix) => prefix.into(),
            Written::Service { name, prefixes } => Destinations::new(name, prefixes),
        }
    }
}

impl From<Destinations> for Written {
    fn from(Destinations { name, prefixes }: Destinations) -> Written {
        match prefixes.as_slice() {
            [one] if name.is_none() => Written::One(*one),
            _ => Written::Service { name, prefixes },
        }
    }
}

/// A service's name, else the addresses.
impl fmt::Display for Destinations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => f.write_str(name),
            None => f.write_str(&self.list()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn destinations(name: Option<&str>, prefixes: &[(&str, u8)]) -> Destinations {
        let prefixes =
            prefixes.iter().map(|(address, length)| Prefix::new(address.parse().unwrap(), *length));
        Destinations::new(name.map(str::to_owned), prefixes.collect())
    }

    #[test]
    fn addresses_are_looked_up_among_all() {
        let all =
            [("2001:db8::", 64), ("192.0.2.9", 32), ("192.0.2.0", 29), ("192.0.2.1", 32), ("10.0.0.1", 32)];
        let web = destinations(Some("web"), &all);
        assert_eq!(web.condition(), "ip.dst in { 10.0.0.1, 192.0.2.0/29, 192.0.2.9, 2001:db8::/64 }");
        for (address, is_in) in [
            ("10.0.0.1", true),
            ("10.0.0.0", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("192.0.2.9", true),
            ("2001:db8::7", true),
            ("2001:db8:1::", false),
            ("::", false),
            ("255.255.255.255", false),
        ] {
            assert_eq!(web.contains(address.parse().unwrap()), is_in, "{address}");
        }
        assert!(web.meets(&destinations(None, &[("192.0.2.0", 24)])));
        assert!(destinations(None, &[("192.0.2.0", 24)]).meets(&web));
        assert!(!web.meets(&destinations(None, &[("192.0.2.16", 28), ("10.0.0.2", 32)])));
        assert!(web.is_of(true) && web.is_of(false));
    }

    #[test]
    fn one_prefix_is_written_as_before_there_were_services() {
        let old = "[\"192.0.2.1\",32]";
        let host = destinations(None, &[("192.0.2.1", 32)]);
        assert_eq!(serde_json::to_string(&host).unwrap(), old);
        assert_eq!(serde_json::from_str::<Destinations>(old).unwrap(), host);
        assert_eq!(host.to_string(), "192.0.2.1");
        for web in [
            destinations(Some("web"), &[("192.0.2.1", 32)]),
            destinations(Some("web"), &[("192.0.2.1", 32), ("2001:db8::", 64)]),
            destinations(None, &[("192.0.2.1", 32), ("192.0.2.3", 32)]),
        ] {
            let json = serde_json::to_string(&web).unwrap();
            assert_eq!(serde_json::from_str::<Destinations>(&json).unwrap(), web, "{json}");
        }
    }
}

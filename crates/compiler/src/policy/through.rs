//! Checks that go to a backend as a service's packets do.

use super::Via;
use std::net::IpAddr;

/// The way of a `balance`, which the probes of its pool's check take.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Through {
    /// The name of the statement.
    pub statement: String,
    /// How its packets get to backends.
    pub via: Via,
    /// The service's address, of IPv4 and of IPv6: one of them at least.
    pub services: [Option<IpAddr>; 2],
}

impl Through {
    /// What a backend is asked at: the service's address of its own family, where there is one.
    pub fn service(&self, backend: IpAddr) -> Option<IpAddr> {
        let [four, six] = self.services;
        if backend.is_ipv6() { six.or(four) } else { four.or(six) }
    }
}

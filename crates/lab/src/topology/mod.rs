//! What a lab shall be: hosts, links, addresses, routes. Plain data, checked before anything is made.

mod prefix;

use std::collections::BTreeSet;
use std::net::IpAddr;

use weir_packet::Mac;

pub use prefix::{NotAPrefix, Prefix};

use crate::{Lab, LabError};

/// Hosts and the links between them.
#[derive(Debug, Clone, Default)]
pub struct Topology {
    pub(crate) hosts: Vec<HostSpec>,
    pub(crate) links: Vec<Link>,
}

/// A host to be.
#[derive(Debug, Clone)]
pub struct HostSpec {
    pub(crate) name: String,
    pub(crate) forwards: bool,
    pub(crate) routes: Vec<(Prefix, IpAddr)>,
}

/// A cable to be: a veth pair.
#[derive(Debug, Clone)]
pub struct Link {
    pub(crate) ends: [End; 2],
    pub(crate) static_neighbours: bool,
}

/// One end of a link: an interface of a host.
#[derive(Debug, Clone)]
pub struct End {
    pub(crate) host: String,
    pub(crate) interface: String,
    pub(crate) mac: Option<Mac>,
    pub(crate) addresses: Vec<Prefix>,
    pub(crate) mtu: u32,
    pub(crate) queues: u32,
    pub(crate) tx_checksum: bool,
    pub(crate) gro: bool,
}

impl Topology {
    /// Without hosts.
    pub fn new() -> Topology {
        Topology::default()
    }

    /// Adds a host.
    #[must_use]
    pub fn host(mut self, host: HostSpec) -> Topology {
        self.hosts.push(host);
        self
    }

    /// Adds a link between two hosts.
    #[must_use]
    pub fn link(mut self, link: Link) -> Topology {
        self.links.push(link);
        self
    }

    /// Removes what dead processes left, then makes all of it, up and ready to send.
    ///
    /// # Errors
    /// When names clash or are unknown, or the kernel refuses (most often for lack of root). What
    /// was made until then is removed.
    pub fn build(&self) -> Result<Lab, LabError> {
        self.check()?;
        Lab::build(self)
    }

    /// What [`Topology::build`] would refuse without asking the kernel.
    ///
    /// # Errors
    /// The first name, or Ethernet address, that is wrong.
    pub fn check(&self) -> Result<(), LabError> {
        let mut hosts = BTreeSet::new();
        for host in &self.hosts {
            check_name(&host.name)?;
            if !hosts.insert(host.name.as_str()) {
                return Err(LabError::DuplicateHost(host.name.clone()));
            }
        }
        let (mut interfaces, mut macs) = (BTreeSet::new(), BTreeSet::new());
        for end in self.ends() {
            check_name(&end.interface)?;
            if !hosts.contains(end.host.as_str()) {
                return Err(LabError::UnknownHost(end.host.clone()));
            }
            // The loopback is there already.
            if end.interface == "lo" || !interfaces.insert((&end.host, &end.interface)) {
                let (host, interface) = (end.host.clone(), end.interface.clone());
                return Err(LabError::DuplicateInterface { host, interface });
            }
            if let Some(mac) = end.mac.filter(|mac| !macs.insert(*mac)) {
                return Err(LabError::DuplicateMac(mac));
            }
        }
        Ok(())
    }

    pub(crate) fn ends(&self) -> impl Iterator<Item = &End> {
        self.links.iter().flat_map(|link| &link.ends)
    }
}

impl HostSpec {
    /// A host that forwards nothing.
    pub fn new(name: impl Into<String>) -> HostSpec {
        HostSpec { name: name.into(), forwards: false, routes: Vec::new() }
    }

    /// Lets it forward between its interfaces, both families, by the kernel's routing.
    #[must_use]
    pub fn forwarding(mut self) -> HostSpec {
        self.forwards = true;
        self
    }

    /// Adds a route by a next hop; both must be of one family.
    #[must_use]
    pub fn route(mut self, to: Prefix, via: impl Into<IpAddr>) -> HostSpec {
        self.routes.push((to, via.into()));
        self
    }
}

impl Link {
    /// A cable between two interfaces. Each end knows the other's addresses, so that no ARP and
    /// neighbour discovery mixes with what is counted.
    pub fn new(one: End, other: End) -> Link {
        Link { ends: [one, other], static_neighbours: true }
    }

    /// Lets the ends find each other by ARP and neighbour discovery.
    #[must_use]
    pub fn with_discovery(mut self) -> Link {
        self.static_neighbours = false;
        self
    }
}

impl End {
    /// An interface with an MTU of 1500, without addresses; the lab chooses its Ethernet address.
    ///
    /// GRO is on, because veth takes frames that a program redirects only with GRO or a native
    /// program on the receiving end. Checksum offload is off, because what a local stack sends
    /// over veth would otherwise carry no checksum, and a receiver behind a redirect drops that.
    pub fn new(host: impl Into<String>, interface: impl Into<String>) -> End {
        End {
            host: host.into(),
            interface: interface.into(),
            mac: None,
            addresses: Vec::new(),
            mtu: 1500,
            queues: 1,
            tx_checksum: false,
            gro: true,
        }
    }

    /// Adds an address.
    #[must_use]
    pub fn address(mut self, address: Prefix) -> End {
        self.addresses.push(address);
        self
    }

    /// Sets the Ethernet address.
    #[must_use]
    pub fn mac(mut self, mac: Mac) -> End {
        self.mac = Some(mac);
        self
    }

    /// Sets the MTU. Above 3506, a program needs `xdp.frags` to attach natively.
    #[must_use]
    pub fn mtu(mut self, mtu: u32) -> End {
        self.mtu = mtu;
        self
    }

    /// Sets the number of queues in each direction.
    #[must_use]
    pub fn queues(mut self, queues: u32) -> End {
        self.queues = queues;
        self
    }

    /// Leaves checksums to the receiver: fast TCP through the stack, wrong behind redirects.
    #[must_use]
    pub fn with_checksum_offload(mut self) -> End {
        self.tx_checksum = true;
        self
    }

    /// Turns GRO off: frames are handed on one by one, and redirects to here need a native program.
    #[must_use]
    pub fn without_gro(mut self) -> End {
        self.gro = false;
        self
    }
}

fn check_name(name: &str) -> Result<(), LabError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let dots = name.bytes().all(|byte| byte == b'.');
    if name.is_empty() || name.len() > 15 || dots || !name.bytes().all(allowed) {
        return Err(LabError::BadName(name.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two(one: End, other: End) -> Result<(), String> {
        let hosts = Topology::new().host(HostSpec::new("a")).host(HostSpec::new("b"));
        hosts.link(Link::new(one, other)).check().map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_wrong_is_said_before_anything_is_made() {
        assert_eq!(two(End::new("a", "eth0"), End::new("b", "eth0")), Ok(()));
        let say = |result: Result<(), String>| result.expect_err("refused");
        assert_eq!(
            say(two(End::new("a", "eth0"), End::new("c", "eth0"))),
            "the topology has no host `c`: add it before its links"
        );
        assert_eq!(
            say(two(End::new("a", "eth0"), End::new("a", "eth0"))),
            "host `a` has two interfaces `eth0`: rename one end"
        );
        assert_eq!(
            say(two(End::new("a", "a-name-too-long-for-it"), End::new("b", "eth0"))),
            "`a-name-too-long-for-it` is not a name: use 1 to 15 letters, digits, `-`, `_` or `.`"
        );
        let mac = Mac::local(9);
        assert_eq!(
            say(two(End::new("a", "eth0").mac(mac), End::new("b", "eth0").mac(mac))),
            "two ends have the address 02:00:00:00:00:09: leave out one, the lab will choose it"
        );
    }
}

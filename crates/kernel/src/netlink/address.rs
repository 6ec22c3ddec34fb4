use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage, AddressScope};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::Netlink;
use super::link::quoted;
use crate::KernelError;

/// A route to add.
#[derive(Clone, Copy, Debug)]
pub struct Route<'a> {
    /// The prefix's address; unspecified with length 0 for the default route.
    pub to: IpAddr,
    /// The prefix's length in bits.
    pub prefix_len: u8,
    /// The next hop; nothing for what is on the link.
    pub via: Option<IpAddr>,
    /// The interface, if not the next hop's.
    pub interface: Option<&'a str>,
}

/// How the host would send to an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// It is on a link.
    Link,
    /// By a router.
    Router,
    /// It is one of the host's own.
    Here,
    /// There is none, or one that says so: unreachable, prohibited, a black hole.
    None,
}

/// A route to one address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Found {
    /// How it leads there.
    pub way: Way,
    /// The index of the interface by which packets leave.
    pub interface: Option<u32>,
}

/// What routes that lead nowhere say, and those that are not there.
fn is_no_route(error: &KernelError) -> bool {
    let number = error.source.raw_os_error();
    matches!(number, Some(libc::ENETUNREACH | libc::EHOSTUNREACH | libc::EACCES | libc::EINVAL))
}

impl Netlink {
    /// Adds an address; IPv6 ones without duplicate detection, so that they work at once.
    pub fn add_address(&mut self, name: &str, address: IpAddr, prefix_len: u8) -> Result<(), KernelError> {
        let mut message = AddressMessage::default();
        message.header.family = family(address);
        message.header.prefix_len = prefix_len;
        message.header.scope = AddressScope::Universe;
        message.header.index = self.link(name)?.index;
        if address.is_ipv6() {
            message.header.flags = AddressHeaderFlags::Nodad;
        }
        message.attributes = vec![AddressAttribute::Address(address), AddressAttribute::Local(address)];
        let about = format!("{address}/{prefix_len} to `{name}`");
        let message = RouteNetlinkMessage::NewAddress(message);
        self.request("add address", &about, message, NLM_F_CREATE | NLM_F_EXCL).map(drop)
    }

    /// The addresses of an interface with their prefix lengths.
    pub fn addresses(&mut self, name: &str) -> Result<Vec<(IpAddr, u8)>, KernelError> {
        let index = self.link(name)?.index;
        let message = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        let answers = self.dump("list addresses of", &quoted(name), message)?;
        Ok(answers.iter().filter_map(|answer| address_on(answer, index)).collect())
    }

    /// Sets a permanent neighbour.
    pub fn add_neighbour(&mut self, name: &str, address: IpAddr, mac: [u8; 6]) -> Result<(), KernelError> {
        let mut message = NeighbourMessage::default();
        message.header.family = family(address);
        message.header.ifindex = self.link(name)?.index;
        message.header.state = NeighbourState::Permanent;
        message.header.kind = RouteType::Unicast;
        message.attributes = vec![
            NeighbourAttribute::Destination(match address {
                IpAddr::V4(address) => NeighbourAddress::Inet(address),
                IpAddr::V6(address) => NeighbourAddress::Inet6(address),
            }),
            NeighbourAttribute::LinkLayerAddress(mac.to_vec()),
        ];
        let about = format!("{address} on `{name}`");
        let message = RouteNetlinkMessage::NewNeighbour(message);
        self.request("add neighbour", &about, message, NLM_F_CREATE | NLM_F_REPLACE).map(drop)
    }

    /// Adds a route to the main table.
    pub fn add_route(&mut self, route: &Route<'_>) -> Result<(), KernelError> {
        let mut message = RouteMessage::default();
        message.header.address_family = family(route.to);
        message.header.destination_prefix_length = route.prefix_len;
        message.header.table = RouteHeader::RT_TABLE_MAIN;
        message.header.protocol = RouteProtocol::Static;
        message.header.kind = RouteType::Unicast;
        message.header.scope = if route.via.is_some() { RouteScope::Universe } else { RouteScope::Link };
        if route.prefix_len > 0 {
            message.attributes.push(RouteAttribute::Destination(RouteAddress::from(route.to)));
        }
        if let Some(via) = route.via {
            message.attributes.push(RouteAttribute::Gateway(RouteAddress::from(via)));
        }
        if let Some(interface) = route.interface {
            message.attributes.push(RouteAttribute::Oif(self.link(interface)?.index));
        }
        let about = format!("to {}/{}", route.to, route.prefix_len);
        let message = RouteNetlinkMessage::NewRoute(message);
        self.request("add route", &about, message, NLM_F_CREATE | NLM_F_EXCL).map(drop)
    }

    /// How the host itself would send a packet to an address.
    pub fn way_to(&mut self, to: IpAddr) -> Result<Way, KernelError> {
        self.route_to(to).map(|found| found.way)
    }

    /// The route of a packet to an address that the host itself would send.
    pub fn route_to(&mut self, to: IpAddr) -> Result<Found, KernelError> {
        let mut message = RouteMessage::default();
        message.header.address_family = family(to);
        message.header.destination_prefix_length = if to.is_ipv6() { 128 } else { 32 };
        message.attributes.push(RouteAttribute::Destination(RouteAddress::from(to)));
        let message = RouteNetlinkMessage::GetRoute(message);
        let answers = match self.request("find the route to", &to.to_string(), message, 0) {
            Err(error) if is_no_route(&error) => return Ok(Found { way: Way::None, interface: None }),
            answers => answers?,
        };
        let route = answers.iter().find_map(|answer| match answer {
            RouteNetlinkMessage::NewRoute(route) => Some(route),
            _ => None,
        });
        let router = |route: &RouteMessage| {
            route
                .attributes
                .iter()
                .any(|attribute| matches!(attribute, RouteAttribute::Gateway(_) | RouteAttribute::Via(_)))
        };
        let interface = route.and_then(|route| {
            route.attributes.iter().find_map(|attribute| match attribute {
                RouteAttribute::Oif(index) => Some(*index),
                _ => None,
            })
        });
        let way = match route.map(|route| (route.header.kind, router(route))) {
            Some((RouteType::Unicast, true)) => Way::Router,
            Some((RouteType::Unicast, false)) => Way::Link,
            Some((RouteType::Local, _)) => Way::Here,
            _ => Way::None,
        };
        Ok(Found { way, interface })
    }
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv6() { AddressFamily::Inet6 } else { AddressFamily::Inet }
}

fn address_on(answer: &RouteNetlinkMessage, index: u32) -> Option<(IpAddr, u8)> {
    let RouteNetlinkMessage::NewAddress(message) = answer else {
        return None;
    };
    if message.header.index != index {
        return None;
    }
    // Point-to-point links have their own address in `Local`; IPv6 has only `Address`.
    let local = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    let address = local.or_else(|| {
        message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        })
    });
    Some((address?, message.header.prefix_len))
}

//! Topologies to start from.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{End, HostSpec, Lab, LabError, Link, Prefix, Topology};

/// An address for services that the client routes by the edge and no server has by itself.
pub const SERVICE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);

/// `client – edge – server1 … serverN`; the edge forwards by the kernel's routing.
///
/// | host | interface | addresses |
/// |---|---|---|
/// | `client` | `eth0` | `10.1.0.2/24`, `2001:db8:1::2/64` |
/// | `edge` | `clients` | `10.1.0.1/24`, `2001:db8:1::1/64` |
/// | `edge` | `server1` … | `10.2.1.1/24` …, `2001:db8:2:1::1/64` … |
/// | `server1` … | `eth0` | `10.2.1.2/24` …, `2001:db8:2:1::2/64` … |
///
/// At least one server, and at most 250, are made.
pub fn edge(servers: u8) -> Topology {
    let clients = Link::new(
        end("client", "eth0", [10, 1, 0, 2], [1, 0]),
        end("edge", "clients", [10, 1, 0, 1], [1, 0]),
    );
    let mut topology = Topology::new()
        .host(by_the_edge("client", [10, 1, 0, 1], [1, 0]))
        .host(HostSpec::new("edge").forwarding())
        .link(clients);
    for number in 1..=servers.clamp(1, 250) {
        let name = format!("server{number}");
        let net = [2, u16::from(number)];
        topology = topology.host(by_the_edge(&name, [10, 2, number, 1], net)).link(Link::new(
            end("edge", &name, [10, 2, number, 1], net),
            end(&name, "eth0", [10, 2, number, 2], net),
        ));
    }
    topology
}

/// Builds [`edge`].
///
/// # Errors
/// As [`Topology::build`].
pub fn edge_lab(servers: u8) -> Result<Lab, LabError> {
    edge(servers).build()
}

/// The IPv6 address has the last byte of the IPv4 one.
fn end(host: &str, interface: &str, v4: [u8; 4], net: [u16; 2]) -> End {
    End::new(host, interface).address(Prefix::new(v4, 24)).address(Prefix::new(v6(net, v4[3]), 64))
}

fn by_the_edge(name: &str, v4: [u8; 4], net: [u16; 2]) -> HostSpec {
    HostSpec::new(name).route(Prefix::ALL_V4, v4).route(Prefix::ALL_V6, v6(net, v4[3]))
}

fn v6(net: [u16; 2], host: u8) -> IpAddr {
    Ipv6Addr::new(0x2001, 0x0db8, net[0], net[1], 0, 0, 0, u16::from(host)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_is_a_topology() {
        for servers in [0, 1, 3, 255] {
            edge(servers).check().expect("a topology");
        }
    }
}

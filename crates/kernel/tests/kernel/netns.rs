use std::net::IpAddr;

use weir_kernel::netlink::{Netlink, Route};
use weir_kernel::netns::{self, Namespace, OwnedNamespace};
use weir_kernel::offload::{self, Offload};
use weir_kernel::sysctl;

use crate::support::{Wire, require_kernel, unique};

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn a_namespace_goes_with_its_guard_also_after_a_panic() {
    require_kernel!();
    let name = unique("weir-n");
    let caught = std::panic::catch_unwind(|| {
        let namespace = OwnedNamespace::create(&name).unwrap();
        assert!(netns::list().unwrap().contains(&name));
        namespace.run(|| panic!("inside")).unwrap();
    });
    assert!(caught.is_err());
    assert!(!netns::list().unwrap().contains(&name));
    assert!(Namespace::named(&name).unwrap_err().is_missing());
}

#[test]
fn inside_there_is_only_loopback_and_bpffs_stays_in_sight() {
    require_kernel!();
    let mount = weir_kernel::pins::ensure_bpffs().unwrap();
    let namespace = OwnedNamespace::create(&unique("weir-n")).unwrap();
    let links = namespace.run(|| Netlink::open().unwrap().links().unwrap()).unwrap();
    assert!(links.iter().any(|link| link.name == "lo" && link.up));
    assert!(namespace.run(|| weir_kernel::pins::is_bpffs(&mount)).unwrap());
    let found = Namespace::find(&std::process::id().to_string()).unwrap();
    assert!(!found.run(netns_inode).unwrap().is_empty());
    assert_ne!(found.run(netns_inode).unwrap(), namespace.run(netns_inode).unwrap());
}

fn netns_inode() -> String {
    std::fs::read_link("/proc/thread-self/ns/net").unwrap().display().to_string()
}

#[test]
fn a_name_that_is_taken_is_an_error() {
    require_kernel!();
    let namespace = OwnedNamespace::create(&unique("weir-n")).unwrap();
    let error = OwnedNamespace::create(namespace.name()).unwrap_err();
    assert!(error.to_string().contains("file exists"), "{error}");
    assert!(OwnedNamespace::create("a/b").is_err());
}

#[test]
fn links_addresses_neighbours_and_routes() {
    require_kernel!();
    let wire = Wire::new();
    let mut netlink = Netlink::open_in(&wire.left).unwrap();
    netlink.set_mtu("left", 1400).unwrap();
    netlink.set_mac("left", [2, 0, 0, 0, 0, 9]).unwrap();
    netlink.add_address("left", address("10.9.0.1"), 24).unwrap();
    netlink.add_address("left", address("fd00::1"), 64).unwrap();
    netlink.add_neighbour("left", address("10.9.0.2"), [2, 0, 0, 0, 0, 8]).unwrap();
    let route =
        Route { to: address("0.0.0.0"), prefix_len: 0, via: Some(address("10.9.0.2")), interface: None };
    netlink.add_route(&route).unwrap();
    let link = netlink.link("left").unwrap();
    assert_eq!((link.mtu, link.mac, link.kind.as_deref()), (1400, Some([2, 0, 0, 0, 0, 9]), Some("veth")));
    assert!(link.up && link.peer.is_some());
    let addresses = netlink.addresses("left").unwrap();
    assert!(addresses.contains(&(address("10.9.0.1"), 24)));
    assert!(addresses.contains(&(address("fd00::1"), 64)));
    let again = netlink.add_address("left", address("10.9.0.1"), 24).unwrap_err();
    assert!(
        again.to_string().starts_with("cannot add address 10.9.0.1/24 to `left`: file exists"),
        "{again}"
    );
    netlink.set_down("left").unwrap();
    netlink.delete_link("left").unwrap();
    assert!(netlink.link("left").unwrap_err().is_missing());
    assert!(Netlink::open_in(&wire.right).unwrap().link("right").is_err());
}

#[test]
fn packets_cross_the_wire() {
    require_kernel!();
    let wire = Wire::new();
    for (namespace, name, ip) in [(&wire.left, "left", "10.9.0.1"), (&wire.right, "right", "10.9.0.2")] {
        let mut netlink = Netlink::open_in(namespace).unwrap();
        netlink.add_address(name, address(ip), 24).unwrap();
    }
    let socket = wire.right.run(|| std::net::UdpSocket::bind("10.9.0.2:5000").unwrap()).unwrap();
    socket.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
    wire.left
        .run(|| {
            let sender = std::net::UdpSocket::bind("10.9.0.1:0").unwrap();
            sender.send_to(b"hello", "10.9.0.2:5000").unwrap();
        })
        .unwrap();
    let mut buffer = [0; 16];
    let (length, from) = socket.recv_from(&mut buffer).unwrap();
    assert_eq!((&buffer[..length], from.ip()), (&b"hello"[..], address("10.9.0.1")));
}

#[test]
fn switches_of_interfaces_and_namespaces() {
    require_kernel!();
    let wire = Wire::new();
    wire.at_left(|left| {
        assert_eq!(offload::driver(&left.name).unwrap(), "veth");
        offload::set_offload("left", Offload::TxChecksum, false).unwrap();
        assert!(!offload::offload("left", Offload::TxChecksum).unwrap());
        offload::set_offload("left", Offload::Gro, true).unwrap();
        assert!(offload::offload("left", Offload::Gro).unwrap());
        sysctl::set_forwarding(true).unwrap();
        assert_eq!(sysctl::read("net.ipv4.ip_forward").unwrap(), "1");
        sysctl::set_rp_filter("left", 0).unwrap();
        sysctl::set_ipv6("left", false).unwrap();
        assert!(offload::driver("nothing").unwrap_err().is_missing());
    });
    // What was set inside stays inside.
    assert_eq!(wire.right.run(|| sysctl::read("net.ipv4.ip_forward").unwrap()).unwrap(), "0");
}

//! Probes that would not get there, and the program that carries them, which changes nothing for others.

use super::{CHECK, Checked, HTTP, WAIT, lead_to_the_client};
use crate::kills::{kill_after, start};
use crate::support::require_kernel;
use crate::vias::{Balanced, FROM, SERVERS, SERVICES};
use nix::sys::socket::{setsockopt, sockopt};
use std::net::UdpSocket;
use std::time::{Duration, Instant};
use weir_kernel::attach::{Hook, occupants};
use weir_kernel::netlink::{Interface, Netlink, Route};
use weir_lab::service::HttpServer;

/// What keeps a probe from getting there is no failure of a backend.
#[test]
fn a_probe_that_would_not_get_there_is_not_made() {
    require_kernel!();
    let lab = Balanced::routed();
    let edge = lab.load(&lab.policy(1..=SERVERS, false, false, "l2", CHECK));
    let mut checked = Checked::unserved(lab, &edge);
    checked.until_told("no route to the service's address");
    assert_eq!(checked.states().0, ["up"; 3]);

    // The next turn knows of the route.
    lead_to_the_client(&checked.lab);
    checked.until("nobody serves", ["down"; 3]);
}

#[test]
fn an_edge_with_the_services_address_does_not_ask_itself() {
    require_kernel!();
    let lab = Balanced::routed();
    lead_to_the_client(&lab);
    let add = || Netlink::open()?.add_address("lo", SERVICES[0], 32);
    lab.host("edge").run(add).expect("the namespace").expect("an address");
    let _itself = HttpServer::start(lab.host("edge"), (SERVICES[0], HTTP).into()).expect("a server");
    let edge = lab.load(&lab.policy(1..=SERVERS, false, false, "l2", CHECK));
    let mut checked = Checked::unserved(lab, &edge);
    checked.until_told("the service's address is here");
    assert_eq!(checked.states().0, ["up"; 3]);
}

#[test]
fn a_fixed_next_hop_is_where_the_policy_is() {
    require_kernel!();
    let lab = Balanced::routed();
    let via = lab.address(3, false);
    let add = || {
        let route = Route { to: SERVICES[0], prefix_len: 32, via: Some(via), interface: None };
        Netlink::open()?.add_route(&route)
    };
    lab.host("edge").run(add).expect("the namespace").expect("a route");
    let gateway = format!("    gateway 02:00:00:00:00:01\n{CHECK}");
    let edge = lab.load(&lab.policy(1..=SERVERS, false, false, "l2", &gateway));
    let mut checked = Checked::unserved(lab, &edge);
    checked.until_told("its next hop is elsewhere");
    assert_eq!(checked.states().0, ["up"; 3]);
}

/// Whoever checks and is killed leaves nothing where packets of others go by.
#[test]
fn a_kill_leaves_no_program_behind() {
    require_kernel!();
    let mut lab = Balanced::routed();
    lab.take_tunnels_off();
    lead_to_the_client(&lab);
    let edge = lab.load(&lab.policy(1..=SERVERS, false, false, &format!("ipip {FROM}"), CHECK));
    let child = start(edge.name(), &format!("pools in {}", lab.host("edge").namespace().label()));
    let begun = Instant::now();
    while on_the_way_out(&lab).is_empty() {
        assert!(begun.elapsed() < WAIT, "the helper checks nothing");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(on_the_way_out(&lab), ["weir_probes"]);
    // It lets the packets of others by, with whatever mark, but for one of its own.
    for (mark, goes) in [(0, true), (0x5600_0000, true), (0x5701_0000, true), (0x5700_ffff, false)] {
        assert_eq!(gets_out(&lab, mark), goes, "{mark:#x}");
    }
    kill_after(child, Duration::from_millis(200));
    let begun = Instant::now();
    while !on_the_way_out(&lab).is_empty() {
        assert!(begun.elapsed() < WAIT, "it stays");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(gets_out(&lab, 0x5700_ffff));
}

/// The names of the programs that packets meet on their way to clients.
fn on_the_way_out(lab: &Balanced) -> Vec<String> {
    let look = || occupants(&Interface::named("clients")?);
    let occupants = lab.host("edge").run(look).expect("the namespace").expect("occupants");
    let out = occupants.into_iter().filter(|occupant| occupant.hook == Hook::TcEgress);
    out.map(|occupant| occupant.program_name).collect()
}

/// Whether a datagram with a mark comes to the client.
fn gets_out(lab: &Balanced, mark: u32) -> bool {
    let client = lab.host("client");
    let address = client.interface("eth0").expect("there").ipv4().expect("an address");
    let bind = || UdpSocket::bind((address, 0)).expect("a socket");
    let socket = client.run(bind).expect("the namespace");
    socket.set_read_timeout(Some(Duration::from_millis(300))).expect("a timeout");
    let to = socket.local_addr().expect("an address");
    let send = || {
        let from = UdpSocket::bind("0.0.0.0:0").expect("a socket");
        setsockopt(&from, sockopt::Mark, &mark).expect("a mark");
        from.send_to(b"others", to).expect("sent");
    };
    lab.host("edge").run(send).expect("the namespace");
    socket.recv(&mut [0; 16]).is_ok()
}

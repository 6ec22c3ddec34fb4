//! Checks that go the way of a service's packets: what breaks that way takes backends down, though they answer at their own addresses.

use crate::support::{require_kernel, require_tools};
use crate::vias::{Balanced, FROM, SERVERS, SERVICES};
use std::net::IpAddr;
use std::process::Command;
use std::time::{Duration, Instant};
use weir_dataplane::{Instance, Keeper, LivePool};
use weir_kernel::netlink::{Netlink, Route};
use weir_lab::service::HttpServer;

const HTTP: u16 = 80;
/// A period, as the checks have it, and how many failures take a backend down.
const EVERY: Duration = Duration::from_millis(100);
const FALL: u32 = 3;
const CHECK: &str = "    check http \"/\" through web port 80 every 100ms timeout 80ms fall 3 rise 2\n";
const WAIT: Duration = Duration::from_secs(10);
/// How long what is well may be looked at.
const WHILE: Duration = Duration::from_secs(1);

/// An edge whose pool is kept, with servers of the service, and of the same port at their own addresses.
struct Checked {
    lab: Balanced,
    instance: Instance,
    pool: LivePool,
    keeper: Keeper,
    /// At the service's address, and at the servers' own.
    servers: Vec<HttpServer>,
    own: Vec<HttpServer>,
}

impl Checked {
    fn start(lab: Balanced, text: &str, service: IpAddr) -> Checked {
        lead_to_the_client(&lab);
        let serve = |number: u8, address: IpAddr| {
            HttpServer::start(lab.server(number), (address, HTTP).into()).expect("a server")
        };
        let servers = (1..=SERVERS).map(|number| serve(number, service)).collect();
        let both = |number: u8| [false, true].map(|six| serve(number, lab.address(number, six)));
        let own = (1..=SERVERS).flat_map(both).collect();
        let instance = lab.load(text);
        let pool = instance.pool("web").expect("the pool");
        let start = || Keeper::start(instance.clone());
        let keeper = lab.host("edge").run(start).expect("the namespace").expect("a keeper");
        Checked { lab, instance, pool, keeper, servers, own }
    }

    /// Turns until the backends are so, and for how long that took.
    fn until(&mut self, what: &str, wanted: [&str; SERVERS as usize]) -> Duration {
        let start = Instant::now();
        loop {
            self.keeper.turn().expect("keeps");
            let (states, reasons) = self.states();
            if states == wanted {
                return start.elapsed();
            }
            assert!(start.elapsed() < WAIT, "{what}: {states:?}, {reasons:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Nothing changes for a while.
    fn stays(&mut self, what: &str, wanted: [&str; SERVERS as usize]) {
        let start = Instant::now();
        while start.elapsed() < WHILE {
            self.keeper.turn().expect("keeps");
            let (states, reasons) = self.states();
            assert_eq!(states, wanted, "{what}: {reasons:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn states(&self) -> (Vec<&'static str>, Vec<String>) {
        let backends = self.pool.status().expect("status").backends;
        backends.into_iter().map(|backend| (backend.state, backend.reason)).unzip()
    }
}

/// As at any edge, a default route leads to where clients are.
fn lead_to_the_client(lab: &Balanced) {
    let client = lab.host("client").interface("eth0").expect("there");
    let ways = [client.ipv4().expect("an address"), client.ipv6().expect("an address")];
    let add = || {
        let mut netlink = Netlink::open()?;
        ways.iter().try_for_each(|way| {
            let any: IpAddr = if way.is_ipv6() { [0; 16].into() } else { [0; 4].into() };
            netlink.add_route(&Route { to: any, prefix_len: 0, via: Some(*way), interface: None })
        })
    };
    lab.host("edge").run(add).expect("the namespace").expect("routes");
}

/// `ip addr add` or `del` of a service's address at a server.
fn address(lab: &Balanced, number: u8, verb: &str, service: IpAddr) {
    let whole = format!("{service}/{}", if service.is_ipv6() { 128 } else { 32 });
    let run = || Command::new("ip").args(["addr", verb, &whole, "dev", "lo"]).status();
    let status = lab.server(number).run(run).expect("the namespace").expect("ip");
    assert!(status.success(), "{verb} {whole}: {status}");
}

/// Probes reach the service by a tunnel, and fail with it.
fn a_tunnel_is_checked(via: &str, six: bool, macs: bool) {
    let mut lab = Balanced::routed();
    lab.take_tunnels_off();
    let text = lab.policy(1..=SERVERS, six, macs, via, CHECK);
    the_way_is_checked(lab, &text, SERVICES[usize::from(six)], true);
}

fn the_way_is_checked(lab: Balanced, text: &str, service: IpAddr, tunnel: bool) {
    // Each backend falls once only: from the second time on it would have to be well for long.
    let mut checked = Checked::start(lab, text, service);
    checked.stays("all serve", ["up"; 3]);
    for server in &checked.servers {
        assert!(server.requests() > 4, "{}: {} requests", server.address(), server.requests());
    }
    for server in &checked.own {
        assert_eq!(server.requests(), 0, "{}", server.address());
    }
    checked.lab.nothing_was_damaged();

    address(&checked.lab, 3, "del", service);
    let took = checked.until("the service's address is gone", ["up", "up", "down"]);
    assert!(took < EVERY * (FALL + 2) + WHILE / 2, "{took:?}");
    address(&checked.lab, 3, "add", service);
    checked.until("the service's address is back", ["up"; 3]);

    if tunnel {
        checked.lab.leave_tunnels_on(2);
        let took = checked.until("tunnels are left on", ["up", "down", "up"]);
        assert!(took < EVERY * (FALL + 2) + WHILE / 2, "{took:?}");
        checked.lab.take_tunnels_off_at(2);
        checked.until("tunnels are taken off", ["up"; 3]);
    }
}

#[test]
fn a_check_goes_to_the_services_address_by_its_mac_address() {
    require_kernel!();
    require_tools!("ip");
    for six in [false, true] {
        let lab = Balanced::routed();
        let text = lab.policy(1..=SERVERS, six, false, "l2", CHECK);
        the_way_is_checked(lab, &text, SERVICES[usize::from(six)], false);
    }
}

#[test]
fn a_check_goes_in_ipv4() {
    require_kernel!();
    require_tools!("ip");
    a_tunnel_is_checked(&format!("ipip {FROM}"), false, false);
}

#[test]
fn a_check_goes_in_ipv6() {
    require_kernel!();
    require_tools!("ip");
    a_tunnel_is_checked(&format!("ipip {FROM}"), true, false);
}

#[test]
fn a_check_of_ipv4_goes_in_ipv6_where_the_service_is_of_ipv4() {
    require_kernel!();
    require_tools!("ip");
    let mut lab = Balanced::routed();
    lab.take_tunnels_off();
    let text = lab.policy(1..=SERVERS, true, false, &format!("ipip {FROM}"), CHECK);
    let [four, six] = SERVICES;
    let text = text.replace(&format!("in {{ {four}, {six} }}"), &format!("== {four}"));
    the_way_is_checked(lab, &text, four, true);
}

#[test]
fn a_check_goes_in_gue() {
    require_kernel!();
    require_tools!("ip");
    a_tunnel_is_checked(&format!("gue {FROM}"), false, false);
    a_tunnel_is_checked(&format!("gue {FROM}"), true, false);
}

#[test]
fn a_check_goes_in_vxlan() {
    require_kernel!();
    require_tools!("ip");
    a_tunnel_is_checked(&format!("vxlan id 7 {FROM}"), false, true);
    a_tunnel_is_checked(&format!("vxlan id 0xabcdef {FROM}"), true, true);
}

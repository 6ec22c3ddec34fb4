//! Checks that go the way of a service's packets: what breaks that way takes backends down, though they answer at their own addresses.

mod hindered;
mod wire;

use crate::support::{packets, require_kernel, require_tools, say};
use crate::vias::{Balanced, FROM, SERVERS, SERVICES};
use std::net::IpAddr;
use std::process::Command;
use std::time::{Duration, Instant};
use weir_dataplane::{Instance, Keeper, LivePool, Policy, Request};
use weir_kernel::netlink::{Netlink, Route};
use weir_lab::service::{EchoServer, HttpServer};

const HTTP: u16 = 80;
/// A period, as the checks have it, and how many failures take a backend down.
const EVERY: Duration = Duration::from_millis(200);
const FALL: u32 = 3;
const CHECK: &str = "    check http \"/\" through web port 80 every 200ms timeout 180ms fall 3 rise 2\n";
const WAIT: Duration = Duration::from_secs(10);
/// How long what is well may be looked at.
const WHILE: Duration = Duration::from_millis(1500);

/// An edge whose pool is kept, with servers of the service, and of the same port at their own addresses.
struct Checked {
    lab: Balanced,
    pool: LivePool,
    keeper: Keeper,
    /// At the service's address, and at the servers' own.
    servers: Vec<HttpServer>,
    own: Vec<HttpServer>,
}

impl Checked {
    fn start(lab: Balanced, text: &str, service: IpAddr) -> Checked {
        let serve = |number: u8, address: IpAddr| {
            HttpServer::start(lab.server(number), (address, HTTP).into()).expect("a server")
        };
        let servers = (1..=SERVERS).map(|number| serve(number, service)).collect();
        let both = |number: u8| [false, true].map(|six| serve(number, lab.address(number, six)));
        let own = (1..=SERVERS).flat_map(both).collect();
        let instance = lab.load(text);
        Checked { servers, own, ..Checked::unserved(lab, &instance) }
    }

    /// An instance that runs in the lab, where nobody serves.
    fn unserved(lab: Balanced, instance: &Instance) -> Checked {
        let pool = instance.pool("web").expect("the pool");
        let start = || Keeper::start(instance.clone());
        let keeper = lab.host("edge").run(start).expect("the namespace").expect("a keeper");
        Checked { lab, pool, keeper, servers: Vec::new(), own: Vec::new() }
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

    /// Turns until each server was asked several times.
    fn until_asked(&mut self) {
        let start = Instant::now();
        while !self.servers.iter().all(|server| server.requests() > 2) {
            assert!(start.elapsed() < WAIT, "{:?}", self.states());
            self.keep();
        }
    }

    /// Whatever happens.
    fn keep(&mut self) {
        let start = Instant::now();
        while start.elapsed() < WHILE {
            self.keeper.turn().expect("keeps");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Turns until all backends are told of so.
    fn until_told(&mut self, reason: &str) {
        let start = Instant::now();
        while !self.states().1.iter().all(|told| told.ends_with(reason)) {
            self.keeper.turn().expect("keeps");
            assert!(start.elapsed() < WAIT, "{:?}", self.states());
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
    lead_to_the_client(&lab);
    let text = lab.policy(1..=SERVERS, six, macs, via, CHECK);
    the_way_is_checked(lab, &text, SERVICES[usize::from(six)], true);
}

fn the_way_is_checked(lab: Balanced, text: &str, service: IpAddr, tunnel: bool) {
    // Each backend falls once only: from the second time on it would have to be well for long.
    let mut checked = Checked::start(lab, text, service);
    checked.stays("all serve", ["up"; 3]);
    checked.until_asked();
    for server in &checked.own {
        assert_eq!(server.requests(), 0, "{}", server.address());
    }
    // Where a probe's connection is gone, the edge's stack resets what still comes of it without a mark: by the route, to clients.
    checked.lab.nothing_was_damaged_but_at(&["edge", "router", "client"]);

    address(&checked.lab, 3, "del", service);
    let took = checked.until("the service's address is gone", ["up", "up", "down"]);
    say(&format!("down after {took:?}, of {:?} that failures take", EVERY * FALL));
    address(&checked.lab, 3, "add", service);
    checked.until("the service's address is back", ["up"; 3]);

    if tunnel {
        checked.lab.leave_tunnels_on(2);
        checked.until("tunnels are left on", ["up", "down", "up"]);
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
        lead_to_the_client(&lab);
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
    lead_to_the_client(&lab);
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

/// Where all leaves by a fixed next hop, on the interface by which it came.
#[test]
fn a_check_goes_by_the_gateway_of_an_edge_on_one_arm() {
    require_kernel!();
    require_tools!("ip");
    let mut lab = Balanced::on_one_arm();
    lab.take_tunnels_off();
    let gateway = format!("    gateway {}\n", lab.host("edge").interface("eth0").expect("there").peer);
    let text = lab.policy(1..=SERVERS, false, false, &format!("gue {FROM}"), &(gateway + CHECK));
    the_way_is_checked(lab, &text, SERVICES[0], true);
}

/// Answers come in where the policy is, and it lets them by.
#[test]
fn answers_pass_where_the_policy_is() {
    require_kernel!();
    let mut lab = Balanced::routed();
    lab.take_tunnels_off();
    lead_to_the_client(&lab);
    let text = lab.policy(1..=SERVERS, false, false, &format!("ipip {FROM}"), CHECK);
    let edge = lab.load_everywhere(&text);
    let servers: Vec<HttpServer> = (1..=SERVERS)
        .map(|number| HttpServer::start(lab.server(number), (SERVICES[0], HTTP).into()).expect("a server"))
        .collect();
    let mut checked = Checked::unserved(lab, &edge);
    checked.stays("all serve", ["up"; 3]);
    assert!(servers.iter().all(|server| server.requests() > 4));
    assert_eq!(packets(&edge, "web"), 0, "answers are no packets of the service");
}

/// The kernel cuts what is longer than a segment behind the program, and writes what it wrote before each piece.
#[test]
fn long_questions_are_cut_as_they_must_be() {
    require_kernel!();
    let check = CHECK.replace("\"/\"", &format!("\"/?{}\"", "long".repeat(1500)));
    for (via, six, macs) in every_via() {
        let mut lab = Balanced::routed();
        lab.take_tunnels_off();
        lead_to_the_client(&lab);
        let text = lab.policy(1..=SERVERS, six, macs, &via, &check);
        let mut checked = Checked::start(lab, &text, SERVICES[usize::from(six)]);
        checked.stays(&via, ["up"; 3]);
        checked.until_asked();
        checked.lab.nothing_was_damaged_but_at(&["edge", "router", "client"]);
    }
}

/// Every way, over IPv4 and IPv6, and whether it needs MAC addresses.
fn every_via() -> Vec<(String, bool, bool)> {
    let ways = [("l2", false), ("ipip", false), ("gue", false), ("vxlan id 7", true)];
    let each = |(via, macs): (&str, bool)| {
        let via = if via == "l2" { via.to_owned() } else { format!("{via} {FROM}") };
        [false, true].map(|six| (via.clone(), six, macs))
    };
    ways.into_iter().flat_map(each).collect()
}

/// What others have at the same place could end the way of a probe, or let it out as it is. A reset may: the kernel
/// answers so what comes when a probe has ended, and such an answer is of no socket, so it has no mark.
#[test]
fn probes_meet_their_program_before_others() {
    require_kernel!();
    let mut lab = Balanced::routed();
    lab.take_tunnels_off();
    lead_to_the_client(&lab);
    let name = format!("through-{}", std::process::id());
    let load = || {
        let request = Request::new(
            Policy::new("out.weir", "drop web when tcp.dstport == 80 and not tcp.flags.reset"),
            &["clients"],
        );
        Instance::load(&Request { instance: &name, hook: weir_dataplane::Hook::TcEgress, ..request })
    };
    let (out, _) =
        lab.host("edge").run(load).expect("the namespace").unwrap_or_else(|error| panic!("{error}"));
    let text = lab.policy(1..=SERVERS, false, false, &format!("ipip {FROM}"), CHECK);
    let mut checked = Checked::start(lab, &text, SERVICES[0]);
    checked.stays("all serve", ["up"; 3]);
    let dropped = packets(&out, "web");
    out.unload().expect("unloads");
    assert_eq!(dropped, 0);
}

/// A reload says by which way it goes from then on, and nothing is held against a backend meanwhile.
#[test]
fn a_check_follows_reloads() {
    require_kernel!();
    let mut lab = Balanced::routed();
    lab.take_tunnels_off();
    lead_to_the_client(&lab);
    let text =
        |via: &str, check: &str| lab.policy(1..=SERVERS, false, false, &format!("{via} {FROM}"), check);
    let direct = text("ipip", &CHECK.replace("through web", ""));
    let reloads = [text("gue", CHECK), text("ipip", CHECK), direct];
    let mut edge = lab.load(&text("ipip", CHECK));
    let serve = |number: u8, address| {
        HttpServer::start(lab.server(number), (address, HTTP).into()).expect("a server")
    };
    let servers: Vec<HttpServer> = (1..=SERVERS).map(|number| serve(number, SERVICES[0])).collect();
    let own: Vec<HttpServer> =
        (1..=SERVERS).map(|number| serve(number, lab.address(number, false))).collect();
    let asked = |servers: &[HttpServer]| servers.iter().map(HttpServer::requests).collect::<Vec<_>>();
    let mut checked = Checked::unserved(lab, &edge);
    checked.stays("all serve", ["up"; 3]);
    for (nth, text) in reloads.iter().enumerate() {
        edge.reload(&Policy::new("edge.weir", text)).expect("reloads");
        // The keeper looks for reloads once a second.
        checked.stays("a reload", ["up"; 3]);
        let before = [asked(&servers), asked(&own)];
        checked.stays(text, ["up"; 3]);
        let after = [asked(&servers), asked(&own)];
        let more = [0, 1].map(|which| before[which].iter().zip(&after[which]).all(|(old, new)| new > old));
        assert_eq!(more, [nth < 2, nth == 2], "{before:?}, {after:?}: {text}");
    }
}

#[test]
fn datagrams_go_through_as_well() {
    require_kernel!();
    let mut lab = Balanced::routed();
    lab.take_tunnels_off();
    lead_to_the_client(&lab);
    let check = CHECK.replace("http \"/\"", "udp \"ping\" expect \"ping\"");
    let edge = lab.load(&lab.policy(1..=SERVERS, false, false, &format!("gue {FROM}"), &check));
    let start = |number| EchoServer::start(lab.server(number), (SERVICES[0], HTTP).into()).expect("a server");
    let servers = [start(1), start(2)];
    let mut checked = Checked::unserved(lab, &edge);
    checked.until("the third serves nothing", ["up", "up", "down"]);
    let start = Instant::now();
    while !servers.iter().all(|server| server.echoed() > 2) {
        assert!(start.elapsed() < WAIT, "{:?}", checked.states());
        checked.keep();
    }
}

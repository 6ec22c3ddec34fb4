//! Checks that go the way of a service's packets: what breaks that way takes backends down, though they answer at their own addresses.

use crate::kills::{kill_after, start};
use crate::support::{packets, require_kernel, require_tools};
use crate::vias::{Balanced, FROM, SERVERS, SERVICES};
use nix::sys::socket::{setsockopt, sockopt};
use std::collections::BTreeSet;
use std::net::{IpAddr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use weir_dataplane::{Instance, Keeper, LivePool, Policy, Request};
use weir_kernel::attach::{Hook, occupants};
use weir_kernel::netlink::{Interface, Netlink, Route};
use weir_lab::Host;
use weir_lab::program::{Program, Scratch};
use weir_lab::service::{EchoServer, HttpLoad, HttpServer};
use weir_lab::wire::Tap;

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

/// What others have at the same place could end the way of a probe, or let it out as it is.
#[test]
fn probes_meet_their_program_before_others() {
    require_kernel!();
    let mut lab = Balanced::routed();
    lab.take_tunnels_off();
    lead_to_the_client(&lab);
    let name = format!("through-{}", std::process::id());
    let load = || {
        let request = Request::new(Policy::new("out.weir", "drop web when tcp.dstport == 80"), &["clients"]);
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
    assert!(servers.iter().all(|server| server.echoed() > 2));
}

/// What keeps a probe from getting there is no failure of a backend.
#[test]
fn a_probe_that_would_not_get_there_is_not_made() {
    require_kernel!();
    require_tools!("ip");
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

/// Asked of every frame. A list has a value for each header, the outermost first.
const FIELDS: [&str; 13] = [
    "ip.src",
    "ipv6.src",
    "_ws.malformed",
    "ip.checksum.status",
    "tcp.checksum.status",
    "eth.src",
    "eth.dst",
    "ip.dst",
    "ipv6.dst",
    "ip.ttl",
    "ip.flags.df",
    "udp.dstport",
    "vxlan.vni",
];
/// From here on probes and traffic agree.
const ALIKE: usize = 5;
const OPTIONS: [&str; 3] = ["ip.check_checksum:TRUE", "tcp.check_checksum:TRUE", "udp.check_checksum:FALSE"];

/// On the wire a probe is to a backend what traffic is, and Wireshark finds nothing wrong with it.
#[test]
fn probes_are_as_traffic_is() {
    require_kernel!();
    require_tools!("tshark");
    for (via, six, macs) in [
        ("l2".to_owned(), false, false),
        (format!("ipip {FROM}"), false, false),
        (format!("ipip {FROM}"), true, false),
        (format!("gue {FROM}"), false, false),
        (format!("vxlan id 7 {FROM}"), false, true),
        (format!("vxlan id 7 {FROM}"), true, true),
    ] {
        let mut lab = Balanced::routed();
        lab.take_tunnels_off();
        lead_to_the_client(&lab);
        let text = lab.policy(1..=SERVERS, six, macs, &via, CHECK);
        let service = SERVICES[usize::from(six)];
        let mut checked = Checked::start(lab, &text, service);
        let scratch = Scratch::create().expect("a directory");
        let file = scratch.path().join("frames.pcapng");
        if via != "l2" {
            checked.lab.leave_tunnels_on(1);
        }
        let tap = Tap::start(checked.lab.server(1), "eth0", &file).expect("a tap");
        let load =
            HttpLoad { rate: 100, ..HttpLoad::new((service, HTTP).into(), Duration::from_millis(300)) };
        load.run(checked.lab.host("client")).expect("a client");
        checked.keep();
        tap.stop().expect("a capture");

        let edge = checked.lab.host("edge").interface("clients").expect("there");
        let own = if six { edge.ipv6() } else { edge.ipv4() }.expect("an address").to_string();
        let frames = to_the_service(&file, checked.lab.host("edge"));
        let bad = frames
            .iter()
            .find(|frame| !frame[2].is_empty() || frame[3].contains('0') || frame[4].contains('0'));
        assert_eq!(bad, None, "via {via}");
        let is_probe = |frame: &&Vec<String>| frame[usize::from(six)].split(',').any(|source| source == own);
        let (probes, traffic): (Vec<_>, Vec<_>) = frames.iter().partition(is_probe);
        let alike = |frames: &[&Vec<String>]| {
            frames.iter().map(|frame| frame[ALIKE..].join(" ")).collect::<BTreeSet<_>>()
        };
        assert!(probes.len() > 4 && !traffic.is_empty(), "via {via}: {} and {}", probes.len(), traffic.len());
        assert_eq!(alike(&probes), alike(&traffic), "via {via}");
    }
}

/// What tshark says of the frames on their way to a server. Wireshark does not know variant 1 of GUE, so it is told what is in it.
fn to_the_service(file: &Path, host: &Host) -> Vec<Vec<String>> {
    let file = file.display().to_string();
    let mut command = vec!["tshark", "-n", "-r", &file, "-d", "udp.port==6080,ip", "-T", "fields"];
    command.extend(["-Y", "tcp.dstport == 80 && !icmp && !icmpv6"]);
    command.extend(OPTIONS.iter().flat_map(|option| ["-o", option]));
    command.extend(FIELDS.iter().flat_map(|field| ["-e", field]));
    let told = Program::run(host, &command, Duration::from_secs(60)).expect("tshark");
    let lines = told.lines().filter(|line| line.contains('\t'));
    lines.map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

//! Every way to backends, with real services behind it: an edge that balances, and servers whose own instances take tunnels off.

use crate::damage;
use crate::support::{packets, require_kernel};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use weir_dataplane::{Error, Instance, Policy, Request};
use weir_kernel::netlink::Netlink;
use weir_lab::ready::edge_lab;
use weir_lab::service::{EchoLoad, EchoServer, HttpLoad, HttpServer};
use weir_lab::{End, Host, HostSpec, Lab, Link, Prefix, Topology};

pub(crate) const SERVERS: u8 = 3;
/// The service's addresses, which every server has on its loopback.
pub(crate) const SERVICES: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(203, 0, 113, 10)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0x99, 0, 0, 0, 0, 0x10)),
];
const HTTP: u16 = 80;
const ECHO: u16 = 7;
const SINK: u16 = 9;
/// What is sent up to find out how long packets may be.
const UPLOAD: usize = 200_000;
const WAIT: Duration = Duration::from_secs(10);
pub(crate) const FROM: &str = "from (192.0.2.0/24, 2001:db8:ff::/64)";

/// A client, an edge and servers.
pub(crate) struct Balanced {
    pub(crate) lab: Lab,
    /// The edge's interface to clients.
    interface: &'static str,
    name: String,
    /// One at each server that takes tunnels off.
    servers: Vec<Instance>,
}

impl Balanced {
    /// Servers are behind the edge: routes lead to them.
    pub(crate) fn routed() -> Balanced {
        let balanced = Balanced::new(edge_lab(SERVERS).expect("a lab"), "clients");
        balanced.take_what_comes_back("client", "eth0");
        balanced
    }

    /// The edge has one interface, to a router that leads to clients and servers.
    pub(crate) fn on_one_arm() -> Balanced {
        let end = |host: &str, name: &str, net: u8, host_part: u8| {
            let six = Ipv6Addr::new(0x2001, 0xdb8, 10, u16::from(net), 0, 0, 0, u16::from(host_part));
            let four = Prefix::new([10, net, 0, host_part], 24);
            End::new(host, name).address(four).address(Prefix::new(six, 64))
        };
        let edge = |spec: HostSpec| {
            let [four, six] = SERVICES;
            let own = Ipv6Addr::new(0x2001, 0xdb8, 10, 2, 0, 0, 0, 2);
            spec.route(Prefix::new(four, 32), [10, 2, 0, 2]).route(Prefix::new(six, 128), own)
        };
        let by_router = |name: &str, net: u8| {
            let router = Ipv6Addr::new(0x2001, 0xdb8, 10, u16::from(net), 0, 0, 0, 1);
            HostSpec::new(name).route(Prefix::ALL_V4, [10, net, 0, 1]).route(Prefix::ALL_V6, router)
        };
        let mut topology = Topology::new()
            .host(edge(HostSpec::new("router").forwarding()))
            .host(by_router("client", 1))
            .host(by_router("edge", 2))
            .link(Link::new(end("client", "eth0", 1, 2), end("router", "clients", 1, 1)))
            .link(Link::new(end("edge", "eth0", 2, 2), end("router", "edge", 2, 1)));
        for number in 1..=SERVERS {
            let (name, net) = (server(number), 10 + number);
            topology = topology
                .host(by_router(&name, net))
                .link(Link::new(end(&name, "eth0", net, 2), end("router", &name, net, 1)));
        }
        let balanced = Balanced::new(topology.build().expect("a lab"), "eth0");
        balanced.take_what_comes_back("router", "edge");
        balanced
    }

    fn new(lab: Lab, interface: &'static str) -> Balanced {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("vias-{}-{number}", std::process::id());
        let balanced = Balanced { lab, interface, name, servers: Vec::new() };
        for number in 1..=SERVERS {
            let add = || {
                let mut netlink = Netlink::open()?;
                SERVICES.iter().try_for_each(|service| netlink.add_address("lo", *service, whole(*service)))
            };
            balanced.server(number).run(add).expect("the namespace").expect("the addresses");
        }
        balanced
    }

    pub(crate) fn host(&self, name: &str) -> &Host {
        self.lab.host(name).expect("there")
    }

    pub(crate) fn server(&self, number: u8) -> &Host {
        self.host(&server(number))
    }

    /// Lets fragments that fill the client's link pass to servers with a header before them, though nobody fragments those again;
    /// and keeps what servers send as short as the client's link wants it.
    fn leave_room_for_headers(&self) {
        const LONGER: u32 = 1600;
        for number in 1..=SERVERS {
            let name = server(number);
            let set = |host: &str, interface: &str| {
                self.host(host).run(|| Netlink::open()?.set_mtu(interface, LONGER)).expect("the namespace")
            };
            set("edge", &name).and_then(|()| set(&name, "eth0")).expect("an MTU");
            let own = || std::fs::write("/proc/sys/net/ipv6/conf/eth0/mtu", "1500");
            self.server(number).run(own).expect("the namespace").expect("an MTU of IPv6");
        }
    }

    /// Lets every server take off what comes in tunnels for the service.
    pub(crate) fn take_tunnels_off(&mut self) {
        for number in 1..=SERVERS {
            let loaded = self.take_tunnels_off_at(number);
            self.servers.push(loaded);
        }
    }

    pub(crate) fn take_tunnels_off_at(&self, number: u8) -> Instance {
        let [four, six] = SERVICES;
        let text = format!("decap tunnel when inner.ip.dst in {{ {four}, {six} }}");
        let load = || {
            let request = Request::new(Policy::new("server.weir", &text), &["eth0"]);
            Instance::load(&Request { instance: &instance_of(&self.name, number), ..request })
        };
        let loaded = self.server(number).run(load).expect("the namespace");
        loaded.unwrap_or_else(|error| panic!("{error}")).0
    }

    /// From now on a server does not know tunnels.
    pub(crate) fn leave_tunnels_on(&self, number: u8) {
        weir_dataplane::unload(&instance_of(&self.name, number)).expect("unloads");
    }

    /// Puts a program on the other end of the edge's interface: only then does veth hand on what the edge sends back by it.
    fn take_what_comes_back(&self, host: &str, interface: &str) {
        let load = || {
            let request = Request::new(Policy::new("peer.weir", "count all"), &[interface]);
            Instance::load(&Request { instance: &peer_of(&self.name), ..request })
        };
        self.host(host).run(load).expect("the namespace").unwrap_or_else(|error| panic!("{error}"));
    }

    /// A pool of servers, by their addresses of a family, and what sends all for the service to it.
    pub(crate) fn policy(
        &self,
        servers: std::ops::RangeInclusive<u8>,
        six: bool,
        macs: bool,
        via: &str,
        more: &str,
    ) -> String {
        let backend = |number: u8| {
            let eth0 = self.server(number).interface("eth0").expect("there");
            let address = self.address(number, six);
            let mac = if macs { format!(" mac {}", eth0.mac) } else { String::new() };
            format!("    {address}{mac}\n")
        };
        let [four, other] = SERVICES;
        format!(
            "pool web {{\n{}{more}}}\nbalance web when ip.dst in {{ {four}, {other} }} to web via {via}\n",
            servers.map(backend).collect::<String>()
        )
    }

    /// The same with translation, for each family by itself, to the servers' own addresses and this port.
    pub(crate) fn translating(&self, port: u16) -> String {
        let family = |six: bool| {
            let backends: String = (1..=SERVERS)
                .map(|number| format!("    {}\n", SocketAddr::new(self.address(number, six), port)))
                .collect();
            let (name, service) = if six { ("six", SERVICES[1]) } else { ("four", SERVICES[0]) };
            let from = if six { "2001:db8:ff::" } else { "192.0.2.1" };
            format!(
                "pool {name} {{\n{backends}}}\nbalance {name} when ip.dst == {service} to {name} via nat from {from}\n"
            )
        };
        family(false) + &family(true)
    }

    /// A server's own address.
    pub(crate) fn address(&self, number: u8, six: bool) -> IpAddr {
        let eth0 = self.server(number).interface("eth0").expect("there");
        if six { eth0.ipv6() } else { eth0.ipv4() }.expect("an address")
    }

    pub(crate) fn load(&self, text: &str) -> Instance {
        self.load_on(text, &[self.interface])
    }

    /// At the interfaces to servers as well, where answers come in.
    pub(crate) fn load_everywhere(&self, text: &str) -> Instance {
        let servers: Vec<String> = (1..=SERVERS).map(server).collect();
        let all: Vec<&str> = [self.interface].into_iter().chain(servers.iter().map(String::as_str)).collect();
        self.load_on(text, &all)
    }

    fn load_on(&self, text: &str, interfaces: &[&str]) -> Instance {
        let load = || {
            let request = Request::new(Policy::new("edge.weir", text), interfaces);
            Instance::load(&Request { instance: &self.name, ..request })
        };
        let loaded = self.host("edge").run(load).expect("the namespace");
        loaded.unwrap_or_else(|error| panic!("{error}\n{text}")).0
    }

    /// Requests to both addresses of the service are all answered, by all servers.
    fn requests_are_answered(&self) {
        for service in SERVICES {
            let start = |number| HttpServer::start(self.server(number), (service, HTTP).into());
            let servers: Vec<HttpServer> =
                (1..=SERVERS).map(|number| start(number).expect("a server")).collect();
            let load =
                HttpLoad { rate: 300, ..HttpLoad::new((service, HTTP).into(), Duration::from_millis(400)) };
            let report = load.run(self.host("client")).expect("a client");
            assert_eq!((report.ok, report.missed), (report.requests, 0), "{service}: {:?}", report.failed);
            let by: BTreeSet<&str> = report.answers.keys().map(String::as_str).collect();
            assert_eq!(by, BTreeSet::from(["server1", "server2", "server3"]), "{service}");
            drop(servers);
        }
    }

    /// What is longer than fits gets through as well, because its sender is told.
    fn uploads_get_through(&self, edge: &Instance) {
        for service in SERVICES {
            let sink = |number| Sink::start(self.server(number), (service, SINK).into());
            let _sinks: Vec<Sink> = (1..=SERVERS).map(sink).collect();
            let upload = || -> std::io::Result<u64> {
                let mut stream = TcpStream::connect_timeout(&(service, SINK).into(), WAIT)?;
                stream.set_read_timeout(Some(WAIT))?;
                stream.set_write_timeout(Some(WAIT))?;
                stream.write_all(&vec![b'u'; UPLOAD])?;
                stream.shutdown(Shutdown::Write)?;
                let mut taken = [0; 8];
                stream.read_exact(&mut taken)?;
                Ok(u64::from_be_bytes(taken))
            };
            let taken = self.host("client").run(upload).expect("the namespace");
            let counters = || edge.counters();
            assert_eq!(taken.ok(), Some(UPLOAD as u64), "{service}: {:?}", counters());
        }
    }

    /// Datagrams in fragments come back whole, from several servers.
    fn datagrams_in_fragments_are_answered(&self) {
        const FLOWS: usize = 12;
        for service in SERVICES {
            let start = |number| EchoServer::start(self.server(number), (service, ECHO).into());
            let servers: Vec<EchoServer> =
                (1..=SERVERS).map(|number| start(number).expect("a server")).collect();
            let (rate, duration) = (200, Duration::from_millis(50));
            let load = EchoLoad { server: (service, ECHO).into(), rate, len: 4000, duration };
            for flow in 0..FLOWS {
                let report = load.run(self.host("client")).expect("a client");
                let whole = report.sent > 0 && report.refused == 0 && report.answered == report.sent;
                assert!(whole, "{service}, flow {flow}: {report:?}");
            }
            let used = servers.iter().filter(|server| server.echoed() > 0).count();
            assert!(used >= 2, "{service}: {used} servers of {FLOWS} flows");
        }
    }

    /// What the edge sent in tunnels came out of them, packet by packet.
    pub(crate) fn all_tunnels_arrived(&self, edge: &Instance) {
        std::thread::sleep(Duration::from_millis(100));
        let counters = edge.counters().expect("counters");
        let web = counters.iter().find(|counter| counter.name == "web").expect("there");
        let unsent = web.unsent.expect("a balance");
        assert!(unsent.long > 0, "no packet was too long: {unsent:?}");
        assert_eq!((unsent.nobody, unsent.damaged, unsent.unreachable), (0, 0, 0));
        let came: u64 = self.servers.iter().map(|server| packets(server, "tunnel")).sum();
        assert_eq!(came, web.packets - unsent.long);
    }

    /// No stack where packets end found anything wrong.
    pub(crate) fn nothing_was_damaged(&self) {
        self.nothing_was_damaged_but_at(&["edge", "router"]);
    }

    /// The same, of fewer hosts.
    pub(crate) fn nothing_was_damaged_but_at(&self, but: &[&str]) {
        for host in self.lab.hosts().iter().filter(|host| !but.contains(&host.name())) {
            assert_eq!(damage::at(host), Vec::<String>::new(), "{}", host.name());
        }
    }
}

impl Drop for Balanced {
    fn drop(&mut self) {
        let _ = weir_dataplane::unload(&self.name);
        let _ = weir_dataplane::unload(&peer_of(&self.name));
        for number in 1..=SERVERS {
            let _ = weir_dataplane::unload(&instance_of(&self.name, number));
        }
    }
}

fn server(number: u8) -> String {
    format!("server{number}")
}

fn peer_of(edge: &str) -> String {
    format!("{edge}-peer")
}

fn instance_of(edge: &str, number: u8) -> String {
    format!("{edge}-{number}")
}

/// The length of an address as a prefix.
fn whole(address: IpAddr) -> u8 {
    if address.is_ipv6() { 128 } else { 32 }
}

/// Reads each connection to its end, then says how much that was.
struct Sink(Arc<AtomicBool>);

impl Sink {
    fn start(host: &Host, address: SocketAddr) -> Sink {
        let listener = host.run(|| TcpListener::bind(address)).expect("the namespace").expect("a listener");
        listener.set_nonblocking(true).expect("a listener that does not wait");
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        std::thread::spawn(move || {
            while !asked.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((stream, _)) => drop(take(stream)),
                    Err(_) => std::thread::sleep(Duration::from_millis(2)),
                }
            }
        });
        Sink(stop)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn take(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(WAIT))?;
    let taken = std::io::copy(&mut stream, &mut std::io::sink())?;
    stream.write_all(&taken.to_be_bytes())
}

/// Services behind a tunnel of one kind, to servers that routes lead to.
fn a_tunnel_works(via: &str, six: bool, macs: bool) {
    let mut lab = Balanced::routed();
    lab.take_tunnels_off();
    let edge = lab.load(&lab.policy(1..=SERVERS, six, macs, via, ""));
    lab.requests_are_answered();
    lab.uploads_get_through(&edge);
    lab.all_tunnels_arrived(&edge);
    lab.nothing_was_damaged();
}

#[test]
fn services_are_reached_as_they_are() {
    require_kernel!();
    let lab = Balanced::routed();
    let edge = lab.load(&lab.policy(1..=SERVERS, false, false, "l2", ""));
    lab.requests_are_answered();
    lab.uploads_get_through(&edge);
    lab.datagrams_in_fragments_are_answered();
    lab.nothing_was_damaged();
}

#[test]
fn services_are_reached_in_ipv4() {
    require_kernel!();
    a_tunnel_works(&format!("ipip {FROM}"), false, false);
}

#[test]
fn services_are_reached_in_ipv6() {
    require_kernel!();
    a_tunnel_works(&format!("ipip {FROM}"), true, false);
}

#[test]
fn services_are_reached_in_gue_over_ipv4() {
    require_kernel!();
    a_tunnel_works(&format!("gue {FROM}"), false, false);
}

#[test]
fn services_are_reached_in_gue_over_ipv6() {
    require_kernel!();
    a_tunnel_works(&format!("gue {FROM}"), true, false);
}

#[test]
fn services_are_reached_in_vxlan_over_ipv4() {
    require_kernel!();
    a_tunnel_works(&format!("vxlan id 7 {FROM}"), false, true);
}

#[test]
fn services_are_reached_in_vxlan_over_ipv6() {
    require_kernel!();
    a_tunnel_works(&format!("vxlan id 0xabcdef {FROM}"), true, true);
}

#[test]
fn fragments_meet_behind_a_tunnel() {
    require_kernel!();
    let mut lab = Balanced::routed();
    lab.leave_room_for_headers();
    lab.take_tunnels_off();
    for (six, name) in [(false, "IPv4"), (true, "IPv6")] {
        let edge = lab.load(&lab.policy(1..=SERVERS, six, false, &format!("ipip {FROM}"), ""));
        lab.datagrams_in_fragments_are_answered();
        let unsent = edge.counters().expect("counters")[0].unsent;
        assert_eq!(unsent, Some(weir_dataplane::counters::UnsentCounters::default()), "in {name}");
        weir_dataplane::unload(&lab.name).expect("unloads");
    }
    lab.nothing_was_damaged();
}

#[test]
fn an_edge_on_one_arm_sends_by_its_gateway() {
    require_kernel!();
    let mut lab = Balanced::on_one_arm();
    lab.take_tunnels_off();
    let router = lab.host("edge").interface("eth0").expect("there").peer;
    let gateway = format!("    gateway {router}\n");
    for (via, six, macs) in
        [("ipip", false, false), ("ipip", true, false), ("gue", false, false), ("vxlan id 7", true, true)]
    {
        let edge = lab.load(&lab.policy(1..=SERVERS, six, macs, &format!("{via} {FROM}"), &gateway));
        lab.requests_are_answered();
        lab.uploads_get_through(&edge);
        weir_dataplane::unload(&lab.name).expect("unloads");
    }
    lab.nothing_was_damaged();
}

/// A backend that comes while the policy runs says its MAC address where frames go to it.
#[test]
fn in_vxlan_no_backend_comes_without_its_mac_address() {
    require_kernel!();
    let mut lab = Balanced::routed();
    lab.take_tunnels_off();
    let (via, ipip) = (format!("vxlan id 7 {FROM}"), format!("ipip {FROM}"));
    let mut edge = lab.load(&lab.policy(1..=2, false, true, &via, ""));
    let pool = edge.pool("web").expect("the pool");
    let eth0 = lab.server(3).interface("eth0").expect("there");
    let third = weir_dataplane::Endpoint { address: eth0.ipv4().expect("an address"), port: 0 };
    let refused = pool.add(third, 1, None);
    assert!(matches!(refused, Err(Error::BackendMac { backend, .. }) if backend == third), "{refused:?}");
    pool.add(third, 1, Some(eth0.mac.0)).expect("added");
    let status = pool.status().expect("status");
    let macs: Vec<_> = status.backends.iter().map(|b| (b.mac.clone(), b.inner_mac.clone())).collect();
    assert_eq!(macs[2], (None, Some(eth0.mac.to_string())));
    lab.requests_are_answered();

    // Over a reload it keeps that address; where nothing is in VXLAN it is the next hop.
    let reloaded = lab.policy(1..=2, false, true, &via, "    settle 5s\n");
    edge.reload(&Policy::new("edge.weir", &reloaded)).expect("reloads");
    assert_eq!(pool.status().expect("status").backends[2].inner_mac, Some(eth0.mac.to_string()));
    lab.requests_are_answered();
    let otherwise = lab.policy(1..=2, false, false, &ipip, "");
    edge.reload(&Policy::new("edge.weir", &otherwise)).expect("reloads");
    let status = pool.status().expect("status");
    let macs: Vec<_> = status.backends.iter().map(|b| (b.mac.clone(), b.inner_mac.clone())).collect();
    assert_eq!(macs, [(None, None), (None, None), (Some(eth0.mac.to_string()), None)]);

    // One that came without keeps the policy from sending in VXLAN.
    pool.remove(third).expect("removed");
    pool.add(third, 1, None).expect("added");
    let refused = edge.reload(&Policy::new("edge.weir", &reloaded));
    assert!(matches!(refused, Err(Error::BackendMac { backend, .. }) if backend == third), "{refused:?}");
    assert_eq!(pool.status().expect("status").backends.len(), 3);
}

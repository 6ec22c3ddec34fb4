//! An edge that balances, in a lab of its own.

use std::fs::File;
use std::io::{Read, Seek};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use weir_dataplane::{Instance, Policy, Request};
use weir_kernel::attach::{self, Attachment, Hook};
use weir_kernel::load::{self, Loaded, Options};
use weir_kernel::netlink::Interface;
use weir_lab::program::{Program, Scratch};
use weir_lab::{End, Host, HostSpec, Lab, Link, Prefix, Topology};

use super::rules;
use crate::Failure;
use crate::threads;
use crate::veth::generator;

pub(super) const SERVICE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
pub(super) const SERVERS: u8 = 2;
pub(super) const HTTP: u16 = 80;
pub(super) const SINK: u16 = 9;
pub(super) const WAIT: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(10);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Balancer {
    /// No choice at all: a program that sends every frame to one server. What the lab itself takes.
    Redirect,
    /// The same for what goes back by the interface by which it came.
    Back,
    /// New MAC addresses of a fixed next hop, back by the interface by which frames came.
    WeirGateway,
    /// New MAC addresses, by the kernel's routes; answers go by a way of their own.
    WeirL2,
    /// In another header, by the kernel's routes.
    WeirIpip,
    /// The destination is another one, by a hash; connections are tracked, and answers come by the edge.
    NftNat,
    /// New MAC addresses by a hash, at ingress and without tracking; answers go by a way of their own.
    NftForward,
    /// Connections to the edge, and others from there.
    Haproxy,
}

/// Why a balancer is not measured.
pub(super) struct Absent(pub(super) String);

pub(super) struct Edge {
    pub(super) balancer: Balancer,
    number: usize,
    pub(super) lab: Lab,
    /// `/proc/net/dev` of each host at which packets arrive, and the interface.
    counters: Vec<(File, String)>,
    /// The threads that do the edge's work.
    pub(super) threads: Vec<i32>,
    running: Option<Running>,
}

enum Running {
    Weir(Instance),
    Bare {
        _attachment: Attachment,
        _loaded: Loaded,
    },
    /// It goes with the namespace.
    Rules,
    Haproxy(Program),
}

impl Balancer {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Redirect => "bare XDP_REDIRECT",
            Self::Back => "bare XDP_TX",
            Self::WeirGateway => "Weir, `via l2`, `gateway`",
            Self::WeirL2 => "Weir, `via l2`",
            Self::WeirIpip => "Weir, `via ipip`",
            Self::NftNat => "nftables, `dnat to jhash`",
            Self::NftForward => "nftables, `fwd` at ingress",
            Self::Haproxy => "HAProxy, TCP",
        }
    }

    /// Frames leave as a program sends them.
    pub(super) fn is_xdp(self) -> bool {
        self.is_bare() || matches!(self, Self::WeirGateway | Self::WeirL2 | Self::WeirIpip)
    }

    /// Nobody chooses.
    pub(super) fn is_bare(self) -> bool {
        matches!(self, Self::Redirect | Self::Back)
    }

    /// What servers get is whole packets of TCP, in the lab as it is.
    pub(super) fn serves(self) -> bool {
        matches!(self, Self::WeirL2 | Self::NftNat | Self::NftForward | Self::Haproxy)
    }

    /// Servers have the service's address, and answer without the edge.
    fn leaves_answers_alone(self) -> bool {
        self.is_xdp() || self == Self::NftForward
    }
}

impl Edge {
    pub(super) fn start(number: usize, balancer: Balancer) -> Result<Result<Edge, Absent>, Failure> {
        let lab = topology(number, balancer).build()?;
        let running = match start(&lab, number, balancer)? {
            Ok(running) => running,
            Err(absent) => return Ok(Err(absent)),
        };
        let counters = ends(number, balancer).into_iter().map(|(host, interface)| {
            let file = lab.host(&host)?.run(|| File::open("/proc/thread-self/net/dev"))??;
            Ok::<_, Failure>((file, interface))
        });
        let counters = counters.collect::<Result<_, _>>()?;
        let mut edge = Edge { balancer, number, lab, counters, threads: Vec::new(), running: Some(running) };
        edge.threads = edge.thread("edge")?;
        for thread in &edge.threads {
            threads::pin(*thread, threads::receiver())?;
        }
        if let Some(Running::Haproxy(program)) = &edge.running {
            edge.threads.push(program.id() as i32);
        }
        Ok(Ok(edge))
    }

    /// Lets receivers of a host work on threads; gives their numbers.
    pub(super) fn thread(&self, host: &str) -> Result<Vec<i32>, Failure> {
        let host = self.lab.host(host)?;
        let mut found = Vec::new();
        for interface in host.interfaces() {
            threads::thread_napi(host.namespace().label(), &interface.name)?;
            found.extend(threads::napi(&interface.name)?);
        }
        Ok(found)
    }

    pub(super) fn client(&self) -> Result<&Host, Failure> {
        Ok(self.lab.host("client")?)
    }

    pub(super) fn server(&self, server: u8) -> Result<&Host, Failure> {
        Ok(self.lab.host(&self::server(server))?)
    }

    /// Where packets arrive.
    pub(super) fn ends(&self) -> Vec<(String, String)> {
        ends(self.number, self.balancer)
    }

    pub(super) fn clients_interface(&self) -> String {
        format!("c{}-0", self.number)
    }

    /// Packets that came to each end by the edge.
    pub(super) fn arrived(&self) -> Result<Vec<u64>, String> {
        let of = |(mut counters, interface): (&File, &String)| {
            let mut text = String::new();
            counters.rewind().and_then(|()| counters.read_to_string(&mut text)).map_err(told)?;
            let line =
                text.lines().find_map(|line| line.trim_start().strip_prefix(interface)?.strip_prefix(':'));
            let packets = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
            packets.ok_or_else(|| format!("`{interface}` is not in /proc/net/dev"))
        };
        self.counters.iter().map(|(file, interface)| of((file, interface))).collect()
    }

    /// What the edge took of its CPU until it last had nothing to do.
    pub(super) fn cpu(&self) -> Result<Duration, String> {
        threads::on_a_cpu(&self.threads)
    }
}

impl Drop for Edge {
    /// Pins outlive the namespace if nobody takes them away.
    fn drop(&mut self) {
        if let Some(Running::Weir(instance)) = self.running.take() {
            let _ = instance.unload();
        }
    }
}

/// Hosts and their interfaces: servers, but for what goes back to where it came from.
fn ends(number: usize, balancer: Balancer) -> Vec<(String, String)> {
    match balancer {
        Balancer::WeirGateway | Balancer::Back => vec![("client".to_owned(), format!("c{number}-0"))],
        _ => (1..=SERVERS).map(|server| (self::server(server), format!("s{number}-{server}"))).collect(),
    }
}

fn server(number: u8) -> String {
    format!("server{number}")
}

/// Interfaces have names of their own in each lab, since the kernel's threads are called by them.
fn topology(number: usize, balancer: Balancer) -> Topology {
    // Weir forwards what is on the wire. Others are given what a card would do for them: checksums.
    let end = |host: &str, name: String, net: [u8; 3], last: u8| {
        let end = End::new(host, name).address(Prefix::new([net[0], net[1], net[2], last], 24));
        if balancer.is_xdp() { end } else { end.with_checksum_offload() }
    };
    let clients = Link::new(
        end("client", format!("c{number}-0"), [10, 1, 0], 2),
        end("edge", format!("e{number}-in"), [10, 1, 0], 1),
    );
    let topology = Topology::new()
        .host(HostSpec::new("client").route(Prefix::ALL_V4, [10, 1, 0, 1]))
        .host(HostSpec::new("edge").forwarding())
        .link(clients);
    (1..=SERVERS).fold(topology, |topology, server| {
        let name = self::server(server);
        let to_edge = Link::new(
            end("edge", format!("e{number}-out{server}"), [10, 2, server], 1),
            end(&name, format!("s{number}-{server}"), [10, 2, server], 2),
        );
        let to_client = Link::new(
            end("client", format!("c{number}-{server}"), [10, 3, server], 1),
            end(&name, format!("d{number}-{server}"), [10, 3, server], 2),
        );
        let back = if balancer.leaves_answers_alone() { [10, 3, server, 1] } else { [10, 2, server, 1] };
        let host = HostSpec::new(&name).route(Prefix::new([10, 1, 0, 0], 24), back);
        topology.host(host).link(to_edge).link(to_client)
    })
}

fn start(lab: &Lab, number: usize, balancer: Balancer) -> Result<Result<Running, Absent>, Failure> {
    let own = if balancer == Balancer::Haproxy { vec!["edge".to_owned()] } else { Vec::new() };
    for host in (1..=SERVERS).map(server).chain(own) {
        let address = format!("{SERVICE}/32");
        Program::run(lab.host(&host)?, &["ip", "address", "add", &address, "dev", "lo"], WAIT)?;
    }
    match balancer {
        Balancer::Redirect => {
            let out = lab.host("edge")?.interface(&format!("e{number}-out1"))?.index;
            bare(lab, number, &generator::redirect_all(out)).map(Ok)
        }
        Balancer::Back => bare(lab, number, &generator::send_all_back()).map(Ok),
        Balancer::WeirGateway => {
            let client = lab.host("client")?.interface(&format!("c{number}-0"))?.mac;
            weir(lab, number, "l2", &format!("    gateway {client}\n")).map(Ok)
        }
        Balancer::WeirL2 => weir(lab, number, "l2", "").map(Ok),
        Balancer::WeirIpip => weir(lab, number, "ipip from 192.0.2.0/24", "").map(Ok),
        Balancer::NftNat => nft(lab, &rules::nat()),
        Balancer::NftForward => nft(lab, &rules::forward(lab, number)?),
        Balancer::Haproxy => haproxy(lab),
    }
}

fn bare(lab: &Lab, number: usize, object: &[u8]) -> Result<Running, Failure> {
    let edge = lab.host("edge")?;
    let loaded = load::load(object, Options::default())?;
    let program = loaded.program(generator::REDIRECT).expect("just loaded");
    let attach = || {
        let interface = Interface::named(&format!("e{number}-in")).map_err(told)?;
        attach::attach(program, &interface, Hook::XdpNative).map_err(told)
    };
    let attachment = edge.run(attach)??;
    Ok(Running::Bare { _attachment: attachment, _loaded: loaded })
}

/// As `weir load` does it: with the root program in front that makes swaps possible.
fn weir(lab: &Lab, number: usize, via: &str, more: &str) -> Result<Running, Failure> {
    let backends: String = (1..=SERVERS).map(|server| format!("    10.2.{server}.2\n")).collect();
    let policy =
        format!("pool web {{\n{backends}{more}}}\nbalance web when ip.dst == {SERVICE} to web via {via}\n");
    let (instance, interface) = (format!("bench-lab-{number}"), format!("e{number}-in"));
    // A run that was killed may have left it behind; its namespace is gone.
    let _ = weir_dataplane::unload(&instance);
    let load = || {
        let request = Request::new(Policy::new("bench.weir", &policy), &[&interface]);
        Instance::load(&Request { instance: &instance, ..request }).map_err(told)
    };
    Ok(Running::Weir(lab.host("edge")?.run(load)??.0))
}

fn nft(lab: &Lab, text: &str) -> Result<Result<Running, Absent>, Failure> {
    if !threads::is_installed("nft") {
        return Ok(Err(Absent("there is no `nft`".to_owned())));
    }
    let scratch = Scratch::create()?;
    let file = scratch.write("rules.nft", text)?;
    let loaded = Program::run(lab.host("edge")?, &["nft", "-f", &file], WAIT);
    Ok(loaded.map(|_| Running::Rules).map_err(|error| Absent(error.to_string())))
}

/// One thread, on the edge's CPU.
fn haproxy(lab: &Lab) -> Result<Result<Running, Absent>, Failure> {
    if !threads::is_installed("haproxy") {
        return Ok(Err(Absent("there is no `haproxy`".to_owned())));
    }
    let mut text = "global
    nbthread 1
    maxconn 4000
defaults
    mode tcp
    balance roundrobin
    option splice-auto
    timeout connect 5s
    timeout client 30s
    timeout server 30s
"
    .to_owned();
    for (name, port) in [("web", HTTP), ("sink", SINK)] {
        text += &format!("listen {name}\n    bind {SERVICE}:{port}\n");
        for server in 1..=SERVERS {
            text += &format!("    server server{server} 10.2.{server}.2:{port}\n");
        }
    }
    let scratch = Scratch::create()?;
    let file = scratch.write("haproxy.cfg", text)?;
    let edge = lab.host("edge")?;
    let program = Program::start(edge, &["haproxy", "-db", "-f", &file])?;
    threads::pin(program.id() as i32, threads::receiver())?;
    let listens = || {
        let tries = 0..WAIT.as_millis() / LOOK.as_millis();
        tries.into_iter().any(|_| {
            std::thread::sleep(LOOK);
            TcpStream::connect((SERVICE, HTTP)).is_ok()
        })
    };
    match edge.run(listens)? {
        true => Ok(Ok(Running::Haproxy(program))),
        false => Ok(Err(Absent("it does not listen".to_owned()))),
    }
}

fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}

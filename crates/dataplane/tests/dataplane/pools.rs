//! Pools at work: real connections through an edge whose pool changes.

use crate::support::{packets, require_kernel, say};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};
use weir_dataplane::{Endpoint, Instance, Keeper, Policy, Request};
use weir_kernel::netlink::{Netlink, Route};
use weir_lab::ready::{SERVICE, edge_lab};
use weir_lab::service::{HttpLoad, HttpServer};
use weir_lab::{Host, Lab};

pub(crate) const SERVERS: u8 = 4;
const PORT: u16 = 80;
/// Of servers whose connections last.
const LASTING: u16 = 7000;
/// What connects at once, unless `WEIR_CONNECTIONS` says another number.
const CONNECTIONS: usize = 600;
const WAIT: Duration = Duration::from_secs(10);

/// A client, an edge and servers, each with the service's address on its loopback.
pub(crate) struct Balanced {
    lab: Lab,
    instance: String,
}

impl Balanced {
    pub(crate) fn new() -> Balanced {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let lab = edge_lab(SERVERS).expect("a lab");
        for number in 1..=SERVERS {
            let add = || Netlink::open()?.add_address("lo", SERVICE.into(), 32);
            lab.host(&server(number)).expect("there").run(add).expect("the namespace").expect("the address");
        }
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Balanced { lab, instance: format!("pools-{}-{number}", std::process::id()) }
    }

    pub(crate) fn host(&self, name: &str) -> &Host {
        self.lab.host(name).expect("there")
    }

    pub(crate) fn load(&self, text: &str) -> Instance {
        let load = || {
            let request = Request::new(Policy::new("pools.weir", text), &["clients"]);
            Instance::load(&Request { instance: &self.instance, ..request })
        };
        let loaded = self.host("edge").run(load).expect("the namespace");
        loaded.unwrap_or_else(|error| panic!("{error}")).0
    }

    fn http_servers(&self) -> Vec<HttpServer> {
        let start = |number| HttpServer::start(self.host(&server(number)), (SERVICE, PORT).into());
        (1..=SERVERS).map(|number| start(number).expect("a server")).collect()
    }
}

impl Drop for Balanced {
    fn drop(&mut self) {
        let _ = weir_dataplane::unload(&self.instance);
    }
}

pub(crate) fn server(number: u8) -> String {
    format!("server{number}")
}

pub(crate) fn backend(number: u8) -> Endpoint {
    Endpoint { address: IpAddr::V4(Ipv4Addr::new(10, 2, number, 2)), port: 0 }
}

/// A policy with some of the servers in its pool.
pub(crate) fn policy(numbers: impl IntoIterator<Item = u8>, more: &str) -> String {
    let backends: Vec<String> =
        numbers.into_iter().map(|number| format!("    {}\n", backend(number))).collect();
    format!(
        "pool web {{\n{}{more}}}\n\
         balance web when ip.dst == {SERVICE} and tcp.dstport in {{ {PORT}, {LASTING} }} to web\n",
        backends.concat()
    )
}

/// Answers on lasting connections: its number first, then whatever it reads.
pub(crate) struct Lasting {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Lasting {
    pub(crate) fn start(host: &Host, number: u8) -> Lasting {
        let listener = host.run(|| TcpListener::bind((SERVICE, LASTING))).expect("the namespace");
        let listener = listener.expect("a listener");
        listener.set_nonblocking(true).expect("a listener that does not wait");
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        let work = move || {
            let mut open: Vec<TcpStream> = Vec::new();
            while !asked.load(Ordering::Relaxed) {
                while let Ok((mut stream, _)) = listener.accept() {
                    let ready = stream.write_all(&[number]).and_then(|()| stream.set_nonblocking(true));
                    open.extend(ready.is_ok().then_some(stream));
                }
                open.retain_mut(answer);
                std::thread::sleep(Duration::from_millis(2));
            }
        };
        Lasting { stop, thread: Some(std::thread::spawn(work)) }
    }
}

impl Drop for Lasting {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Whether the connection goes on.
fn answer(stream: &mut TcpStream) -> bool {
    let mut byte = [0; 64];
    match stream.read(&mut byte) {
        Ok(0) => false,
        Ok(length) => stream.write_all(&byte[..length]).is_ok(),
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}

/// Connections from the client, with the number of the server that each has.
pub(crate) struct Clients(pub(crate) Vec<(TcpStream, u8)>);

impl Clients {
    pub(crate) fn connect(host: &Host, count: usize) -> Clients {
        let connect = || {
            let open = |_| {
                let mut stream = TcpStream::connect_timeout(&SocketAddr::from((SERVICE, LASTING)), WAIT)?;
                stream.set_read_timeout(Some(WAIT))?;
                let mut number = [0];
                stream.read_exact(&mut number)?;
                Ok((stream, number[0]))
            };
            (0..count).map(open).collect::<std::io::Result<Vec<_>>>()
        };
        Clients(host.run(connect).expect("the namespace").expect("connections"))
    }

    /// The connections that answer no longer, by their servers.
    pub(crate) fn broken(&mut self) -> BTreeMap<u8, usize> {
        let mut broken = BTreeMap::new();
        for (stream, _) in &mut self.0 {
            let _ = stream.write_all(b"x");
        }
        for (stream, server) in &mut self.0 {
            let mut byte = [0];
            if stream.read_exact(&mut byte).is_err() {
                *broken.entry(*server).or_insert(0) += 1;
            }
        }
        broken
    }

    pub(crate) fn servers(&self) -> BTreeMap<u8, usize> {
        let mut servers = BTreeMap::new();
        self.0.iter().for_each(|(_, server)| *servers.entry(*server).or_insert(0) += 1);
        servers
    }
}

pub(crate) fn connections() -> usize {
    let wanted = std::env::var("WEIR_CONNECTIONS").ok().and_then(|number| number.parse().ok());
    wanted.unwrap_or(CONNECTIONS)
}

#[test]
fn requests_reach_all_backends_by_the_kernels_routes() {
    require_kernel!();
    let lab = Balanced::new();
    let _servers = lab.http_servers();
    let instance = lab.load(&policy(1..=SERVERS, ""));
    let load = HttpLoad { rate: 400, ..HttpLoad::new((SERVICE, PORT).into(), Duration::from_secs(1)) };
    let report = load.run(lab.host("client")).expect("a client");
    assert_eq!((report.ok, report.missed), (report.requests, 0), "{:?}", report.failed);
    assert_eq!(report.answers.len(), usize::from(SERVERS), "{:?}", report.answers);
    assert!(report.answers.values().all(|count| *count > 50), "{:?}", report.answers);
    let counters = instance.counters().expect("counters");
    let web = counters.iter().find(|counter| counter.name == "web").expect("there");
    assert!(web.packets >= 4 * report.requests, "{web:?}");
    assert_eq!(web.unsent, Some(weir_dataplane::counters::UnsentCounters::default()));
}

/// A router on the way would bring frames to the service's address back.
#[test]
fn a_backend_that_is_not_on_a_link_is_unreachable_by_its_mac_address() {
    require_kernel!();
    let lab = Balanced::new();
    let _servers = lab.http_servers();
    let add = || {
        let to = Ipv4Addr::new(10, 9, 0, 1).into();
        let via = Some(backend(1).address);
        Netlink::open()?.add_route(&Route { to, prefix_len: 32, via, interface: None })
    };
    lab.host("edge").run(add).expect("the namespace").expect("the route");
    let routed = "pool web {\n    10.9.0.1\n}\nbalance web when ip.dst == 203.0.113.10 to web\n";
    let instance = lab.load(routed);
    let load = HttpLoad { rate: 20, ..HttpLoad::new((SERVICE, PORT).into(), Duration::from_millis(200)) };
    let report = load.run(lab.host("client")).expect("a client");
    assert_eq!(report.ok, 0);
    let counters = instance.counters().expect("counters");
    let web = counters.iter().find(|counter| counter.name == "web").expect("there");
    let unsent = web.unsent.expect("a balance");
    assert!(web.packets > 0 && unsent.unreachable == web.packets, "{web:?}");
}

#[test]
fn no_connection_breaks_that_did_not_sit_on_a_backend_that_went() {
    require_kernel!();
    let lab = Balanced::new();
    let client = lab.host("client");
    let _servers: Vec<Lasting> =
        (1..=SERVERS).map(|number| Lasting::start(lab.host(&server(number)), number)).collect();
    let mut instance = lab.load(&policy(1..=3, "    settle 1s\n"));
    let pool = instance.pool("web").expect("the pool");
    let mut first = Clients::connect(client, connections());
    assert_eq!(first.servers().keys().copied().collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(first.broken(), BTreeMap::new());

    // A backend comes: it gets a fourth of what is new, and nothing of what is there.
    pool.add(backend(4), 1, None).expect("added");
    assert_eq!(first.broken(), BTreeMap::new(), "a backend came");
    let mut second = Clients::connect(client, connections());
    let share = second.servers()[&4] as f64 / connections() as f64;
    assert!((0.15..0.35).contains(&share), "{:?}", second.servers());
    assert_eq!((first.broken(), second.broken()), (BTreeMap::new(), BTreeMap::new()));

    // One drains: it keeps what it has, and gets nothing new.
    pool.drain(backend(1), Duration::from_secs(600)).expect("drained");
    let mut third = Clients::connect(client, connections() / 2);
    assert!(!third.servers().contains_key(&1), "{:?}", third.servers());
    let broken = |all: &mut [&mut Clients]| -> BTreeSet<u8> {
        all.iter_mut().flat_map(|clients| clients.broken().into_keys()).collect()
    };
    assert_eq!(broken(&mut [&mut first, &mut second, &mut third]), BTreeSet::new(), "one drains");

    // A reload goes on with all of that, and with what the policy says now.
    let report =
        instance.reload(&Policy::new("pools.weir", &policy(1..=3, "    settle 2s\n"))).expect("reloads");
    assert!(report.kept.contains(&"pool web".to_owned()), "{:?}", report.kept);
    assert_eq!(broken(&mut [&mut first, &mut second, &mut third]), BTreeSet::new(), "a reload");
    let states: Vec<_> = pool.status().expect("status").backends.iter().map(|b| b.state).collect();
    assert_eq!(states, ["draining", "up", "up", "up"]);

    // Weights change, slots settle as far as they can, and one is taken out: its connections go, and no others.
    pool.weigh(backend(2), 5).expect("weighed");
    assert_eq!(broken(&mut [&mut first, &mut second, &mut third]), BTreeSet::new(), "a weight");
    for _ in 0..4 {
        instance.tend_pools().expect("tended");
        assert_eq!(broken(&mut [&mut first, &mut second, &mut third]), BTreeSet::new(), "slots settle");
        std::thread::sleep(Duration::from_millis(700));
    }
    assert_eq!(pool.status().expect("status").moved, 0);
    pool.remove(backend(3)).expect("removed");
    let gone = broken(&mut [&mut first, &mut second, &mut third]);
    assert_eq!(gone, BTreeSet::from([3]), "only those of the one that was removed");
    let status = pool.status().expect("status");
    assert!(status.moved > 0, "weights had changed, so some of them were remembered: {status:?}");
    say(&format!(
        "{} connections, {} slots unsettled, {} flows remembered",
        first.0.len() + second.0.len() + third.0.len(),
        status.unsettled,
        status.flows
    ));
}

#[test]
fn a_backend_that_does_not_answer_gets_no_flows_within_a_second() {
    require_kernel!();
    let lab = Balanced::new();
    let servers = lab.http_servers();
    // Checks go to the backends' own addresses.
    let own =
        |number: u8| HttpServer::start(lab.host(&server(number)), (backend(number).address, 8080).into());
    let own: Vec<HttpServer> = (1..=SERVERS).map(|number| own(number).expect("a server")).collect();
    let check = "    check http \"/healthz\" port 8080 every 200ms timeout 150ms fall 3 rise 2\n";
    let instance = lab.load(&policy(1..=SERVERS, check));
    let pool = instance.pool("web").expect("the pool");
    let mut keeper =
        lab.host("edge").run(|| Keeper::start(instance.clone())).expect("the namespace").expect("a keeper");
    let mut until = |what: &str, wanted: &[&str]| -> Duration {
        let start = Instant::now();
        loop {
            keeper.turn().expect("keeps");
            let states: Vec<_> = pool.status().expect("status").backends.iter().map(|b| b.state).collect();
            if states == wanted {
                return start.elapsed();
            }
            assert!(start.elapsed() < WAIT, "{what}: {states:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    until("all are up", &["up"; 4]);
    std::thread::sleep(Duration::from_millis(300));
    own[1].set_healthy(false);
    let took = until("one is down", &["up", "down", "up", "up"]);
    say(&format!("down after {took:?}"));
    let load = HttpLoad { rate: 400, ..HttpLoad::new((SERVICE, PORT).into(), Duration::from_millis(500)) };
    let report = load.run(lab.host("client")).expect("a client");
    assert_eq!(report.ok, report.requests, "{:?}", report.failed);
    assert!(!report.answers.contains_key("server2"), "{:?}", report.answers);
    let down = &pool.status().expect("status").backends[1];
    assert!(down.reason.contains("503"), "{down:?}");
    own[1].set_healthy(true);
    until("all are up again", &["up"; 4]);
    let report = load.run(lab.host("client")).expect("a client");
    assert!(report.answers.contains_key("server2"), "{:?}", report.answers);
    assert!(packets(&instance, "web") > 0);
    drop(servers);
}

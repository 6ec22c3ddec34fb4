//! Every way to backends, between programs that others wrote: nginx behind it, curl and wrk before it.

use crate::support::{require_kernel, require_tools};
use crate::vias::{Balanced, FROM, SERVERS, SERVICES};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;
use weir_dataplane::{Endpoint, Instance, LivePool, Policy};
use weir_lab::program::{Program, Scratch};
use weir_lab::service::{EchoLoad, EchoServer, Nginx, WrkLoad};

const WAIT: Duration = Duration::from_secs(20);
const ECHO: u16 = 7;
/// Each by a connection of its own. That one of three servers gets none has a chance of one in 28 million.
const FETCHES: usize = 45;
/// So many of them may come by a port whose translated flow has just ended; without a change a third goes to each server.
const REUSED: usize = 4;
/// What goes up and down in whole packets.
const FILE: usize = 300_000;

/// An edge, and the same of nginx on each server.
struct Real {
    lab: Balanced,
    servers: Vec<Nginx>,
    /// Servers are asked at their own addresses and at this port.
    translated: Option<u16>,
}

impl Real {
    fn new(translated: Option<u16>) -> Real {
        let mut real = Real { lab: Balanced::routed(), servers: Vec::new(), translated };
        for number in 1..=SERVERS {
            let addresses = SERVICES.map(|service| real.listens(number, service, 80));
            let nginx = Nginx::start(real.lab.server(number), &addresses);
            real.servers.push(nginx.unwrap_or_else(|error| panic!("{error}")));
        }
        real
    }

    /// Where a server is asked for what a service has at a port.
    fn listens(&self, number: u8, service: IpAddr, port: u16) -> SocketAddr {
        match self.translated {
            None => (service, port).into(),
            Some(port) => (self.lab.address(number, service.is_ipv6()), port).into(),
        }
    }

    fn curl(&self, arguments: &[&str]) -> String {
        let mut command = vec!["curl", "--silent", "--show-error", "--fail", "--globoff", "--max-time", "15"];
        command.extend(arguments);
        let client = self.lab.host("client");
        Program::run(client, &command, WAIT).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Who answers requests by one connection each.
    fn answers(&self, service: IpAddr) -> BTreeSet<String> {
        self.each_answer(service).into_iter().collect()
    }

    /// Who answered each of some new connections.
    fn each_answer(&self, service: IpAddr) -> Vec<String> {
        let url = url(service, "/");
        let mut arguments = vec!["--header", "Connection: close"];
        arguments.extend(std::iter::repeat_n(url.as_str(), FETCHES));
        let said = self.curl(&arguments);
        assert_eq!(said.lines().count(), FETCHES, "{service}");
        said.lines().map(str::to_owned).collect()
    }

    fn pages_come(&self, service: IpAddr) {
        assert_eq!(self.answers(service), names(["server1", "server2", "server3"]), "{service}");
    }

    /// A file arrives at one server as it was, though its packets become too long on the way; and comes back from there.
    fn files_get_through(&self, service: IpAddr) {
        let scratch = Scratch::create().expect("a directory");
        let text: String = (0..).map(|number| format!("{number}\n")).take(FILE / 6).collect();
        let (sent, back) = (scratch.write("sent", &text).expect("a file"), scratch.path().join("back"));
        let name = format!("{service}").replace(':', "-");
        let page = url(service, &format!("/files/{name}"));
        self.curl(&["--upload-file", &sent, &page]);
        let there = |nginx: &&Nginx| nginx.files().join(&name).exists();
        let at: Vec<&Nginx> = self.servers.iter().filter(there).collect();
        assert_eq!(at.len(), 1, "{service}");
        let kept = at[0].files().join(&name);
        assert!(
            std::fs::read(&kept).expect("the file") == text.as_bytes(),
            "{service}: another file arrived"
        );
        for server in &self.servers {
            std::fs::write(server.files().join(&name), &text).expect("a file");
        }
        self.curl(&["--output", back.to_str().expect("a path"), &page]);
        assert!(
            std::fs::read(&back).expect("the file") == text.as_bytes(),
            "{service}: another file came back"
        );
    }

    /// As many requests as there can be, and none fails.
    fn load_is_answered(&self, service: IpAddr) {
        let load = WrkLoad { url: url(service, "/"), connections: 24, seconds: 1, close: false };
        let report = load.run(self.lab.host("client")).unwrap_or_else(|error| panic!("{error}"));
        assert!(report.requests > 100 && report.is_clean(), "{service}: {report:?}");
    }

    fn datagrams_come_back(&self, service: IpAddr) {
        let start = |number| EchoServer::start(self.lab.server(number), self.listens(number, service, ECHO));
        let _servers: Vec<EchoServer> =
            (1..=SERVERS).map(|number| start(number).expect("a server")).collect();
        let duration = Duration::from_millis(50);
        let load = EchoLoad { server: (service, ECHO).into(), rate: 1000, len: 400, duration };
        for flow in 0..6 {
            let report = load.run(self.lab.host("client")).expect("a client");
            let whole = report.sent > 0 && report.refused == 0 && report.answered == report.sent;
            assert!(whole, "{service}, flow {flow}: {report:?}");
        }
    }

    /// Connections that are kept stay at their server, whatever becomes of the pool meanwhile; new ones see the change.
    fn connections_stay(&self, edge: &Instance, pools: &[(&str, bool)]) {
        let open = || (0..connections()).map(|index| Kept::open(SERVICES[index % 2])).collect::<Vec<_>>();
        let mut kept = self.lab.host("client").run(open).expect("the namespace");
        let asked = |kept: &mut Kept| kept.ask().unwrap_or_else(|error| panic!("{}: {error}", kept.service));
        let first: Vec<String> = kept.iter_mut().map(asked).collect();
        assert_eq!(first.iter().cloned().collect::<BTreeSet<_>>(), names(["server1", "server2", "server3"]));

        let each = |number: u8, what: &dyn Fn(&LivePool, Endpoint)| {
            for (name, six) in pools {
                let (address, port) = (self.lab.address(number, *six), self.translated.unwrap_or(0));
                what(&edge.pool(name).expect("the pool"), Endpoint { address, port });
            }
        };
        let again = |kept: &mut Vec<Kept>, when: &str| {
            let now: Vec<String> = kept.iter_mut().map(asked).collect();
            let moved = now.iter().zip(&first).filter(|(now, first)| now != first).count();
            assert_eq!(moved, 0, "{when}");
        };
        each(1, &|pool, backend| drop(pool.drain(backend, Duration::from_secs(600)).expect("drains")));
        for service in SERVICES {
            let mut all = self.each_answer(service);
            all.retain(|name| name != "server1");
            // A client that uses a port again which it has just closed has its translated flow still.
            let reused = if self.translated.is_some() { REUSED } else { 0 };
            assert!(all.len() >= FETCHES - reused, "{service}: {} of {FETCHES} new ones", all.len());
            assert_eq!(all.into_iter().collect::<BTreeSet<_>>(), names(["server2", "server3"]), "new ones");
        }
        again(&mut kept, "server1 drained");
        each(2, &|pool, backend| drop(pool.weigh(backend, 5).expect("weighs")));
        again(&mut kept, "server2 weighs five");
        each(1, &|pool, backend| drop(pool.undrain(backend).expect("undrains")));
        each(2, &|pool, backend| drop(pool.weigh(backend, 1).expect("weighs")));
        again(&mut kept, "all as it was");
    }

    fn all_of_it_works(&self) {
        for service in SERVICES {
            self.pages_come(service);
            self.files_get_through(service);
            self.load_is_answered(service);
            self.datagrams_come_back(service);
        }
    }

    fn nothing_went_wrong(&self) {
        self.lab.nothing_was_damaged();
        for server in &self.servers {
            assert_eq!(server.errors(), "");
        }
    }
}

/// As many as `WEIR_CONNECTIONS` says.
fn connections() -> usize {
    std::env::var("WEIR_CONNECTIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(600)
}

/// A connection to nginx that stays open.
pub(crate) struct Kept {
    service: IpAddr,
    stream: TcpStream,
}

impl Kept {
    pub(crate) fn open(service: IpAddr) -> Kept {
        let stream = TcpStream::connect_timeout(&(service, 80).into(), WAIT);
        let stream = stream.unwrap_or_else(|error| panic!("{service}: {error}"));
        stream.set_read_timeout(Some(WAIT)).expect("a limit");
        Kept { service, stream }
    }

    /// The server's name.
    pub(crate) fn ask(&mut self) -> std::io::Result<String> {
        self.stream.write_all(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")?;
        let mut answer = Vec::new();
        let mut some = [0; 1024];
        loop {
            let count = self.stream.read(&mut some)?;
            answer.extend_from_slice(&some[..count]);
            let text = String::from_utf8_lossy(&answer);
            match text.split_once("\r\n\r\n") {
                Some((head, body)) if body.ends_with('\n') && head.starts_with("HTTP/1.1 200 ") => {
                    return Ok(body.trim().to_owned());
                }
                _ if count == 0 => return Err(std::io::Error::other("the connection ended")),
                _ => {}
            }
        }
    }
}

fn names<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn url(service: IpAddr, path: &str) -> String {
    format!("http://{}{path}", SocketAddr::new(service, 80))
}

/// Services of both families, to backends by their addresses of one family.
fn works_between_programs(via: &str, six: bool, macs: bool) {
    let mut real = Real::new(None);
    let tunnel = via != "l2";
    if tunnel {
        real.lab.take_tunnels_off();
    }
    let edge = real.lab.load(&real.lab.policy(1..=SERVERS, six, macs, via, ""));
    real.all_of_it_works();
    real.connections_stay(&edge, &[("web", six)]);
    real.nothing_went_wrong();
    if tunnel {
        real.lab.all_tunnels_arrived(&edge);
    }
}

/// Servers of both families at a port of their own, which see the edge and no clients.
#[test]
fn translated_to_both() {
    require_kernel!();
    require_tools!("nginx", "curl", "wrk");
    let real = Real::new(Some(8080));
    let policy = real.lab.translating(8080);
    let mut edge = real.lab.load_everywhere(&policy);
    real.all_of_it_works();
    real.connections_stay(&edge, &[("four", false), ("six", true)]);

    let reload =
        real.lab.host("edge").run(|| edge.reload(&Policy::new("edge.weir", &policy))).expect("the namespace");
    let reload = reload.unwrap_or_else(|error| panic!("{error}"));
    assert!(reload.kept.contains(&"flows of four".to_owned()), "{:?}", reload.kept);
    real.connections_stay(&edge, &[("four", false), ("six", true)]);
    real.nothing_went_wrong();
    let counters = edge.counters().expect("counters");
    let of = |name: &str| counters.iter().find(|counter| counter.name == name).expect("there").clone();
    for name in ["four", "four/back", "six", "six/back"] {
        let counter = of(name);
        let unsent = counter.unsent.expect("a balance");
        assert!(counter.packets > 1000, "{counter:?}");
        assert_eq!((unsent.nobody, unsent.damaged, unsent.unreachable, unsent.full), (0, 0, 0, 0), "{name}");
    }
}

/// A test for a way to backends.
macro_rules! by {
    ($name:ident, $via:expr, six: $six:expr, macs: $macs:expr) => {
        #[test]
        fn $name() {
            require_kernel!();
            require_tools!("nginx", "curl", "wrk");
            works_between_programs(&$via, $six, $macs);
        }
    };
}

by!(as_they_are_to_ipv4, "l2", six: false, macs: false);
by!(as_they_are_to_ipv6, "l2", six: true, macs: false);
by!(both_in_ipv4, format!("ipip {FROM}"), six: false, macs: false);
by!(both_in_ipv6, format!("ipip {FROM}"), six: true, macs: false);
by!(both_in_gue_over_ipv4, format!("gue {FROM}"), six: false, macs: false);
by!(both_in_gue_over_ipv6, format!("gue {FROM}"), six: true, macs: false);
by!(both_in_vxlan_over_ipv4, format!("vxlan id 7 {FROM}"), six: false, macs: true);
by!(both_in_vxlan_over_ipv6, format!("vxlan id 7 {FROM}"), six: true, macs: true);

//! Every way to backends, between programs that others wrote: nginx behind it, curl and wrk before it.

use crate::support::{require_kernel, require_tools};
use crate::vias::{Balanced, FROM, SERVERS, SERVICES};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use weir_lab::program::{Program, Scratch};
use weir_lab::service::{EchoLoad, EchoServer, Nginx, WrkLoad};

const WAIT: Duration = Duration::from_secs(20);
const ECHO: u16 = 7;
/// Each by a connection of its own. That one of three servers gets none has a chance of one in 28 million.
const FETCHES: usize = 45;
/// What goes up and down in whole packets.
const FILE: usize = 300_000;

/// An edge, and the same of nginx on each server.
struct Real {
    lab: Balanced,
    servers: Vec<Nginx>,
}

impl Real {
    fn new() -> Real {
        let lab = Balanced::routed();
        let addresses = SERVICES.map(|service| SocketAddr::new(service, 80));
        let start = |number| Nginx::start(lab.server(number), &addresses);
        let servers = (1..=SERVERS).map(|number| start(number).unwrap_or_else(|error| panic!("{error}")));
        Real { servers: servers.collect(), lab }
    }

    fn curl(&self, arguments: &[&str]) -> String {
        let mut command = vec!["curl", "--silent", "--show-error", "--fail", "--globoff", "--max-time", "15"];
        command.extend(arguments);
        let client = self.lab.host("client");
        Program::run(client, &command, WAIT).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Requests by one connection each are answered, by all servers.
    fn pages_come(&self, service: IpAddr) {
        let url = url(service, "/");
        let mut arguments = vec!["--no-keepalive", "--header", "Connection: close"];
        arguments.extend(std::iter::repeat_n(url.as_str(), FETCHES));
        let said = self.curl(&arguments);
        let answers: Vec<&str> = said.lines().collect();
        assert_eq!(answers.len(), FETCHES, "{service}");
        let by = BTreeSet::from_iter(answers);
        assert_eq!(by, BTreeSet::from(["server1", "server2", "server3"]), "{service}");
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
        let start = |number| EchoServer::start(self.lab.server(number), (service, ECHO).into());
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

    fn all_of_it_works(&self) {
        for service in SERVICES {
            self.pages_come(service);
            self.files_get_through(service);
            self.load_is_answered(service);
            self.datagrams_come_back(service);
        }
        self.lab.nothing_was_damaged();
        for server in &self.servers {
            assert_eq!(server.errors(), "");
        }
    }
}

fn url(service: IpAddr, path: &str) -> String {
    format!("http://{}{path}", SocketAddr::new(service, 80))
}

/// Services of both families, to backends by their addresses of one family.
fn works_between_programs(via: &str, six: bool, macs: bool) {
    let mut real = Real::new();
    let tunnel = via != "l2";
    if tunnel {
        real.lab.take_tunnels_off();
    }
    let edge = real.lab.load(&real.lab.policy(1..=SERVERS, six, macs, via, ""));
    real.all_of_it_works();
    if tunnel {
        real.lab.all_tunnels_arrived(&edge);
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

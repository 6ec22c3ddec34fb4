//! SYN cookies between programs that others wrote: nginx behind them, curl before them, floods beside them.

use crate::programs::Kept;
use crate::support::{packets, require_kernel, require_tools};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use weir_compiler::diagnostic::Code;
use weir_dataplane::counters::CookieCounters;
use weir_dataplane::{Error, Instance, Policy, Report, Request};
use weir_kernel::sysctl;
use weir_lab::program::{Program, Scratch};
use weir_lab::ready::edge_lab;
use weir_lab::service::{Nginx, WrkLoad};
use weir_lab::traffic::{Random, Route, SynFlood, Traffic};
use weir_lab::wire::{Flow, Pace, SendOptions, Sent, Tap, send};
use weir_lab::{Host, Lab};
use weir_packet::build::{Packet, Tcp, TcpFlags};

const WAIT: Duration = Duration::from_secs(20);
const SETTING: &str = "net.ipv4.tcp_syncookies";
/// The edge's own addresses, at which nginx is.
const SERVICES: [&str; 2] = ["10.1.0.1", "2001:db8:1::1"];
const POLICY: &str =
    "answer web syncookie when tcp.dstport == 80 and ip.dst in { 10.1.0.1, 2001:db8:1::1 }\n";
/// What the client's interface does not let its host see: answers to those who never asked.
const PEER: &str =
    "drop others when tcp.flags & 0x12 == 0x12 and not ip.dst in { 10.1.0.2, 2001:db8:1::2 }\n";
/// Of floods.
const FRAMES: u64 = 150_000;
const RATE: u64 = 100_000;

/// A client, and an edge that is the server as well.
struct Served {
    lab: Lab,
    nginx: Nginx,
    name: String,
}

impl Served {
    fn new() -> Served {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("cookies-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let lab = edge_lab(1).expect("a lab");
        let addresses = SERVICES.map(|service| SocketAddr::new(address(service), 80));
        let nginx = Nginx::start(lab.host("edge").expect("there"), &addresses);
        let nginx = nginx.unwrap_or_else(|error| panic!("{error}"));
        let host = Served { lab, nginx, name };
        host.set("2");
        // An interface of a veth pair takes what the other one's program sends only if it has a program itself.
        let peer = host.run("client", || load(&host.peer(), PEER, "eth0"));
        peer.unwrap_or_else(|error| panic!("{error}"));
        host
    }

    fn peer(&self) -> String {
        format!("{}-peer", self.name)
    }

    fn host(&self, name: &str) -> &Host {
        self.lab.host(name).expect("there")
    }

    fn run<T: Send>(&self, host: &str, work: impl FnOnce() -> T + Send) -> T {
        self.host(host).run(work).expect("the namespace")
    }

    fn set(&self, value: &str) {
        self.run("edge", || sysctl::write(SETTING, value)).expect("a setting");
    }

    fn load(&self) -> Instance {
        self.try_load().unwrap_or_else(|error| panic!("{error}")).0
    }

    fn try_load(&self) -> Result<(Instance, Report), Error> {
        self.run("edge", || load(&self.name, POLICY, "clients"))
    }

    fn curl(&self, arguments: &[&str]) -> String {
        let mut command = vec!["curl", "--silent", "--show-error", "--fail", "--globoff", "--max-time", "15"];
        command.extend(arguments);
        Program::run(self.host("client"), &command, WAIT).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Pages over so many connections each.
    fn pages_come(&self, count: usize) {
        for service in SERVICES {
            let page = url(service, "/");
            let mut arguments = vec!["--header", "Connection: close"];
            arguments.extend(std::iter::repeat_n(page.as_str(), count));
            assert_eq!(self.curl(&arguments), "edge\n".repeat(count), "{service}");
        }
    }

    /// A file of many windows goes up as it is, and comes back.
    fn files_get_through(&self) {
        let scratch = Scratch::create().expect("a directory");
        let text: String = (0..).map(|number| format!("{number}\n")).take(200_000).collect();
        let (sent, back) = (scratch.write("sent", &text).expect("a file"), scratch.path().join("back"));
        for service in SERVICES {
            let page = url(service, "/files/some");
            self.curl(&["--upload-file", &sent, &page]);
            self.curl(&["--output", back.to_str().expect("a path"), &page]);
            assert!(std::fs::read(&back).expect("the file") == text.as_bytes(), "{service}");
        }
    }

    fn open(&self, count: usize) -> Vec<Kept> {
        let open = |nth: usize| Kept::open(address(SERVICES[nth % 2]));
        self.run("client", || (0..count).map(open).collect())
    }

    /// What the edge's own TCP has counted.
    fn counted(&self) -> Counted {
        self.run("edge", Counted::read)
    }

    fn route(&self, service: &str) -> Route {
        let interface = self.host("client").interface("eth0").expect("there");
        Route::from(interface, address(service)).expect("a route")
    }

    /// Sends from the client, and waits until what is on its way has come.
    fn send(&self, traffic: &mut dyn Traffic, frames: u64) -> Sent {
        let options = SendOptions::new(Pace::PerSecond(RATE), WAIT).frames(frames);
        let sent = send(self.host("client"), "eth0", traffic, &options).expect("sending");
        std::thread::sleep(Duration::from_millis(100));
        sent
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = weir_dataplane::unload(&self.name);
        let _ = weir_dataplane::unload(&self.peer());
    }
}

fn load(name: &str, text: &str, interface: &str) -> Result<(Instance, Report), Error> {
    let request = Request::new(Policy::new("cookies.weir", text), &[interface]);
    Instance::load(&Request { instance: name, ..request })
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn url(service: &str, path: &str) -> String {
    format!("http://{}{path}", SocketAddr::new(address(service), 80))
}

fn cookies(instance: &Instance) -> CookieCounters {
    let counters = instance.counters().unwrap_or_else(|error| panic!("{error}"));
    counters.iter().find(|counter| counter.name == "web").and_then(|web| web.cookies).expect("an answer")
}

/// Counters of the calling thread's namespace.
struct Counted(BTreeMap<String, u64>);

impl Counted {
    fn read() -> Counted {
        let mut all = BTreeMap::new();
        for file in ["netstat", "snmp"] {
            let text = std::fs::read_to_string(format!("/proc/thread-self/net/{file}")).expect("counters");
            let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
            for pair in lines.chunks_exact(2) {
                let names = pair[0].iter().zip(&pair[1]).skip(1);
                let named = names.filter_map(|(name, value)| Some(((*name).to_owned(), value.parse().ok()?)));
                all.extend(named);
            }
        }
        Counted(all)
    }

    fn since(&self, before: &Counted, name: &str) -> u64 {
        self.0[name] - before.0[name]
    }
}

/// Acknowledgements of nobody's connection, from anywhere.
struct AckFlood {
    route: Route,
    random: Random,
}

impl Traffic for AckFlood {
    fn next(&mut self, frame: &mut Vec<u8>) -> Option<Flow> {
        let Route { src_mac, dst_mac, dst, .. } = self.route;
        let source = self.random.address(dst);
        let tcp = Tcp::new(self.random.port(), 80).flags(TcpFlags::ACK).seq(self.random.bits() as u32);
        let tcp = tcp.ack(self.random.bits() as u32);
        *frame = Packet::between(source, dst).macs(src_mac, dst_mac).push(tcp).build();
        Some(Flow(1))
    }
}

#[test]
fn connections_are_made_beside_a_flood_of_which_the_stack_sees_nothing() {
    require_kernel!();
    require_tools!("nginx", "curl");
    let host = Served::new();
    // That the stack's counters would tell: without a policy it answers by itself.
    let before = host.counted();
    host.pages_come(2);
    let after = host.counted();
    assert_eq!((after.since(&before, "SyncookiesSent"), after.since(&before, "SyncookiesRecv")), (4, 4));

    let edge = host.load();
    let before = host.counted();
    host.pages_come(5);
    host.files_get_through();
    let quiet = cookies(&edge);
    // A loaded machine lets clients ask again, and data come before the stack has made a connection of the cookie.
    assert!((14..20).contains(&quiet.answered) && (14..28).contains(&quiet.valid), "{quiet:?}");
    assert_eq!(quiet.invalid, 0);

    let stop = Arc::new(AtomicBool::new(false));
    let flooded: u64 = std::thread::scope(|scope| {
        let flood = |service: &'static str, seed| {
            let (host, stop) = (&host, stop.clone());
            scope.spawn(move || {
                let mut flood = SynFlood::new(host.route(service), 80, seed, Flow(1));
                let mut options = SendOptions::new(Pace::PerSecond(RATE), WAIT).frames(FRAMES);
                options.stop = stop;
                send(host.host("client"), "eth0", &mut flood, &options).expect("sending").frames
            })
        };
        let floods = [flood(SERVICES[0], 1), flood(SERVICES[1], 2)];
        std::thread::sleep(Duration::from_millis(100));
        host.pages_come(20);
        host.files_get_through();
        floods.map(|flood| flood.join().expect("a flood")).iter().sum()
    });
    std::thread::sleep(Duration::from_millis(100));
    assert!(flooded > FRAMES, "{flooded} sent");
    let after = host.counted();
    let now = cookies(&edge);
    // A client asks again if its SYN, or the answer to it, is lost beside the flood.
    let (answered, valid) = (now.answered - quiet.answered, now.valid - quiet.valid);
    assert!(answered <= flooded + 60 && answered > flooded / 2, "{now:?}, {flooded} sent");
    assert!((44..88).contains(&valid) && now.invalid == 0, "{now:?}");
    assert_eq!(after.since(&before, "SyncookiesSent"), 0, "no SYN comes to the stack");
    assert_eq!(after.since(&before, "SyncookiesRecv"), 14 + 44);
    assert_eq!(after.since(&before, "SyncookiesFailed"), 0);
    assert_eq!(after.since(&before, "PassiveOpens"), 14 + 44);
    assert_eq!(host.nginx.errors(), "");
}

#[test]
fn acknowledgements_that_bring_no_cookie_are_dropped() {
    require_kernel!();
    require_tools!("nginx", "curl");
    let host = Served::new();
    let edge = host.load();
    host.pages_come(1);
    let (before, quiet) = (host.counted(), cookies(&edge));
    let mut frames = 0;
    for (seed, service) in (1..).zip(SERVICES) {
        let mut flood = AckFlood { route: host.route(service), random: Random::new(seed) };
        frames += host.send(&mut flood, 40_000).frames;
    }
    let (after, now) = (host.counted(), cookies(&edge));
    let invalid = now.invalid - quiet.invalid;
    assert!(invalid <= frames && invalid > frames / 10 * 9, "{invalid} of {frames}");
    assert_eq!((now.answered, now.valid), (quiet.answered, quiet.valid));
    for name in ["SyncookiesFailed", "OutRsts"] {
        assert_eq!(after.since(&before, name), 0, "{name}: the stack sees none of them");
    }
    host.pages_come(3);
}

#[test]
fn connections_live_on_over_load_reload_and_unload() {
    require_kernel!();
    require_tools!("nginx", "wrk");
    let host = Served::new();
    let again = |kept: &mut Vec<Kept>, when: &str| {
        for one in kept {
            assert_eq!(one.ask().unwrap_or_else(|error| panic!("{when}: {error}")), "edge", "{when}");
        }
    };
    let mut kept = host.open(20);
    again(&mut kept, "before");
    let mut edge = host.load();
    again(&mut kept, "loaded");
    kept.extend(host.open(20));
    again(&mut kept, "answered with cookies");
    let other = format!("drop bad when tcp.srcport == 7\n{POLICY}");
    let reload = host.run("edge", || edge.reload(&Policy::new("cookies.weir", &other)));
    let kept_counters = reload.unwrap_or_else(|error| panic!("{error}")).kept;
    assert!(kept_counters.contains(&"statement web".to_owned()), "{kept_counters:?}");
    again(&mut kept, "reloaded");
    let now = cookies(&edge);
    let went_on = (20..30).contains(&now.answered) && (20..40).contains(&now.valid) && now.invalid == 0;
    assert!(went_on, "counters go on: {now:?}");
    assert_eq!(packets(&edge, "web"), 40);

    for service in SERVICES {
        let load = WrkLoad { url: url(service, "/"), connections: 24, seconds: 1, close: true };
        let report = load.run(host.host("client")).unwrap_or_else(|error| panic!("{error}"));
        assert!(report.requests > 100 && report.is_clean(), "{service}: {report:?}");
    }
    let invalid = cookies(&edge).invalid;
    host.run("edge", || edge.unload()).unwrap_or_else(|error| panic!("{error}"));
    again(&mut kept, "unloaded");
    assert_eq!(invalid, 0);
}

/// What Wireshark says of answers' checksums.
#[test]
fn answers_are_as_tshark_wants_them() {
    require_kernel!();
    require_tools!("nginx", "curl", "tshark");
    let host = Served::new();
    let _edge = host.load();
    let scratch = Scratch::create().expect("a directory");
    let file = scratch.path().join("answers.pcap");
    let tap = Tap::start(host.host("client"), "eth0", &file).expect("a tap");
    host.pages_come(3);
    tap.stop().expect("records");
    let file = file.to_str().expect("a path");
    let asked = [
        "-o",
        "tcp.check_checksum:TRUE",
        "-o",
        "ip.check_checksum:TRUE",
        "-Y",
        "tcp.flags.syn==1 && tcp.flags.ack==1",
    ];
    let fields =
        ["tcp.checksum.status", "ip.checksum.status", "tcp.options.mss_val", "tcp.ack", "_ws.expert.message"];
    let mut command = vec!["tshark", "-n", "-r", file, "-T", "fields", "-E", "separator=,"];
    command.extend(asked);
    command.extend(fields.iter().flat_map(|field| ["-e", *field]));
    let said = Program::run(host.host("client"), &command, WAIT).unwrap_or_else(|error| panic!("{error}"));
    // It also says who runs it.
    let lines: Vec<&str> = said.lines().filter(|line| line.contains(',')).collect();
    assert_eq!(lines.len(), 6, "{said}");
    for line in lines {
        let parts: Vec<&str> = line.splitn(5, ',').collect();
        let [tcp, ip, mss, acknowledged, message] = parts[..] else { panic!("{line}") };
        let six = ip.is_empty();
        assert_eq!((tcp, mss, acknowledged), ("1", if six { "1440" } else { "1460" }, "1"), "{line}");
        assert!(six || ip == "1", "{line}");
        assert!(message.starts_with("Connection establish acknowledge"), "{line}");
    }
}

#[test]
fn a_host_that_takes_no_cookies_is_named() {
    require_kernel!();
    require_tools!("nginx");
    let host = Served::new();
    host.set("0");
    let Err(Error::Policy(refused)) = host.try_load() else { panic!("no cookies are taken") };
    let told = refused.0.diagnostics.iter().find(|told| told.code == Code::Unsupported).expect("told");
    assert_eq!(told.help.as_deref(), Some("`sysctl -w net.ipv4.tcp_syncookies=2`"));
    assert_eq!(refused.0.sources.text(told.primary.0), POLICY.trim_end());

    host.set("1");
    let (edge, report) = host.try_load().unwrap_or_else(|error| panic!("{error}"));
    let told: Vec<_> = report.warnings.iter().map(|told| told.code.text()).collect();
    assert_eq!(told, ["W0307"]);
    // No queue is full: SYNs go on, and their acknowledgements find what the stack has begun.
    let mut kept = host.open(4);
    for one in &mut kept {
        assert_eq!(one.ask().unwrap_or_else(|error| panic!("{error}")), "edge");
    }
    assert_eq!(cookies(&edge), CookieCounters::default());
}

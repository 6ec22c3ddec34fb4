//! `fleet`: edges, analysers and a real etcd, each a process on a host of its own.

use crate::common::{Place, privileged, skip};
use crate::metrics::get;
use serde_json::Value;
use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};
use weir_dataplane::{Instance, unload};
use weir_lab::program::Program;
use weir_lab::traffic::{Amplifier, Everyday, Reflection, Route};
use weir_lab::wire::{Flow, Pace, SendOptions, send};
use weir_lab::{End, Host, HostSpec, Lab, Link, Prefix, Topology};

const POLICY: &str = "sample all 1 in 50\ncount web when tcp.dstport == 443\ndrop telnet when tcp.dstport == 23\ndefault pass\n";
/// Everyday traffic alone: what good traffic is must be known before an attack.
const LEARN: Duration = Duration::from_secs(6);
const ETCD: &str = "http://10.9.1.1:2379";

/// Two edges of one address, each with clients of its own, and a centre with etcd and the analysers.
struct Fleet {
    /// Tells it from others of this process, as instances are the machine's.
    number: u32,
    place: Place,
    lab: Arc<Lab>,
    etcd: Option<Program>,
    analysers: [Option<Program>; 2],
    edges: [Option<Program>; 2],
}

impl Fleet {
    fn start() -> Fleet {
        let hosts = ["client1", "client2", "edge1", "edge2", "centre"];
        let hosts = hosts.into_iter().fold(Topology::new(), |all, name| all.host(HostSpec::new(name)));
        let end = |host: &str, interface: &str, address: [u8; 4]| {
            End::new(host, interface).address(Prefix::new(address, 24))
        };
        let lab = hosts
            .link(Link::new(end("client1", "eth0", [10, 1, 0, 1]), end("edge1", "eth0", [10, 1, 0, 2])))
            .link(Link::new(end("client2", "eth0", [10, 1, 0, 1]), end("edge2", "eth0", [10, 1, 0, 2])))
            .link(Link::new(end("centre", "eth1", [10, 9, 1, 1]), end("edge1", "eth1", [10, 9, 1, 2])))
            .link(Link::new(end("centre", "eth2", [10, 9, 2, 1]), end("edge2", "eth1", [10, 9, 2, 2])))
            .build()
            .expect("a lab");
        let place = Place::new();
        place.file("edge.weir", POLICY.as_bytes());
        let none = || [None, None];
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let mut fleet =
            Fleet { number, place, lab: Arc::new(lab), etcd: None, analysers: none(), edges: none() };
        fleet.start_etcd();
        fleet
    }

    fn host(&self, name: &str) -> &Host {
        self.lab.host(name).unwrap()
    }

    fn start_etcd(&mut self) {
        let data = self.place.path("etcd").display().to_string();
        let any = "http://0.0.0.0:2379";
        let command =
            ["etcd", "--data-dir", &data, "--listen-client-urls", any, "--advertise-client-urls", ETCD];
        let more =
            ["--listen-peer-urls", "http://127.0.0.1:2380", "--unsafe-no-fsync", "--log-level", "error"];
        self.etcd = Some(Program::start(self.host("centre"), &[&command[..], &more].concat()).unwrap());
    }

    /// A process of `weir` whose output goes to a file.
    fn weir(&self, host: &str, log: &str, args: &str) -> Program {
        let (weir, log) = (env!("CARGO_BIN_EXE_weir"), self.place.path(log).display().to_string());
        let shell = format!("exec {weir} fleet {args} >>{log} 2>&1");
        Program::start(self.host(host), &["sh", "-c", &shell]).unwrap()
    }

    fn start_edge(&mut self, index: usize) {
        let (number, name) = (index + 1, self.instance(index));
        let collector = ["10.9.1.1:6343", "10.9.2.1:6344"][index];
        let args = format!(
            "edge edge{number} --policy edge -i eth0 -n {name} --sflow {collector} --expire 3s --json --etcd http://10.9.{number}.1:2379"
        );
        self.edges[index] = Some(self.weir(&format!("edge{number}"), &format!("edge{number}.log"), &args));
    }

    fn start_analyser(&mut self, index: usize) {
        let number = index + 1;
        let listen = ["10.9.1.1:6343", "10.9.2.1:6344"][index];
        let journal = self.place.path(&format!("a{number}.redb")).display().to_string();
        let args = format!(
            "analyze a{number} --listen {listen} --metrics 127.0.0.1:910{number} --expire 3s --json --journal {journal} --etcd {ETCD}"
        );
        self.analysers[index] = Some(self.weir("centre", &format!("a{number}.log"), &args));
    }

    fn metrics(&self, index: usize) -> String {
        let address = format!("127.0.0.1:910{}", index + 1);
        self.host("centre").run(|| get(&address, "/metrics")).unwrap()
    }

    fn instance(&self, index: usize) -> String {
        format!("fleet{}-{}-{}", index + 1, self.number, std::process::id())
    }

    /// Whether the next one to decide would know how hard mitigations are hit.
    fn is_rate_known(&self) -> bool {
        let get = ["env", "ETCDCTL_API=3", "etcdctl", "--endpoints", ETCD, "get", "--print-value-only"];
        let life = self.run(&[&get[..], &["/weir/lives/0000000001"]].concat());
        serde_json::from_str::<Value>(&life).is_ok_and(|life| life["highest"].as_f64() > Some(1000.0))
    }

    fn publish(&self, text: &str) {
        self.place.file("edge.weir", text.as_bytes());
        let policy = self.place.path("edge.weir").display().to_string();
        self.run(&[env!("CARGO_BIN_EXE_weir"), "fleet", "publish", "edge", &policy, "--etcd", ETCD]);
    }

    fn run(&self, command: &[&str]) -> String {
        Program::run(self.host("centre"), command, Duration::from_secs(10)).unwrap()
    }

    /// As a person who does not let Weir check it.
    fn put(&self, key: &str, value: &str) {
        self.run(&["env", "ETCDCTL_API=3", "etcdctl", "--endpoints", ETCD, "put", key, value]);
    }

    fn delete(&self, prefix: &str) {
        self.run(&["env", "ETCDCTL_API=3", "etcdctl", "--endpoints", ETCD, "del", "--prefix", prefix]);
    }

    fn shown(&self) -> Value {
        let told = self.run(&[env!("CARGO_BIN_EXE_weir"), "fleet", "show", "--json", "--etcd", ETCD]);
        serde_json::from_str(&told).unwrap()
    }

    fn policy(&self, index: usize) -> String {
        Instance::open(&self.instance(index)).and_then(|instance| instance.policy_text()).unwrap_or_default()
    }

    fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.place.path(name)).unwrap_or_default()
    }

    fn logs(&self) -> String {
        let names = ["a1.log", "a2.log", "edge1.log", "edge2.log"];
        names.map(|name| format!("{name}:\n{}", self.log(name))).concat()
    }

    #[track_caller]
    fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let start = Instant::now();
        while !holds() {
            assert!(start.elapsed() < Duration::from_secs(20), "{what}: not after 20 s\n{}", self.logs());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Both edges know etcd's policy and run it.
    fn settle(&mut self) {
        self.publish(POLICY);
        (0..2).for_each(|index| self.start_edge(index));
        for index in 0..2 {
            self.until("the policy runs", || self.policy(index).contains("drop telnet"));
        }
    }

    /// Packets that a statement decided at an edge.
    fn packets(&self, index: usize, statement: &str) -> u64 {
        let counters = Instance::open(&self.instance(index)).unwrap().counters().unwrap();
        counters.iter().find(|one| one.name == statement).unwrap_or_else(|| panic!("{statement}")).packets
    }

    fn is_mitigated(&self, index: usize) -> bool {
        self.policy(index).contains("\ndrop mitigation_")
    }

    fn link(&self, edge: &str, state: &str) {
        Program::run(self.host(edge), &["ip", "link", "set", "eth1", state], Duration::from_secs(5)).unwrap();
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.edges = [None, None];
        for index in 0..2 {
            let _ = unload(&self.instance(index));
        }
    }
}

/// Everyday traffic to both edges from now on, and a flood that is split between them when it is asked for.
struct Traffic {
    stop: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Traffic {
    fn everyday(lab: &Arc<Lab>) -> Traffic {
        Traffic::start(lab, 1500, |route| Box::new(Everyday::new(route, 100, 7, Flow(100))))
    }

    fn flood(lab: &Arc<Lab>, rate: u64) -> Traffic {
        Traffic::start(lab, rate, |route| {
            Box::new(Reflection::new(route, Amplifier::Ntp, 500, 482, 1, Flow(1)))
        })
    }

    fn start(
        lab: &Arc<Lab>,
        rate: u64,
        of: fn(Route) -> Box<dyn weir_lab::traffic::Traffic + Send>,
    ) -> Traffic {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = |name: &'static str| {
            let (lab, stop) = (Arc::clone(lab), Arc::clone(&stop));
            std::thread::spawn(move || {
                let client = lab.host(name).unwrap();
                let route =
                    Route::from(client.interface("eth0").unwrap(), Ipv4Addr::new(10, 1, 0, 2)).unwrap();
                let pace = SendOptions::new(Pace::PerSecond(rate), Duration::from_secs(120));
                send(client, "eth0", of(route).as_mut(), &SendOptions { stop, ..pace }).unwrap();
            })
        };
        Traffic { threads: ["client1", "client2"].map(thread).into(), stop }
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

fn cannot(test: &str) -> bool {
    if !privileged(test) {
        return true;
    }
    let missing = Command::new("etcd").arg("--version").output().is_err();
    if missing {
        assert!(std::env::var_os("WEIR_REQUIRE_KERNEL").is_none(), "etcd is missing");
        skip(test, "etcd is not installed");
    }
    missing
}

#[test]
fn edges_run_what_etcd_says_and_keep_it_whatever_becomes_of_etcd() {
    if cannot("edges_run_what_etcd_says_and_keep_it_whatever_becomes_of_etcd") {
        return;
    }
    let mut fleet = Fleet::start();
    fleet.start_edge(0);
    fleet.until("there is none yet", || fleet.log("edge1.log").contains("no_policy"));
    fleet.settle();
    fleet.until("both say so", || {
        let shown = fleet.shown();
        (&shown["policies"][0]["edges"], &shown["policies"][0]["run"]) == (&2.into(), &2.into())
    });

    fleet.until("what they count is there", || {
        let packets = fleet.shown()["edges"]["edge1"]["packets"].clone();
        ["web", "telnet", "default"].iter().all(|name| packets[name].is_u64())
    });

    // A policy that does not compile: the old one runs, and etcd and the log know why.
    fleet.put("/weir/policies/edge", "drop telnet when tcp.dstport == \"x\"\n");
    fleet.until("it is told", || {
        let why = fleet.shown()["edges"]["edge1"]["trouble"]["why"].to_string();
        why.contains("edge.weir:1:") && fleet.log("edge1.log").contains("refused")
    });
    assert_eq!(fleet.policy(0), POLICY);

    // The edge is cut off: it keeps what it has, and takes what it missed when it is back.
    fleet.link("edge1", "down");
    let other = POLICY.replace("count web", "count tls");
    fleet.publish(&other);
    fleet.until("the other one runs it", || fleet.policy(1) == other);
    fleet.until("the lost one says so", || fleet.log("edge1.log").contains("\"lost\""));
    fleet.until("its key is gone", || fleet.shown()["edges"].get("edge1").is_none());
    assert_eq!(fleet.policy(0), POLICY);
    fleet.link("edge1", "up");
    fleet.until("it is back", || fleet.policy(0) == other);

    // A policy that is taken away is no order to let everything through.
    fleet.delete("/weir/policies/");
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!((fleet.policy(0), fleet.policy(1)), (other.clone(), other.clone()));

    // Killed, both of them: what ran runs, and the next edge goes on with it.
    fleet.edges[0] = None;
    fleet.etcd = None;
    assert_eq!(fleet.policy(0), other);
    fleet.start_edge(0);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(fleet.policy(0), other);
    fleet.start_etcd();
    fleet.publish(POLICY);
    fleet.until("it goes on", || fleet.policy(0) == POLICY && fleet.policy(1) == POLICY);
}

#[test]
fn mitigations_in_etcd_can_only_take_packets_away() {
    if cannot("mitigations_in_etcd_can_only_take_packets_away") {
        return;
    }
    let mut fleet = Fleet::start();
    fleet.settle();
    fleet.put("/weir/mitigations/0000000001", "# by hand\ndrop ntp when udp.srcport == 123\n");
    fleet.put("/weir/mitigations/0000000002", "default drop\n");
    fleet.put("/weir/mitigations/0000000003", "drop odd when ip.src in nowhere\n");
    for index in 0..2 {
        fleet.until("the good one runs", || {
            fleet.policy(index).contains("\ndrop ntp when udp.srcport == 123\n")
        });
        let policy = fleet.policy(index);
        assert!(policy.contains("default pass") && !policy.contains("nowhere"), "{policy}");
    }
    fleet.until("the others are told", || {
        let refused = &fleet.shown()["edges"]["edge2"]["refused"];
        refused["0000000002"] == "it is not one statement"
            && refused["0000000003"].as_str().is_some_and(|why| why.contains("nowhere"))
    });
    // With a policy that is refused they come and go all the same.
    fleet.put("/weir/policies/edge", "drop telnet when tcp.dstport == \"x\"\n");
    fleet.until("it is told", || fleet.shown()["edges"]["edge1"]["trouble"]["why"].is_string());
    assert!(fleet.policy(0).contains("drop ntp"));
    fleet.delete("/weir/mitigations/");
    fleet.until("they go", || !fleet.policy(0).contains("drop ntp"));
    fleet.put("/weir/mitigations/0000000001", "drop ntp when udp.srcport == 123");
    fleet.until("another one comes", || fleet.policy(0).contains("drop ntp"));
    // Another policy has a place for them, too.
    fleet.publish(&POLICY.replace("telnet", "shell"));
    fleet.until("they stand in it", || {
        fleet.policy(0).contains("drop shell") && fleet.policy(0).contains("drop ntp")
    });
    fleet.delete("/weir/mitigations/");
    fleet.until("they go", || !fleet.policy(0).contains("drop ntp"));
}

#[test]
fn what_is_added_to_a_protected_set_of_an_edge_is_not_dropped_there_from_then_on() {
    if cannot("what_is_added_to_a_protected_set_of_an_edge_is_not_dropped_there_from_then_on") {
        return;
    }
    let mut fleet = Fleet::start();
    let policy = format!(
        "set protected : ip = {{ 192.0.2.1 }} timeout 1h\ncount seen when udp.srcport == 123\n{POLICY}"
    );
    fleet.publish(&policy);
    (0..2).for_each(|index| fleet.start_edge(index));
    // With a list of what is protected, as analysers write it.
    let rule = "drop ntp when udp.srcport == 123 and not ip.src in { 192.0.2.1 }";
    fleet.put("/weir/mitigations/0000000001", rule);
    let spared = format!("\n{rule} and not ip.src in protected\n");
    let runs = |fleet: &Fleet, index: usize| fleet.policy(index).contains(&spared);
    fleet.until("both edges run it", || runs(&fleet, 0) && runs(&fleet, 1));
    let _flood = Traffic::flood(&fleet.lab, 2000);
    fleet.until("both drop", || (0..2).all(|index| fleet.packets(index, "ntp") > 0));

    let (name, all) = (fleet.instance(0), ["0.0.0.0/1", "128.0.0.0/1"]);
    let change = |fleet: &Fleet, verb: &str, element: &str| {
        fleet.place.weir(&["set", verb, "protected", element, "-n", &name]).exits(0);
    };
    let drops = |fleet: &Fleet, index: usize| {
        let now = || (fleet.packets(index, "seen"), fleet.packets(index, "ntp"));
        let (seen, dropped) = now();
        fleet.until("more comes", || now().0 > seen + 500);
        now().1 > dropped
    };
    change(&fleet, "add", all[0]);
    assert!(drops(&fleet, 0), "others are dropped as before");
    change(&fleet, "add", all[1]);
    assert!(!drops(&fleet, 0) && drops(&fleet, 1), "in the first edge's set are all of them");
    assert!(runs(&fleet, 0), "{}", fleet.policy(0));
    fleet.until("that is told", || fleet.shown()["edges"]["edge1"]["never"] == "protected");

    change(&fleet, "del", all[0]);
    assert!(drops(&fleet, 0));

    // Another process goes on with it, and without etcd.
    fleet.etcd = None;
    fleet.edges[0] = None;
    fleet.start_edge(0);
    std::thread::sleep(Duration::from_secs(1));
    assert!(runs(&fleet, 0) && drops(&fleet, 0), "{}", fleet.policy(0));
    fleet.start_etcd();

    // A set that protects nobody: then nothing may be dropped.
    fleet.publish(&policy.replace("protected : ip =", "protected : ip4 ="));
    fleet.until("it is refused", || {
        let why = fleet.shown()["edges"]["edge1"]["refused"]["0000000001"].to_string();
        why.contains("the set `protected` must be of type `ip`") && !fleet.policy(0).contains("drop ntp")
    });
    fleet.until("the log has it", || fleet.log("edge1.log").contains("must be of type"));
}

#[test]
fn analysers_that_each_see_a_half_agree_on_one_mitigation_and_survive_each_other() {
    if cannot("analysers_that_each_see_a_half_agree_on_one_mitigation_and_survive_each_other") {
        return;
    }
    let mut fleet = Fleet::start();
    fleet.settle();
    // The service is another policy's, which analysers know as well.
    fleet.place.file(
        "shop.weir",
        b"pool shop {\n    10.9.9.9\n}\nbalance shop when ip.dst == 10.1.0.2 and tcp.dstport == 443 to shop\n",
    );
    let shop = fleet.place.path("shop.weir").display().to_string();
    fleet.run(&[env!("CARGO_BIN_EXE_weir"), "fleet", "publish", "shop", &shop, "--etcd", ETCD]);
    (0..2).for_each(|index| fleet.start_analyser(index));
    fleet.until("one decides", || {
        let shown = fleet.shown();
        let leads: Vec<bool> =
            shown["analysers"].as_array().unwrap().iter().map(|one| one["leads"] == true).collect();
        leads.len() == 2 && leads.iter().filter(|leads| **leads).count() == 1
    });
    let _everyday = Traffic::everyday(&fleet.lab);
    std::thread::sleep(LEARN);
    assert_eq!(fleet.shown()["mitigations"], Value::Array(Vec::new()));

    // Each half is below what is an attack.
    let flood = Traffic::flood(&fleet.lab, 15_000);
    fleet.until("both edges drop", || fleet.is_mitigated(0) && fleet.is_mitigated(1));
    std::thread::sleep(Duration::from_secs(2));
    let shown = fleet.shown();
    let [one] = shown["mitigations"].as_array().unwrap().as_slice() else { panic!("{shown}") };
    assert_eq!(one["name"], "mitigation_1_ntp_amplification", "{shown}");
    assert_eq!((&one["edges"], &one["shadow"]), (&2.into(), &false.into()), "{shown}");
    assert!(one["packets"].as_u64().unwrap() > 10_000, "{shown}");

    // A person writes something else in its place; who decides says what cannot stand there.
    let edit = |text: &str| {
        let weir = env!("CARGO_BIN_EXE_weir");
        let told = format!("{weir} fleet edit 1 '{text}' --etcd {ETCD} 2>&1; echo \"exit $?\"");
        fleet.run(&["sh", "-c", &told])
    };
    let told = edit("pass when udp");
    for words in
        ["error[E0003]: it is neither `drop` nor `limit`", "mitigation_1_ntp_amplification:1:1", "exit 1"]
    {
        assert!(told.contains(words), "{told}");
    }
    let told = edit("drop when ip.src in nowhere");
    assert!(told.contains("error[E0101]") && told.contains("exit 1"), "{told}");
    assert_eq!(fleet.shown()["mitigations"][0]["text"], one["text"]);
    let told = edit("drop when udp.srcport == 123 and frame.len > 100");
    assert!(told.contains("mitigation 1 is edited") && told.contains("exit 0"), "{told}");
    let written = "\ndrop mitigation_1_ntp_amplification when udp.srcport == 123 and frame.len > 100\n";
    let stands = || (0..2).all(|index| fleet.policy(index).contains(written));
    fleet.until("both edges run what a person wrote", stands);
    let edited = &fleet.shown()["mitigations"][0];
    assert_eq!(edited["edited"], true, "{edited}");
    assert!(edited["packets"].as_u64() >= one["packets"].as_u64(), "{edited}");

    let leader = usize::from(shown["analysers"][1]["leads"] == true);
    for index in 0..2 {
        let (page, name) = (fleet.metrics(index), format!("name=\"analyser-a{}\"", index + 1));
        let has = |series: &str| page.lines().any(|line| line == series);
        assert!(has(&format!("weir_analyser_leads{{{name}}} {}", u8::from(index == leader))), "{page}");
        assert!(page.contains(&format!("weir_analyser_samples_total{{{name}}} ")), "{page}");
        let enforced = format!("weir_mitigations_standing{{{name},state=\"enforced\"}} 1");
        assert_eq!(has(&enforced), index == leader, "{page}");
    }

    // Its journal has what it met, though it has no chance to say that it ends.
    let journal = format!("a{}.redb", leader + 1);
    let met = || fleet.place.weir(&["attacks", "--journal", &journal, "--json"]).exits(0).json();
    let is_written = |met: &Value| met["mitigations"][0]["text"].as_str().unwrap().ends_with(&written[1..]);
    fleet.until("its journal has what a person wrote", || is_written(&met()));

    // The one that decides is killed: what it decided stands, and the other goes on.
    fleet.analysers[leader] = None;
    let next = format!("a{}.log", 2 - leader);
    fleet.until("the other decides", || fleet.log(&next).matches("\"leads\"").count() == 1);
    assert!(fleet.is_mitigated(0) && fleet.is_mitigated(1));
    std::thread::sleep(Duration::from_secs(4));
    let stands = (0..2).all(|index| fleet.policy(index).contains(written));
    assert!(stands, "it is still hit, and what a person wrote:\n{}", fleet.logs());
    assert_eq!(fleet.shown()["mitigations"].as_array().unwrap().len(), 1);
    assert_eq!(fleet.shown()["mitigations"][0]["edited"], true);
    drop(flood);
    let met = met();
    assert_eq!(met["attacks"][0]["victim"], "shop", "{met}");
    assert_eq!(met["attacks"][0]["addresses"][0], "10.1.0.2", "{met}");
    assert_eq!(met["mitigations"][0]["name"], "mitigation_1_ntp_amplification", "{met}");
    assert!(is_written(&met), "{met}");
    let capture = ["attacks", "--journal", &journal, "--capture", "1", "-w", "cause.pcapng"];
    fleet.place.weir(&capture).exits(0);
    fleet.until("it goes when it is not hit", || !fleet.is_mitigated(0) && !fleet.is_mitigated(1));
    fleet.until("it told so", || fleet.log(&next).contains("it is hardly hit any more"));
}

#[test]
fn without_etcd_or_analysers_mitigations_end_by_themselves() {
    if cannot("without_etcd_or_analysers_mitigations_end_by_themselves") {
        return;
    }
    let mut fleet = Fleet::start();
    fleet.settle();
    fleet.start_analyser(0);
    // The second edge's samples have nowhere to go: what is done about the first one's holds for it, too.
    let _everyday = Traffic::everyday(&fleet.lab);
    std::thread::sleep(LEARN);
    let flood = Traffic::flood(&fleet.lab, 30_000);
    fleet.until("both edges drop", || fleet.is_mitigated(0) && fleet.is_mitigated(1));
    fleet.until("how hard it is hit is in etcd", || fleet.is_rate_known());
    fleet.etcd = None;
    fleet.until("etcd is lost", || {
        ["a1.log", "edge1.log", "edge2.log"].iter().all(|log| fleet.log(log).contains("\"lost\""))
    });
    std::thread::sleep(Duration::from_secs(4));
    assert!(fleet.is_mitigated(0) && fleet.is_mitigated(1), "they keep what is hit");
    drop(flood);
    // What its condition grazes all the same does not keep it, neither here nor with whoever decides next.
    let _trickle = Traffic::flood(&fleet.lab, 20);
    fleet.until("it is not hit any more", || !fleet.is_mitigated(0) && !fleet.is_mitigated(1));
    fleet.start_etcd();
    // The one that decided goes on with what etcd has, and sees that it is over.
    fleet.until("it is over", || fleet.shown()["mitigations"] == Value::Array(Vec::new()));
    std::thread::sleep(Duration::from_secs(1));
    assert!(!fleet.is_mitigated(0) && !fleet.is_mitigated(1));
}

#[test]
fn people_forbid_what_the_fleet_must_not_do() {
    if cannot("people_forbid_what_the_fleet_must_not_do") {
        return;
    }
    let mut fleet = Fleet::start();
    fleet.settle();
    (0..2).for_each(|index| fleet.start_analyser(index));
    let _everyday = Traffic::everyday(&fleet.lab);
    std::thread::sleep(LEARN);
    let _flood = Traffic::flood(&fleet.lab, 20_000);
    fleet.until("both edges drop", || fleet.is_mitigated(0) && fleet.is_mitigated(1));
    let weir = env!("CARGO_BIN_EXE_weir");
    fleet.run(&[weir, "fleet", "forbid", "1", "--etcd", ETCD]);
    fleet.until("it goes", || !fleet.policy(0).contains("mitigation_"));
    std::thread::sleep(Duration::from_secs(2));
    assert!(!fleet.policy(0).contains("ntp_amplification"), "{}", fleet.policy(0));
    assert_eq!(fleet.shown()["forbidden"]["1"], "NTP amplification to 10.1.0.2");
    // Whoever decides next knows it.
    let leader = usize::from(fleet.shown()["analysers"][1]["leads"] == true);
    fleet.analysers[leader] = None;
    let next = format!("a{}.log", 2 - leader);
    fleet.until("the other decides", || fleet.log(&next).contains("\"leads\""));
    std::thread::sleep(Duration::from_secs(2));
    assert!(!fleet.policy(0).contains("ntp_amplification"), "{}", fleet.policy(0));
    fleet.run(&[weir, "fleet", "allow", "1", "--etcd", ETCD]);
    fleet.until("it comes back", || fleet.policy(0).contains("ntp_amplification"));
    assert!(fleet.shown()["forbidden"].as_object().unwrap().is_empty());
}

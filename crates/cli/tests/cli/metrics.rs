//! `--metrics` and `weir metrics`, read by Prometheus itself.

use crate::attached::Scene;
use crate::common::{Place, privileged, skip};
use crate::protect::{POLICY, Traffic, events, interrupt, lab, start};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

fn is_there(tool: &str, test: &str) -> bool {
    let is_there = Command::new(tool).arg("--version").output().is_ok();
    if !is_there {
        skip(test, &format!("`{tool}` is not installed"));
    }
    is_there
}

/// The address that a command says it serves at. What it says afterwards is read, too, and dropped.
fn served_at(child: &mut Child) -> String {
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let url = lines.by_ref().find_map(|line| {
        let rest = line.strip_prefix("metrics at http://")?;
        Some(rest.split('/').next()?.to_owned())
    });
    std::thread::spawn(move || lines.for_each(drop));
    url.expect("an address")
}

/// The body of an answer.
pub(crate) fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(" 200 "), "{path}: {answer}");
    body.to_owned()
}

/// A Prometheus that scrapes an address twice a second, until it is dropped.
struct Prometheus {
    child: Child,
    address: String,
}

impl Prometheus {
    fn start(directory: &Path, scraped: &str) -> Prometheus {
        let config = format!(
            "global: {{scrape_interval: 500ms, scrape_timeout: 500ms}}\nscrape_configs:\n- job_name: weir\n  static_configs:\n  - targets: ['{scraped}']\n"
        );
        std::fs::write(directory.join("prometheus.yml"), config).unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let mut command = Command::new("prometheus");
        command.args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"]);
        command.arg(format!("--web.listen-address={address}")).current_dir(directory);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let start = Instant::now();
        while TcpStream::connect(&address).is_err() {
            assert!(start.elapsed() < Duration::from_secs(30), "Prometheus does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
        Prometheus { child, address }
    }

    /// The only value that a query has.
    fn value(&self, query: &str) -> Option<f64> {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let answer: Value =
            serde_json::from_str(&get(&self.address, &format!("/api/v1/query?query={encoded}"))).unwrap();
        let result = answer["data"]["result"].as_array().unwrap();
        assert!(result.len() <= 1, "{query}: {answer}");
        result.first()?["value"][1].as_str()?.parse().ok()
    }

    fn waits_for(&self, query: &str, is_so: impl Fn(f64) -> bool) -> f64 {
        let start = Instant::now();
        loop {
            match self.value(query) {
                Some(value) if is_so(value) => return value,
                other => assert!(start.elapsed() < Duration::from_secs(20), "{query}: {other:?}"),
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What Prometheus' own tool has to say of a page.
fn checked(page: &str) {
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[test]
fn prometheus_reads_what_an_edge_does() {
    const TEST: &str = "prometheus_reads_what_an_edge_does";
    if !privileged(TEST) || !is_there("prometheus", TEST) || !is_there("promtool", TEST) {
        return;
    }
    let (place, lab) = (Place::new(), Arc::new(lab()));
    place.file("edge.weir", POLICY);
    let collector = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let refused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let webhook = format!("http://{refused}/");
    let hooks = ["--on-attack", "cat >> told.jsonl; echo $WEIR_EVENT >> told.txt", "--webhook", &webhook];
    let more = ["--metrics", "127.0.0.1:0", "--sflow", &collector];
    let mut child = start(&place, &lab, &[&more[..], &hooks].concat());
    let address = served_at(&mut child);
    let prometheus = Prometheus::start(&place.path("."), &address);
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let traffic = Traffic::start(&lab, Duration::from_secs(8));
    events(&mut output, "drops");

    let drops = "weir_statement_packets_total{name=\"edge\",statement=\"mitigation_1_ntp_amplification\",verb=\"drop\"}";
    let dropped = prometheus.waits_for(drops, |packets| packets > 0.0);
    prometheus.waits_for(drops, |packets| packets > dropped + 1000.0);
    prometheus.waits_for("weir_attacks_running{name=\"edge\"}", |running| running == 1.0);
    prometheus.waits_for("weir_mitigations_standing{state=\"enforced\"}", |standing| standing == 1.0);
    prometheus.waits_for("weir_mitigation_hits_total{cause=\"NTP amplification\"}", |hits| hits > 0.0);
    prometheus.waits_for("weir_attack_packets_per_second{victim=\"10.1.0.2\"}", |rate| rate > 10_000.0);
    prometheus.waits_for("weir_attachment_active{interface=\"eth0\"}", |active| active == 1.0);
    prometheus.waits_for("weir_samples_total{statement=\"all\"}", |samples| samples > 100.0);
    prometheus.waits_for("weir_sflow_datagrams_total + weir_sflow_failed_datagrams_total", |sent| sent > 0.0);
    prometheus
        .waits_for("weir_hook_messages_total{hook=\"webhook 1\",result=\"failed\"}", |failed| failed >= 3.0);
    prometheus.waits_for("weir_hook_messages_total{hook=\"command 1\",result=\"sent\"}", |sent| sent >= 3.0);
    prometheus.waits_for("weir_protection_events_total", |events| events >= 3.0);
    assert_eq!(prometheus.value("weir_journal_failures_total"), Some(0.0));
    checked(&get(&address, "/metrics"));

    // What `weir status` counts is what was scraped.
    let name = format!("run-{}", child.id());
    let web = |json: &Value| {
        let statements = json["instances"][0]["statements"].as_array().unwrap();
        statements.iter().find(|one| one["name"] == "web").unwrap()["packets"].as_f64().unwrap()
    };
    let status = || web(&place.weir(&["status", "-n", &name, "--json"]).exits(0).json());
    let before = status();
    let scraped =
        prometheus.waits_for("weir_statement_packets_total{statement=\"web\"}", |web| web >= before);
    assert!(scraped <= status(), "{before} {scraped}");

    drop(traffic);
    interrupt(child, output);
    let told = place.read("told.txt");
    assert!(told.starts_with("attack\nfound\n") && told.contains("\ndrops\n"), "{told}");
    let first: Value = serde_json::from_str(place.read("told.jsonl").lines().next().unwrap()).unwrap();
    assert_eq!(
        (first["victim"].as_str(), first["instance"].as_str()),
        (Some("10.1.0.2"), Some(name.as_str()))
    );
    prometheus.waits_for("up", |up| up == 0.0);
}

const ALL: &str = "set blocked : ip timeout 10m max 1k
pool web {
    10.0.1.10 weight 2
    10.0.1.11
    gateway 02:00:00:00:00:01
}
drop attackers when ip.src in blocked
shadow drop large when frame.len > 1400
limit syn when tcp.flags.syn to 500/s burst 1000 per ip.src/24
balance web when ip.dst == 203.0.113.10 and tcp.dstport == 80 to web
sample all 1 in 100
default pass
";

#[test]
fn what_is_loaded_has_metrics() {
    const TEST: &str = "what_is_loaded_has_metrics";
    let Some(scene) = Scene::new("what-has-metrics") else { return };
    scene.place.file("p.weir", ALL.as_bytes());
    scene.load().exits(0);
    scene.weir(&["block", "192.0.2.1"]).exits(0);
    scene.weir(&["pool", "drain", "web", "10.0.1.11"]).exits(0);
    let page = scene.weir(&["metrics"]).exits(0);
    let name = "name=\"what-has-metrics\"";
    for line in [
        format!("weir_policy_up{{{name}}} 1"),
        format!("weir_attachment_active{{hook=\"native XDP\",interface=\"eth0\",{name}}} 1"),
        format!("weir_set_elements{{{name},set=\"blocked\"}} 1"),
        format!("weir_statement_packets_total{{{name},statement=\"large\",verb=\"shadow drop\"}} 0"),
        format!("weir_statement_over_packets_total{{{name},statement=\"syn\",verb=\"limit\"}} 0"),
        format!("weir_statement_unsent_packets_total{{{name},reason=\"nobody\",statement=\"web\"}} 0"),
        format!("weir_backend_state{{backend=\"10.0.1.11\",{name},pool=\"web\",state=\"draining\"}} 1"),
        format!("weir_backend_weight{{backend=\"10.0.1.10\",{name},pool=\"web\"}} 2"),
        format!("weir_sample_one_in{{{name},statement=\"all\"}} 100"),
    ] {
        assert!(page.out.contains(&format!("{line}\n")), "no `{line}` in:\n{}", page.out);
    }
    let args = ["metrics", "-n", "what-has-metrics", "--listen", "127.0.0.1:0"];
    let mut child = scene.start(&args);
    let address = served_at(&mut child);
    assert!(get(&address, "/metrics").contains(&format!("weir_policy_up{{{name}}} 1\n")));
    let taken = ["metrics", "--listen", &address];
    scene.place.weir(&taken).exits(2).says("cannot serve metrics at").says("address already in use");
    scene.weir(&["unload"]).exits(0);
    std::thread::sleep(Duration::from_secs(1));
    assert!(!get(&address, "/metrics").contains("what-has-metrics"), "it is gone");
    let output = child.stdout.take().unwrap();
    interrupt(child, output);
    if is_there("promtool", TEST) {
        checked(&page.out);
    }
}

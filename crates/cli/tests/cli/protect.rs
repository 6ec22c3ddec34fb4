//! `run --protect`, `attacks` and `demo ddos`: an edge that finds its own rules.

use crate::common::{Place, answer, privileged};
use crate::sflow::until;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use weir_dataplane::Instance;
use weir_detect::sample::{Fate, Sample};
use weir_detect::sflow;
use weir_lab::traffic::{Amplifier, Everyday, Reflection, Route};
use weir_lab::wire::{Flow, Pace, SendOptions, send};
use weir_lab::{End, HostSpec, Lab, Link, Prefix, Topology};

pub(crate) const POLICY: &[u8] = b"sample all 1 in 50\ncount web when tcp.dstport == 443\ndefault pass\n";

pub(crate) fn lab() -> Lab {
    let end = |host: &str, last: u8| End::new(host, "eth0").address(Prefix::new([10, 1, 0, last], 24));
    let hosts = Topology::new().host(HostSpec::new("a")).host(HostSpec::new("b"));
    hosts.link(Link::new(end("a", 1), end("b", 2))).build().expect("a lab")
}

/// Everyday traffic from the beginning, and a flood from the third second on, until it is dropped.
pub(crate) struct Traffic {
    stop: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<()>>,
    _lab: Arc<Lab>,
}

impl Traffic {
    pub(crate) fn start(lab: &Arc<Lab>, flood: Duration) -> Traffic {
        Traffic::to(lab, &[[10, 1, 0, 2]], (Duration::from_secs(3), flood), 50_000)
    }

    /// To several addresses of a host; the flood begins after some time, and goes on for some.
    fn to(lab: &Arc<Lab>, all: &[[u8; 4]], flood: (Duration, Duration), rate: u64) -> Traffic {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = |to: [u8; 4], wait: Duration, time: Duration, rate: u64| {
            let (lab, stop) = (Arc::clone(lab), Arc::clone(&stop));
            std::thread::spawn(move || {
                std::thread::sleep(wait);
                let client = lab.host("a").unwrap();
                let route = Route::from(client.interface("eth0").unwrap(), Ipv4Addr::from(to)).unwrap();
                let options = SendOptions { stop, ..SendOptions::new(Pace::PerSecond(rate), time) };
                if wait.is_zero() {
                    send(client, "eth0", &mut Everyday::new(route, 200, 7, Flow(100)), &options).unwrap();
                } else {
                    let mut flood = Reflection::new(route, Amplifier::Ntp, 500, 482, 1, Flow(1));
                    send(client, "eth0", &mut flood, &options).unwrap();
                }
            })
        };
        let everyday = 4000 / all.len() as u64;
        let threads = all.iter().flat_map(|to| {
            let everyday = thread(*to, Duration::ZERO, Duration::from_secs(120), everyday);
            [everyday, thread(*to, flood.0, flood.1, rate)]
        });
        let threads = threads.collect();
        Traffic { stop, threads, _lab: Arc::clone(lab) }
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

pub(crate) fn start(place: &Place, lab: &Lab, more: &[&str]) -> Child {
    let netns = lab.host("b").unwrap().namespace().label().to_owned();
    let mut args = vec![
        "run",
        "edge.weir",
        "-i",
        "eth0",
        "--netns",
        &netns,
        "--protect",
        "--json",
        "--protect-expire",
        "2s",
        "--journal",
        "edge.redb",
    ];
    args.extend(more);
    let mut command = place.command(&args);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Events up to the first one of a kind.
pub(crate) fn events(output: &mut impl BufRead, until: &str) -> Vec<Value> {
    let (start, mut events) = (Instant::now(), Vec::new());
    for line in output.lines() {
        let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
        assert!(start.elapsed() < Duration::from_secs(40), "no `{until}` after {events:?}");
        if event.get("event").is_some() {
            let last = event["event"] == until;
            events.push(event);
            if last {
                return events;
            }
        }
    }
    panic!("it ended after {events:?}")
}

/// Whether there comes a datagram with a sample that a statement dropped.
fn takes(collector: &UdpSocket, statement: &str) -> bool {
    collector.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let (mut bytes, mut tally, start) = ([0; 2048], sflow::Tally::default(), Instant::now());
    let mut found = false;
    while !found && start.elapsed() < Duration::from_secs(60) {
        let Ok(length) = collector.recv(&mut bytes) else { continue };
        let each = |sample: Sample<'_>| {
            found |= sample.fate == Fate::Dropped && sample.statement == Some(statement);
        };
        sflow::samples(&bytes[..length], Duration::ZERO, &mut tally, each).unwrap();
    }
    found
}

#[test]
fn an_edge_tells_what_it_meets_and_does() {
    if !privileged("an_edge_tells_what_it_meets_and_does") {
        return;
    }
    let (place, lab) = (Place::new(), Arc::new(lab()));
    place.file("edge.weir", POLICY);
    let collector = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = collector.local_addr().unwrap().to_string();
    let collecting = std::thread::spawn(move || takes(&collector, "mitigation_1_ntp_amplification"));
    let mut child = start(&place, &lab, &["--sflow", &address]);
    let name = format!("run-{}", child.id());
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let traffic = Traffic::start(&lab, Duration::from_secs(6));
    let told = events(&mut output, "drops");
    let kinds: Vec<&str> = told.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(kinds[..2], ["attack", "found"], "{told:?}");
    assert!(kinds.contains(&"enforced"), "{told:?}");
    assert_eq!(told[0]["victim"], "10.1.0.2");
    assert_eq!(told[1]["name"], "mitigation_1_ntp_amplification");

    let json = place.weir(&["attacks", "-n", &name, "--json"]).exits(0).json();
    assert_eq!(
        (json["attacks"][0]["victim"].as_str(), json["attacks"][0]["ended"].as_u64()),
        (Some("10.1.0.2"), None)
    );
    assert_eq!(json["mitigations"][0]["state"], "enforced");
    let shown = place.weir(&["attacks", "-n", &name]).exits(0);
    shown.answers("goes on").answers("drop mitigation_1_ntp_amplification when ip.dst == 10.1.0.2");
    place.weir(&["attacks", "-n", &name, "--pin", "7"]).exits(2).says("no mitigation 7 stands");
    place.weir(&["attacks", "-n", &name, "--forbid", "1"]).exits(0);
    let told = events(&mut output, "ended");
    assert_eq!(told.last().unwrap()["why"], "it was forbidden");
    drop(traffic);
    assert!(collecting.join().unwrap(), "a collector gets the same samples");

    interrupt(child, output);
    place.weir(&["attacks", "-n", &name]).exits(2);
    assert!(!std::path::Path::new("/run/weir").join(&name).exists());
}

pub(crate) fn interrupt(mut child: Child, mut output: impl Read) {
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    output.read_to_string(&mut String::new()).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// A flood over two addresses, each below what is an attack on a host; and another policy, which calls them otherwise.
#[test]
fn a_service_of_the_policy_is_defended_as_one() {
    if !privileged("a_service_of_the_policy_is_defended_as_one") {
        return;
    }
    let (place, lab) = (Place::new(), Arc::new(lab()));
    let policy = |service: &str| {
        let pool = "pool web {\n    10.1.0.9 mac 02:00:00:00:00:09\n}\n";
        let both = "when ip.dst in { 10.1.0.2, 10.2.0.2 } and tcp.dstport == 9";
        format!("sample all 1 in 20\n{pool}balance {service} {both} to web\ndefault pass\n")
    };
    place.file("edge.weir", policy("web").as_bytes());
    let mut child = start(&place, &lab, &["--protect-from", "8000"]);
    let name = format!("run-{}", child.id());
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let flood = Duration::from_secs(10);
    // 6,500 packets/s to each address, with everyday traffic.
    let traffic = Traffic::to(&lab, &[[10, 1, 0, 2], [10, 2, 0, 2]], (Duration::from_secs(3), flood), 4500);
    let told = events(&mut output, "drops");
    assert_eq!(told[0]["victim"], "web", "{told:?}");
    assert_eq!(told[0]["addresses"], serde_json::json!(["10.1.0.2", "10.2.0.2"]));
    let attacks = told.iter().filter(|event| event["event"] == "attack").count();
    let found: Vec<&str> = told
        .iter()
        .filter_map(|event| event["text"].as_str())
        .filter(|text| text.contains(" drop ") || text.contains("\ndrop "))
        .collect();
    assert_eq!((attacks, found.len()), (1, 1), "{told:?}");
    assert!(found[0].contains("when ip.dst in { 10.1.0.2, 10.2.0.2 } and udp.srcport == 123"), "{found:?}");
    let shown = place.weir(&["attacks", "1", "-n", &name]).exits(0);
    shown.answers("attack 1 on web (10.1.0.2, 10.2.0.2): ");

    place.file("next.weir", policy("shop").as_bytes());
    place.weir(&["reload", "next.weir", "-n", &name]).exits(0);
    let told = events(&mut output, "attack");
    assert_eq!(told.last().unwrap()["victim"], "shop", "{told:?}");
    let over = told.iter().find(|event| event["event"] == "attack_ended");
    assert_eq!(over.map(|event| &event["victim"]), Some(&"web".into()), "{told:?}");
    let text = Instance::open(&name).unwrap().policy_text().unwrap();
    assert!(text.contains("balance shop") && text.contains("mitigation_1_ntp_amplification"), "{text}");
    drop(traffic);
    interrupt(child, output);
}

#[test]
fn what_was_met_outlives_the_edge() {
    if !privileged("what_was_met_outlives_the_edge") {
        return;
    }
    let (place, lab) = (Place::new(), Arc::new(lab()));
    place.file("edge.weir", POLICY);
    let mut child = start(&place, &lab, &[]);
    let name = format!("run-{}", child.id());
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let traffic = Traffic::start(&lab, Duration::from_secs(6));
    events(&mut output, "drops");
    // A journal is read while it is written, and by its file.
    let capture = ["attacks", "-n", &name, "--capture", "1", "-w", "while.pcapng"];
    let asked = Instant::now();
    // It is written behind the event, by another thread.
    while place.weir(&capture).code != Some(0) {
        assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", place.weir(&capture));
    }
    let shown = place.weir(&["attacks", "1", "-n", &name]).exits(0);
    shown.answers("attack 1 on 10.1.0.2").answers("first packet").answers("first drop");
    place.weir(&["attacks", "-n", &name, "--forbid", "1"]).exits(0);
    events(&mut output, "ended");
    drop(traffic);
    interrupt(child, output);

    let journal = ["attacks", "--journal", "edge.redb"];
    let weir = |more: &[&str]| place.weir(&[&journal, more].concat());
    let json = weir(&["--json"]).exits(0).json();
    let attack = &json["attacks"][0];
    assert!(attack["ended"].as_f64() > attack["began"].as_f64(), "{json}");
    let timeline = attack["timeline"].as_array().unwrap();
    let ms =
        |what: &str| timeline.iter().find(|moment| moment["what"] == what).unwrap()["ms"].as_f64().unwrap();
    assert_eq!(ms("first_packet"), 0.0);
    // The first packet may be dropped before the edge has heard that the rule is in force.
    for last in ["enforced", "first_drop"] {
        let order = ["first_packet", "alert", "rule", last, "removed"].map(ms);
        assert!(order.is_sorted(), "{timeline:?}");
    }
    assert_eq!(json["mitigations"][0]["why"], "it was forbidden");
    weir(&["1"]).exits(0).answers("drop mitigation_1_ntp_amplification when ip.dst == 10.1.0.2");
    weir(&["9"]).exits(2).says("no attack 9 is known");
    weir(&["--events"]).exits(0).answers("`mitigation_1_ntp_amplification` drops");
    weir(&["--pin", "1"]).exits(2);
    weir(&["--capture", "1", "-w", "after.pcapng"]).exits(0);
    weir(&["--capture", "7", "-w", "none.pcapng"]).exits(2).says("no samples of a mitigation 7");
    let capture = |name: &str| std::fs::read(place.path(name)).unwrap();
    assert_eq!(capture("while.pcapng"), capture("after.pcapng"));
    place.file("rule.weir", b"drop ntp when udp.srcport == 123\ndefault pass\n");
    let replay = place.weir(&["replay", "rule.weir", "after.pcapng", "--json"]).exits(0).json();
    let packets = |name: &str| {
        let statements = replay["statements"].as_array().unwrap();
        statements.iter().find(|one| one["name"] == name).unwrap()["packets"].as_u64().unwrap()
    };
    assert!(packets("ntp") >= 20 && packets("default") >= 20, "{replay}");

    // What was forbidden stays forbidden, and no number is given twice.
    let mut child = start(&place, &lab, &[]);
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let traffic = Traffic::start(&lab, Duration::from_secs(4));
    let told = events(&mut output, "not_tried");
    assert_eq!(told[0]["alert"], 2, "{told:?}");
    assert!(told.last().unwrap()["why"].as_str().unwrap().contains("forbidden"), "{told:?}");
    drop(traffic);
    interrupt(child, output);
}

#[test]
fn a_killed_edge_goes_on_dropping() {
    if !privileged("a_killed_edge_goes_on_dropping") {
        return;
    }
    let (place, lab) = (Place::new(), Arc::new(lab()));
    place.file("edge.weir", POLICY);
    let mut child = start(&place, &lab, &[]);
    let name = format!("run-{}", child.id());
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let traffic = Traffic::start(&lab, Duration::from_secs(10));
    events(&mut output, "drops");
    place.weir(&["attacks", "-n", &name, "--pin", "1"]).exits(0);
    let attacks = |name: &str| place.weir(&["attacks", "-n", name, "--json"]).exits(0).json();
    until("it is pinned", || attacks(&name)["mitigations"][0]["pinned"] == true);
    // What people want is written at once.
    std::thread::sleep(Duration::from_millis(500));
    child.kill().unwrap();
    child.wait().unwrap();
    let instance = Instance::open(&name).unwrap();
    assert!(instance.policy_text().unwrap().contains("mitigation_1_ntp_amplification"));
    let dropped = || {
        let counters = instance.counters().unwrap();
        counters.iter().find(|counter| counter.name == "mitigation_1_ntp_amplification").unwrap().packets
    };
    let before = dropped();
    std::thread::sleep(Duration::from_millis(500));
    assert!(dropped() > before + 1000, "{before}, {}", dropped());
    weir_dataplane::unload(&name).unwrap();
    // Nobody could say that it ended; what was met is known all the same.
    place.weir(&["attacks", "-n", &name]).exits(2).says("is not protected");
    let json = place.weir(&["attacks", "--journal", "edge.redb", "--json"]).exits(0).json();
    let timeline = json["attacks"][0]["timeline"].as_array().unwrap();
    assert_eq!(timeline.last().unwrap()["what"], "interrupted", "{json}");
    assert_eq!(json["mitigations"][0]["why"], "the protection ended");

    // What a person pinned stands again, whether there is an attack or not.
    drop(traffic);
    let mut child = start(&place, &lab, &[]);
    let name = format!("run-{}", child.id());
    let mut output = BufReader::new(child.stdout.take().unwrap());
    assert_eq!(events(&mut output, "enforced").len(), 1);
    until("it stands", || attacks(&name)["mitigations"][0]["state"] == "enforced");
    let text = Instance::open(&name).unwrap().policy_text().unwrap();
    assert!(text.contains("\ndrop mitigation_1_ntp_amplification when"), "{text}");
    interrupt(child, output);
}

/// Of the same policy, and of what stands in it, as the program counts them.
fn counted(instance: &Instance) -> (u64, u64) {
    let counters = instance.counters().unwrap();
    let of = |name: &str| counters.iter().find(|counter| counter.name == name).map_or(0, |one| one.packets);
    (of("mitigation_1_ntp_amplification"), of("default"))
}

#[test]
fn a_person_edits_a_mitigation_and_finds_it_so_after_a_kill() {
    if !privileged("a_person_edits_a_mitigation_and_finds_it_so_after_a_kill") {
        return;
    }
    let (place, lab) = (Place::new(), Arc::new(lab()));
    place.file("edge.weir", &[b"set protected : ip = { 198.19.7.0/24 }\n", POLICY].concat());
    let mut child = start(&place, &lab, &[]);
    let name = format!("run-{}", child.id());
    let mut output = BufReader::new(child.stdout.take().unwrap());
    // Longer than all of it takes on a machine with other work.
    let traffic = Traffic::start(&lab, Duration::from_secs(100));
    events(&mut output, "drops");
    let instance = Instance::open(&name).unwrap();
    let found = instance.policy_text().unwrap();
    let edit = |id: &str, text: &str| place.weir(&["attacks", "-n", &name, "--edit", id, text]);
    let mitigation =
        || place.weir(&["attacks", "-n", &name, "--json"]).exits(0).json()["mitigations"][0].clone();

    // What cannot stand there is shown, and what stands stands.
    for (text, told) in REFUSED {
        let answer = edit("1", text).exits(1);
        assert_eq!(answer.err, told.trim_start(), "{text}");
    }
    edit("7", "drop when udp").exits(2).says("no mitigation 7 stands");
    edit("one", "drop when udp").exits(2).says("`one` is no number of a mitigation");
    let open = |editor: &str| {
        let mut command = place.command(&["attacks", "-n", &name, "--edit", "1"]);
        answer(command.env_remove("VISUAL").env("EDITOR", editor), b"")
    };
    open("true").exits(0).says("nothing is changed");
    open("false").exits(2).says("the editor `false` failed: nothing is changed");
    open("").exits(2).says("help: write the statement behind the number, or set `EDITOR`");
    assert_eq!(instance.policy_text().unwrap(), found);

    // In an editor: from now on it counts, and all of it goes by.
    let hit = || mitigation()["hits"].as_u64().unwrap();
    until("it is hit, as the journal counts", || hit() > 0);
    let hits = hit();
    open("sed -i 's/^drop/shadow drop/'").exits(0).says("`mitigation_1_ntp_amplification` is edited");
    let told = events(&mut output, "edited").pop().unwrap();
    assert_eq!((&told["id"], &told["shadow"]), (&1.into(), &true.into()), "{told}");
    assert!(told["old"].as_str().unwrap().contains("\ndrop mitigation_1"), "{told}");
    assert!(told["new"].as_str().unwrap().contains("\nshadow drop mitigation_1"), "{told}");
    let gone_by = |time: u64| {
        let before = counted(&instance);
        std::thread::sleep(Duration::from_millis(time));
        let after = counted(&instance);
        (after.0 - before.0, after.1 - before.1)
    };
    let (counts, passed) = gone_by(300);
    assert!(counts > 500 && passed >= counts, "{counts} counted, {passed} passed");
    assert_eq!(mitigation()["state"], "shadow");

    // Another condition, which drops, and is to stay; nobody is there to hear of more than that it is done.
    let condition = "when udp.srcport == 123 and frame.len > 100 and not ip.src in protected";
    let pinned = ["attacks", "-n", &name, "--pin", "1", "--edit", "1", "-"];
    place.weir_reads(&pinned, format!("drop {condition}\n").as_bytes()).exits(0).says("is edited");
    let (dropped, passed) = gone_by(300);
    let text = format!("\ndrop mitigation_1_ntp_amplification {condition}\n");
    assert!(instance.policy_text().unwrap().contains(&text));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(dropped > 500 && passed < dropped, "{dropped} dropped, {passed} passed");
    drop(traffic);
    weir_dataplane::unload(&name).unwrap();
    let kept = |more: &[&str]| place.weir(&[&["attacks", "--journal", "edge.redb"], more].concat()).exits(0);
    let one = kept(&["--json"]).json()["mitigations"][0].clone();
    assert!(one["text"].as_str().unwrap().ends_with(&text[1..]) && one["edited"] == true, "{one}");
    assert!(one["hits"].as_u64().unwrap() >= hits, "{one}");
    kept(&["1"]).answers("edited  ").answers("ended, edited");
    let told = kept(&["--events"]).out;
    assert_eq!(
        told.matches("`mitigation_1_ntp_amplification` was edited by a person, from").count(),
        2,
        "{told}"
    );

    let mut child = start(&place, &lab, &[]);
    let name = format!("run-{}", child.id());
    let mut output = BufReader::new(child.stdout.take().unwrap());
    assert_eq!(events(&mut output, "enforced").len(), 1);
    assert!(Instance::open(&name).unwrap().policy_text().unwrap().contains(&text));
    place.weir(&["attacks", "-n", &name]).exits(0).answers("enforced, edited, pinned");
    interrupt(child, output);

    // A policy without the set has no place for it, and is none the worse for that.
    place.file("edge.weir", POLICY);
    let mut child = start(&place, &lab, &[]);
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let told = events(&mut output, "not_tried");
    assert_eq!(told[0]["rule"], text.trim(), "{told:?}");
    assert!(told[0]["why"].as_str().unwrap().contains("`protected`"), "{told:?}");
    interrupt(child, output);
}

/// What is refused, and what is said of it.
const REFUSED: [(&str, &str); 4] = [
    (
        "pass when udp",
        r"
error[E0003]: it is neither `drop` nor `limit`
 --> mitigation_1_ntp_amplification:1:1
  |
1 | pass when udp
  | ^^^^
  |
  = help: say `drop`, or `shadow drop` to count what that would take
",
    ),
    (
        "drop ntp when udp and not ip.src in protected",
        r"
error[E0003]: the mitigation is called `mitigation_1_ntp_amplification`, and not `ntp`
 --> mitigation_1_ntp_amplification:1:6
  |
1 | drop ntp when udp and not ip.src in protected
  |      ^^^
  |
  = help: leave the name out
",
    ),
    (
        "drop when udp.srcprt == 123",
        r"
error[E0101]: `udp` has no field `srcprt`
 --> mitigation_1_ntp_amplification:1:15
  |
1 | drop when udp.srcprt == 123
  |               ^^^^^^ unknown
  |
  = help: there is `udp.srcport`
",
    ),
    (
        "drop when udp.srcport == 123",
        r"
error[E0117]: it may match what is protected
 --> mitigation_1_ntp_amplification:1:11
  |
1 | drop when udp.srcport == 123
  |           ^^^^^^^^^^^^^^^^^^ such as `ip4(src=198.19.7.0) / udp(srcport=123)`
  |
  = help: leave that out: put `and not (ip.src in protected)` behind it, and what has `or` into parentheses
",
    ),
];

#[test]
fn a_journal_is_named_after_the_policy_and_may_be_missing() {
    if !privileged("a_journal_is_named_after_the_policy_and_may_be_missing") {
        return;
    }
    let (place, lab) = (Place::new(), lab());
    let name = format!("journal-test-{}", std::process::id());
    let policy = format!("{name}.weir");
    place.file(&policy, POLICY);
    let netns = lab.host("b").unwrap().namespace().label().to_owned();
    let run = |more: &[&str]| {
        let args = ["run", &policy, "-i", "eth0", "--netns", &netns, "--protect", "--for", "500ms", "--json"];
        place.weir(&[&args[..], more].concat()).exits(0)
    };
    let usual = std::path::Path::new("/var/lib/weir").join(format!("{name}.redb"));
    assert!(!run(&["--no-journal"]).err.contains("warning") && !usual.exists());
    place.weir(&["attacks", "-n", &name]).exits(2).says("is not protected, and has no journal");
    assert!(!run(&[]).err.contains("warning") && usual.exists());
    place.weir(&["attacks", "-n", &name]).exits(0).answers("first drop");
    std::fs::remove_file(&usual).unwrap();
    run(&["--journal", "/dev/null/edge.redb"])
        .says("the journal `/dev/null/edge.redb` is not written: not a directory");
    place.weir(&["attacks", "--journal", "none.redb"]).exits(2).says("there is no journal `none.redb`");
    place.weir(&["attacks", "--journal", "p.weir"]).exits(2).says("it is no journal");
    let refused = ["run", &policy, "-i", "eth0", "--protect", "--webhook", "alerts.example"];
    place.weir(&refused).exits(2).says("`alerts.example` is no address such as");
}

#[test]
fn a_policy_without_samples_is_not_protected() {
    if !privileged("a_policy_without_samples_is_not_protected") {
        return;
    }
    let (place, lab) = (Place::new(), lab());
    place.file("edge.weir", b"default pass\n");
    let child = start(&place, &lab, &[]);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("sample"));
    place.weir(&["run", "edge.weir", "-i", "eth0", "--protect-never", "x"]).exits(2).says("--protect");
}

#[test]
fn four_attacks_are_met_by_rules_of_their_own() {
    if !privileged("four_attacks_are_met_by_rules_of_their_own") {
        return;
    }
    let place = Place::new();
    // Other tests may load the machine: times are told, and not judged here.
    // The place has no captures.
    let json = place.weir(&["demo", "ddos", "--json", "--for", "8s", "--captures", "."]).json();
    let attacks = json["attacks"].as_array().unwrap();
    let words = ["dns_amplification", "syn_flood", "synack_reflection", "fragments"];
    assert_eq!(attacks.len(), words.len());
    for (attack, word) in attacks.iter().zip(words) {
        assert!(attack["rule"].as_str().is_some_and(|rule| rule.contains(word)), "{word}: {json}");
        let (sent, arrived) =
            (attack["good_sent"].as_u64().unwrap(), attack["good_arrived"].as_u64().unwrap());
        let counted = arrived + attack["not_counted"].as_u64().unwrap();
        assert!(counted as f64 >= 0.99 * sent as f64, "{word}: {json}");
    }
}

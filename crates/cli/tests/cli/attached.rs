//! Policies on real interfaces, in namespaces of their own.

use crate::common::{Answer, POLICY, Place, frames, privileged};
use crate::sflow::until;
use serde_json::Value;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::Duration;
use weir_lab::traffic::Traffic;
use weir_lab::wire::{Flow, Pace, SendOptions, send};
use weir_lab::{End, HostSpec, Lab, Link, Topology};
use weir_packet::capture::Capture;

/// Two hosts, a policy on one of them.
pub(crate) struct Scene {
    pub(crate) place: Place,
    lab: Lab,
    name: &'static str,
}

/// Frames, once.
struct Once(std::vec::IntoIter<Vec<u8>>);

impl Traffic for Once {
    fn next(&mut self, frame: &mut Vec<u8>) -> Option<Flow> {
        *frame = self.0.next()?;
        Some(Flow(1))
    }
}

impl Scene {
    pub(crate) fn new(name: &'static str) -> Option<Scene> {
        if !privileged(name) {
            return None;
        }
        let hosts = Topology::new().host(HostSpec::new("a")).host(HostSpec::new("b"));
        let lab = hosts.link(Link::new(End::new("a", "eth0"), End::new("b", "eth0"))).build().expect("a lab");
        Some(Scene { place: Place::new(), lab, name })
    }

    pub(crate) fn netns(&self) -> String {
        self.lab.host("b").unwrap().namespace().label().to_owned()
    }

    pub(crate) fn load(&self) -> Answer {
        let netns = self.netns();
        self.place.weir(&["load", "p.weir", "-i", "eth0", "--netns", &netns, "-n", self.name])
    }

    /// The command on this scene's instance.
    pub(crate) fn weir(&self, args: &[&str]) -> Answer {
        self.place.weir(&[args, &["-n", self.name]].concat())
    }

    pub(crate) fn start(&self, args: &[&str]) -> Child {
        let mut command = self.place.command(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn send(&self) {
        self.send_times(1);
    }

    /// All frames so many times.
    pub(crate) fn send_times(&self, times: usize) {
        self.send_all(vec![frames(); times].concat());
    }

    pub(crate) fn send_all(&self, all: Vec<Vec<u8>>) {
        let mut once = Once(all.into_iter());
        let options = SendOptions::new(Pace::Fastest, Duration::from_secs(5));
        send(self.lab.host("a").unwrap(), "eth0", &mut once, &options).expect("sent");
        sleep(Duration::from_millis(100));
    }

    fn statement(&self, name: &str) -> Value {
        let json = self.weir(&["status", "--json"]).exits(0).json();
        let rows = json["instances"][0]["statements"].as_array().unwrap().clone();
        rows.into_iter().find(|row| row["name"] == name).expect("the statement")
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.weir(&["unload"]);
    }
}

pub(crate) fn signal(child: &Child, name: &str) {
    std::process::Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().unwrap();
}

#[test]
fn loaded_counted_reloaded_unloaded() {
    let Some(scene) = Scene::new("cli-load") else { return };
    scene.load().exits(0).answers("`cli-load` is attached to eth0");
    scene.load().exits(2).says("running already");
    scene.send();
    assert_eq!(scene.statement("friends")["packets"], 1);
    assert_eq!(scene.statement("big")["packets"], 1);
    assert_eq!(scene.statement("syns")["over"], 1);
    let json = scene.weir(&["status", "--json"]).exits(0).json();
    let attachment = &json["instances"][0]["attachments"][0];
    assert_eq!(
        (attachment["hook"].as_str(), attachment["active"].as_bool()),
        (Some("xdp-native"), Some(true))
    );
    scene.place.file("next.weir", format!("{POLICY}# and a comment\n").as_bytes());
    let reloaded = scene.weir(&["reload", "next.weir"]).exits(0).answers("generation 2").answers("kept:");
    reloaded.answers("the same program");
    assert_eq!(scene.statement("big")["packets"], 1, "counters are kept");
    scene.place.file("bad.weir", b"drop when nonsense\n");
    scene.weir(&["reload", "bad.weir"]).exits(1).says("E0101");
    scene.weir(&["status"]).exits(0).answers("generation 2").answers("on eth0");
    scene.weir(&["unload"]).exits(0);
    scene.weir(&["status"]).exits(2).says("cli-load");
}

#[test]
fn a_reload_is_laid_out_for_what_was_counted() {
    let Some(scene) = Scene::new("cli-profile") else { return };
    scene.load().exits(0);
    scene.send();
    let refused = scene.weir(&["reload", "p.weir", "--profile"]).exits(2);
    refused.says("of the 1000 packets that a profile takes").says("wait until traffic has come");
    scene.weir(&["status"]).exits(0).answers("generation 1");
    scene.send_times(300);
    let counted = scene.statement("big");
    let reloaded = scene.weir(&["reload", "p.weir", "--profile"]).exits(0);
    reloaded.answers("generation 2").answers("profile: 1").answers("frequent: syns 50 %");
    assert_eq!(scene.statement("big"), counted, "counters are kept");
    scene.weir(&["reload", "p.weir", "--profile"]).exits(2).says("since it was loaded or profiled");
    scene.send_times(300);
    let json = scene.weir(&["reload", "p.weir", "--profile", "--json"]).exits(0).json();
    assert!(json["profile"]["packets"].as_u64() >= Some(1800), "{json}");
    assert_eq!(json["profile"]["frequent"][0]["statement"], "syns");
    let json = scene.weir(&["reload", "p.weir", "--json"]).exits(0).json();
    assert_eq!((json["change"].as_str(), json.get("profile")), (Some("text"), None));
}

#[test]
fn addresses_are_blocked_and_let_go() {
    let Some(scene) = Scene::new("cli-block") else { return };
    scene.load().exits(0);
    scene.weir(&["block", "198.51.100.7", "2001:db8::/32", "--for", "1h"]).exits(0);
    scene.send();
    assert_eq!(scene.statement("blocked")["packets"], 2);
    let list = scene.weir(&["set", "list", "blocked", "--json"]).exits(0).json();
    assert_eq!(list.as_array().map(Vec::len), Some(2));
    assert!(list[0]["remaining_ns"].as_u64() > Some(3_500_000_000_000));
    scene.weir(&["unblock", "198.51.100.7"]).exits(0);
    scene.weir(&["unblock", "198.51.100.7"]).exits(1).says("had none of them");
    scene.send();
    assert_eq!(scene.statement("blocked")["packets"], 2);
    scene.weir(&["set", "add", "blocked", "192.0.2.1"]).exits(0);
    scene.weir(&["set", "del", "blocked", "192.0.2.1"]).exits(0);
    scene.weir(&["set", "flush", "blocked"]).exits(0).says("1 element");
    scene.weir(&["set", "list"]).exits(0).answers("blocked");
    scene.weir(&["block", "not-an-address"]).exits(2).says("`not-an-address` is no element of set `blocked`");
    scene.weir(&["set", "add", "friends", "192.0.2.1"]).exits(2).says("cannot change while running");
    let told = scene.weir(&["block", "192.0.2.1", "--set", "pariahs"]).exits(2);
    told.says("set pariahs : ip timeout 10m max 64k").says("drop pariahs when ip.src in pariahs");
}

#[test]
fn a_list_of_addresses_goes_into_a_set_or_nothing_of_it() {
    let Some(scene) = Scene::new("cli-set-from") else { return };
    scene.load().exits(0);
    let many: Vec<String> = (0..900).map(|n| format!("10.0.{}.{}", n / 250, n % 250)).collect();
    let list = format!("# blocked today\n{}\n\n2001:db8::/32 ; a network\n", many.join("\n"));
    scene.place.file("list.txt", list.as_bytes());
    let elements = || scene.weir(&["set", "list", "blocked", "--json"]).exits(0).json();
    let count = || elements().as_array().map(Vec::len);
    scene.weir(&["set", "add", "blocked", "--from", "list.txt"]).exits(0);
    assert_eq!(count(), Some(901));
    scene.place.file("bad.txt", b"192.0.2.1\n192.0.2.256\n");
    let told = scene.weir(&["set", "add", "blocked", "--from", "bad.txt"]).exits(2);
    told.says("`192.0.2.256` is no element of set `blocked`");
    assert_eq!(count(), Some(901), "all of a list or nothing");
    let more: Vec<String> = (0..900).map(|n| format!("10.1.{}.{}", n / 250, n % 250)).collect();
    scene.place.file("more.txt", more.join("\n").as_bytes());
    scene.weir(&["set", "add", "blocked", "--from", "more.txt"]).exits(2).says("blocked");
    assert_eq!(count(), Some(901), "no room for all of them");
    scene.weir(&["set", "add", "blocked", "--from", "nowhere.txt"]).exits(2).says("nowhere.txt");
    scene.weir(&["set", "del", "blocked", "--from", "list.txt"]).exits(0);
    assert_eq!(count(), Some(0));
}

#[test]
fn a_rule_shows_what_it_dropped() {
    let Some(scene) = Scene::new("cli-capture") else { return };
    scene.load().exits(0);
    scene.weir(&["capture", "--statement", "nix", "-o", "x.pcapng"]).exits(2).says("no statement `nix`");
    let args = [
        "capture",
        "--statement",
        "big",
        "-o",
        "big.pcapng",
        "--packets",
        "1",
        "--for",
        "10s",
        "-n",
        scene.name,
    ];
    let child = scene.start(&args);
    sleep(Duration::from_millis(1500));
    scene.send();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let frames: Vec<_> =
        Capture::open(scene.place.path("big.pcapng")).unwrap().map(|frame| frame.unwrap()).collect();
    assert_eq!(frames.len(), 1);
    assert_eq!(frames[0].data, crate::common::frames()[1]);
    assert_eq!(frames[0].comment.as_deref(), Some("drop by big"));
    assert_eq!(frames[0].interface.as_deref(), Some("big"));
}

#[test]
fn samples_are_shown_and_recorded() {
    let Some(scene) = Scene::new("cli-samples") else { return };
    scene.load().exits(0);
    scene.weir(&["samples"]).exits(2).says("has no `sample`");
    let policy = scene.place.read("p.weir");
    scene.place.file("p.weir", format!("sample all 1 in 1\n{policy}").as_bytes());
    scene.weir(&["reload", "p.weir"]).exits(0);
    scene.send();
    let answer = scene.weir(&["samples", "--packets", "2", "--json"]).exits(0);
    let first: Value = serde_json::from_str(answer.out.lines().next().unwrap()).unwrap();
    let said = [&first["statement"], &first["one_in"], &first["lost"]].map(ToString::to_string);
    assert_eq!(said, ["\"all\"", "1", "0"]);
    scene.send();
    let args = ["samples", "--pcap", "some.pcapng", "--for", "1s", "--statement", "all"];
    scene.weir(&args).exits(0).says("samples were lost");
    let found: Vec<_> =
        Capture::open(scene.place.path("some.pcapng")).unwrap().map(|frame| frame.unwrap()).collect();
    let big = found.iter().find(|frame| frame.comment.as_deref() == Some("drop by big, 1 in 1")).unwrap();
    let whole = &crate::common::frames()[1];
    assert_eq!((&big.data[..], big.original_len as usize), (&whole[..128], whole.len()));
    assert_eq!(big.interface.as_deref(), Some("all"));
    scene.weir(&["samples", "--packets", "1", "--for", "100ms"]).exits(0);
    let status = scene.weir(&["status", "--json"]).exits(0).json();
    let sample = &status["instances"][0]["samples"][0];
    assert_eq!((sample["one_in"].as_u64(), sample["taken"].as_u64()), (Some(1), sample["pool"].as_u64()));
    scene.weir(&["status"]).exits(0).answers("10,000/s");
}

#[test]
fn top_is_lines_on_a_pipe() {
    let Some(scene) = Scene::new("cli-top") else { return };
    scene.load().exits(0);
    let child = scene.start(&["top", "--every", "500ms", "--for", "2s", "--json", "-n", scene.name]);
    sleep(Duration::from_millis(700));
    scene.send();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(lines.len() >= 3, "{text}");
    let rate = |line: &Value| line["statements"][2]["packets_per_s"].as_f64().unwrap();
    assert!(lines.iter().any(|line| rate(line) > 0.0), "{text}");
    scene.weir(&["top", "--every", "200ms", "--for", "400ms"]).exits(0).answers("quiet");
}

#[test]
fn run_detaches_on_a_signal() {
    let Some(scene) = Scene::new("cli-run") else { return };
    let netns = scene.netns();
    let child = scene.start(&["run", "p.weir", "-i", "eth0", "--netns", &netns]);
    let name = format!("run-{}", child.id());
    sleep(Duration::from_millis(2500));
    scene.send();
    scene.place.weir(&["status", "-n", &name]).exits(0).answers("on eth0");
    signal(&child, "INT");
    let output = child.wait_with_output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{err}");
    assert!(err.contains("attached to eth0") && out.contains("friends"), "{out}{err}");
    scene.place.weir(&["status", "-n", &name]).exits(2);
}

/// Starts `weir run` and kills it as soon as it is attached; what its policy is called then.
fn kill_a_run(scene: &Scene, args: &[&str]) -> String {
    let mut child = scene.start(args);
    let name = format!("run-{}", child.id());
    until("it runs", || scene.place.weir(&["status", "-n", &name]).code == Some(0));
    child.kill().unwrap();
    child.wait().unwrap();
    name
}

#[test]
fn what_a_killed_run_left_goes_with_the_next_one_there() {
    let Some(scene) = Scene::new("cli-killed") else { return };
    let netns = scene.netns();
    for (mode, next, goes) in [
        ("native", "native", true),
        ("generic", "native", true),
        ("tc-ingress", "tc-ingress", true),
        ("tc-egress", "native", false),
    ] {
        let run = |mode| ["run", "p.weir", "-i", "eth0", "--netns", &netns, "--for", "1s", "--mode", mode];
        let name = kill_a_run(&scene, &run(mode));
        scene.place.weir(&run(next)).exits(0);
        let left = scene.place.weir(&["status", "-n", &name]);
        match goes {
            true => left.exits(2),
            false => left.exits(0).answers("on eth0"),
        };
        let _ = weir_dataplane::unload(&name);
    }
}

#[test]
fn what_a_killed_run_left_stays_if_the_next_one_is_elsewhere_or_cannot_start() {
    let (Some(scene), Some(other)) = (Scene::new("cli-killed-here"), Scene::new("cli-killed-there")) else {
        return;
    };
    let (here, there) = (scene.netns(), other.netns());
    let name = kill_a_run(&scene, &["run", "p.weir", "-i", "eth0", "--netns", &here]);
    // The interfaces of both are called the same and have the same index.
    other.place.weir(&["run", "p.weir", "-i", "eth0", "--netns", &there, "--for", "1s"]).exits(0);
    scene.place.file("wrong.weir", b"drop when tcp.dstport == nonsense\n");
    let again = |policy| ["run", policy, "-i", "eth0", "--netns", &here, "--for", "1s"];
    scene.place.weir(&again("wrong.weir")).exits(1);
    scene.place.weir(&["status", "-n", &name]).exits(0).answers("on eth0");
    // Without its interfaces it is nothing to keep.
    drop(scene);
    other.place.weir(&["run", "p.weir", "-i", "eth0", "--netns", &there, "--for", "1s"]).exits(0);
    other.place.weir(&["status", "-n", &name]).exits(2);
}

#[test]
fn interfaces_and_namespaces_that_are_not_there() {
    let Some(scene) = Scene::new("cli-nowhere") else { return };
    let netns = scene.netns();
    let load = |interface: &str, netns: &str| {
        scene.place.weir(&["load", "p.weir", "-i", interface, "--netns", netns, "-n", scene.name])
    };
    load("eth7", &netns).exits(2).says("there is no interface `eth7`");
    load("eth0", "nowhere").exits(2).says("nowhere");
    load("lo", &netns).exits(2).says("--mode generic");
    scene.weir(&["status"]).exits(2);
    scene.place.weir(&["doctor", "-i", "eth7"]).exits(1).answers("eth7");
}

#[test]
fn bench_measures_each_way() {
    if !privileged("bench_measures_each_way") {
        return;
    }
    let place = Place::new();
    let quick = ["--at-least", "5ms", "--rounds", "2"];
    let json = place.weir(&[&["bench", "p.weir", "c.pcap", "--json"][..], &quick].concat()).exits(0).json();
    let names: Vec<_> = json["cases"].as_array().unwrap().iter().map(|case| case["name"].clone()).collect();
    assert_eq!(names, ["all", "friends", "big", "syns", "default"]);
    assert_eq!(json["cases"][0]["frames"], 6);
    for key in ["ns", "baseline_ns", "net_ns"] {
        assert!(json["cases"][0][key].is_f64(), "{json}");
    }
    assert!(json["instructions"].as_u64() > Some(100));
    place.weir(&[&["bench", "p.weir"][..], &quick].concat()).exits(0).answers("all");
    place.file("untested.weir", b"default pass\n");
    place.weir(&["bench", "untested.weir"]).exits(2).says("help: name a capture");
}

//! What a running policy sends to collectors: one that others wrote, one of ours, and one that is gone.

use crate::attached::{Scene, signal};
use crate::common::{POLICY, frames, skip};
use std::net::UdpSocket;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use weir_detect::sflow::{Counter, Datagram, Flow, Reason, Record};
use weir_kernel::datagrams::make_room;

/// nfdump's collector of sFlow, and where it writes.
struct Sfcapd {
    child: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Drop for Sfcapd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Sfcapd {
    /// Nothing, said by name, where it is not installed.
    fn start(test: &str) -> Option<Sfcapd> {
        if Command::new("sfcapd").arg("-V").output().is_err() {
            skip(test, "sfcapd is not installed");
            return None;
        }
        let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sfcapd");
        command
            .args(["-C", "none", "-B", "4000000", "-b", "127.0.0.1", "-p", &port.to_string(), "-w"])
            .arg(folder.path());
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let collector = Sfcapd { child, port, folder };
        until("sfcapd listens", || UdpSocket::bind(("127.0.0.1", port)).is_err());
        Some(collector)
    }

    /// What all flows add up to: packets and bytes, scaled by their rates.
    fn sums(mut self) -> (u64, u64) {
        until("sfcapd has read all", || waiting(self.port) == 0);
        // It looks at what it has read.
        sleep(Duration::from_millis(500));
        signal(&self.child, "INT");
        until("sfcapd ends", || self.child.try_wait().unwrap().is_some());
        let mut nfdump = Command::new("nfdump");
        let output = nfdump.args(["-q", "-N", "-o", "fmt:%pkt %byt", "-R"]).arg(self.folder.path()).output();
        let text = String::from_utf8(output.unwrap().stdout).unwrap();
        let rows = text.lines().filter_map(|line| {
            let mut numbers = line.split_whitespace().map(str::parse::<u64>);
            Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
        });
        rows.fold((0, 0), |sum, row| (sum.0 + row.0, sum.1 + row.1))
    }
}

pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < Duration::from_secs(20), "waited in vain: {what}");
        sleep(Duration::from_millis(20));
    }
}

/// Bytes that wait at a UDP port, by the kernel's table.
pub(crate) fn waiting(port: u16) -> u64 {
    let table = std::fs::read_to_string("/proc/net/udp").unwrap();
    let local = format!(":{port:04X}");
    let mut rows = table.lines().map(|row| row.split_whitespace().collect::<Vec<_>>());
    let row = rows.find(|row| row.get(1).is_some_and(|at| at.ends_with(&local))).expect("the port");
    u64::from_str_radix(row[4].split_once(':').unwrap().1, 16).unwrap()
}

/// A collector of our own, which keeps all datagrams.
struct Ours {
    name: String,
    thread: std::thread::JoinHandle<Vec<Vec<u8>>>,
}

impl Ours {
    fn start() -> Ours {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        // Samples come in a burst, and other tests have the CPUs as well.
        make_room(&socket, 8 << 20).unwrap();
        let name = socket.local_addr().unwrap().to_string();
        let read = move || {
            let mut bytes = [0; 2000];
            let datagrams =
                std::iter::from_fn(|| socket.recv(&mut bytes).ok().map(|count| bytes[..count].to_vec()));
            datagrams.take_while(|datagram| !datagram.is_empty()).collect()
        };
        Ours { name, thread: std::thread::spawn(read) }
    }

    /// An empty datagram says that there are no more.
    fn received(self) -> Vec<Vec<u8>> {
        UdpSocket::bind("127.0.0.1:0").unwrap().send_to(&[], &self.name).unwrap();
        self.thread.join().unwrap()
    }
}

fn flows(datagrams: &[Vec<u8>]) -> Vec<Flow<'_>> {
    let records = datagrams.iter().flat_map(|bytes| Datagram::decode(bytes).unwrap().records());
    let flows = records.filter_map(|record| match record.unwrap() {
        Record::Flow(flow) => Some(flow),
        _ => None,
    });
    flows.collect()
}

/// Runs the scene's policy with one more statement while all frames are sent so many times; what it said.
fn run(scene: &Scene, sample: &str, times: usize, args: &[&str]) -> String {
    scene.place.file("p.weir", format!("{sample}\n{POLICY}").as_bytes());
    let netns = scene.netns();
    let all = [&["run", "p.weir", "-i", "eth0", "--netns", &netns, "--json"][..], args].concat();
    let child = scene.start(&all);
    let status = ["status", "-n", &format!("run-{}", child.id())];
    until("it runs", || scene.place.weir(&status).code == Some(0));
    sleep(Duration::from_millis(300));
    scene.send_times(times);
    sleep(Duration::from_millis(1500));
    signal(&child, "INT");
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{told}");
    told
}

/// Frames and their bytes with FCS, which sFlow counts.
fn truth(times: usize) -> (u64, u64) {
    let bytes: usize = frames().iter().map(|frame| frame.len() + 4).sum();
    ((frames().len() * times) as u64, (bytes * times) as u64)
}

#[test]
fn one_in_one_is_the_truth_to_the_byte() {
    let Some(scene) = Scene::new("cli-sflow") else { return };
    let Some(sfcapd) = Sfcapd::start("one_in_one_is_the_truth_to_the_byte") else { return };
    let ours = Ours::start();
    let name = ours.name.clone();
    let lost = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let theirs = format!("127.0.0.1:{}", sfcapd.port);
    let args = ["--sflow", &lost, "--sflow", &theirs, "--sflow", &name, "--sflow-counters", "500ms"];
    let told = run(&scene, "sample all 1 in 1", 100, &args);
    assert_eq!(sfcapd.sums(), truth(100));
    let failed = told.lines().find(|line| line.contains(&format!("to {lost}"))).unwrap();
    assert!(failed.contains("failed"), "{told}");
    assert!(told.lines().any(|line| line.ends_with(&format!("to {name}"))), "none failed: {told}");

    let datagrams = ours.received();
    let flows = flows(&datagrams);
    assert_eq!(flows.len() as u64, truth(100).0);
    assert!(flows.iter().all(|flow| (flow.one_in, flow.drops) == (1, 0)));
    assert_eq!(flows.last().unwrap().pool as u64, truth(100).0, "the pool is all packets that came");
    let sequences: Vec<u32> = flows.iter().map(|flow| flow.sequence).collect();
    assert_eq!(sequences, (1..=truth(100).0 as u32).collect::<Vec<_>>());
    let told: u32 = flows.iter().map(|flow| flow.told.frame.unwrap().length).sum();
    assert_eq!(u64::from(told), truth(100).1);
    assert!(flows.iter().all(|flow| flow.told.frame.unwrap().stripped == 4));
    let dropped = flows.iter().filter(|flow| flow.output.reason() == Some(Reason::ACL));
    let names: Vec<&str> = dropped.map(|flow| flow.told.acl.unwrap().name).collect();
    // Two SYNs of three hundred are within the limit.
    assert_eq!(names.iter().filter(|name| **name == "big").count(), 100);
    assert_eq!(names.iter().filter(|name| **name == "syns").count(), 298);
    assert_eq!(names.len(), 398);

    let heads = datagrams.iter().map(|bytes| Datagram::decode(bytes).unwrap());
    assert_eq!(
        heads.clone().map(|head| head.agent).collect::<Vec<_>>(),
        vec![Some([127, 0, 0, 1].into()); datagrams.len()]
    );
    assert!(heads.clone().zip(1..).all(|(head, number)| head.sequence == number));
    let mut counters = heads.flat_map(|head| head.records()).filter_map(|record| match record.unwrap() {
        Record::Counters(counters) => Some(counters.records().map(Result::unwrap).collect::<Vec<_>>()),
        _ => None,
    });
    let all: Vec<Counter<'_>> = counters.by_ref().flatten().collect();
    let mut interfaces = all.iter().filter_map(|counter| match counter {
        Counter::Interface(interface) => Some(interface),
        _ => None,
    });
    let last = interfaces.next_back().unwrap();
    assert_eq!((last.kind, last.status), (6, 3));
    let statement = all.iter().rev().find_map(|counter| match counter {
        Counter::Statement(statement) if statement.name == "big" => Some(*statement),
        _ => None,
    });
    assert_eq!(statement.map(|statement| (statement.packets, statement.bytes)), Some((100, 100_000)));
}

/// Of 2,000 samples the error is 2.1 %; five of these are allowed.
#[test]
fn one_in_ten_is_the_truth_within_its_error() {
    let Some(scene) = Scene::new("cli-sflow-n") else { return };
    let Some(sfcapd) = Sfcapd::start("one_in_ten_is_the_truth_within_its_error") else { return };
    let ours = Ours::start();
    let name = ours.name.clone();
    let theirs = format!("127.0.0.1:{}", sfcapd.port);
    run(&scene, "sample all 1 in 10", 3334, &["--sflow", &theirs, "--sflow", &name]);
    let (packets, bytes) = sfcapd.sums();
    let (sent, sent_bytes) = truth(3334);
    let off = |found: u64, sent: u64| (found as f64 / sent as f64 - 1.0).abs();
    assert!(off(packets, sent) < 0.11, "{packets} of {sent}");
    assert!(off(bytes, sent_bytes) < 0.16, "{bytes} of {sent_bytes}");
    let datagrams = ours.received();
    let flows = flows(&datagrams);
    assert_eq!(flows.len() as u64 * 10, packets);
    assert!(off(flows.last().unwrap().pool.into(), sent) < 0.02, "the pool is no estimate");
}

#[test]
fn dropped_packets_as_discarded_packets() {
    let Some(scene) = Scene::new("cli-sflow-d") else { return };
    let ours = Ours::start();
    let name = ours.name.clone();
    let args = ["--sflow", &name, "--sflow-discarded", "--sflow-agent", "2001:db8::1"];
    run(&scene, "sample all 1 in 1", 1, &args);
    let datagrams = ours.received();
    assert_eq!(flows(&datagrams).len(), 4);
    let heads = datagrams.iter().map(|bytes| Datagram::decode(bytes).unwrap());
    assert_eq!(heads.clone().next().unwrap().agent, Some("2001:db8::1".parse().unwrap()));
    let told = heads.flat_map(|head| head.records()).filter_map(|record| match record.unwrap() {
        Record::Discarded(discarded) => Some((discarded.reason, discarded.told.acl.unwrap().name.to_owned())),
        _ => None,
    });
    let names = ["big", "syns"].map(|name| (Reason::ACL, name.to_owned()));
    assert_eq!(told.collect::<Vec<_>>(), names);
}

/// `weir samples` sends what it reads by the same code.
#[test]
fn samples_of_a_loaded_policy_are_sent() {
    let Some(scene) = Scene::new("cli-sflow-s") else { return };
    scene.place.file("p.weir", format!("sample all 1 in 1\n{POLICY}").as_bytes());
    scene.load().exits(0);
    scene.send_times(10);
    let ours = Ours::start();
    let name = ours.name.clone();
    let answer = scene.weir(&["samples", "--sflow", &name, "--packets", "60", "--for", "5s"]).exits(0);
    assert!(answer.out.is_empty(), "{}", answer.out);
    answer.says("datagrams to").says("60 samples");
    assert_eq!(flows(&ours.received()).len(), 60);
}

#[test]
fn without_samples_there_is_nothing_to_send() {
    let Some(scene) = Scene::new("cli-sflow-0") else { return };
    let netns = scene.netns();
    let run = |to: &str| {
        scene.place.weir(&["run", "p.weir", "-i", "eth0", "--netns", &netns, "--sflow", to, "--for", "1s"])
    };
    run("127.0.0.1:6343").exits(2).says("has no `sample`");
    run("127.0.0.1:x").exits(2).says("a collector such as");
    run("nowhere.invalid").exits(2).says("cannot send to collector `nowhere.invalid:6343`");
}

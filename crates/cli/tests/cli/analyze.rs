//! Attacks in captures and in what agents send, and the statements against them.

use crate::attached::{Scene, signal};
use crate::common::{Place, capture, skip};
use crate::sflow::{until, waiting};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::Duration;
use weir_detect::sample::{Fate, Sample};
use weir_detect::sflow::{Direction, Encoder, Interface, Source, Taken};
use weir_packet::build::{Packet, TcpFlags};
use weir_packet::capture::{Capture, Frame, LinkType, PcapWriter, Resolution};

const VICTIM: &str = "203.0.113.10";

/// The captures of a folder beside the checkout, or none with the reason told.
fn captures(folder: &str, test: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/captures").join(folder);
    let mut found: Vec<_> =
        std::fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    found.sort();
    if found.is_empty() {
        skip(test, &format!("no captures at ../shared/data/captures/{folder} beside the checkout"));
    }
    found
}

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

fn events<'a>(lines: &'a [Value], event: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["event"] == event).collect()
}

/// How many packets of captures a policy drops, of how many.
fn dropped(place: &Place, policy: &str, captures: &[&str]) -> (u64, u64) {
    let json = place.weir(&[&["replay", policy, "--json"][..], captures].concat()).exits(0).json();
    (json["verdicts"]["drop"].as_u64().unwrap(), json["packets"].as_u64().unwrap())
}

/// Frames of a DNS amplification.
fn flood(count: usize) -> Vec<Vec<u8>> {
    let from = |number: usize| SocketAddr::new(Ipv4Addr::from(0xc612_0000 + 37 * number as u32).into(), 53);
    let to = format!("{VICTIM}:4444").parse().unwrap();
    (0..count).map(|number| Packet::udp(from(number), to).padded_to(1000 + number % 400).build()).collect()
}

/// Frames that the victim gets every day.
fn everyday(count: usize) -> Vec<Vec<u8>> {
    let from =
        |number: usize| SocketAddr::new(IpAddr::from([192, 0, 2, number as u8]), 40000 + number as u16 % 999);
    let to = format!("{VICTIM}:443").parse().unwrap();
    let one = |number| match number % 3 {
        0 => Packet::tcp(from(number), to, TcpFlags::SYN).build(),
        1 => Packet::tcp(from(number), to, TcpFlags::ACK).padded_to(60 + number % 900).build(),
        _ => Packet::udp(from(number), to).padded_to(90 + number % 300).build(),
    };
    (0..count).map(one).collect()
}

/// Each attack is told of, and what is found drops it and nothing of everyday traffic that was given the victim's address.
#[test]
fn captured_attacks_are_found_with_statements() {
    let test = "captured_attacks_are_found_with_statements";
    let (attacks, benign) = (captures("attack", test), captures("benign", test));
    if attacks.is_empty() || benign.is_empty() {
        return;
    }
    let place = Place::new();
    let good = benign.iter().flat_map(|path| Capture::open(path).unwrap().map_while(Result::ok));
    let good: Vec<_> = good
        .filter_map(|frame| {
            let mut bytes = frame.to_ethernet().ok()?.into_owned();
            let is_ipv4 = bytes.len() >= 34 && bytes[12..14] == [8, 0];
            is_ipv4.then(|| bytes[30..34].copy_from_slice(&[10, 10, 10, 10]))?;
            Some(bytes)
        })
        .collect();
    capture(&place.path("good.pcap"), &good);
    for path in attacks {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let file = path.to_str().unwrap();
        let args =
            ["analyze", file, "--good", "good.pcap", "--floor-packets", "50", "-o", "found.weir", "--json"];
        let answer = place.weir(&args).exits(0);
        let lines = lines(&answer.out);
        let began = events(&lines, "began");
        assert!(began.iter().any(|line| line["victim"] == "10.10.10.10"), "{name}: {}", answer.out);
        assert!(!events(&lines, "statements")[0]["statements"].as_array().unwrap().is_empty(), "{name}");
        let summary = events(&lines, "summary")[0];
        assert_eq!(summary["top"][0]["destination"], "10.10.10.10", "{name}");
        assert!(summary["alerts"][0]["statements"].as_array().is_some_and(|names| !names.is_empty()));
        place.weir(&["check", "found.weir"]).exits(0);
        let (drops, all) = dropped(&place, "found.weir", &[file]);
        let (harmed, spared) = dropped(&place, "found.weir", &["good.pcap"]);
        // Of the first, 1,249 frames are the attack; the others are connections of the victim's own.
        let least = if name.starts_with("dns") { 0.28 } else { 0.95 };
        assert!(drops as f64 >= least * all as f64, "{name}: {drops} of {all}");
        assert!(harmed as f64 <= 0.001 * spared as f64, "{name}: {harmed} of {spared}");
    }
}

#[test]
fn everyday_captures_are_quiet_and_have_a_summary() {
    let place = Place::new();
    let answer = place.weir(&["analyze", "c.pcap", "c.pcap"]).exits(0);
    answer.answers("203.0.113.1").answers("12 samples").answers("0 alerts");
    let json = place.weir(&["analyze", "c.pcap", "--one-in", "10", "--json"]).exits(0).json();
    assert_eq!(json["event"], "summary");
    let bytes: usize = crate::common::frames().iter().map(|frame| frame.len() * 10).sum();
    let top = &json["top"][0];
    assert_eq!((top["packets"].as_u64(), top["bytes"].as_u64()), (Some(60), Some(bytes as u64)));
    for path in captures("benign", "everyday_captures_are_quiet_and_have_a_summary") {
        place.weir(&["analyze", path.to_str().unwrap()]).exits(0).answers("0 alerts");
    }
}

#[test]
fn a_flood_in_a_capture_is_told_to_people() {
    let place = Place::new();
    let mut writer =
        PcapWriter::create(place.path("flood.pcap"), LinkType::Ethernet, Resolution::Nano).unwrap();
    let start = 1_700_000_000_000_000_000;
    let good = everyday(600).into_iter().zip((0..).map(|number| start + number * 200_000_000));
    // Behind two minutes of everyday traffic 5,000 packets at 50,000 a second, then a minute of everyday again.
    let attack = flood(5000).into_iter().zip((0..).map(|number| start + 120_000_000_000 + number * 20_000));
    let after =
        everyday(300).into_iter().zip((0..).map(|number| start + 121_000_000_000 + number * 200_000_000));
    for (frame, time) in good.chain(attack).chain(after) {
        writer.frame(&Frame::ethernet(time, frame)).unwrap();
    }
    writer.finish().unwrap();
    let answer = place.weir(&["analyze", "flood.pcap", "-o", "found.weir"]).exits(0);
    let answer = answer.answers(&format!("alert 1 began: {VICTIM} has ")).answers("alert 1 ended: ");
    answer.answers("drop dns_amplification when ip.dst == 203.0.113.10 and ").answers("1 alert\n");
    let (drops, all) = dropped(&place, "found.weir", &["flood.pcap"]);
    assert_eq!((drops, all), (5000, 5900), "{}", place.read("found.weir"));
}

/// A flood over two addresses that a policy calls one service; neither is above the limit of a host.
#[test]
fn services_of_a_policy_are_told_by_their_names() {
    let place = Place::new();
    place.file(
        "edge.weir",
        b"pool web {\n    10.0.1.10\n}\nbalance web when ip.dst in { 203.0.113.10, 198.51.100.10 } and tcp.dstport == 443 to web\n",
    );
    let mut writer =
        PcapWriter::create(place.path("flood.pcap"), LinkType::Ethernet, Resolution::Nano).unwrap();
    let spread = |(number, mut frame): (usize, Vec<u8>)| {
        if number % 2 == 1 {
            frame[30..34].copy_from_slice(&[198, 51, 100, 10]);
        }
        frame
    };
    let good = everyday(600).into_iter().enumerate().map(spread).zip((0..).map(|number| number * 10_000_000));
    // 30,000 packets/s for two seconds.
    let attack = flood(5000).into_iter().cycle().take(60_000).enumerate().map(spread);
    let attack = attack.zip((0..).map(|number| 6_000_000_000 + number * 33_333));
    for (frame, time) in good.chain(attack) {
        writer.frame(&Frame::ethernet(1_700_000_000_000_000_000 + time, frame)).unwrap();
    }
    writer.finish().unwrap();
    place.weir(&["analyze", "flood.pcap", "--floor-bits", "1G"]).exits(0).answers("0 alerts");
    let args = ["analyze", "flood.pcap", "--floor-bits", "1G", "--policy", "edge.weir"];
    let answer = place.weir(&[&args[..], &["-o", "found.weir"]].concat()).exits(0);
    answer.answers("alert 1 began: web (198.51.100.10, 203.0.113.10) has ").answers("1 alert\n");
    let (drops, all) = dropped(&place, "found.weir", &["flood.pcap"]);
    assert_eq!((drops, all), (60_000, 60_600), "{}", place.read("found.weir"));
    assert_eq!(place.read("found.weir").matches("drop ").count(), 1);
    let lines = lines(&place.weir(&[&args[..], &["--json"]].concat()).exits(0).out);
    let began = events(&lines, "began")[0];
    assert_eq!(began["victim"], "web");
    assert_eq!(began["addresses"], serde_json::json!(["198.51.100.10", "203.0.113.10"]));
    place.file("bad.weir", b"balance web to nobody\n");
    place.weir(&["analyze", "flood.pcap", "--policy", "bad.weir"]).exits(1).says("nobody");
}

#[test]
fn what_cannot_be_read_is_said() {
    let place = Place::new();
    place.weir(&["analyze"]).exits(2).says("required");
    place.weir(&["analyze", "nowhere.pcap"]).exits(2).says("cannot open capture `nowhere.pcap`");
    place.file("cut.pcap", &std::fs::read(place.path("c.pcap")).unwrap()[..1500]);
    place.weir(&["analyze", "cut.pcap"]).exits(2).answers("1 sample").says("cut.pcap");
    place
        .weir(&["analyze", "--sflow-listen", "192.0.2.1:0", "--for", "1s"])
        .exits(2)
        .says("cannot listen on");
    place.weir(&["analyze", "c.pcap", "--floor-packets", "few"]).exits(2).says("`20k`");
}

/// `weir analyze` that listens, and where.
struct Listening {
    child: Child,
    address: SocketAddr,
    talk: BufReader<std::process::ChildStderr>,
}

impl Listening {
    fn start(place: &Place, args: &[&str]) -> Listening {
        let all = [&["analyze", "--sflow-listen", "127.0.0.1:0", "--json"][..], args].concat();
        let mut command = place.command(&all);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut talk = BufReader::new(child.stderr.take().unwrap());
        let mut first = String::new();
        talk.read_line(&mut first).unwrap();
        let address = first.strip_prefix("listening on ").and_then(|rest| rest.split_once(';'));
        let address = address.unwrap_or_else(|| panic!("{first}")).0.parse().unwrap();
        Listening { child, address, talk }
    }

    /// Ends it: its lines, and what else it said.
    fn end(mut self) -> (Vec<Value>, String) {
        sleep(Duration::from_millis(300));
        signal(&self.child, "INT");
        let (mut out, mut err) = (String::new(), String::new());
        self.child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        self.talk.read_to_string(&mut err).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "{err}");
        (lines(&out), err)
    }
}

/// Sends frames as an agent does that takes one in a hundred, a datagram a millisecond.
fn agent(frames: &[Vec<u8>], to: SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut encoder = Encoder::new(IpAddr::from([192, 0, 2, 1]), 0);
    let (source, mut full) = (Source::interface(3), 0);
    for (number, frame) in frames.iter().enumerate() {
        let sample = Sample {
            time: Duration::ZERO,
            header: frame,
            frame_len: frame.len() as u32,
            one_in: 100,
            fate: Fate::Passed,
            statement: None,
        };
        let (input, output, direction) = (Interface::index(3), Interface::UNKNOWN, Direction::Ingress);
        let taken = Taken { source, pool: 100 * number as u32, drops: 0, input, output, direction };
        let Some(datagram) = encoder.flow(Duration::ZERO, &taken, &sample).unwrap() else { continue };
        full += 1;
        // The ninth of a flood gets lost.
        if full != 9 || frames.len() < 2000 {
            socket.send_to(datagram, to).unwrap();
            sleep(Duration::from_millis(1));
        }
    }
}

#[test]
fn agents_that_are_not_listed_and_broken_datagrams_are_counted() {
    let place = Place::new();
    let listening = Listening::start(&place, &["--from", "192.0.2.77"]);
    agent(&flood(1000), listening.address);
    let (lines, told) = listening.end();
    assert!(told.contains("datagrams of 127.0.0.1 are not read"), "{told}");
    assert_eq!(told.matches("127.0.0.1").count(), 1, "once: {told}");
    let summary = events(&lines, "summary")[0];
    assert_eq!((summary["samples"].as_u64(), summary["sflow"]["datagrams"].as_u64()), (Some(0), Some(0)));
    assert!(summary["sflow"]["others"].as_u64() > Some(100));

    let listening = Listening::start(&place, &["--from", "127.0.0.1"]);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for bytes in [&b""[..], b"not sflow", &[0, 0, 0, 5, 0, 0, 0, 1, 1], &[0xff; 1400]] {
        socket.send_to(bytes, listening.address).unwrap();
    }
    agent(&everyday(300), listening.address);
    agent(&flood(2000), listening.address);
    until("it has read all", || waiting(listening.address.port()) == 0);
    let (lines, told) = listening.end();
    assert!(told.contains("malformed datagram of 127.0.0.1"), "{told}");
    let began = events(&lines, "began")[0];
    assert_eq!(began["victim"], VICTIM);
    let rate = &began["packets_per_second"];
    assert!(rate["error"].as_f64() > Some(0.0) && rate["low"].as_f64() < rate["value"].as_f64());
    let found = events(&lines, "statements")[0];
    assert_eq!(found["statements"][0]["cause"], "DNS amplification", "{found}");
    let summary = events(&lines, "summary")[0];
    // The second agent begins anew where the first was: its numbers leave no gap. One is as if it was lost.
    let sflow = &summary["sflow"];
    assert_eq!((sflow["malformed"].as_u64(), sflow["lost"].as_u64()), (Some(4), Some(1)), "{sflow}");
    assert!(summary["samples"].as_u64() > Some(2200));
}

/// What `weir run --sflow` sends finds a flood: the edge and the analyser are two processes, the traffic is real.
#[test]
fn an_edge_tells_an_analyser_of_a_flood() {
    let Some(scene) = Scene::new("cli-analyze") else { return };
    let place = Place::new();
    let listening = Listening::start(&place, &["--from", "127.0.0.1"]);
    scene.place.file("p.weir", b"sample all 1 in 10\ndefault pass\n");
    let (netns, to) = (scene.netns(), listening.address.to_string());
    let edge = scene.start(&["run", "p.weir", "-i", "eth0", "--netns", &netns, "--json", "--sflow", &to]);
    let status = ["status", "-n", &format!("run-{}", edge.id())];
    until("it runs", || scene.place.weir(&status).code == Some(0));
    sleep(Duration::from_millis(300));
    scene.send_all(everyday(5000));
    sleep(Duration::from_millis(1200));
    scene.send_all(flood(30_000));
    sleep(Duration::from_millis(2500));
    signal(&edge, "INT");
    assert_eq!(edge.wait_with_output().unwrap().status.code(), Some(0));
    let (lines, told) = listening.end();
    let began = events(&lines, "began");
    assert!(began.iter().any(|line| line["victim"] == VICTIM), "{lines:?}{told}");
    let found = events(&lines, "statements");
    let texts = found.iter().flat_map(|line| line["statements"].as_array().unwrap());
    let text = texts
        .filter_map(|statement| statement["text"].as_str())
        .find(|text| text.contains("dns_amplification"));
    place.file("found.weir", text.expect("a statement").as_bytes());
    capture(&place.path("flood.pcap"), &flood(1000));
    capture(&place.path("good.pcap"), &everyday(1000));
    assert_eq!(dropped(&place, "found.weir", &["flood.pcap"]), (1000, 1000));
    assert_eq!(dropped(&place, "found.weir", &["good.pcap"]), (0, 1000));
}

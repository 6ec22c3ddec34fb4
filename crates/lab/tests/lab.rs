//! Labs on this machine's kernel. They need root, and send only inside of their own namespaces.

#![allow(clippy::print_stdout, reason = "a skipped test says why, and figures are for people")]

mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::privileged;
use weir_lab::service::{EchoLoad, EchoServer, HttpLoad, HttpServer};
use weir_lab::traffic::{
    Amplifier, Everyday, Kind, Random, Reflection, Replay, Route, Steady, SynFlood, Traffic,
};
use weir_lab::wire::{Counter, Flow, Pace, SendOptions, Tap, send};
use weir_lab::{Host, Lab, LinkState, ready, sweep};
use weir_packet::capture::Capture;
use weir_packet::checksum::{State, verify};
use weir_packet::view::View;

const SECOND: Duration = Duration::from_secs(1);

fn lab(servers: u8) -> Lab {
    ready::edge_lab(servers).unwrap_or_else(|error| panic!("{error}"))
}

fn host<'a>(lab: &'a Lab, name: &str) -> &'a Host {
    lab.host(name).expect("a host")
}

/// From the client by the edge to the first server.
fn route(lab: &Lab, v6: bool) -> Route {
    let eth0 = host(lab, "client").interface("eth0").expect("eth0");
    Route::from(eth0, at_server(lab, v6, 0).ip()).expect("a route")
}

fn at_server(lab: &Lab, v6: bool, port: u16) -> SocketAddr {
    let interface = host(lab, "server1").interface("eth0").expect("eth0");
    let address = if v6 { interface.ipv6() } else { interface.ipv4() };
    SocketAddr::new(address.expect("an address"), port)
}

#[test]
fn a_lab_is_there_and_then_gone() {
    let Some(_turn) = privileged("a_lab_is_there_and_then_gone") else {
        return;
    };
    let start = Instant::now();
    let lab = lab(2);
    println!("client, edge and two servers in {:?}", start.elapsed());
    let names: Vec<_> = lab.hosts().iter().map(|host| host.namespace().label().to_owned()).collect();
    assert_eq!(names.len(), 4);
    for name in &names {
        assert!(name.starts_with(&format!("weir-{}-", std::process::id())), "{name}");
        assert!(fs::exists(format!("/run/netns/{name}")).expect("a path"), "{name}");
    }
    drop(lab);
    for name in names {
        assert!(!fs::exists(format!("/run/netns/{name}")).expect("a path"), "{name}");
    }
}

#[test]
fn what_a_killed_process_left_is_swept_and_nothing_else() {
    let Some(_turn) = privileged("what_a_killed_process_left_is_swept_and_nothing_else") else {
        return;
    };
    let lab = lab(1);
    let ours = lab.hosts()[0].namespace().label().to_owned();
    let mut dead = Command::new("true").spawn().expect("a process");
    let pid = dead.id();
    dead.wait().expect("it ends");
    let left = format!("weir-{pid}-edge");
    let other = format!("other-{}", std::process::id());
    for name in [&left, &other] {
        assert!(Command::new("ip").args(["netns", "add", name]).status().expect("ip").success());
    }
    let swept = sweep().expect("sweeps");
    let there = |name: &str| fs::exists(format!("/run/netns/{name}")).expect("a path");
    let foreign = there(&other);
    Command::new("ip").args(["netns", "del", &other]).status().expect("ip");
    assert!(swept.contains(&left) || !there(&left), "{swept:?}");
    assert!(!there(&left));
    assert!(foreign && there(&ours));
}

#[test]
fn every_frame_arrives_through_the_edge_and_is_counted() {
    let Some(_turn) = privileged("every_frame_arrives_through_the_edge_and_is_counted") else {
        return;
    };
    let lab = lab(1);
    let counter = Counter::start(host(&lab, "server1"), "eth0").expect("a counter");
    let mut traffic = Steady::new(route(&lab, false), 40000, 9, 100, Flow(7));
    let options = SendOptions::new(Pace::PerSecond(20_000), SECOND * 5).frames(10_000);
    let sent = send(host(&lab, "client"), "eth0", &mut traffic, &options).expect("sends");
    let received = counter.stop().expect("counts");
    assert_eq!((sent.frames, sent.refused), (10_000, 0));
    assert_eq!(received.overflowed, 0);
    let flow = &received.flows[&Flow(7)];
    assert_eq!((flow.frames, flow.duplicates, flow.end), (10_000, 0, 10_000));
    // Never faster than asked; how much slower is the machine's affair.
    assert!(sent.elapsed >= SECOND * 2 / 5, "{:?}", sent.elapsed);
}

#[test]
fn floods_and_everyday_traffic_reach_the_server_with_good_checksums() {
    let Some(_turn) = privileged("floods_and_everyday_traffic_reach_the_server_with_good_checksums") else {
        return;
    };
    let lab = lab(1);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("tap.pcapng");
    for v6 in [false, true] {
        let route = route(&lab, v6);
        let counter = Counter::start(host(&lab, "server1"), "eth0").expect("a counter");
        let tap = Tap::start(host(&lab, "edge"), "server1", &file).expect("a tap");
        let traffics: [Box<dyn Traffic>; 4] = [
            Box::new(Reflection::new(route, Amplifier::Dns, 200, 1400, 1, Flow(1))),
            Box::new(Reflection::new(route, Amplifier::Ntp, 200, 482, 2, Flow(2))),
            Box::new(SynFlood::new(route, 443, 3, Flow(3))),
            Box::new(Everyday::new(route, 50, 4, Flow(100))),
        ];
        let mut total = 0;
        for mut traffic in traffics {
            let options = SendOptions::new(Pace::PerSecond(10_000), SECOND).frames(2000);
            let sent = send(host(&lab, "client"), "eth0", &mut *traffic, &options).expect("sends");
            total += sent.frames;
        }
        let received = counter.stop().expect("counts");
        let tapped = tap.stop().expect("records");
        assert_eq!((total, received.frames()), (8000, 8000), "v6: {v6}");
        for flow in [1, 2, 3] {
            assert_eq!(received.of(Flow(flow)), 2000);
        }
        for kind in Kind::ALL {
            assert!(received.of(Everyday::flow(Flow(100), kind)) > 5, "{kind:?}");
        }
        assert!(tapped.frames >= 8000 && tapped.overflowed == 0, "{tapped:?}");
        for frame in Capture::open(&file).expect("opens") {
            let frame = frame.expect("a frame");
            let (state, line) = (verify(&frame.data), View(&frame.data));
            let bad = |state| matches!(state, State::Bad { .. });
            assert!(!bad(state.ipv4) && !bad(state.transport), "{line}: {state:?}");
        }
    }
}

#[test]
fn a_seed_names_its_frames() {
    let Some(_turn) = privileged("a_seed_names_its_frames") else {
        return;
    };
    let route = route(&lab(1), false);
    let frames = |seed| {
        let mut traffic = Everyday::new(route, 10, seed, Flow(0));
        let mut frame = Vec::new();
        let next = |_| traffic.next(&mut frame).map(|flow| (flow, frame.clone()));
        (0..200).map(next).collect::<Vec<_>>()
    };
    assert_eq!(frames(5), frames(5));
    assert_ne!(frames(5), frames(6));
    assert_ne!(Random::new(5).bits(), Random::new(6).bits());
}

#[test]
fn http_and_echo_work_over_both_families() {
    let Some(_turn) = privileged("http_and_echo_work_over_both_families") else {
        return;
    };
    let lab = lab(1);
    for v6 in [false, true] {
        let server = HttpServer::start(host(&lab, "server1"), at_server(&lab, v6, 80)).expect("HTTP");
        // A busy machine may be late with an answer; none must be lost.
        let timeout = Duration::from_secs(5);
        let load = HttpLoad { rate: 200, timeout, ..HttpLoad::new(server.address(), SECOND / 2) };
        let report = load.run(host(&lab, "client")).expect("asks");
        assert_eq!((report.requests, report.ok), (100, 100), "{:?}", report.failed);
        assert_eq!(report.answers["server1"], 100);
        assert_eq!(server.requests(), 100);
        let median = report.latencies.percentile(50.0).expect("some");
        assert!(median < Duration::from_millis(100), "{median:?}");

        let echo = EchoServer::start(host(&lab, "server1"), at_server(&lab, v6, 7)).expect("echo");
        let load = EchoLoad { server: echo.address(), rate: 500, len: 200, duration: SECOND / 2 };
        let report = load.run(host(&lab, "client")).expect("asks");
        assert_eq!((report.sent, report.answered), (echo.echoed(), report.sent));
        assert!(report.sent >= 100, "{}", report.sent);
    }
}

#[test]
fn failures_of_http_are_named() {
    let Some(_turn) = privileged("failures_of_http_are_named") else {
        return;
    };
    let lab = lab(1);
    let server = HttpServer::start(host(&lab, "server1"), at_server(&lab, false, 80)).expect("HTTP");
    server.set_healthy(false);
    // Workers enough that none is late when each waits for its timeout.
    let wait = |timeout, address, path: &str| {
        let load =
            HttpLoad { path: path.to_owned(), rate: 10, timeout, ..HttpLoad::new(address, SECOND / 2) };
        load.run(host(&lab, "client")).expect("asks")
    };
    // A busy machine may be late with an answer; where none comes there is no need to wait long.
    let ask = |address, path: &str| wait(Duration::from_secs(5), address, path);
    assert_eq!(ask(server.address(), "/healthz").failed["status 503"], 5);
    assert_eq!(ask(server.address(), "/bytes/300000").ok, 5);
    assert_eq!(ask(at_server(&lab, false, 81), "/").failed["connection refused"], 5);
    host(&lab, "server1").set_link("eth0", LinkState::Down).expect("pulls");
    let report = wait(Duration::from_millis(400), server.address(), "/");
    assert_eq!((report.ok, report.requests + report.missed), (0, 5));
    host(&lab, "server1").set_link("eth0", LinkState::Up).expect("plugs");
}

#[test]
fn a_capture_is_replayed_into_a_link() {
    let Some(_turn) = privileged("a_capture_is_replayed_into_a_link") else {
        return;
    };
    let capture = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/data/captures/attack/tcp-syn-ecn-cwr-flood.pcap");
    if !capture.exists() {
        println!("skipped a_capture_is_replayed_into_a_link: no captures at ../shared/data/captures");
        return;
    }
    let lab = lab(1);
    let eth0 = host(&lab, "client").interface("eth0").expect("eth0");
    let replay = Replay::open(&capture, eth0, Flow(0)).expect("opens").rounds(2);
    let mut replay = replay.readdressed(eth0.mac, eth0.peer);
    let counter = Counter::start(host(&lab, "edge"), "clients").expect("a counter");
    let options = SendOptions::new(Pace::PerSecond(100_000), SECOND * 5);
    let sent = send(host(&lab, "client"), "eth0", &mut replay, &options).expect("sends");
    let received = counter.stop().expect("counts");
    assert_eq!(sent.frames, 2 * replay.frames() as u64);
    assert!(received.unmarked >= sent.frames, "{received:?} of {sent:?}");
    println!("{} frames a round, {} left out", replay.frames(), replay.skipped());
}

/// Not a test of speed: it prints what this machine reaches.
#[test]
fn the_sender_counts_what_it_reaches() {
    let Some(_turn) = privileged("the_sender_counts_what_it_reaches") else {
        return;
    };
    let lab = lab(1);
    for (name, len) in [("64 bytes", 64), ("1400 bytes", 1400)] {
        let counter = Counter::start(host(&lab, "edge"), "clients").expect("a counter");
        let mut traffic = Steady::new(route(&lab, false), 40000, 9, len, Flow(1));
        let options = SendOptions::new(Pace::Fastest, SECOND);
        let sent = send(host(&lab, "client"), "eth0", &mut traffic, &options).expect("sends");
        let received = counter.stop().expect("counts");
        println!(
            "{name}: {:.0} frames/s sent, {} refused, {} counted, {} beyond the socket",
            sent.rate(),
            sent.refused,
            received.frames(),
            received.overflowed
        );
        assert!(sent.frames > 10_000);
    }
}

/// The lab of a process that is killed in the middle, seen from outside.
#[test]
fn a_killed_lab_leaves_names_only_until_the_next() {
    if std::env::var_os(VICTIM).is_some() {
        let lab = lab(1);
        println!("{}", lab.hosts()[0].namespace().label());
        std::thread::sleep(SECOND * 60);
        return;
    }
    let Some(_turn) = privileged("a_killed_lab_leaves_names_only_until_the_next") else {
        return;
    };
    let mut victim = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "a_killed_lab_leaves_names_only_until_the_next", "--nocapture"])
        .env(VICTIM, "1")
        .stdout(Stdio::piped())
        .spawn()
        .expect("a process");
    let names = BufReader::new(victim.stdout.take().expect("its output")).lines();
    let name = names.map_while(Result::ok).find(|line| line.starts_with("weir-")).expect("a name");
    let there = || fs::exists(format!("/run/netns/{name}")).expect("a path");
    assert!(there());
    sweep().expect("sweeps");
    assert!(there(), "the living are left alone");
    victim.kill().expect("kills");
    victim.wait().expect("it ends");
    assert!(there());
    drop(lab(1));
    assert!(!there());
}

const VICTIM: &str = "WEIR_LAB_TEST_VICTIM";

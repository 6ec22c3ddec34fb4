//! Every feature of every frame must be what the compiler's evaluator says it is.

use super::*;
use crate::mine::condition::{Rule, Test};
use crate::mine::feature::Kind;
use crate::sample::Fate;
use std::time::Duration;
use weir_compiler::eval::Evaluator;
use weir_compiler::{NoFiles, analyse};
use weir_packet::build::{Ethernet, Extension, Icmp, Icmpv6, Ipv4, Ipv6, Packet, Tcp, TcpOption, Udp, Vlan};
use weir_packet::random::SplitMix;

fn sample(frame: &[u8], shown: usize) -> Sample<'_> {
    let (header, frame_len) = (&frame[..shown.min(frame.len())], frame.len() as u32);
    Sample { time: Duration::ZERO, header, frame_len, one_in: 1, fate: Fate::Passed, statement: None }
}

/// Frames whose headers are all right.
fn whole() -> Vec<Vec<u8>> {
    let v4 = || {
        Packet::new().push(Ethernet::default()).push(Ipv4::new([198, 51, 100, 9], [203, 0, 113, 7]).id(77))
    };
    let v6 = |extensions: &[Extension]| {
        let ip = Ipv6::new([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], [0x2001, 0xdb8, 0, 0, 0, 0, 0, 2])
            .traffic_class(0x2e);
        let ip = extensions.iter().fold(ip, |ip, extension| ip.extension(extension.clone()));
        Packet::new().push(Ethernet::default()).push(ip)
    };
    let tcp = || {
        let tcp = Tcp::new(443, 50_000).seq(9).ack(8).option(TcpOption::Mss(1400)).option(TcpOption::Nop);
        tcp.option(TcpOption::WindowScale(7))
            .option(TcpOption::SackPermitted)
            .option(TcpOption::Timestamps(1, 2))
    };
    let tagged = Packet::new().push(Ethernet::default()).push(Vlan::service(5)).push(Vlan::new(6));
    let fragment = Ipv4::new([198, 51, 100, 9], [203, 0, 113, 7]).fragment(0, true);
    let content = b"\x12\x34\x81\x80\0\x01\0\x02\0\0\0\0\x07example\x03com\0\0\x01\0\x01";
    let mut frames: Vec<Vec<u8>> = [
        v4().push(Udp::new(53, 3333)).payload(content),
        v4().push(Udp::new(3333, 5353)).payload(content),
        v4().push(Udp::new(53, 4789)).payload(content),
        v4().push(Udp::new(53, 123)).payload(content),
        v4().push(Udp::new(123, 40_000)).payload(content),
        v4().push(tcp()).payload(b"GET / HTTP/1.1"),
        v4().push(Icmp::echo_request(1, 2)).payload(content),
        v4().payload(content),
        tagged.push(Ipv4::new([198, 51, 100, 9], [203, 0, 113, 7])).push(tcp()).payload(content),
        Packet::new().push(Ethernet::default()).push(fragment).push(Udp::new(53, 9)).payload(content),
        v6(&[]).push(tcp()).payload(b"GET"),
        v6(&[]).push(Icmpv6::echo_request(1, 2)).payload(content),
        v6(&[]).push(Udp::new(53, 9)).payload(content),
        v6(&extensions()).push(Udp::new(53, 9)).payload(content),
    ]
    .iter()
    .map(Packet::build)
    .collect();
    let mut labelled = frames[0].clone();
    labelled.splice(12..14, [0x88, 0x47, 0, 0, 0x10, 64, 0, 0, 0x21, 64]);
    frames.push(labelled);
    let mut authenticated = frames[5].clone();
    authenticated[23] = 51;
    authenticated.splice(34..34, [6, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    frames.push(authenticated);
    frames
}

/// A frame with some bytes changed, most of them in its headers, and perhaps cut.
fn mutated(random: &mut SplitMix, frames: &[Vec<u8>]) -> Vec<u8> {
    let mut frame = frames[random.bits() as usize % frames.len()].clone();
    for _ in 0..random.bits() % 4 {
        let at = 12 + random.bits() as usize % (frame.len() - 12).min(60);
        let small = [0, 1, 4, 5, 6, 17, 44, 51, 58, 60, 0x45, 0x60, 0xff][random.bits() as usize % 13];
        frame[at] = if random.bits().is_multiple_of(2) { small } else { random.bits() as u8 };
    }
    if random.bits().is_multiple_of(4) {
        frame.truncate(random.bits() as usize % frame.len());
    }
    frame
}

/// Conditions that hold if, and only if, a cell is right.
fn says(feature: Feature, cell: Cell) -> Option<String> {
    let write = |test: Test| {
        let tests = [(feature, test)].into_iter().collect();
        Rule { tests }.write().join(" and ")
    };
    let name = feature.text();
    match (cell, feature.kind()) {
        (_, Kind::Header | Kind::Source6) | (Cell::Unknown, _) => None,
        (Cell::Value(0), Kind::Flag) => Some(format!("{name} == 0")),
        (Cell::Value(value), _) => Some(write(Test::exactly(value))),
        (Cell::Absent, Kind::Option) => Some(format!("not {name}")),
        (Cell::Absent, Kind::Flag) => Some(format!("not ({name} == 0 or {name} == 1)")),
        (Cell::Absent, Kind::Source4) => Some("not ip4".into()),
        (Cell::Absent, _) => Some(format!("not {}", write(Test::between(0, feature.max())))),
    }
}

#[test]
fn features_are_what_the_evaluator_says() {
    let mut random = SplitMix::new(1);
    let frames = whole();
    for turn in 0..120 {
        let frame = if turn < frames.len() { frames[turn].clone() } else { mutated(&mut random, &frames) };
        let Some(row) = features(&sample(&frame, frame.len())) else {
            let none = judge(&["not ip".into()], &frame);
            assert_eq!(none, [true], "{frame:02x?}");
            continue;
        };
        let cells = Feature::ALL.iter().map(|feature| (*feature, row.cells[feature.index()]));
        let transport = [(1, "icmp"), (6, "tcp"), (17, "udp"), (58, "icmpv6")].map(|(number, name)| {
            let is_there = row.cells[Feature::Transport.index()] == Cell::Value(number);
            format!("{}{name}", if is_there { "" } else { "not " })
        });
        let addresses = [format!("ip.src == {}", row.src), format!("ip.dst == {}", row.dst)];
        let own = cells.filter_map(|(feature, cell)| says(feature, cell));
        let all: Vec<String> = own.chain(transport).chain(addresses).collect();
        let judged = judge(&all, &frame);
        let wrong: Vec<_> = all.iter().zip(judged).filter(|(_, holds)| !holds).collect();
        assert!(wrong.is_empty(), "{wrong:?} of {frame:02x?}");
    }
}

fn judge(conditions: &[String], frame: &[u8]) -> Vec<bool> {
    let text: String = conditions.iter().map(|condition| format!("count when {condition}\n")).collect();
    let analysis = analyse("features", &text, &NoFiles);
    assert!(!analysis.diagnostics.has_errors(), "{text}{:#?}", analysis.diagnostics);
    let mut evaluator = Evaluator::new(&analysis.policy);
    evaluator.judge(frame);
    evaluator.counters[..conditions.len()].iter().map(|counter| counter.packets == 1).collect()
}

/// What a cut sample says is what the whole frame says, or nothing.
#[test]
fn cut_samples_never_say_something_else() {
    let mut random = SplitMix::new(2);
    let frames = whole();
    for _ in 0..2_000 {
        let frame = mutated(&mut random, &frames);
        let Some(all) = features(&sample(&frame, frame.len())) else { continue };
        for shown in 0..frame.len() {
            let Some(row) = features(&sample(&frame, shown)) else { continue };
            for (cell, whole) in row.cells.iter().zip(&all.cells) {
                assert!(*cell == Cell::Unknown || cell == whole, "{shown} bytes of {frame:02x?}");
            }
        }
    }
}

fn extensions() -> [Extension; 2] {
    [Extension::HopByHop(Vec::new()), Extension::Fragment { offset: 0, more: true, id: 7 }]
}

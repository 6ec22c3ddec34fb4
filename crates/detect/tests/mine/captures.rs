//! Real attacks beside everyday traffic, mined from one packet in ten and judged on all.
//!
//! `cargo test -p weir-detect --test mine captures -- --nocapture` prints the table of `docs/detection.md`.

use crate::judge::{SHOWN, agrees, matched, policy, sample, text};
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use weir_detect::mine::{Budget, Findings, Prefix, Protected, Request, mine};
use weir_packet::capture::Capture;
use weir_packet::random::SplitMix;

/// Whom all captured attacks are for: the captures' authors have replaced the addresses.
const VICTIM: [u8; 4] = [10, 10, 10, 10];

/// A capture, what in it is the attack by a condition that we wrote after looking at it, and how many statements it
/// may take.
const ATTACKS: [(&str, &str, usize); 4] = [
    (
        "dns-rrsig-amplification-fragmented.pcap",
        // Answers about the RRSIG records of a name of 14 bytes, and the fragments that follow them.
        "ip4.frag_offset > 0 or udp.srcport == 53 and udp.payload[26:2] == 46",
        2,
    ),
    ("tcp-syn-ecn-cwr-flood.pcap", "tcp.flags.syn and not tcp.flags.ack", 1),
    (
        "tcp-synack-reflection-carpet.pcap",
        "tcp.srcport in { 80, 443 } and (tcp.flags.syn and tcp.flags.ack or tcp.flags.reset)",
        2,
    ),
    ("udp-isakmp-amplification.pcap", "udp.srcport == 4500", 1),
];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/captures").join(name)
}

fn frames(path: &Path) -> Vec<Vec<u8>> {
    let frames = Capture::open(path).expect("a capture").map(|frame| frame.expect("a frame"));
    frames.filter_map(|frame| frame.to_ethernet().ok().map(|bytes| bytes.into_owned())).collect()
}

/// Everyday traffic of all captures, as if it were the victim's.
fn everyday() -> Vec<Vec<u8>> {
    let mut paths: Vec<_> =
        fs::read_dir(folder("benign")).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths.iter().flat_map(|path| frames(path)).map(to_victim).collect()
}

/// With the victim as destination, if it is IPv4 right behind Ethernet; no checksum is looked at.
fn to_victim(mut frame: Vec<u8>) -> Vec<u8> {
    if frame.len() >= 34 && frame[12..14] == [8, 0] {
        frame[30..34].copy_from_slice(&VICTIM);
    }
    frame
}

/// One in ten, at random.
fn tenth(frames: &[Vec<u8>], seed: u64) -> Vec<Vec<u8>> {
    let mut random = SplitMix::new(seed);
    frames.iter().filter(|_| random.bits() % 10 == 0).cloned().collect()
}

fn mined(attack: &[Vec<u8>], good: &[Vec<u8>]) -> Findings {
    let attack: Vec<_> = attack.iter().map(|frame| sample(frame, SHOWN, 10)).collect();
    let good: Vec<_> = good.iter().map(|frame| sample(frame, SHOWN, 10)).collect();
    mine(&Request {
        victim: Prefix::host(IpAddr::from(VICTIM)),
        attack: &attack,
        good: &good,
        network: &[],
        protected: &Protected::default(),
        budget: Budget::default(),
    })
}

/// What the miner is given of an attack's time.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Window {
    /// The attack alone.
    Attack,
    /// All that came to the victim, as an alert hands it over.
    All,
}

#[test]
fn real_attacks_are_covered_and_everyday_traffic_is_spared() {
    let everyday = everyday();
    if everyday.is_empty() {
        println!("skipped real attacks: no captures at ../shared/data/captures of the repository");
        return;
    }
    for (name, truth, most) in ATTACKS {
        for window in [Window::Attack, Window::All] {
            judge(name, truth, most, window, &everyday);
        }
    }
}

fn judge(name: &str, truth: &str, most: usize, window: Window, everyday: &[Vec<u8>]) {
    let truth = policy(&format!("drop attack when {truth}\n"));
    let all = frames(&folder("attack").join(name)).into_iter().map(to_victim).collect::<Vec<_>>();
    let (attack, other): (Vec<_>, Vec<_>) =
        all.iter().cloned().partition(|frame| matched(&truth, [frame]) == 1);
    let good: Vec<_> = other.into_iter().chain(everyday.iter().cloned()).collect();
    let of_attack = tenth(if window == Window::All { &all } else { &attack }, 1);
    let findings = mined(&of_attack, &tenth(&good, 2));
    let mined = policy(&text(&findings));
    let share = |frames: &[Vec<u8>]| matched(&mined, frames) as f64 / frames.len() as f64 * 100.0;
    let (covered, harmed) = (share(&attack), share(&good));
    println!(
        "{name}, {window:?}: {covered:.2} % of {} covered, {harmed:.3} % of {} good",
        attack.len(),
        good.len()
    );
    println!("{}", text(&findings));
    for frame in good.iter().filter(|frame| matched(&mined, [*frame]) == 1) {
        println!("  harmed: {}", weir_packet::view::View(frame));
    }
    for left in &findings.left {
        println!("  left: {} {:.3} {:?}", left.cause, left.share, left.answer);
    }
    for statement in &findings.statements {
        agrees(statement, "", &good);
    }
    if std::env::var("X").is_ok() {
        return;
    }
    assert!(covered >= 99.5, "{covered}");
    assert!(harmed <= 0.05, "{harmed}");
    assert!(findings.statements.len() <= most);
}

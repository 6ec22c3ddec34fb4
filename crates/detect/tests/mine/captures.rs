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
    frames.iter().filter(|_| random.bits().is_multiple_of(10)).cloned().collect()
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

/// What became of an attack and of good traffic, in percent.
struct Judged {
    covered: f64,
    harmed: f64,
}

/// Other samples of the same traffic give other statements: all must cover, and of good traffic few may be lost even
/// by the worst. The samples of the first turn are those of the documentation.
#[test]
fn real_attacks_are_covered_and_everyday_traffic_is_spared() {
    const TURNS: u64 = 4;
    let everyday = everyday();
    if everyday.is_empty() {
        println!("skipped real attacks: no captures at ../shared/data/captures of the repository");
        return;
    }
    for (attack, window) in
        ATTACKS.iter().flat_map(|attack| [(attack, Window::Attack), (attack, Window::All)])
    {
        let judged: Vec<_> = (0..TURNS).map(|turn| judge(attack, window, turn, &everyday)).collect();
        assert!(judged.iter().all(|judged| judged.covered >= 99.5), "{}", attack.0);
        assert!(judged.iter().all(|judged| judged.harmed <= 0.1), "{}", attack.0);
        assert!(judged[0].harmed <= 0.05, "{}", attack.0);
        assert!(
            judged.iter().map(|judged| judged.harmed).sum::<f64>() <= 0.05 * TURNS as f64,
            "{}",
            attack.0
        );
    }
}

fn judge(
    (name, truth, most): &(&str, &str, usize),
    window: Window,
    turn: u64,
    everyday: &[Vec<u8>],
) -> Judged {
    let truth = policy(&format!("drop attack when {truth}\n"));
    let all: Vec<_> = frames(&folder("attack").join(name)).into_iter().map(to_victim).collect();
    let (attack, other): (Vec<_>, Vec<_>) =
        all.iter().cloned().partition(|frame| matched(&truth, [frame]) == 1);
    let good: Vec<_> = other.into_iter().chain(everyday.iter().cloned()).collect();
    let shown = if window == Window::All { &all } else { &attack };
    let findings = mined(&tenth(shown, turn * 2 + 1), &tenth(&good, turn * 2 + 2));
    let policy = policy(&text(&findings));
    let share = |frames: &[Vec<u8>]| matched(&policy, frames) as f64 / frames.len() as f64 * 100.0;
    let judged = Judged { covered: share(&attack), harmed: share(&good) };
    let (Judged { covered, harmed }, attacks, goods) = (&judged, attack.len(), good.len());
    let (attack_samples, good_samples) = (findings.attack_samples, findings.good_samples);
    println!("{name}, {window:?}, from {attack_samples} and {good_samples} samples:");
    println!("  {covered:.2} % of {attacks} attack frames matched, {harmed:.3} % of {goods} good ones");
    if turn == 0 {
        println!("{}", text(&findings));
    }
    if turn == 0 && window == Window::All {
        assert!(
            include_str!("../../../../docs/detection.md").contains(&text(&findings)),
            "docs/detection.md tells of others"
        );
    }
    findings.statements.iter().for_each(|statement| agrees(statement, "", &all));
    assert!(findings.statements.len() <= *most, "{}", text(&findings));
    judged
}

//! Real attacks, and everyday traffic.

use std::fs;
use std::path::{Path, PathBuf};
use weir_compiler::eval::Evaluator;
use weir_compiler::{NoFiles, analyse};
use weir_packet::capture::Capture;

/// Whom all captured attacks are for: the captures' authors have replaced the addresses.
pub(crate) const VICTIM: [u8; 4] = [10, 10, 10, 10];

/// A capture, what in it is the attack by a condition that we wrote after looking at it, and how many statements it
/// may take.
pub(crate) const ATTACKS: [(&str, &str, usize); 4] = [
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
pub(crate) fn everyday() -> Vec<Vec<u8>> {
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

/// A capture of an attack: all of it, the attack's frames, and the others.
pub(crate) struct Recorded {
    pub(crate) all: Vec<Vec<u8>>,
    pub(crate) attack: Vec<Vec<u8>>,
    pub(crate) other: Vec<Vec<u8>>,
}

impl Recorded {
    pub(crate) fn open((name, truth, _): &(&str, &str, usize)) -> Recorded {
        let truth = analyse("truth", &format!("drop attack when {truth}\n"), &NoFiles);
        let mut evaluator = Evaluator::new(&truth.policy);
        let all: Vec<_> = frames(&folder("attack").join(name)).into_iter().map(to_victim).collect();
        let (attack, other) = all.iter().cloned().partition(|frame| evaluator.judge(frame).by.is_some());
        Recorded { all, attack, other }
    }
}

//! Attacks: recorded ones where their captures are there, and synthetic ones, made up after what such attacks look like.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use weir_packet::build::{Ethernet, Ipv4, Packet, Tcp, TcpFlags, TcpOption};
use weir_packet::layers::{Fragment, Ip, Layers, protocol};

use super::{Amplifier, Random, Reflection, Replay, Route, SynFlood, Traffic};
use crate::wire::{Flow, MARK_LEN, Mark, Received};
use crate::{Interface, LabError};

/// The same seed makes the same attack.
const SEED: u64 = 2026;
/// Different frames of an attack that is made beforehand.
const FRAMES: usize = 8192;

/// A capture of an attack. What else its victim got meanwhile is in it as well.
#[derive(Clone, Copy, Debug)]
struct Recording {
    file: &'static str,
    name: &'static str,
    words: &'static [&'static str],
    /// What of it is the attack: by the IP header, and the bytes behind it.
    is_attack: fn(&Ip, &[u8]) -> bool,
}

const RECORDED: [Recording; 4] = [
    Recording {
        file: "dns-rrsig-amplification-fragmented.pcap",
        name: "DNS amplification, fragmented",
        words: &["dns_amplification", "fragments"],
        // Answers about the RRSIG records (type 46) of a name of 14 bytes, and the fragments that follow them.
        is_attack: |ip, bytes| {
            let is_answer = port(bytes) == Some(53) && bytes.get(8 + 26..8 + 28) == Some(&[0, 46]);
            is_later(ip) || ip.protocol == protocol::UDP && is_answer
        },
    },
    Recording {
        file: "tcp-syn-ecn-cwr-flood.pcap",
        name: "SYN flood",
        words: &["syn_flood"],
        is_attack: |ip, bytes| is_tcp(ip) && flags(bytes) & (SYN | ACK) == SYN,
    },
    Recording {
        file: "tcp-synack-reflection-carpet.pcap",
        name: "SYN-ACK reflection",
        words: &["synack_reflection", "rst"],
        is_attack: |ip, bytes| {
            let answers = flags(bytes) & (SYN | ACK) == SYN | ACK || flags(bytes) & RST != 0;
            is_tcp(ip) && matches!(port(bytes), Some(80 | 443)) && answers
        },
    },
    Recording {
        file: "udp-isakmp-amplification.pcap",
        name: "ISAKMP amplification",
        words: &["isakmp_amplification"],
        is_attack: |ip, bytes| ip.protocol == protocol::UDP && !is_later(ip) && port(bytes) == Some(4500),
    },
];

const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// Whether there is no transport header.
fn is_later(ip: &Ip) -> bool {
    matches!(ip.fragment, Fragment::Later(_))
}

fn is_tcp(ip: &Ip) -> bool {
    ip.protocol == protocol::TCP && !is_later(ip)
}

/// From which port, of UDP and TCP.
fn port(transport: &[u8]) -> Option<u16> {
    transport.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
}

fn flags(tcp: &[u8]) -> u8 {
    tcp.get(13).copied().unwrap_or(0)
}

impl Recording {
    fn holds(&self, frame: &[u8]) -> bool {
        let ip = Layers::of(frame).and_then(|layers| layers.ip);
        ip.is_some_and(|ip| (self.is_attack)(&ip, &frame[ip.payload.clone()]))
    }
}

/// An attack on one address.
#[derive(Clone, Debug)]
pub struct Attack(Source);

#[derive(Clone, Debug)]
enum Source {
    Recorded { recording: Recording, path: PathBuf },
    Made { kind: Kind, flow: Flow },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// Resolvers that answer what they were never asked.
    Amplification,
    /// Connections that begin and never end, from forged addresses.
    SynFlood,
    /// Servers that answer SYNs which somebody sent in the victim's name.
    SynAckReflection,
    /// Later fragments of datagrams that never were whole.
    Fragments,
}

impl Attack {
    /// Synthetic ones; their frames are marked with a flow of their own each.
    pub fn synthetic() -> Vec<Attack> {
        let kinds = [Kind::Amplification, Kind::SynFlood, Kind::SynAckReflection, Kind::Fragments];
        let numbered = kinds.into_iter().zip(1..);
        numbered.map(|(kind, number)| Attack(Source::Made { kind, flow: Flow(number) })).collect()
    }

    /// Recorded ones whose captures are in a directory.
    pub fn recorded(directory: &Path) -> Vec<Attack> {
        let all = RECORDED.into_iter().map(|recording| (recording, directory.join(recording.file)));
        let there = all.filter(|(_, path)| path.is_file());
        there.map(|(recording, path)| Attack(Source::Recorded { recording, path })).collect()
    }

    /// The words for what is in it, of which names of rules against it have one.
    pub fn words(&self) -> &'static [&'static str] {
        match &self.0 {
            Source::Recorded { recording, .. } => recording.words,
            Source::Made { kind, .. } => match kind {
                Kind::Amplification => &["dns_amplification"],
                Kind::SynFlood => &["syn_flood"],
                Kind::SynAckReflection => &["synack_reflection"],
                Kind::Fragments => &["fragments"],
            },
        }
    }

    /// Whether it was recorded.
    pub fn is_recorded(&self) -> bool {
        matches!(self.0, Source::Recorded { .. })
    }

    /// Its frames, from an interface: without end.
    ///
    /// # Errors
    /// When its capture cannot be read.
    pub fn frames(&self, interface: &Interface, route: Route) -> Result<Box<dyn Traffic + Send>, LabError> {
        let (kind, flow) = match &self.0 {
            Source::Made { kind, flow } => (kind, *flow),
            Source::Recorded { recording, path } => {
                let replay = Replay::open(path, interface, Flow(0))?.only(|frame| recording.holds(frame));
                let replay = replay.rounds(u64::MAX);
                return Ok(Box::new(replay.readdressed(route.src_mac, route.dst_mac).redirected(route.dst)));
            }
        };
        Ok(match kind {
            Kind::Amplification => Box::new(Reflection::new(route, Amplifier::Dns, 500, 1200, SEED, flow)),
            Kind::SynFlood => Box::new(SynFlood::new(route, 443, SEED, flow)),
            Kind::SynAckReflection => Box::new(Made::of(flow, |mark, random| {
                let src = random.address(route.dst);
                let tcp = Tcp::new(443, random.port()).seq(random.bits() as u32);
                let tcp = tcp.flags(TcpFlags::SYN | TcpFlags::ACK).option(TcpOption::Mss(1460));
                let tcp = tcp.option(TcpOption::Other(254, mark.bytes().to_vec()));
                Packet::between(src, route.dst).macs(route.src_mac, route.dst_mac).push(tcp).build()
            })),
            Kind::Fragments => Box::new(Made::of(flow, |mark, random| fragment(route, mark, random))),
        })
    }

    /// How many of its frames were received, where every other frame was marked.
    pub fn received(&self, received: &Received) -> u64 {
        match &self.0 {
            Source::Recorded { .. } => received.unmarked,
            Source::Made { flow, .. } => received.of(*flow),
        }
    }
}

/// For people.
impl fmt::Display for Attack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Source::Recorded { recording, .. } => recording.name,
            Source::Made { kind, .. } => match kind {
                Kind::Amplification => "UDP amplification (DNS)",
                Kind::SynFlood => "SYN flood",
                Kind::SynAckReflection => "SYN-ACK reflection",
                Kind::Fragments => "fragments",
            },
        })
    }
}

fn fragment(route: Route, mark: Mark, random: &mut Random) -> Vec<u8> {
    let (IpAddr::V4(src), IpAddr::V4(dst)) = (random.address(route.dst), route.dst) else {
        return Vec::new();
    };
    let offset = 1480 * (1 + random.below(3) as u16);
    let ip = Ipv4::new(src, dst).id(random.bits() as u16).fragment(offset, true).protocol(protocol::UDP);
    let mut payload = vec![0x41; 1000 - MARK_LEN];
    payload.extend_from_slice(&mark.bytes());
    Packet::new().push(Ethernet::new(route.src_mac, route.dst_mac)).push(ip).payload(payload).build()
}

/// Frames that were made beforehand, over and over.
struct Made {
    frames: Vec<Vec<u8>>,
    next: usize,
    flow: Flow,
}

impl Made {
    fn of(flow: Flow, frame: impl Fn(Mark, &mut Random) -> Vec<u8>) -> Made {
        let mut random = Random::new(SEED);
        let frames = (0..FRAMES as u64).map(|sequence| frame(Mark { flow, sequence }, &mut random));
        Made { frames: frames.collect(), next: 0, flow }
    }
}

impl Traffic for Made {
    fn next(&mut self, frame: &mut Vec<u8>) -> Option<Flow> {
        frame.clear();
        frame.extend_from_slice(&self.frames[self.next]);
        self.next = (self.next + 1) % self.frames.len();
        Some(self.flow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_packet::capture::Capture;

    /// As many as the conditions of `docs/detection.md` say, which the policy language's evaluator counted. Where the captures are
    /// not, the tests of `weir-detect` say so.
    #[test]
    fn recordings_are_of_the_attack_alone() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/captures/attack");
        for (recording, frames) in RECORDED.iter().zip([1249, 9639, 7668, 3984]) {
            let path = folder.join(recording.file);
            if !path.is_file() {
                continue;
            }
            let capture = Capture::open(&path).expect("a capture").map(|frame| frame.expect("a frame"));
            let held = capture.filter(|frame| frame.to_ethernet().is_ok_and(|bytes| recording.holds(&bytes)));
            assert_eq!(held.count(), frames, "{}", recording.file);
        }
    }
}

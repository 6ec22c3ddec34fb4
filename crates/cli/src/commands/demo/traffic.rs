//! The attacks.

use std::net::{IpAddr, Ipv4Addr};
use weir_lab::traffic::{Amplifier, Random, Reflection, Route, Traffic};
use weir_lab::wire::{Flow, MARK_LEN, Mark};
use weir_packet::build::{Packet, Tcp, TcpOption};

/// Frames a second of each attack.
pub(super) const RATE: u64 = 100_000;

/// The port that the HTTP server listens on.
pub(super) const HTTP: u16 = 80;

/// The same seed makes the same attack.
const SEED: u64 = 2026;

/// Who attacks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Attack {
    /// Resolvers that answer what they were never asked.
    Dns,
    /// Time servers that do so.
    Ntp,
    /// Hosts that begin connections and never finish one.
    Syn,
}

impl Attack {
    /// The statement of the policy that is made for it.
    pub(super) fn statement(self) -> &'static str {
        match self {
            Attack::Dns | Attack::Ntp => "amplification",
            Attack::Syn => "syn_flood",
        }
    }

    /// The flow that marks its frames, so that a receiver knows them.
    pub(super) fn flow(self) -> Flow {
        Flow(self as u32 + 1)
    }

    /// Its frames.
    pub(super) fn frames(self, route: Route) -> Box<dyn Traffic + Send> {
        let reflection =
            |amplifier, len| Box::new(Reflection::new(route, amplifier, 500, len, SEED, self.flow()));
        match self {
            Attack::Dns => reflection(Amplifier::Dns, 1200),
            Attack::Ntp => reflection(Amplifier::Ntp, 482),
            Attack::Syn => Box::new(Botnet::new(route, self.flow())),
        }
    }
}

/// SYNs from all hosts of two networks, from random ports, over and over.
struct Botnet {
    frames: Vec<Vec<u8>>,
    next: usize,
    flow: Flow,
}

/// Different frames of a botnet.
const FRAMES: u64 = 4096;

impl Botnet {
    fn new(route: Route, flow: Flow) -> Botnet {
        let mut random = Random::new(SEED);
        let frame = |sequence| syn(route, Mark { flow, sequence }, &mut random);
        Botnet { frames: (0..FRAMES).map(frame).collect(), next: 0, flow }
    }
}

impl Traffic for Botnet {
    fn next(&mut self, frame: &mut Vec<u8>) -> Option<Flow> {
        frame.clear();
        frame.extend_from_slice(&self.frames[self.next]);
        self.next = (self.next + 1) % self.frames.len();
        Some(self.flow)
    }
}

/// The mark is the last of the options, of the experimental kind 254 (RFC 4727).
fn syn(route: Route, mark: Mark, random: &mut Random) -> Vec<u8> {
    let networks = [[198, 51, 100], [203, 0, 113]];
    let [a, b, c] = networks[random.below(2) as usize];
    let src = IpAddr::from(Ipv4Addr::new(a, b, c, 1 + random.below(254) as u8));
    let bytes: [u8; MARK_LEN] = mark.bytes();
    let tcp = Tcp::new(random.port(), HTTP).seq(random.bits() as u32);
    let tcp = tcp.option(TcpOption::Mss(1460)).option(TcpOption::SackPermitted);
    let tcp = tcp.option(TcpOption::Other(254, bytes.to_vec()));
    Packet::between(src, route.dst).macs(route.src_mac, route.dst_mac).push(tcp).build()
}

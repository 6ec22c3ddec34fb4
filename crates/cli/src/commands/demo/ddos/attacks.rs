//! The attacks. They are synthetic: made up after what such attacks look like, not recorded.

use std::net::IpAddr;
use weir_lab::traffic::{Amplifier, Random, Reflection, Route, SynFlood, Traffic};
use weir_lab::wire::{Flow, MARK_LEN, Mark};
use weir_packet::build::{Ethernet, Ipv4, Packet, Tcp, TcpFlags, TcpOption};
use weir_packet::layers::protocol;

/// The same seed makes the same attack.
const SEED: u64 = 2026;
/// Different frames of an attack that is made beforehand.
const FRAMES: usize = 8192;

/// Who attacks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Attack {
    /// Resolvers that answer what they were never asked.
    Amplification,
    /// Connections that begin and never end, from forged addresses.
    SynFlood,
    /// Servers that answer SYNs which somebody sent in the victim's name.
    SynAckReflection,
    /// Later fragments of datagrams that never were whole.
    Fragments,
}

/// In the order in which they come.
pub(super) const ALL: [Attack; 4] =
    [Attack::Amplification, Attack::SynFlood, Attack::SynAckReflection, Attack::Fragments];

impl Attack {
    /// For people.
    pub(super) fn name(self) -> &'static str {
        match self {
            Attack::Amplification => "UDP amplification (DNS)",
            Attack::SynFlood => "SYN flood",
            Attack::SynAckReflection => "SYN-ACK reflection",
            Attack::Fragments => "fragments",
        }
    }

    /// What the name of a rule against it ends with.
    pub(super) fn word(self) -> &'static str {
        match self {
            Attack::Amplification => "dns_amplification",
            Attack::SynFlood => "syn_flood",
            Attack::SynAckReflection => "synack_reflection",
            Attack::Fragments => "fragments",
        }
    }

    /// The flow that marks its frames.
    pub(super) fn flow(self) -> Flow {
        Flow(self as u32 + 1)
    }

    /// Its frames.
    pub(super) fn frames(self, route: Route) -> Box<dyn Traffic + Send> {
        match self {
            Attack::Amplification => {
                Box::new(Reflection::new(route, Amplifier::Dns, 500, 1200, SEED, self.flow()))
            }
            Attack::SynFlood => Box::new(SynFlood::new(route, 443, SEED, self.flow())),
            Attack::SynAckReflection => Box::new(Made::of(self.flow(), |mark, random| {
                let src = random.address(route.dst);
                let tcp = Tcp::new(443, random.port()).seq(random.bits() as u32);
                let tcp = tcp.flags(TcpFlags::SYN | TcpFlags::ACK).option(TcpOption::Mss(1460));
                let tcp = tcp.option(TcpOption::Other(254, mark.bytes().to_vec()));
                Packet::between(src, route.dst).macs(route.src_mac, route.dst_mac).push(tcp).build()
            })),
            Attack::Fragments => {
                Box::new(Made::of(self.flow(), |mark, random| fragment(route, mark, random)))
            }
        }
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

//! Pools of backends, and what `balance` does with a packet for one of them.

use super::{Compare, Decap, FieldRef, HeaderRef, IpHeader, KeyPart, Pred, Protocols, Relation, Term};
use crate::source::Span;
use weir_pool::pool::{AllDown, Endpoint};
use weir_pool::probe::Check;

/// The port of generic UDP encapsulation (draft-ietf-intarea-gue).
pub const GUE_PORT: u16 = 6080;
/// How long a frame that leaves may be behind its Ethernet header, where nothing else is said.
pub const MTU: u16 = 1500;

/// A pool, as it is declared.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pool {
    /// Its name.
    pub name: String,
    /// Where it is declared.
    pub span: Span,
    /// Its backends, in the policy's order.
    pub backends: Vec<Backend>,
    /// How many it can have at a time, with those that are added while it runs.
    pub max: u16,
    /// Slots of its ring, a prime number.
    pub ring: u32,
    /// For how long a flow may be silent and keep its backend when the pool changes, in nanoseconds.
    pub settle: u64,
    /// How long a backend that comes takes until all of its weight counts, in nanoseconds.
    pub slow: u64,
    /// What happens if no backend is well.
    pub down: AllDown,
    /// Where frames for its backends go, unless a backend has a MAC address of its own: a fixed next hop on the interface
    /// by which they came. `None` asks the kernel's routes and neighbours for each packet.
    pub gateway: Option<[u8; 6]>,
    /// How long a packet to a fixed next hop may be, from its first IP header on. Else the route says it.
    pub mtu: u16,
    /// How backends are checked.
    pub check: Option<Check>,
}

impl Pool {
    /// What packets meet, as text: pools with the same one do the same to them.
    pub fn meaning(&self) -> String {
        let Pool { name, backends, ring, down, gateway, mtu, .. } = self;
        let backend = |b: &Backend| format!("{} {} {} {:?}", b.endpoint, b.weight, b.drained, b.mac);
        let backends: Vec<String> = backends.iter().map(backend).collect();
        format!("{name} {backends:?} {ring} {down:?} {gateway:?} {mtu}")
    }
}

/// A backend, as it is declared.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Backend {
    /// Where it is.
    pub endpoint: Endpoint,
    /// Where it is declared.
    pub span: Span,
    /// Its part of new flows.
    pub weight: u16,
    /// Declared as drained: it has no part.
    pub drained: bool,
    /// A fixed next hop, on the interface by which packets came.
    pub mac: Option<[u8; 6]>,
}

/// What `balance` does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Balance {
    /// Index into [`Policy::pools`](super::Policy::pools).
    pub pool: u32,
    /// What makes a flow: the first key whose values are all there; a packet that has none is dropped as one without a backend. The
    /// checker puts addresses alone last, which every IP packet has.
    pub keys: Vec<Vec<KeyPart>>,
    /// How packets get to backends.
    pub via: Via,
}

/// How packets get to backends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Via {
    /// As they are, to the backend's MAC address.
    L2,
    /// In an IP packet to the backend (RFC 2003, RFC 2473, RFC 4213).
    IpIp(Origin),
    /// In UDP to the backend: GUE's variant 1, an IP packet right behind the UDP header.
    Gue(Origin, u16),
}

/// From where encapsulated packets come, for each family of backends. What a prefix leaves open is the flow's hash, so that receivers
/// spread flows over their queues.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Origin {
    /// To IPv4 backends: the address and how many of its bits are fixed.
    pub v4: Option<(u32, u8)>,
    /// To IPv6 backends.
    pub v6: Option<(u128, u8)>,
}

impl Via {
    /// The word for it in policies.
    pub fn word(&self) -> &'static str {
        match self {
            Via::L2 => "l2",
            Via::IpIp(_) => "ipip",
            Via::Gue(..) => "gue",
        }
    }
}

impl Balance {
    /// The packets that can be sent: an IP header stands right behind the link's.
    pub fn applies(protocols: &Protocols) -> Pred {
        Decap::of(protocols).map_or(Pred::Const(false), |link| link.behind_link(protocols))
    }

    /// The IP headers that packets can have, one for each family.
    pub fn packets(protocols: &Protocols) -> Vec<IpHeader> {
        Decap::of(protocols).map_or_else(Vec::new, |link| link.outer)
    }

    /// The packets that begin a flow: with SYN and without ACK.
    pub fn begins(protocols: &Protocols) -> Pred {
        let Some([syn, ack]) = flags(protocols) else { return Pred::Const(false) };
        let is = |left, value| Pred::Compare(Compare { op: Relation::Eq, left, right: Term::Const(value) });
        Pred::And(vec![is(syn, 1), is(ack, 0)])
    }

    /// The values that it needs of a packet.
    pub(super) fn terms(&self, protocols: &Protocols) -> Vec<Term> {
        let headers = Balance::packets(protocols).into_iter().map(|ip| Term::Begin(ip.header));
        let keys = self.keys.iter().flatten().map(|part| part.term.clone());
        headers.chain(keys).chain(flags(protocols).into_iter().flatten()).collect()
    }
}

/// TCP's SYN and ACK.
fn flags(protocols: &Protocols) -> Option<[Term; 2]> {
    let protocol = protocols.find("tcp")?;
    let header = HeaderRef { level: 0, protocol, index: 0 };
    let flag = |name: &str| {
        let field = protocols[protocol].fields.iter().position(|field| field.name == name)? as u32;
        Some(Term::Field(FieldRef { header, field }))
    };
    Some([flag("flags.syn")?, flag("flags.ack")?])
}

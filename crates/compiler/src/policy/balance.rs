//! Pools of backends, and what `balance` does with a packet for one of them.

use super::{
    Compare, Decap, FieldRef, HeaderRef, KeyPart, Pred, Presence, ProtocolId, Protocols, Relation, SliceRef,
    Term, Through, simplify,
};
use crate::ir::Via;
use crate::source::Span;
use crate::syntax::ast::ArithmeticOp;
use weir_pool::pool::{AllDown, Endpoint};
use weir_pool::probe::Check;
use weir_pool::slots::Track;

/// The port of generic UDP encapsulation (draft-ietf-intarea-gue).
pub const GUE_PORT: u16 = 6080;
/// The port of VXLAN (RFC 7348).
pub const VXLAN_PORT: u16 = 4789;
/// How many flows a pool can remember where nothing else is said.
pub const FLOWS: u32 = 32_768;
/// The IP header of each family, and what an ICMP error quotes of one, and of the ports behind it.
pub(crate) const FAMILIES: [[&str; 3]; 2] =
    [["ip4", "icmp.error", "icmp.error.ports"], ["ip6", "icmpv6.error", "icmpv6.error.ports"]];
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
    /// Which flows it remembers.
    pub track: Track,
    /// How many.
    pub flows: u32,
    /// For how long a flow may be silent and certainly keep its backend when the pool changes, in nanoseconds.
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
    /// Whether packets stand in a frame of their own on their way (VXLAN): a backend's MAC address is then the one to which that
    /// goes, and says nothing of the next hop.
    pub framed: bool,
    /// How backends are checked.
    pub check: Option<Check>,
    /// The way that probes take; `None` for the one to the backends' own addresses.
    pub through: Option<Through>,
}

impl Pool {
    /// The fixed next hop of one of its backends.
    pub fn fixed_hop(&self, backend: &Backend) -> Option<[u8; 6]> {
        backend.mac.filter(|_| !self.framed).or(self.gateway)
    }

    /// What packets meet, as text: pools with the same one do the same to them.
    pub fn meaning(&self) -> String {
        let Pool { name, backends, ring, track, down, gateway, mtu, .. } = self;
        let backend = |b: &Backend| format!("{} {} {} {:?}", b.endpoint, b.weight, b.drained, b.mac);
        let backends: Vec<String> = backends.iter().map(backend).collect();
        format!("{name} {backends:?} {ring} {track:?} {down:?} {gateway:?} {mtu}")
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
    /// Its MAC address: a fixed next hop, on the interface by which packets came; or its own behind a tunnel that carries frames.
    pub mac: Option<[u8; 6]>,
}

impl Backend {
    /// Its part of new flows, as rings have it.
    pub fn part(&self) -> u32 {
        if self.drained { 0 } else { self.weight.into() }
    }
}

/// What `balance` does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Balance {
    /// Index into [`Policy::pools`](super::Policy::pools).
    pub pool: u32,
    /// What makes a flow: the first key whose values are all there; a packet that has none is dropped as one without a backend. The
    /// checker puts what ICMP errors quote first, since errors have addresses of their own too, and addresses alone last, which
    /// every IP packet has.
    pub keys: Vec<Vec<KeyPart>>,
    /// How packets get to backends.
    pub via: Via,
    /// Of which families packets can be that the condition holds for: of IPv4, of IPv6.
    pub families: [bool; 2],
}

/// Why a packet is not sent; statements count each by itself.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Unsent {
    /// No backend has its slot.
    Nobody,
    /// It says that it is longer than the frame or shorter than its header, or its time to live is over, or it came to a
    /// group's MAC address.
    Damaged,
    /// It is longer than what the next hop takes.
    Long,
    /// No way leads to its backend; or it is translated and neither TCP nor UDP, nor about a flow that is known.
    Unreachable,
    /// All ports from which it could be sent are taken.
    Full,
}

impl Unsent {
    /// All of them.
    pub const ALL: [Unsent; 5] =
        [Unsent::Nobody, Unsent::Damaged, Unsent::Long, Unsent::Unreachable, Unsent::Full];

    /// As counters are called, behind the name of their statement: `NAME/nobody`.
    pub const WORDS: [&str; 5] = ["nobody", "damaged", "long", "unreachable", "full"];

    /// Its word.
    pub fn word(self) -> &'static str {
        Unsent::WORDS[self as usize]
    }
}

/// What a packet says of itself, by its outer IP header of one family.
#[derive(Clone, Debug)]
pub struct Said {
    /// The header.
    pub header: HeaderRef,
    /// Whether it is one of IPv6.
    pub six: bool,
    /// How long the packet is, in bytes.
    pub length: Term,
    /// How long its header is.
    pub least: Term,
    /// How many hops it may still go.
    pub hops: Term,
    /// Type of service or traffic class, `u8`.
    pub service: Term,
    /// Whether its sender is told when it is too long: it must not be fragmented, and is no message of ICMP (RFC 1812,
    /// section 4.3.2.7; RFC 4443, section 2.4).
    pub told: Pred,
}

impl Said {
    pub(super) fn of(protocols: &Protocols, header: HeaderRef) -> Option<Said> {
        let protocol = &protocols[header.protocol];
        let six = protocol.name == "ip6";
        let field = |name: &str| {
            let field = protocol.fields.iter().position(|field| field.name == name)? as u32;
            Some(Term::Field(FieldRef { header, field }))
        };
        let computed = |op, a: Term, b| Term::Binary(op, Box::new(a), Box::new(Term::Const(b)));
        let (length, least) = match six {
            true => (computed(ArithmeticOp::Add, field("plen")?, 40), Term::Const(40)),
            false => (field("len")?, computed(ArithmeticOp::Mul, field("ihl")?, 4)),
        };
        let is = |name: &str, op, value| {
            Some(Pred::Compare(Compare { op, left: field(name)?, right: Term::Const(value) }))
        };
        let told = match six {
            true => vec![is("nxt", Relation::Ne, 58)?],
            false => vec![
                is("proto", Relation::Ne, 1)?,
                is("frag", Relation::Eq, 0)?,
                is("flags.df", Relation::Eq, 1)?,
            ],
        };
        let told = Pred::And(told);
        let hops = field(if six { "hlim" } else { "ttl" })?;
        let service = field(if six { "tclass" } else { "dsfield" })?;
        Some(Said { header, six, length, least, hops, service, told })
    }

    /// Whether what it says can be true of a frame whose MAC address is no group's. A packet that is `routed` on needs hops to go (RFC 1812, section 5.3.1).
    pub fn sound(&self, protocols: &Protocols, routed: bool) -> Pred {
        let compare = |op, left: &Term, right| Pred::Compare(Compare { op, left: left.clone(), right });
        let end = Term::Binary(
            ArithmeticOp::Add,
            Box::new(Term::Begin(self.header)),
            Box::new(self.length.clone()),
        );
        let mut sound = vec![
            compare(Relation::Ge, &self.length, self.least.clone()),
            compare(Relation::Le, &end, Term::FrameLen),
            compare(Relation::Ne, &self.hops, Term::Const(0)),
        ];
        sound.extend(group_bit(protocols).map(|bit| compare(Relation::Eq, &bit, Term::Const(0))));
        sound.extend(routed.then(|| compare(Relation::Ne, &self.hops, Term::Const(1))));
        Pred::And(sound)
    }
}

/// Fragments of one family: which packets are some, and by what those of a datagram are known.
#[derive(Clone, Debug)]
pub struct Fragments {
    /// Whether they are of IPv6.
    pub six: bool,
    /// All but a datagram's first, which carry no ports.
    pub later: Pred,
    /// A datagram's first, where it has more.
    pub first: Pred,
    /// Addresses, protocol and identification (RFC 791); in IPv6 without the protocol (RFC 8200, section 4.5).
    pub key: Vec<KeyPart>,
}

impl Fragments {
    pub(super) fn of(protocols: &Protocols, said: &Said) -> Option<Fragments> {
        let header = match said.six {
            true => HeaderRef { level: 0, protocol: protocols.find("ip6.frag")?, index: 0 },
            false => said.header,
        };
        let part = |header: HeaderRef, name: &str| {
            let fields = &protocols[header.protocol].fields;
            let field = fields.iter().position(|field| field.name == name)?;
            let width = fields[field].ty.bits();
            let term = Term::Field(FieldRef { header, field: field as u32 });
            Some(KeyPart { term, width, prefix: width, mapped: false })
        };
        let names: &[&str] = if said.six { &["ident"] } else { &["proto", "id"] };
        let addresses = ["src", "dst"].map(|name| part(said.header, name));
        let own = names.iter().map(|name| part(header, name));
        let key = addresses.into_iter().chain(own).collect::<Option<Vec<_>>>()?;
        let is = |name: &str, op, value| {
            let left = part(header, name)?.term;
            Some(Pred::Compare(Compare { op, left, right: Term::Const(value) }))
        };
        let more = if said.six { "more" } else { "flags.mf" };
        Some(Fragments {
            six: said.six,
            later: Pred::And(vec![Pred::Header(said.header), is("frag", Relation::Ne, 0)?]),
            first: Pred::And(vec![is("frag", Relation::Eq, 0)?, is(more, Relation::Eq, 1)?]),
            key,
        })
    }

    fn terms(self) -> impl Iterator<Item = Term> {
        let asked = [self.later, self.first].into_iter().flat_map(compared);
        asked.chain(self.key.into_iter().map(|part| part.term)).collect::<Vec<_>>().into_iter()
    }
}

/// Whether a term asks for some header.
fn asks_of(term: &Term, which: &impl Fn(HeaderRef) -> bool) -> bool {
    match term {
        Term::Field(field) => which(field.header),
        Term::Binary(_, left, right) => asks_of(left, which) || asks_of(right, which),
        _ => false,
    }
}

/// By protocol: whether it can be found in a frame, not inside a tunnel, without one protocol before it.
fn reachable_without(protocols: &Protocols, without: ProtocolId) -> Vec<bool> {
    let mut there = vec![false; protocols.list.len()];
    let mut todo: Vec<ProtocolId> = protocols.root.into_iter().collect();
    while let Some(id) = todo.pop() {
        if id != without && !std::mem::replace(&mut there[id.0 as usize], true) {
            let rows = protocols[id].next.iter().flat_map(|next| &next.table);
            todo.extend(rows.filter(|row| !row.2).map(|row| row.1));
        }
    }
    there
}

/// What comparisons with constants ask for.
fn compared(pred: Pred) -> Vec<Term> {
    let list = match pred {
        Pred::And(list) => list,
        other => vec![other],
    };
    let left = |pred| match pred {
        Pred::Compare(Compare { left, .. }) => Some(left),
        _ => None,
    };
    list.into_iter().filter_map(left).collect()
}

/// The first byte of the frame's destination, where its lowest bit says that it is a group's (IEEE 802, section 8.2).
fn group_bit(protocols: &Protocols) -> Option<Term> {
    let header = HeaderRef { level: 0, protocol: protocols.root?, index: 0 };
    let first = Term::Slice(SliceRef { header, payload: false, offset: 0, length: 1 });
    Some(Term::Binary(ArithmeticOp::And, Box::new(first), Box::new(Term::Const(1))))
}

impl Balance {
    /// Forgets the families that a condition never holds for, with all that would be asked of their packets.
    pub fn only_for(&mut self, when: &Pred, protocols: &Protocols) {
        let of_family = |six: bool| FAMILIES[usize::from(six)].map(|name| protocols.find(name));
        for six in [false, true] {
            let own = of_family(six);
            let there = own[0].map_or_else(Vec::new, |ip| reachable_without(protocols, ip));
            // What can be there although packets of the other family alone are looked at.
            let presence = |header: HeaderRef| {
                let id = header.protocol;
                let gone = own.contains(&Some(id)) || !there.get(id.0 as usize).copied().unwrap_or(true);
                if header.level == 0 && gone { Presence::No } else { Presence::Unknown }
            };
            self.families[usize::from(!six)] = simplify(when, &presence) != Pred::Const(false);
        }
        for six in [false, true].into_iter().filter(|six| !self.families[usize::from(*six)]) {
            let gone = of_family(six);
            let asks = |header: HeaderRef| header.level == 0 && gone.contains(&Some(header.protocol));
            self.keys.retain(|key| !key.iter().any(|part| asks_of(&part.term, &asks)));
        }
    }

    /// The packets that can be sent: an IP header stands right behind the link's.
    pub fn applies(protocols: &Protocols) -> Pred {
        Decap::of(protocols).map_or(Pred::Const(false), |link| link.behind_link(protocols))
    }

    /// What packets say of themselves, for each family.
    pub fn said(&self, protocols: &Protocols) -> Vec<Said> {
        let outer = Decap::of(protocols).map_or_else(Vec::new, |link| link.outer);
        let said = outer.iter().filter_map(|ip| Said::of(protocols, ip.header));
        said.filter(|said| self.families[usize::from(said.six)]).collect()
    }

    /// What is known of fragments, for each family.
    pub fn fragments(&self, protocols: &Protocols) -> Vec<Fragments> {
        self.said(protocols).iter().filter_map(|said| Fragments::of(protocols, said)).collect()
    }

    /// The packets that go where an earlier one went: later fragments.
    pub fn follows(&self, protocols: &Protocols) -> Pred {
        let later = self.fragments(protocols).into_iter().map(|fragments| fragments.later);
        Pred::And(vec![Balance::applies(protocols), Pred::Or(later.collect())])
    }

    /// The packets that begin a flow: with SYN and without ACK.
    pub fn begins(protocols: &Protocols) -> Pred {
        let Some([syn, ack]) = Balance::flags(protocols) else { return Pred::Const(false) };
        let is = |left, value| Pred::Compare(Compare { op: Relation::Eq, left, right: Term::Const(value) });
        Pred::And(vec![is(syn, 1), is(ack, 0)])
    }

    /// The values that it needs of a packet.
    pub(super) fn terms(&self, protocols: &Protocols) -> Vec<Term> {
        let of_packet = |said: Said| {
            let Said { header, length, least, hops, service, told, .. } = said;
            let told = compared(told);
            [Term::Begin(header), length, least, hops, service].into_iter().chain(told)
        };
        let packets = self.said(protocols).into_iter().flat_map(of_packet);
        let keys = self.keys.iter().flatten().map(|part| part.term.clone());
        packets
            .chain(self.fragments(protocols).into_iter().flat_map(Fragments::terms))
            .chain(group_bit(protocols))
            .chain(keys)
            .chain(Balance::flags(protocols).into_iter().flatten())
            .chain(self.nat_terms(protocols))
            .collect()
    }

    /// TCP's SYN and ACK.
    pub fn flags(protocols: &Protocols) -> Option<[Term; 2]> {
        let protocol = protocols.find("tcp")?;
        let header = HeaderRef { level: 0, protocol, index: 0 };
        let flag = |name: &str| {
            let field = protocols[protocol].fields.iter().position(|field| field.name == name)? as u32;
            Some(Term::Field(FieldRef { header, field }))
        };
        Some([flag("flags.syn")?, flag("flags.ack")?])
    }
}

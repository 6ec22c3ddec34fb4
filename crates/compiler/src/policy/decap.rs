//! What `decap` looks at: the headers that it keeps or takes off, and what must not stand between them.
//!
//! It writes frames, so here, and in what makes them, Ethernet, its tags and the two families of IP are known by name.

use super::{FieldRef, HeaderRef, Pred, ProtocolId, Protocols, Term};

/// The headers around the outermost tunnel.
#[derive(Clone, Debug)]
pub struct Decap {
    /// The Ethernet header that the tunnel carries: where it is there, the new frame begins with it.
    pub ethernet: HeaderRef,
    /// The IP headers that the tunnel carries, one for each family.
    pub inner: Vec<IpHeader>,
    /// The IP headers that stand behind the frame's own Ethernet header and its tags.
    pub outer: Vec<IpHeader>,
}

/// An IP header of either family.
#[derive(Clone, Debug)]
pub struct IpHeader {
    /// Which.
    pub header: HeaderRef,
    /// Its two bits of congestion notification (RFC 3168).
    pub ecn: Term,
}

impl Decap {
    /// By the built-in definitions; `None` where those are not there.
    pub fn of(protocols: &Protocols) -> Option<Decap> {
        let ip = protocols.families.iter().find(|family| family.name == "ip")?;
        let at = |level| -> Option<Vec<IpHeader>> {
            ip.members.iter().map(|&id| IpHeader::of(protocols, level, id)).collect()
        };
        let ethernet = HeaderRef { level: 1, protocol: protocols.root?, index: 0 };
        Some(Decap { ethernet, inner: at(1)?, outer: at(0)? })
    }

    /// Where headers begin, and what the IP headers say of congestion.
    pub fn terms(&self) -> Vec<Term> {
        let ip = self.inner.iter().chain(&self.outer);
        let ip = ip.flat_map(|ip| [Term::Begin(ip.header), ip.ecn.clone()]);
        ip.chain([Term::Begin(self.ethernet)]).collect()
    }

    /// The packets whose tunnel can be taken off: it carries an Ethernet frame, or an IP packet of which nothing stands
    /// before the outer IP header that could not stand before the inner one.
    pub fn applies(&self, protocols: &Protocols) -> Pred {
        let carried: Vec<ProtocolId> = protocols.ids().filter(|id| begins_packets(protocols, *id)).collect();
        let inner = |header: HeaderRef| {
            let before = carried.iter().copied().filter(|id| leads(protocols, *id, header.protocol));
            alone(header, before, &self.inner)
        };
        let packet = Pred::And(vec![any(&self.inner, &inner), self.behind_link(protocols)]);
        Pred::Or(vec![inner(self.ethernet), packet])
    }

    /// The packets whose outer IP header stands right behind the frame's own Ethernet header and its VLAN tags.
    pub(super) fn behind_link(&self, protocols: &Protocols) -> Pred {
        let outer = |header: HeaderRef| {
            let between = protocols.ids().filter(|id| self.stands_between(protocols, *id, header.protocol));
            alone(header, between, &self.outer)
        };
        any(&self.outer, &outer)
    }

    /// Whether a protocol, which is no VLAN tag, may stand between a frame's Ethernet header and another one.
    fn stands_between(&self, protocols: &Protocols, id: ProtocolId, to: ProtocolId) -> bool {
        let tag = protocols.find("vlan") == Some(id);
        let ethernet = self.ethernet.protocol;
        !tag && id != ethernet && leads(protocols, ethernet, id) && leads(protocols, id, to)
    }
}

impl IpHeader {
    fn of(protocols: &Protocols, level: u8, protocol: ProtocolId) -> Option<IpHeader> {
        let header = HeaderRef { level, protocol, index: 0 };
        let ecn = &protocols[protocol].derived.iter().find(|(name, _)| name == "ecn")?.1;
        let Term::Field(FieldRef { field, .. }) = *ecn else { return None };
        Some(IpHeader { header, ecn: Term::Field(FieldRef { header, field }) })
    }
}

fn any(list: &[IpHeader], of: &dyn Fn(HeaderRef) -> Pred) -> Pred {
    Pred::Or(list.iter().map(|ip| of(ip.header)).collect())
}

/// A header is there, and at its level none of some other protocols nor an IP header of the other family.
fn alone(header: HeaderRef, others: impl Iterator<Item = ProtocolId>, families: &[IpHeader]) -> Pred {
    let family = families.iter().any(|ip| ip.header == header);
    let of_others = others.map(|protocol| HeaderRef { protocol, ..header });
    let of_family = families.iter().map(|ip| ip.header).filter(|_| family);
    let mut absent: Vec<HeaderRef> = of_others.chain(of_family).filter(|other| *other != header).collect();
    absent.sort();
    absent.dedup();
    let absent = absent.into_iter().map(|other| Pred::Not(Box::new(Pred::Header(other))));
    Pred::And([Pred::Header(header)].into_iter().chain(absent).collect())
}

/// Whether a packet inside another may begin with a header of a protocol.
fn begins_packets(protocols: &Protocols, id: ProtocolId) -> bool {
    let mut rows = protocols.list.iter().flat_map(|protocol| &protocol.next).flat_map(|next| &next.table);
    rows.any(|row| row.1 == id && row.2)
}

/// Whether a header of one protocol may come behind one of another in the same packet.
pub(crate) fn leads(protocols: &Protocols, from: ProtocolId, to: ProtocolId) -> bool {
    let (mut seen, mut todo) = (vec![false; protocols.list.len()], vec![from]);
    while let Some(id) = todo.pop() {
        let rows = protocols[id].next.iter().flat_map(|next| &next.table).filter(|row| !row.2);
        for next in rows.map(|row| row.1) {
            if !std::mem::replace(&mut seen[next.0 as usize], true) {
                todo.push(next);
            }
        }
    }
    seen[to.0 as usize]
}

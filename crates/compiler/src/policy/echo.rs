//! Which echo requests the edge answers for a service: those for addresses that a `balance` asks for.

use super::balance::Said;
use super::{
    Balance, Compare, Decap, FAMILIES, FieldRef, HeaderRef, Pred, Presence, Protocols, Relation, Term, leads,
    simplify,
};

/// The message of each family that asks: its protocol, its number in IP headers, and its type.
const REQUESTS: [(&str, u128, u128); 2] = [("icmp", 1, 8), ("icmpv6", 58, 128)];

/// Addresses from which no host asks: this network, loopbacks, groups and what is above them (RFC 1122, section 3.2.1.3).
const NO_HOSTS_4: [(u128, u128); 3] =
    [(0, 0x00ff_ffff), (0x7f00_0000, 0x7fff_ffff), (0xe000_0000, 0xffff_ffff)];
/// No address, the loopback, and groups (RFC 4291, sections 2.5 and 2.7).
const NO_HOSTS_6: [(u128, u128); 2] = [(0, 1), (0xff << 120, u128::MAX)];

/// The requests that are answered for a service of this condition; `None` if that does not say for which addresses.
///
/// They come by the link, from and to the addresses that the condition asks for; what it asks of ports, flags and the rest
/// no request has, and it is not asked.
pub(crate) fn requests(protocols: &Protocols, when: &Pred) -> Option<Pred> {
    let service = simplify(&weakened(protocols, when, true), &|_| Presence::Unknown);
    let families = headers(protocols);
    if !binds(&service, &|term| families.iter().any(|(ip, _)| is_field(protocols, term, *ip, "dst"))) {
        return None;
    }
    let requests = families.iter().filter_map(|(ip, six)| request(protocols, *ip, *six)).collect();
    Some(Pred::And(vec![Balance::applies(protocols), Pred::Or(requests), service]))
}

/// The IP headers of packets that can be answered, and whether they are of IPv6.
pub(crate) fn headers(protocols: &Protocols) -> Vec<(HeaderRef, bool)> {
    let outer = Decap::of(protocols).map_or_else(Vec::new, |link| link.outer);
    outer.iter().map(|ip| (ip.header, protocols[ip.header.protocol].name == FAMILIES[1][0])).collect()
}

fn request(protocols: &Protocols, ip: HeaderRef, six: bool) -> Option<Pred> {
    let (name, number, kind) = REQUESTS[usize::from(six)];
    let message = HeaderRef { level: 0, protocol: protocols.find(name)?, index: 0 };
    let least = Term::Const(if six { 48 } else { 28 });
    let mut asked = answerable(protocols, ip, six, number, least)?;
    asked.extend([is(protocols, message, "type", kind)?, is(protocols, message, "code", 0)?]);
    Some(Pred::And(asked))
}

/// A whole packet of a protocol without options or extension headers, whose lengths are true and that is at least so long, to one
/// interface and from a host.
pub(super) fn answerable(
    protocols: &Protocols,
    ip: HeaderRef,
    six: bool,
    number: u128,
    least: Term,
) -> Option<Vec<Pred>> {
    let is = |name, value| is(protocols, ip, name, value);
    let mut asked = match six {
        false => vec![is("proto", number)?, is("ihl", 5)?, is("flags.mf", 0)?, is("frag", 0)?],
        true => vec![is("nxt", number)?],
    };
    let said = Said::of(protocols, ip)?;
    asked.push(Pred::Compare(Compare { op: Relation::Ge, left: said.length.clone(), right: least }));
    asked.push(said.sound(protocols, false));
    asked.push(of_host(protocols, ip, six, "src")?);
    Some(asked)
}

/// An address of a packet can be a host's.
pub(super) fn of_host(protocols: &Protocols, ip: HeaderRef, six: bool, name: &str) -> Option<Pred> {
    let no_hosts = if six { NO_HOSTS_6.to_vec() } else { NO_HOSTS_4.to_vec() };
    Some(Pred::Not(Box::new(Pred::In(field(protocols, ip, name)?, no_hosts))))
}

fn is(protocols: &Protocols, header: HeaderRef, name: &str, value: u128) -> Option<Pred> {
    let left = field(protocols, header, name)?;
    Some(Pred::Compare(Compare { op: Relation::Eq, left, right: Term::Const(value) }))
}

pub(super) fn field(protocols: &Protocols, header: HeaderRef, name: &str) -> Option<Term> {
    let field = protocols[header.protocol].field(name)?;
    Some(Term::Field(FieldRef { header, field }))
}

fn is_field(protocols: &Protocols, term: &Term, header: HeaderRef, name: &str) -> bool {
    field(protocols, header, name).as_ref() == Some(term)
}

/// A condition that holds wherever another one does, and asks of the link and of addresses only. What is not asked holds, or
/// below `not` does not.
fn weakened(protocols: &Protocols, pred: &Pred, holds: bool) -> Pred {
    let each = |list: &[Pred]| list.iter().map(|pred| weakened(protocols, pred, holds)).collect();
    match pred {
        Pred::Const(_) => pred.clone(),
        Pred::Not(inner) => Pred::Not(Box::new(weakened(protocols, inner, !holds))),
        Pred::And(list) => Pred::And(each(list)),
        Pred::Or(list) => Pred::Or(each(list)),
        _ if can_be_asked(protocols, pred) => pred.clone(),
        _ => Pred::Const(holds),
    }
}

/// Whether a question is about the link, addresses, or whether there is an IP header.
fn can_be_asked(protocols: &Protocols, pred: &Pred) -> bool {
    let ip = headers(protocols);
    let of_link = |header: HeaderRef| {
        header.level == 0 && ip.iter().any(|(ip, _)| leads(protocols, header.protocol, ip.protocol))
    };
    let about = |term: &Term| match term {
        Term::Const(_) => true,
        Term::Field(field) => {
            let address = |(ip, _): &(HeaderRef, bool)| {
                ["src", "dst"].iter().any(|name| is_field(protocols, term, *ip, name))
            };
            ip.iter().any(address) || of_link(field.header) && ip.iter().all(|(ip, _)| *ip != field.header)
        }
        Term::Slice(slice) => {
            !slice.payload && of_link(slice.header) && ip.iter().all(|(ip, _)| *ip != slice.header)
        }
        _ => false,
    };
    match pred {
        Pred::Header(header) => ip.iter().any(|(ip, _)| ip == header) || of_link(*header),
        Pred::There(term) | Pred::In(term, _) => about(term),
        Pred::Compare(Compare { left, right, .. }) => about(left) && about(right),
        Pred::InSet(terms, _) => terms.iter().all(about),
        _ => false,
    }
}

/// Whether a condition holds for some values of a term only, which it names.
fn binds(pred: &Pred, of: &impl Fn(&Term) -> bool) -> bool {
    match pred {
        Pred::And(list) => list.iter().any(|pred| binds(pred, of)),
        Pred::Or(list) => !list.is_empty() && list.iter().all(|pred| binds(pred, of)),
        Pred::Compare(Compare { op: Relation::Eq, left, right: Term::Const(_) }) => of(left),
        Pred::In(term, _) => of(term),
        Pred::InSet(terms, _) => terms.iter().any(of),
        _ => false,
    }
}

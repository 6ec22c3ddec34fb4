//! Which segments of TCP an `answer … syncookie` looks at.

use super::echo::{answerable, field, headers, of_host};
use super::{Balance, Compare, HeaderRef, Pred, Protocols, Relation, Term};
use crate::syntax::ast::ArithmeticOp;

/// What it counts beside all segments that it did something with, behind its name: `NAME/answered`.
pub const PARTS: [&str; 3] = ["answered", "valid", "invalid"];

/// The protocol's number in IP headers.
const TCP: u128 = 6;
/// Flags of a segment.
const FIN: u128 = 0x01;
const SYN: u128 = 0x02;
const RESET: u128 = 0x04;
const ACK: u128 = 0x10;

/// The segments that it applies to, whatever its condition says besides: SYNs and acknowledgements from one host to one other, in
/// packets that stand by themselves.
pub(crate) fn segments(protocols: &Protocols) -> Pred {
    let families = headers(protocols);
    let segments = families.iter().filter_map(|(ip, six)| segment(protocols, *ip, *six)).collect();
    Pred::And(vec![Balance::applies(protocols), Pred::Or(segments)])
}

/// The segments that ask for a connection.
pub(crate) fn asks(protocols: &Protocols) -> Pred {
    flags(protocols, FIN | SYN | RESET | ACK, SYN).unwrap_or(Pred::Const(false))
}

/// The values that it needs of a packet, beside those that its condition asks for.
pub(crate) fn terms(protocols: &Protocols) -> Vec<Term> {
    let begins = headers(protocols).into_iter().map(|(ip, _)| Term::Begin(ip));
    let flags = tcp(protocols).and_then(|tcp| field(protocols, tcp, "flags"));
    begins.chain(flags).collect()
}

fn segment(protocols: &Protocols, ip: HeaderRef, six: bool) -> Option<Pred> {
    let words = field(protocols, tcp(protocols)?, "data_off")?;
    let computed = |op, a, b| Term::Binary(op, Box::new(a), Box::new(Term::Const(b)));
    let header = computed(ArithmeticOp::Mul, words, 4);
    let whole = computed(ArithmeticOp::Add, header, if six { 40 } else { 20 });
    let mut asked = vec![Pred::Or(vec![asks(protocols), flags(protocols, SYN | RESET | ACK, ACK)?])];
    asked.extend(answerable(protocols, ip, six, TCP, whole)?);
    asked.push(of_host(protocols, ip, six, "dst")?);
    Some(Pred::And(asked))
}

/// Of some flags just these are set.
fn flags(protocols: &Protocols, of: u128, set: u128) -> Option<Pred> {
    let all = field(protocols, tcp(protocols)?, "flags")?;
    let left = Term::Binary(ArithmeticOp::And, Box::new(all), Box::new(Term::Const(of)));
    Some(Pred::Compare(Compare { op: Relation::Eq, left, right: Term::Const(set) }))
}

fn tcp(protocols: &Protocols) -> Option<HeaderRef> {
    Some(HeaderRef { level: 0, protocol: protocols.find("tcp")?, index: 0 })
}

//! ICMP errors: what a condition asks of a flow's packets, asked of an error that speaks of the flow.
//!
//! An error quotes a packet that a backend has sent. The packets that a statement sends to the backend go the other way: what
//! they have as source is the quoted destination. Little else is known of them, so this is an arithmetic of three values:
//! for each condition there is one under which it certainly holds for the flow's packets, and one under which it certainly
//! does not, and an error is sent only if the whole certainly holds. That is never more than should be, also below `not`.

use super::expr::{all, any};
use super::literal::normalise;
use crate::plan::{Presence, base_terms, headers_asked, is_optional, simplify};
use crate::policy::{
    Compare, FAMILIES, FieldRef, HeaderRef, KeyPart, Pred, ProtocolId, Protocols, Relation, Term, leads,
};
use std::collections::BTreeMap;

/// The field of a family's IP header, and of what errors quote of one, that says what follows.
const NUMBERS: [&str; 2] = ["proto", "nxt"];

/// The fields that tell the other side: of an IP header, and of a transport's.
const OTHER_SIDE: [(&str, &str); 4] =
    [("src", "dst"), ("dst", "src"), ("srcport", "dstport"), ("dstport", "srcport")];

/// The errors that quote packets of one family.
pub(super) struct Quoted<'p> {
    protocols: &'p Protocols,
    /// The IP header of the flow's packets.
    ip: HeaderRef,
    error: HeaderRef,
    /// The name of the field that says what follows.
    number: &'static str,
    /// What may follow the IP header, by number.
    follows: BTreeMap<u128, ProtocolId>,
    /// Whose headers are the error's own: what stands before the IP header, and ICMP.
    own: Vec<ProtocolId>,
}

/// By which fields an error says ports: those that are there for any transport, or those of the one that is asked for. A
/// condition asks for the protocol besides, a key cannot; most policies need the former for their keys anyway.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ports {
    Any,
    Own,
}

/// When something certainly holds for the flow's packets, and when it certainly does not.
struct Certain {
    holds: Pred,
    fails: Pred,
}

/// A condition or the errors of flows for whose packets it certainly holds.
pub(super) fn or_errors(protocols: &Protocols, when: Pred) -> Pred {
    if when == Pred::Const(true) {
        return when;
    }
    let errors = Quoted::all(protocols).iter().map(|quoted| quoted.errors(&when)).collect();
    match simplify(&Pred::Or(errors), &|_| Presence::Unknown) {
        Pred::Const(false) => when,
        errors => Pred::Or(vec![when, errors]),
    }
}

impl<'p> Quoted<'p> {
    /// By the built-in definitions, for each family.
    pub(super) fn all(protocols: &'p Protocols) -> Vec<Quoted<'p>> {
        let of = |([ip, error], number): ([&str; 2], &'static str)| {
            Quoted::of(protocols, protocols.find(ip)?, protocols.find(error)?, number)
        };
        FAMILIES.into_iter().zip(NUMBERS).filter_map(of).collect()
    }

    fn of(
        protocols: &'p Protocols,
        ip: ProtocolId,
        error: ProtocolId,
        number: &'static str,
    ) -> Option<Quoted<'p>> {
        let mut follows = BTreeMap::new();
        for row in protocols[ip].next.iter().flat_map(|next| &next.table).filter(|row| !row.2) {
            follows.entry(row.0).or_insert(row.1);
        }
        let errors: Vec<ProtocolId> =
            FAMILIES.iter().filter_map(|family| protocols.find(family[1])).collect();
        let icmp = |id: ProtocolId| {
            let mut rows = protocols[id].next.iter().flat_map(|next| &next.table);
            errors.contains(&id) || rows.any(|row| errors.contains(&row.1))
        };
        let own = protocols.ids().filter(|id| icmp(*id) || leads(protocols, *id, ip)).collect();
        let header = |protocol| HeaderRef { level: 0, protocol, index: 0 };
        Some(Quoted { protocols, ip: header(ip), error: header(error), number, follows, own })
    }

    /// The errors of flows for whose packets a condition certainly holds. They are for whoever sent what they quote.
    fn errors(&self, when: &Pred) -> Pred {
        let for_sender = match (self.field(self.ip, "dst"), self.field(self.error, "src")) {
            (Some(left), Some(right)) => Pred::Compare(Compare { op: Relation::Eq, left, right }),
            _ => Pred::Const(false),
        };
        Pred::And(vec![Pred::Header(self.error), for_sender, self.certain(when).holds])
    }

    /// The key that the flow's packets have; `None` if an error does not say all of it.
    pub(super) fn key(&self, key: &[KeyPart]) -> Option<Vec<KeyPart>> {
        let part =
            |part: &KeyPart| Some(KeyPart { term: self.term(&part.term, Ports::Own)?, ..part.clone() });
        key.iter().map(part).collect()
    }

    /// The key that the flow's packets have without `by`, if they have ports, or else.
    pub(super) fn default_key(&self, ports: bool) -> Option<Vec<Term>> {
        let names: &[&str] =
            if ports { &["dst", "src", "dstport", "srcport", self.number] } else { &["dst", "src"] };
        names.iter().map(|name| self.field(self.error, name)).collect()
    }

    fn certain(&self, pred: &Pred) -> Certain {
        match pred {
            Pred::Const(value) => Certain { holds: Pred::Const(*value), fails: Pred::Const(!value) },
            Pred::Not(inner) => {
                let Certain { holds, fails } = self.certain(inner);
                Certain { holds: fails, fails: holds }
            }
            Pred::And(list) => {
                let (holds, fails) = self.each(list);
                Certain { holds: Pred::And(holds), fails: Pred::Or(fails) }
            }
            Pred::Or(list) => {
                let (holds, fails) = self.each(list);
                Certain { holds: Pred::Or(holds), fails: Pred::And(fails) }
            }
            Pred::Header(header) => self.header(*header),
            Pred::There(_) | Pred::Compare(_) | Pred::In(..) | Pred::InSet(..) => self.question(pred),
        }
    }

    fn each(&self, list: &[Pred]) -> (Vec<Pred>, Vec<Pred>) {
        list.iter().map(|pred| self.certain(pred)).map(|certain| (certain.holds, certain.fails)).unzip()
    }

    fn header(&self, header: HeaderRef) -> Certain {
        if header == self.ip {
            return Certain { holds: Pred::Const(true), fails: Pred::Const(false) };
        }
        if header.level > 0 {
            return Certain { holds: Pred::Const(false), fails: Pred::Const(false) };
        }
        if self.own.contains(&header.protocol) {
            return exactly(&Pred::Header(header));
        }
        let right_behind = |id: ProtocolId| id == header.protocol && header.index == 0;
        let somewhere = |id: ProtocolId| id == header.protocol || leads(self.protocols, id, header.protocol);
        Certain {
            holds: self.number_of(&right_behind),
            fails: Pred::Not(Box::new(self.number_of(&somewhere))),
        }
    }

    /// What follows the quoted IP header is one of some protocols.
    fn number_of(&self, of: &dyn Fn(ProtocolId) -> bool) -> Pred {
        let Some(number) = self.field(self.error, self.number) else { return Pred::Const(false) };
        let numbers = self.follows.iter().filter(|row| of(*row.1)).map(|row| (*row.0, *row.0));
        match normalise(numbers.collect()).as_slice() {
            [(low, high)] if low == high => {
                Pred::Compare(Compare { op: Relation::Eq, left: number, right: Term::Const(*low) })
            }
            ranges => Pred::In(number, ranges.to_vec()),
        }
    }

    /// A question about values: it has an answer where all their headers are there, and fails where one is not.
    fn question(&self, pred: &Pred) -> Certain {
        let Some(mirrored) = self.mirrored(pred) else {
            let fails = any(self.headers(pred).map(|header| header.fails));
            return Certain { holds: Pred::Const(false), fails };
        };
        if mirrored == *pred {
            return exactly(pred);
        }
        let holds = self.headers(pred).map(|header| header.holds).chain([mirrored.clone()]);
        let optional = base_terms(&mirrored).into_iter().filter(|term| is_optional(self.protocols, term));
        let values = optional.map(Pred::There).chain([Pred::Not(Box::new(mirrored))]);
        let no = self.headers(pred).map(|header| header.holds).chain(values);
        let absent = self.headers(pred).map(|header| header.fails);
        Certain { fails: any(absent.chain([all(no.collect())])), holds: all(holds.collect()) }
    }

    /// What is known of the headers that a question is about.
    fn headers(&self, pred: &Pred) -> impl Iterator<Item = Certain> {
        headers_asked(pred).into_iter().map(|header| self.header(header))
    }

    /// The question, about what an error says of the values.
    fn mirrored(&self, pred: &Pred) -> Option<Pred> {
        let value = |term: &Term| self.term(term, Ports::Any);
        Some(match pred {
            Pred::There(term) => Pred::There(value(term)?),
            Pred::In(term, ranges) => Pred::In(value(term)?, ranges.clone()),
            Pred::InSet(terms, part) => Pred::InSet(terms.iter().map(value).collect::<Option<_>>()?, *part),
            Pred::Compare(Compare { op, left, right }) => {
                Pred::Compare(Compare { op: *op, left: value(left)?, right: value(right)? })
            }
            _ => return None,
        })
    }

    /// A value of the flow's packets, as an error says it.
    fn term(&self, term: &Term, ports: Ports) -> Option<Term> {
        match term {
            Term::Const(_) => Some(term.clone()),
            Term::Field(field) if self.is_own(field.header) => Some(term.clone()),
            Term::Slice(slice) if self.is_own(slice.header) && !slice.payload => Some(term.clone()),
            Term::Field(field) => self.quoted_field(*field, ports),
            Term::Binary(op, a, b) => {
                Some(Term::Binary(*op, Box::new(self.term(a, ports)?), Box::new(self.term(b, ports)?)))
            }
            Term::Slice(_) | Term::FrameLen | Term::Begin(_) | Term::Truth(_) => None,
        }
    }

    fn is_own(&self, header: HeaderRef) -> bool {
        header.level == 0 && self.own.contains(&header.protocol)
    }

    fn quoted_field(&self, FieldRef { header, field }: FieldRef, ports: Ports) -> Option<Term> {
        if header.level > 0 || header.index > 0 {
            return None;
        }
        let definition = &self.protocols[header.protocol];
        let name = definition.fields[field as usize].name.as_str();
        let other = OTHER_SIDE.iter().find(|sides| sides.0 == name).map(|sides| sides.1);
        if header == self.ip {
            return self.field(self.error, if name == self.number { name } else { other? });
        }
        let own = self.field(self.error, &format!("{}.{}", definition.name, other?))?;
        if ports == Ports::Own { Some(own) } else { self.field(self.error, other?) }
    }

    fn field(&self, header: HeaderRef, name: &str) -> Option<Term> {
        let field = self.protocols[header.protocol].field(name)?;
        Some(Term::Field(FieldRef { header, field }))
    }
}

/// A question that the error itself answers.
fn exactly(pred: &Pred) -> Certain {
    Certain { holds: pred.clone(), fails: Pred::Not(Box::new(pred.clone())) }
}

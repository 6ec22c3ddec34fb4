//! ICMP errors: what a condition asks of a flow's packets, asked of an error that speaks of the flow.
//!
//! An error quotes a packet that a backend has sent. The packets that a statement sends to the backend go the other way: what
//! they have as source is the quoted destination. Little else is known of them, so this is an arithmetic of three values:
//! for each condition there is one under which it certainly holds for the flow's packets, and one under which it certainly
//! does not, and an error is sent only if the whole certainly holds. That is never more than should be, also below `not`.

use super::balance::TRANSPORTS;
use super::expr::{all, any};
use crate::plan::{Presence, headers_asked, simplify};
use crate::policy::{
    Compare, FAMILIES, FieldRef, HeaderRef, KeyPart, Pred, ProtocolId, Protocols, Relation, Term, joined,
    leads,
};
use crate::syntax::ast::ArithmeticOp;
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
    /// The quoted ports, of any transport.
    ports: HeaderRef,
    /// The name of the field that says what follows.
    number: &'static str,
    /// What may follow the IP header, by number.
    follows: BTreeMap<u128, ProtocolId>,
    /// Whose headers are asked for in the error itself: what stands before the IP header, ICMP and what it quotes.
    own: Vec<ProtocolId>,
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
        let families = FAMILIES.into_iter().zip(NUMBERS);
        families.filter_map(|(names, number)| Quoted::of(protocols, names, number)).collect()
    }

    fn of(protocols: &'p Protocols, names: [&str; 3], number: &'static str) -> Option<Quoted<'p>> {
        let [ip, error, ports] = names;
        let [ip, error, ports] = [protocols.find(ip)?, protocols.find(error)?, protocols.find(ports)?];
        let mut follows = BTreeMap::new();
        for row in protocols[ip].next.iter().flat_map(|next| &next.table).filter(|row| !row.2) {
            follows.entry(row.0).or_insert(row.1);
        }
        let errors: Vec<ProtocolId> =
            FAMILIES.iter().filter_map(|family| protocols.find(family[1])).collect();
        let icmp = |id: ProtocolId| {
            let mut rows = protocols[id].next.iter().flat_map(|next| &next.table);
            let quoted = errors.iter().any(|error| *error == id || leads(protocols, *error, id));
            quoted || rows.any(|row| errors.contains(&row.1))
        };
        let own = protocols.ids().filter(|id| icmp(*id) || leads(protocols, *id, ip)).collect();
        let [ip, error, ports] =
            [ip, error, ports].map(|protocol| HeaderRef { level: 0, protocol, index: 0 });
        Some(Quoted { protocols, ip, error, ports, number, follows, own })
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
        let part = |part: &KeyPart| Some(KeyPart { term: self.key_term(&part.term)?, ..part.clone() });
        key.iter().map(part).collect()
    }

    /// A condition asks for the protocol beside its ports; a key cannot, and must not be there in errors about another
    /// protocol's flows. So a zero is added to each port that is there with its own protocol only.
    fn key_term(&self, term: &Term) -> Option<Term> {
        let mirrored = self.term(term)?;
        match term {
            Term::Field(field) if !self.is_own(field.header) && field.header != self.ip => {
                let own = self.field(self.error, &self.protocols[field.header.protocol].name)?;
                let zero = Term::Binary(ArithmeticOp::Mul, Box::new(own), Box::new(Term::Const(0)));
                Some(Term::Binary(ArithmeticOp::Add, Box::new(mirrored), Box::new(zero)))
            }
            Term::Binary(op, a, b) => {
                Some(Term::Binary(*op, Box::new(self.key_term(a)?), Box::new(self.key_term(b)?)))
            }
            _ => Some(mirrored),
        }
    }

    /// The key that the flow's packets have without `by`, if they have ports, or else.
    pub(super) fn default_key(&self, ports: bool) -> Option<Vec<Term>> {
        let of = |header, name| self.field(header, name);
        let mut key = vec![of(self.error, "dst")?, of(self.error, "src")?];
        if ports {
            let number = of(self.error, self.number)?;
            key.extend([of(self.ports, "dstport")?, of(self.ports, "srcport")?, number]);
        }
        Some(key)
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
        match joined(numbers.collect()).as_slice() {
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
        let quoted = headers_asked(&mirrored).into_iter().map(Pred::Header);
        let values = quoted.chain([Pred::Not(Box::new(mirrored))]);
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
        let value = |term: &Term| self.term(term);
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
    fn term(&self, term: &Term) -> Option<Term> {
        match term {
            Term::Const(_) => Some(term.clone()),
            Term::Field(field) if self.is_own(field.header) => Some(term.clone()),
            Term::Slice(slice) if self.is_own(slice.header) && !slice.payload => Some(term.clone()),
            Term::Field(field) => self.quoted_field(*field),
            Term::Binary(op, a, b) => {
                Some(Term::Binary(*op, Box::new(self.term(a)?), Box::new(self.term(b)?)))
            }
            Term::Slice(_) | Term::FrameLen | Term::Begin(_) | Term::Truth(_) => None,
        }
    }

    fn is_own(&self, header: HeaderRef) -> bool {
        header.level == 0 && self.own.contains(&header.protocol)
    }

    fn quoted_field(&self, FieldRef { header, field }: FieldRef) -> Option<Term> {
        if header.level > 0 || header.index > 0 {
            return None;
        }
        let definition = &self.protocols[header.protocol];
        let name = definition.fields[field as usize].name.as_str();
        let other = OTHER_SIDE.iter().find(|sides| sides.0 == name).map(|sides| sides.1);
        if header == self.ip {
            return self.field(self.error, if name == self.number { name } else { other? });
        }
        let transport = TRANSPORTS.contains(&definition.name.as_str());
        if transport { self.field(self.ports, other?) } else { None }
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

//! What `balance … via nat` looks at in packets, on their way to a backend and back.
//!
//! The way back is a statement of its own, [`Action::Answer`](super::Action), which stands before the `balance` and is called `NAME/back`: packets to
//! the edge's own addresses and ports that some flow has are sent on to its client, all others go on.

use super::{Balance, FAMILIES, FieldRef, Fragments, HeaderRef, KeyPart, Pred, Protocols, Said, Term};
use crate::nat::{Bank, TCP_NUMBER};

/// The transports whose ports are translated, and their numbers.
const TRANSPORTS: [(&str, u8); 2] = [("tcp", TCP_NUMBER), ("udp", 17)];

/// Packets of one kind, and where they say which flow they are of.
#[derive(Clone, Debug)]
pub struct Kind {
    /// Whether they are of IPv6.
    pub six: bool,
    /// The packets.
    pub there: Pred,
    /// The address and the port from which the flow's packets come that go where these go. An error quotes a packet that went the other way.
    pub source: [Term; 2],
    /// Where they go.
    pub dest: [Term; 2],
    /// The number of the transport.
    pub protocol: Term,
    /// Where the header begins whose checksum covers addresses or ports: of the transport, or of ICMP.
    pub begin: Term,
    /// That checksum.
    pub checksum: Term,
    /// What ICMP errors quote; `None` for packets of the flow itself.
    pub quoted: Option<Quoted>,
}

/// What an ICMP error quotes.
#[derive(Clone, Debug)]
pub struct Quoted {
    /// Where the error's header begins.
    pub begin: Term,
    /// How many bytes behind that the quoted packet begins.
    pub ip: u16,
    /// The quoted IP header's checksum, where it has one.
    pub checksum: Option<Term>,
    /// Where the quoted ports begin.
    pub ports: Term,
}

/// What changes in the IP header of every packet.
#[derive(Clone, Debug)]
pub struct Outer {
    /// Where it comes from, and where it goes.
    pub addresses: [Term; 2],
    /// How many hops it may still go.
    pub hops: Term,
    /// The header's checksum, where it has one.
    pub checksum: Option<Term>,
}

fn outer(protocol: super::ProtocolId) -> HeaderRef {
    HeaderRef { level: 0, protocol, index: 0 }
}

fn field(protocols: &Protocols, header: HeaderRef, name: &str) -> Option<Term> {
    let field = protocols[header.protocol].fields.iter().position(|field| field.name == name)? as u32;
    Some(Term::Field(FieldRef { header, field }))
}

impl Outer {
    /// Of a family's IP header.
    pub fn of(protocols: &Protocols, said: &Said) -> Option<Outer> {
        let field = |name| field(protocols, said.header, name);
        let checksum = if said.six { None } else { Some(field("checksum")?) };
        Some(Outer { addresses: [field("src")?, field("dst")?], hops: said.hops.clone(), checksum })
    }
}

impl Kind {
    /// All kinds of packets of a family that can be translated.
    pub fn all(protocols: &Protocols, six: bool) -> Vec<Kind> {
        let own = TRANSPORTS.iter().filter_map(|(name, number)| Kind::own(protocols, six, name, *number));
        own.chain(Kind::error(protocols, six)).collect()
    }

    fn own(protocols: &Protocols, six: bool, name: &str, number: u8) -> Option<Kind> {
        let ip = outer(protocols.find(FAMILIES[usize::from(six)][0])?);
        let transport = outer(protocols.find(name)?);
        let field = |header, name| field(protocols, header, name);
        Some(Kind {
            six,
            there: Pred::And(vec![Pred::Header(ip), Pred::Header(transport)]),
            source: [field(ip, "src")?, field(transport, "srcport")?],
            dest: [field(ip, "dst")?, field(transport, "dstport")?],
            protocol: Term::Const(number.into()),
            begin: Term::Begin(transport),
            checksum: field(transport, "checksum")?,
            quoted: None,
        })
    }

    fn error(protocols: &Protocols, six: bool) -> Option<Kind> {
        let names = FAMILIES[usize::from(six)];
        let (icmp, number, ip) = if six { ("icmpv6", "nxt", 4) } else { ("icmp", "proto", 0) };
        let find = |name| Some(outer(protocols.find(name)?));
        let (icmp, error, ports) = (find(icmp)?, find(names[1])?, find(names[2])?);
        let field = |header, name| field(protocols, header, name);
        let protocol = field(error, number)?;
        let mut numbers = TRANSPORTS.map(|(_, number)| (number.into(), number.into()));
        numbers.sort_unstable();
        let translated = Pred::In(protocol.clone(), numbers.to_vec());
        Some(Kind {
            six,
            there: Pred::And(vec![Pred::Header(find(names[0])?), Pred::Header(ports), translated]),
            source: [field(error, "dst")?, field(ports, "dstport")?],
            dest: [field(error, "src")?, field(ports, "srcport")?],
            protocol,
            begin: Term::Begin(icmp),
            checksum: field(icmp, "checksum")?,
            quoted: Some(Quoted {
                begin: Term::Begin(error),
                ip,
                checksum: if six { None } else { Some(field(error, "checksum")?) },
                ports: Term::Begin(ports),
            }),
        })
    }

    /// What its flow is known by: both addresses, both ports, the protocol.
    pub fn key(&self) -> Vec<KeyPart> {
        let [source, dest] = [&self.source, &self.dest];
        let address = if self.six { 128 } else { 32 };
        let part = |term: &Term, width| KeyPart { term: term.clone(), width, prefix: width, mapped: false };
        vec![
            part(&source[0], address),
            part(&dest[0], address),
            part(&source[1], 16),
            part(&dest[1], 16),
            part(&self.protocol, 8),
        ]
    }

    fn terms(self) -> impl Iterator<Item = Term> {
        let quoted = self.quoted.into_iter().flat_map(|quoted| {
            let checksum = quoted.checksum.into_iter();
            [quoted.begin, quoted.ports].into_iter().chain(checksum)
        });
        let own = [self.protocol, self.begin, self.checksum];
        self.source.into_iter().chain(self.dest).chain(own).chain(quoted).collect::<Vec<_>>().into_iter()
    }

    /// Answers: what comes to one of the edge's addresses and ports.
    fn comes_to(&self, bank: &Bank) -> Pred {
        let ports = vec![(bank.port.into(), bank.last_port().into())];
        let port = Pred::In(self.dest[1].clone(), ports);
        Pred::And(vec![self.there.clone(), to_bank(&self.dest[0], bank), port])
    }
}

fn to_bank(address: &Term, bank: &Bank) -> Pred {
    Pred::In(address.clone(), vec![(bank.address, bank.last_address())])
}

/// The flags by which TCP says that a flow ends.
pub fn ending(protocols: &Protocols) -> Option<[Term; 2]> {
    let tcp = outer(protocols.find("tcp")?);
    Some([field(protocols, tcp, "flags.fin")?, field(protocols, tcp, "flags.reset")?])
}

impl Balance {
    /// The addresses and ports from which it sends packets of a family, if it translates them.
    pub fn bank(&self, six: bool) -> Option<Bank> {
        self.via.banks()?[usize::from(six)]
    }

    /// The family of what it translates, which stays what it is: whether it is IPv6.
    pub fn translates(&self) -> Option<bool> {
        self.via.banks().map(|banks| banks[1].is_some())
    }

    /// The packets of a family.
    pub fn of_family(protocols: &Protocols, six: bool) -> Pred {
        let ip = protocols.find(FAMILIES[usize::from(six)][0]);
        ip.map_or(Pred::Const(false), |ip| Pred::Header(outer(ip)))
    }

    /// The packets that may be answers to what it has sent.
    pub fn answers(&self, protocols: &Protocols) -> Pred {
        let of_family = |six: bool| {
            let bank = self.bank(six).into_iter();
            bank.flat_map(move |bank| {
                Kind::all(protocols, six).into_iter().map(move |kind| kind.comes_to(&bank))
            })
        };
        let kinds = [false, true].into_iter().flat_map(of_family).collect();
        Pred::And(vec![Balance::applies(protocols), Pred::Or(kinds)])
    }

    /// The later fragments that may be of answers.
    pub fn later_answers(&self, protocols: &Protocols) -> Pred {
        let later = |said: Said| {
            let bank = self.bank(said.six)?;
            let to = Outer::of(protocols, &said)?.addresses[1].clone();
            let later = Fragments::of(protocols, &said)?.later;
            Some(Pred::And(vec![later, to_bank(&to, &bank)]))
        };
        let later = self.said(protocols).into_iter().filter_map(later).collect();
        Pred::And(vec![Balance::applies(protocols), Pred::Or(later)])
    }

    /// What it needs of a packet to translate it.
    pub(super) fn nat_terms(&self, protocols: &Protocols) -> Vec<Term> {
        let families = self.said(protocols).into_iter().filter(|said| self.bank(said.six).is_some());
        let of_family = |said: Said| {
            let outer = Outer::of(protocols, &said).into_iter();
            let outer = outer.flat_map(|outer| outer.addresses.into_iter().chain(outer.checksum));
            outer.chain(Kind::all(protocols, said.six).into_iter().flat_map(Kind::terms)).collect::<Vec<_>>()
        };
        families.flat_map(of_family).chain(ending(protocols).into_iter().flatten()).collect()
    }
}

//! What `balance … via nat` does with a frame, and with its answers.

use super::balance::{Balancing, NotSent, macs};
use crate::nat::{Flow, Mark, TCP_NUMBER, Table, number_of};
use crate::policy::{Balance, Fragments, Kind, Outer, Said, Term, Unsent, ending};
use crate::state::{Hop, PoolState, ROUTED};
use std::collections::HashMap;
use weir_pool::ring::NOBODY;

/// What a policy keeps of flows that it translates.
pub(super) struct Kept<'a> {
    pub(super) pool: &'a mut PoolState,
    pub(super) notes: &'a mut HashMap<u64, u64>,
    /// By family.
    pub(super) tables: &'a mut [Option<Table>; 2],
    pub(super) now: u64,
}

/// What a packet's addresses and ports become.
struct Ends {
    source: (u128, u16),
    dest: (u128, u16),
}

impl Balancing<'_> {
    fn number(&self, term: &Term) -> u128 {
        self.scope.term(term).unwrap_or(0)
    }

    fn kind(&self, six: bool) -> Option<Kind> {
        let kinds = Kind::all(&self.policy.protocols, six);
        kinds.into_iter().find(|kind| self.scope.holds(&kind.there))
    }

    fn later(&self, said: &Said) -> Option<Fragments> {
        let all = self.balance.fragments(&self.policy.protocols);
        all.into_iter().find(|fragments| fragments.six == said.six)
    }

    /// What the packet says of its flow's life.
    fn mark(&self, kind: &Kind) -> Mark {
        let is = |term: &Term| self.number(term) == 1;
        if kind.protocol != Term::Const(TCP_NUMBER.into()) {
            Mark::Goes
        } else if ending(&self.policy.protocols).is_some_and(|flags| flags.iter().any(is)) {
            Mark::Ends
        } else if self.scope.holds(&Balance::begins(&self.policy.protocols)) {
            Mark::Begins
        } else {
            Mark::Goes
        }
    }

    /// The frame that leaves for a backend, or why none does. A later fragment's flow is known by its tag.
    pub(super) fn translated(&self, followed: Option<u64>, kept: Kept<'_>) -> Result<Vec<u8>, NotSent> {
        let (protocols, pool_name) =
            (&self.policy.protocols, &self.policy.pools[self.balance.pool as usize].name);
        let packets = self.balance.said(protocols);
        let (said, header) = self.sound(&packets)?;
        let outer = Outer::of(protocols, said).ok_or(Unsent::Unreachable)?;
        let table = kept.tables[usize::from(said.six)].as_mut().ok_or(Unsent::Unreachable)?;
        let [client, service] = [0, 1].map(|nth| self.number(&outer.addresses[nth]));
        let kind = if followed.is_some() { None } else { self.kind(said.six) };
        let (way, number) = match (followed, &kind) {
            (Some(hash), _) => {
                let flow = Flow { client, service, ports: [0; 2], protocol: 0 };
                let way = table.find(hash, &flow, false).ok_or(Unsent::Unreachable)?;
                (way, table.flows[&way].word.backend())
            }
            (None, None) => return Err(Unsent::Unreachable.into()),
            (None, Some(kind)) => {
                let flow = Flow {
                    client: self.number(&kind.source[0]),
                    service: self.number(&kind.dest[0]),
                    ports: [&kind.source[1], &kind.dest[1]].map(|port| self.number(port) as u16),
                    protocol: self.number(&kind.protocol) as u8,
                };
                let tag = self.hash(pool_name, &kind.key()).ok_or(Unsent::Unreachable)?;
                let held = table.find(tag, &flow, true);
                let known = held.map_or(NOBODY, |way| table.flows[&way].word.backend());
                if kind.quoted.is_some() {
                    (held.ok_or(Unsent::Unreachable)?, known)
                } else {
                    let hash = self.own_hash(pool_name).ok_or(Unsent::Nobody)?;
                    self.note(said, kept.notes, tag);
                    let mark = self.mark(kind);
                    let begins = self.scope.holds(&Balance::begins(protocols));
                    let track = self.policy.pools[self.balance.pool as usize].track;
                    let number = kept.pool.pick(track, hash, begins, known);
                    let backend = kept.pool.backends.get(&number).filter(|_| number != NOBODY);
                    let backend = backend.ok_or(Unsent::Nobody)?;
                    if !backend.alive || backend.address.is_ipv6() != said.six {
                        return Err(Unsent::Unreachable.into());
                    }
                    let way = table.bind(held, tag, &flow, number, mark, kept.now).ok_or(Unsent::Full)?;
                    (way, number)
                }
            }
        };
        let backend = kept.pool.backends.get(&number).filter(|b| b.alive && b.address.is_ipv6() == said.six);
        let backend = backend.ok_or(Unsent::Unreachable)?;
        let address = number_of(backend.address);
        let known = &table.flows[&way].flow;
        let port = if backend.port == 0 { known.ports[1] } else { backend.port };
        let ends = Ends { source: table.bank.place(way), dest: (address, port) };
        let hop = backend.hop.unwrap_or(ROUTED);
        let packet = self.packet(said, header, 0);
        if packet.length > usize::from(hop.mtu) {
            return Err(self.too_long(said, &packet, &hop, followed.is_some()));
        }
        Ok(self.rewritten(said, header.offset, kind.as_ref(), &outer, &ends, &hop))
    }

    fn note(&self, said: &Said, notes: &mut HashMap<u64, u64>, word: u64) {
        let first = self.later(said).filter(|fragments| self.scope.holds(&fragments.first));
        if let Some(key) = first.and_then(|fragments| self.hash(self.statement, &fragments.key)) {
            notes.insert(key, word);
        }
    }

    fn too_long(&self, said: &Said, packet: &super::balance::Packet, hop: &Hop, followed: bool) -> NotSent {
        let told = !followed && self.scope.holds(&said.told);
        NotSent { why: Unsent::Long, answer: told.then(|| packet.too_long(hop.mtu)) }
    }

    /// The frame that leaves for a client, or why none does; `None` if the packet answers nothing.
    pub(super) fn answered(&self, kept: Kept<'_>) -> Option<Result<Vec<u8>, NotSent>> {
        let protocols = &self.policy.protocols;
        let packets = self.balance.said(protocols);
        let said =
            packets.iter().find(|said| self.headers.iter().any(|header| header.name == said.header))?;
        let table = kept.tables[usize::from(said.six)].as_mut()?;
        let outer = Outer::of(protocols, said)?;
        let later = self.scope.holds(&self.balance.later_answers(protocols));
        let (way, kind) = if later {
            let word = kept.notes.get(&self.hash(self.statement, &self.later(said)?.key)?).copied()?;
            ((word as u32).checked_sub(1)?, None)
        } else {
            let kind = self.kind(said.six).filter(|_| self.scope.holds(&self.balance.answers(protocols)))?;
            let nth = (self.number(&kind.dest[0]) - table.bank.address) as u32;
            let port = self.number(&kind.dest[1]) as u32 - u32::from(table.bank.port);
            (nth * u32::from(table.bank.ports) + port, Some(kind))
        };
        let known = table.flows.get_mut(&way)?;
        let backend = kept.pool.backends.get(&known.word.backend())?;
        let source = kind.as_ref().map_or(&outer.addresses[0], |kind| &kind.source[0]);
        let address = number_of(backend.address);
        let from_backend = backend.address.is_ipv6() == said.six && self.number(source) == address;
        if !from_backend {
            return None;
        }
        if let Some(kind) = &kind {
            let port = if backend.port == 0 { known.flow.ports[1] } else { backend.port };
            let same = self.number(&kind.source[1]) == u128::from(port)
                && self.number(&kind.protocol) == u128::from(known.flow.protocol);
            if !same {
                return None;
            }
            if kind.quoted.is_none() {
                known.word = known.word.answered(self.mark(kind), known.flow.protocol, kept.now);
            }
        }
        let Flow { client, service, ports, .. } = known.flow;
        let ends = Ends { source: (service, ports[1]), dest: (client, ports[0]) };
        Some(self.sound(&packets).map_err(NotSent::from).and_then(|(said, header)| {
            if kind.as_ref().is_some_and(|kind| kind.quoted.is_none()) {
                self.note(said, kept.notes, u64::from(way) + 1);
            }
            let packet = self.packet(said, header, 0);
            if packet.length > usize::from(ROUTED.mtu) {
                return Err(self.too_long(said, &packet, &ROUTED, later));
            }
            Ok(self.rewritten(said, header.offset, kind.as_ref(), &outer, &ends, &ROUTED))
        }))
    }

    /// The frame with other addresses and ports, and with checksums that are as right as they were (RFC 1624).
    fn rewritten(
        &self,
        said: &Said,
        ip: usize,
        kind: Option<&Kind>,
        outer: &Outer,
        ends: &Ends,
        hop: &Hop,
    ) -> Vec<u8> {
        let mut frame = Rewriting { bytes: self.frame.to_vec(), six: said.six };
        let at = |term: &Term| self.number(term) as usize;
        let (hops_at, addresses_at) = if said.six { (7, 8) } else { (8, 12) };
        let header_sum = outer.checksum.as_ref().map(|_| ip + 10);
        // The word of IPv4 in which the hops stand has the protocol behind them.
        let word = ip + hops_at - usize::from(said.six);
        let hops = frame.word(word).wrapping_sub(if said.six { 1 } else { 0x100 });
        frame.put_word(word, hops, &header_sum.into_iter().collect::<Vec<_>>());
        let begin = kind.map(|kind| (at(&kind.begin), kind));
        let checksum = begin.and_then(|(begin, kind)| {
            let place = begin
                + match (&kind.quoted, &kind.protocol) {
                    (Some(_), _) => 2,
                    (None, Term::Const(protocol)) if *protocol == u128::from(TCP_NUMBER) => 16,
                    (None, _) => 6,
                };
            // A datagram of UDP may have none (RFC 768).
            let none = place == begin + 6 && frame.word(place) == 0;
            (!none).then_some(place)
        });
        // ICMP's checksum covers the addresses of IPv6 alone.
        let covered = checksum.filter(|_| said.six || kind.is_some_and(|kind| kind.quoted.is_none()));
        let sums: Vec<usize> = header_sum.into_iter().chain(covered).collect();
        frame.put_address(addresses_at + ip, ends.source.0, &sums);
        frame.put_address(addresses_at + ip + if said.six { 16 } else { 4 }, ends.dest.0, &sums);
        let sums: Vec<usize> = checksum.into_iter().collect();
        if let Some((begin, kind)) = begin {
            match &kind.quoted {
                None => {
                    frame.put_word(begin, ends.source.1, &sums);
                    frame.put_word(begin + 2, ends.dest.1, &sums);
                }
                // What is quoted went the other way.
                Some(quoted) => {
                    let inner = at(&quoted.begin) + usize::from(quoted.ip);
                    let ports = at(&quoted.ports);
                    let inner_sum = quoted.checksum.as_ref().map(|_| inner + 10);
                    let mut all = sums.clone();
                    all.extend(inner_sum);
                    let before = inner_sum.map(|place| frame.word(place));
                    frame.put_address(inner + addresses_at, ends.dest.0, &all);
                    let behind = inner + addresses_at + if said.six { 16 } else { 4 };
                    frame.put_address(behind, ends.source.0, &all);
                    if let (Some(place), Some(before)) = (inner_sum, before) {
                        frame.adjust(&sums, before, frame.word(place));
                    }
                    frame.put_word(ports, ends.dest.1, &sums);
                    frame.put_word(ports + 2, ends.source.1, &sums);
                }
            }
        }
        if let (Some(place), Some((begin, kind))) = (checksum, begin)
            && kind.quoted.is_none()
            && place == begin + 6
            && frame.word(place) == 0
        {
            frame.bytes[place..place + 2].fill(0xff);
        }
        let link = macs(hop, &self.frame[..ip]);
        frame.bytes[..12].copy_from_slice(&link);
        frame.bytes
    }
}

/// A frame that is written, and the checksums that follow.
struct Rewriting {
    bytes: Vec<u8>,
    six: bool,
}

impl Rewriting {
    fn word(&self, at: usize) -> u16 {
        u16::from_be_bytes([self.bytes[at], self.bytes[at + 1]])
    }

    /// RFC 1624, equation 3: `HC' = ~(~HC + ~m + m')`.
    fn adjust(&mut self, sums: &[usize], was: u16, is: u16) {
        for place in sums {
            let sum = u32::from(!self.word(*place)) + u32::from(!was) + u32::from(is);
            let sum = (0..2).fold(sum, |sum, _| (sum & 0xffff) + (sum >> 16));
            self.bytes[*place..place + 2].copy_from_slice(&(!sum as u16).to_be_bytes());
        }
    }

    fn put_word(&mut self, at: usize, word: u16, sums: &[usize]) {
        self.adjust(sums, self.word(at), word);
        self.bytes[at..at + 2].copy_from_slice(&word.to_be_bytes());
    }

    fn put_address(&mut self, at: usize, address: u128, sums: &[usize]) {
        let bytes = if self.six { 16 } else { 4 };
        for (nth, word) in address.to_be_bytes()[16 - bytes..].chunks(2).enumerate() {
            self.put_word(at + 2 * nth, u16::from_be_bytes([word[0], word[1]]), sums);
        }
    }
}

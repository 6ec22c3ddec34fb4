//! Translation of addresses and ports (`via nat`): the table of flows, as all engines have it.
//!
//! A flow's way in the table *is* its address and port of this edge: who looks for the flow of a packet and who looks for a free port look into
//! the same two lines, and an answer's port says without a search which flow it belongs to. So nothing can disagree about a port,
//! memory is fixed, and as many flows are known as there are ports.
//!
//! A way is given to another flow only if its own one was silent for as long as [`Word::allowed`] says.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// Flows of a line: with eight, three of four ports are used before the first flow finds none.
pub const WAYS: u32 = 8;

/// The most flows of a table.
pub const MOST_FLOWS: u64 = 1 << 22;

/// Seconds (of 2^30 ns) that a flow may be silent: of which only the first packet came; that ends; of UDP (RFC 4787, section 4.3); of TCP (RFC 5382, section 5).
pub const NEW: u16 = 4;
/// See [`NEW`].
pub const ENDING: u16 = 120;
/// See [`NEW`].
pub const UDP: u16 = 300;
/// See [`NEW`].
pub const TCP: u16 = 7440;

/// The protocol whose flows end by words of their own.
pub const TCP_NUMBER: u8 = 6;
/// Nanoseconds are so many bits below seconds.
pub const SECOND: u32 = 30;

/// The addresses and ports of one family from which packets are sent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Bank {
    /// The first address.
    pub address: u128,
    /// How many there are.
    pub addresses: u32,
    /// The first port.
    pub port: u16,
    /// How many there are of each address.
    pub ports: u16,
}

impl Bank {
    /// Whether it has flows, and its ports are numbers of ports.
    pub fn is_sound(&self) -> bool {
        let flows = u64::from(self.addresses) * u64::from(self.ports);
        let last = u32::from(self.port) + u32::from(self.ports);
        (u64::from(WAYS)..=MOST_FLOWS).contains(&flows) && last <= 1 << 16
    }

    /// How many lines its table has.
    pub fn lines(&self) -> u32 {
        self.addresses * u32::from(self.ports) / WAYS
    }

    /// How many flows it has room for.
    pub fn ways(&self) -> u32 {
        self.lines() * WAYS
    }

    /// The lines in which a flow can be.
    pub fn lines_of(&self, tag: u64) -> [u32; 2] {
        [tag >> 32, tag & 0xffff_ffff].map(|half| ((half * u64::from(self.lines())) >> 32) as u32)
    }

    /// A way's address and port.
    pub fn place(&self, way: u32) -> (u128, u16) {
        let (nth, port) = (way / u32::from(self.ports), way % u32::from(self.ports));
        (self.address + u128::from(nth), self.port + port as u16)
    }

    /// The last address.
    pub fn last_address(&self) -> u128 {
        self.address + u128::from(self.addresses) - 1
    }

    /// The last port.
    pub fn last_port(&self) -> u16 {
        self.port + (self.ports - 1)
    }
}

/// An address as banks and flows have it.
pub fn number_of(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}

/// The tag of a flow's hash: no free or busy way has it.
pub fn tag(hash: u64) -> u64 {
    hash | 2
}

/// What a packet says of its flow's life.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Mark {
    /// It is the first one.
    Begins = 0,
    /// It is one of many.
    Goes = 1,
    /// The flow ends by it.
    Ends = 2,
}

impl Mark {
    /// By its number.
    pub fn of(number: u64) -> Mark {
        match number {
            0 => Mark::Begins,
            1 => Mark::Goes,
            _ => Mark::Ends,
        }
    }
}

/// What is known of a flow: its backend's number (bits 0 to 15), how many seconds it may be silent (16 to 31), when its latest
/// packet was seen (32 to 63, in seconds).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Word(pub u64);

impl Word {
    fn new(backend: u16, allowed: u16, now: u64) -> Word {
        Word(u64::from(backend) | u64::from(allowed) << 16 | now >> SECOND << 32)
    }

    /// Of a flow of which one packet came.
    pub fn first(backend: u16, now: u64) -> Word {
        Word::new(backend, NEW, now)
    }

    /// The number of its backend.
    pub fn backend(self) -> u16 {
        self.0 as u16
    }

    /// For how many seconds it may be silent.
    pub fn allowed(self) -> u16 {
        (self.0 >> 16) as u16
    }

    /// Whether another flow may have its place.
    pub fn is_over(self, now: u64) -> bool {
        let silent = ((now >> SECOND) as u32).wrapping_sub((self.0 >> 32) as u32);
        silent > u32::from(self.allowed())
    }

    /// After a packet to the backend.
    pub fn sent(self, backend: u16, mark: Mark, protocol: u8, now: u64) -> Word {
        let whole = if protocol == TCP_NUMBER { TCP } else { UDP };
        let allowed = match (mark, self.allowed()) {
            (Mark::Ends, _) => ENDING,
            // The client uses its port again.
            (Mark::Begins, ENDING) => NEW,
            (Mark::Begins, allowed) => allowed,
            (Mark::Goes, ENDING) => ENDING,
            (Mark::Goes, _) => whole,
        };
        Word::new(backend, allowed, now)
    }

    /// After a packet from the backend. What backends send to those who have only begun does not keep them: they may never have asked.
    pub fn answered(self, mark: Mark, protocol: u8, now: u64) -> Word {
        let allowed = match (mark, protocol, self.allowed()) {
            (Mark::Ends, ..) | (_, _, ENDING) => ENDING,
            (_, TCP_NUMBER, NEW) => return self,
            (_, TCP_NUMBER, allowed) => allowed,
            _ => UDP,
        };
        Word::new(self.backend(), allowed, now)
    }
}

/// A flow as clients see it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flow {
    /// Who asks.
    pub client: u128,
    /// Who is asked.
    pub service: u128,
    /// The client's port and the service's.
    pub ports: [u16; 2],
    /// The number of the transport.
    pub protocol: u8,
}

/// A flow in its way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tied {
    /// Its hash, as a tag.
    pub tag: u64,
    /// What is known of it.
    pub word: Word,
    /// The flow.
    pub flow: Flow,
}

/// The flows of one family.
#[derive(Clone, Debug)]
pub struct Table {
    /// Where they are sent from.
    pub bank: Bank,
    /// By way.
    pub flows: BTreeMap<u32, Tied>,
}

impl Table {
    /// Without flows.
    pub fn new(bank: Bank) -> Table {
        Table { bank, flows: BTreeMap::new() }
    }

    /// Both lines by turns: they fill from their beginnings, so the first way that is free is in the emptier one.
    fn ways(&self, tag: u64) -> impl Iterator<Item = u32> + use<> {
        let lines = self.bank.lines_of(tag);
        (0..WAYS).flat_map(move |way| lines.map(|line| line * WAYS + way))
    }

    /// The way of a flow; `whole` compares more than addresses.
    pub fn find(&self, hash: u64, flow: &Flow, whole: bool) -> Option<u32> {
        let tag = tag(hash);
        let same = |known: &Tied| {
            known.tag == tag
                && (known.flow.client, known.flow.service) == (flow.client, flow.service)
                && (!whole || known.flow == *flow)
        };
        self.ways(tag).find(|way| self.flows.get(way).is_some_and(same))
    }

    /// Notes a packet of a flow that is there, or gives it a way; `None` if none is free.
    pub fn bind(
        &mut self,
        held: Option<u32>,
        hash: u64,
        flow: &Flow,
        backend: u16,
        mark: Mark,
        now: u64,
    ) -> Option<u32> {
        if let Some(known) = held.and_then(|way| self.flows.get_mut(&way)) {
            known.word = known.word.sent(backend, mark, flow.protocol, now);
            return held;
        }
        let tag = tag(hash);
        let free = self.ways(tag).find(|way| !self.flows.contains_key(way));
        let over = |way: &u32| self.flows.get(way).is_some_and(|known| known.word.is_over(now));
        let way = free.or_else(|| self.ways(tag).find(over))?;
        self.flows.insert(way, Tied { tag, word: Word::first(backend, now), flow: *flow });
        Some(way)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BANK: Bank = Bank { address: 0x0a00_0001, addresses: 2, port: 1000, ports: 10 };

    #[test]
    fn a_way_is_an_address_and_a_port() {
        assert_eq!((BANK.lines(), BANK.ways()), (2, 16));
        assert_eq!(BANK.place(0), (0x0a00_0001, 1000));
        assert_eq!(BANK.place(9), (0x0a00_0001, 1009));
        assert_eq!(BANK.place(10), (0x0a00_0002, 1000));
        assert_eq!((BANK.last_address(), BANK.last_port()), (0x0a00_0002, 1009));
    }

    #[test]
    fn flows_are_given_up_only_after_their_time() {
        let second = 1 << SECOND;
        let first = Word::first(3, 10 * second);
        assert!(!first.is_over(14 * second) && first.is_over(15 * second));
        let tcp = first.sent(3, Mark::Goes, TCP_NUMBER, 11 * second);
        assert!(!tcp.is_over(7451 * second) && tcp.is_over(7452 * second));
        let udp = first.answered(Mark::Goes, 17, 11 * second);
        assert_eq!((udp.allowed(), udp.backend()), (UDP, 3));
        assert_eq!(
            first.answered(Mark::Goes, TCP_NUMBER, 20 * second),
            first,
            "a flood's answers keep nothing"
        );
        let ends = tcp.answered(Mark::Ends, TCP_NUMBER, 12 * second);
        assert_eq!(ends.allowed(), ENDING);
        assert_eq!(ends.sent(3, Mark::Goes, TCP_NUMBER, 13 * second).allowed(), ENDING);
        assert_eq!(ends.sent(3, Mark::Begins, TCP_NUMBER, 13 * second).allowed(), NEW);
    }

    #[test]
    fn all_ports_of_both_lines_are_used_before_one_is_missing() {
        let mut table = Table::new(BANK);
        let flow = |port| Flow { client: 1, service: 2, ports: [port, 80], protocol: 17 };
        let bound: Vec<_> = (0..17).map(|port| table.bind(None, 0, &flow(port), 1, Mark::Goes, 0)).collect();
        let lines = BANK.lines_of(tag(0));
        let room = if lines[0] == lines[1] { 8 } else { 16 };
        assert_eq!(bound.iter().flatten().count(), room);
        assert_eq!(table.find(0, &flow(3), true), bound[3]);
        let later = (u64::from(NEW) + 1) << SECOND;
        assert!(table.bind(None, 0, &flow(100), 1, Mark::Goes, later).is_some());
        assert_eq!(table.find(0, &flow(0), true), None, "the first one gave way");
    }

    #[test]
    fn three_of_four_ports_are_used_before_flows_find_none() {
        let mut table = Table::new(Bank { ports: 10_000, ..BANK });
        let ways = u64::from(table.bank.ways());
        let mut random = weir_packet::random::SplitMix::new(7);
        for nth in 0..ways * 3 / 4 {
            let flow = Flow { client: nth.into(), service: 2, ports: [1, 80], protocol: 17 };
            let hash = random.bits();
            let bound = table.bind(None, hash, &flow, 1, Mark::Goes, 0);
            assert!(bound.is_some(), "{nth} of {ways}");
        }
    }
}

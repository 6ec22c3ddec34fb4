//! What a running policy keeps, in user space: set contents, buckets, counters.
//!
//! The evaluator and the IR interpreter share it, so that a difference between engines is a
//! difference in meaning and never one in bookkeeping. Keys are the scalars of
//! [`ir::SetDecl::words`](crate::ir::SetDecl::words), most significant first.

use crate::ir::{LimitDecl, Program, SetDecl};
use crate::nat::Table;
use crate::policy;
use crate::sampling::{Dice, Odds, Sampler};
use crate::sockets::Sockets;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use weir_pool::flow;
use weir_pool::ring::{Member, NOBODY, Ring};
use weir_pool::slots::{Flow, Track, Word};

/// Packets and bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counter {
    /// Packets.
    pub packets: u64,
    /// Bytes of the frames, without FCS.
    pub bytes: u64,
}

/// The contents of one set: prefixes of keys with the time at which each expires.
#[derive(Clone, Debug, Default)]
pub struct SetState {
    /// By prefix length in bits of the whole key, then the masked key. `None` never expires.
    prefixes: BTreeMap<u32, HashMap<Vec<u64>, Option<u64>>>,
}

impl SetState {
    /// Adds an element: the first `bits` of `key`, until `expires` (monotonic nanoseconds).
    pub fn insert(&mut self, decl: &SetDecl, key: &[u64], bits: u32, expires: Option<u64>) {
        self.prefixes.entry(bits).or_default().insert(mask(&decl.words, key, bits), expires);
    }

    /// Takes an element away; whether it was there.
    pub fn remove(&mut self, decl: &SetDecl, key: &[u64], bits: u32) -> bool {
        let Some(elements) = self.prefixes.get_mut(&bits) else { return false };
        elements.remove(&mask(&decl.words, key, bits)).is_some()
    }

    /// Whether any live element holds the key at `now`.
    pub fn holds(&self, decl: &SetDecl, key: &[u64], now: u64) -> bool {
        self.prefixes.iter().any(|(&bits, elements)| {
            elements
                .get(&mask(&decl.words, key, bits))
                .is_some_and(|expires| expires.is_none_or(|at| now < at))
        })
    }
}

/// Keeps the first `bits` of a key whose scalars have the given widths.
fn mask(words: &[u8], key: &[u64], bits: u32) -> Vec<u64> {
    let mut left = bits;
    let keep = |(&width, &word): (&u8, &u64)| {
        let here = left.min(u32::from(width));
        left -= here;
        let low = u32::from(width) - here;
        if low >= 64 { 0 } else { word >> low << low }
    };
    words.iter().zip(key).map(keep).collect()
}

/// The next hop of frames that the kernel's routes would decide on: outside the kernel all backends are behind one router, to
/// which packets of any length may go. Its address, and our own.
pub const ROUTED: Hop =
    Hop { to: [0x02, 0, 0, 0, 0, 0xfe], from: Some([0x02, 0, 0, 0, 0, 0x01]), mtu: u16::MAX };

/// Where a frame goes next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hop {
    /// Its MAC address.
    pub to: [u8; 6],
    /// Ours; `None` for the one to which the frame came.
    pub from: Option<[u8; 6]>,
    /// How long packets to it may be, in bytes from the IP header on.
    pub mtu: u16,
}

/// A backend as packets find it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Backend {
    /// Where encapsulated packets go.
    pub address: IpAddr,
    /// Where translated packets go; 0 for the service's own port.
    pub port: u16,
    /// Whether flows may be sent to it.
    pub alive: bool,
    /// A fixed next hop; `None` asks for the route.
    pub hop: Option<Hop>,
    /// Its own MAC address, where it has one that is known: where frames inside a tunnel go.
    pub mac: Option<[u8; 6]>,
}

/// A pool as packets find it.
#[derive(Clone, Debug, Default)]
pub struct PoolState {
    /// By slot: whose it is.
    pub slots: Vec<Word>,
    /// By number.
    pub backends: BTreeMap<u16, Backend>,
    /// The flows that are remembered, by their hash.
    pub flows: HashMap<u64, u16>,
}

impl PoolState {
    /// As the policy declares it: all backends are well, and all slots are settled.
    pub fn of(pool: &policy::Pool) -> Self {
        let identities: Vec<_> = pool.backends.iter().map(|backend| backend.endpoint.identity()).collect();
        let numbered = (1..).zip(pool.backends.iter().zip(&identities));
        let member = |(number, (backend, identity))| {
            let (backend, identity): (&policy::Backend, &Vec<u8>) = (backend, identity);
            Member { identity, weight: backend.part(), number }
        };
        let members: Vec<Member<'_>> = numbered.map(member).collect();
        let slots = Ring::build(&members, pool.ring).map_or_else(
            |_| vec![Word::settled(NOBODY); pool.ring as usize],
            |ring| ring.slots().iter().map(|number| Word::settled(*number)).collect(),
        );
        let backend = |backend: &policy::Backend| Backend {
            address: backend.endpoint.address,
            port: backend.endpoint.port,
            alive: true,
            hop: pool.fixed_hop(backend).map(|to| Hop { to, from: None, mtu: pool.mtu }),
            mac: backend.mac,
        };
        let backends = (1..).zip(pool.backends.iter().map(backend)).collect();
        PoolState { slots, backends, flows: HashMap::new() }
    }

    /// The number of the backend that a flow gets, or [`NOBODY`]; where it is known to be `held` by one that is alive, it stays there.
    pub fn pick(&mut self, track: Track, hash: u64, begins: bool, held: u16) -> u16 {
        if self.backends.get(&held).is_some_and(|backend| backend.alive) {
            return held;
        }
        let slot = flow::slot(hash, self.slots.len() as u32);
        let known = match self.flows.get(&hash) {
            Some(number) => Flow::Remembered(*number),
            None if begins => Flow::Beginning,
            None => Flow::Unknown,
        };
        let alive = |number: u16| self.backends.get(&number).is_some_and(|backend| backend.alive);
        let choice = self.slots[slot as usize].judge(track, known, alive);
        if choice.remember {
            self.flows.insert(hash, choice.backend);
        }
        choice.backend
    }
}

/// Everything that a program keeps between packets.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// By [`SetRef`](crate::ir::SetRef).
    pub sets: Vec<SetState>,
    /// By [`LimitRef`](crate::ir::LimitRef): key → theoretical arrival time.
    pub limits: Vec<HashMap<Vec<u64>, u64>>,
    /// By [`PoolRef`](crate::ir::PoolRef).
    pub pools: Vec<PoolState>,
    /// By [`NatRef`](crate::ir::NatRef): flows of IPv4 and of IPv6.
    pub nats: Vec<[Option<Table>; 2]>,
    /// Words that were noted.
    pub notes: HashMap<u64, u64>,
    /// By [`SampleRef`](crate::ir::SampleRef): how likely a packet is to be drawn.
    pub odds: Vec<Odds>,
    /// By [`SampleRef`](crate::ir::SampleRef).
    pub samplers: Vec<Sampler>,
    /// Chance.
    pub dice: Dice,
    /// What the host's TCP says.
    pub sockets: Sockets,
    /// By counter slot.
    pub counters: Vec<Counter>,
    /// Monotonic time of the packet in nanoseconds.
    pub now: u64,
}

impl State {
    /// Empty state of the right shape.
    pub fn new(program: &Program) -> Self {
        Self {
            sets: vec![SetState::default(); program.sets.len()],
            limits: vec![HashMap::new(); program.limits.len()],
            pools: vec![PoolState::default(); program.pools.len()],
            nats: program.nats.iter().map(|nat| nat.banks.map(|bank| bank.map(Table::new))).collect(),
            notes: HashMap::new(),
            odds: program.samples.iter().map(|sample| Odds::of(sample.one_in)).collect(),
            samplers: vec![Sampler::default(); program.samples.len()],
            dice: Dice::default(),
            sockets: Sockets::default(),
            counters: vec![Counter::default(); program.counters as usize],
            now: 0,
        }
    }

    /// Counts a packet of `bytes`.
    pub fn count(&mut self, counter: u32, bytes: u64) {
        let slot = &mut self.counters[counter as usize];
        slot.packets += 1;
        slot.bytes += bytes;
    }

    /// The N with which a sample takes a packet, if it does.
    pub fn draw(&mut self, sample: usize) -> Option<u32> {
        self.samplers[sample].draw(&self.odds[sample], &mut self.dice)
    }

    /// Takes `cost` units from a bucket; false if the packet is over the limit.
    pub fn take(&mut self, limit: usize, decl: &LimitDecl, key: &[u64], cost: u64) -> bool {
        let now = self.now << 4;
        let tat = self.limits[limit].entry(key.to_vec()).or_insert(0);
        // Modulo 2^64 as in bytecode; the limits of a checked policy stay below that.
        let next = (*tat).max(now).wrapping_add(cost.wrapping_mul(decl.interval) >> 16);
        let within = next <= now.wrapping_add(decl.tolerance);
        if within {
            *tat = next;
        }
        within
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_charge_of_any_size_is_taken_modulo_two_to_the_64() {
        let interval = u64::MAX;
        let decl = LimitDecl { name: String::new(), interval, tolerance: 7, words: Vec::new(), max: 1 };
        let program = Program { limits: vec![decl.clone()], ..Program::default() };
        let mut state = State::new(&program);
        assert!(!state.take(0, &decl, &[], 1), "the whole interval");
        assert!(state.take(0, &decl, &[], u64::MAX), "a charge of 1 / 2^16");
    }
}

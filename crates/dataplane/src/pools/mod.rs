//! Pools that change while packets are balanced.
//!
//! What packets meet and what is known of each backend stand in one section for each pool ([`section`]), so that nothing else
//! can disagree with it: every change reads it, decides by `weir_pool`, and stores what follows in the order that keeps flows
//! where they are. A process that is killed in between leaves what the next change puts in order.
//!
//! Time is part of it: drains end, backends that begin slowly get more, slots settle. Nobody does that by itself;
//! a [`Keeper`] does what is due, and checks backends, as long as somebody lets it.

pub(crate) mod carry;
mod keeper;
pub(crate) mod meta;
mod nat;
pub(crate) mod neighbours;
mod section;
mod session;
mod through;
pub(crate) mod ways;

pub use keeper::Keeper;
pub use ways::{NoWay, Unreached};

use crate::Error;
use crate::counters::word;
use crate::instance::{Generation, Instance, Place};
use meta::PoolMeta;
use nat::Flows;
use section::Section;
use serde::{Deserialize, Serialize};
use session::{Session, now};
use std::net::IpAddr;
use std::time::Duration;
use weir_compiler::codegen::pools::{Record, Wanted};
use weir_compiler::diagnostic::nearest;
use weir_kernel::maps::Map;
use weir_packet::Mac;
use weir_pool::health::State;
use weir_pool::pool::{Endpoint, Event};

/// How long a backend that is drained keeps its flows, unless another time is said.
pub const DRAIN: Duration = Duration::from_secs(600);

/// A pool of a running instance. Every call works on the generation that runs at that moment.
#[derive(Debug)]
pub struct LivePool {
    place: Place,
    name: String,
}

/// How a pool is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct PoolStatus {
    /// Its name.
    pub name: String,
    /// Slots of its ring.
    pub slots: u32,
    /// Slots of which some flows are remembered one by one, since the pool changed lately.
    pub unsettled: usize,
    /// Which flows are remembered: `changes`, those of such slots, or `all`.
    pub track: &'static str,
    /// Flows that are remembered.
    pub flows: usize,
    /// How many can be.
    pub max_flows: u32,
    /// How many had to move since theirs was dead, of flows that are known one by one (remembered, or translated).
    pub moved: u64,
    /// Tables of flows that are translated on their way to it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nat: Vec<NatStatus>,
    /// How its backends are checked, if they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<CheckStatus>,
    /// Its backends by number.
    pub backends: Vec<BackendStatus>,
}

/// How backends are checked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CheckStatus {
    /// What asks them: `tcp`, `http` and so on.
    pub probe: String,
    /// The port that is asked, if it is the same one for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The way of probes, where that is not the one to the backends' own addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub through: Option<ThroughStatus>,
}

/// The way of a service's packets, which probes take.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ThroughStatus {
    /// The `balance` that sends these.
    pub statement: String,
    /// How: `l2`, `ipip`, `gue` or `vxlan`.
    pub via: String,
    /// The addresses of the service: that of a backend's own family is asked, else the other one.
    pub services: Vec<IpAddr>,
}

/// How a table of translated flows is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct NatStatus {
    /// The statement that translates.
    pub statement: String,
    /// Flows that have a port.
    pub flows: usize,
    /// How many can have one.
    pub max_flows: u64,
}

/// How a backend is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct BackendStatus {
    /// Where it is.
    pub backend: String,
    /// Its number.
    pub number: u16,
    /// `up`, `down` or `draining`.
    pub state: &'static str,
    /// Its part of new flows, as declared or set.
    pub weight: u16,
    /// Slots of the ring whose new flows it gets.
    pub slots: usize,
    /// Why it is down.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Since when its health is so, in nanoseconds before now; nothing since the policy was loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since_ns: Option<u64>,
    /// How long its drain lasts, in nanoseconds from now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain_ns: Option<u64>,
    /// Packets for which it was picked, over all CPUs.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Of these, packets that begin a flow of TCP.
    pub flows: u64,
    /// Whether the policy has it; else it was added while running.
    pub declared: bool,
    /// Its fixed next hop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// Its own MAC address, where that is not its next hop: frames in VXLAN go there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inner_mac: Option<String>,
}

impl LivePool {
    pub(crate) fn of(place: Place, name: &str) -> Result<Self, Error> {
        find(&Generation::running(&place)?, name)?;
        Ok(Self { place, name: name.to_owned() })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Adds a backend. Its MAC address is a fixed next hop; or, where the pool is sent to by VXLAN, the address to which frames
    /// go there, which then must be said.
    pub fn add(&self, backend: Endpoint, weight: u16, mac: Option<[u8; 6]>) -> Result<Vec<Event>, Error> {
        let mut session = self.begin()?;
        if !session.meta.reaches(backend.address) {
            return Err(Error::BackendFamily { pool: self.name.clone(), backend });
        }
        if session.meta.needs_mac() && mac.is_none() {
            return Err(Error::BackendMac { pool: self.name.clone(), backend });
        }
        session.add(backend, weight, mac)
    }

    /// Takes a backend out, and its flows from it.
    pub fn remove(&self, backend: Endpoint) -> Result<Vec<Event>, Error> {
        self.begin()?.change(|pool, now| pool.remove(backend, now))
    }

    /// Gives a backend no new flows, and takes it out after a time.
    pub fn drain(&self, backend: Endpoint, after: Duration) -> Result<Vec<Event>, Error> {
        self.begin()?.change(|pool, now| pool.drain(backend, now.saturating_add(after), now))
    }

    /// Gives a backend that is draining new flows again.
    pub fn undrain(&self, backend: Endpoint) -> Result<Vec<Event>, Error> {
        self.begin()?.change(|pool, now| pool.undrain(backend, now))
    }

    /// Gives a backend another part of new flows.
    pub fn weigh(&self, backend: Endpoint, weight: u16) -> Result<Vec<Event>, Error> {
        self.begin()?.change(|pool, now| pool.weigh(backend, weight, now))
    }

    /// Tells what checks found.
    pub fn report(&self, news: Vec<(Endpoint, State)>) -> Result<Vec<Event>, Error> {
        self.begin()?.change(|pool, now| Ok(pool.report(news, now)))
    }

    /// How it is.
    pub fn status(&self) -> Result<PoolStatus, Error> {
        let running = Generation::running(&self.place)?;
        status(&running, find(&running, &self.name)?)
    }

    /// The backend that a flow of this hash has now, with what is known of that one; and whether the flow is remembered.
    pub fn backend_of(&self, hash: u64, begins: bool) -> Result<Option<FlowBackend>, Error> {
        let running = Generation::running(&self.place)?;
        let meta = find(&running, &self.name)?;
        Ok(session::backend_of(&open(&running, meta)?, meta, hash, begins))
    }

    fn begin(&self) -> Result<Session, Error> {
        Session::begin(&self.place, &self.name)
    }
}

/// What a flow gets, and why.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct FlowBackend {
    /// The slot of the ring.
    pub slot: u32,
    /// Whether the slot did not change lately.
    pub settled: bool,
    /// Whether flows are remembered in settled slots as well.
    pub tracked: bool,
    /// Whether the flow itself is remembered.
    pub remembered: bool,
    /// Where it goes.
    pub backend: String,
    /// The backend that gets new flows of the slot, if that is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_flows: Option<String>,
}

impl Instance {
    /// A pool to change.
    pub fn pool(&self, name: &str) -> Result<LivePool, Error> {
        LivePool::of(self.place().clone(), name)
    }

    /// The policy's pools.
    pub fn pools(&self) -> Result<Vec<PoolStatus>, Error> {
        self.look(all)
    }

    /// The policy's backends to which packets would not leave now. Nothing is known of an instance of another network namespace.
    pub fn unreached(&self) -> Result<Vec<Unreached>, Error> {
        self.look(|running| Ok(ways::unreached(&running.meta.pools, &running.meta.setting.interfaces)))
    }

    /// Does what time has brought to all pools; what happened, by pool.
    pub fn tend_pools(&self) -> Result<Vec<(String, Event)>, Error> {
        let names: Vec<String> =
            self.look(|running| Ok(running.meta.pools.iter().map(|pool| pool.name.clone()).collect()))?;
        let mut events = Vec::new();
        for name in names {
            if !self.look(|running| needs_tending(running, find(running, &name)?))? {
                continue;
            }
            let tended = Session::begin(self.place(), &name)?.tend()?;
            events.extend(tended.into_iter().map(|event| (name.clone(), event)));
        }
        Ok(events)
    }
}

/// The pools of a generation.
pub(crate) fn all(running: &Generation) -> Result<Vec<PoolStatus>, Error> {
    running.meta.pools.iter().map(|pool| status(running, pool)).collect()
}

fn find<'a>(running: &'a Generation, name: &str) -> Result<&'a PoolMeta, Error> {
    let pools = &running.meta.pools;
    pools.iter().find(|pool| pool.name == name).ok_or_else(|| Error::NoPool {
        name: name.to_owned(),
        nearest: nearest(name, pools.iter().map(|pool| pool.name.as_str())).map(str::to_owned),
    })
}

/// Whether time brings anything to a pool: else it need not be locked.
fn needs_tending(running: &Generation, meta: &PoolMeta) -> Result<bool, Error> {
    let section = open(running, meta)?;
    let moves = |record: &Record| record.wanted != Wanted::Up || record.warming > 0;
    Ok(section.records().values().any(moves) || section.words().iter().any(|word| !word.is_settled()))
}

fn open(running: &Generation, meta: &PoolMeta) -> Result<Section, Error> {
    Ok(Section::open(&running.map(&meta.map)?, meta.layout())?)
}

fn status(running: &Generation, meta: &PoolMeta) -> Result<PoolStatus, Error> {
    let section = open(running, meta)?;
    let words = section.words();
    let mut slots = vec![0; usize::from(u16::MAX) + 1];
    words.iter().for_each(|word| slots[usize::from(word.now())] += 1);
    let now = now();
    let left = |time: u64| Duration::from_nanos(time).saturating_sub(now).as_nanos() as u64;
    let counters = running.map(&meta.counters)?;
    let backend = |(number, record): (u16, Record)| -> Result<BackendStatus, Error> {
        let [packets, bytes, flows] = counted(&counters, number)?;
        Ok(BackendStatus {
            backend: endpoint(&record).to_string(),
            number,
            state: match (record.wanted, record.well) {
                (Wanted::Draining, _) => "draining",
                (_, true) => "up",
                (_, false) => "down",
            },
            weight: record.weight,
            slots: slots[usize::from(number)],
            since_ns: (record.since > 0).then(|| (now.as_nanos() as u64).saturating_sub(record.since)),
            drain_ns: (record.wanted == Wanted::Draining).then(|| left(record.deadline)),
            declared: record.declared.is_some(),
            mac: record.backend.hop.map(|hop| Mac(hop.to).to_string()),
            inner_mac: record.backend.mac.filter(|_| meta.needs_mac()).map(|mac| Mac(mac).to_string()),
            packets,
            bytes,
            flows,
            reason: record.reason,
        })
    };
    let nat = meta.nats.iter().map(|nat| Flows::open(running, nat)).collect::<Result<Vec<_>, _>>()?;
    let records = section.records().into_iter();
    let there = records.filter(|(_, record)| matches!(record.wanted, Wanted::Up | Wanted::Draining));
    Ok(PoolStatus {
        name: meta.name.clone(),
        slots: meta.ring,
        unsettled: words.iter().filter(|word| !word.is_settled()).count(),
        track: meta.track().word(),
        flows: section.entries().len(),
        max_flows: meta.flows,
        moved: section.moved(),
        check: meta.check.clone(),
        nat: nat.iter().map(|flows| flows.status(now)).collect(),
        backends: there.map(backend).collect::<Result<_, _>>()?,
    })
}

/// What a backend was picked for, summed over CPUs.
fn counted(counters: &Map, number: u16) -> Result<[u64; 3], Error> {
    let values = counters.lookup_per_cpu(&u32::from(number).to_ne_bytes())?.unwrap_or_default();
    let sum = |at: usize| values.iter().map(|value| word(&value[8 * at..])).sum();
    Ok([sum(0), sum(1), sum(2)])
}

fn endpoint(record: &Record) -> Endpoint {
    Endpoint { address: record.backend.address, port: record.backend.port }
}

/// Reads the MAC address of a backend, as policies write it: `02:00:00:00:00:01`. It is that of one interface, so no group's.
pub fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let Mac(mac) = text.parse().ok()?;
    (mac != [0; 6] && mac[0] & 1 == 0).then_some(mac)
}

/// Reads a backend as policies write it: `10.0.0.1`, `10.0.0.1:80`, `2001:db8::1`, `[2001:db8::1]:80`.
pub fn parse_endpoint(text: &str) -> Option<Endpoint> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(Endpoint { address, port: 0 });
    }
    let socket: std::net::SocketAddr = text.parse().ok()?;
    (socket.port() != 0).then_some(Endpoint { address: socket.ip(), port: socket.port() })
}

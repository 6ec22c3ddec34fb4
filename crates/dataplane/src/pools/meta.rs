//! What user space must know of a pool: where it lives and what the policy says of it.

use super::{CheckStatus, ThroughStatus};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::time::Duration;
use weir_compiler::codegen::pools::Layout;
use weir_compiler::codegen::{nat_map_name, pool_counters_name, pool_map_name};
use weir_compiler::ir::{NatDecl, NatRef, PoolDecl, PoolRef};
use weir_compiler::lower::Lowered;
use weir_compiler::nat::{Bank, number_of};
use weir_compiler::policy::{Action, Balance, Policy, Via};
use weir_compiler::state::Hop;
use weir_pool::pool::{AllDown, Endpoint, Settings};
use weir_pool::slots::Track;

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct PoolMeta {
    pub(crate) name: String,
    /// The name of its section's map.
    pub(crate) map: String,
    /// The name of the map that counts for its backends.
    pub(crate) counters: String,
    pub(crate) ring: u32,
    pub(crate) max: u16,
    pub(crate) flows: u32,
    track: Remembered,
    /// Nanoseconds.
    settle: u64,
    slow: u64,
    down: Down,
    gateway: Option<[u8; 6]>,
    mtu: u16,
    /// Whether a backend's own MAC address is where frames in a tunnel go; else it is its next hop.
    framed: bool,
    /// Whether some statement sends packets to its backends as they are, which must then be on a link.
    plain: bool,
    /// Whether statements that name it can send to backends of IPv4, and of IPv6.
    families: [bool; 2],
    /// Whose flows are translated on their way to it.
    #[serde(default)]
    pub(crate) nats: Vec<NatMeta>,
    pub(crate) declared: Vec<Declared>,
    /// How they are asked.
    #[serde(default)]
    pub(crate) check: Option<CheckStatus>,
}

/// A table of flows that are translated.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct NatMeta {
    /// The statement's name.
    pub(crate) name: String,
    /// The name of its section's map.
    pub(crate) map: String,
    /// From where packets are sent, of IPv4 and of IPv6.
    banks: [Option<BankMeta>; 2],
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct BankMeta {
    address: IpAddr,
    addresses: u32,
    port: u16,
    ports: u16,
}

/// A backend, as the policy has it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Declared {
    address: IpAddr,
    port: u16,
    /// Its part of new flows; 0 if it is declared as drained.
    pub(crate) weight: u16,
    pub(crate) mac: Option<[u8; 6]>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
enum Remembered {
    Changes,
    All,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
enum Down {
    All,
    Pass,
    Drop,
}

impl Declared {
    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint { address: self.address, port: self.port }
    }
}

impl NatMeta {
    pub(crate) fn banks(&self) -> [Option<Bank>; 2] {
        self.banks.map(|bank| {
            let BankMeta { address, addresses, port, ports } = bank?;
            Some(Bank { address: number_of(address), addresses, port, ports })
        })
    }
}

impl PoolMeta {
    pub(crate) fn layout(&self) -> Layout {
        let (name, slots, max, flows) = (self.name.clone(), self.ring, self.max, self.flows);
        Layout::of(&PoolDecl { name, slots, max, flows, silence: None })
    }

    /// Which flows its program remembers.
    pub(crate) fn track(&self) -> Track {
        match self.track {
            Remembered::Changes => Track::Changes,
            Remembered::All => Track::All,
        }
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings {
            size: self.ring,
            settle: Duration::from_nanos(self.settle),
            slow: Duration::from_nanos(self.slow),
            all_down: match self.down {
                Down::All => AllDown::All,
                Down::Pass => AllDown::Pass,
                Down::Drop => AllDown::Drop,
            },
            most: self.max,
        }
    }

    /// The fixed next hop of a backend that has this MAC address of its own, if there is one.
    pub(crate) fn hop(&self, own: Option<[u8; 6]>) -> Option<Hop> {
        let to = own.filter(|_| !self.framed).or(self.gateway)?;
        Some(Hop { to, from: None, mtu: self.mtu })
    }

    /// A backend, as the policy has it.
    pub(crate) fn declaration(&self, endpoint: Endpoint) -> Option<&Declared> {
        self.declared.iter().find(|declared| declared.endpoint() == endpoint)
    }

    /// Whether nothing can be sent to a backend of which no MAC address is known.
    pub(crate) fn needs_mac(&self) -> bool {
        self.framed
    }

    /// Whether backends without a fixed next hop must be on a link.
    pub(crate) fn needs_link(&self) -> bool {
        self.plain
    }

    /// Whether statements can send to an address of its family.
    pub(crate) fn reaches(&self, address: IpAddr) -> bool {
        self.families[usize::from(address.is_ipv6())]
    }
}

/// The pools of a policy.
pub(crate) fn describe(policy: &Policy, lowered: &Lowered) -> Vec<PoolMeta> {
    let one = |(index, pool): (u32, &weir_compiler::policy::Pool)| PoolMeta {
        name: pool.name.clone(),
        map: pool_map_name(&lowered.program, PoolRef(index)),
        counters: pool_counters_name(&lowered.program, PoolRef(index)),
        ring: pool.ring,
        max: pool.max,
        flows: pool.flows,
        track: match pool.track {
            Track::Changes => Remembered::Changes,
            Track::All => Remembered::All,
        },
        settle: pool.settle,
        slow: pool.slow,
        down: match pool.down {
            AllDown::All => Down::All,
            AllDown::Pass => Down::Pass,
            AllDown::Drop => Down::Drop,
        },
        gateway: pool.gateway,
        mtu: pool.mtu,
        framed: pool.framed,
        plain: balances(policy, index).any(|balance| balance.via == Via::L2),
        families: families(policy, index),
        nats: nats(lowered, index),
        declared: pool.backends.iter().map(declared).collect(),
        check: check(pool),
    };
    (0..).zip(&policy.pools).map(one).collect()
}

fn check(pool: &weir_compiler::policy::Pool) -> Option<CheckStatus> {
    let check = pool.check.as_ref()?;
    let through = pool.through.as_ref().map(|through| ThroughStatus {
        statement: through.statement.clone(),
        via: through.via.word().to_owned(),
        services: through.services.into_iter().flatten().collect(),
    });
    Some(CheckStatus { probe: check.probe.word().to_owned(), port: check.port, through })
}

/// The tables of flows that go to a pool.
fn nats(lowered: &Lowered, pool: u32) -> Vec<NatMeta> {
    let program = &lowered.program;
    let all = (0..).map(NatRef).zip(&program.nats).filter(|(_, nat)| nat.pool == PoolRef(pool));
    let bank = |six: bool| {
        move |bank: Bank| {
            let Bank { address, addresses, port, ports } = bank;
            let address = match six {
                true => IpAddr::from(address.to_be_bytes()),
                false => IpAddr::from((address as u32).to_be_bytes()),
            };
            BankMeta { address, addresses, port, ports }
        }
    };
    let one = |(number, nat): (NatRef, &NatDecl)| NatMeta {
        name: nat.name.clone(),
        map: nat_map_name(program, number),
        banks: [nat.banks[0].map(bank(false)), nat.banks[1].map(bank(true))],
    };
    all.map(one).collect()
}

fn declared(backend: &weir_compiler::policy::Backend) -> Declared {
    let Endpoint { address, port } = backend.endpoint;
    Declared { address, port, weight: backend.part() as u16, mac: backend.mac }
}

/// What sends to a pool.
fn balances(policy: &Policy, pool: u32) -> impl Iterator<Item = &Balance> {
    let balances = policy.statements.iter().filter_map(|statement| match &statement.action {
        Action::Balance(balance) => Some(balance),
        _ => None,
    });
    balances.filter(move |balance| balance.pool == pool)
}

/// The families that all statements can send to which name a pool.
fn families(policy: &Policy, pool: u32) -> [bool; 2] {
    let mut families = [true, true];
    for balance in balances(policy, pool) {
        if let Some(origin) = balance.via.origin() {
            families[0] &= origin.v4.is_some();
            families[1] &= origin.v6.is_some();
        }
    }
    families
}

//! One backend, and what is known of it.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use crate::health::{Health, State};

/// Where a backend is, as the policy says it: what it is to all edges.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Endpoint {
    /// Its address.
    pub address: IpAddr,
    /// Its port; 0 is the port that the packet has.
    pub port: u16,
}

impl Endpoint {
    /// For rings: the address and the port, both in network byte order; 6 bytes or 18.
    pub fn identity(&self) -> Vec<u8> {
        let address = match self.address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        [address, self.port.to_be_bytes().to_vec()].concat()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.address, self.port) {
            (address, 0) => write!(f, "{address}"),
            (IpAddr::V4(address), port) => write!(f, "{address}:{port}"),
            (IpAddr::V6(address), port) => write!(f, "[{address}]:{port}"),
        }
    }
}

/// What people want of a backend.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Admin {
    /// It takes new flows.
    Up,
    /// It keeps the flows that it has, and is removed then.
    Draining {
        /// When it is removed.
        deadline: Duration,
    },
}

/// How far a backend is that begins slowly.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Warming {
    /// When it began.
    pub since: Duration,
    /// So many parts of [`STEPS`] of its weight count.
    pub step: u32,
}

/// A backend that begins slowly has one part of so many of its weight at once, and all of them after the pool's `slow`.
pub const STEPS: u32 = 5;

impl Warming {
    /// At the beginning, unless it would be over at once.
    pub(super) fn begin(slow: Duration, now: Duration) -> Option<Warming> {
        (!slow.is_zero()).then_some(Warming { since: now, step: 1 })
    }

    /// When the next step is due.
    pub(super) fn due(&self, slow: Duration) -> Duration {
        self.since.saturating_add(slow.saturating_mul(self.step) / (STEPS - 1))
    }

    /// After the steps that are due; nothing if all of them are.
    pub(super) fn advance(mut self, slow: Duration, now: Duration) -> Option<Warming> {
        while self.step < STEPS && self.due(slow) <= now {
            self.step += 1;
        }
        (self.step < STEPS).then_some(self)
    }
}

/// A backend of a pool.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Backend {
    /// Where it is.
    pub endpoint: Endpoint,
    /// Its part of new flows; none for 0.
    pub weight: u16,
    /// What people want of it.
    pub admin: Admin,
    /// What checks say of it.
    pub state: State,
    /// Nothing if all of its weight counts.
    pub warming: Option<Warming>,
}

impl Backend {
    /// One that is thought to be well, with all of its weight.
    pub fn new(endpoint: Endpoint, weight: u16, now: Duration) -> Backend {
        Backend { endpoint, weight, admin: Admin::Up, state: State::up(now), warming: None }
    }

    /// Whether it is there for new flows, if it is well.
    pub fn is_wanted(&self) -> bool {
        self.admin == Admin::Up && self.weight > 0
    }

    /// Whether it takes new flows.
    pub fn takes(&self) -> bool {
        self.is_wanted() && self.state.health == Health::Up
    }

    /// Its weight among the others, in parts of [`STEPS`].
    pub(super) fn parts(&self) -> u32 {
        u32::from(self.weight) * self.warming.map_or(STEPS, |warming| warming.step)
    }
}

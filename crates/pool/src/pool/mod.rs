//! A pool: its backends, what people and checks say of them, and the slots that follow from it.
//!
//! Every operation either refuses and changes nothing, or says which slots to store and what happened. A backend has a
//! number as long as it is known, and afterwards until the caller [releases](Pool::release) it, since entries of flows
//! may still name it; one that comes back before that has its old number again.
//!
//! Some backend is always wanted for new flows: what would leave none is refused. If checks say that none of these is
//! well, [`AllDown`] says what to do.

mod backend;
mod change;
mod error;
mod operations;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub use backend::{Admin, Backend, Endpoint, STEPS, Warming};
pub use change::{Change, Event, Summary, What};
pub use error::PoolError;

use crate::health::Health;
use crate::ring::{LAST_NUMBER, Member, Ring, RingError, SIZE, is_number};
use crate::slots::{Slots, Update, Word};

/// What happens while checks say that no backend that is wanted is well.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum AllDown {
    /// All are used as if they were: more likely than all backends is one checker in error.
    #[default]
    All,
    /// No slot has a backend, and packets go on untouched.
    Pass,
    /// No slot has a backend, and packets are dropped. To a pool this is the same as [`Pass`](Self::Pass).
    Drop,
}

/// What a pool is told once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Slots of its ring, a prime number.
    pub size: u32,
    /// For how long a flow may be silent and keep its backend when the pool changes: so late slots settle.
    pub settle: Duration,
    /// How long a backend that comes takes until all of its weight counts.
    pub slow: Duration,
    /// What happens if none is well.
    pub all_down: AllDown,
    /// The largest number that a backend can have.
    pub most: u16,
}

impl Default for Settings {
    /// 65,537 slots, which settle after 60 s; backends begin at once.
    fn default() -> Self {
        let settle = Duration::from_secs(60);
        Settings { size: SIZE, settle, slow: Duration::ZERO, all_down: AllDown::default(), most: LAST_NUMBER }
    }
}

/// A pool of backends.
#[derive(Clone, Debug)]
pub struct Pool {
    settings: Settings,
    backends: BTreeMap<u16, Backend>,
    /// Who had the numbers that may not be given to others yet.
    retired: BTreeMap<u16, Endpoint>,
    slots: Slots,
}

impl Pool {
    /// As a policy declares it: all are well, none begins slowly, and all slots are settled.
    pub fn new(settings: Settings, declared: &[(Endpoint, u16)], now: Duration) -> Result<Pool, PoolError> {
        if declared.len() > usize::from(settings.most) {
            return Err(PoolError::TooMany { most: settings.most });
        }
        let backend = |(endpoint, weight): &(Endpoint, u16)| Backend::new(*endpoint, *weight, now);
        let backends = (1..).zip(declared.iter().map(backend)).collect();
        check(&backends)?;
        let slots = Slots::new(&ring(&settings, &backends)?);
        Ok(Pool { settings, backends, retired: BTreeMap::new(), slots })
    }

    /// As it was found: its backends and retired numbers as they were kept, the slots as they are in memory, and when the
    /// latest of those that are not settled changed. And what to store so that these say what the backends do.
    pub fn resume(
        settings: Settings,
        backends: BTreeMap<u16, Backend>,
        mut retired: BTreeMap<u16, Endpoint>,
        words: Vec<Word>,
        changed: Duration,
        now: Duration,
    ) -> Result<(Pool, Vec<Update>), PoolError> {
        check(&backends)?;
        let ring = ring(&settings, &backends)?;
        if words.len() != ring.slots().len() {
            return Err(PoolError::Words { found: words.len(), size: settings.size });
        }
        retired.retain(|number, _| is_number(*number) && !backends.contains_key(number));
        let mut pool = Pool { settings, backends, retired, slots: Slots::resume(words, changed) };
        let updates = pool.follow(&ring, now);
        Ok((pool, updates))
    }

    /// What it was told.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Its backends by number.
    pub fn backends(&self) -> &BTreeMap<u16, Backend> {
        &self.backends
    }

    /// The numbers of backends that are gone, and whose they were.
    pub fn retired(&self) -> &BTreeMap<u16, Endpoint> {
        &self.retired
    }

    /// Its slots.
    pub fn slots(&self) -> &Slots {
        &self.slots
    }

    /// The number of a backend.
    pub fn number(&self, backend: Endpoint) -> Result<u16, PoolError> {
        if let Some((number, _)) = self.backends.iter().find(|(_, there)| there.endpoint == backend) {
            return Ok(*number);
        }
        let mut endpoints = self.backends.values().map(|there| there.endpoint);
        let near = endpoints.find(|there| there.address == backend.address);
        Err(PoolError::Unknown { backend, near })
    }

    /// Whether flows may be sent to a backend. Packets must know who is dead before the slots change for it.
    pub fn is_alive(&self, number: u16) -> bool {
        self.backends.get(&number).is_some_and(self.lives())
    }

    /// Whether flows may be sent to a backend that is there.
    fn lives(&self) -> impl Fn(&Backend) -> bool + use<> {
        let all = all_are_used(&self.settings, &self.backends);
        move |backend| all || backend.state.health == Health::Up
    }

    /// In a line.
    pub fn summary(&self) -> Summary {
        let taking = self.backends.values().filter(|backend| backend.takes()).count();
        Summary { taking, of: self.backends.len(), all_down: self.settings.all_down }
    }

    /// Makes the slots say what the backends do.
    fn follow(&mut self, ring: &Ring, now: Duration) -> Vec<Update> {
        let lives = self.lives();
        let mut alive = vec![false; usize::from(u16::MAX) + 1];
        for (number, backend) in &self.backends {
            alive[usize::from(*number)] = lives(backend);
        }
        self.slots.change(ring, now, |number| alive[usize::from(number)])
    }
}

/// Whether backends can be those of a pool.
fn check(backends: &BTreeMap<u16, Backend>) -> Result<(), PoolError> {
    let mut endpoints = BTreeSet::new();
    if let Some(twice) = backends.values().find(|backend| !endpoints.insert(backend.endpoint)) {
        return Err(PoolError::Twice { backend: twice.endpoint });
    }
    if let Some(number) = backends.keys().find(|number| !is_number(**number)) {
        return Err(RingError::Number { number: *number }.into());
    }
    match backends.values().any(Backend::is_wanted) {
        true => Ok(()),
        false => Err(PoolError::Empty),
    }
}

/// Whether health does not count, since none that is wanted is well.
fn all_are_used(settings: &Settings, backends: &BTreeMap<u16, Backend>) -> bool {
    settings.all_down == AllDown::All && !backends.values().any(Backend::takes)
}

/// Who has the slots.
fn ring(settings: &Settings, backends: &BTreeMap<u16, Backend>) -> Result<Ring, RingError> {
    let all = all_are_used(settings, backends);
    let members = backends.iter().filter(|(_, backend)| backend.takes() || all && backend.is_wanted());
    let named: Vec<_> =
        members.map(|(number, backend)| (*number, backend, backend.endpoint.identity())).collect();
    let members: Vec<Member<'_>> = named
        .iter()
        .map(|(number, backend, identity)| Member { identity, weight: backend.parts(), number: *number })
        .collect();
    Ring::build(&members, settings.size)
}

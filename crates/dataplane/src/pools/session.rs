//! A change of a pool, under the instance's lock.

use super::meta::{Declared, PoolMeta};
use super::nat::Flows;
use super::section::{Entry, Section};
use super::{FlowBackend, endpoint, find, open};
use crate::Error;
use crate::instance::{Generation, Lock, Place, settle};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use weir_compiler::codegen::pools::{Record, Wanted};
use weir_compiler::state::Backend as Met;
use weir_kernel::clock::monotonic_ns;
use weir_kernel::maps::{self, Map, possible_cpus, wait_for_programs};
use weir_pool::flow;
use weir_pool::health::{Health, State};
use weir_pool::pool::{Admin, Backend, Change, Endpoint, Event, Pool, PoolError, STEPS, Warming};
use weir_pool::ring::NOBODY;
use weir_pool::slots::{Flow, Track, Update};

/// The clock that programs see.
pub(super) fn now() -> Duration {
    Duration::from_nanos(monotonic_ns())
}

/// A pool as it stands in its section.
pub(super) struct Session {
    /// Another process waits for it.
    _lock: Option<Lock>,
    pub(super) meta: PoolMeta,
    section: Section,
    counters: Map,
    nats: Vec<Flows>,
    pool: Pool,
    /// The weights that the policy gives, of those that it has.
    declared: BTreeMap<Endpoint, u16>,
    /// The MAC addresses of backends, as their records have them.
    macs: BTreeMap<Endpoint, [u8; 6]>,
}

impl Session {
    /// Takes the lock, and puts in order what a killed process left.
    pub(super) fn begin(place: &Place, name: &str) -> Result<Session, Error> {
        let lock = place.lock()?;
        let running = settle(place)?;
        let mut session = Session::open(&running, find(&running, name)?)?;
        session._lock = Some(lock);
        Ok(session)
    }

    /// Under a lock that somebody else has.
    pub(super) fn open(running: &Generation, meta: &PoolMeta) -> Result<Session, Error> {
        let (meta, section, counters) = (meta.clone(), open(running, meta)?, running.map(&meta.counters)?);
        section.mend()?;
        let nats = meta.nats.iter().map(|nat| Flows::open(running, nat)).collect::<Result<_, _>>()?;
        let now = now();
        let (mut backends, mut retired, mut declared) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut macs = BTreeMap::new();
        for (number, record) in section.records() {
            let endpoint = endpoint(&record);
            match record.wanted {
                Wanted::Retired => drop(retired.insert(number, endpoint)),
                _ => {
                    backends.insert(number, backend(&record));
                    macs.extend(record.backend.mac.map(|mac| (endpoint, mac)));
                }
            }
            if let Some(weight) = record.declared {
                declared.insert(endpoint, weight);
            }
        }
        let (words, changed) = (section.words(), section.changed());
        let (pool, updates) = Pool::resume(meta.settings(), backends, retired, words, changed, now)
            .map_err(|why| refused(&meta, why))?;
        let session = Session { _lock: None, meta, section, counters, nats, pool, declared, macs };
        session.store(&updates, now);
        Ok(session)
    }

    /// Adds a backend that may have a MAC address of its own.
    pub(super) fn add(
        &mut self,
        backend: Endpoint,
        weight: u16,
        mac: Option<[u8; 6]>,
    ) -> Result<Vec<Event>, Error> {
        // If it is there already that is refused, and nothing is stored.
        self.macs.extend(mac.map(|mac| (backend, mac)));
        self.change(|pool, now| pool.add(backend, weight, now))
    }

    /// The MAC address of a backend: what a policy says of one that it has, else with what it was added.
    fn mac(&self, meta: &PoolMeta, endpoint: Endpoint) -> Option<[u8; 6]> {
        match meta.declaration(endpoint) {
            Some(declared) => declared.mac,
            None => self.macs.get(&endpoint).copied(),
        }
    }

    /// Does something to the pool, and lets packets know.
    pub(super) fn change(
        &mut self,
        change: impl FnOnce(&mut Pool, Duration) -> Result<Change, PoolError>,
    ) -> Result<Vec<Event>, Error> {
        let now = now();
        let change = change(&mut self.pool, now).map_err(|why| refused(&self.meta, why))?;
        self.store(&change.updates, now);
        Ok(change.events)
    }

    /// Records first: a backend is there before a slot names it, and is dead before slots change for it.
    fn store(&self, updates: &[Update], now: Duration) {
        for (number, backend) in self.pool.backends() {
            self.section.write(*number, Some(&self.record(*number, backend)));
        }
        for (number, endpoint) in self.pool.retired() {
            self.section.write(*number, Some(&self.retired(*endpoint)));
        }
        if updates.iter().any(|update| !update.word.is_settled()) {
            self.section.set_changed(now);
        }
        self.section.store(updates);
    }

    fn record(&self, number: u16, backend: &Backend) -> Record {
        let Backend { endpoint, weight, admin, state, warming } = backend;
        let (wanted, deadline) = match admin {
            Admin::Up => (Wanted::Up, 0),
            Admin::Draining { deadline } => (Wanted::Draining, nanoseconds(*deadline)),
        };
        let alive = self.pool.is_alive(number);
        let mac = self.mac(&self.meta, *endpoint);
        Record {
            backend: Met {
                address: endpoint.address,
                port: endpoint.port,
                alive,
                hop: self.meta.hop(mac),
                mac,
            },
            wanted,
            weight: *weight,
            declared: self.declared.get(endpoint).copied(),
            well: state.health == Health::Up,
            warming: warming.map_or(0, |warming| warming.step as u8),
            deadline,
            since: nanoseconds(state.since),
            warming_since: warming.map_or(0, |warming| nanoseconds(warming.since)),
            reason: state.reason.clone().unwrap_or_default(),
        }
    }

    fn retired(&self, endpoint: Endpoint) -> Record {
        let Endpoint { address, port } = endpoint;
        let backend = Met { address, port, alive: false, hop: None, mac: None };
        Record { backend, wanted: Wanted::Retired, well: false, ..Record::new(0) }
    }

    /// Does what time has brought: ends of drains, warmer backends, slots that settle, flows that fell silent, numbers that
    /// are free again.
    pub(super) fn tend(&mut self) -> Result<Vec<Event>, Error> {
        let events = self.change(|pool, now| Ok(pool.advance(now)))?;
        self.settle()?;
        self.release()?;
        Ok(events)
    }

    /// Forgets flows that were silent for long enough, then settles what no flow holds.
    fn settle(&mut self) -> Result<(), Error> {
        if self.pool.slots().unsettled() == 0 {
            return Ok(());
        }
        let (now, silence) = (now(), self.pool.settings().settle);
        if self.meta.track() == Track::All {
            // Flows that are remembered stay so, and hold no slot: they count in settled ones as well.
            let updates = self.pool.settle(now, |_, _| false);
            self.section.store(&updates);
            return Ok(());
        }
        let (silent, heard): (Vec<Entry>, Vec<Entry>) =
            self.section.entries().into_iter().partition(|entry| entry.silent(now) > silence);
        self.section.forget(&silent)?;
        let words = self.pool.slots().words();
        let elsewhere = |entry: &&Entry| words[self.section.slot(entry) as usize].now() != entry.backend;
        let held: BTreeSet<u32> =
            heard.iter().filter(elsewhere).map(|entry| self.section.slot(entry)).collect();
        let updates = self.pool.settle(now, |slot, _| held.contains(&slot));
        Ok(self.section.settle(&updates)?)
    }

    /// Frees the numbers of backends that are gone, when neither slots nor flows name them.
    fn release(&mut self) -> Result<(), Error> {
        let gone: Vec<u16> = self.pool.retired().keys().copied().collect();
        if gone.is_empty() {
            return Ok(());
        }
        if self.meta.track() == Track::All {
            self.forget_silent_flows_of(&gone)?;
        }
        // A packet that saw an older slot may be about to write a flow down.
        wait_for_programs()?;
        let mut named: BTreeSet<u16> = self.section.entries().iter().map(|entry| entry.backend).collect();
        let now = now();
        named.extend(self.nats.iter().flat_map(|flows| flows.living(now)));
        for word in self.pool.slots().words() {
            named.extend([word.now(), word.unknown()]);
        }
        for number in gone.into_iter().filter(|number| !named.contains(number)) {
            self.pool.release(number);
            let zeros = vec![0; self.counters.info().value_size as usize];
            let zeros = vec![zeros; possible_cpus()];
            self.counters.update_per_cpu(&u32::from(number).to_ne_bytes(), &zeros, maps::Update::Any)?;
            self.section.write(number, None);
        }
        Ok(())
    }

    /// Forgets flows of backends that are gone, which would hold their numbers: the next packet of one names another backend.
    fn forget_silent_flows_of(&self, gone: &[u16]) -> Result<(), Error> {
        let (now, silence) = (now(), self.pool.settings().settle);
        let over = |entry: &Entry| gone.contains(&entry.backend) && entry.silent(now) > silence;
        let over: Vec<Entry> = self.section.entries().into_iter().filter(over).collect();
        Ok(self.section.forget(&over)?)
    }

    /// Prepares for a program that looks for flows in unsettled slots only: those are unsettled from now on that have flows
    /// elsewhere. The others' flows are forgotten by whoever comes next, when that program runs.
    pub(super) fn stop_tracking_all(&self) {
        let updates = self.reopened(&self.section.entries());
        if !updates.is_empty() {
            self.section.set_changed(now());
        }
        self.section.leave_over(&updates);
    }

    /// The slots of living backends' flows that new flows of their slot would not be sent to.
    fn reopened(&self, entries: &[Entry]) -> Vec<Update> {
        let words = self.pool.slots().words();
        let slots = entries.iter().filter_map(|entry| {
            let slot = self.section.slot(entry);
            let elsewhere = words[slot as usize].now() != entry.backend && self.pool.is_alive(entry.backend);
            elsewhere.then_some(slot)
        });
        let slots: BTreeSet<u32> = slots.collect();
        slots.into_iter().map(|slot| Update { slot, word: words[slot as usize].reopened() }).collect()
    }

    /// Makes the pool what the policy declares now.
    pub(super) fn follow(&mut self) -> Result<(), Error> {
        let now = now();
        let updates = follow(&mut self.pool, &mut self.declared, &self.meta.declared, now)
            .map_err(|why| refused(&self.meta, why))?;
        // Next hops may have changed even where nothing else has.
        self.store(&updates, now);
        Ok(())
    }

    /// Whether it could be made what another policy declares.
    pub(super) fn try_follow(&self, new: &PoolMeta) -> Result<(), Error> {
        let (mut pool, mut declared) = (self.pool.clone(), self.declared.clone());
        let most = new.max;
        let numbers = pool.backends().keys().chain(pool.retired().keys());
        match numbers.max() {
            Some(largest) if *largest > most => Err(PoolError::TooMany { most }),
            _ => follow(&mut pool, &mut declared, &new.declared, now()).map(|_| ()),
        }
        .map_err(|why| refused(new, why))?;
        let nameless = |backend: &&Backend| self.mac(new, backend.endpoint).is_none();
        match pool.backends().values().find(nameless).filter(|_| new.needs_mac()) {
            Some(backend) => Err(Error::BackendMac { pool: new.name.clone(), backend: backend.endpoint }),
            None => Ok(()),
        }
    }

    /// The section of a pool that was declared otherwise gets what this one knows.
    pub(super) fn hand_over(&self, to: &Section, new: &PoolMeta) {
        for (number, record) in self.section.records() {
            to.write(number, Some(&record));
        }
        to.set_moved(self.section.moved());
        let mut entries = self.section.entries();
        if new.ring == self.pool.settings().size {
            let mut words = self.pool.slots().words().to_vec();
            let mut changed = self.section.changed();
            if new.track() == Track::Changes {
                let reopened = self.reopened(&entries);
                changed = if reopened.is_empty() { changed } else { now() };
                reopened.iter().for_each(|update| words[update.slot as usize] = update.word);
                entries.retain(|entry| !words[self.section.slot(entry) as usize].is_settled());
            }
            let updates: Vec<Update> = (0..).zip(words).map(|(slot, word)| Update { slot, word }).collect();
            to.set_changed(changed);
            to.store(&updates);
        } else if new.track() == Track::Changes {
            return;
        }
        entries.iter().for_each(|entry| to.adopt(entry, &self.section));
    }
}

/// Makes a pool what a policy declares: what differs from what was declared before is changed, what commands changed stays. Who
/// comes does so first, so that some backend always takes new flows.
fn follow(
    pool: &mut Pool,
    before: &mut BTreeMap<Endpoint, u16>,
    declared: &[Declared],
    now: Duration,
) -> Result<Vec<Update>, PoolError> {
    let mut updates = Vec::new();
    let weights: BTreeMap<Endpoint, u16> = declared.iter().map(|new| (new.endpoint(), new.weight)).collect();
    // Weights that become nothing come last, for the same reason.
    let by_weight = weights
        .iter()
        .filter(|(_, weight)| **weight > 0)
        .chain(weights.iter().filter(|(_, weight)| **weight == 0));
    for (endpoint, weight) in by_weight {
        let change = match (pool.number(*endpoint), before.get(endpoint)) {
            (Err(_), _) => pool.add(*endpoint, *weight, now)?,
            (Ok(_), Some(was)) if was == weight => continue,
            (Ok(_), _) => pool.weigh(*endpoint, *weight, now)?,
        };
        updates.extend(change.updates);
    }
    for endpoint in before.keys().filter(|old| !weights.contains_key(old)) {
        if pool.number(*endpoint).is_ok() {
            updates.extend(pool.remove(*endpoint, now)?.updates);
        }
    }
    *before = weights;
    Ok(updates)
}

/// A backend as `weir_pool` knows it.
fn backend(record: &Record) -> Backend {
    let health = if record.well { Health::Up } else { Health::Down };
    let reason = (!record.reason.is_empty()).then(|| record.reason.clone());
    let warming = Warming { since: Duration::from_nanos(record.warming_since), step: record.warming.into() };
    Backend {
        endpoint: endpoint(record),
        weight: record.weight,
        admin: match record.wanted {
            Wanted::Draining => Admin::Draining { deadline: Duration::from_nanos(record.deadline) },
            _ => Admin::Up,
        },
        state: State { health, since: Duration::from_nanos(record.since), reason },
        warming: (1..STEPS).contains(&warming.step).then_some(warming),
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn refused(meta: &PoolMeta, why: PoolError) -> Error {
    Error::Pool { pool: meta.name.clone(), why }
}

/// What a flow gets, without changing anything.
pub(super) fn backend_of(section: &Section, meta: &PoolMeta, hash: u64, begins: bool) -> Option<FlowBackend> {
    let records = section.records();
    let slot = flow::slot(hash, meta.ring);
    let word = section.words()[slot as usize];
    let remembered = section.remembered(hash);
    let known = match remembered {
        Some(number) => Flow::Remembered(number),
        None if begins => Flow::Beginning,
        None => Flow::Unknown,
    };
    let alive = |number: u16| records.get(&number).is_some_and(|record| record.backend.alive);
    let choice = word.judge(meta.track(), known, alive);
    let name = |number: u16| records.get(&number).map(|record| endpoint(record).to_string());
    Some(FlowBackend {
        slot,
        settled: word.is_settled(),
        tracked: meta.track() == Track::All,
        remembered: remembered.is_some() && !word.decides(meta.track()),
        backend: name(choice.backend).filter(|_| choice.backend != NOBODY)?,
        new_flows: name(word.now()).filter(|_| word.now() != choice.backend),
    })
}

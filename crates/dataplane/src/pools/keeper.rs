//! Whoever keeps pools: checks their backends, and does what time brings.
//!
//! A keeper holds nothing that the next one would miss: if it is killed, the state of the pools stays as it is, and
//! another one goes on from there. It follows reloads, and commands that add or remove backends.

use super::neighbours::Neighbours;
use super::session::now;
use super::through::Carrier;
use super::{endpoint, open};
use crate::Error;
use crate::instance::{Generation, Instance};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};
use weir_checks::{Checker, Config, Target, Way};
use weir_compiler::codegen::pools::{Record, Wanted};
use weir_compiler::policy::Through;
use weir_kernel::netns::Namespace;
use weir_pool::health::{Health, State};
use weir_pool::pool::{Endpoint, Event};
use weir_pool::probe::Check;

/// How often is looked for backends that came or went, and for what time has brought.
const TEND: Duration = Duration::from_secs(1);
/// How often neighbours are asked for that routes need.
const ASK: Duration = Duration::from_secs(20);

/// Keeps the pools of an instance.
#[derive(Debug)]
pub struct Keeper {
    instance: Instance,
    checker: Checker,
    changes: Receiver<(u64, State)>,
    /// What is checked, by the checker's number.
    targets: BTreeMap<u64, (String, Endpoint)>,
    next: u64,
    /// The generation whose checks these are, and the checks of its pools.
    generation: u64,
    checks: BTreeMap<String, (Check, Option<Through>)>,
    /// Where probes are made.
    namespace: Namespace,
    /// Who carries those that go the way of a service's packets, if there are some.
    carrier: Option<Carrier>,
    tended: Option<Instant>,
    neighbours: Neighbours,
    asked: Option<Instant>,
}

impl Keeper {
    /// In the calling thread's network namespace, where probes are made and neighbours asked, whoever calls [`turn`](Self::turn).
    pub fn start(instance: Instance) -> Result<Keeper, Error> {
        // Pools and checks agree on the time: both go by `CLOCK_MONOTONIC`, as `Instant` does.
        let epoch = Instant::now().checked_sub(now()).unwrap_or_else(Instant::now);
        let config = Config { epoch, ..Config::default() };
        let (checker, changes) = Checker::start(config).map_err(|error| Error::Checks(error.to_string()))?;
        Ok(Keeper {
            instance,
            checker,
            changes,
            targets: BTreeMap::new(),
            next: 1,
            generation: 0,
            checks: BTreeMap::new(),
            namespace: Namespace::current()?,
            carrier: None,
            tended: None,
            neighbours: Neighbours::here(),
            asked: None,
        })
    }

    /// Does what is due, and says what happened, by pool. To be called a few times a second.
    pub fn turn(&mut self) -> Result<Vec<(String, Event)>, Error> {
        let mut events = self.report()?;
        if self.tended.is_none_or(|then| then.elapsed() >= TEND) {
            self.follow()?;
            events.extend(self.instance.tend_pools()?);
            self.tended = Some(Instant::now());
        }
        Ok(events)
    }

    /// Tells pools what checks found.
    fn report(&mut self) -> Result<Vec<(String, Event)>, Error> {
        let mut news: BTreeMap<String, Vec<(Endpoint, State)>> = BTreeMap::new();
        for (number, state) in self.changes.try_iter() {
            if let Some((pool, endpoint)) = self.targets.get(&number) {
                news.entry(pool.clone()).or_default().push((*endpoint, state));
            }
        }
        let mut events = Vec::new();
        for (pool, news) in news {
            let live = match self.instance.pool(&pool) {
                Err(Error::NoPool { .. }) => continue,
                live => live?,
            };
            events.extend(live.report(news)?.into_iter().map(|event| (pool.clone(), event)));
        }
        Ok(events)
    }

    /// Checks those that are there, and no others.
    fn follow(&mut self) -> Result<(), Error> {
        let running = Generation::running(self.instance.place())?;
        if running.number != self.generation {
            self.checks = checks(&self.instance)?;
            self.generation = running.number;
            let gone: Vec<u64> = self.targets.keys().copied().collect();
            gone.into_iter().for_each(|number| self.forget(number));
            self.renew_carrier(&running)?;
        }
        let mut there = BTreeSet::new();
        let mut routed = Vec::new();
        for meta in &running.meta.pools {
            for record in open(&running, meta)?.records().into_values() {
                if matches!(record.wanted, Wanted::Up | Wanted::Draining) {
                    there.insert((meta.name.clone(), endpoint(&record)));
                    self.check(&meta.name, &record)?;
                    routed.extend(record.backend.hop.is_none().then_some(record.backend.address));
                }
            }
        }
        let gone = self.targets.iter().filter(|(_, target)| !there.contains(target));
        let gone: Vec<u64> = gone.map(|(number, _)| *number).collect();
        gone.into_iter().for_each(|number| self.forget(number));
        if let Some(carrier) = &mut self.carrier {
            carrier.keep(&there);
        }
        if self.asked.is_none_or(|then| then.elapsed() >= ASK) {
            self.neighbours.ask(routed);
            self.asked = Some(Instant::now());
        }
        Ok(())
    }

    fn check(&mut self, pool: &str, record: &Record) -> Result<(), Error> {
        let target = (pool.to_owned(), endpoint(record));
        let way = self.way(&target, record);
        let Some((check, _)) = self.checks.get(pool).filter(|_| !self.targets.values().any(|t| *t == target))
        else {
            return Ok(());
        };
        let state = State {
            health: if record.well { Health::Up } else { Health::Down },
            since: Duration::from_nanos(record.since),
            reason: (!record.well).then(|| record.reason.clone()),
        };
        let wanted = Target { endpoint: target.1, check: check.clone(), way, state };
        self.checker.set(self.next, wanted).map_err(|error| Error::Checks(error.to_string()))?;
        self.targets.insert(self.next, target);
        self.next += 1;
        Ok(())
    }

    /// Who carries probes of a policy that are to go through a `balance`.
    fn renew_carrier(&mut self, running: &Generation) -> Result<(), Error> {
        let setting = &running.meta.setting;
        match &mut self.carrier {
            _ if self.checks.values().all(|(_, through)| through.is_none()) => self.carrier = None,
            // What is under way still has its marks, so the program stays where it is.
            Some(carrier) => carrier.keep(&BTreeSet::new()),
            None => {
                let interfaces = setting.interfaces.iter().map(|interface| interface.0).collect();
                self.carrier = Some(Carrier::new(self.namespace.try_clone()?, interfaces, &setting.target));
            }
        }
        Ok(())
    }

    /// The way of a backend's probes, kept in step with its record; `None` for the one to its own address.
    fn way(&mut self, whose: &(String, Endpoint), record: &Record) -> Option<Arc<Way>> {
        let (_, through) = self.checks.get(&whose.0)?;
        self.carrier.as_mut()?.way(whose, through.as_ref()?, record)
    }

    fn forget(&mut self, number: u64) {
        self.checker.remove(number);
        self.targets.remove(&number);
    }
}

/// The checks of a policy's pools, read from its text.
fn checks(instance: &Instance) -> Result<BTreeMap<String, (Check, Option<Through>)>, Error> {
    let pools = instance.analysis()?.policy.pools;
    Ok(pools.into_iter().filter_map(|pool| Some((pool.name, (pool.check?, pool.through)))).collect())
}

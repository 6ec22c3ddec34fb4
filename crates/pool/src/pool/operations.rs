//! What people, checks and time do to a pool.

use std::time::Duration;

use super::{Admin, Backend, Change, Endpoint, Event, Pool, PoolError, Warming, What, ring};
use crate::health::{Health, State};
use crate::slots::{Update, Word};

impl Pool {
    /// Adds a backend, which is thought to be well, and begins slowly.
    pub fn add(&mut self, backend: Endpoint, weight: u16, now: Duration) -> Result<Change, PoolError> {
        if self.number(backend).is_ok() {
            return Err(PoolError::Twice { backend });
        }
        let most = self.settings.most;
        let number = self.number_for(backend).ok_or(PoolError::TooMany { most })?;
        let warming = Warming::begin(self.settings.slow, now);
        self.retired.remove(&number);
        self.backends.insert(number, Backend { warming, ..Backend::new(backend, weight, now) });
        Ok(self.changed(vec![(backend, What::Added { weight })], now))
    }

    /// The one that it had, or the lowest that no one has.
    fn number_for(&self, backend: Endpoint) -> Option<u16> {
        let before = self.retired.iter().find(|(_, endpoint)| **endpoint == backend);
        let is_taken = |number: &u16| self.backends.contains_key(number) || self.retired.contains_key(number);
        before
            .map(|(number, _)| *number)
            .or_else(|| (1..=self.settings.most).find(|number| !is_taken(number)))
    }

    /// Takes a backend out, and all flows from it.
    pub fn remove(&mut self, backend: Endpoint, now: Duration) -> Result<Change, PoolError> {
        let number = self.number(backend)?;
        self.keep_one_wanted(number)?;
        self.retire(number);
        Ok(self.changed(vec![(backend, What::Removed)], now))
    }

    /// Gives a backend no new flows, and takes it out at a deadline. Again, it has another deadline.
    pub fn drain(
        &mut self,
        backend: Endpoint,
        deadline: Duration,
        now: Duration,
    ) -> Result<Change, PoolError> {
        let number = self.number(backend)?;
        self.keep_one_wanted(number)?;
        self.at(number).admin = Admin::Draining { deadline };
        Ok(self.changed(vec![(backend, What::Draining { deadline })], now))
    }

    /// Gives a backend that is draining new flows again.
    pub fn undrain(&mut self, backend: Endpoint, now: Duration) -> Result<Change, PoolError> {
        let number = self.number(backend)?;
        if self.at(number).admin == Admin::Up {
            return Err(PoolError::NotDraining { backend });
        }
        self.at(number).admin = Admin::Up;
        Ok(self.changed(vec![(backend, What::Undrained)], now))
    }

    /// Gives a backend another weight; with 0 it keeps its flows as long as flows are kept when a pool changes.
    pub fn weigh(&mut self, backend: Endpoint, weight: u16, now: Duration) -> Result<Change, PoolError> {
        let number = self.number(backend)?;
        if weight == 0 {
            self.keep_one_wanted(number)?;
        }
        let from = std::mem::replace(&mut self.at(number).weight, weight);
        Ok(self.changed(vec![(backend, What::Weighed { from, to: weight })], now))
    }

    /// What checks found, of any number of backends at once. One that is no longer in the pool is no error: its check may
    /// have been under way.
    pub fn report(&mut self, news: Vec<(Endpoint, State)>, now: Duration) -> Change {
        let mut happened = Vec::new();
        for (endpoint, state) in news {
            let Ok(number) = self.number(endpoint) else { continue };
            let slow = self.settings.slow;
            let backend = self.at(number);
            if backend.state.health != state.health {
                let (what, warming) = match state.health {
                    Health::Up => (What::Up, Warming::begin(slow, now)),
                    Health::Down => (What::Down { reason: state.reason.clone().unwrap_or_default() }, None),
                };
                backend.warming = warming;
                happened.push((endpoint, what));
            }
            backend.state = state;
        }
        self.changed(happened, now)
    }

    /// What time brings: ends of drains, and more weight for those that begin slowly.
    pub fn advance(&mut self, now: Duration) -> Change {
        let mut happened = Vec::new();
        let is_over =
            |backend: &Backend| matches!(backend.admin, Admin::Draining { deadline } if deadline <= now);
        let over = self.backends.iter().filter(|(_, backend)| is_over(backend));
        for number in over.map(|(number, _)| *number).collect::<Vec<_>>() {
            happened.push((self.at(number).endpoint, What::Drained));
            self.retire(number);
        }
        for backend in self.backends.values_mut() {
            let warming = backend.warming.and_then(|warming| warming.advance(self.settings.slow, now));
            if warming != backend.warming {
                let step = warming.map_or(super::STEPS, |warming| warming.step);
                happened.push((backend.endpoint, What::Warmer { step }));
                backend.warming = warming;
            }
        }
        self.changed(happened, now)
    }

    /// When [`advance`](Self::advance) will have something to do.
    pub fn due(&self) -> Option<Duration> {
        let deadline = |backend: &Backend| match backend.admin {
            Admin::Draining { deadline } => Some(deadline),
            Admin::Up => None,
        };
        let warmer = |backend: &Backend| backend.warming.map(|warming| warming.due(self.settings.slow));
        self.backends.values().flat_map(|backend| [deadline(backend), warmer(backend)]).flatten().min()
    }

    /// Settles slots, as [`Slots::settle`](crate::slots::Slots::settle) does; but not while their flows are of a backend that is
    /// draining, which keeps them until its deadline.
    pub fn settle(&mut self, now: Duration, mut held: impl FnMut(u32, Word) -> bool) -> Vec<Update> {
        let drains = |number| {
            let backend = self.backends.get(&number);
            backend.is_some_and(|backend| backend.admin != Admin::Up)
        };
        self.slots.settle(self.settings.settle, now, |slot, word| drains(word.unknown()) || held(slot, word))
    }

    /// Lets the number of a backend that is gone be given to another one: no entry of a flow names it any longer, and no packet
    /// that is under way will write one.
    pub fn release(&mut self, number: u16) {
        self.retired.remove(&number);
    }

    /// Refuses to leave no backend that is wanted.
    fn keep_one_wanted(&self, without: u16) -> Result<(), PoolError> {
        let mut others = self.backends.iter().filter(|(number, _)| **number != without);
        match others.any(|(_, other)| other.is_wanted()) {
            true => Ok(()),
            false => Err(PoolError::Last { backend: self.backends[&without].endpoint }),
        }
    }

    fn at(&mut self, number: u16) -> &mut Backend {
        self.backends.get_mut(&number).expect("a number that was just found")
    }

    fn retire(&mut self, number: u16) {
        if let Some(backend) = self.backends.remove(&number) {
            self.retired.insert(number, backend.endpoint);
        }
    }

    /// Makes the slots follow what happened.
    fn changed(&mut self, happened: Vec<(Endpoint, What)>, now: Duration) -> Change {
        if happened.is_empty() {
            return Change::default();
        }
        let ring =
            ring(&self.settings, &self.backends).expect("size and backends were checked when they came");
        let updates = self.follow(&ring, now);
        let pool = self.summary();
        let event = |(backend, what)| Event { at: now, backend, what, pool };
        Change { updates, events: happened.into_iter().map(event).collect() }
    }
}

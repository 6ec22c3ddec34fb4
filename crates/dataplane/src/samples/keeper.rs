//! Keeps samples to their budgets, as long as somebody lets it.

use super::budget::{Seen, next_one_in};
use super::rates::Rates;
use crate::Error;
use crate::instance::{Generation, Instance};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How often is looked, so that who turns once a second always does. What a change of traffic brings in between is in the ring, or lost and counted.
const LOOK: Duration = Duration::from_millis(900);

/// A change of how rarely a statement samples.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Adapted {
    /// The statement.
    pub statement: String,
    /// It took one in so many.
    pub from: u32,
    /// It takes one in so many now.
    pub to: u32,
}

impl std::fmt::Display for Adapted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "sample `{}`: 1 in {}, was 1 in {}", self.statement, self.to, self.from)
    }
}

/// Keeps the samples of an instance to their budgets. It holds nothing that the next keeper would miss.
#[derive(Debug)]
pub struct SampleKeeper {
    instance: Instance,
    looked: Option<Instant>,
    generation: u64,
    /// By statement: how rarely it sampled at the last look, and how many samples it had taken by then.
    before: BTreeMap<String, (u32, u64)>,
}

impl SampleKeeper {
    /// Of an instance.
    pub fn new(instance: Instance) -> Self {
        Self { instance, looked: None, generation: 0, before: BTreeMap::new() }
    }

    /// Does what is due, and says what changed. To be called a few times a second.
    pub fn turn(&mut self) -> Result<Vec<Adapted>, Error> {
        let time = self.looked.map(|then| then.elapsed());
        if time.is_some_and(|time| time < LOOK) {
            return Ok(Vec::new());
        }
        self.looked = Some(Instant::now());
        let _lock = self.instance.place().lock()?;
        let running = Generation::running(self.instance.place())?;
        if running.meta.samples.is_empty() {
            self.before.clear();
            return Ok(Vec::new());
        }
        let rates = Rates::open(&running)?;
        let counters = crate::instance::counters(&running)?;
        let mut adapted = Vec::new();
        for (number, meta) in running.meta.samples.iter().enumerate() {
            let (one_in, taken) = (rates.one_in(number), counters.iter().find(|c| c.name == meta.name));
            let taken = taken.map_or(0, |counted| counted.packets);
            // What somebody else changed meanwhile says nothing of either N.
            let before = self.before.get(&meta.name);
            let before = before.filter(|before| before.0 == one_in && self.generation == running.number);
            let mut now = one_in;
            if let (Some((_, before)), Some(time)) = (before, time) {
                let taken = taken.saturating_sub(*before);
                let (declared, budget) = (meta.one_in, meta.budget);
                now = next_one_in(&Seen { declared, budget, one_in, taken, time });
            }
            if now != one_in {
                rates.set(number, now);
                adapted.push(Adapted { statement: meta.name.clone(), from: one_in, to: now });
            }
            self.before.insert(meta.name.clone(), (now, taken));
        }
        self.generation = running.number;
        Ok(adapted)
    }
}

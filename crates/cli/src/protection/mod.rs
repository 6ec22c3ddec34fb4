//! `--protect`: the protection that is turned, and what it leaves for other commands and for the next one.

mod message;
mod place;
mod story;
mod wishes;

pub(crate) use place::{forget, journal, lasting_name, sweep};
pub(crate) use story::{Story, running, unread};
pub(crate) use wishes::{Wish, wish};

use crate::args::Protect;
use crate::clock::epoch;
use crate::failure::Failure;
use crate::printer::Printer;
use crate::running::told;
use std::path::Path;
use std::time::{Duration, Instant};
use weir_dataplane::protect::{Options, Protector};
use weir_dataplane::{Error, Instance, Sample};
use weir_detect::defence::Event;
use weir_detect::traffic;
use weir_journal::{Journal, Standing, Watch};
use weir_telemetry::Hooks;

/// How often the journal hears of hits.
const COUNT: Duration = Duration::from_millis(500);
/// How often what is learnt is kept.
const REMEMBER: Duration = Duration::from_secs(60);

/// A protection of an instance, with its journal and people's wishes.
pub(crate) struct Protection {
    name: String,
    protector: Protector,
    journal: Journal,
    hooks: Hooks,
    counted: Instant,
    remembered: Instant,
}

impl Protection {
    /// Nothing if it was not asked for.
    pub(crate) fn start(
        instance: &Instance,
        args: &Protect,
        journal: Option<&Path>,
        hooks: Hooks,
        printer: &mut Printer,
    ) -> Result<Option<Protection>, Failure> {
        if !args.protect {
            return Ok(None);
        }
        // Hours of a week are what is usual is told by.
        let traffic = traffic::Config { origin: epoch(), ..traffic::Config::default() };
        let options = Options {
            never: args.never.clone(),
            from: args.from,
            idle: args.expire,
            traffic,
            ..Options::default()
        };
        let mut protector =
            Protector::start(instance.clone(), options).map_err(|error| told(error, printer))?;
        let name = instance.name().to_owned();
        let options =
            weir_journal::Options { file: journal.map(Path::to_owned), live: Some(place::live(&name)) };
        let (journal, memory) = Journal::start(options)?;
        protector.recall(memory);
        let now = Instant::now();
        Ok(Some(Protection { name, protector, journal, hooks, counted: now, remembered: now }))
    }

    /// Takes a sample.
    pub(crate) fn observe(&mut self, sample: &Sample<'_>) {
        self.protector.observe(sample);
    }

    /// Does what is due, and says what happened.
    pub(crate) fn turn(&mut self) -> Result<Vec<Event>, Error> {
        let is_wished = self.grant();
        let events = self.protector.turn()?;
        for event in events.iter().filter(|_| !self.hooks.is_empty()) {
            self.hooks.tell(message::of(&self.name, event, epoch()));
        }
        if !events.is_empty() || self.counted.elapsed() >= COUNT {
            self.counted = Instant::now();
            let standing = self.protector.mitigations();
            let standing = standing.map(|one| Standing { id: one.id, hits: one.hits, pinned: one.pinned });
            let standing = standing.collect();
            self.journal.turn(&events, self.protector.evidence(), standing, epoch());
        }
        if is_wished || self.remembered.elapsed() >= REMEMBER {
            self.remember();
        }
        Ok(events)
    }

    /// Does what people want; whether they wanted something.
    fn grant(&mut self) -> bool {
        let wishes = wishes::wishes(&self.name);
        for wish in &wishes {
            match *wish {
                Wish::Pin(id) => self.protector.pin(id, true),
                Wish::Unpin(id) => self.protector.pin(id, false),
                Wish::Forbid(id) => self.protector.forbid(id),
            };
        }
        !wishes.is_empty()
    }

    fn remember(&mut self) {
        self.remembered = Instant::now();
        self.journal.remember(self.protector.memory());
    }

    /// What went wrong beside it, each trouble once.
    pub(crate) fn troubles(&self) -> Vec<String> {
        self.journal.troubles().into_iter().chain(self.hooks.troubles()).collect()
    }

    /// What it met, and what its journal and hooks did.
    pub(crate) fn watch(&self) -> (Watch, weir_telemetry::Watch) {
        (self.journal.watch(), self.hooks.watch())
    }

    /// Keeps what is to be kept; what is to be said in the end.
    pub(crate) fn finish(mut self) -> Vec<String> {
        self.remember();
        self.journal.finish().into_iter().chain(self.hooks.finish()).collect()
    }
}

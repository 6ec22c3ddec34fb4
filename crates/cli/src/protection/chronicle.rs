//! What a defence sees and does, kept in a journal and told to hooks.

use super::{message, place};
use crate::clock::epoch;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};
use weir_detect::defence::{Event, Evidence, Memory};
use weir_detect::life::Mitigation;
use weir_journal::{Journal, Options, Standing, Watch};
use weir_telemetry::Hooks;

/// How often the journal hears of hits.
const COUNT: Duration = Duration::from_millis(500);
/// How often what is learnt is kept.
const REMEMBER: Duration = Duration::from_secs(60);

/// A journal and hooks, of a policy or of an analyser.
pub(crate) struct Chronicle {
    name: String,
    journal: Journal,
    hooks: Hooks,
    counted: Instant,
    remembered: Instant,
}

impl Chronicle {
    /// With what the journal remembers; without a file nothing outlives the process.
    pub(crate) fn start(name: &str, file: Option<&Path>, hooks: Hooks) -> io::Result<(Chronicle, Memory)> {
        let options = Options { file: file.map(Path::to_owned), live: Some(place::live(name)) };
        let (journal, memory) = Journal::start(options)?;
        let now = Instant::now();
        Ok((Chronicle { name: name.to_owned(), journal, hooks, counted: now, remembered: now }, memory))
    }

    /// What happened in a turn, the samples behind it, and what stands.
    pub(crate) fn turn<'a>(
        &mut self,
        events: &[Event],
        evidence: Vec<Evidence>,
        standing: impl Iterator<Item = &'a Mitigation>,
    ) {
        for event in events.iter().filter(|_| !self.hooks.is_empty()) {
            self.hooks.tell(message::of(&self.name, event, epoch()));
        }
        // Samples come with the event that tells of their rule.
        if events.is_empty() && evidence.is_empty() && self.counted.elapsed() < COUNT {
            return;
        }
        self.counted = Instant::now();
        let standing =
            standing.map(|one| Standing { id: one.id, hits: one.hits.packets, pinned: one.pinned });
        self.journal.turn(events, evidence, standing.collect(), epoch());
    }

    /// Whether what is learnt was not kept for long.
    pub(crate) fn is_forgetful(&self) -> bool {
        self.remembered.elapsed() >= REMEMBER
    }

    /// What the next defence should know.
    pub(crate) fn remember(&mut self, memory: Memory) {
        self.remembered = Instant::now();
        self.journal.remember(memory);
    }

    /// The same; `then` hears whether that is in the journal, with all that happened before.
    pub(crate) fn remember_then(&mut self, memory: Memory, then: impl FnOnce(bool) + Send + 'static) {
        self.remembered = Instant::now();
        self.journal.remember_then(memory, then);
    }

    /// What went wrong, each trouble once.
    pub(crate) fn troubles(&self) -> Vec<String> {
        self.journal.troubles().into_iter().chain(self.hooks.troubles()).collect()
    }

    /// What it was told of, and what its journal and hooks did.
    pub(crate) fn watch(&self) -> (Watch, weir_telemetry::Watch) {
        (self.journal.watch(), self.hooks.watch())
    }

    /// Keeps what waits; what is to be said in the end.
    pub(crate) fn finish(self) -> Vec<String> {
        self.journal.finish().into_iter().chain(self.hooks.finish()).collect()
    }
}

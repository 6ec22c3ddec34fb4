//! `--protect`: the protection that is turned, and what it leaves for other commands and for the next one.

mod chronicle;
mod message;
mod place;
mod story;
mod wishes;

pub(crate) use chronicle::Chronicle;
pub(crate) use place::{forget, journal, lasting_name, names};
pub(crate) use story::{Story, running, unread};
pub(crate) use wishes::{Wish, edit, wish};

use crate::args::Protect;
use crate::clock::epoch;
use crate::failure::Failure;
use crate::printer::Printer;
use crate::running::told;
use std::path::{Path, PathBuf};
use weir_dataplane::protect::{Options, Protector};
use weir_dataplane::{Error, Instance, Sample};
use weir_detect::defence::Event;
use weir_detect::traffic;
use weir_journal::Watch;
use weir_telemetry::Hooks;
use wishes::{Answer, Wished};

/// A protection of an instance, with its journal and people's wishes.
pub(crate) struct Protection {
    name: String,
    protector: Protector,
    chronicle: Chronicle,
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
        let (chronicle, memory) = Chronicle::start(&name, journal, hooks)?;
        protector.recall(memory);
        Ok(Some(Protection { name, protector, chronicle }))
    }

    /// Takes a sample.
    pub(crate) fn observe(&mut self, sample: &Sample<'_>) {
        self.protector.observe(sample);
    }

    /// Does what is due, and says what happened.
    pub(crate) fn turn(&mut self) -> Result<Vec<Event>, Error> {
        let wishes = wishes::wishes(&self.name);
        let is_wished = !wishes.is_empty();
        let answers: Vec<(PathBuf, Answer)> = wishes.into_iter().filter_map(|one| self.grant(one)).collect();
        let events = self.protector.turn()?;
        let evidence = self.protector.evidence();
        self.chronicle.turn(&events, evidence, self.protector.mitigations());
        if is_wished {
            // Nobody is told that something is done before a kill would leave it so.
            self.chronicle.remember_then(self.protector.memory(), move |is_kept| {
                for (file, answer) in answers {
                    wishes::answer(&file, &Answer { is_kept, ..answer });
                }
            });
        } else if self.chronicle.is_forgetful() {
            self.chronicle.remember(self.protector.memory());
        }
        Ok(events)
    }

    /// Does what a person wants; what to answer, and where, if that is asked for.
    fn grant(&mut self, Wished { wish, asker }: Wished) -> Option<(PathBuf, Answer)> {
        match wish {
            Wish::Pin(id) => drop(self.protector.pin(id, true)),
            Wish::Unpin(id) => drop(self.protector.pin(id, false)),
            Wish::Forbid(id) => drop(self.protector.forbid(id)),
            Wish::Edit(id, text) => {
                let answer = match self.protector.edit(id, &text) {
                    Ok(warnings) => Answer { warnings: warnings.to_string(), ..Answer::default() },
                    Err(told) => Answer { refused: Some(told.to_string()), ..Answer::default() },
                };
                return Some((wishes::answer_file(&self.name, &asker), answer));
            }
        }
        None
    }

    /// What went wrong beside it, each trouble once.
    pub(crate) fn troubles(&self) -> Vec<String> {
        self.chronicle.troubles()
    }

    /// What it met, and what its journal and hooks did.
    pub(crate) fn watch(&self) -> (Watch, weir_telemetry::Watch) {
        self.chronicle.watch()
    }

    /// Keeps what is to be kept; what is to be said in the end.
    pub(crate) fn finish(mut self) -> Vec<String> {
        self.chronicle.remember(self.protector.memory());
        self.chronicle.finish()
    }
}

//! `--protect`: the protection that is turned, and what it leaves for other commands to read.

mod record;

pub(crate) use record::{Record, Wish, forget, read, sweep, wish};

use crate::args::Protect;
use crate::failure::Failure;
use crate::printer::Printer;
use crate::running::told;
use weir_dataplane::protect::{Options, Protector};
use weir_dataplane::{Error, Instance, Sample};
use weir_detect::defence::Event;

/// A protection of an instance, with its record and people's wishes.
pub(crate) struct Protection {
    name: String,
    protector: Protector,
    record: Record,
}

impl Protection {
    /// Nothing if it was not asked for.
    pub(crate) fn start(
        instance: &Instance,
        args: &Protect,
        printer: &mut Printer,
    ) -> Result<Option<Protection>, Failure> {
        if !args.protect {
            return Ok(None);
        }
        let options =
            Options { never: args.never.clone(), from: args.from, idle: args.expire, ..Options::default() };
        let protector = Protector::start(instance.clone(), options).map_err(|error| told(error, printer))?;
        Ok(Some(Protection { name: instance.name().to_owned(), protector, record: Record::default() }))
    }

    /// Takes a sample.
    pub(crate) fn observe(&mut self, sample: &Sample<'_>) {
        self.protector.observe(sample);
    }

    /// Does what is due, and says what happened.
    pub(crate) fn turn(&mut self) -> Result<Vec<Event>, Error> {
        for wish in record::wishes(&self.name) {
            match wish {
                Wish::Pin(id) => self.protector.pin(id, true),
                Wish::Unpin(id) => self.protector.pin(id, false),
                Wish::Forbid(id) => self.protector.forbid(id),
            };
        }
        let events = self.protector.turn()?;
        self.record.follow(&events, self.protector.mitigations());
        self.record.write(&self.name);
        Ok(events)
    }
}

//! `--protect`: a thread that turns the protection, and what it leaves for other commands to read.

mod record;

pub(crate) use record::{Record, Wish, forget, read, sweep, wish};

use crate::args::Protect;
use crate::failure::Failure;
use crate::printer::Printer;
use crate::running::told;
use crate::stop::Stop;
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::Duration;
use weir_dataplane::Instance;
use weir_dataplane::protect::{Event, Options, Protector};

/// How long one turn waits for samples.
const WAIT: Duration = Duration::from_millis(20);

/// A running protection; dropping it ends it, and leaves the policy as it is.
pub(crate) struct Protection {
    stop: Stop,
    thread: Option<JoinHandle<()>>,
    heard: Receiver<Heard>,
}

/// What the thread says.
pub(crate) enum Heard {
    /// Something happened.
    Event(Event),
    /// It ended, and this is why.
    Trouble(String),
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
        let name = instance.name().to_owned();
        let mut protector =
            Protector::start(instance.clone(), options).map_err(|error| told(error, printer))?;
        let (tell, heard) = channel();
        let stop = Stop::never_asked();
        let asked = stop.clone();
        let work = move || {
            let mut record = Record::default();
            while !asked.asked() {
                for wish in record::wishes(&name) {
                    match wish {
                        Wish::Pin(id) => protector.pin(id, true),
                        Wish::Unpin(id) => protector.pin(id, false),
                        Wish::Forbid(id) => protector.forbid(id),
                    };
                }
                let events = match protector.turn(WAIT) {
                    Ok(events) => events,
                    Err(error) => {
                        let _ = tell.send(Heard::Trouble(format!("the protection ended: {error}")));
                        return;
                    }
                };
                record.follow(&events, protector.mitigations());
                record.write(&name);
                if events.into_iter().any(|event| tell.send(Heard::Event(event)).is_err()) {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("weir-protect".into()).spawn(work)?;
        Ok(Some(Protection { stop, thread: Some(thread), heard }))
    }

    /// What was said since the last look.
    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.try_iter().collect()
    }
}

impl Drop for Protection {
    fn drop(&mut self) {
        self.stop.ask();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

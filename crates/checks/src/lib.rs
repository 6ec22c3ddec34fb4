//! The probes of health checks: `weir_pool` says when one is due and what its result means; here it is made.
//!
//! A [`Checker`] has one thread of its own, however many backends there are: probes wait for the network in one
//! place, and commands are waited for as sockets are. The caller needs nothing asynchronous: it [sets](Checker::set)
//! targets and reads changes from a channel.
//!
//! # Where probes run
//! Sockets belong to the network namespace of the thread that makes them, and a new thread is in the namespace of the
//! one that starts it. So probes, and commands that are run as probes, see the network that the thread which called
//! [`Checker::start`] saw then; what it enters later changes nothing. There are no other threads: nothing here
//! blocks but the start of a command, until its program is found.
//!
//! # Whose fault it is
//! What says something of the backend, or of the way there, is a failure: refused, reset, no route, a wrong answer,
//! none in time. What only says something of this machine is none (too many open files, no memory, no free port, a
//! command that cannot be started): such a probe was not made. Nor was one that found no slot among [`Config::slots`]
//! within half of its time: it would have had too little left to be fair to the backend.
//!
//! # Whose address is asked
//! A probe goes to the backend's own address, or by a [`Way`]: then it asks a service's address and has a mark, and who knows what
//! the mark means brings it to the backend.
//!
//! # Commands
//! A command has a process group of its own, which is killed when its time is over, its target is removed or the
//! checker is dropped. What leaves the group is not found again, and nobody kills a command if this process is killed
//! itself.

mod engine;
mod error;
mod fault;
mod over;
mod probes;
mod way;

pub use error::Error;
pub use way::Way;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_rustls::rustls::ClientConfig;
use weir_pool::damping::Damping;
use weir_pool::health::State;
use weir_pool::pool::Endpoint;
use weir_pool::probe::Check;

use engine::{Clock, Engine, Event, Subject};
use probes::Question;

/// What holds for all checks.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// When the clock began by which [`State::since`] is told: the caller's own, so that pools and checks agree on
    /// the time. It is the monotonic clock of the system, which does not go on while the machine sleeps.
    pub epoch: Instant,
    /// How many probes can be under way. Each has a socket or a process, so it should be well below the limit of open
    /// files.
    pub slots: usize,
    /// How long backends that fall again and again must be well.
    pub damping: Damping,
}

impl Default for Config {
    /// A clock that begins now, 512 slots.
    fn default() -> Config {
        Config { epoch: Instant::now(), slots: 512, damping: Damping::default() }
    }
}

/// A backend that is to be checked.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where it is. A port of 0 leaves it to the check.
    pub endpoint: Endpoint,
    /// What it is asked, and how often.
    pub check: Check,
    /// The way of its probes; `None` for the one to where it is.
    pub way: Option<Arc<Way>>,
    /// What is known of it already; [`State::up`] if nothing is. Only changes from here on are told.
    pub state: State,
}

/// Checks targets until it is dropped. Dropping it ends what is under way and waits for the thread, for less than a
/// second.
pub struct Checker {
    events: UnboundedSender<Event>,
    thread: Option<JoinHandle<()>>,
    clock: Clock,
    tls: Arc<ClientConfig>,
}

impl Checker {
    /// Starts the thread, in the caller's network namespace. Changes come as a target's number and what is so now.
    ///
    /// # Errors
    /// If there are no slots, or the system has no room for a thread or its descriptors.
    pub fn start(config: Config) -> Result<(Checker, Receiver<(u64, State)>), Error> {
        if config.slots == 0 {
            return Err(Error::NoSlots);
        }
        let tls = probes::http::accepting().map_err(|error| Error::Start(io::Error::other(error)))?;
        let runtime = runtime(config.slots).map_err(Error::Start)?;
        let (events, arriving) = unbounded_channel();
        let (changes, changed) = mpsc::channel();
        let clock = Clock::new(config.epoch);
        let engine = Engine::new(clock, config.slots, config.damping, events.clone(), changes);
        let run = move || {
            // As one task among the others, so that its turn comes behind theirs (see `engine`).
            let engine = runtime.spawn(engine.run(arriving));
            // If it panicked, the channels are closed, and that is how the caller learns of it.
            let _ = runtime.block_on(engine);
        };
        let thread =
            thread::Builder::new().name("weir-checks".to_owned()).spawn(run).map_err(Error::Start)?;
        Ok((Checker { events, thread: Some(thread), clock, tls }, changed))
    }

    /// The time by the clock of [`Config::epoch`].
    pub fn now(&self) -> Duration {
        self.clock.now()
    }

    /// Checks a target by a number that the caller has chosen, in place of one of that number.
    ///
    /// What was told of the one before may still be in the channel. So another backend should have another number.
    ///
    /// # Errors
    /// If the target cannot be asked so, or the thread has ended.
    pub fn set(&self, number: u64, target: Target) -> Result<(), Error> {
        let Target { endpoint, check, way, state } = target;
        let question = Question::new(&check, endpoint, way, &self.tls)?;
        let subject = Subject::new(question, check.rhythm, state);
        self.events.send(Event::Set(number, subject)).map_err(|_| Error::Stopped)
    }

    /// Checks this number no longer, and ends its probe. What was told of it may still be in the channel.
    pub fn remove(&self, number: u64) {
        // Where the thread has ended nothing is checked.
        let _ = self.events.send(Event::Remove(number));
    }
}

impl Drop for Checker {
    fn drop(&mut self) {
        let _ = self.events.send(Event::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Checker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checker").field("clock", &self.clock).finish_non_exhaustive()
    }
}

fn runtime(slots: usize) -> io::Result<Runtime> {
    /// Besides probes there are the wakers of the thread and of signals.
    const OTHERS: usize = 16;
    // All that the kernel has is looked at in one turn, or what is over would be timed out.
    let events = slots.saturating_add(OTHERS).clamp(1024, 1 << 20);
    Builder::new_current_thread().enable_all().max_io_events_per_tick(events).build()
}

//! What a journal is told.

use crate::open::{Opened, open};
use crate::shared::{Shared, Watch};
use crate::writer::Writer;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use weir_detect::defence::{Event, Evidence, Memory};

/// So many turns wait for a slow disk.
const QUEUE: usize = 256;
/// How long the end of the process waits for a disk.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where it is kept.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The database; none if nothing is to outlive the process.
    pub file: Option<PathBuf>,
    /// The file for other commands.
    pub live: Option<PathBuf>,
}

/// A mitigation that stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standing {
    /// Its number.
    pub id: u64,
    /// Packets that it was hit by.
    pub hits: u64,
    /// A person wants it to stay.
    pub pinned: bool,
}

/// Keeps what it is told. Dropping it writes what waits.
#[derive(Debug)]
pub struct Journal {
    tell: Option<SyncSender<Told>>,
    thread: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
}

/// A message for the thread that writes.
#[derive(Debug)]
pub(crate) enum Told {
    Turn { events: Vec<Event>, evidence: Vec<Evidence>, standing: Vec<Standing>, epoch_ns: u64 },
    Memory(Memory, Option<Then>),
}

/// Called once with whether what was told is written.
pub(crate) struct Then(Box<dyn FnOnce(bool) + Send>);

impl Then {
    pub(crate) fn call(self, is_kept: bool) {
        (self.0)(is_kept);
    }
}

impl fmt::Debug for Then {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Then")
    }
}

impl Journal {
    /// Opens it, with what a defence should remember. That it cannot be opened is a trouble to be told of, and nothing else.
    ///
    /// # Errors
    /// When there can be no thread.
    pub fn start(options: Options) -> io::Result<(Journal, Memory)> {
        let shared = Arc::new(Shared::default());
        let mut opened = options.file.as_deref().map_or_else(Opened::default, |file| open(file, &shared));
        let memory = std::mem::take(&mut opened.memory);
        let writer = Writer::new(options, opened, Arc::clone(&shared));
        let (tell, hear) = sync_channel(QUEUE);
        let work = move || writer.work(&hear);
        let thread = std::thread::Builder::new().name("weir-journal".into()).spawn(work)?;
        Ok((Journal { tell: Some(tell), thread: Some(thread), shared }, memory))
    }

    /// What happened in a turn, the samples behind it, and what stands. Never waits. `epoch` is what is added to the
    /// events' clock to get the time of day.
    pub fn turn(&self, events: &[Event], evidence: Vec<Evidence>, standing: Vec<Standing>, epoch: Duration) {
        let epoch_ns = u64::try_from(epoch.as_nanos()).unwrap_or(u64::MAX);
        let lost = events.len() + evidence.len();
        let turn = Told::Turn { events: events.to_vec(), evidence, standing, epoch_ns };
        self.tell(turn, lost as u64);
    }

    /// What the next defence should know. Never waits.
    pub fn remember(&self, memory: Memory) {
        self.tell(Told::Memory(memory, None), 0);
    }

    /// The same; `then` hears whether that, and all that was told before, is in the database. It is called by the thread that
    /// writes, or at once if that has no time.
    pub fn remember_then(&self, memory: Memory, then: impl FnOnce(bool) + Send + 'static) {
        let told = Told::Memory(memory, Some(Then(Box::new(then))));
        if let Some(Told::Memory(_, Some(then))) = self.try_tell(told) {
            then.call(false);
        }
    }

    fn tell(&self, told: Told, lost: u64) {
        if self.try_tell(told).is_some() {
            self.shared.lost.fetch_add(lost, Relaxed);
        }
    }

    /// Gives back what finds no room.
    fn try_tell(&self, told: Told) -> Option<Told> {
        let Some(tell) = &self.tell else { return Some(told) };
        match tell.try_send(told) {
            Ok(()) => None,
            Err(TrySendError::Full(told) | TrySendError::Disconnected(told)) => Some(told),
        }
    }

    /// For others to look at.
    pub fn watch(&self) -> Watch {
        Watch::of(&self.shared)
    }

    /// What is to be said since the last call: each trouble once.
    pub fn troubles(&self) -> Vec<String> {
        self.shared.take_troubles()
    }

    /// Writes what waits, and waits for it, but not for ever; what is to be said.
    pub fn finish(mut self) -> Vec<String> {
        self.end();
        self.troubles()
    }

    fn end(&mut self) {
        self.tell = None;
        let Some(thread) = self.thread.take() else { return };
        let start = Instant::now();
        while !thread.is_finished() {
            if start.elapsed() >= PATIENCE {
                let told = "the journal's disk does not answer: what happened last is not in it";
                return self.shared.tell(told.into());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.end();
    }
}

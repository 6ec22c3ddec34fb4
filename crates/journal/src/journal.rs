//! The thread that writes, and what it is told.

use crate::capture;
use crate::error::Error;
use crate::live::Live;
use crate::pending::{Encoded, Pending};
use crate::record::Record;
use crate::store::{Kept, Logged, Reading, Store};
use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use weir_detect::defence::{Event, Evidence, Memory};

/// So many turns wait for a slow disk.
const QUEUE: usize = 256;
/// How often the file for other commands is written while only numbers change.
const PUBLISH: Duration = Duration::from_secs(1);
/// How often the database is, then, and how long it is left alone when it could not be.
const COMMIT: Duration = Duration::from_secs(10);
/// How long the end of the process waits for a disk.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a wait may take.
const WAIT: Duration = Duration::from_millis(500);

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

/// What became of what it was told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Figures {
    /// Events that it heard of.
    pub events: u64,
    /// Events and captures that are in no database: there was no room to wait, or none for long.
    pub lost: u64,
    /// How often the database could not be written.
    pub failures: u64,
}

/// Keeps what it is told. Dropping it writes what waits.
#[derive(Debug)]
pub struct Journal {
    tell: Option<SyncSender<Told>>,
    thread: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
}

/// Looks at a journal, from any thread and also when it is over.
#[derive(Clone, Debug)]
pub struct Watch(Arc<Shared>);

impl Watch {
    /// What is known, a second old at most.
    pub fn live(&self) -> Arc<Live> {
        Arc::clone(&lock(&self.0.live))
    }

    /// What became of what the journal was told.
    pub fn figures(&self) -> Figures {
        let Shared { events, lost, failures, .. } = &*self.0;
        Figures { events: events.load(Relaxed), lost: lost.load(Relaxed), failures: failures.load(Relaxed) }
    }
}

#[derive(Debug)]
enum Told {
    Turn { events: Vec<Event>, evidence: Vec<Evidence>, standing: Vec<Standing>, epoch_ns: u64 },
    Memory(Memory),
}

/// What the thread says.
#[derive(Debug, Default)]
struct Shared {
    live: Mutex<Arc<Live>>,
    troubles: Mutex<Vec<String>>,
    events: AtomicU64,
    lost: AtomicU64,
    failures: AtomicU64,
}

impl Journal {
    /// Opens it, with what a defence should remember. That it cannot be opened is a trouble to be told of, and nothing else.
    ///
    /// # Errors
    /// When there can be no thread.
    pub fn start(options: Options) -> io::Result<(Journal, Memory)> {
        let shared = Arc::new(Shared::default());
        let mut opened = options.file.as_deref().map(|file| open(file, &shared)).unwrap_or_default();
        let memory = std::mem::take(&mut opened.memory);
        let file = options.file.filter(|_| !opened.is_hopeless);
        let mut writer = Writer {
            options: Options { file, ..options },
            store: opened.store,
            record: opened.record,
            pending: Pending::default(),
            remembered: None,
            is_told: opened.is_told,
            failed: opened.is_told.then(Instant::now),
            committed: Instant::now(),
            published: None,
            shared: Arc::clone(&shared),
        };
        writer.publish();
        let (tell, hear) = sync_channel(QUEUE);
        let thread =
            std::thread::Builder::new().name("weir-journal".into()).spawn(move || writer.work(&hear))?;
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
        self.tell(Told::Memory(memory), 0);
    }

    fn tell(&self, told: Told, lost: u64) {
        let is_told = self.tell.as_ref().is_some_and(|tell| tell.try_send(told).is_ok());
        if !is_told {
            self.shared.lost.fetch_add(lost, Relaxed);
        }
    }

    /// For others to look at.
    pub fn watch(&self) -> Watch {
        Watch(Arc::clone(&self.shared))
    }

    /// What is to be said since the last call: each trouble once.
    pub fn troubles(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.shared.troubles))
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
                return self
                    .shared
                    .tell("the journal's disk does not answer: what happened last is not in it".into());
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

/// No thread panics while it holds one.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A database, as far as it could be opened.
#[derive(Default)]
struct Opened {
    store: Option<Store>,
    record: Record,
    memory: Memory,
    /// Its rows are not known: it must not be written later, when they would be mixed with others.
    is_hopeless: bool,
    is_told: bool,
}

fn open(file: &Path, shared: &Shared) -> Opened {
    let mut trouble = None;
    let mut opened = Store::open(file);
    if let Err(error) = &opened
        && error.is_damage()
    {
        shared.failures.fetch_add(1, Relaxed);
        shared.tell(moved(file, error));
        opened = Store::open(file);
    }
    let (store, kept) = match opened {
        Ok((store, kept)) => (Some(store), Ok(kept)),
        Err(error) => {
            let kept = read_at_least(file, &error);
            trouble = Some(error);
            (None, kept)
        }
    };
    let is_hopeless = kept.is_err();
    let Kept { mut record, memory, written_ns, .. } = kept.unwrap_or_default();
    record.interrupt(written_ns);
    let (attack, mitigation) = record.last();
    let memory = Memory {
        attacks: memory.attacks.max(attack),
        mitigations: memory.mitigations.max(mitigation),
        ..memory
    };
    if let Some(error) = &trouble {
        shared.failures.fetch_add(1, Relaxed);
        shared.tell(not_written(file, error));
    }
    Opened { store, record, memory, is_hopeless, is_told: trouble.is_some() }
}

/// What is in a database that cannot be written.
fn read_at_least(file: &Path, error: &Error) -> Result<Kept, Error> {
    match error {
        Error::Io(_) => match Reading::open(file) {
            Ok(reading) => reading.kept(),
            // It may come to be.
            Err(Error::Missing(_)) => Ok(Kept::default()),
            Err(error) => Err(error),
        },
        _ => Err(Error::Busy),
    }
}

/// Moves a damaged database out of the way; what to say of it.
fn moved(file: &Path, damage: &Error) -> String {
    let mut name = file.as_os_str().to_owned();
    name.push(format!(".damaged-{}", now_ns() / 1_000_000_000));
    let became = match fs::rename(file, &name) {
        Ok(()) => format!("it is `{}` now, and another one is begun", Path::new(&name).display()),
        Err(error) => format!("it cannot be moved aside: {}", Error::Io(error)),
    };
    format!("the journal `{}`: {damage}; {became}", file.display())
}

fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

fn not_written(file: &Path, error: &Error) -> String {
    let help = match error {
        Error::Busy => "\n  help: say another one by `--journal FILE`",
        _ => "",
    };
    format!("the journal `{}` is not written: {error}{help}", file.display())
}

impl Shared {
    fn tell(&self, trouble: String) {
        lock(&self.troubles).push(trouble);
    }
}

/// The thread's own.
struct Writer {
    options: Options,
    store: Option<Store>,
    record: Record,
    pending: Pending,
    /// A digest of what is remembered in the database: most of it changes once an hour.
    remembered: Option<u64>,
    /// That it is not written was told.
    is_told: bool,
    failed: Option<Instant>,
    committed: Instant,
    published: Option<Instant>,
    shared: Arc<Shared>,
}

impl Writer {
    fn work(mut self, hear: &Receiver<Told>) {
        loop {
            let is_over = match hear.recv_timeout(WAIT) {
                Ok(told) => {
                    self.hear(told);
                    hear.try_iter().for_each(|told| self.hear(told));
                    false
                }
                Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => true,
            };
            if is_over {
                self.record.interrupt(now_ns());
                self.failed = None;
                self.commit();
                break;
            }
            let is_news = !self.pending.events.is_empty();
            if is_news || self.published.is_none_or(|published| published.elapsed() >= PUBLISH) {
                self.publish();
            }
            if !self.pending.is_empty() || self.committed.elapsed() >= COMMIT {
                self.commit();
            }
        }
        if let Some(live) = &self.options.live {
            // It may be gone already.
            let _ = fs::remove_file(live);
        }
    }

    fn hear(&mut self, told: Told) {
        match told {
            Told::Turn { events, evidence, standing, epoch_ns } => {
                self.shared.events.fetch_add(events.len() as u64, Relaxed);
                for event in events {
                    self.record.hear(&event, epoch_ns);
                    self.pending.events.push(Logged {
                        at_ns: event.time_ns.saturating_add(epoch_ns),
                        text: event.to_string(),
                        event: serde_json::to_value(&event).unwrap_or_default(),
                    });
                }
                for one in standing {
                    self.record.hit(one.id, one.hits, one.pinned);
                }
                if self.options.file.is_some() {
                    self.keep(&evidence, epoch_ns);
                }
            }
            Told::Memory(memory) => {
                let Some(encoded) = Encoded::of(&memory) else { return };
                let mut digest = DefaultHasher::new();
                (&encoded.people, &encoded.learnt).hash(&mut digest);
                let digest = digest.finish();
                if self.remembered.replace(digest) != Some(digest) {
                    self.pending.memory = Some(encoded);
                }
            }
        }
    }

    fn keep(&mut self, evidence: &[Evidence], epoch_ns: u64) {
        for one in evidence {
            match capture::pcapng(one, epoch_ns) {
                Ok(capture) => self.pending.captures.push((one.mitigation, capture)),
                Err(_) => drop(self.shared.lost.fetch_add(1, Relaxed)),
            }
        }
    }

    /// For other commands. That it cannot be written changes nothing.
    fn publish(&mut self) {
        self.published = Some(Instant::now());
        let live = Arc::new(Live::of(&self.record, self.options.file.as_deref()));
        let before = std::mem::replace(&mut *lock(&self.shared.live), Arc::clone(&live));
        if let Some(path) = self.options.live.as_ref().filter(|path| before != live || !path.exists()) {
            let _ = live.write(path);
        }
    }

    fn commit(&mut self) {
        let Some(file) = self.options.file.clone() else {
            self.record.changed = Default::default();
            self.pending = Pending::default();
            return;
        };
        let nothing = self.pending.is_empty() && self.record.changed.is_empty() && !self.record.is_going();
        let is_resting = self.failed.is_some_and(|failed| failed.elapsed() < COMMIT);
        if nothing || is_resting {
            self.shared.lost.fetch_add(self.pending.trim(), Relaxed);
            return;
        }
        self.committed = Instant::now();
        match self.write(&file) {
            Ok(()) => {
                self.pending = Pending::default();
                self.record.changed = Default::default();
                self.failed = None;
                if std::mem::take(&mut self.is_told) {
                    self.shared.tell(format!("the journal `{}` is written again", file.display()));
                }
            }
            Err(error) => self.fail(&file, &error),
        }
    }

    fn write(&mut self, file: &Path) -> Result<(), Error> {
        if self.store.is_none() {
            self.store = Some(Store::open(file)?.0);
            self.record.change_all();
        }
        let Some(store) = &self.store else { return Ok(()) };
        store.commit(&self.record, &self.pending, now_ns())
    }

    /// It is closed, as its library wants it, and opened again later.
    fn fail(&mut self, file: &Path, error: &Error) {
        self.store = None;
        self.failed = Some(Instant::now());
        self.shared.lost.fetch_add(self.pending.trim(), Relaxed);
        self.shared.failures.fetch_add(1, Relaxed);
        let is_told = std::mem::replace(&mut self.is_told, true);
        if error.is_damage() {
            self.shared.tell(moved(file, error));
            // Another one can be begun at once, unless this one is still there.
            self.failed = file.exists().then(Instant::now);
        } else if !is_told {
            self.shared.tell(not_written(file, error));
        }
    }
}

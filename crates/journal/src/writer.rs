//! The thread that writes.

use crate::capture;
use crate::clock::now_ns;
use crate::error::Error;
use crate::journal::{Options, Then, Told};
use crate::live::Live;
use crate::open::{Opened, moved, not_written};
use crate::pending::{Encoded, Pending};
use crate::record::Record;
use crate::shared::Shared;
use crate::store::{Logged, Store};
use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};
use weir_detect::defence::Evidence;

/// How often the file for other commands is written while only numbers change.
const PUBLISH: Duration = Duration::from_secs(1);
/// How often the database is, then, and how long it is left alone when it could not be.
const COMMIT: Duration = Duration::from_secs(10);
/// How long a wait may take.
const WAIT: Duration = Duration::from_millis(500);

/// The thread's own.
pub(crate) struct Writer {
    options: Options,
    store: Option<Store>,
    record: Record,
    pending: Pending,
    /// Who wants to know when that is written.
    asked: Vec<Then>,
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
    pub(crate) fn new(options: Options, opened: Opened, shared: Arc<Shared>) -> Writer {
        let Opened { store, record, is_hopeless, is_told, .. } = opened;
        let file = options.file.filter(|_| !is_hopeless);
        let mut writer = Writer {
            options: Options { file, ..options },
            store,
            record,
            pending: Pending::default(),
            asked: Vec::new(),
            remembered: None,
            is_told,
            failed: is_told.then(Instant::now),
            committed: Instant::now(),
            published: None,
            shared,
        };
        writer.publish();
        writer
    }

    pub(crate) fn work(mut self, hear: &Receiver<Told>) {
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
                self.answer();
                break;
            }
            let is_news = !self.pending.events.is_empty();
            if is_news || self.published.is_none_or(|published| published.elapsed() >= PUBLISH) {
                self.publish();
            }
            if !self.pending.is_empty() || self.committed.elapsed() >= COMMIT {
                self.commit();
            }
            self.answer();
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
            Told::Memory(memory, then) => {
                self.asked.extend(then);
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

    /// Says whether all that was told is written.
    fn answer(&mut self) {
        let is_kept = self.options.file.is_some() && self.failed.is_none() && self.pending.is_empty();
        self.asked.drain(..).for_each(|then| then.call(is_kept));
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
        let before = self.shared.publish(&live);
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
        if !error.is_damage() {
            if !is_told {
                self.shared.tell(not_written(file, error));
            }
            return;
        }
        let told = moved(file, error);
        let is_moved = !file.exists();
        if is_moved || !is_told {
            self.shared.tell(told);
        }
        if is_moved {
            // Another one is begun at once, and has to be told everything.
            (self.failed, self.remembered) = (None, None);
        }
    }
}

//! A copy of what etcd has below a prefix, and what we have there.

use super::options::{Endpoint, Options};
use super::session::Session;
use super::wire::{Event, KeyValue, Kind, Operation, Transaction};
use crate::Error;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Pauses between two attempts to connect.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(2);
/// Nobody waits longer for etcd: a session gives up before.
const PATIENCE: Duration = Duration::from_secs(5);

/// A value, and when it came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// What it says.
    pub value: Vec<u8>,
    /// The revision of etcd that made the key.
    pub made: i64,
    /// The revision that changed it last.
    pub changed: i64,
}

impl Entry {
    /// As text, with what is none replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.value).into_owned()
    }
}

/// Whether etcd is there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Link {
    /// It was not reached yet.
    Opening,
    /// The copy follows it.
    Up,
    /// It is lost, and this is why. The copy is what it was.
    Lost(String),
}

/// How far the copy has come: it changed if this did.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Change(u64);

/// The copy. All that it does by the network is done by a thread of its own; dropping it takes away what was lent.
#[derive(Debug)]
pub struct Store {
    shared: Arc<Shared>,
    asked: UnboundedSender<Asked>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread is asked for.
pub(super) enum Asked {
    Lend,
    Grant(Duration, SyncSender<Result<i64, Error>>),
    Transaction(Transaction, SyncSender<Result<bool, Error>>),
    End,
}

#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    prefix: String,
    entries: BTreeMap<String, Entry>,
    link: Link,
    change: u64,
    lease: i64,
    /// Leases of others that we keep alive.
    kept: BTreeSet<i64>,
    /// What we lend, and what of it is not there yet as it should be.
    lent: BTreeMap<String, Vec<u8>>,
    owed: BTreeSet<String>,
}

impl Store {
    /// Begins to follow etcd, which need not be there yet.
    pub fn open(options: Options) -> Result<Store, Error> {
        let endpoints = options.resolve()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
        let runtime = runtime.map_err(|error| Error::Options(format!("no runtime: {error}")))?;
        let state = State {
            prefix: options.prefix.clone(),
            entries: BTreeMap::new(),
            link: Link::Opening,
            change: 0,
            lease: 0,
            kept: BTreeSet::new(),
            lent: BTreeMap::new(),
            owed: BTreeSet::new(),
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let (asked, requests) = unbounded_channel();
        let theirs = Arc::clone(&shared);
        let work = move || runtime.block_on(work(&options, &endpoints, &theirs, requests));
        let thread = std::thread::Builder::new().name("weir-etcd".into()).spawn(work);
        let thread = thread.map_err(|error| Error::Options(format!("no thread: {error}")))?;
        Ok(Store { shared, asked, thread: Some(thread) })
    }

    /// Whether etcd is there.
    pub fn link(&self) -> Link {
        self.shared.state().link.clone()
    }

    /// How far the copy has come.
    pub fn change(&self) -> Change {
        Change(self.shared.state().change)
    }

    /// Waits until the copy or the link has changed since, for a time at most.
    pub fn wait(&self, seen: Change, time: Duration) -> Change {
        let end = Instant::now() + time;
        let mut state = self.shared.state();
        while state.change == seen.0 {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.shared.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Change(state.change)
    }

    /// Waits until etcd is there.
    pub fn reached(&self, time: Duration) -> Result<(), Error> {
        let end = Instant::now() + time;
        let mut seen = self.change();
        loop {
            match self.link() {
                Link::Up => return Ok(()),
                Link::Lost(why) if Instant::now() >= end => return Err(Error::Lost(why)),
                Link::Opening if Instant::now() >= end => return Err(Error::Lost("no answer".into())),
                _ => seen = self.wait(seen, end.saturating_duration_since(Instant::now())),
            }
        }
    }

    /// A key, by its name behind the prefix.
    pub fn get(&self, name: &str) -> Option<Entry> {
        self.shared.state().entries.get(name).cloned()
    }

    /// All keys whose names begin so, with the rest of their names.
    pub fn list(&self, begin: &str) -> Vec<(String, Entry)> {
        let state = self.shared.state();
        let all = state.entries.range(begin.to_owned()..).take_while(|(name, _)| name.starts_with(begin));
        all.map(|(name, entry)| (name[begin.len()..].to_owned(), entry.clone())).collect()
    }

    /// Those whose values are JSON of a kind; others are left out.
    pub fn read<T: DeserializeOwned>(&self, begin: &str) -> BTreeMap<String, T> {
        let all = self.list(begin).into_iter();
        all.filter_map(|(name, entry)| Some((name, serde_json::from_slice(&entry.value).ok()?))).collect()
    }

    /// Lets a key be this as long as we are there; put again whenever etcd has lost it.
    pub fn lend(&self, name: &str, value: Vec<u8>) {
        let mut state = self.shared.state();
        if state.lent.get(name) != Some(&value) {
            state.lent.insert(name.to_owned(), value);
            state.owed.insert(name.to_owned());
            let _ = self.asked.send(Asked::Lend);
        }
    }

    /// Does all of it or nothing; whether its conditions held. If etcd was lost meanwhile, it may have been done.
    pub fn transact(&self, transaction: Transaction) -> Result<bool, Error> {
        self.ask(|answer| Asked::Transaction(transaction, answer))
    }

    /// A lease that this store does not keep alive by itself.
    pub fn grant(&self, time: Duration) -> Result<i64, Error> {
        self.ask(|answer| Asked::Grant(time, answer))
    }

    /// Keeps exactly these leases alive beside its own.
    pub fn keep(&self, leases: impl IntoIterator<Item = i64>) {
        self.shared.state().kept = leases.into_iter().collect();
    }

    fn ask<T>(&self, request: impl FnOnce(SyncSender<Result<T, Error>>) -> Asked) -> Result<T, Error> {
        if let Link::Lost(why) = self.link() {
            return Err(Error::Lost(why));
        }
        let (answer, told) = sync_channel(1);
        let lost = || Error::Lost("no answer".into());
        self.asked.send(request(answer)).map_err(|_| lost())?;
        told.recv_timeout(PATIENCE).map_err(|_| lost())?
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = self.asked.send(Asked::End);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One session after the other, with the members in turn.
async fn work(
    options: &Options,
    endpoints: &[Endpoint],
    shared: &Shared,
    mut asked: UnboundedReceiver<Asked>,
) {
    let mut pause = FIRST_PAUSE;
    for endpoint in endpoints.iter().cycle() {
        let ended = match Session::open(options, endpoint, shared).await {
            Ok((mut session, watch)) => {
                pause = FIRST_PAUSE;
                session.follow(watch, &mut asked).await
            }
            Err(error) => Err(error),
        };
        let Err(error) = ended else { return };
        shared.lose(error.to_string());
        let resting = tokio::time::sleep(pause);
        pause = (pause * 2).min(LAST_PAUSE);
        tokio::pin!(resting);
        loop {
            tokio::select! {
                () = &mut resting => break,
                request = asked.recv() => match request {
                    None | Some(Asked::End) => return,
                    Some(Asked::Lend) => {}
                    // Whoever asks hears that there is nobody.
                    Some(Asked::Grant(..) | Asked::Transaction(..)) => {}
                },
            }
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The copy is what etcd has.
    pub(super) fn replace(&self, all: Vec<KeyValue>) {
        let mut state = self.state();
        let named = all.into_iter().filter_map(|one| state.named(one)).collect();
        state.entries = named;
        state.link = Link::Up;
        self.tell(state);
    }

    /// What happened to it. Whole revisions come at once.
    pub(super) fn apply(&self, events: Vec<Event>) {
        let mut state = self.state();
        for event in events {
            let is_gone = event.kind == Kind::Delete;
            let Some((name, entry)) = state.named(event.kv) else { continue };
            match is_gone {
                true => drop(state.entries.remove(&name)),
                false => drop(state.entries.insert(name, entry)),
            }
        }
        self.tell(state);
    }

    pub(super) fn lose(&self, why: String) {
        let mut state = self.state();
        state.link = Link::Lost(why);
        self.tell(state);
    }

    pub(super) fn lease(&self) -> i64 {
        self.state().lease
    }

    pub(super) fn set_lease(&self, lease: i64) {
        let mut state = self.state();
        state.lease = lease;
        state.owed = state.lent.keys().cloned().collect();
    }

    pub(super) fn kept(&self) -> Vec<i64> {
        self.state().kept.iter().copied().collect()
    }

    /// What of the lent is to be put.
    pub(super) fn to_lend(&self) -> Option<Transaction> {
        let state = self.state();
        let owed = state.owed.iter().filter_map(|name| Some((name, state.lent.get(name)?)));
        let then: Vec<Operation> =
            owed.map(|(name, value)| Operation::Lend(name.clone(), value.clone())).collect();
        (!then.is_empty()).then(|| Transaction { when: Vec::new(), then })
    }

    /// That was put; what changed meanwhile is still owed.
    pub(super) fn lent(&self, transaction: &Transaction) {
        let mut state = self.state();
        for operation in &transaction.then {
            if let Operation::Lend(name, value) = operation
                && state.lent.get(name) == Some(value)
            {
                state.owed.remove(name);
            }
        }
    }

    fn tell(&self, mut state: MutexGuard<'_, State>) {
        state.change += 1;
        drop(state);
        self.changed.notify_all();
    }
}

impl State {
    fn named(&self, one: KeyValue) -> Option<(String, Entry)> {
        let name = String::from_utf8(one.key).ok()?;
        let name = name.strip_prefix(&self.prefix)?.to_owned();
        Some((name, Entry { value: one.value, made: one.create_revision, changed: one.mod_revision }))
    }
}

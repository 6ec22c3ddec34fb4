//! What the thread that writes says, for everybody.

use crate::live::Live;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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

/// Looks at a journal, from any thread and also when it is over.
#[derive(Clone, Debug)]
pub struct Watch(Arc<Shared>);

impl Watch {
    pub(crate) fn of(shared: &Arc<Shared>) -> Watch {
        Watch(Arc::clone(shared))
    }

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

/// What the thread says.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    live: Mutex<Arc<Live>>,
    troubles: Mutex<Vec<String>>,
    pub(crate) events: AtomicU64,
    pub(crate) lost: AtomicU64,
    pub(crate) failures: AtomicU64,
}

impl Shared {
    /// Something that went wrong.
    pub(crate) fn tell(&self, trouble: String) {
        lock(&self.troubles).push(trouble);
    }

    pub(crate) fn take_troubles(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.troubles))
    }

    /// The other one is what was known before.
    pub(crate) fn publish(&self, live: &Arc<Live>) -> Arc<Live> {
        std::mem::replace(&mut *lock(&self.live), Arc::clone(live))
    }
}

/// No thread panics while it holds one.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

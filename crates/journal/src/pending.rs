//! What is not in the database yet, beside the rows that changed.

use crate::store::Logged;
use weir_detect::defence::Memory;

/// So many events wait for a database that cannot be written; older ones are lost.
const EVENTS: usize = 2000;
/// So many captures.
const CAPTURES: usize = 50;

/// What a defence should remember, as it is written.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Encoded {
    pub(crate) people: Vec<u8>,
    pub(crate) learnt: Vec<u8>,
}

/// What waits.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    pub(crate) events: Vec<Logged>,
    /// By mitigation, as pcapng.
    pub(crate) captures: Vec<(u64, Vec<u8>)>,
    pub(crate) memory: Option<Encoded>,
}

impl Pending {
    pub(crate) fn is_empty(&self) -> bool {
        self.events.is_empty() && self.captures.is_empty() && self.memory.is_none()
    }

    /// Lets go of the oldest beyond the bounds. How many there were.
    pub(crate) fn trim(&mut self) -> u64 {
        let events = self.events.len().saturating_sub(EVENTS);
        self.events.drain(..events);
        let captures = self.captures.len().saturating_sub(CAPTURES);
        self.captures.drain(..captures);
        (events + captures) as u64
    }
}

impl Encoded {
    /// Nothing if it cannot be written at all.
    pub(crate) fn of(memory: &Memory) -> Option<Encoded> {
        let people = serde_json::to_vec(memory).ok()?;
        Some(Encoded { people, learnt: postcard::to_allocvec(&memory.learnt).ok()? })
    }

    /// What can be read of it. What was learnt comes back by itself, what people said does not: each is read for itself.
    pub(crate) fn read(people: Option<&[u8]>, learnt: Option<&[u8]>) -> Memory {
        let memory: Memory = people.and_then(|bytes| serde_json::from_slice(bytes).ok()).unwrap_or_default();
        let learnt = learnt.and_then(|bytes| postcard::from_bytes(bytes).ok()).unwrap_or_default();
        Memory { learnt, ..memory }
    }
}

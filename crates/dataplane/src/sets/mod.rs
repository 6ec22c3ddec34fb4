//! Sets that change while running.

pub(crate) mod content;

use crate::Error;
use serde::Serialize;
use std::time::Duration;

/// How long an element lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Lifetime {
    /// As the set's `timeout` says; for ever if it has none.
    #[default]
    Declared,
    /// From now on.
    For(Duration),
    /// Until it is deleted.
    Forever,
}

/// An element of a live set.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct LiveElement {
    /// As the policy would write it.
    pub element: String,
    /// Nanoseconds left; nothing for one that stays until it is deleted.
    pub remaining_ns: Option<u64>,
}

/// What `status` tells about a set.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct SetStatus {
    /// Its name.
    pub name: String,
    /// Its types as declared.
    pub types: String,
    /// Whether it can change while running.
    pub live: bool,
    /// Elements (single values and prefixes); expired ones that nobody has swept count too.
    pub elements: u64,
    /// How many it can hold (of each family, and of single addresses and prefixes each).
    pub max: Option<u64>,
}

/// A live set of a running instance. Every call works on the generation that runs at that moment.
pub struct LiveSet {}

impl LiveSet {
    /// Its name.
    pub fn name(&self) -> &str {
        unimplemented!()
    }

    /// Adds elements, as the policy would write them; one that is there gets the new lifetime. Nothing is added if
    /// one of the texts is no element, or if the set has no room for all.
    pub fn add<T: AsRef<str>>(&mut self, elements: &[T], lifetime: Lifetime) -> Result<(), Error> {
        let _ = (elements, lifetime);
        unimplemented!()
    }

    /// Deletes elements; answers how many were there.
    pub fn delete<T: AsRef<str>>(&mut self, elements: &[T]) -> Result<u64, Error> {
        let _ = elements;
        unimplemented!()
    }

    /// The elements that have not expired.
    pub fn list(&mut self) -> Result<Vec<LiveElement>, Error> {
        unimplemented!()
    }

    /// Deletes all elements; answers how many there were.
    pub fn flush(&mut self) -> Result<u64, Error> {
        unimplemented!()
    }

    /// Removes what has expired; answers how many.
    pub fn sweep(&mut self) -> Result<u64, Error> {
        unimplemented!()
    }
}

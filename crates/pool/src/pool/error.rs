//! Why a pool is not changed, or is none.

use std::fmt;

use super::Endpoint;
use crate::ring::RingError;

/// Why something was not done. The pool is as it was.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PoolError {
    /// No backend is there.
    Unknown {
        /// Where one was looked for.
        backend: Endpoint,
        /// One with the same address and another port.
        near: Option<Endpoint>,
    },
    /// One is there already.
    Twice {
        /// Where.
        backend: Endpoint,
    },
    /// All numbers are taken.
    TooMany {
        /// How many there are.
        most: u16,
    },
    /// It takes new flows, and no other one does.
    Last {
        /// Which.
        backend: Endpoint,
    },
    /// It cannot be undrained.
    NotDraining {
        /// Which.
        backend: Endpoint,
    },
    /// No backend takes new flows.
    Empty,
    /// What was found in memory is not this pool's.
    Words {
        /// How many slots there were.
        found: usize,
        /// How many the pool has.
        size: u32,
    },
    /// There is no such ring.
    Ring(RingError),
}

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { backend, near: None } => write!(f, "the pool has no backend `{backend}`"),
            Self::Unknown { backend, near: Some(near) } => {
                write!(f, "the pool has no backend `{backend}`, but `{near}`")
            }
            Self::Twice { backend } => {
                write!(f, "backend `{backend}` is in the pool already: change its weight, or undrain it")
            }
            Self::TooMany { most } => write!(
                f,
                "the pool is full: {most} backends are in it, or were and may still have flows; wait until these have ended"
            ),
            Self::Last { backend } => write!(
                f,
                "backend `{backend}` is the last one that takes new flows: add or undrain another one first"
            ),
            Self::NotDraining { backend } => write!(f, "backend `{backend}` is not draining"),
            Self::Empty => write!(f, "a pool needs a backend with a weight above 0"),
            Self::Words { found, size } => {
                write!(f, "{found} slots are in memory where the pool has {size}: load it anew")
            }
            Self::Ring(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for PoolError {}

impl From<RingError> for PoolError {
    fn from(error: RingError) -> PoolError {
        PoolError::Ring(error)
    }
}

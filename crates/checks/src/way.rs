//! The way of probes that are not to go to a backend's own address.

use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};

use nix::sys::socket::{setsockopt, sockopt};

use crate::fault::Fault;

/// Probes ask a service's address, with a mark by which whoever carries them knows for which backend they are.
///
/// Whoever carries them may know at any time that they would not get there: then they are not made.
#[derive(Debug)]
pub struct Way {
    /// What is asked.
    pub service: IpAddr,
    /// The mark of all packets of a probe (`SO_MARK`).
    pub mark: u32,
    hindrance: Mutex<Option<String>>,
}

impl Way {
    /// One that is open.
    pub fn new(service: IpAddr, mark: u32) -> Way {
        Way { service, mark, hindrance: Mutex::new(None) }
    }

    /// Says why probes would not get there from now on, or that they would.
    pub fn hinder(&self, why: Option<String>) {
        *self.hindrance.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// Why probes would not get there.
    pub fn hindrance(&self) -> Option<String> {
        self.hindrance.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Marks what a socket sends from now on.
pub(crate) fn mark(socket: &impl AsFd, mark: Option<u32>) -> Result<(), Fault> {
    let Some(mark) = mark else { return Ok(()) };
    setsockopt(socket, sockopt::Mark, &mark)
        .map_err(|error| Fault::Ours(format!("packets cannot be marked: {}", error.desc().to_lowercase())))
}

//! Marks of packets (`SO_MARK`) that nobody else in the network namespace uses who carries probes.

use crate::Error;
use std::collections::BTreeSet;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

/// All marks begin with this byte; the documentation says so.
const FIRST_BYTE: u16 = 0x57;

/// 65,536 marks.
#[derive(Debug)]
pub(super) struct Marks {
    first_half: u16,
    taken: BTreeSet<u16>,
    /// A name that the kernel gives to one process of a network namespace, and back when that ends.
    _claim: UnixListener,
}

impl Marks {
    /// Marks for the calling thread's namespace.
    pub(super) fn claim() -> Result<Marks, Error> {
        for second_byte in 0..=u8::MAX {
            let first_half = FIRST_BYTE << 8 | u16::from(second_byte);
            let claimed = SocketAddr::from_abstract_name(format!("weir-marks-{first_half:x}"))
                .and_then(|name| UnixListener::bind_addr(&name));
            if let Ok(claim) = claimed {
                return Ok(Marks { first_half, taken: BTreeSet::new(), _claim: claim });
            }
        }
        Err(Error::Checks("256 others carry probes in this network namespace already".into()))
    }

    /// The upper half of all of them.
    pub(super) fn first_half(&self) -> u16 {
        self.first_half
    }

    /// One that is free.
    pub(super) fn take(&mut self) -> Option<u32> {
        let number = (0..=u16::MAX).find(|number| !self.taken.contains(number))?;
        self.taken.insert(number);
        Some(u32::from(self.first_half) << 16 | u32::from(number))
    }

    pub(super) fn release(&mut self, mark: u32) {
        self.taken.remove(&(mark as u16));
    }
}

//! The database, for other commands: also while a process writes it.

use crate::attack::Attack;
use crate::error::Error;
use crate::mitigation::Mitigation;
use crate::process;
use crate::store::{Logged, Reading};
use std::path::Path;

/// Attacks and mitigations, the oldest first.
///
/// # Errors
/// When there is no such journal, or it cannot be read.
pub fn record(path: &Path) -> Result<(Vec<Attack>, Vec<Mitigation>), Error> {
    let mut kept = Reading::open(path)?.kept()?;
    // Whoever wrote it was killed: it could not say that it ended.
    if !process::runs(&kept.process) {
        kept.record.interrupt(kept.written_ns);
    }
    let record = kept.record;
    Ok((record.attacks().cloned().collect(), record.mitigations().cloned().collect()))
}

/// What happened, the oldest first.
///
/// # Errors
/// Likewise.
pub fn events(path: &Path) -> Result<Vec<Logged>, Error> {
    Reading::open(path)?.events()
}

/// The samples that a mitigation was found by, as pcapng; nothing if they are not kept (any more).
///
/// # Errors
/// Likewise.
pub fn capture(path: &Path, mitigation: u64) -> Result<Option<Vec<u8>>, Error> {
    Reading::open(path)?.capture(mitigation)
}

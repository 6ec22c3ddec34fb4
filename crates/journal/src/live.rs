//! What a defence knows at a moment, as a file that other commands read.
//!
//! It says more than the database: what happened since that was written, and all of it where there is none.

use crate::attack::Attack;
use crate::mitigation::Mitigation;
use crate::process;
use crate::record::Record;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The content of the file.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Live {
    /// Who writes it; it means nothing when that process is gone.
    pub process: String,
    /// The database, if there is one.
    pub journal: Option<PathBuf>,
    /// Attacks, the oldest first.
    pub attacks: Vec<Attack>,
    /// Mitigations, likewise.
    pub mitigations: Vec<Mitigation>,
}

impl Live {
    pub(crate) fn of(record: &Record, journal: Option<&Path>) -> Live {
        Live {
            process: process::own(),
            journal: journal.map(Path::to_owned),
            attacks: record.attacks().cloned().collect(),
            mitigations: record.mitigations().cloned().collect(),
        }
    }

    /// Whole or not at all: whoever reads it sees this one or the one before.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        let beside = path.with_extension("new");
        fs::write(&beside, serde_json::to_vec(self)?)?;
        fs::rename(&beside, path)
    }

    /// Nothing where nobody writes it any more, or never did.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn read(path: &Path) -> io::Result<Option<Live>> {
        let live: Live = match fs::read(path) {
            Ok(json) => serde_json::from_slice(&json)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(Some(live).filter(|live| process::runs(&live.process)))
    }
}

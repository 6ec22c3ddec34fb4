//! What a protection met, as other commands find it: told by the process that protects while there is one, else by its journal.

use super::place::{journal, journals, live, names};
use crate::failure::{Failure, failed, words};
use std::path::{Path, PathBuf};
use weir_journal::{Attack, Error, Live, Mitigation, read};

/// What was met, and where it stands.
pub(crate) struct Story {
    /// The running policy that is protected; nothing if it only was.
    pub(crate) running: Option<String>,
    pub(crate) journal: Option<PathBuf>,
    pub(crate) attacks: Vec<Attack>,
    pub(crate) mitigations: Vec<Mitigation>,
}

/// What the process that protects a policy knows; nothing where there is none.
pub(crate) fn running(name: &str) -> Option<Live> {
    Live::read(&live(name)).ok().flatten()
}

impl Story {
    /// Of a name, which is that of a running policy or of a journal, or of the only one there is.
    pub(crate) fn find(name: Option<&str>) -> Result<Story, Failure> {
        let running = names().into_iter().filter_map(|name| Some((running(&name)?, name)));
        match name {
            Some(name) => {
                let file = journal(name);
                let is_meant =
                    |(live, of): &(Live, String)| of == name || live.journal.as_ref() == Some(&file);
                match running.into_iter().find(is_meant) {
                    Some(one) => Ok(Story::told(one)),
                    None if file.exists() => Story::read(&file),
                    None => Err(nobody(&format!("`{name}` is not protected, and has no journal"))),
                }
            }
            None => Story::only_one(running.collect()),
        }
    }

    fn only_one(mut running: Vec<(Live, String)>) -> Result<Story, Failure> {
        let (which, named) = match running.pop() {
            Some(one) if running.is_empty() => return Ok(Story::told(one)),
            Some(one) => {
                running.push(one);
                ("policies are protected", running.into_iter().map(|(_, name)| name).collect::<Vec<_>>())
            }
            None => ("journals are kept", journals()),
        };
        match named.as_slice() {
            [] => Err(nobody("no policy is protected, and there is no journal")),
            [one] => Story::read(&journal(one)),
            several => Err(failed(format!("{} {which}: {}", several.len(), several.join(", ")))
                .help("say which: `--name NAME`")),
        }
    }

    fn told((live, name): (Live, String)) -> Story {
        let Live { journal, attacks, mitigations, .. } = live;
        Story { running: Some(name), journal, attacks, mitigations }
    }

    /// Of a journal, whoever writes it.
    pub(crate) fn read(file: &Path) -> Result<Story, Failure> {
        let (attacks, mitigations) = read::record(file).map_err(|error| unread(file, &error))?;
        Ok(Story { running: None, journal: Some(file.to_owned()), attacks, mitigations })
    }

    /// The journal, for what stands nowhere else.
    pub(crate) fn file(&self) -> Result<&Path, Failure> {
        self.journal
            .as_deref()
            .ok_or_else(|| failed("nothing of it is kept").help("start it without `--no-journal`"))
    }
}

/// Why a journal is not read.
pub(crate) fn unread(file: &Path, error: &Error) -> Failure {
    match error {
        Error::Missing(_) => failed(error.to_string()),
        Error::Io(error) => failed(format!("cannot read the journal `{}`: {}", file.display(), words(error))),
        error => failed(format!("cannot read the journal `{}`: {error}", file.display())),
    }
}

fn nobody(message: &str) -> Failure {
    failed(message).help("start one with `weir run POLICY -i INTERFACE --protect`")
}

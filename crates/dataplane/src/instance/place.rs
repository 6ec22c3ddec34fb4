//! Where an instance is: its directory on bpffs, and the lock on it.

use super::holders;
use crate::Error;
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use weir_kernel::pins;

/// How long a command waits for another to finish; a reload of a huge policy takes seconds.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(5);

/// An instance's directory. What stands where is in the module's page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    name: String,
    path: PathBuf,
}

/// The right to change an instance: `flock` on its directory, which the kernel gives back when the process ends.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "closing it unlocks")] File);

impl Place {
    /// Of an instance of that name, whether it runs or not.
    pub(crate) fn of(name: &str) -> Result<Self, Error> {
        let letter = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || name.len() > 32 || !name.chars().all(letter) {
            return Err(Error::BadName { name: name.to_owned() });
        }
        Ok(Self { name: name.to_owned(), path: all()?.join(name) })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.path.join("root")
    }

    pub(crate) fn slots(&self) -> PathBuf {
        self.path.join("slots")
    }

    /// There as soon as the instance is attached to all of its interfaces.
    pub(crate) fn links(&self) -> PathBuf {
        self.path.join("links")
    }

    /// Links that are being pinned; renamed to [`Place::links`] in one step.
    pub(crate) fn new_links(&self) -> PathBuf {
        self.path.join("attaching")
    }

    /// Links that are being detached.
    pub(crate) fn old_links(&self) -> PathBuf {
        self.path.join("detaching")
    }

    pub(crate) fn generation(&self, number: u64) -> PathBuf {
        self.path.join(format!("gen-{number}"))
    }

    /// The numbers of the generations that have directories, sorted.
    pub(crate) fn generations(&self) -> Result<Vec<u64>, Error> {
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::io("list", &self.path, error)),
        };
        let number = |entry: fs::DirEntry| entry.file_name().to_str()?.strip_prefix("gen-")?.parse().ok();
        let mut numbers: Vec<u64> = entries.flatten().filter_map(number).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Whether the instance is attached.
    pub(crate) fn is_running(&self) -> bool {
        self.links().is_dir()
    }

    /// Makes the directory and locks it.
    pub(crate) fn create(&self) -> Result<Lock, Error> {
        loop {
            match fs::create_dir_all(&self.path) {
                // An unload of the last other instance may have taken the parent away in between.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(Error::io("create", &self.path, error)),
                Ok(()) => {}
            }
            if let Some(lock) = self.try_lock()? {
                return Ok(lock);
            }
        }
    }

    /// Locks the directory of an instance that should be there.
    pub(crate) fn lock(&self) -> Result<Lock, Error> {
        self.try_lock()?.ok_or_else(|| self.missing())
    }

    /// Nothing if the directory is not there (any more).
    fn try_lock(&self) -> Result<Option<Lock>, Error> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("open", &self.path, error)),
        };
        let deadline = Instant::now() + PATIENCE;
        while !is_locked(&file) {
            if Instant::now() > deadline {
                return Err(Error::Locked { name: self.name.clone(), seconds: PATIENCE.as_secs() });
            }
            std::thread::sleep(PAUSE);
        }
        // Who held the lock may have removed the directory: then this is the lock of nothing.
        let same = |now: fs::Metadata, mine: fs::Metadata| now.ino() == mine.ino() && now.dev() == mine.dev();
        let still = fs::metadata(&self.path)
            .ok()
            .zip(file.metadata().ok())
            .is_some_and(|(now, mine)| same(now, mine));
        Ok(still.then_some(Lock(file)))
    }

    /// That nothing of this name runs.
    pub(crate) fn missing(&self) -> Error {
        let running = super::list_instances().unwrap_or_default();
        Error::NoInstance { name: self.name.clone(), running }
    }

    pub(crate) fn damaged(&self, what: impl Into<String>) -> Error {
        Error::Damaged { name: self.name.clone(), what: what.into() }
    }

    /// Takes the root program off all interfaces, whatever state the instance is in.
    pub(crate) fn clear_holders(&self) -> Result<(), Error> {
        [self.links(), self.new_links(), self.old_links()].iter().try_for_each(|links| holders::clear(links))
    }

    /// Removes the directory with all pins. What holds the root program goes first: without a policy it lets all
    /// packets pass.
    pub(crate) fn remove(&self) -> Result<(), Error> {
        self.clear_holders()?;
        remove_dir(&self.path)?;
        if let Some(all) = self.path.parent() {
            // Other instances may be in it.
            let _ = fs::remove_dir(all);
        }
        Ok(())
    }
}

/// The lock of a capture on its generation, for as long as its process lives; nothing if another has it.
pub(crate) fn try_lock_dir(path: &Path) -> Result<Option<Lock>, Error> {
    let file = File::open(path).map_err(|error| Error::io("open", path, error))?;
    Ok(is_locked(&file).then_some(Lock(file)))
}

fn is_locked(file: &File) -> bool {
    flock(file, FlockOperation::NonBlockingLockExclusive).is_ok()
}

/// Removes a directory and all below it; it may be gone already.
pub(crate) fn remove_dir(path: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", path, error)),
        _ => Ok(()),
    }
}

/// The directory of all instances.
pub(crate) fn all() -> Result<PathBuf, Error> {
    Ok(pins::ensure_bpffs()?.join("weir"))
}

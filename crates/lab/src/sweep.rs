//! Names that say whose they are, and the removal of what the dead left.
//!
//! A namespace is named `weir-<pid>-<host>`, or `weir-<pid>-<host>.<n>` for the n-th lab of one
//! process. Process numbers are given anew, so each process with a lab also writes down when it
//! started (in clock ticks since boot, `/proc/<pid>/stat`), and is alive only if both agree. The same
//! holds for directories of programs, `<pid>-<n>`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use weir_kernel::netns;

use crate::LabError;
use crate::error::{io, kernel};

const OWNERS: &str = "/run/weir/labs";
const SCRATCH: &str = "/run/weir/programs";
const PREFIX: &str = "weir-";

static LABS: AtomicU32 = AtomicU32::new(0);

/// Removes the namespaces, and with them all links, of processes that are gone; says which.
///
/// # Errors
/// When names cannot be listed or removed, most often for lack of root.
pub fn sweep() -> Result<Vec<String>, LabError> {
    let names = netns::list().map_err(kernel("the list of namespaces"))?;
    let mut swept = Vec::new();
    for name in names {
        if owner(&name).is_none_or(is_alive) {
            continue;
        }
        match netns::delete(&name) {
            Ok(()) => swept.push(name),
            // Somebody else sweeps at the same time.
            Err(error) if error.is_missing() => {}
            Err(error) => return Err(kernel(format!("room: `{name}` is left over"))(error)),
        }
    }
    clear_up_after_the_dead();
    forget_the_dead();
    Ok(swept)
}

/// The number of a new lab of this process, after writing down that the process is alive.
pub(crate) fn register() -> Result<u32, LabError> {
    let pid = process::id();
    fs::create_dir_all(OWNERS).map_err(io(format!("create `{OWNERS}`")))?;
    let path = record(pid);
    if let Some(start) = started(pid) {
        fs::write(&path, start.to_string()).map_err(io(format!("write `{}`", path.display())))?;
    }
    Ok(LABS.fetch_add(1, Ordering::Relaxed))
}

/// Makes an empty directory that is this process's.
pub(crate) fn scratch() -> Result<PathBuf, LabError> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = Path::new(SCRATCH).join(format!("{}-{number}", process::id()));
    // One of a process that is gone may have had the number.
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).map_err(io(format!("create `{}`", path.display())))?;
    Ok(path)
}

/// The namespace of a host.
pub(crate) fn namespace_name(lab: u32, host: &str) -> String {
    let pid = process::id();
    match lab {
        0 => format!("{PREFIX}{pid}-{host}"),
        lab => format!("{PREFIX}{pid}-{host}.{}", lab + 1),
    }
}

fn owner(namespace: &str) -> Option<u32> {
    let (pid, _) = namespace.strip_prefix(PREFIX)?.split_once('-')?;
    pid.parse().ok()
}

fn is_alive(pid: u32) -> bool {
    let recorded = fs::read_to_string(record(pid)).ok().and_then(|text| text.trim().parse().ok());
    match (started(pid), recorded) {
        (None, _) => false,
        (Some(now), Some(then)) => now == then,
        // Without a record there is no proof that it is somebody else: leave it alone.
        (Some(_), None) => true,
    }
}

/// The 22nd field of `/proc/<pid>/stat`; the second, the command, is in parentheses and may hold
/// any character.
fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_command) = stat.rsplit_once(") ")?;
    after_command.split(' ').nth(19)?.parse().ok()
}

fn record(pid: u32) -> PathBuf {
    Path::new(OWNERS).join(pid.to_string())
}

/// What stays is some files in memory until the next boot: failing is no matter.
fn clear_up_after_the_dead() {
    for entry in fs::read_dir(SCRATCH).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name.split_once('-').and_then(|(pid, _)| pid.parse().ok());
        if pid.is_some_and(|pid| !is_alive(pid)) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// A record that stays is a few bytes in memory until the next boot: failing is no matter.
fn forget_the_dead() {
    for entry in fs::read_dir(OWNERS).into_iter().flatten().flatten() {
        let pid = entry.file_name().to_string_lossy().parse::<u32>();
        if pid.is_ok_and(|pid| !is_alive(pid)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_carry_their_owner() {
        assert_eq!(owner(&namespace_name(0, "edge")), Some(process::id()));
        assert_eq!(owner(&namespace_name(3, "a-b")), Some(process::id()));
        for other in ["weir-edge", "edge", "weir-12x-edge", "weir-"] {
            assert_eq!(owner(other), None, "{other}");
        }
    }

    #[test]
    fn a_process_started_before_it_ends() {
        assert!(started(process::id()).is_some());
        assert_eq!(started(u32::MAX), None);
        assert!(!is_alive(u32::MAX));
    }
}

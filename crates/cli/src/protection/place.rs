//! Where what has to do with a protection is.
//!
//! `/run/weir/NAME/attacks.json` is written by the process that protects, and goes with it; `/run/weir/NAME/wishes/` has a file for
//! each wish of a person, which the process takes away. `/var/lib/weir/NAME.redb` is a journal.

use std::fs;
use std::path::{Path, PathBuf};

const RUN: &str = "/run/weir";
const JOURNALS: &str = "/var/lib/weir";

/// What a running policy's commands share.
pub(super) fn directory(name: &str) -> PathBuf {
    Path::new(RUN).join(name)
}

/// What a protection knows at the moment.
pub(super) fn live(name: &str) -> PathBuf {
    directory(name).join("attacks.json")
}

/// The names under which something runs or ran.
pub(crate) fn names() -> Vec<String> {
    let entries = fs::read_dir(RUN).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// A journal by its name.
pub(crate) fn journal(name: &str) -> PathBuf {
    Path::new(JOURNALS).join(format!("{name}.redb"))
}

/// The names of journals.
pub(super) fn journals() -> Vec<String> {
    let entries = fs::read_dir(JOURNALS).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> =
        names.filter_map(|name| Some(name.strip_suffix(".redb")?.to_owned())).collect();
    names.sort();
    names
}

/// What a policy that is only run is called where it should be the same tomorrow: its file, without directory and extension.
pub(crate) fn lasting_name(policy: &Path) -> String {
    match policy.file_stem() {
        Some(stem) if stem != "-" => stem.to_string_lossy().into_owned(),
        _ => "stdin".to_owned(),
    }
}

/// Removes what there is of a policy that ran.
pub(crate) fn forget(name: &str) {
    let _ = fs::remove_dir_all(directory(name));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_is_named_after_the_policy() {
        for (policy, name) in [("edge.weir", "edge"), ("/etc/weir/my.edge.weir", "my.edge"), ("-", "stdin")] {
            assert_eq!(lasting_name(Path::new(policy)), name);
        }
    }
}

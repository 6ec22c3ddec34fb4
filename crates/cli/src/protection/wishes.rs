//! What people want of mitigations: a file each, for the process that protects.

use super::place::directory;
use std::fs;
use std::io;
use std::path::PathBuf;

/// What a person wants of a mitigation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wish {
    Pin(u64),
    Unpin(u64),
    Forbid(u64),
}

/// Leaves a wish for the process that protects a policy.
pub(crate) fn wish(name: &str, wish: Wish) -> io::Result<()> {
    let wishes = directory(name).join("wishes");
    fs::create_dir_all(&wishes)?;
    let word = match wish {
        Wish::Pin(id) => format!("pin-{id}"),
        Wish::Unpin(id) => format!("unpin-{id}"),
        Wish::Forbid(id) => format!("forbid-{id}"),
    };
    fs::write(wishes.join(word), "")
}

/// Takes the wishes away.
pub(super) fn wishes(name: &str) -> Vec<Wish> {
    let Ok(entries) = fs::read_dir(directory(name).join("wishes")) else { return Vec::new() };
    let take = |path: PathBuf| {
        let name = path.file_name()?.to_string_lossy().into_owned();
        fs::remove_file(&path).ok()?;
        let (word, id) = name.split_once('-')?;
        let id = id.parse().ok()?;
        match word {
            "pin" => Some(Wish::Pin(id)),
            "unpin" => Some(Wish::Unpin(id)),
            "forbid" => Some(Wish::Forbid(id)),
            _ => None,
        }
    };
    entries.flatten().filter_map(|entry| take(entry.path())).collect()
}

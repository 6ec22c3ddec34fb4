//! What people want of mitigations: a file each, for the process that protects; and what it answers, likewise.

use super::place::directory;
use super::story::running;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// So long a command waits for an answer: a reload takes some milliseconds, a slow disk some more.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(10);

/// What a person wants of a mitigation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Wish {
    Pin(u64),
    Unpin(u64),
    Forbid(u64),
    /// This text in its place.
    Edit(u64, String),
}

/// What became of an edit.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// Why not, if it is not done.
    pub(crate) refused: Option<String>,
    /// What the compiler thinks of it, if it is.
    pub(crate) warnings: String,
    /// Whether it is in the journal.
    pub(crate) is_kept: bool,
}

/// Leaves a wish for the process that protects a policy.
pub(crate) fn wish(name: &str, wish: &Wish) -> io::Result<()> {
    let (file, text) = match wish {
        Wish::Pin(id) => (format!("pin-{id}"), ""),
        Wish::Unpin(id) => (format!("unpin-{id}"), ""),
        Wish::Forbid(id) => (format!("forbid-{id}"), ""),
        Wish::Edit(id, text) => (format!("edit-{id}-{}", std::process::id()), text.as_str()),
    };
    put(&directory(name).join("wishes").join(file), text)
}

/// Leaves this text in a mitigation's place as a wish, and waits until it is done or refused. Nothing if nobody answers.
pub(crate) fn edit(name: &str, id: u64, text: String) -> io::Result<Option<Answer>> {
    let file = answer_file(name, &std::process::id().to_string());
    // Of a process that had our number.
    let _ = fs::remove_file(&file);
    wish(name, &Wish::Edit(id, text))?;
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if let Ok(answer) = fs::read(&file) {
            let _ = fs::remove_file(&file);
            return Ok(serde_json::from_slice(&answer).ok());
        }
        if running(name).is_none() {
            break;
        }
        std::thread::sleep(LOOK);
    }
    Ok(None)
}

/// A wish, and whom to answer if that is asked for.
pub(super) struct Wished {
    pub(super) wish: Wish,
    pub(super) asker: String,
}

/// Takes the wishes away.
pub(super) fn wishes(name: &str) -> Vec<Wished> {
    let Ok(entries) = fs::read_dir(directory(name).join("wishes")) else { return Vec::new() };
    let take = |path: PathBuf| {
        let name = path.file_name()?.to_string_lossy().into_owned();
        let text = fs::read_to_string(&path);
        fs::remove_file(&path).ok()?;
        let mut words = name.splitn(3, '-');
        let (word, id) = (words.next()?, words.next()?.parse().ok()?);
        let wish = match word {
            "pin" => Wish::Pin(id),
            "unpin" => Wish::Unpin(id),
            "forbid" => Wish::Forbid(id),
            "edit" => Wish::Edit(id, text.ok()?),
            _ => return None,
        };
        Some(Wished { wish, asker: words.next().unwrap_or_default().to_owned() })
    };
    entries.flatten().filter_map(|entry| take(entry.path())).collect()
}

/// Where the one who asked looks for an answer.
pub(super) fn answer_file(name: &str, asker: &str) -> PathBuf {
    directory(name).join("answers").join(asker)
}

/// That nobody waits for it any more, nobody needs to know.
pub(super) fn answer(file: &Path, answer: &Answer) {
    let _ = serde_json::to_string(answer).map(|json| put(file, &json));
}

/// A file, whole or not at all.
fn put(file: &Path, text: &str) -> io::Result<()> {
    let directory = file.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(directory)?;
    // Beside the directory, in which others look for whole ones.
    let beside = directory.with_extension(format!("{}.new", std::process::id()));
    fs::write(&beside, text)?;
    fs::rename(&beside, file)
}

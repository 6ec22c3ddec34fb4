//! What a protection saw and did, as a file that other commands read, and their wishes.
//!
//! `/run/weir/NAME/attacks.json` is written by the process that protects, and goes with it. `/run/weir/NAME/wishes/` has a
//! file for each wish of a person; the process takes them away.

use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use weir_detect::defence::{Event, What};
use weir_detect::life::Mitigation;

/// How often it is written while nothing happens.
const EVERY: Duration = Duration::from_secs(1);
/// So many attacks and mitigations are remembered.
const MOST: usize = 200;
const ROOT: &str = "/run/weir";

/// Attacks and mitigations, the oldest first.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) attacks: Vec<Attack>,
    pub(crate) mitigations: Vec<Told>,
    #[serde(skip)]
    written: Option<Instant>,
    #[serde(skip)]
    changed: bool,
}

/// An attack.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Attack {
    pub(crate) id: u64,
    pub(crate) victim: String,
    pub(crate) packets_per_second: u64,
    pub(crate) bits_per_second: u64,
    pub(crate) sources: u64,
    /// In seconds since 1970.
    pub(crate) began: u64,
    /// Likewise; nothing while it goes on.
    pub(crate) ended: Option<u64>,
}

/// A mitigation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Told {
    pub(crate) id: u64,
    pub(crate) attack: u64,
    pub(crate) name: String,
    pub(crate) cause: String,
    /// `found`, `shadow`, `enforced`, `ended`.
    pub(crate) state: String,
    pub(crate) pinned: bool,
    pub(crate) hits: u64,
    pub(crate) why: Option<String>,
    pub(crate) text: String,
}

/// What a person wants of a mitigation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wish {
    Pin(u64),
    Unpin(u64),
    Forbid(u64),
}

impl Record {
    /// Takes note of events and of what stands.
    pub(super) fn follow<'a>(&mut self, events: &[Event], standing: impl Iterator<Item = &'a Mitigation>) {
        self.changed |= !events.is_empty();
        events.iter().for_each(|event| self.hear(&event.what));
        for one in standing {
            if let Some(told) = self.mitigations.iter_mut().find(|told| told.id == one.id) {
                (told.hits, told.pinned) = (one.hits, one.pinned);
            }
        }
        let forget = self.mitigations.len().saturating_sub(MOST);
        self.mitigations.drain(..forget);
        let forget = self.attacks.len().saturating_sub(MOST);
        self.attacks.drain(..forget);
    }

    fn hear(&mut self, what: &What) {
        let state = |record: &mut Record, id: u64, state: &str| {
            if let Some(told) = record.mitigations.iter_mut().find(|told| told.id == id) {
                told.state = state.to_owned();
            }
        };
        match what {
            What::Attack { alert, victim, packets_per_second, bits_per_second, sources, .. } => {
                let (id, victim) = (*alert, victim.clone());
                let (packets_per_second, bits_per_second, sources) =
                    (*packets_per_second, *bits_per_second, *sources);
                let began =
                    self.attacks.iter().find(|attack| attack.id == id).map_or_else(now, |one| one.began);
                self.attacks.retain(|attack| attack.id != id);
                let (began, ended) = (began, None);
                self.attacks.push(Attack {
                    id,
                    victim,
                    packets_per_second,
                    bits_per_second,
                    sources,
                    began,
                    ended,
                });
            }
            What::AttackEnded { alert, .. } => {
                let attack = self.attacks.iter_mut().find(|attack| attack.id == *alert);
                attack.into_iter().for_each(|attack| attack.ended = Some(now()));
            }
            What::Found { alert, id, name, cause, text, .. } => self.mitigations.push(Told {
                id: *id,
                attack: *alert,
                name: name.clone(),
                cause: cause.clone(),
                state: "found".into(),
                pinned: false,
                hits: 0,
                why: None,
                text: text.clone(),
            }),
            What::Tried(named) => state(self, named.id, "shadow"),
            What::Enforced(named) => state(self, named.id, "enforced"),
            What::Ended { named, why, hits } => {
                state(self, named.id, "ended");
                if let Some(told) = self.mitigations.iter_mut().find(|told| told.id == named.id) {
                    (told.why, told.hits) = (Some(why.clone()), *hits);
                }
            }
            What::Drops(_) | What::NotTried { .. } | What::NothingFits { .. } | What::Refused { .. } => {}
        }
    }

    /// Writes it, if there is something new. That it cannot be written changes nothing for packets.
    pub(super) fn write(&mut self, name: &str) {
        let due = self.written.is_none_or(|written| written.elapsed() >= EVERY);
        if !self.changed && !due {
            return;
        }
        (self.changed, self.written) = (false, Some(Instant::now()));
        let directory = directory(name);
        let beside = directory.join(".attacks.json.new");
        let _ = serde_json::to_vec(self).map_err(io::Error::from).and_then(|json| {
            fs::create_dir_all(&directory)?;
            fs::write(&beside, json)?;
            fs::rename(&beside, directory.join("attacks.json"))
        });
    }
}

/// The record of an instance; nothing where nobody protects it.
pub(crate) fn read(name: &str) -> io::Result<Option<Record>> {
    match fs::read(directory(name).join("attacks.json")) {
        Ok(json) => Ok(Some(serde_json::from_slice(&json)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Leaves a wish for the process that protects an instance.
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

/// Removes what there is of an instance.
pub(crate) fn forget(name: &str) {
    let _ = fs::remove_dir_all(directory(name));
}

/// Removes what killed processes left: names are a prefix and the process.
pub(crate) fn sweep(prefix: &str) {
    for entry in fs::read_dir(ROOT).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let process = name.strip_prefix(prefix).filter(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()));
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            forget(&name);
        }
    }
}

fn directory(name: &str) -> PathBuf {
    Path::new(ROOT).join(name)
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

//! What a generation knows about itself: JSON in a pinned map, since bpffs has no files.
//!
//! The policy's whole source is in a second one, so a capture can compile a variant of what runs even if the
//! files have changed. It may be large, and is read only then.

use super::profile::Profile;
use crate::counters::Counted;
use crate::instance::Policy;
use crate::pools::meta::PoolMeta;
use crate::samples::meta::SampleMeta;
use crate::sets::meta::SetMeta;
use crate::{Error, Hook};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use weir_bpf::target::Target;
use weir_compiler::lower::Slots;
use weir_compiler::{Analysis, Known, Loader};
use weir_kernel::maps::{Map, MapKind, MapSpec, Update};

/// Bytes of one entry of the map. Arrays of large values are refused by older kernels, and one of 4 KiB is a page.
const CHUNK: usize = 4096;

/// Changes with the meaning of the fields: an instance of another version can only be unloaded.
const VERSION: u32 = 6;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Meta {
    pub(crate) version: u32,
    pub(crate) generation: u64,
    /// Seconds since 1970.
    pub(crate) loaded_at: u64,
    pub(crate) setting: Setting,
    /// The policy's name.
    pub(crate) policy: String,
    /// The files that it named.
    pub(crate) files: Vec<String>,
    /// The program's name in the object.
    pub(crate) program: String,
    /// What a policy must compile to so that only tables differ ([`super::build`]).
    pub(crate) shape: u64,
    /// Where in the tables' section those of this policy begin ([`super::live`]).
    pub(crate) space: u64,
    pub(crate) statements: Vec<Counted>,
    pub(crate) counting: Counting,
    pub(crate) sets: Vec<SetMeta>,
    pub(crate) limits: Vec<LimitMeta>,
    pub(crate) pools: Vec<PoolMeta>,
    #[serde(default)]
    pub(crate) samples: Vec<SampleMeta>,
    /// What its program was laid out for.
    #[serde(default)]
    pub(crate) profile: Profile,
    /// Present if this is a variant of another generation that captures.
    pub(crate) capture: Option<CaptureMeta>,
}

/// What stays the same over all generations.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Setting {
    pub(crate) hook: Hook,
    pub(crate) frags: bool,
    /// Index and name.
    pub(crate) interfaces: Vec<(u32, String)>,
    pub(crate) target: Target,
}

/// A policy's text and all the files that it names, in any format: as it is pinned beside a program, and as it travels.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Source {
    /// What the policy is called in diagnostics.
    pub name: String,
    /// The policy.
    pub text: String,
    /// What it names, and what that names.
    pub files: Vec<SourceFile>,
}

/// A file as the loader gave it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SourceFile {
    from: String,
    path: String,
    name: String,
    text: String,
}

/// Where the counters of names are.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Counting {
    pub(crate) slots: Slots,
    /// Packets and bytes to be added (modulo 2^64) to what stands in a name's slot: the slot may have been
    /// another's before.
    pub(crate) bases: BTreeMap<String, (u64, u64)>,
    /// Maps of earlier generations that became too small: what they hold counts on.
    pub(crate) carried: Vec<Carried>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Carried {
    /// The pin's name.
    pub(crate) map: String,
    pub(crate) slots: Slots,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LimitMeta {
    pub(crate) name: String,
    pub(crate) map: String,
    /// Rate, burst, keys and size: a table is kept only if none of them changed.
    pub(crate) declaration: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct CaptureMeta {
    /// The generation that it is a variant of.
    pub(crate) of: u64,
    /// What is captured.
    pub(crate) statements: Vec<String>,
    /// The program's statements by their ids.
    pub(crate) ids: Vec<String>,
}

impl Meta {
    pub(crate) fn version() -> u32 {
        VERSION
    }

    /// Writes it to a new map.
    pub(crate) fn to_map(&self) -> Result<Map, Error> {
        write("meta", self)
    }

    /// Reads it from a pinned map; nothing if it is no meta of this version.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>, Error> {
        let meta: Option<Self> = read(path)?;
        Ok(meta.filter(|meta| meta.version == VERSION))
    }
}

impl Source {
    /// Of a policy, as a loader gives it now; with what there is to say of it.
    pub fn collect(name: &str, text: &str, loader: &dyn Loader) -> (Source, Analysis) {
        let recorder = Recorder::new(loader);
        let analysis = weir_compiler::analyse(name, text, &recorder);
        (Source { name: name.to_owned(), text: text.to_owned(), files: recorder.into_files() }, analysis)
    }

    /// To be loaded.
    pub fn policy(&self) -> Policy<'_> {
        Policy { name: &self.name, text: &self.text, loader: self }
    }

    /// Writes it to a new map.
    pub(crate) fn to_map(&self) -> Result<Map, Error> {
        write("source", self)
    }

    /// Reads it from a pinned map.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>, Error> {
        read(path)
    }

    /// The names of the files, each once.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.files.iter().map(|file| file.name.clone()).collect();
        names.sort();
        names.dedup();
        names
    }
}

/// Writes JSON to a new map: its length in eight bytes, then the text, over as many entries as it takes.
fn write(name: &str, what: &impl Serialize) -> Result<Map, Error> {
    let json = serde_json::to_vec(what).map_err(|error| Error::io("write", name, error.into()))?;
    let mut bytes = (json.len() as u64).to_ne_bytes().to_vec();
    bytes.extend_from_slice(&json);
    let map = Map::create(&MapSpec {
        name: name.into(),
        kind: MapKind::Array,
        key_size: 4,
        value_size: CHUNK as u32,
        max_entries: bytes.len().div_ceil(CHUNK) as u32,
        flags: 0,
    })?;
    bytes.resize(bytes.len().next_multiple_of(CHUNK), 0);
    for (index, chunk) in bytes.chunks(CHUNK).enumerate() {
        map.update(&(index as u32).to_ne_bytes(), chunk, Update::Any)?;
    }
    Ok(map)
}

/// Reads what [`write`] wrote; nothing if it is something else.
fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    let map = Map::open(path)?;
    let mut bytes = Vec::new();
    for index in 0..map.info().max_entries {
        bytes.extend(map.lookup(&index.to_ne_bytes())?.unwrap_or_default());
    }
    if bytes.len() < 8 {
        return Ok(None);
    }
    let length = usize::try_from(crate::counters::word(&bytes)).unwrap_or(usize::MAX);
    let json = bytes.get(8..).and_then(|text| text.get(..length));
    Ok(json.and_then(|json| serde_json::from_slice(json).ok()))
}

/// Keeps what a loader gave.
pub(crate) struct Recorder<'a> {
    loader: &'a dyn Loader,
    files: RefCell<Vec<SourceFile>>,
}

impl<'a> Recorder<'a> {
    pub(crate) fn new(loader: &'a dyn Loader) -> Self {
        Self { loader, files: RefCell::default() }
    }

    pub(crate) fn into_files(self) -> Vec<SourceFile> {
        self.files.into_inner()
    }
}

impl Loader for Recorder<'_> {
    fn load(&self, from: &str, path: &str) -> Result<(String, String), String> {
        let (name, text) = self.loader.load(from, path)?;
        let file =
            SourceFile { from: from.into(), path: path.into(), name: name.clone(), text: text.clone() };
        self.files.borrow_mut().push(file);
        Ok((name, text))
    }

    fn known(&self) -> Option<&Known> {
        self.loader.known()
    }
}

/// Gives the files as they were.
impl Loader for Source {
    fn load(&self, from: &str, path: &str) -> Result<(String, String), String> {
        let found = self.files.iter().find(|file| file.from == from && file.path == path);
        let found = found.ok_or_else(|| format!("`{path}` was not read when the policy was loaded"))?;
        Ok((found.name.clone(), found.text.clone()))
    }
}

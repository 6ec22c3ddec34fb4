//! Maps, typed by bytes: keys and values are slices of the sizes that the map was made with.

mod batch;
mod kind;
mod memory;
mod per_cpu;

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

pub(crate) use kind::{kind_name, kind_of};
pub use memory::{Memory, Windows, wait_for_programs};
pub use per_cpu::possible_cpus;
pub use weir_bpf::map::MapKind;

use crate::KernelError;
use crate::program::Program;
use crate::sys::{self, Command};

/// What a map is made with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapSpec {
    /// At most 15 bytes of `[A-Za-z0-9_.]` survive in the kernel.
    pub name: String,
    /// The structure.
    pub kind: MapKind,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value (of one CPU's value, for per-CPU maps).
    pub value_size: u32,
    /// Entries; for ring buffers bytes, a power of two of pages.
    pub max_entries: u32,
    /// `BPF_F_*` of map creation.
    pub flags: u32,
}

/// What the kernel tells about a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapInfo {
    /// The kernel's id, unique while the machine runs.
    pub id: u32,
    /// The name, cut to 15 bytes by the kernel.
    pub name: String,
    /// The structure, if Weir has a name for it.
    pub kind: Option<MapKind>,
    /// The kernel's number of the structure.
    pub kind_number: u32,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value (of one CPU's value, for per-CPU maps).
    pub value_size: u32,
    /// Entries; for ring buffers bytes.
    pub max_entries: u32,
    /// `BPF_F_*` of map creation.
    pub flags: u32,
}

/// When an update applies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Update {
    /// Create or replace.
    #[default]
    Any,
    /// Only create: an entry that is there is an error (`EEXIST`).
    Create,
    /// Only replace: an entry that is not there is an error (`ENOENT`).
    Replace,
}

/// Keys and values, as a batch call answers them.
pub type Entries = Vec<(Vec<u8>, Vec<u8>)>;

/// An open map. Dropping it closes the descriptor; programs and pins keep the map alive.
#[derive(Debug)]
pub struct Map {
    fd: OwnedFd,
    info: MapInfo,
}

impl Map {
    /// Makes a map.
    pub fn create(spec: &MapSpec) -> Result<Self, KernelError> {
        Self::create_around(spec, 0)
    }

    /// Makes a map whose values are maps of the shape of `inner`.
    pub fn create_of_maps(spec: &MapSpec, inner: &Map) -> Result<Self, KernelError> {
        Self::create_around(spec, inner.raw_fd() as u32)
    }

    /// Makes a map; 0 for `inner_map_fd` where its values are no maps.
    fn create_around(spec: &MapSpec, inner_map_fd: u32) -> Result<Self, KernelError> {
        let mut arguments = sys::MapCreate {
            kind: spec.kind.number(),
            key_size: spec.key_size,
            value_size: spec.value_size,
            max_entries: spec.max_entries,
            flags: spec.flags,
            name: sys::object_name(&spec.name),
            inner_map_fd,
            ..sys::MapCreate::default()
        };
        let fd = sys::bpf_fd(Command::MapCreate, &mut arguments)
            .map_err(|source| KernelError::new("create map", &spec.name, source))?;
        Self::from_fd(fd)
    }

    /// Opens a pinned map.
    pub fn open(path: &Path) -> Result<Self, KernelError> {
        Self::from_fd(sys::open_pin(path)?)
    }

    /// Opens a map by its id.
    pub fn from_id(id: u32) -> Result<Self, KernelError> {
        let fd = sys::open_id(Command::MapByFdId, id)
            .map_err(|source| KernelError::new("open map", format!("with id {id}"), source))?;
        Self::from_fd(fd)
    }

    /// Takes a descriptor that is a map.
    pub fn from_fd(fd: OwnedFd) -> Result<Self, KernelError> {
        let info = sys::info(fd.as_raw_fd(), sys::MapInfo::default())
            .map_err(|source| KernelError::new("inspect map", "behind a descriptor", source))?;
        let info = MapInfo {
            id: info.id,
            name: sys::name_text(&info.name),
            kind: kind_of(info.kind),
            kind_number: info.kind,
            key_size: info.key_size,
            value_size: info.value_size,
            max_entries: info.max_entries,
            flags: info.flags,
        };
        Ok(Self { fd, info })
    }

    /// Another descriptor of the same map.
    pub fn try_clone(&self) -> Result<Self, KernelError> {
        let fd = self.fd.try_clone().map_err(|source| self.error("duplicate map", source))?;
        Ok(Self { fd, info: self.info.clone() })
    }

    /// What the kernel tells about it; it never changes.
    pub fn info(&self) -> &MapInfo {
        &self.info
    }

    /// The value of `key`, or nothing. For per-CPU maps use [`Map::lookup_per_cpu`].
    pub fn lookup(&self, key: &[u8]) -> Result<Option<Vec<u8>>, KernelError> {
        let mut value = vec![0; self.value_room()];
        Ok(self.lookup_into(key, &mut value)?.then_some(value))
    }

    /// Reads the value of `key` into `value`, which must hold it; false if there is none.
    pub fn lookup_into(&self, key: &[u8], value: &mut [u8]) -> Result<bool, KernelError> {
        self.check_key(key);
        assert!(
            value.len() >= self.value_room(),
            "a value of `{}` needs {} bytes",
            self.info.name,
            self.value_room()
        );
        let mut arguments = self.element(Some(key), value.as_mut_ptr() as u64, 0);
        // SAFETY: key and value were just found to be as large as the map's.
        let answer = unsafe { sys::bpf_with_pointers(Command::MapLookup, &mut arguments) };
        self.presence("look up in map", answer)
    }

    /// Sets the value of `key`.
    pub fn update(&self, key: &[u8], value: &[u8], update: Update) -> Result<(), KernelError> {
        self.check_key(key);
        assert_eq!(value.len(), self.value_room(), "a value of `{}`", self.info.name);
        self.update_raw(key, value, update)
    }

    /// Deletes `key`; false if it was not there.
    pub fn delete(&self, key: &[u8]) -> Result<bool, KernelError> {
        self.check_key(key);
        let mut arguments = self.element(Some(key), 0, 0);
        // SAFETY: the key was just found to be as large as the map's.
        let answer = unsafe { sys::bpf_with_pointers(Command::MapDelete, &mut arguments) };
        self.presence("delete from map", answer)
    }

    /// The key after `key` (the first one after `None`), in the map's own order.
    ///
    /// A hash map starts again from its first key if `key` was deleted meanwhile: whoever walks a map that
    /// others change must expect to see a key twice.
    pub fn next_key(&self, key: Option<&[u8]>) -> Result<Option<Vec<u8>>, KernelError> {
        if let Some(key) = key {
            self.check_key(key);
        }
        let mut next = vec![0; self.info.key_size as usize];
        let mut arguments = self.element(key, next.as_mut_ptr() as u64, 0);
        // SAFETY: both keys are as large as the map's.
        let answer = unsafe { sys::bpf_with_pointers(Command::MapNextKey, &mut arguments) };
        let found = self.presence("walk map", answer)?;
        Ok(found.then_some(next))
    }

    /// All keys, in the map's own order; it stops at the first error.
    pub fn keys(&self) -> Keys<'_> {
        Keys { map: self, last: None, left: self.info.max_entries as usize, done: false }
    }

    /// All keys with their values (batched where the kernel can). For per-CPU maps the values of all CPUs one
    /// after the other, each rounded up to eight bytes.
    pub fn entries(&self) -> Result<Entries, KernelError> {
        self.lookup_batch()
    }

    /// Sets the program at `index` of a prog array: 0.9 µs, so swaps of policies go this way.
    pub fn set_program(&self, index: u32, program: &Program) -> Result<(), KernelError> {
        self.update(&index.to_ne_bytes(), &program.raw_fd().to_ne_bytes(), Update::Any)
    }

    /// The id of the program at `index` of a prog array.
    pub fn program_id(&self, index: u32) -> Result<Option<u32>, KernelError> {
        let value = self.lookup(&index.to_ne_bytes())?;
        Ok(value.and_then(|bytes| bytes.try_into().ok()).map(u32::from_ne_bytes))
    }

    /// Empties the slot at `index` of a prog array: tail calls to it fall through. False if it was empty.
    pub fn clear_program(&self, index: u32) -> Result<bool, KernelError> {
        self.delete(&index.to_ne_bytes())
    }

    /// Sets the inner map at `key` of a map of maps: 8–9 ms (the kernel waits for readers).
    pub fn set_inner(&self, key: &[u8], inner: &Map) -> Result<(), KernelError> {
        self.update(key, &inner.raw_fd().to_ne_bytes(), Update::Any)
    }

    /// Forbids user space to write from now on; then the verifier may take values as constants.
    pub fn freeze(&self) -> Result<(), KernelError> {
        let mut arguments = sys::OneFd { fd: self.raw_fd() as u32 };
        sys::bpf(Command::MapFreeze, &mut arguments)
            .map(drop)
            .map_err(|source| self.error("freeze map", source))
    }

    /// Pins it at a path on bpffs; the pin keeps it alive.
    pub fn pin(&self, path: &Path) -> Result<(), KernelError> {
        sys::pin(self.raw_fd(), path)
    }

    pub(crate) fn raw_fd(&self) -> i32 {
        self.fd.as_raw_fd()
    }

    /// Bytes that one look-up fills: for per-CPU maps one rounded value for each possible CPU.
    pub(crate) fn value_room(&self) -> usize {
        let one = self.info.value_size as usize;
        // A kind without a name here may be one of those: better too much room than too little.
        if self.info.kind.is_none_or(MapKind::per_cpu) {
            one.next_multiple_of(8) * possible_cpus()
        } else {
            one
        }
    }

    fn update_raw(&self, key: &[u8], value: &[u8], update: Update) -> Result<(), KernelError> {
        let mut arguments = self.element(Some(key), value.as_ptr() as u64, update.flag());
        // SAFETY: key and value were just found to be as large as the map's.
        let answer = unsafe { sys::bpf_with_pointers(Command::MapUpdate, &mut arguments) };
        answer.map(drop).map_err(|source| self.error("update map", source))
    }

    fn element(&self, key: Option<&[u8]>, value: u64, flags: u64) -> sys::Element {
        let key = key.map_or(0, |key| key.as_ptr() as u64);
        sys::Element { map_fd: self.raw_fd() as u32, pad: 0, key, value, flags }
    }

    fn presence(&self, action: &'static str, answer: io::Result<i32>) -> Result<bool, KernelError> {
        match answer {
            Ok(_) => Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
            Err(error) => Err(self.error(action, error)),
        }
    }

    /// The kernel would read past a short key: that is our bug, not the user's.
    fn check_key(&self, key: &[u8]) {
        assert_eq!(key.len(), self.info.key_size as usize, "a key of `{}`", self.info.name);
    }

    pub(crate) fn error(&self, action: &'static str, source: io::Error) -> KernelError {
        KernelError::new(action, format!("`{}`", self.info.name), source)
    }
}

impl AsFd for Map {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Update {
    fn flag(self) -> u64 {
        match self {
            Self::Any => 0,
            Self::Create => 1,
            Self::Replace => 2,
        }
    }
}

/// The key of an LPM trie: the length in bits, then the address, most significant byte first.
pub fn lpm_key(prefix_len: u32, address: &[u8]) -> Vec<u8> {
    let mut key = prefix_len.to_ne_bytes().to_vec();
    key.extend_from_slice(address);
    key
}

/// Removes a pin; the object lives on while anything else holds it. False if there was none.
pub fn unpin(path: &Path) -> Result<bool, KernelError> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(KernelError::new("remove pin", path.display().to_string(), error)),
    }
}

/// Walks the keys of a map.
#[derive(Debug)]
pub struct Keys<'a> {
    map: &'a Map,
    last: Option<Vec<u8>>,
    /// A map under change may answer keys again: no walk is longer than the map can be full.
    left: usize,
    done: bool,
}

impl Iterator for Keys<'_> {
    type Item = Result<Vec<u8>, KernelError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done || self.left == 0 {
            return None;
        }
        self.left -= 1;
        match self.map.next_key(self.last.as_deref()) {
            Ok(Some(key)) => {
                self.last = Some(key.clone());
                Some(Ok(key))
            }
            Ok(None) => {
                self.done = true;
                None
            }
            Err(error) => {
                self.done = true;
                Some(Err(error))
            }
        }
    }
}

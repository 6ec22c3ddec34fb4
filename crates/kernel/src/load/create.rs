//! The maps of an object: reused or made.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, OwnedFd};

use aya_obj::{EbpfSectionKind, Object};

use super::{Contents, LoadError, MapShape, Reuse};
use crate::KernelError;
use crate::error::ENOTSUPP;
use crate::maps::{Map, MapInfo, MapKind, Update, kind_name, kind_of, possible_cpus};
use crate::sys::{self, Command};

/// `BPF_F_NO_COMMON_LRU`: an LRU list for each CPU, and room rounded up to a multiple of them.
const NO_COMMON_LRU: u32 = 1 << 1;
/// `BPF_F_MMAPABLE`: user space writes into data sections while programs run (Linux 5.5).
const MMAPABLE: u32 = 1 << 10;
/// `BPF_F_RDONLY_PROG`: device maps get it from the kernel itself.
const RDONLY_PROG: u32 = 1 << 7;

type Maps = (BTreeMap<String, Map>, Vec<String>);

pub(super) fn maps(
    object: &mut Object,
    btf: Option<&OwnedFd>,
    (mut reuse, max_entries): (BTreeMap<String, Reuse>, &BTreeMap<String, u32>),
    contents: Contents<'_>,
) -> Result<Maps, LoadError> {
    let (mut maps, mut reused) = (BTreeMap::new(), Vec::new());
    for (name, definition) in &mut object.maps {
        adjust(definition, max_entries.get(name).copied());
        let there = match reuse.remove(name) {
            Some(reuse) => open(reuse)?,
            None => None,
        };
        let map = match there {
            Some(map) => {
                check_shape(name, definition, &map)?;
                reused.push(name.clone());
                map
            }
            None => fresh(name, definition, btf, contents(name))?,
        };
        maps.insert(name.clone(), map);
    }
    reused.sort();
    Ok((maps, reused))
}

/// What loaders fill in: rings are whole pages, a perf event array without a size has a slot for each CPU.
fn adjust(definition: &mut aya_obj::Map, max_entries: Option<u32>) {
    if let Some(max_entries) = max_entries {
        definition.set_max_entries(max_entries);
    }
    match kind_of(definition.map_type()) {
        Some(MapKind::PerfEventArray) if definition.max_entries() == 0 => {
            definition.set_max_entries(possible_cpus() as u32);
        }
        Some(MapKind::RingBuf) => {
            let pages = definition.max_entries().div_ceil(page_size()).next_power_of_two();
            definition.set_max_entries(pages * page_size());
            definition.set_value_size(0);
        }
        _ => {}
    }
}

fn open(reuse: Reuse) -> Result<Option<Map>, LoadError> {
    match reuse {
        Reuse::Map(map) => Ok(Some(map)),
        Reuse::Fd(fd) => Ok(Some(Map::from_fd(fd)?)),
        Reuse::Pin(path) => match Map::open(&path) {
            Ok(map) => Ok(Some(map)),
            Err(error) if error.errno() == libc::ENOENT => Ok(None),
            Err(error) => Err(error.into()),
        },
    }
}

fn check_shape(name: &str, definition: &aya_obj::Map, map: &Map) -> Result<(), LoadError> {
    let wanted = shape(name, definition);
    let found = map.info();
    if fits(found, &wanted) {
        return Ok(());
    }
    Err(LoadError::MapMismatch {
        name: name.to_owned(),
        found: Box::new(MapShape(found.clone())),
        wanted: Box::new(MapShape(wanted)),
    })
}

fn fits(found: &MapInfo, wanted: &MapInfo) -> bool {
    let entries = if wanted.kind.is_some_and(MapKind::per_cpu) && wanted.flags & NO_COMMON_LRU != 0 {
        wanted.max_entries.next_multiple_of(possible_cpus() as u32)
    } else {
        wanted.max_entries
    };
    let ignored = match wanted.kind {
        Some(MapKind::DevMap | MapKind::DevMapHash) => RDONLY_PROG,
        // Data sections get it where the kernel has it.
        Some(MapKind::Array) => MMAPABLE,
        _ => 0,
    };
    found.kind_number == wanted.kind_number
        && found.key_size == wanted.key_size
        && found.value_size == wanted.value_size
        && (found.max_entries == entries || found.max_entries == wanted.max_entries)
        && found.flags & !ignored == wanted.flags & !ignored
}

fn shape(name: &str, definition: &aya_obj::Map) -> MapInfo {
    MapInfo {
        id: 0,
        name: name.to_owned(),
        kind: kind_of(definition.map_type()),
        kind_number: definition.map_type(),
        key_size: definition.key_size(),
        value_size: definition.value_size(),
        max_entries: definition.max_entries(),
        flags: definition.map_flags(),
    }
}

fn fresh(
    name: &str,
    definition: &aya_obj::Map,
    btf: Option<&OwnedFd>,
    contents: Option<&[u8]>,
) -> Result<Map, LoadError> {
    let inner = match definition.inner() {
        Some(inner) => Some(create(&format!("{name}.inner"), &inner, btf, None)?),
        None => None,
    };
    let map = create(name, definition, btf, inner.as_ref())?;
    fill(&map, definition, contents.unwrap_or_else(|| definition.data()))?;
    Ok(map)
}

fn create(
    name: &str,
    definition: &aya_obj::Map,
    btf: Option<&OwnedFd>,
    inner: Option<&Map>,
) -> Result<Map, LoadError> {
    let mut arguments = sys::MapCreate {
        kind: definition.map_type(),
        key_size: definition.key_size(),
        value_size: definition.value_size(),
        max_entries: definition.max_entries(),
        name: sys::object_name(name),
        inner_map_fd: inner.map_or(0, |map| map.raw_fd() as u32),
        map_extra: definition.map_extra(),
        ..sys::MapCreate::default()
    };
    if let (aya_obj::Map::Btf(typed), Some(btf)) = (definition, btf)
        && kind_of(definition.map_type()).is_some_and(MapKind::typed)
    {
        arguments.btf_fd = btf.as_raw_fd() as u32;
        arguments.btf_key_type_id = typed.def.btf_key_type_id;
        arguments.btf_value_type_id = typed.def.btf_value_type_id;
    }
    let mut create = |flags| {
        arguments.flags = flags;
        sys::bpf_fd(Command::MapCreate, &mut arguments)
    };
    let flags = definition.map_flags();
    let made = match definition.section_kind() {
        EbpfSectionKind::Data | EbpfSectionKind::Bss => create(flags | MMAPABLE).or_else(|_| create(flags)),
        _ => create(flags),
    };
    Ok(Map::from_fd(made.map_err(|error| refusal(name, definition, error))?)?)
}

fn refusal(name: &str, definition: &aya_obj::Map, error: std::io::Error) -> LoadError {
    let kind = kind_name(definition.map_type());
    match error.raw_os_error() {
        Some(libc::EPERM) => LoadError::Permission { what: name.to_owned() },
        // EINVAL is also the answer to a bad size, but a known map kind of a sane object has none.
        Some(libc::EOPNOTSUPP | ENOTSUPP) => {
            LoadError::Unsupported { what: format!("maps of kind {kind}, which `{name}` needs") }
        }
        _ => KernelError::new("create map", format!("`{name}` ({})", shape_text(definition)), error).into(),
    }
}

fn shape_text(definition: &aya_obj::Map) -> String {
    MapShape(shape("", definition)).to_string()
}

/// The contents of data sections, which are zeros at first; constants are frozen, so that the verifier reads them.
fn fill(map: &Map, definition: &aya_obj::Map, contents: &[u8]) -> Result<(), LoadError> {
    let kind = definition.section_kind();
    if matches!(kind, EbpfSectionKind::Data | EbpfSectionKind::Rodata)
        && contents.iter().any(|byte| *byte != 0)
    {
        let mut value = Cow::from(contents);
        let size = map.info().value_size as usize;
        if value.len() != size {
            value.to_mut().resize(size, 0);
        }
        map.update(&0u32.to_ne_bytes(), &value, Update::Any)?;
    }
    if kind == EbpfSectionKind::Rodata {
        map.freeze()?;
    }
    Ok(())
}

fn page_size() -> u32 {
    // SAFETY: sysconf takes a number and touches no memory of ours.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as u32 }
}

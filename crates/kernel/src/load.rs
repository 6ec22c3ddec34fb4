//! From the bytes of an ELF object to maps and programs in the kernel.

mod create;
mod object;
mod program;
mod sections;

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use crate::KernelError;
use crate::maps::{Map, MapInfo, kind_name};
use crate::program::Program;
use crate::verifier_log::{Explanation, Statistics};

/// How much the verifier writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Log {
    /// Only when it refuses the program (which costs a second look at it).
    #[default]
    OnRefusal,
    /// Its totals, also for programs that it accepts.
    Statistics,
    /// Every instruction with its state, also for programs that it accepts: megabytes.
    Verbose,
}

/// Where a map that is already there is found.
#[derive(Debug)]
pub enum Reuse {
    /// A pin; if nothing is there the map is made anew (and not pinned: that is the caller's choice).
    Pin(PathBuf),
    /// An open map.
    Map(Map),
    /// A descriptor of a map.
    Fd(OwnedFd),
}

/// How to load.
#[derive(Debug, Default)]
pub struct Options {
    /// Maps that are already there, by their names in the object.
    pub reuse: BTreeMap<String, Reuse>,
    /// Other sizes than the object says, by the maps' names.
    pub max_entries: BTreeMap<String, u32>,
    /// How much the verifier writes.
    pub log: Log,
}

/// A loaded object. Nothing is pinned or attached yet.
#[derive(Debug)]
pub struct Loaded {
    /// Programs by their names.
    pub programs: BTreeMap<String, LoadedProgram>,
    /// Maps by their names, made or reused.
    pub maps: BTreeMap<String, Map>,
    /// The maps that were reused.
    pub reused: Vec<String>,
}

/// A program with what the verifier said about it.
#[derive(Debug)]
pub struct LoadedProgram {
    /// The program.
    pub program: Program,
    /// The verifier's totals, where [`Options::log`] asked for them.
    pub statistics: Option<Statistics>,
    /// The verifier's words, where [`Options::log`] asked for them.
    pub log: String,
}

/// Why an object was not loaded. Nothing of it stays in the kernel.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The bytes are no object that a loader understands.
    #[error("cannot read the object: {reason}")]
    Object {
        /// In the parser's words.
        reason: String,
    },
    /// The verifier refused a program.
    #[error("the kernel refuses program `{program}`: {explanation}")]
    Rejected {
        /// The program's name.
        program: String,
        /// What the log means.
        explanation: Box<Explanation>,
        /// The verifier's whole log.
        log: String,
        /// The error's number.
        errno: i32,
    },
    /// A map with that name is there already, but has another shape.
    #[error("map `{name}` is there already as {found}, but the program needs {wanted}")]
    MapMismatch {
        /// The map's name in the object.
        name: String,
        /// What is there.
        found: Box<MapShape>,
        /// What is needed.
        wanted: Box<MapShape>,
    },
    /// Without the privileges nothing is loaded.
    #[error("no privileges to load `{what}`: run as root, or with CAP_BPF and CAP_NET_ADMIN")]
    Permission {
        /// The map or program.
        what: String,
    },
    /// The kernel does not offer what the object asks for.
    #[error("this kernel has no {what}")]
    Unsupported {
        /// The kind of map or program.
        what: String,
    },
    /// Anything else that the kernel refused.
    #[error(transparent)]
    Kernel(#[from] KernelError),
}

/// The shape of a map: what must agree for a program to use one that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapShape(pub MapInfo);

/// By the name of a data section: what it begins with, if the file does not say.
type Contents<'a> = &'a dyn Fn(&str) -> Option<&'a [u8]>;

/// Loads all maps and programs of an ELF object.
///
/// Programs are those in the sections `xdp`, `xdp.frags`, `tc` (or `classifier`, `tcx/ingress`, `tcx/egress`) and
/// `socket`, each under its function's name.
pub fn load(elf: &[u8], options: Options) -> Result<Loaded, LoadError> {
    load_with(elf, options, &|_| None)
}

/// The same of one that is no file: what its data sections hold is not copied.
pub fn load_object(object: &weir_bpf::object::Object, options: Options) -> Result<Loaded, LoadError> {
    let elf = object.to_elf_without_contents();
    let elf = elf.map_err(|error| LoadError::Object { reason: error.to_string() })?;
    load_with(&elf, options, &|name| {
        object.maps.iter().find(|map| map.name == name).map(|map| map.initial.as_slice())
    })
}

fn load_with(elf: &[u8], options: Options, contents: Contents<'_>) -> Result<Loaded, LoadError> {
    raise_memlock();
    let mut object = object::parse(elf)?;
    let btf = object::load_btf(&mut object)?;
    let Options { reuse, max_entries, log } = options;
    let (maps, reused) = create::maps(&mut object, btf.as_ref(), (reuse, &max_entries), contents)?;
    object::relocate(&mut object, &maps)?;
    let mut programs = BTreeMap::new();
    for (name, program) in &object.programs {
        let loaded = program::load(&object, name, program, btf.as_ref(), log)?;
        programs.insert(name.clone(), loaded);
    }
    Ok(Loaded { programs, maps, reused })
}

impl Loaded {
    /// The program of that name.
    pub fn program(&self, name: &str) -> Option<&Program> {
        self.programs.get(name).map(|loaded| &loaded.program)
    }

    /// The map of that name.
    pub fn map(&self, name: &str) -> Option<&Map> {
        self.maps.get(name)
    }
}

/// Before 5.11 maps counted against the limit of locked memory, which is 64 KiB by default. Newer kernels do
/// not ask, and without CAP_SYS_RESOURCE the limit stays: both are fine.
fn raise_memlock() {
    let infinite = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: reads one live structure.
    unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &infinite) };
}

impl std::fmt::Display for MapShape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let info = &self.0;
        write!(
            f,
            "{} of {} entries, keys of {} and values of {} bytes, flags {:#x}",
            kind_name(info.kind_number),
            info.max_entries,
            info.key_size,
            info.value_size,
            info.flags
        )
    }
}

//! A loaded program.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use crate::KernelError;
use crate::sys::{self, Command};

/// What a program is for (`enum bpf_prog_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProgramKind {
    /// `BPF_PROG_TYPE_SOCKET_FILTER`.
    SocketFilter,
    /// `BPF_PROG_TYPE_SCHED_CLS`: tc, both ways.
    Tc,
    /// `BPF_PROG_TYPE_XDP`.
    Xdp,
    /// Any other, by the kernel's number.
    Other(u32),
}

impl ProgramKind {
    /// The kernel's number.
    pub fn number(self) -> u32 {
        match self {
            Self::SocketFilter => 1,
            Self::Tc => 3,
            Self::Xdp => 6,
            Self::Other(number) => number,
        }
    }

    /// From the kernel's number.
    pub fn from_number(number: u32) -> Self {
        match number {
            1 => Self::SocketFilter,
            3 => Self::Tc,
            6 => Self::Xdp,
            other => Self::Other(other),
        }
    }
}

/// What the kernel tells about a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramInfo {
    /// The kernel's id, unique while the machine runs.
    pub id: u32,
    /// The name, cut to 15 bytes by the kernel.
    pub name: String,
    /// What it is for.
    pub kind: ProgramKind,
    /// A hash of its instructions, as in `bpftool prog`.
    pub tag: u64,
    /// Bytes of machine code; 0 without the JIT.
    pub jited_bytes: u32,
    /// Bytes of instructions after the verifier.
    pub translated_bytes: u32,
    /// Instructions that the verifier processed (5.16 and later, else 0); the wall is 1,000,000.
    pub verified_insns: u32,
    /// Nanoseconds spent in the program while `kernel.bpf_stats_enabled` was on.
    pub run_ns: u64,
    /// Runs while `kernel.bpf_stats_enabled` was on.
    pub runs: u64,
    /// Ids of the maps that it uses.
    pub map_ids: Vec<u32>,
}

/// A loaded program. Dropping it closes the descriptor; links, pins and prog arrays keep the program alive.
#[derive(Debug)]
pub struct Program {
    fd: OwnedFd,
    name: String,
    kind: ProgramKind,
}

impl Program {
    pub(crate) fn new(fd: OwnedFd, name: String, kind: ProgramKind) -> Self {
        Self { fd, name, kind }
    }

    /// The whole name, as the object had it; after `open` and `from_id` the kernel's, which is cut to 15 bytes.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is for.
    pub fn kind(&self) -> ProgramKind {
        self.kind
    }

    /// Opens a pinned program.
    pub fn open(path: &Path) -> Result<Self, KernelError> {
        Self::from_fd(sys::open_pin(path)?)
    }

    /// Opens a program by its id.
    pub fn from_id(id: u32) -> Result<Self, KernelError> {
        let fd = sys::open_id(Command::ProgByFdId, id)
            .map_err(|source| KernelError::new("open program", format!("with id {id}"), source))?;
        Self::from_fd(fd)
    }

    fn from_fd(fd: OwnedFd) -> Result<Self, KernelError> {
        let mut program = Self::new(fd, String::new(), ProgramKind::Other(0));
        let info = program.info()?;
        program.name = info.name;
        program.kind = info.kind;
        Ok(program)
    }

    /// Another descriptor of the same program.
    pub fn try_clone(&self) -> Result<Self, KernelError> {
        let fd = self
            .fd
            .try_clone()
            .map_err(|source| KernelError::new("duplicate program", &self.name, source))?;
        Ok(Self::new(fd, self.name.clone(), self.kind))
    }

    /// What the kernel tells about it.
    pub fn info(&self) -> Result<ProgramInfo, KernelError> {
        // The kernel says how many map ids there are; ask for room for all that a program can use (64, MAX_USED_MAPS).
        let mut map_ids = vec![0u32; 64];
        let wanted = sys::ProgInfo {
            nr_map_ids: map_ids.len() as u32,
            map_ids: map_ids.as_mut_ptr() as u64,
            ..sys::ProgInfo::default()
        };
        let info = sys::info(self.fd.as_raw_fd(), wanted)
            .map_err(|source| KernelError::new("inspect program", &self.name, source))?;
        map_ids.truncate(info.nr_map_ids as usize);
        Ok(ProgramInfo {
            id: info.id,
            name: sys::name_text(&info.name),
            kind: ProgramKind::from_number(info.kind),
            tag: u64::from_be_bytes(info.tag),
            jited_bytes: info.jited_len,
            translated_bytes: info.xlated_len,
            verified_insns: info.verified_insns,
            run_ns: info.run_ns,
            runs: info.runs,
            map_ids,
        })
    }

    /// How many line records it was loaded with.
    pub(crate) fn line_count(&self) -> Result<u32, KernelError> {
        let info = sys::info(self.fd.as_raw_fd(), sys::ProgInfo::default());
        let info = info.map_err(|source| KernelError::new("inspect program", &self.name, source))?;
        Ok(info.nr_line_info)
    }

    /// The kernel's id.
    pub fn id(&self) -> Result<u32, KernelError> {
        Ok(self.info()?.id)
    }

    /// Pins it at a path on bpffs; the pin keeps it alive.
    pub fn pin(&self, path: &Path) -> Result<(), KernelError> {
        sys::pin(self.fd.as_raw_fd(), path)
    }

    pub(crate) fn raw_fd(&self) -> i32 {
        self.fd.as_raw_fd()
    }
}

impl AsFd for Program {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

//! One program through the verifier.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use aya_obj::programs::XdpAttachType;
use aya_obj::{Function, Object, ProgramSection};

use super::{LoadError, LoadedProgram, Log};
use crate::KernelError;
use crate::program::{Program, ProgramKind};
use crate::sys::{self, Command};
use crate::verifier_log;

/// The first room for the log; it grows fourfold while the kernel says ENOSPC.
const SMALL_LOG: usize = 256 * 1024;
/// The kernel takes up to 1 GiB (`UINT_MAX >> 2`); what matters is at the end, and since 6.4 it keeps the end.
const LARGE_LOG: usize = 64 * 1024 * 1024;

/// Attach types of `enum bpf_attach_type`, which XDP programs state.
const ATTACH_XDP: u32 = 37;
const ATTACH_XDP_DEVMAP: u32 = 33;
const ATTACH_XDP_CPUMAP: u32 = 35;

/// Bits of `log_level`.
const LEVEL_PATH: u32 = 1;
const LEVEL_ALL: u32 = 2;
const LEVEL_STATISTICS: u32 = 4;

pub(super) fn load(
    object: &Object,
    name: &str,
    program: &aya_obj::Program,
    btf: Option<&OwnedFd>,
    log: Log,
) -> Result<LoadedProgram, LoadError> {
    let function = &object.functions[&program.function_key()];
    let purpose = Purpose::of(name, &program.section)?;
    let request = Request { name, program, function, btf, purpose };
    let level = match log {
        Log::OnRefusal => 0,
        Log::Statistics => LEVEL_STATISTICS,
        Log::Verbose => LEVEL_PATH | LEVEL_ALL | LEVEL_STATISTICS,
    };
    match request.send(level) {
        (Ok(fd), log) => Ok(LoadedProgram {
            program: Program::new(fd, name.to_owned(), purpose.kind),
            statistics: verifier_log::statistics(&log),
            log,
        }),
        (Err(error), log) => Err(request.refusal(error, log)),
    }
}

/// What the section's name says about a program.
#[derive(Clone, Copy)]
struct Purpose {
    kind: ProgramKind,
    attach_type: u32,
    flags: u32,
}

impl Purpose {
    fn of(name: &str, section: &ProgramSection) -> Result<Self, LoadError> {
        let plain = |kind| Self { kind, attach_type: 0, flags: 0 };
        match section {
            ProgramSection::Xdp { frags, attach_type } => Ok(Self {
                kind: ProgramKind::Xdp,
                attach_type: match attach_type {
                    XdpAttachType::Interface => ATTACH_XDP,
                    XdpAttachType::DevMap => ATTACH_XDP_DEVMAP,
                    XdpAttachType::CpuMap => ATTACH_XDP_CPUMAP,
                },
                flags: if *frags { sys::HAS_FRAGS } else { 0 },
            }),
            // `sections` hides tc's newer names behind that of tracepoints.
            ProgramSection::SchedClassifier | ProgramSection::TracePoint => Ok(plain(ProgramKind::Tc)),
            ProgramSection::SocketFilter => Ok(plain(ProgramKind::SocketFilter)),
            other => Err(LoadError::Object {
                reason: format!("program `{name}` is in a section for {other:?}, which Weir does not load"),
            }),
        }
    }
}

/// How often a program is sent that signals keep the verifier from finishing.
const ATTEMPTS: usize = 10;

struct Request<'a> {
    name: &'a str,
    program: &'a aya_obj::Program,
    function: &'a Function,
    btf: Option<&'a OwnedFd>,
    purpose: Purpose,
}

impl Request<'_> {
    /// Loads with a log of the given level; without one (0) a refused program is sent again for the reason.
    fn send(&self, level: u32) -> (io::Result<OwnedFd>, String) {
        if level != 0 {
            return self.send_with_log(level, |_| true);
        }
        let first = match self.call(0, &mut []) {
            Err(error) if error.raw_os_error() != Some(libc::EPERM) => error,
            answer => return (answer, String::new()),
        };
        // Since 6.4 a log that is too small keeps its end, and there stands the reason: no need for the whole.
        // Beyond a million instructions the way there is as long, says nothing, and takes seconds to write.
        let level = match first.raw_os_error() {
            Some(libc::E2BIG) => LEVEL_STATISTICS,
            _ => LEVEL_PATH | LEVEL_STATISTICS,
        };
        match self.send_with_log(level, |log| !log.contains("\nprocessed ")) {
            (Ok(fd), log) => (Ok(fd), log),
            (Err(_), log) => (Err(first), log),
        }
    }

    /// The log's room grows while the kernel says that it is full and `wants_more`.
    fn send_with_log(&self, level: u32, wants_more: impl Fn(&str) -> bool) -> (io::Result<OwnedFd>, String) {
        let mut room = SMALL_LOG;
        loop {
            let mut log = vec![0u8; room];
            let answer = self.call(level, &mut log);
            let full = answer.as_ref().is_err_and(|error| error.raw_os_error() == Some(libc::ENOSPC));
            let log = sys::name_text(&log);
            if full && room < LARGE_LOG && wants_more(&log) {
                room *= 4;
                continue;
            }
            return (answer, log);
        }
    }

    /// The verifier gives up with EAGAIN when a signal waits for the process (a child that ended, a
    /// window that changed its size): nothing is wrong with the program, so it is sent again.
    fn call(&self, level: u32, log: &mut [u8]) -> io::Result<OwnedFd> {
        let mut answer = self.attempt(level, log);
        for _ in 1..ATTEMPTS {
            if answer.as_ref().err().and_then(io::Error::raw_os_error) != Some(libc::EAGAIN) {
                break;
            }
            answer = self.attempt(level, log);
        }
        answer
    }

    fn attempt(&self, level: u32, log: &mut [u8]) -> io::Result<OwnedFd> {
        let function = self.function;
        let (funcs, lines) = (function.func_info.func_info_bytes(), function.line_info.line_info_bytes());
        let mut arguments = sys::ProgLoad {
            kind: self.purpose.kind.number(),
            insn_count: function.instructions.len() as u32,
            insns: function.instructions.as_ptr() as u64,
            license: self.program.license.as_ptr() as u64,
            log_level: level,
            log_size: log.len() as u32,
            log_buf: if log.is_empty() { 0 } else { log.as_mut_ptr() as u64 },
            flags: self.purpose.flags,
            name: sys::object_name(self.name),
            expected_attach_type: self.purpose.attach_type,
            ..sys::ProgLoad::default()
        };
        if let Some(btf) = self.btf.filter(|_| function.func_info_rec_size > 0) {
            arguments.btf_fd = btf.as_raw_fd() as u32;
            arguments.func_info_size = function.func_info_rec_size as u32;
            arguments.func_info = funcs.as_ptr() as u64;
            arguments.func_info_count = function.func_info.len() as u32;
            if function.line_info_rec_size > 0 {
                arguments.line_info_size = function.line_info_rec_size as u32;
                arguments.line_info = lines.as_ptr() as u64;
                arguments.line_info_count = function.line_info.len() as u32;
            }
        }
        // SAFETY: instructions, license, name, records and log live through the call and are as large as stated.
        unsafe { sys::bpf_fd_with_pointers(Command::ProgLoad, &mut arguments) }
    }

    fn refusal(&self, error: io::Error, log: String) -> LoadError {
        let errno = error.raw_os_error().unwrap_or(0);
        let what = self.name.to_owned();
        if errno == libc::EPERM && log.is_empty() {
            return LoadError::Permission { what };
        }
        if log.trim().is_empty() && errno != libc::E2BIG {
            return KernelError::new("load program", format!("`{what}`"), error).into();
        }
        let mut explanation = verifier_log::explain(&log);
        if log.trim().is_empty() {
            explanation.message = crate::error::words(&error);
        }
        LoadError::Rejected { program: what, explanation: Box::new(explanation), log, errno }
    }
}

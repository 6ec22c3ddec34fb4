//! What can go wrong in a lab: where, and what to do about it.

use std::fmt;
use std::io;
use std::path::PathBuf;

use weir_kernel::KernelError;
use weir_packet::Mac;
use weir_packet::capture::{CaptureError, WriteError};

/// Why a lab, or something in it, could not be made.
#[derive(Debug)]
#[non_exhaustive]
pub enum LabError {
    /// Two hosts have one name.
    DuplicateHost(String),
    /// A host has two interfaces of one name.
    DuplicateInterface {
        /// The host.
        host: String,
        /// The interface.
        interface: String,
    },
    /// Two ends have one Ethernet address.
    DuplicateMac(Mac),
    /// A host that the topology does not have.
    UnknownHost(String),
    /// An interface that the host does not have.
    UnknownInterface {
        /// The host.
        host: String,
        /// The interface.
        interface: String,
    },
    /// A name of a host or interface that the kernel would refuse.
    BadName(String),
    /// An interface without an address of the family that is asked for.
    NoAddress {
        /// The interface.
        interface: String,
        /// `IPv4` or `IPv6`.
        family: &'static str,
    },
    /// The kernel said no.
    Kernel {
        /// What was being made.
        what: String,
        /// Its answer.
        source: KernelError,
    },
    /// A socket or a thread failed.
    Io {
        /// What was being done, and where.
        what: String,
        /// The system's reason.
        source: io::Error,
    },
    /// A capture to replay cannot be read.
    Capture {
        /// The file.
        path: PathBuf,
        /// Why.
        source: CaptureError,
    },
    /// A capture to replay has no frame that can be sent.
    NothingToReplay {
        /// The file.
        path: PathBuf,
        /// How many frames were left out.
        skipped: u64,
    },
    /// A tap cannot write its capture.
    Write(WriteError),
    /// A program failed, or was not over in time.
    Program {
        /// Which one, and where.
        what: String,
        /// How it ended, if it did.
        status: Option<std::process::ExitStatus>,
        /// In its own words.
        said: String,
    },
    /// A thread of the lab panicked.
    Panicked(&'static str),
}

impl fmt::Display for LabError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LabError::DuplicateHost(host) => {
                write!(f, "two hosts are named `{host}`: give one another name")
            }
            LabError::DuplicateInterface { host, interface } => {
                write!(f, "host `{host}` has two interfaces `{interface}`: rename one end")
            }
            LabError::DuplicateMac(mac) => {
                write!(f, "two ends have the address {mac}: leave out one, the lab will choose it")
            }
            LabError::UnknownHost(host) => {
                write!(f, "the topology has no host `{host}`: add it before its links")
            }
            LabError::UnknownInterface { host, interface } => {
                write!(f, "host `{host}` has no interface `{interface}`")
            }
            LabError::BadName(name) => {
                write!(f, "`{name}` is not a name: use 1 to 15 letters, digits, `-`, `_` or `.`")
            }
            LabError::NoAddress { interface, family } => {
                write!(f, "interface `{interface}` has no {family} address")
            }
            LabError::Kernel { what, source } if source.is_permission() => {
                write!(f, "cannot make {what}: {source}; a lab needs root")
            }
            LabError::Kernel { what, source } => write!(f, "cannot make {what}: {source}"),
            LabError::Io { what, source } => write!(f, "cannot {what}: {source}"),
            LabError::Capture { path, source } => {
                write!(f, "cannot replay `{}`: {source}", path.display())
            }
            LabError::NothingToReplay { path, skipped } => write!(
                f,
                "`{}` has no frame that can be sent, {skipped} have no ethernet form or are cut",
                path.display()
            ),
            LabError::Write(source) => write!(f, "the tap stopped: {source}"),
            LabError::Program { what, status: Some(status), said } => {
                write!(f, "{what} ended with {status} and said: {}", said.trim())
            }
            LabError::Program { what, status: None, said } => {
                write!(f, "{what} is not over or has no answer, and said: {}", said.trim())
            }
            LabError::Panicked(what) => write!(f, "the thread of {what} panicked"),
        }
    }
}

impl std::error::Error for LabError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            LabError::Kernel { source, .. } => Some(source),
            LabError::Io { source, .. } => Some(source),
            LabError::Capture { source, .. } => Some(source),
            LabError::Write(source) => Some(source),
            _ => None,
        }
    }
}

/// Says what the kernel was asked for.
pub(crate) fn kernel(what: impl Into<String>) -> impl FnOnce(KernelError) -> LabError {
    move |source| LabError::Kernel { what: what.into(), source }
}

/// Says what a system call was for.
pub(crate) fn io<E: Into<io::Error>>(what: impl Into<String>) -> impl FnOnce(E) -> LabError {
    move |source| LabError::Io { what: what.into(), source: source.into() }
}

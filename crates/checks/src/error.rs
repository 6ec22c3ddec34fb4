//! What can be wrong with a checker or a target, and what to do about it.

use std::error;
use std::fmt;
use std::io;

use weir_pool::pool::Endpoint;

/// Why there is no checker, or why a target cannot be checked.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A checker without slots makes no probes.
    NoSlots,
    /// The system has no room for a thread or its descriptors.
    Start(io::Error),
    /// The thread has ended.
    Stopped,
    /// Neither the check nor the backend nor the protocol says which port is asked.
    NoPort {
        /// Of which backend.
        endpoint: Endpoint,
        /// What it is asked, as policies say it.
        probe: &'static str,
    },
    /// An HTTP path that no request can have.
    Path(String),
    /// A `Host` that no request can have.
    Host(String),
    /// A name that no DNS question can have.
    Name(String),
    /// A command without a program.
    NoCommand,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSlots => {
                write!(f, "no probes can be made with 0 slots: use 1 or more")
            }
            Self::Start(source) => write!(f, "cannot start the thread for health checks: {source}"),
            Self::Stopped => write!(f, "the thread for health checks has ended: start another one"),
            Self::NoPort { endpoint, probe } => {
                write!(
                    f,
                    "the `{probe}` check of `{endpoint}` has no port: give one to the check or the backend"
                )
            }
            Self::Path(path) => write!(
                f,
                "`{path}` is no path of HTTP: begin it with `/`, and write spaces and the like as `%20`"
            ),
            Self::Host(host) => {
                write!(f, "`{host}` is no host of HTTP: use a name or an address, and a port if need be")
            }
            Self::Name(name) => write!(
                f,
                "`{name}` is no name of DNS: use labels of 1 to 63 octets between dots, 253 at most in all"
            ),
            Self::NoCommand => write!(f, "an `exec` check has no command: give it a program"),
        }
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Start(source) => Some(source),
            _ => None,
        }
    }
}

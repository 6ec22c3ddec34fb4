//! Whose fault it is that a probe did not go well.

use std::io::{self, ErrorKind};

use nix::errno::Errno;
use weir_pool::health::Outcome;

/// Why a probe did not go well.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// The backend's, or that of the way there: traffic would fare no better.
    Theirs(String),
    /// This machine's, so that nothing is known.
    Ours(String),
}

impl Fault {
    pub(crate) fn theirs(what: &str) -> Fault {
        Fault::Theirs(what.to_owned())
    }

    /// What a socket says. What is not known to come from elsewhere is ours: a backend is not blamed on a guess.
    pub(crate) fn of(error: &io::Error) -> Fault {
        match error.kind() {
            ErrorKind::ConnectionRefused => Fault::theirs("connection refused"),
            ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => {
                Fault::theirs("connection reset")
            }
            ErrorKind::UnexpectedEof => Fault::theirs("connection closed"),
            ErrorKind::TimedOut => Fault::theirs("connection timed out"),
            ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable | ErrorKind::NetworkDown => {
                Fault::theirs("no route")
            }
            // Only TLS says this; the kernel has no such error.
            ErrorKind::InvalidData => Fault::Theirs(format!("TLS: {error}")),
            _ => match error.raw_os_error() {
                Some(number) => Fault::numbered(Errno::from_raw(number)),
                None => Fault::Ours(words(error)),
            },
        }
    }

    /// Those that the standard library has no names for.
    fn numbered(error: Errno) -> Fault {
        match error {
            // The first one is a route that prohibits, or a router's ICMPv6 message that it does.
            Errno::EACCES | Errno::EHOSTDOWN => Fault::theirs("no route"),
            // The host's ICMP message that it does not know the transport protocol.
            Errno::ENOPROTOOPT => Fault::theirs("protocol unreachable"),
            error => Fault::Ours(error.desc().to_lowercase()),
        }
    }
}

/// The system's words for an error, without its number.
pub(crate) fn words(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => Errno::from_raw(number).desc().to_lowercase(),
        None => error.to_string(),
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Fault {
        Fault::of(&error)
    }
}

/// What came of a probe that was over in time.
pub(crate) fn outcome(answer: Result<(), Fault>) -> Outcome {
    match answer {
        Ok(()) => Outcome::Ok,
        Err(Fault::Theirs(reason)) => Outcome::Failed(reason),
        Err(Fault::Ours(why)) => Outcome::NotMade(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(error: Errno) -> Outcome {
        outcome(Err(io::Error::from_raw_os_error(error as i32).into()))
    }

    #[test]
    fn what_traffic_would_meet_too_is_the_backends() {
        for (error, reason) in [
            (Errno::ECONNREFUSED, "connection refused"),
            (Errno::ECONNRESET, "connection reset"),
            (Errno::EPIPE, "connection reset"),
            (Errno::ETIMEDOUT, "connection timed out"),
            (Errno::ENETUNREACH, "no route"),
            (Errno::EHOSTUNREACH, "no route"),
            (Errno::ENETDOWN, "no route"),
            (Errno::EHOSTDOWN, "no route"),
            (Errno::EACCES, "no route"),
            (Errno::ENOPROTOOPT, "protocol unreachable"),
        ] {
            assert_eq!(numbered(error), Outcome::Failed(reason.to_owned()), "{error}");
        }
    }

    #[test]
    fn what_this_machine_lacks_is_ours() {
        use Errno::{
            EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, EAGAIN, EINVAL, EMFILE, ENFILE, ENOBUFS, ENOENT, ENOMEM,
            EPERM,
        };
        for error in [
            EMFILE,
            ENFILE,
            ENOMEM,
            ENOBUFS,
            EAGAIN,
            EADDRNOTAVAIL,
            EADDRINUSE,
            EAFNOSUPPORT,
            EPERM,
            EINVAL,
            ENOENT,
        ] {
            assert!(matches!(numbered(error), Outcome::NotMade(_)), "{error}");
        }
    }
}

//! What is wrong with a datagram, and what does not fit into one.

use std::fmt;

/// Why a datagram, or the rest of it, cannot be read. Offsets are bytes from the datagram's first one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Malformed {
    /// It is of another version of sFlow, or none at all.
    Version {
        /// The first word.
        version: u32,
    },
    /// The agent's address is neither IPv4 nor IPv6.
    AddressType {
        /// What it says to be.
        kind: u32,
        /// Where it says so.
        offset: usize,
    },
    /// Something is longer than what holds it: a datagram that was cut, or a length or count that lies.
    Short {
        /// What does not fit.
        what: &'static str,
        /// Where it begins.
        offset: usize,
        /// Its bytes.
        needs: u64,
        /// The bytes that are there.
        left: usize,
    },
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Malformed::Version { version } => write!(f, "not sFlow version 5, but {version}"),
            Malformed::AddressType { kind, offset } => {
                write!(f, "byte {offset}: the agent's address is of unknown type {kind}")
            }
            Malformed::Short { what, offset, needs, left } => {
                write!(f, "byte {offset}: {what} needs {needs} bytes, and there are {left}")
            }
        }
    }
}

impl std::error::Error for Malformed {}

/// Why a sample is not encoded. The datagram that is being filled stays as it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// It does not fit into a datagram that holds nothing else.
    TooLong {
        /// Bytes of a datagram with this sample alone.
        len: usize,
        /// Bytes that datagrams may have.
        max: usize,
    },
    /// A number has no place in the compact form.
    Compact {
        /// What it is.
        what: &'static str,
        /// The number.
        number: u32,
    },
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::TooLong { len, max } => {
                write!(f, "a datagram with this sample alone has {len} bytes, more than {max}")
            }
            Refused::Compact { what, number } => {
                write!(f, "the compact form of samples has no room for {what} {number}")
            }
        }
    }
}

impl std::error::Error for Refused {}

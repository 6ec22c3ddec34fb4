//! What can be wrong with a capture, with the frame and the byte of the file where it is.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::{LinkType, MAX_FRAME};

/// Why a capture could not be read, or not further.
#[derive(Debug)]
#[non_exhaustive]
pub enum CaptureError {
    /// The file could not be opened.
    Open {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Reading failed.
    Read {
        /// Byte offset in the file.
        offset: u64,
        /// The system's reason.
        source: io::Error,
    },
    /// The first bytes are those of no known capture format.
    NotACapture {
        /// The first four bytes.
        magic: [u8; 4],
    },
    /// A known kind of file that is not read.
    Unsupported {
        /// What it is.
        what: &'static str,
    },
    /// The file ends inside of a header or record.
    Truncated {
        /// The frame that is missing or incomplete; 0 in the file's header.
        frame: u64,
        /// Where the cut record starts, in bytes from the start of the file.
        offset: u64,
        /// What should be there.
        what: &'static str,
        /// How many bytes of it should be there.
        needed: u64,
        /// How many bytes of it are there.
        found: u64,
    },
    /// A record claims more bytes than any frame has.
    TooLong {
        /// The frame.
        frame: u64,
        /// Where the record starts.
        offset: u64,
        /// What claims it.
        what: &'static str,
        /// The claimed length.
        claimed: u32,
        /// The limit.
        limit: u32,
    },
    /// The lengths or references of a block contradict each other.
    Malformed {
        /// The frame that it is, or that would have come next.
        frame: u64,
        /// Where the block starts.
        offset: u64,
        /// What contradicts what.
        what: &'static str,
    },
}

impl fmt::Display for CaptureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CaptureError::Open { path, source } => {
                write!(f, "cannot open capture `{}`: {source}", path.display())
            }
            CaptureError::Read { offset, source } => {
                write!(f, "cannot read the capture at byte {offset}: {source}")
            }
            CaptureError::NotACapture { magic: [a, b, c, d] } => {
                write!(f, "neither pcap nor pcapng: the file starts with `{a:02x} {b:02x} {c:02x} {d:02x}`")
            }
            CaptureError::Unsupported { what } => {
                write!(f, "{what} is not read: convert it with `editcap -F pcapng IN OUT`")
            }
            CaptureError::Truncated { frame: 0, offset, what, needed, found } => {
                write!(f, "the file ends in {what} at byte {offset}: {found} of {needed} bytes are there")
            }
            CaptureError::Truncated { frame, offset, what, needed, found } => write!(
                f,
                "the file ends in {what} of frame {frame} at byte {offset}: {found} of {needed} bytes are there"
            ),
            CaptureError::TooLong { frame, offset, what, claimed, limit } => write!(
                f,
                "{what} of frame {frame} at byte {offset} claims {claimed} bytes, the limit is {limit}"
            ),
            CaptureError::Malformed { frame, offset, what } => {
                write!(f, "{what}, near frame {frame} at byte {offset}")
            }
        }
    }
}

impl std::error::Error for CaptureError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            CaptureError::Open { source, .. } | CaptureError::Read { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// Why a frame has no Ethernet form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotEthernet {
    /// The link type carries no Ethernet payload, or none that is known here.
    Link(LinkType),
    /// The frame is shorter than its link header.
    Short {
        /// The link type.
        link: LinkType,
        /// Bytes that are there.
        found: usize,
        /// Bytes that the header needs.
        needed: usize,
    },
    /// A raw IP packet whose version is neither 4 nor 6.
    IpVersion(u8),
    /// A loopback header with an address family that is not IP.
    Family(u32),
    /// A cooked capture of something without an EtherType (802.3, LLC, CAN …).
    Protocol(u16),
}

impl fmt::Display for NotEthernet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotEthernet::Link(link) => write!(f, "no ethernet form for link type {link}"),
            NotEthernet::Short { link, found, needed } => {
                write!(f, "the header of {link} needs {needed} bytes, the frame has {found}")
            }
            NotEthernet::IpVersion(version) => {
                write!(f, "a raw ip packet has version 4 or 6, this one {version}")
            }
            NotEthernet::Family(family) => {
                write!(f, "the loopback header names address family {family}, which is not ip")
            }
            NotEthernet::Protocol(protocol) => {
                write!(f, "cooked protocol 0x{protocol:04x} is not an ethertype")
            }
        }
    }
}

impl std::error::Error for NotEthernet {}

/// Why a capture could not be written.
#[derive(Debug)]
#[non_exhaustive]
pub enum WriteError {
    /// Writing failed.
    Io(io::Error),
    /// A pcap file has one link type and the frame another.
    LinkType {
        /// That of the file.
        file: LinkType,
        /// That of the frame.
        frame: LinkType,
    },
    /// An option of pcapng holds at most 65,535 bytes.
    OptionTooLong {
        /// Which one.
        option: &'static str,
        /// Its length.
        len: usize,
    },
    /// Longer than any reader accepts.
    FrameTooLong(usize),
    /// The seconds of a pcap file have 32 bits.
    Timestamp(u64),
    /// A pcapng interface has 16 bits for its link type.
    Link(LinkType),
    /// An interface that this file does not have.
    NoInterface(u32),
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WriteError::Io(source) => write!(f, "cannot write the capture: {source}"),
            WriteError::LinkType { file, frame } => {
                write!(f, "the file holds {file} and the frame is {frame}: write pcapng, or a file for each")
            }
            WriteError::OptionTooLong { option, len } => {
                write!(f, "{option} has {len} bytes, at most 65535 fit")
            }
            WriteError::FrameTooLong(len) => {
                write!(f, "a frame of {len} bytes, at most {MAX_FRAME} fit")
            }
            WriteError::Timestamp(timestamp) => {
                write!(f, "time {timestamp} ns does not fit pcap: write pcapng")
            }
            WriteError::Link(link) => write!(f, "link type {link} does not fit 16 bits"),
            WriteError::NoInterface(interface) => {
                write!(f, "the file has no interface {interface}: it belongs to another writer")
            }
        }
    }
}

impl std::error::Error for WriteError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            WriteError::Io(source) => Some(source),
            _ => None,
        }
    }
}

impl From<io::Error> for WriteError {
    fn from(source: io::Error) -> WriteError {
        WriteError::Io(source)
    }
}

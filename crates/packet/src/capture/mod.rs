//! Capture files: pcap (micro- and nanoseconds, both byte orders) and pcapng.
//!
//! Which of the two a file is, is decided by its first four bytes, never by its name. The formats
//! are read here and not by a library. `pcap-file` 2.0 stays on a malformed frame for ever (its
//! issue 48; 3.0 is a release candidate). `pcap-parser` 0.17 reads options of big-endian sections
//! as little-endian, knows no obsolete packet block, and returns the padding of a cut simple packet
//! as data. Neither says at which byte of the file it stopped, and bounding each allocation needs
//! framing of one's own anyway.
//!
//! * pcap: draft-ietf-opsawg-pcap;
//! * pcapng: draft-ietf-opsawg-pcapng.

mod bytes;
mod error;
mod ethernet;
mod link;
mod pcap;
mod pcapng;
mod write;

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use std::sync::Arc;

pub use error::{CaptureError, NotEthernet, WriteError};
pub use link::LinkType;
pub use write::{InterfaceId, PcapWriter, PcapngWriter, Resolution};

use bytes::Source;

/// No frame may claim more bytes than this; Wireshark and libpcap draw the same line.
pub const MAX_FRAME: u32 = 256 * 1024;

/// One frame of a capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Position in the file, from 1 on, as Wireshark counts.
    pub number: u64,
    /// Nanoseconds since 1970-01-01 00:00 UTC; 0 where the file has none (simple packet blocks).
    pub timestamp_ns: u64,
    /// What the first byte of `data` is the start of.
    pub link: LinkType,
    /// The bytes that were captured.
    pub data: Vec<u8>,
    /// How long the frame was on the wire.
    pub original_len: u32,
    /// The name of the interface it was captured on, if the file says it.
    pub interface: Option<Arc<str>>,
    /// The first comment of the frame (pcapng only).
    pub comment: Option<String>,
}

impl Frame {
    /// A whole Ethernet frame without number, interface and comment.
    pub fn ethernet(timestamp_ns: u64, data: Vec<u8>) -> Frame {
        let original_len = u32::try_from(data.len()).unwrap_or(u32::MAX);
        Frame {
            number: 0,
            timestamp_ns,
            link: LinkType::Ethernet,
            data,
            original_len,
            interface: None,
            comment: None,
        }
    }

    /// Whether the capture kept less than was on the wire.
    pub fn is_cut(&self) -> bool {
        (self.data.len() as u64) < u64::from(self.original_len)
    }

    /// The frame as Ethernet: as it is, or with a synthesised header in front of an IP packet.
    ///
    /// The synthesised addresses are zero, but for the sender's address of Linux cooked captures.
    ///
    /// # Errors
    /// [`NotEthernet`] says why this link type or this frame has no such form.
    pub fn to_ethernet(&self) -> Result<Cow<'_, [u8]>, NotEthernet> {
        ethernet::to_ethernet(self.link, &self.data)
    }
}

/// The door to capture files.
#[derive(Debug, Clone, Copy)]
pub struct Capture;

impl Capture {
    /// Opens a file and reads as far as its first header.
    ///
    /// # Errors
    /// When the file cannot be opened or does not start as a capture.
    pub fn open(path: impl AsRef<Path>) -> Result<Reader, CaptureError> {
        let path = path.as_ref();
        let file =
            File::open(path).map_err(|source| CaptureError::Open { path: path.to_path_buf(), source })?;
        Capture::read(BufReader::with_capacity(1 << 16, file))
    }

    /// Reads a capture from any stream: standard input, a pipe, bytes in memory.
    ///
    /// # Errors
    /// When the stream does not start as a capture.
    pub fn read(stream: impl Read + Send + 'static) -> Result<Reader, CaptureError> {
        let mut source = Source::new(Box::new(stream));
        let magic: [u8; 4] = source.array("the magic number", 0)?;
        let format = if magic == pcapng::MAGIC {
            Format::Pcapng(pcapng::Sections::start(&mut source)?)
        } else {
            Format::Pcap(pcap::Header::read(magic, &mut source)?)
        };
        Ok(Reader { source, format, read: 0, state: State::Reading })
    }
}

/// The frames of one capture, in the order of the file.
///
/// The first error ends the iteration: what follows a broken record cannot be trusted.
#[derive(Debug)]
pub struct Reader {
    source: Source,
    format: Format,
    read: u64,
    state: State,
}

#[derive(Debug)]
enum Format {
    Pcap(pcap::Header),
    Pcapng(pcapng::Sections),
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Reading,
    Ended,
}

impl Iterator for Reader {
    type Item = Result<Frame, CaptureError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.state == State::Ended {
            return None;
        }
        let number = self.read + 1;
        let frame = match &mut self.format {
            Format::Pcap(header) => header.frame(&mut self.source, number),
            Format::Pcapng(sections) => sections.frame(&mut self.source, number),
        };
        match frame {
            Ok(Some(_)) => self.read = number,
            Ok(None) | Err(_) => self.state = State::Ended,
        }
        frame.transpose()
    }
}

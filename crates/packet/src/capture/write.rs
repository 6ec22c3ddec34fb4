//! Writing captures: pcapng with names, nanoseconds and comments; pcap for older tools.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use super::{Frame, LinkType, MAX_FRAME, WriteError};

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const BYTE_ORDER: u32 = 0x1a2b_3c4d;
const OPT_COMMENT: u16 = 1;
const IF_NAME: u16 = 2;
const IF_TSRESOL: u16 = 9;

/// An interface of one [`PcapngWriter`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InterfaceId(u32);

/// Writes pcapng, little-endian, with time stamps in nanoseconds.
#[derive(Debug)]
pub struct PcapngWriter<W: Write> {
    out: W,
    links: Vec<LinkType>,
}

impl PcapngWriter<BufWriter<File>> {
    /// Creates a file, or empties the one that is there.
    ///
    /// # Errors
    /// When the file cannot be created or written.
    pub fn create(path: impl AsRef<Path>) -> Result<Self, WriteError> {
        PcapngWriter::new(BufWriter::new(File::create(path)?))
    }
}

impl<W: Write> PcapngWriter<W> {
    /// Starts a section.
    ///
    /// # Errors
    /// When writing fails.
    pub fn new(mut out: W) -> Result<Self, WriteError> {
        let mut body = Vec::with_capacity(16);
        body.extend_from_slice(&BYTE_ORDER.to_le_bytes());
        body.extend_from_slice(&1_u16.to_le_bytes());
        body.extend_from_slice(&0_u16.to_le_bytes());
        // The length of the section is not known: all ones.
        body.extend_from_slice(&u64::MAX.to_le_bytes());
        block(&mut out, SECTION_HEADER, &body)?;
        Ok(PcapngWriter { out, links: Vec::new() })
    }

    /// Describes an interface; frames then refer to it.
    ///
    /// # Errors
    /// When writing fails, or the name or link type does not fit.
    pub fn interface(&mut self, name: &str, link: LinkType) -> Result<InterfaceId, WriteError> {
        let number = u16::try_from(link.number()).map_err(|_| WriteError::Link(link))?;
        let mut body = Vec::with_capacity(32 + name.len());
        body.extend_from_slice(&number.to_le_bytes());
        body.extend_from_slice(&[0; 2]);
        // No limit on the captured length: MAX_FRAME, which readers take as "all of it".
        body.extend_from_slice(&MAX_FRAME.to_le_bytes());
        if !name.is_empty() {
            option(&mut body, IF_NAME, "the interface name", name.as_bytes())?;
        }
        option(&mut body, IF_TSRESOL, "the resolution", &[9])?;
        end_of_options(&mut body);
        block(&mut self.out, 1, &body)?;
        self.links.push(link);
        Ok(InterfaceId((self.links.len() - 1) as u32))
    }

    /// Writes a frame with its time, lengths and comment; its number and interface name are not used.
    ///
    /// # Errors
    /// When writing fails, the interface has another link type, or the frame does not fit.
    pub fn frame(&mut self, interface: InterfaceId, frame: &Frame) -> Result<(), WriteError> {
        let InterfaceId(index) = interface;
        let link = *self.links.get(index as usize).ok_or(WriteError::NoInterface(index))?;
        same_link(link, frame.link)?;
        let captured = captured(frame)?;
        let mut body = Vec::with_capacity(32 + frame.data.len());
        for word in [
            index,
            (frame.timestamp_ns >> 32) as u32,
            frame.timestamp_ns as u32,
            captured,
            frame.original_len,
        ] {
            body.extend_from_slice(&word.to_le_bytes());
        }
        padded(&mut body, &frame.data);
        if let Some(comment) = &frame.comment {
            option(&mut body, OPT_COMMENT, "the comment", comment.as_bytes())?;
            end_of_options(&mut body);
        }
        block(&mut self.out, 6, &body)
    }

    /// Flushes and gives the stream back.
    ///
    /// # Errors
    /// When writing the rest fails.
    pub fn finish(mut self) -> Result<W, WriteError> {
        self.out.flush()?;
        Ok(self.out)
    }
}

/// The unit of the time stamps of a pcap file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// What every tool reads.
    Micro,
    /// What loses nothing.
    Nano,
}

/// Writes pcap, little-endian, for one link type.
#[derive(Debug)]
pub struct PcapWriter<W: Write> {
    out: W,
    link: LinkType,
    resolution: Resolution,
}

impl PcapWriter<BufWriter<File>> {
    /// Creates a file, or empties the one that is there.
    ///
    /// # Errors
    /// When the file cannot be created or written.
    pub fn create(
        path: impl AsRef<Path>,
        link: LinkType,
        resolution: Resolution,
    ) -> Result<Self, WriteError> {
        PcapWriter::new(BufWriter::new(File::create(path)?), link, resolution)
    }
}

impl<W: Write> PcapWriter<W> {
    /// Writes the header of the file.
    ///
    /// # Errors
    /// When writing fails.
    pub fn new(mut out: W, link: LinkType, resolution: Resolution) -> Result<Self, WriteError> {
        let magic: u32 = match resolution {
            Resolution::Micro => 0xa1b2_c3d4,
            Resolution::Nano => 0xa1b2_3c4d,
        };
        out.write_all(&magic.to_le_bytes())?;
        out.write_all(&2_u16.to_le_bytes())?;
        out.write_all(&4_u16.to_le_bytes())?;
        out.write_all(&[0; 8])?;
        out.write_all(&MAX_FRAME.to_le_bytes())?;
        out.write_all(&link.number().to_le_bytes())?;
        Ok(PcapWriter { out, link, resolution })
    }

    /// Writes a frame; pcap has no place for names and comments.
    ///
    /// # Errors
    /// When writing fails, the frame has another link type, or it does not fit.
    pub fn frame(&mut self, frame: &Frame) -> Result<(), WriteError> {
        same_link(self.link, frame.link)?;
        let captured = captured(frame)?;
        let seconds = u32::try_from(frame.timestamp_ns / 1_000_000_000)
            .map_err(|_| WriteError::Timestamp(frame.timestamp_ns))?;
        let fraction = match self.resolution {
            Resolution::Micro => frame.timestamp_ns % 1_000_000_000 / 1000,
            Resolution::Nano => frame.timestamp_ns % 1_000_000_000,
        };
        for word in [seconds, fraction as u32, captured, frame.original_len] {
            self.out.write_all(&word.to_le_bytes())?;
        }
        self.out.write_all(&frame.data)?;
        Ok(())
    }

    /// Flushes and gives the stream back.
    ///
    /// # Errors
    /// When writing the rest fails.
    pub fn finish(mut self) -> Result<W, WriteError> {
        self.out.flush()?;
        Ok(self.out)
    }
}

fn same_link(file: LinkType, frame: LinkType) -> Result<(), WriteError> {
    if file == frame {
        return Ok(());
    }
    Err(WriteError::LinkType { file, frame })
}

fn captured(frame: &Frame) -> Result<u32, WriteError> {
    u32::try_from(frame.data.len())
        .ok()
        .filter(|len| *len <= MAX_FRAME)
        .ok_or(WriteError::FrameTooLong(frame.data.len()))
}

/// type, length, body, length; the body is a multiple of four already.
fn block(out: &mut impl Write, kind: u32, body: &[u8]) -> Result<(), WriteError> {
    let length = (body.len() as u32 + 12).to_le_bytes();
    out.write_all(&kind.to_le_bytes())?;
    out.write_all(&length)?;
    out.write_all(body)?;
    out.write_all(&length)?;
    Ok(())
}

fn option(body: &mut Vec<u8>, code: u16, name: &'static str, value: &[u8]) -> Result<(), WriteError> {
    let length = u16::try_from(value.len())
        .map_err(|_| WriteError::OptionTooLong { option: name, len: value.len() })?;
    body.extend_from_slice(&code.to_le_bytes());
    body.extend_from_slice(&length.to_le_bytes());
    padded(body, value);
    Ok(())
}

fn end_of_options(body: &mut Vec<u8>) {
    body.extend_from_slice(&[0; 4]);
}

fn padded(body: &mut Vec<u8>, bytes: &[u8]) {
    body.extend_from_slice(bytes);
    let padding = (4 - bytes.len() % 4) % 4;
    body.resize(body.len() + padding, 0);
}

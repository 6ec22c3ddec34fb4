//! A stream that knows its offset and never allocates by a length that the file claims.

use std::fmt;
use std::io::{self, Read};

use super::CaptureError;

pub(super) struct Source {
    stream: Box<dyn Read + Send>,
    offset: u64,
}

/// What a read is for: goes into the error if the file ends there.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) frame: u64,
    pub(super) start: u64,
    pub(super) what: &'static str,
}

impl Source {
    pub(super) fn new(stream: Box<dyn Read + Send>) -> Source {
        Source { stream, offset: 0 }
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Exactly `N` bytes of a header.
    pub(super) fn array<const N: usize>(
        &mut self,
        what: &'static str,
        frame: u64,
    ) -> Result<[u8; N], CaptureError> {
        let start = self.offset;
        let place = Place { frame, start, what };
        let mut bytes = [0; N];
        match self.fill(&mut bytes)? {
            found if found == N => Ok(bytes),
            found => Err(truncated(place, N as u64, found as u64)),
        }
    }

    /// Exactly `N` bytes, or `None` when the file ends before the first of them.
    pub(super) fn array_or_end<const N: usize>(
        &mut self,
        what: &'static str,
        frame: u64,
    ) -> Result<Option<[u8; N]>, CaptureError> {
        let start = self.offset;
        let place = Place { frame, start, what };
        let mut bytes = [0; N];
        match self.fill(&mut bytes)? {
            0 => Ok(None),
            found if found == N => Ok(Some(bytes)),
            found => Err(truncated(place, N as u64, found as u64)),
        }
    }

    /// `len` bytes: memory grows with the bytes that come, not with `len`.
    pub(super) fn bytes(&mut self, len: u32, place: Place) -> Result<Vec<u8>, CaptureError> {
        // A frame of an everyday size in one allocation; anything longer must first show its bytes.
        let mut bytes = Vec::with_capacity(len.min(4096) as usize);
        let before = self.offset;
        let found = (&mut self.stream)
            .take(u64::from(len))
            .read_to_end(&mut bytes)
            .map_err(|source| CaptureError::Read { offset: before, source })?;
        self.offset += found as u64;
        if found < len as usize {
            return Err(truncated(place, u64::from(len), found as u64));
        }
        Ok(bytes)
    }

    /// Passes over `len` bytes without keeping them.
    pub(super) fn skip(&mut self, len: u32, place: Place) -> Result<(), CaptureError> {
        let before = self.offset;
        let found = io::copy(&mut (&mut self.stream).take(u64::from(len)), &mut io::sink())
            .map_err(|source| CaptureError::Read { offset: before, source })?;
        self.offset += found;
        if found < u64::from(len) {
            return Err(truncated(place, u64::from(len), found));
        }
        Ok(())
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<usize, CaptureError> {
        let mut filled = 0;
        while filled < bytes.len() {
            match self.stream.read(&mut bytes[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    let offset = self.offset + filled as u64;
                    return Err(CaptureError::Read { offset, source });
                }
            }
        }
        self.offset += filled as u64;
        Ok(filled)
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("offset", &self.offset).finish_non_exhaustive()
    }
}

fn truncated(place: Place, needed: u64, found: u64) -> CaptureError {
    CaptureError::Truncated { frame: place.frame, offset: place.start, what: place.what, needed, found }
}

/// The byte order of a file or section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Little,
    Big,
}

impl Order {
    pub(super) fn u16(self, bytes: [u8; 2]) -> u16 {
        match self {
            Order::Little => u16::from_le_bytes(bytes),
            Order::Big => u16::from_be_bytes(bytes),
        }
    }

    pub(super) fn u32(self, bytes: [u8; 4]) -> u32 {
        match self {
            Order::Little => u32::from_le_bytes(bytes),
            Order::Big => u32::from_be_bytes(bytes),
        }
    }

    pub(super) fn i64(self, bytes: [u8; 8]) -> i64 {
        match self {
            Order::Little => i64::from_le_bytes(bytes),
            Order::Big => i64::from_be_bytes(bytes),
        }
    }
}

/// Takes fixed-size numbers from the front of a block; `None` when it is too short.
pub(super) struct Fields<'a> {
    pub(super) order: Order,
    pub(super) rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn u16(&mut self) -> Option<u16> {
        let (bytes, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(self.order.u16(*bytes))
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        let (bytes, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(self.order.u32(*bytes))
    }

    /// `len` bytes, and passes over the padding to the next multiple of four.
    pub(super) fn padded(&mut self, len: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(len)?;
        let padding = (4 - len % 4) % 4;
        self.rest = rest.get(padding..).unwrap_or_default();
        Some(bytes)
    }
}

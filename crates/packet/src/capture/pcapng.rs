//! pcapng: a stream of blocks in sections, each section with its own byte order and interfaces.
//! draft-ietf-opsawg-pcapng.

use std::sync::Arc;

use super::bytes::{Fields, Order, Place, Source};
use super::{CaptureError, Frame, LinkType, MAX_FRAME};

pub(super) const MAGIC: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const OBSOLETE_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

const OPT_COMMENT: u16 = 1;
const IF_NAME: u16 = 2;
const IF_TSRESOL: u16 = 9;
const IF_TSOFFSET: u16 = 14;

/// A block that is read, and not skipped, has a frame and some options.
const MAX_BLOCK: u32 = 1 << 20;
/// More interfaces than any machine has; bounds what a hostile file can make us keep.
const MAX_INTERFACES: usize = 1 << 16;

/// The state that blocks refer to.
#[derive(Debug)]
pub(super) struct Sections {
    order: Order,
    interfaces: Vec<Interface>,
}

#[derive(Debug)]
struct Interface {
    link: LinkType,
    snaplen: u32,
    name: Option<Arc<str>>,
    units: Units,
    offset_seconds: i64,
}

/// The unit of time stamps: 10^-n or 2^-n seconds.
#[derive(Debug, Clone, Copy)]
enum Units {
    Decimal(u8),
    Binary(u8),
}

/// One block of a kind that is read.
struct Block {
    kind: u32,
    start: u64,
    body: Vec<u8>,
}

impl Sections {
    /// Called after the four bytes of [`MAGIC`].
    pub(super) fn start(source: &mut Source) -> Result<Sections, CaptureError> {
        let mut sections = Sections { order: Order::Little, interfaces: Vec::new() };
        sections.section_header(source, 0, 0)?;
        Ok(sections)
    }

    /// The next frame, past every block that is none.
    pub(super) fn frame(&mut self, source: &mut Source, number: u64) -> Result<Option<Frame>, CaptureError> {
        while let Some(block) = self.block(source, number)? {
            let malformed = |what| CaptureError::Malformed { frame: number, offset: block.start, what };
            let fields = Fields { order: self.order, rest: &block.body };
            match block.kind {
                INTERFACE if self.interfaces.len() == MAX_INTERFACES => {
                    return Err(malformed("a section has more than 65536 interfaces"));
                }
                INTERFACE => self.interfaces.push(interface(fields).map_err(malformed)?),
                SIMPLE_PACKET => return self.simple(fields, number).map(Some).map_err(malformed),
                kind => {
                    return self.packet(kind, fields, number).map(Some).map_err(malformed);
                }
            }
        }
        Ok(None)
    }

    /// The next block of a kind that matters, or the end of the file.
    fn block(&mut self, source: &mut Source, number: u64) -> Result<Option<Block>, CaptureError> {
        loop {
            let start = source.offset();
            let Some(kind) = source.array_or_end::<4>("the block type", number)? else {
                return Ok(None);
            };
            if kind == MAGIC {
                self.section_header(source, start, number)?;
                continue;
            }
            let kind = self.order.u32(kind);
            let length = self.order.u32(source.array("the block length", number)?);
            let body = body_length(length, start, number)?;
            let place = Place { frame: number, start, what: "the block" };
            let block = match kind {
                INTERFACE | OBSOLETE_PACKET | SIMPLE_PACKET | ENHANCED_PACKET => {
                    bounded(length, start, number)?;
                    Some(Block { kind, start, body: source.bytes(body, place)? })
                }
                _ => {
                    source.skip(body, place)?;
                    None
                }
            };
            self.trailer(source, length, start, number)?;
            if block.is_some() {
                return Ok(block);
            }
        }
    }

    /// length, byte-order magic, version, section length (8), options, length. It ends all
    /// interfaces, and its own byte order holds for its own length already.
    fn section_header(&mut self, source: &mut Source, start: u64, number: u64) -> Result<(), CaptureError> {
        let malformed = |what| CaptureError::Malformed { frame: number, offset: start, what };
        let length: [u8; 4] = source.array("the section header", number)?;
        self.order = match source.array("the section header", number)? {
            [0x4d, 0x3c, 0x2b, 0x1a] => Order::Little,
            [0x1a, 0x2b, 0x3c, 0x4d] => Order::Big,
            _ => return Err(malformed("the section header has no byte-order magic")),
        };
        let length = self.order.u32(length);
        let body = body_length(length, start, number)?;
        let version: [u8; 2] = source.array("the section header", number)?;
        if self.order.u16(version) != 1 {
            return Err(malformed("the section is not of pcapng version 1"));
        }
        // Four bytes of magic and two of the version are behind us.
        let rest = body.checked_sub(6).ok_or_else(|| malformed("the section header is too short"))?;
        source.skip(rest, Place { frame: number, start, what: "the section header" })?;
        self.trailer(source, length, start, number)?;
        self.interfaces.clear();
        Ok(())
    }

    fn trailer(&self, source: &mut Source, length: u32, start: u64, number: u64) -> Result<(), CaptureError> {
        let again = self.order.u32(source.array("the block trailer", number)?);
        if again != length {
            return Err(CaptureError::Malformed {
                frame: number,
                offset: start,
                what: "the two lengths of a block differ",
            });
        }
        Ok(())
    }

    /// Enhanced: interface, time (8), captured, original, data, options.
    /// Obsolete: the interface has 16 bits, and 16 bits count drops.
    fn packet(&self, kind: u32, mut fields: Fields<'_>, number: u64) -> Result<Frame, &'static str> {
        const SHORT: &str = "a packet block is too short for its header";
        let interface = if kind == OBSOLETE_PACKET {
            let interface = fields.u16().ok_or(SHORT)?;
            fields.u16().ok_or(SHORT)?;
            u32::from(interface)
        } else {
            fields.u32().ok_or(SHORT)?
        };
        let high = fields.u32().ok_or(SHORT)?;
        let low = fields.u32().ok_or(SHORT)?;
        let captured = fields.u32().ok_or(SHORT)?;
        let original_len = fields.u32().ok_or(SHORT)?;
        let interface = self.interface(interface)?;
        let data = data(&mut fields, captured)?;
        Ok(Frame {
            number,
            timestamp_ns: interface.nanoseconds(u64::from(high) << 32 | u64::from(low)),
            link: interface.link,
            data: data.to_vec(),
            original_len,
            interface: interface.name.clone(),
            comment: option(fields, OPT_COMMENT).map(text),
        })
    }

    /// original length, data. Belongs to the first interface and has no time.
    fn simple(&self, mut fields: Fields<'_>, number: u64) -> Result<Frame, &'static str> {
        let original_len = fields.u32().ok_or("a simple packet block is too short for its header")?;
        let interface = self.interface(0)?;
        let captured = match interface.snaplen {
            0 => original_len,
            snaplen => original_len.min(snaplen),
        };
        let data = data(&mut fields, captured)?;
        Ok(Frame {
            number,
            timestamp_ns: 0,
            link: interface.link,
            data: data.to_vec(),
            original_len,
            interface: interface.name.clone(),
            comment: None,
        })
    }

    fn interface(&self, index: u32) -> Result<&Interface, &'static str> {
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        self.interfaces.get(index).ok_or("a packet names an interface that its section does not describe")
    }
}

impl Interface {
    /// Before 1970 is shown as 1970, after 2554 as 2554: both are errors of the clock.
    fn nanoseconds(&self, time: u64) -> u64 {
        let time = i128::from(time);
        let ns = match self.units {
            Units::Decimal(digits @ 0..=9) => time * 10_i128.pow(9 - u32::from(digits)),
            Units::Decimal(digits) => {
                10_i128.checked_pow(u32::from(digits) - 9).map_or(0, |unit| time / unit)
            }
            Units::Binary(bits) => (time * 1_000_000_000).checked_shr(u32::from(bits)).unwrap_or(0),
        };
        let ns = ns + i128::from(self.offset_seconds) * 1_000_000_000;
        u64::try_from(ns.max(0)).unwrap_or(u64::MAX)
    }
}

/// link type (2), reserved (2), snaplen, options.
fn interface(mut fields: Fields<'_>) -> Result<Interface, &'static str> {
    const SHORT: &str = "an interface block is too short";
    let link = fields.u16().ok_or(SHORT)?;
    fields.u16().ok_or(SHORT)?;
    let snaplen = fields.u32().ok_or(SHORT)?;
    let order = fields.order;
    let options = fields.rest;
    let find = |code| option(Fields { order, rest: options }, code);
    Ok(Interface {
        link: LinkType::from_number(u32::from(link)),
        snaplen,
        name: find(IF_NAME).map(|name| text(name).into()),
        units: match find(IF_TSRESOL) {
            Some(&[bits]) if bits & 0x80 != 0 => Units::Binary(bits & 0x7f),
            Some(&[digits]) => Units::Decimal(digits),
            _ => Units::Decimal(6),
        },
        offset_seconds: find(IF_TSOFFSET)
            .and_then(|bytes| bytes.try_into().ok())
            .map_or(0, |bytes| order.i64(bytes)),
    })
}

fn data<'a>(fields: &mut Fields<'a>, captured: u32) -> Result<&'a [u8], &'static str> {
    if captured > MAX_FRAME {
        return Err("a packet claims more than 262144 bytes");
    }
    fields.padded(captured as usize).ok_or("a packet claims more bytes than its block has")
}

/// The first option with this code. Options that run past the block end the search.
fn option(mut fields: Fields<'_>, wanted: u16) -> Option<&[u8]> {
    loop {
        let code = fields.u16()?;
        let length = fields.u16()?;
        if code == 0 {
            return None;
        }
        let value = fields.padded(usize::from(length))?;
        if code == wanted {
            return Some(value);
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned()
}

/// What lies between the two lengths: type, length and trailer are twelve bytes.
fn body_length(length: u32, start: u64, number: u64) -> Result<u32, CaptureError> {
    if length < 12 || !length.is_multiple_of(4) {
        return Err(CaptureError::Malformed {
            frame: number,
            offset: start,
            what: "the length of a block is below 12 or not a multiple of 4",
        });
    }
    Ok(length - 12)
}

fn bounded(length: u32, start: u64, number: u64) -> Result<(), CaptureError> {
    if length <= MAX_BLOCK {
        return Ok(());
    }
    Err(CaptureError::TooLong {
        frame: number,
        offset: start,
        what: "the block",
        claimed: length,
        limit: MAX_BLOCK,
    })
}

const _: () = assert!(SECTION_HEADER == u32::from_be_bytes(MAGIC));

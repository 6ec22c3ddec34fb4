//! pcap: one file header, then records. draft-ietf-opsawg-pcap.

use super::bytes::{Order, Place, Source};
use super::{CaptureError, Frame, LinkType, MAX_FRAME};

/// magic (read already), major, minor, reserved (8), snaplen, link type.
#[derive(Debug)]
pub(super) struct Header {
    order: Order,
    /// Nanoseconds that one unit of a record's fraction stands for.
    fraction_ns: u64,
    link: LinkType,
}

impl Header {
    pub(super) fn read(magic: [u8; 4], source: &mut Source) -> Result<Header, CaptureError> {
        let (order, fraction_ns) = match magic {
            [0xd4, 0xc3, 0xb2, 0xa1] => (Order::Little, 1000),
            [0xa1, 0xb2, 0xc3, 0xd4] => (Order::Big, 1000),
            [0x4d, 0x3c, 0xb2, 0xa1] => (Order::Little, 1),
            [0xa1, 0xb2, 0x3c, 0x4d] => (Order::Big, 1),
            [0x34, 0xcd, 0xb2, 0xa1] | [0xa1, 0xb2, 0xcd, 0x34] => {
                return Err(CaptureError::Unsupported { what: "pcap with Kuznetsov's longer records" });
            }
            [0x1f, 0x8b, ..] => {
                return Err(CaptureError::Unsupported { what: "a gzip file" });
            }
            _ => return Err(CaptureError::NotACapture { magic }),
        };
        let rest: [u8; 20] = source.array("the header of the file", 0)?;
        let [.., a, b, c, d] = rest;
        Ok(Header {
            order,
            fraction_ns,
            // The upper bits say how long the frame check sequence is, and are not part of the type.
            link: LinkType::from_number(order.u32([a, b, c, d]) & 0x03ff_ffff),
        })
    }

    /// seconds, fraction, captured length, original length, data.
    pub(super) fn frame(&self, source: &mut Source, number: u64) -> Result<Option<Frame>, CaptureError> {
        let start = source.offset();
        let Some(header) = source.array_or_end::<16>("the record header", number)? else {
            return Ok(None);
        };
        let word = |at: usize| self.order.u32([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let (seconds, fraction, captured, original_len) = (word(0), word(4), word(8), word(12));
        if captured > MAX_FRAME {
            return Err(CaptureError::TooLong {
                frame: number,
                offset: start,
                what: "the record",
                claimed: captured,
                limit: MAX_FRAME,
            });
        }
        let place = Place { frame: number, start, what: "the data" };
        Ok(Some(Frame {
            number,
            // At most 2^32 s and 2^32 µs: far below 2^64 ns.
            timestamp_ns: u64::from(seconds) * 1_000_000_000 + u64::from(fraction) * self.fraction_ns,
            link: self.link,
            data: source.bytes(captured, place)?,
            original_len,
            interface: None,
            comment: None,
        }))
    }
}

//! Packet and stack, with every access checked.

use super::fault::{FaultKind, Region};
use super::value::{Tag, Value};
use crate::insn::Size;

/// Room before the packet (`XDP_PACKET_HEADROOM`).
const HEADROOM: usize = 256;
/// Bytes that a packet may grow to in its page: 4096 less headroom and `skb_shared_info` (320).
const ROOM: usize = 3520;
/// The shortest frame that adjusting may leave (`ETH_HLEN`).
const SHORTEST: i64 = 14;
/// Frames of a call chain (`MAX_CALL_FRAMES`).
pub(super) const MAX_FRAMES: usize = 8;
pub(super) const STACK: usize = 512;

/// A packet in its buffer: `meta..data` metadata, `data..linear` directly readable,
/// `linear..end` in fragments.
#[derive(Debug, Default)]
pub(super) struct Packet {
    pub(super) buffer: Vec<u8>,
    pub(super) meta: usize,
    pub(super) data: usize,
    pub(super) linear: usize,
    pub(super) end: usize,
    pub(super) generation: u32,
}

impl Packet {
    /// Takes in a packet of which `linear` bytes can be read directly.
    pub(super) fn fill(&mut self, bytes: &[u8], linear: Option<usize>) {
        self.buffer.clear();
        self.buffer.resize(HEADROOM, 0);
        self.buffer.extend_from_slice(bytes);
        self.meta = HEADROOM;
        self.data = HEADROOM;
        self.end = self.buffer.len();
        self.linear = HEADROOM + bytes.len().min(linear.unwrap_or(usize::MAX));
        self.generation = 0;
    }

    pub(super) fn len(&self) -> usize {
        self.end - self.data
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer[self.data..self.end]
    }

    pub(super) fn pointer(&self, at: usize) -> Value {
        Value::pointer(Tag::Packet(self.generation), at as u64)
    }

    /// All of the packet's bytes from an offset, fragments included.
    pub(super) fn range(&mut self, off: u64, len: usize) -> Option<&mut [u8]> {
        let from = self.data.checked_add(usize::try_from(off).ok()?)?;
        let to = from.checked_add(len)?;
        (to <= self.end).then(|| &mut self.buffer[from..to])
    }

    /// Directly readable bytes under a pointer.
    #[inline]
    fn direct(&mut self, generation: u32, off: u64, len: usize) -> Result<&mut [u8], FaultKind> {
        if generation != self.generation {
            return Err(FaultKind::StalePointer);
        }
        let to = off.wrapping_add(len as u64);
        if off < self.meta as u64 || to > self.linear as u64 || to < off {
            return Err(FaultKind::out_of_bounds(
                Region::Packet,
                (off as i64).wrapping_sub(self.data as i64),
                len,
                self.linear - self.data,
            ));
        }
        Ok(&mut self.buffer[off as usize..to as usize])
    }

    fn moved(&mut self) {
        self.generation += 1;
    }

    /// `bpf_xdp_adjust_head`; false leaves all as it was.
    pub(super) fn adjust_head(&mut self, delta: i64) -> bool {
        let data = self.data as i64 + delta;
        let meta = self.meta as i64 + delta;
        if meta < 0 || data > self.linear as i64 - SHORTEST {
            return false;
        }
        let metadata = self.meta..self.data;
        self.buffer.copy_within(metadata, meta as usize);
        (self.meta, self.data) = (meta as usize, data as usize);
        self.moved();
        true
    }

    /// `bpf_xdp_adjust_tail`; what grows is zero.
    pub(super) fn adjust_tail(&mut self, delta: i64) -> bool {
        let (end, len) = (self.end as i64 + delta, self.len() as i64 + delta);
        if len < SHORTEST || delta > 0 && len > ROOM as i64 {
            return false;
        }
        let whole = self.linear == self.end;
        self.end = end as usize;
        self.buffer.resize(self.end, 0);
        self.linear = if whole { self.end } else { self.linear.min(self.end) };
        self.moved();
        true
    }

    /// `bpf_xdp_adjust_meta`.
    pub(super) fn adjust_meta(&mut self, delta: i64) -> bool {
        let meta = self.meta as i64 + delta;
        let len = self.data as i64 - meta;
        if meta < 0 || !(0..=252).contains(&len) || len % 4 != 0 {
            return false;
        }
        self.meta = meta as usize;
        self.moved();
        true
    }

    /// Makes `len` bytes directly readable; 0 keeps what is.
    pub(super) fn pull(&mut self, len: u64) -> bool {
        self.moved();
        if len > self.len() as u64 {
            return false;
        }
        self.linear = self.linear.max(self.data + len as usize);
        true
    }
}

/// The frames of a call chain.
#[derive(Debug, Default)]
pub(super) struct Stack {
    frames: Vec<Frame>,
}

#[derive(Debug)]
struct Frame {
    bytes: [u8; STACK],
    /// Written bytes, one bit each.
    written: [u64; STACK / 64],
    /// Pointers that were stored whole, by 8-byte slot.
    pointers: [Value; STACK / 8],
    /// Which of `pointers` are there.
    held: u64,
}

impl Stack {
    /// Makes frame `nth` empty.
    pub(super) fn open(&mut self, nth: usize) {
        match self.frames.get_mut(nth) {
            Some(frame) => {
                frame.written = [0; STACK / 64];
                frame.held = 0;
            }
            None => self.frames.push(Frame {
                bytes: [0; STACK],
                written: [0; STACK / 64],
                pointers: [Value::UNINIT; STACK / 8],
                held: 0,
            }),
        }
    }

    fn at(&mut self, frame: u32, off: u64, len: usize) -> Result<(&mut Frame, usize), FaultKind> {
        let to = off.wrapping_add(len as u64);
        match self.frames.get_mut(frame as usize) {
            Some(frame) if to <= STACK as u64 && off <= to => Ok((frame, off as usize)),
            _ => Err(FaultKind::out_of_bounds(Region::Stack, off as i64 - STACK as i64, len, STACK)),
        }
    }

    pub(super) fn load(&mut self, frame: u32, off: u64, size: Size) -> Result<Value, FaultKind> {
        let (frame, off) = self.at(frame, off, size.bytes())?;
        let slot = off / 8;
        if frame.held >> slot & 1 == 1 {
            return match size == Size::DW && off % 8 == 0 {
                true => Ok(frame.pointers[slot]),
                false => Err(FaultKind::PointerLeak),
            };
        }
        frame.check_written(off, size.bytes())?;
        Ok(Value::number(read(&frame.bytes[off..], size)))
    }

    pub(super) fn store(&mut self, frame: u32, off: u64, size: Size, value: Value) -> Result<(), FaultKind> {
        let (frame, off) = self.at(frame, off, size.bytes())?;
        if value.is_number() {
            frame.mark(off, size.bytes());
            write(&mut frame.bytes[off..], size, value.bits);
            return Ok(());
        }
        if size != Size::DW || off % 8 != 0 {
            return Err(FaultKind::PointerLeak);
        }
        frame.mark(off, 8);
        frame.pointers[off / 8] = value;
        frame.held |= 1 << (off / 8);
        Ok(())
    }

    /// Plain bytes that have been written.
    pub(super) fn written(&mut self, frame: u32, off: u64, len: usize) -> Result<&mut [u8], FaultKind> {
        let (frame, off) = self.at(frame, off, len)?;
        frame.check_written(off, len)?;
        if (off / 8..(off + len).div_ceil(8)).any(|slot| frame.held >> slot & 1 == 1) {
            return Err(FaultKind::PointerLeak);
        }
        Ok(&mut frame.bytes[off..off + len])
    }

    /// Bytes that are about to be written.
    pub(super) fn writable(&mut self, frame: u32, off: u64, len: usize) -> Result<&mut [u8], FaultKind> {
        let (frame, off) = self.at(frame, off, len)?;
        frame.mark(off, len);
        Ok(&mut frame.bytes[off..off + len])
    }
}

impl Frame {
    fn check_written(&self, off: usize, len: usize) -> Result<(), FaultKind> {
        let missing = (off..off + len).find(|at| self.written[at / 64] >> (at % 64) & 1 == 0);
        match missing {
            None => Ok(()),
            Some(at) => Err(FaultKind::UninitStack(at as i32 - STACK as i32)),
        }
    }

    /// Bytes become plain: a pointer that they were part of is gone.
    fn mark(&mut self, off: usize, len: usize) {
        for at in off..off + len {
            self.written[at / 64] |= 1 << (at % 64);
        }
        for slot in off / 8..(off + len).div_ceil(8) {
            if self.held >> slot & 1 == 1 {
                self.held &= !(1 << slot);
                self.bytes[slot * 8..slot * 8 + 8].fill(0);
            }
        }
    }
}

impl Packet {
    #[inline]
    pub(super) fn load(&mut self, generation: u32, off: u64, size: Size) -> Result<Value, FaultKind> {
        let bytes = self.direct(generation, off, size.bytes())?;
        Ok(Value::number(read(bytes, size)))
    }

    pub(super) fn slice(&mut self, generation: u32, off: u64, len: usize) -> Result<&mut [u8], FaultKind> {
        self.direct(generation, off, len)
    }
}

/// Little-endian bytes as a number; there are enough of them.
#[inline(always)]
pub(super) fn read(bytes: &[u8], size: Size) -> u64 {
    fn first<const N: usize>(bytes: &[u8]) -> [u8; N] {
        bytes.first_chunk().copied().unwrap_or([0; N])
    }
    match size {
        Size::B => u64::from(bytes[0]),
        Size::H => u64::from(u16::from_le_bytes(first(bytes))),
        Size::W => u64::from(u32::from_le_bytes(first(bytes))),
        Size::DW => u64::from_le_bytes(first(bytes)),
    }
}

/// The reverse of [`read`].
#[inline(always)]
pub(super) fn write(bytes: &mut [u8], size: Size, value: u64) {
    let len = size.bytes();
    bytes[..len].copy_from_slice(&value.to_le_bytes()[..len]);
}

/// Where `off` and `len` lie in a region of plain bytes.
pub(super) fn plain(region: Region, bytes: &mut [u8], off: u64, len: usize) -> Result<&mut [u8], FaultKind> {
    let total = bytes.len();
    let to = off.wrapping_add(len as u64);
    if to > total as u64 || off > to {
        return Err(FaultKind::out_of_bounds(region, off as i64, len, total));
    }
    Ok(&mut bytes[off as usize..to as usize])
}

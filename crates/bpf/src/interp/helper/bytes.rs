//! Helpers that read, write, move and sum the packet's bytes.

use super::{Answer, BAD_ADDRESS, INVALID, number};
use crate::helpers::*;
use crate::interp::exec::Machine;
use crate::interp::fault::FaultKind;

/// `-EACCES`.
const DENIED: i64 = -13;
/// `-ENOMEM`.
const NO_MEMORY: i64 = -12;

impl Machine<'_> {
    pub(super) fn xdp_helper(&mut self, id: u32) -> Answer {
        let packet = |done: bool, errno: i64| number(if done { 0 } else { errno });
        match id {
            XDP_ADJUST_HEAD | XDP_ADJUST_TAIL | XDP_ADJUST_META => {
                self.context_argument(1)?;
                let delta = i64::from(self.argument(2)? as i32);
                match id {
                    XDP_ADJUST_HEAD => packet(self.vm.packet.adjust_head(delta), INVALID),
                    XDP_ADJUST_TAIL => packet(self.vm.packet.adjust_tail(delta), INVALID),
                    _ => packet(self.vm.packet.adjust_meta(delta), DENIED),
                }
            }
            XDP_GET_BUFF_LEN => {
                self.context_argument(1)?;
                number(self.vm.packet.len() as i64)
            }
            XDP_LOAD_BYTES => self.load_bytes(INVALID),
            XDP_STORE_BYTES => self.store_bytes(INVALID),
            _ => Err(FaultKind::UnknownHelper(id)),
        }
    }

    pub(super) fn skb_helper(&mut self, id: u32) -> Answer {
        match id {
            SKB_LOAD_BYTES => self.load_bytes(BAD_ADDRESS),
            SKB_STORE_BYTES => {
                let answer = self.store_bytes(BAD_ADDRESS);
                // The kernel may have copied the packet: pointers are made anew.
                self.vm.packet.pull(0);
                answer
            }
            SKB_PULL_DATA => {
                self.context_argument(1)?;
                let len = self.argument(2)? as u32;
                let done = self.vm.packet.pull(u64::from(len));
                number(if done { 0 } else { NO_MEMORY })
            }
            L3_CSUM_REPLACE | L4_CSUM_REPLACE => self.csum_replace(id),
            _ => Err(FaultKind::UnknownHelper(id)),
        }
    }

    /// `(context, offset, to, len)`; what is not there leaves zeros.
    fn load_bytes(&mut self, errno: i64) -> Answer {
        self.context_argument(1)?;
        let (off, len) = (self.argument(2)? as u32, self.argument(4)? as usize);
        let bytes = self.vm.packet.range(u64::from(off), len);
        let bytes = bytes.map(|bytes| bytes.to_vec());
        let to = self.output(3, len)?;
        match bytes {
            Some(bytes) => {
                to.copy_from_slice(&bytes);
                number(0)
            }
            None => {
                to.fill(0);
                number(errno)
            }
        }
    }

    /// `(context, offset, from, len)`.
    fn store_bytes(&mut self, errno: i64) -> Answer {
        self.context_argument(1)?;
        let (off, len) = (self.argument(2)? as u32, self.argument(4)? as usize);
        let bytes = self.memory(3, len)?.to_vec();
        match self.vm.packet.range(u64::from(off), len) {
            Some(to) => {
                to.copy_from_slice(&bytes);
                number(0)
            }
            None => number(errno),
        }
    }

    /// `(from, from_len, to, to_len, seed)`: the sum of `to` less that of `from`, folded to 16
    /// bits as kernels from 6.13 on do; older ones give a 32-bit form that folds to the same.
    pub(super) fn csum_diff(&mut self) -> Answer {
        let (from_len, to_len) = (self.argument(2)? as usize, self.argument(4)? as usize);
        let seed = self.argument(5)? as u32;
        if from_len % 4 != 0 || to_len % 4 != 0 {
            return number(INVALID);
        }
        let mut total = u64::from(seed);
        if from_len != 0 {
            let from = self.memory(1, from_len)?;
            total += sum(from, |word| !word);
        }
        if to_len != 0 {
            total += sum(self.memory(3, to_len)?, |word| word);
        }
        number(i64::from(fold(total)))
    }

    /// `(context, offset, from, to, flags)`: corrects the checksum at an offset.
    fn csum_replace(&mut self, id: u32) -> Answer {
        self.context_argument(1)?;
        let off = self.argument(2)?;
        let (from, to) = (self.argument(3)? as u32, self.argument(4)? as u32);
        let flags = self.argument(5)?;
        let width = flags & 15;
        let (from, to) = match width {
            // The caller gives a difference in `to`.
            0 => (0, to),
            2 => (!from & 0xffff, to & 0xffff),
            4 => (!from, to),
            _ => return number(INVALID),
        };
        // A UDP checksum of 0 means none (`BPF_F_MARK_MANGLED_0`).
        let mangled = id == L4_CSUM_REPLACE && flags & 0x20 != 0;
        let answer = match self.vm.packet.range(off, 2) {
            Some(field) => {
                let old = u16::from_le_bytes([field[0], field[1]]);
                if !(mangled && old == 0) {
                    let new = !fold(u64::from(!old) + u64::from(from) + u64::from(to));
                    let new = if mangled && new == 0 { 0xffff } else { new };
                    field.copy_from_slice(&new.to_le_bytes());
                }
                0
            }
            None => BAD_ADDRESS,
        };
        self.vm.packet.pull(0);
        number(answer)
    }
}

/// 32-bit words in the machine's order, added up.
fn sum(bytes: &[u8], map: impl Fn(u32) -> u32) -> u64 {
    let (words, _) = bytes.as_chunks::<4>();
    let words = words.iter().map(|word| map(u32::from_le_bytes(*word)));
    words.map(u64::from).sum()
}

/// To 16 bits with the carries added in again.
fn fold(mut total: u64) -> u16 {
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    total as u16
}

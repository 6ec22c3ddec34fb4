//! The helpers, by the meaning that their comments in include/uapi/linux/bpf.h give them.

mod bytes;
mod sockets;

use super::context::Context;
use super::exec::{Machine, Record, Turns};
use super::fault::{FaultKind, Wanted};
use super::maps::{MapFault, Store, Update};
use super::value::{Tag, Value};
use super::{Output, Redirect};
use crate::helpers::*;
use crate::insn::MapId;
use crate::map::MapKind;

/// `-EINVAL`.
const INVALID: i64 = -22;
/// `-EFAULT`.
const BAD_ADDRESS: i64 = -14;
/// The kernel's limit of tail calls in a run (`MAX_TAIL_CALL_CNT`).
const MAX_TAIL_CALLS: u32 = 33;
/// The kernel's limit of turns of `loop` (`BPF_MAX_LOOPS`).
const MAX_LOOPS: u64 = 1 << 23;
/// Bytes of header before each record of a ring buffer (`BPF_RINGBUF_HDR_SZ`).
const RING_HEADER: usize = 8;

type Answer = Result<Value, FaultKind>;

fn number(value: i64) -> Answer {
    Ok(Value::number(value as u64))
}

fn outcome(result: Result<(), MapFault>) -> Answer {
    number(result.map_or_else(MapFault::errno, |()| 0))
}

impl Machine<'_> {
    /// Calls a helper: the result in `r0`, `r1`–`r5` lost.
    pub(super) fn helper(&mut self, id: u32) -> Result<(), FaultKind> {
        // These two go on elsewhere in the code.
        match id {
            LOOP => return self.start_loop(),
            TAIL_CALL => return self.tail_call(),
            _ => {}
        }
        let answer = match id {
            MAP_LOOKUP_ELEM => self.map_lookup()?,
            MAP_UPDATE_ELEM => self.map_update()?,
            MAP_DELETE_ELEM => self.map_delete()?,
            MAP_LOOKUP_PERCPU_ELEM => match self.argument(3)? as u32 {
                0 => self.map_lookup()?,
                _ => Value::number(0),
            },
            KTIME_GET_NS | KTIME_GET_BOOT_NS | KTIME_GET_COARSE_NS | KTIME_GET_TAI_NS => {
                Value::number(self.vm.clock_ns)
            }
            JIFFIES64 => {
                let ticks = u128::from(self.vm.clock_ns) * u128::from(self.vm.hz);
                Value::number((ticks / 1_000_000_000) as u64)
            }
            GET_PRANDOM_U32 => Value::number(u64::from((self.vm.random)())),
            GET_SMP_PROCESSOR_ID | GET_NUMA_NODE_ID | TRACE_PRINTK => Value::number(0),
            SPIN_LOCK | SPIN_UNLOCK => Value::number(0),
            PERF_EVENT_OUTPUT => self.perf_event_output()?,
            RINGBUF_OUTPUT => self.ringbuf_output()?,
            RINGBUF_RESERVE => self.ringbuf_reserve()?,
            RINGBUF_SUBMIT => self.ringbuf_release(true)?,
            RINGBUF_DISCARD => self.ringbuf_release(false)?,
            REDIRECT => self.redirect()?,
            REDIRECT_MAP => self.redirect_map()?,
            FIB_LOOKUP => self.fib_lookup()?,
            SKC_LOOKUP_TCP => self.skc_lookup_tcp()?,
            SK_RELEASE => self.sk_release()?,
            TCP_GEN_SYNCOOKIE => self.tcp_gen_syncookie()?,
            TCP_CHECK_SYNCOOKIE => self.tcp_check_syncookie()?,
            CSUM_DIFF => self.csum_diff()?,
            _ => match self.context {
                Context::Xdp(_) => self.xdp_helper(id)?,
                Context::Tc(_) => self.skb_helper(id)?,
            },
        };
        self.regs[0] = answer;
        self.regs[1..6].fill(Value::UNINIT);
        Ok(())
    }

    /// Argument `nth`, a number.
    pub(super) fn argument(&self, nth: u8) -> Result<u64, FaultKind> {
        let value = self.regs[nth as usize];
        match value.tag {
            Tag::Number => Ok(value.bits),
            _ => Err(FaultKind::Argument { nth, wanted: Wanted::Number }),
        }
    }

    fn map_argument(&self, nth: u8) -> Result<MapId, FaultKind> {
        match self.regs[nth as usize].tag {
            Tag::Map(map) if (map as usize) < self.vm.maps.stores.len() => Ok(MapId(map)),
            Tag::Map(map) => Err(FaultKind::UnknownMap(map)),
            _ => Err(FaultKind::Argument { nth, wanted: Wanted::Map }),
        }
    }

    fn map_of(&self, nth: u8, kind: MapKind) -> Result<MapId, FaultKind> {
        let map = self.map_argument(nth)?;
        match self.map_store(map).def().kind == kind {
            true => Ok(map),
            false => Err(FaultKind::Argument { nth, wanted: Wanted::OtherKindOfMap }),
        }
    }

    fn map_store(&self, map: MapId) -> &Store {
        &self.vm.maps.stores[map.0 as usize]
    }

    pub(super) fn context_argument(&self, nth: u8) -> Result<(), FaultKind> {
        match self.regs[nth as usize] {
            Value { tag: Tag::Context, bits: 0 } => Ok(()),
            _ => Err(FaultKind::Argument { nth, wanted: Wanted::Context }),
        }
    }

    /// Written memory that argument `nth` points to.
    pub(super) fn memory(&mut self, nth: u8, len: usize) -> Result<&mut [u8], FaultKind> {
        let Value { bits, tag } = self.regs[nth as usize];
        match tag {
            Tag::Stack(frame) => self.vm.stack.written(frame, bits, len),
            Tag::Packet(generation) => self.vm.packet.slice(generation, bits, len),
            Tag::Number | Tag::Uninit | Tag::Context => {
                Err(FaultKind::Argument { nth, wanted: Wanted::Memory })
            }
            tag => self.plain(tag, bits, len),
        }
    }

    /// Memory that argument `nth` points to and that the helper fills.
    pub(super) fn output(&mut self, nth: u8, len: usize) -> Result<&mut [u8], FaultKind> {
        let Value { bits, tag } = self.regs[nth as usize];
        match tag {
            Tag::Stack(frame) => self.vm.stack.writable(frame, bits, len),
            _ => self.memory(nth, len),
        }
    }

    fn key(&mut self, nth: u8, map: MapId) -> Result<Vec<u8>, FaultKind> {
        let len = self.map_store(map).key_size();
        Ok(self.memory(nth, len)?.to_vec())
    }

    fn map_lookup(&mut self) -> Answer {
        let map = self.map_argument(1)?;
        let key = self.key(2, map)?;
        let store = &mut self.vm.maps.stores[map.0 as usize];
        let Some(slot) = store.find(&key) else {
            return number(0);
        };
        store.touch(&key);
        if store.def().kind.of_maps() {
            let inner = store.value(slot).try_into().map_or(0, u32::from_le_bytes);
            return Ok(Value::pointer(Tag::Map(inner), 0));
        }
        Ok(Value::pointer(Tag::map_value(map, slot)?, 0))
    }

    fn map_update(&mut self) -> Answer {
        let map = self.map_argument(1)?;
        let key = self.key(2, map)?;
        let len = self.map_store(map).value_size();
        let value = self.memory(3, len)?.to_vec();
        let when = Update::from_flags(self.argument(4)?);
        let store = &mut self.vm.maps.stores[map.0 as usize];
        outcome(when.and_then(|when| store.update(&key, &value, when)))
    }

    fn map_delete(&mut self) -> Answer {
        let map = self.map_argument(1)?;
        let key = self.key(2, map)?;
        outcome(self.vm.maps.stores[map.0 as usize].delete(&key))
    }

    fn perf_event_output(&mut self) -> Answer {
        self.context_argument(1)?;
        let map = self.map_of(2, MapKind::PerfEventArray)?;
        let flags = self.argument(3)?;
        let len = self.argument(5)? as usize;
        let mut bytes = self.memory(4, len)?.to_vec();
        // Bits 32–51: how much of the packet to append (`BPF_F_CTXLEN_MASK`).
        let of_packet = (flags >> 32 & 0xf_ffff) as usize;
        if of_packet > self.vm.packet.len() {
            return number(BAD_ADDRESS);
        }
        bytes.extend_from_slice(&self.vm.packet.bytes()[..of_packet]);
        self.vm.outputs.push(Output { map, bytes });
        number(0)
    }

    /// Takes room in a ring buffer; false if it is full.
    fn take_room(&mut self, map: MapId, len: usize) -> bool {
        let room = self.map_store(map).def().max_entries as usize;
        let used = self.vm.rings.entry(map.0).or_default();
        let wanted = (len + RING_HEADER).next_multiple_of(8);
        // One byte stays free, so that full and empty differ.
        if *used + wanted >= room {
            return false;
        }
        *used += wanted;
        true
    }

    fn ringbuf_output(&mut self) -> Answer {
        let map = self.map_of(1, MapKind::RingBuf)?;
        let len = self.argument(3)? as usize;
        let bytes = self.memory(2, len)?.to_vec();
        if !self.take_room(map, len) {
            return number(-11);
        }
        self.vm.outputs.push(Output { map, bytes });
        number(0)
    }

    fn ringbuf_reserve(&mut self) -> Answer {
        let map = self.map_of(1, MapKind::RingBuf)?;
        let len = self.argument(2)? as usize;
        if self.argument(3)? != 0 || !self.take_room(map, len) {
            return number(0);
        }
        self.records.push(Record { map, bytes: vec![0; len], open: true });
        let nth = self.records.len() as u32 - 1;
        Ok(Value::pointer(Tag::Record(nth), 0))
    }

    fn ringbuf_release(&mut self, submit: bool) -> Answer {
        let wanted = FaultKind::Argument { nth: 1, wanted: Wanted::Record };
        let Value { tag: Tag::Record(nth), bits: 0 } = self.regs[1] else {
            return Err(wanted);
        };
        match self.records.get_mut(nth as usize) {
            Some(record) if record.open => {
                record.open = false;
                if submit {
                    let bytes = std::mem::take(&mut record.bytes);
                    let map = record.map;
                    self.vm.outputs.push(Output { map, bytes });
                }
                number(0)
            }
            _ => Err(wanted),
        }
    }

    /// `XDP_REDIRECT` is 4, `TC_ACT_REDIRECT` 7.
    fn redirect(&mut self) -> Answer {
        let to = Redirect::Interface(self.argument(1)? as u32, self.argument(2)?);
        self.vm.redirect = Some(to);
        number(match self.context {
            Context::Xdp(_) => 4,
            Context::Tc(_) => 7,
        })
    }

    fn redirect_map(&mut self) -> Answer {
        let map = self.map_argument(1)?;
        let (key, flags) = (self.argument(2)? as u32, self.argument(3)?);
        match self.map_store(map).find(&key.to_le_bytes()) {
            Some(_) => {
                self.vm.redirect = Some(Redirect::Entry(map, key));
                number(4)
            }
            // The low bits name the action for a missing entry.
            None => number((flags & 3) as i64),
        }
    }

    fn fib_lookup(&mut self) -> Answer {
        self.context_argument(1)?;
        let (len, flags) = (self.argument(3)? as usize, self.argument(4)?);
        let mut fib = self.vm.fib.take().ok_or(FaultKind::UnknownHelper(FIB_LOOKUP))?;
        let result = self.memory(2, len).map(|params| fib(params, flags));
        self.vm.fib = Some(fib);
        number(result?)
    }

    fn start_loop(&mut self) -> Result<(), FaultKind> {
        let (count, flags) = (self.argument(1)?, self.argument(4)?);
        let Value { tag: Tag::Function, bits: function } = self.regs[2] else {
            return Err(FaultKind::Argument { nth: 2, wanted: Wanted::Function });
        };
        let refused = match (flags, count) {
            (0, 0) => Some(0),
            (0, 1..=MAX_LOOPS) => None,
            (0, _) => Some(MapFault::Full.errno()),
            _ => Some(INVALID),
        };
        if let Some(result) = refused {
            self.regs[0] = Value::number(result as u64);
            self.regs[1..6].fill(Value::UNINIT);
            return Ok(());
        }
        self.turn(Some(Turns { function: function as usize, argument: self.regs[3], turn: 0, count }))
    }

    /// Goes on in another program, in the same frame; where there is none, after the call.
    fn tail_call(&mut self) -> Result<(), FaultKind> {
        self.context_argument(1)?;
        let map = self.map_of(2, MapKind::ProgArray)?;
        let index = self.argument(3)? as u32;
        let store = self.map_store(map);
        let slot = store.find(&index.to_le_bytes());
        let id = slot.and_then(|slot| store.value(slot).try_into().ok());
        let next = id.map(u32::from_le_bytes);
        let next = next.and_then(|id| self.vm.programs.get(id as usize).cloned());
        let context = self.regs[1];
        self.regs[1..6].fill(Value::UNINIT);
        match next {
            Some(program) if self.tail_calls < MAX_TAIL_CALLS => {
                self.tail_calls += 1;
                self.program = program;
                self.pc = 0;
                self.regs = [Value::UNINIT; 11];
                self.regs[1] = context;
                self.enter();
            }
            _ => self.regs[0] = Value::number(MapFault::NotFound.errno() as u64),
        }
        Ok(())
    }
}

//! An interpreter of bytecode in user space.
//!
//! It is an engine of differential tests and runs programs where there are no privileges. Time
//! and randomness are given. Pointers know their region; whatever leaves its region, or reads
//! what nothing wrote, is a [`Fault`] that names the instruction. Unlike the verifier it judges
//! the path that was taken, not those that could have been.

mod context;
mod exec;
mod fault;
mod helper;
mod maps;
mod memory;
#[cfg(test)]
mod tests;
mod value;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

pub use context::{SkbMeta, XdpMeta};
pub use fault::{Fault, FaultKind, Place, Region, Wanted};
pub use maps::{MapFault, Maps, Update};

use crate::insn::{Insn, MapId};
use crate::map::MapDef;
use crate::object::Object;
use crate::program::Program;
use context::Context;
use memory::{Packet, Stack};

/// A loaded program, for [`Vm`] and for the values of program arrays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProgramId(pub u32);

/// What a program sent to user space by ring buffer or perf event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The map that it was sent through.
    pub map: MapId,
    /// The program's bytes, then those of the packet that a perf event was asked to carry.
    pub bytes: Vec<u8>,
}

/// Where a `redirect` helper sent the packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redirect {
    /// An interface, with the helper's flags.
    Interface(u32, u64),
    /// An entry of a map.
    Entry(MapId, u32),
}

/// The routing table: gets `struct bpf_fib_lookup` and the flags, gives the helper's result.
pub type Fib = Box<dyn FnMut(&mut [u8], u64) -> i64 + Send>;

/// The host's TCP.
pub trait Sockets: Send {
    /// The state of the socket that a segment with these addresses and ports is for (`struct bpf_sock_tuple`), if there is one;
    /// 10 listens.
    fn find(&mut self, tuple: &[u8]) -> Option<u32>;

    /// The SYN cookie for a segment behind an IP header, and the largest segment that it says; nothing if none is made.
    fn cookie(&mut self, ip: &[u8], segment: &[u8]) -> Option<(u32, u16)>;

    /// Whether an acknowledgement behind an IP header brings a cookie back; of the segment nothing but its first 20 bytes need be there.
    fn brings_cookie(&mut self, ip: &[u8], segment: &[u8]) -> bool;
}

/// Programs, maps and the world around them.
pub struct Vm {
    /// The maps.
    pub maps: Maps,
    /// What all clocks say, in nanoseconds.
    pub clock_ns: u64,
    /// Ticks a second of `jiffies64`.
    pub hz: u64,
    /// `get_prandom_u32`.
    pub random: Box<dyn FnMut() -> u32 + Send>,
    /// `fib_lookup`; without one the helper is not there.
    pub fib: Option<Fib>,
    /// Sockets of TCP; without them their helpers are not there.
    pub sockets: Option<Box<dyn Sockets>>,
    /// The context of XDP runs.
    pub xdp: XdpMeta,
    /// The context of tc runs; afterwards what the program made of it.
    pub skb: SkbMeta,
    /// How many bytes of a packet can be read directly; none means all.
    pub linear: Option<usize>,
    /// How many instructions a run may take.
    pub budget: u64,
    /// How many instructions the last run took.
    pub executed: u64,
    /// Where the last run sent its packet.
    pub redirect: Option<Redirect>,
    programs: Vec<Arc<Loaded>>,
    outputs: Vec<Output>,
    /// Bytes in use of each ring buffer.
    rings: BTreeMap<u32, usize>,
    packet: Packet,
    stack: Stack,
}

impl fmt::Debug for Vm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vm")
            .field("programs", &self.programs.len())
            .field("maps", &self.maps.stores.len())
            .field("clock_ns", &self.clock_ns)
            .finish_non_exhaustive()
    }
}

/// A program with its code by slot.
#[derive(Debug)]
struct Loaded {
    program: Program,
    code: Vec<Insn>,
}

impl Vm {
    /// A machine with these maps, no programs, the clock at 0, a fixed sequence of random numbers
    /// and a budget of 10 million instructions a run.
    pub fn new(maps: &[MapDef]) -> Vm {
        Vm {
            maps: Maps::new(maps),
            clock_ns: 0,
            hz: 250,
            random: xorshift(0x9e37_79b9),
            fib: None,
            sockets: None,
            xdp: XdpMeta::default(),
            skb: SkbMeta::default(),
            linear: None,
            budget: 10_000_000,
            executed: 0,
            redirect: None,
            programs: Vec::new(),
            outputs: Vec::new(),
            rings: BTreeMap::new(),
            packet: Packet::default(),
            stack: Stack::default(),
        }
    }

    /// A machine with an object's maps and programs; program `n` is `ProgramId(n)`.
    pub fn for_object(object: &Object) -> Vm {
        let mut vm = Vm::new(&object.maps);
        for program in &object.programs {
            vm.load(program);
        }
        vm
    }

    /// Adds a program.
    pub fn load(&mut self, program: &Program) -> ProgramId {
        let mut code = Vec::with_capacity(program.slots());
        for insn in &program.insns {
            // The second slot of a load is never reached in order; a jump into it runs on.
            code.extend(std::iter::repeat_n(*insn, insn.slots()));
        }
        let program = program.clone();
        self.programs.push(Arc::new(Loaded { program, code }));
        ProgramId(self.programs.len() as u32 - 1)
    }

    /// Runs an XDP program: the result is the action (`XDP_PASS` 2), the packet what it became.
    pub fn run_xdp(&mut self, program: ProgramId, packet: &mut Vec<u8>) -> Result<u32, Fault> {
        let (action, _) = self.run(program, packet, Context::Xdp(self.xdp))?;
        Ok(action)
    }

    /// Runs a tc program: the result is the action (`TC_ACT_OK` 0), the packet what it became.
    pub fn run_tc(&mut self, program: ProgramId, packet: &mut Vec<u8>) -> Result<u32, Fault> {
        let (action, context) = self.run(program, packet, Context::Tc(self.skb))?;
        if let Context::Tc(meta) = context {
            self.skb = meta;
        }
        Ok(action)
    }

    /// Everything that programs sent since the last call; their ring buffers are empty again.
    pub fn take_outputs(&mut self) -> Vec<Output> {
        self.rings.clear();
        std::mem::take(&mut self.outputs)
    }

    fn run(
        &mut self,
        program: ProgramId,
        packet: &mut Vec<u8>,
        context: Context,
    ) -> Result<(u32, Context), Fault> {
        self.redirect = None;
        self.packet.fill(packet, self.linear);
        let result = exec::run(self, program, context);
        packet.clear();
        packet.extend_from_slice(self.packet.bytes());
        result
    }
}

/// Marsaglia's generator with 32 bits of state, for reproducible runs.
pub fn xorshift(seed: u32) -> Box<dyn FnMut() -> u32 + Send> {
    let mut state = seed.max(1);
    Box::new(move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    })
}

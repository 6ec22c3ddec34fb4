use super::{Engine, EngineError, Judgement, is_xdp, judgement_of, sample_of, sections};
use crate::StatementCounters;
use crate::counters::{Counted, SLOT_BYTES, by_statement, counted, counter};
use crate::sets::content;
use weir_bpf::interp::{ProgramId, Vm};
use weir_compiler::Compilation;
use weir_compiler::codegen::counters::SLOTS;
use weir_compiler::codegen::samples::{RING, SECTION, section_of};
use weir_compiler::sampling::{Dice, Odds};
use weir_compiler::sockets::{Acknowledged, Socket, Sockets};
use weir_compiler::state::{PoolState, ROUTED};

/// `weir_bpf`'s interpreter on the emitted bytecode.
pub struct Bytecode<'a> {
    compilation: &'a Compilation,
    statements: Vec<Counted>,
    /// The machine: its maps may be read and filled.
    pub vm: Vm,
    xdp: bool,
}

impl<'a> Bytecode<'a> {
    /// A machine with the policy's own elements in its sets.
    pub fn new(compilation: &'a Compilation) -> Self {
        let mut vm = Vm::for_object(&compilation.object);
        vm.fib = Some(Box::new(routed));
        vm.sockets = Some(Box::new(Host(Sockets::default())));
        // As the engines that follow the same laws in Rust.
        let mut dice = Dice::default();
        vm.random = Box::new(move || dice.roll());
        for (map, key, mut value) in content::entries(&compilation.analysis.policy, &compilation.lowered) {
            if let Some(map) = vm.maps.by_name(&map) {
                let bytes = vm.maps.def(map).map_or(0, |def| def.value.size() as usize);
                value.resize(bytes, 0);
                // The maps were made as large as their contents.
                let _ = vm.maps.update(map, &key, &value);
            }
        }
        let statements = counted(&compilation.analysis.policy);
        Self { compilation, statements, vm, xdp: is_xdp(compilation) }
    }
}

/// A host's TCP, asked by helpers.
struct Host(Sockets);

/// States: a connection that is there, a socket that listens.
const ESTABLISHED: u32 = 1;
const LISTENS: u32 = 10;

/// Addresses and ports.
fn ends(ip: &[u8], segment: &[u8]) -> Vec<u8> {
    let addresses = if ip.len() == 40 { &ip[8..] } else { &ip[12..20] };
    [addresses, &segment[..4]].concat()
}

impl weir_bpf::interp::Sockets for Host {
    fn find(&mut self, tuple: &[u8]) -> Option<u32> {
        Some(match self.0.find(tuple)? {
            Socket::Listening => LISTENS,
            Socket::Connected => ESTABLISHED,
        })
    }

    fn cookie(&mut self, ip: &[u8], segment: &[u8]) -> Option<(u32, u16)> {
        let cookie = self.0.cookie(&ends(ip, segment), segment);
        (cookie != 0).then_some((cookie as u32, (cookie >> 32) as u16))
    }

    fn brings_cookie(&mut self, ip: &[u8], segment: &[u8]) -> bool {
        self.0.acknowledged(&ends(ip, segment), segment) == Acknowledged::Cookie
    }
}

/// Answers as [`ROUTED`] says: `struct bpf_fib_lookup` has the interface at 8, our address at 52 and the next hop's at 58.
fn routed(params: &mut [u8], _: u64) -> i64 {
    let Some(parts) = params.get_mut(..64) else { return -22 };
    parts[8..12].copy_from_slice(&1u32.to_ne_bytes());
    parts[52..58].copy_from_slice(&ROUTED.from.unwrap_or_default());
    parts[58..64].copy_from_slice(&ROUTED.to);
    0
}

impl Engine for Bytecode<'_> {
    fn name(&self) -> &'static str {
        "bytecode"
    }

    fn judge(&mut self, frame: &[u8], now: u64) -> Result<Judgement, EngineError> {
        self.vm.clock_ns = now;
        let mut packet = frame.to_vec();
        let code = match self.xdp {
            true => self.vm.run_xdp(ProgramId(0), &mut packet),
            false => self.vm.run_tc(ProgramId(0), &mut packet),
        };
        let code =
            code.map_err(|fault| EngineError::Fault { engine: "bytecode", what: fault.to_string() })?;
        let ring = self.vm.maps.by_name(RING);
        let outputs = self.vm.take_outputs();
        let records = outputs.iter().filter(|output| Some(output.map) == ring);
        let samples = records.filter_map(|record| sample_of(self.compilation, &record.bytes)).collect();
        Ok(Judgement { samples, ..judgement_of(self.xdp, code, frame, packet) })
    }

    fn set_pools(&mut self, pools: &[PoolState]) -> Result<(), EngineError> {
        for (name, section) in sections(self.compilation, pools) {
            let map = self.vm.maps.by_name(&name);
            let set = map.map(|map| self.vm.maps.update(map, &[0; 4], &section));
            if !matches!(set, Some(Ok(()))) {
                let what = format!("the section `{name}` takes no {} bytes", section.len());
                return Err(EngineError::Fault { engine: "bytecode", what });
            }
        }
        Ok(())
    }

    fn set_odds(&mut self, odds: &[Odds]) -> Result<(), EngineError> {
        match self.vm.maps.by_name(SECTION).map(|map| self.vm.maps.update(map, &[0; 4], &section_of(odds))) {
            None | Some(Ok(())) => Ok(()),
            Some(Err(fault)) => Err(EngineError::Fault { engine: "bytecode", what: format!("{fault:?}") }),
        }
    }

    fn set_sockets(&mut self, sockets: &Sockets) {
        self.vm.sockets = Some(Box::new(Host(sockets.clone())));
    }

    fn counters(&mut self) -> Result<Vec<StatementCounters>, EngineError> {
        let map = self.vm.maps.by_name("counters");
        let of = |name: &str| {
            let slot = *self.compilation.lowered.slots.get(name)?;
            let chunk = self.vm.maps.lookup(map?, &(slot / SLOTS).to_ne_bytes())?;
            chunk.chunks_exact(SLOT_BYTES).nth((slot % SLOTS) as usize).map(counter)
        };
        Ok(by_statement(&self.statements, |name| of(name).unwrap_or_default()))
    }
}

use super::{Engine, EngineError, Judgement, is_xdp, judgement_of};
use crate::StatementCounters;
use crate::counters::{Counted, SLOT_BYTES, by_statement, counted, counter};
use crate::sets::content;
use weir_bpf::interp::{ProgramId, Vm};
use weir_compiler::Compilation;
use weir_compiler::codegen::counters::SLOTS;

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
        Ok(judgement_of(self.xdp, code, frame, packet))
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

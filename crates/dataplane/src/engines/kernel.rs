use super::{Engine, EngineError, Judgement, is_xdp, judgement_of, sample_of, sections};
use crate::counters::{Counted, add_chunk, by_statement, counted, word};
use crate::error::refusal;
use crate::sets::content;
use crate::{Error, StatementCounters};
use weir_compiler::Compilation;
use weir_compiler::codegen::Statistic;
use weir_compiler::codegen::samples::{RING, SECTION, section_of};
use weir_compiler::sampling::Odds;
use weir_compiler::sockets::Sockets;
use weir_compiler::state::{Counter, PoolState};
use weir_kernel::load::{self, Loaded};
use weir_kernel::maps::{Map, Update};
use weir_kernel::program::Program;
use weir_kernel::rings::RingReader;
use weir_kernel::{KernelError, run};

/// A page less the headroom and tail that test runs keep (`bpf_prog_test_run_xdp`: 256 and 320).
const MAX_FRAME: usize = 4096 - 256 - 320;

/// The kernel, by `BPF_PROG_TEST_RUN`: the program is loaded and attached to nothing.
pub struct Kernel<'a> {
    compilation: &'a Compilation,
    statements: Vec<Counted>,
    loaded: Loaded,
    samples: Option<RingReader>,
    xdp: bool,
}

impl<'a> Kernel<'a> {
    /// Loads the program and puts the policy's own elements into its sets.
    pub fn load(compilation: &'a Compilation) -> Result<Self, Error> {
        let loaded = load::load_object(&compilation.object, load::Options::default());
        let loaded = loaded.map_err(|error| refusal(error, &compilation.analysis))?;
        fill(&loaded, compilation)?;
        let statements = counted(&compilation.analysis.policy);
        let samples = loaded.map(RING).map(RingReader::open).transpose()?;
        Ok(Self { compilation, statements, loaded, samples, xdp: is_xdp(compilation) })
    }

    /// The program, for measurements.
    pub fn program(&self) -> &Program {
        let name = &self.compilation.object.programs[0].name;
        self.loaded.program(name).unwrap_or_else(|| unreachable!("the object has one program"))
    }

    /// One of its maps.
    pub fn map(&self, name: &str) -> Option<&Map> {
        self.loaded.map(name)
    }

    /// Over all CPUs.
    pub fn statistic(&self, statistic: Statistic) -> Result<u64, KernelError> {
        match self.map("statistics") {
            Some(map) => statistic_of(map, statistic),
            None => Ok(0),
        }
    }
}

impl Engine for Kernel<'_> {
    fn name(&self) -> &'static str {
        "kernel"
    }

    fn judge(&mut self, frame: &[u8], _: u64) -> Result<Judgement, EngineError> {
        if !(run::MIN_FRAME..=MAX_FRAME).contains(&frame.len()) {
            return Err(EngineError::Length { length: frame.len(), max: MAX_FRAME });
        }
        let outcome = run::once(self.program(), frame)?;
        let mut samples = Vec::new();
        if let Some(ring) = &mut self.samples {
            let compilation = self.compilation;
            ring.drain(|record| samples.extend(sample_of(compilation, record)));
        }
        Ok(Judgement { samples, ..judgement_of(self.xdp, outcome.code, frame, outcome.frame) })
    }

    fn set_pools(&mut self, pools: &[PoolState]) -> Result<(), EngineError> {
        for (name, section) in sections(self.compilation, pools) {
            if let Some(map) = self.map(&name) {
                map.update(&[0; 4], &section, Update::Any)?;
            }
        }
        Ok(())
    }

    fn set_odds(&mut self, odds: &[Odds]) -> Result<(), EngineError> {
        if let Some(map) = self.map(SECTION) {
            map.update(&[0; 4], &section_of(odds), Update::Any)?;
        }
        Ok(())
    }

    fn set_sockets(&mut self, _: &Sockets) {}

    fn counters(&mut self) -> Result<Vec<StatementCounters>, EngineError> {
        let totals = match self.map("counters") {
            Some(map) => totals_of(map)?,
            None => Vec::new(),
        };
        let slots = &self.compilation.lowered.slots;
        let of = |name: &str| {
            slots.get(name).and_then(|&slot| totals.get(slot as usize).copied()).unwrap_or_default()
        };
        Ok(by_statement(&self.statements, of))
    }
}

fn fill(loaded: &Loaded, compilation: &Compilation) -> Result<(), KernelError> {
    for (map, key, mut value) in content::entries(&compilation.analysis.policy, &compilation.lowered) {
        if let Some(map) = loaded.map(&map) {
            value.resize(map.info().value_size as usize, 0);
            map.update(&key, &value, Update::Any)?;
        }
    }
    Ok(())
}

/// Every slot of a `counters` map, summed over CPUs.
pub(crate) fn totals_of(map: &Map) -> Result<Vec<Counter>, KernelError> {
    let mut totals = Vec::new();
    for chunk in 0..map.info().max_entries {
        for value in map.lookup_per_cpu(&chunk.to_ne_bytes())?.unwrap_or_default() {
            add_chunk(&mut totals, chunk, &value);
        }
    }
    Ok(totals)
}

/// One of the `statistics`, summed over CPUs.
pub(crate) fn statistic_of(map: &Map, statistic: Statistic) -> Result<u64, KernelError> {
    let values = map.lookup_per_cpu(&(statistic as u32).to_ne_bytes())?.unwrap_or_default();
    Ok(values.iter().map(|value| word(value)).sum())
}

use super::{By, Engine, EngineError, Judgement, samples_of};
use crate::StatementCounters;
use crate::counters::{Counted, by_statement, counted};
use weir_compiler::Compilation;
use weir_compiler::ir::interp::{Captured, Interpreter};
use weir_compiler::lower::Lowered;
use weir_compiler::policy::Policy;
use weir_compiler::sampling::Odds;
use weir_compiler::sockets::Sockets;
use weir_compiler::state::{PoolState, State};

/// The IR interpreter on a lowered program.
pub struct Ir<'a> {
    statements: Vec<Counted>,
    policy: &'a Policy,
    lowered: &'a Lowered,
    interpreter: Interpreter,
    /// What the program keeps; live sets may be filled here.
    pub state: State,
    /// The copies that the last frame sent to the capture ring.
    pub captured: Vec<Captured>,
}

impl<'a> Ir<'a> {
    /// The program after the passes.
    pub fn new(compilation: &'a Compilation) -> Self {
        Self::of(&compilation.analysis.policy, &compilation.lowered)
    }

    /// Any lowering of a policy, such as one without passes.
    pub fn of(policy: &'a Policy, lowered: &'a Lowered) -> Self {
        let interpreter = Interpreter::new(&lowered.program);
        let statements = counted(policy);
        let (state, captured) = (lowered.state(policy), Vec::new());
        Self { statements, policy, lowered, interpreter, state, captured }
    }
}

impl Engine for Ir<'_> {
    fn name(&self) -> &'static str {
        "ir"
    }

    fn judge(&mut self, frame: &[u8], now: u64) -> Result<Judgement, EngineError> {
        self.state.now = now;
        let outcome = self.interpreter.run(&mut self.state, frame);
        let outcome =
            outcome.map_err(|fault| EngineError::Fault { engine: "ir", what: fault.to_string() })?;
        self.captured = outcome.captured;
        let by = outcome.by.map_or(By::Default, |id| By::Statement(id.index()));
        let taken = outcome.samples.into_iter().map(|(id, one_in)| (id.index(), one_in)).collect();
        let samples = samples_of(self.policy, taken, (outcome.verdict, by), frame);
        Ok(Judgement { verdict: outcome.verdict, by, frame: outcome.frame, samples })
    }

    fn set_pools(&mut self, pools: &[PoolState]) -> Result<(), EngineError> {
        self.state.pools = pools.to_vec();
        Ok(())
    }

    fn set_odds(&mut self, odds: &[Odds]) -> Result<(), EngineError> {
        self.state.odds = odds.to_vec();
        Ok(())
    }

    fn set_sockets(&mut self, sockets: &Sockets) {
        self.state.sockets = sockets.clone();
    }

    fn counters(&mut self) -> Result<Vec<StatementCounters>, EngineError> {
        let slot = |name: &str| self.lowered.slots.get(name).map(|&slot| self.state.counters[slot as usize]);
        Ok(by_statement(&self.statements, |name| slot(name).unwrap_or_default()))
    }
}

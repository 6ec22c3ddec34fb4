use super::{By, Engine, EngineError, Judgement, samples_of};
use crate::StatementCounters;
use crate::counters::{Counted, by_statement, counted};
use weir_compiler::eval::Evaluator;
use weir_compiler::policy::{Policy, Unsent};
use weir_compiler::sampling::Odds;
use weir_compiler::sockets::Sockets;
use weir_compiler::state::{Counter, PoolState};

/// The naive evaluator over the checked policy: what it means, said as plainly as can be.
pub struct Plain<'a> {
    statements: Vec<Counted>,
    policy: &'a Policy,
    evaluator: Evaluator<'a>,
}

impl<'a> Plain<'a> {
    /// At the start: every bucket full, every counter zero.
    pub fn new(policy: &'a Policy) -> Self {
        Self { statements: counted(policy), policy, evaluator: Evaluator::new(policy) }
    }

    /// The evaluator, to put elements into live sets.
    pub fn evaluator(&mut self) -> &mut Evaluator<'a> {
        &mut self.evaluator
    }
}

impl Engine for Plain<'_> {
    fn name(&self) -> &'static str {
        "evaluator"
    }

    fn judge(&mut self, frame: &[u8], now: u64) -> Result<Judgement, EngineError> {
        self.evaluator.now = now;
        let outcome = self.evaluator.judge(frame);
        let by = outcome.by.map_or(By::Default, By::Statement);
        let samples = samples_of(self.policy, outcome.samples, (outcome.verdict, by), frame);
        Ok(Judgement { verdict: outcome.verdict, by, frame: outcome.frame, samples })
    }

    fn set_pools(&mut self, pools: &[PoolState]) -> Result<(), EngineError> {
        self.evaluator.pools = pools.to_vec();
        Ok(())
    }

    fn set_odds(&mut self, odds: &[Odds]) -> Result<(), EngineError> {
        for ((index, _), odds) in self.policy.samples().zip(odds) {
            self.evaluator.odds.insert(index, *odds);
        }
        Ok(())
    }

    fn set_sockets(&mut self, sockets: &Sockets) {
        self.evaluator.sockets = sockets.clone();
    }

    fn counters(&mut self) -> Result<Vec<StatementCounters>, EngineError> {
        let of = |name: &str| -> Counter {
            let named = |name: &str| self.statements.iter().position(|statement| statement.name == name);
            let part = || name.rsplit_once('/').and_then(|(name, part)| Some((named(name)?, Some(part))));
            let Some((index, part)) = named(name).map(|index| (index, None)).or_else(part) else {
                return Counter::default();
            };
            match part {
                None => self.evaluator.counters[index],
                // Here nothing is ever lost.
                Some("lost") => Counter::default(),
                Some("over") => self.evaluator.over[index],
                Some(part @ ("answered" | "valid" | "invalid")) => {
                    self.evaluator.cookies.get(&(index, part)).copied().unwrap_or_default()
                }
                Some(part) => {
                    let why = Unsent::ALL.into_iter().find(|why| why.word() == part);
                    let counter = why.and_then(|why| self.evaluator.unsent.get(&(index, why)));
                    counter.copied().unwrap_or_default()
                }
            }
        };
        Ok(by_statement(&self.statements, of))
    }
}

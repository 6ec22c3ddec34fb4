//! What `explain` tells of pools.

use crate::printer::{Cell, Table};
use crate::units::grouped;
use serde::Serialize;
use weir_compiler::policy::Policy;
use weir_pool::slots::Track;

#[derive(Serialize)]
pub(super) struct PoolFact {
    pub(super) name: String,
    pub(super) backends: usize,
    pub(super) slots: u32,
    pub(super) track: &'static str,
    /// How many flows it can remember.
    pub(super) flows: u32,
}

pub(super) fn facts(policy: &Policy) -> Vec<PoolFact> {
    let fact = |pool: &weir_compiler::policy::Pool| PoolFact {
        name: pool.name.clone(),
        backends: pool.backends.len(),
        slots: pool.ring,
        track: pool.track.word(),
        flows: pool.flows,
    };
    policy.pools.iter().map(fact).collect()
}

pub(super) fn table(facts: &[PoolFact]) -> Table {
    let mut table = Table::new(&["  pool", ">backends", ">slots", ">flows", "remembered are"]);
    for pool in facts {
        let remembered = match pool.track == Track::All.word() {
            true => "all, so that each packet looks for its flow",
            false => "those of slots that changed lately; else the slot decides alone",
        };
        table.row(vec![
            format!("  {}", pool.name).into(),
            Cell::right(pool.backends.to_string()),
            Cell::right(grouped(pool.slots.into())),
            Cell::right(grouped(pool.flows.into())),
            remembered.into(),
        ]);
    }
    table
}

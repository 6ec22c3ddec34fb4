//! A mitigation that another defence goes on with.

use crate::life::{Past, Proposal, Written};
use crate::mine::Statement;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A mitigation that stands, with all that the next defence needs of it: in any format that describes itself.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Standing {
    /// Its number.
    pub id: u64,
    /// What was mined.
    pub statement: Statement,
    /// Whether it only counts so far.
    pub in_shadow: bool,
    /// Whether a person wants it to stay.
    pub pinned: bool,
    /// Packets that it was hit by.
    pub hits: u64,
    /// The highest rate of them, a second: what is far below it is no reason to keep it.
    #[serde(default)]
    pub highest: f64,
    /// What a person wrote in the place of what was mined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written: Option<Written>,
}

impl Standing {
    /// Its name in the policy.
    pub fn name(&self) -> String {
        format!("mitigation_{}_{}", self.id, self.statement.name)
    }

    /// As lives go on with it, if it is so old.
    pub(super) fn life(&self, age: Duration) -> (Proposal, Past) {
        let mined = Proposal::of(&self.statement);
        let proposal = match &self.written {
            Some(written) => mined.written(written),
            None => mined,
        };
        let Standing { in_shadow, pinned, hits, highest, .. } = *self;
        (proposal, Past { in_shadow, pinned, edited: self.written.is_some(), hits, highest, age })
    }
}

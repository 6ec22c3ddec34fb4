//! A mitigation that another defence goes on with.

use crate::mine::Statement;
use serde::{Deserialize, Serialize};

/// A mitigation that stands, with all that the next defence needs of it: in any format.
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
}

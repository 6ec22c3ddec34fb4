//! A mitigation that stands, and what is seen of it.

use crate::mine::Statement;
use crate::sample::{Fate, Sample};
use std::time::Duration;

/// Good traffic before and after enforcing is compared over so long, at least,
const COMPARED: Duration = Duration::from_secs(1);
/// if so many samples of it are to be expected,
const EXPECTED: f64 = 20.0;
/// and has fallen if less than this part came.
const FALLEN: f64 = 0.5;

/// A mitigation that stands, and the good samples that passed beside it.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) statement: Statement,
    pub(super) tried: Option<Duration>,
    pub(super) enforced: Option<Duration>,
    passed_in_shadow: u64,
    passed_since: u64,
    pub(super) name: String,
    /// A sample has shown that it drops.
    pub(super) drops: bool,
}

impl Watched {
    pub(super) fn new(statement: Statement, name: String) -> Watched {
        Watched {
            statement,
            tried: None,
            enforced: None,
            passed_in_shadow: 0,
            passed_since: 0,
            name,
            drops: false,
        }
    }

    pub(super) fn is_first_drop(&self, decider: &str) -> bool {
        !self.drops && self.name == decider
    }

    /// Whether it takes a sample that looks good. A limit matches good traffic; what it took, the sample says.
    pub(super) fn harms(&self, sample: &Sample<'_>) -> bool {
        match self.statement.is_limit() {
            true => sample.fate == Fate::Dropped && sample.statement == Some(&self.name),
            false => self.statement.matches(sample) == Some(true),
        }
    }

    pub(super) fn see(&mut self, fate: Fate) {
        if fate == Fate::Passed {
            match self.enforced {
                None => self.passed_in_shadow += 1,
                Some(_) => self.passed_since += 1,
            }
        }
    }

    /// Whether good traffic fell when it was enforced. What it was before is known only of one that was in shadow.
    pub(super) fn has_fallen(&self, now: Duration) -> bool {
        let (Some(tried), Some(enforced)) = (self.tried, self.enforced) else { return false };
        let (before, since) = (enforced.saturating_sub(tried), now.saturating_sub(enforced));
        if before < COMPARED || since < COMPARED {
            return false;
        }
        let expected = self.passed_in_shadow as f64 * since.as_secs_f64() / before.as_secs_f64();
        expected >= EXPECTED && (self.passed_since as f64) < FALLEN * expected
    }
}

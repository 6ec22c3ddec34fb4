//! A mitigation that stands, and what is seen of it.

use super::written::Matcher;
use crate::life::Written;
use crate::mine::{Destinations, Statement};
use crate::sample::{Fate, Sample};
use std::time::Duration;

/// Good traffic before and after enforcing is compared over so long, at least,
const COMPARED: Duration = Duration::from_secs(1);
/// if so many samples of it are to be expected,
const EXPECTED: f64 = 20.0;
/// and has fallen if less than this part came.
const FALLEN: f64 = 0.5;

/// Who wrote what stands.
#[derive(Debug)]
enum Author {
    Miner,
    /// It matches what `matcher` says, once that is known.
    Person {
        is_limit: bool,
        matcher: Option<Matcher>,
    },
}

/// A mitigation that stands, and the good samples that passed beside it.
#[derive(Debug)]
pub(super) struct Watched {
    /// What was mined.
    pub(super) statement: Statement,
    author: Author,
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
            author: Author::Miner,
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

    pub(super) fn victim(&self) -> &Destinations {
        self.statement.victim()
    }

    /// A person wrote another one in its place, which is in force. Good traffic in shadow is good traffic, whatever stood there.
    pub(super) fn edit(&mut self, written: &Written, now: Duration) {
        self.write(written);
        self.passed_since = 0;
        match written.in_shadow {
            true => (self.tried, self.enforced, self.passed_in_shadow) = (Some(now), None, 0),
            false if self.enforced.is_none() => self.enforced = Some(now),
            // What stood before took of it, or did not.
            false => (self.tried, self.enforced) = (None, Some(now)),
        }
    }

    /// Likewise, and it is not in force yet.
    pub(super) fn write(&mut self, written: &Written) {
        self.author = Author::Person { is_limit: written.verb == "limit", matcher: None };
    }

    /// What a person wrote matches this.
    pub(super) fn match_by(&mut self, by: Matcher) {
        if let Author::Person { matcher, .. } = &mut self.author {
            *matcher = Some(by);
        }
    }

    /// Whether what is like this sample is no longer to be looked at: it is met, or is about to be. What only counts because a person
    /// wants it so meets nothing.
    pub(super) fn meets(&self, sample: &Sample<'_>) -> bool {
        self.matches(sample) && (self.is_mined() || self.enforced.is_some())
    }

    /// Whether it may still turn out to meet nothing.
    pub(super) fn is_on_trial(&self) -> bool {
        self.is_mined() && self.enforced.is_none()
    }

    /// Whether what stands is what the miner found.
    pub(super) fn is_mined(&self) -> bool {
        matches!(self.author, Author::Miner)
    }

    fn matches(&self, sample: &Sample<'_>) -> bool {
        let matches = match &self.author {
            Author::Miner => self.statement.matches(sample),
            Author::Person { matcher, .. } => matcher.as_ref().and_then(|matcher| matcher.matches(sample)),
        };
        matches == Some(true)
    }

    /// Whether it takes a sample that looks good. A limit matches good traffic; what it took, the sample says, as it does of what a
    /// person wrote and enforced: samples do not show all that can be asked for.
    pub(super) fn harms(&self, sample: &Sample<'_>) -> bool {
        let would = match &self.author {
            Author::Miner => !self.statement.is_limit(),
            Author::Person { is_limit, .. } => !is_limit && self.enforced.is_none(),
        };
        match would {
            true => self.matches(sample),
            false => sample.fate == Fate::Dropped && sample.statement == Some(&self.name),
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

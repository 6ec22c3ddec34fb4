//! What a person wrote in the place of a mitigation.
//!
//! It may ask for anything that the policy language can: whoever knows that language says what it matches.

use crate::sample::Sample;
use std::fmt;
use std::sync::Arc;

type Matches = dyn Fn(&Sample<'_>) -> Option<bool> + Send + Sync;

/// Says whether a statement matches a sample; nothing if the sample does not show enough.
#[derive(Clone)]
pub struct Matcher(Arc<Matches>);

impl Matcher {
    /// By this.
    pub fn new(matches: impl Fn(&Sample<'_>) -> Option<bool> + Send + Sync + 'static) -> Matcher {
        Matcher(Arc::new(matches))
    }

    /// Whether it matches.
    pub fn matches(&self, sample: &Sample<'_>) -> Option<bool> {
        (self.0)(sample)
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Matcher")
    }
}

//! Who sent good traffic before an attack: what a mitigation does to them shows its harm.
//!
//! A source that sends far more than before is no witness: an attacker may use its address.

use super::recent::Kept;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

/// So many times what it sent before, a source may send.
const MORE: f64 = 3.0;
/// And so many samples in any case.
const LEAST: f64 = 3.0;

/// The sources of samples from before.
#[derive(Clone, Debug)]
pub(super) struct Witnesses {
    /// By source: samples a second before, and how many it sent since.
    sources: HashMap<IpAddr, (f64, u32)>,
    since: Duration,
}

impl Witnesses {
    pub(super) fn of(good: &[&Kept], since: Duration) -> Witnesses {
        let first = good.iter().map(|kept| kept.time()).min().unwrap_or(since);
        let seconds = since.saturating_sub(first).as_secs_f64().max(1.0);
        let mut sources: HashMap<IpAddr, (f64, u32)> = HashMap::new();
        for kept in good {
            sources.entry(kept.source()).or_default().0 += 1.0 / seconds;
        }
        Witnesses { sources, since }
    }

    /// Whether a sample that came now looks good, by its source.
    pub(super) fn vouch(&mut self, source: IpAddr, time: Duration) -> bool {
        let seconds = time.saturating_sub(self.since).as_secs_f64();
        let Some((before, sent)) = self.sources.get_mut(&source) else { return false };
        *sent = sent.saturating_add(1);
        f64::from(*sent) <= LEAST + MORE * *before * seconds
    }
}

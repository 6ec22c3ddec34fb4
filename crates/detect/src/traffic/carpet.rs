//! Attacks on a prefix that are on none of its hosts: carpet bombing.
//!
//! A flood on one host is above the limit of its prefix as well, and that would be two alerts of one attack. So a prefix
//! has an alert for what is left without the hosts (and prefixes inside of it) that explain it. A host that has an alert
//! does. One that has half of what an alert takes may be about to have one, so it does for a moment, [`PATIENCE`]: the
//! hosts' samples come at the same rate as the prefix's, and what they have not told by then they will not tell soon.

use super::config::Config;
use super::entry::Horizons;
use super::judge::above;
use super::suspicion::{Suspicion, Suspicions};
use super::tally::Tally;
use super::window::Moment;

/// Two and a half of the shortest horizon, in nanoseconds.
const PATIENCE: u64 = 250_000_000;

/// Who explains a prefix.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Explained {
    /// Those with an alert.
    ByAlerts,
    /// Those that may have one soon, too.
    ByAny,
}

/// Whether a prefix has an alert, by the horizon and the sums that are left of it.
pub(super) fn above_unexplained(
    prefix: &mut Suspicion,
    all: &Suspicions,
    sums: &Horizons,
    tally: &Tally,
    config: &Config,
) -> Option<(usize, Horizons)> {
    let now = tally.clock.moment();
    let judge = |sums: Horizons| above(&sums, &prefix.limit, config).map(|level| (level, sums));
    let left = |explained| judge(without(prefix, all, sums, tally, &now, explained));
    if let found @ Some(_) = left(Explained::ByAny) {
        return found;
    }
    let found = left(Explained::ByAlerts);
    if found.is_none() {
        prefix.explained_since = None;
        return None;
    }
    let since = *prefix.explained_since.get_or_insert(now.nanos);
    found.filter(|_| now.nanos - since >= PATIENCE)
}

fn without(
    prefix: &Suspicion,
    all: &Suspicions,
    sums: &Horizons,
    tally: &Tally,
    now: &Moment,
    explained: Explained,
) -> Horizons {
    let inside = |other: &&Suspicion| {
        other.place.kind < prefix.place.kind
            && (explained == Explained::ByAny || other.alert.is_some())
            && other.is_inside(&prefix.spans)
    };
    let parts: Vec<&Suspicion> = all.iter().filter(inside).collect();
    // Each frame is taken away once: with the outermost of those that have it.
    let is_outermost = |part: &&&Suspicion| {
        !parts.iter().any(|other| other.place.kind > part.place.kind && part.is_inside(&other.spans))
    };
    let mut left = *sums;
    for part in parts.iter().filter(is_outermost) {
        let Some(entry) = tally.entry(part.place) else { continue };
        for (left, part) in left.iter_mut().zip(entry.horizons(now)) {
            *left = left.without(&part);
        }
    }
    left
}

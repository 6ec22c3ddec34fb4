//! Attacks on a prefix or a service that are on none of its hosts: carpet bombing.
//!
//! A flood on one host is above the limit of its prefix as well, and that would be two alerts of one attack. So a prefix
//! has an alert for what is left without the hosts (and prefixes inside of it) that explain it. A host that has an alert
//! does. One that has half of what an alert takes may be about to have one, so it does for a moment, [`PATIENCE`]: the
//! hosts' samples come at the same rate as the prefix's, and what they have not told by then they will not tell soon.
//!
//! With services it is the same, with four more rules. One of several addresses always waits. What is as wide as a service is told under the service's name. A service that
//! is only partly in a prefix explains what goes to that part. And as somebody who waits may get an alert any moment, what is around
//! waits for that.

use super::clock::nanos;
use super::config::Config;
use super::entry::Horizons;
use super::judge::{above, freshest};
use super::prefix::Span;
use super::suspicion::{Suspicion, Suspicions};
use super::tally::{Place, Tally};
use super::window::{HORIZONS, Moment};

/// Two and a half of the shortest horizon, in nanoseconds; where samples are too few for that one, as long as theirs.
const PATIENCE: u64 = 250_000_000;

/// Who explains a prefix.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Explained {
    /// Those with an alert, or that would have one if they did not wait.
    ByAlerts,
    /// Those that may have one soon, too.
    ByAny,
}

/// Whether a prefix or a service has an alert, by the horizon and the sums that are left of it.
pub(super) fn above_unexplained(
    one: &mut Suspicion,
    all: &Suspicions,
    sums: &Horizons,
    tally: &Tally,
    config: &Config,
) -> Option<(usize, Horizons)> {
    let now = tally.clock.moment();
    let judge = |sums: Horizons| above(&sums, &one.limit, config).map(|level| (level, sums));
    let left = |explained| judge(without(one, all, sums, tally, &now, explained));
    if !is_service_of_several(one, tally)
        && let found @ Some(_) = left(Explained::ByAny)
    {
        return found;
    }
    let found = left(Explained::ByAlerts);
    if found.is_none() {
        one.explained_since = None;
        return None;
    }
    let since = *one.explained_since.get_or_insert(now.nanos);
    let patience = nanos(HORIZONS[freshest(sums, config.samples)]).max(PATIENCE);
    found.filter(|_| now.nanos - since >= patience)
}

/// Its limit is that of a host, so a host that is attacked may well be nowhere near a suspicion when the service is above it.
fn is_service_of_several(one: &Suspicion, tally: &Tally) -> bool {
    one.place.kind == tally.services_kind() && !matches!(one.spans.as_slice(), [host] if host.length == 128)
}

fn without(
    prefix: &Suspicion,
    all: &Suspicions,
    sums: &Horizons,
    tally: &Tally,
    now: &Moment,
    explained: Explained,
) -> Horizons {
    let counts = |other: &&Suspicion| explained == Explained::ByAny || other.is_above();
    let parts: Vec<Part> =
        all.iter().filter(counts).filter_map(|other| Part::of(other, prefix, tally)).collect();
    // Each frame is taken away once: with the outermost of those that have it.
    let is_outermost =
        |part: &&Part| !parts.iter().any(|other| part.explains(other.place, &other.spans, tally));
    let mut left = *sums;
    for sums in parts.iter().filter(is_outermost).flat_map(|part| part.sums(tally, now)) {
        for (left, part) in left.iter_mut().zip(sums) {
            *left = left.without(&part);
        }
    }
    left
}

/// What a suspicion is of another one that is around it.
struct Part {
    place: Place,
    spans: Vec<Span>,
    /// Not all of a service.
    is_cut: bool,
}

impl Part {
    fn of(suspicion: &Suspicion, around: &Suspicion, tally: &Tally) -> Option<Part> {
        let (place, spans) = (suspicion.place, suspicion.spans.clone());
        let whole = Part { place, spans, is_cut: false };
        if whole.explains(around.place, &around.spans, tally) {
            return Some(whole);
        }
        let is_service = |place: Place| place.kind == tally.services_kind();
        if !is_service(place) || is_service(around.place) {
            return None;
        }
        let mut spans = whole.spans;
        spans.retain(|span| Span::are_in(&[*span], &around.spans));
        (!spans.is_empty()).then_some(Part { place, spans, is_cut: true })
    }

    /// Whether it is inside of the other one, and narrower. Services are narrower than what is as wide as they are, and what of
    /// a prefix is all of one of their own is not narrower than they are.
    fn explains(&self, place: Place, spans: &[Span], tally: &Tally) -> bool {
        let services = tally.services_kind();
        let is_prefix = self.place.kind != 0 && self.place.kind != services;
        let is_as_wide = match is_prefix && place.kind == services {
            true => spans.iter().any(|span| Span::are_in(&[*span], &self.spans)),
            false => Span::are_in(spans, &self.spans),
        };
        let rank = |place: Place| if place.kind == services { 0 } else { place.kind + 1 };
        Span::are_in(&self.spans, spans) && (!is_as_wide || rank(self.place) < rank(place))
    }

    fn sums(&self, tally: &Tally, now: &Moment) -> Vec<Horizons> {
        let entries: Vec<_> = match self.is_cut {
            false => vec![tally.entry(self.place)],
            true => self.spans.iter().map(|span| tally.part(self.place.slot, *span)).collect(),
        };
        entries.into_iter().flatten().map(|entry| entry.horizons(now)).collect()
    }
}

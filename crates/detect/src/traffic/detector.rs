//! The detection as a whole: samples in, events out.

use std::time::Duration;

use super::alert::{Alert, Event, Victim};
use super::baseline::{Baselines, Learnt};
use super::carpet;
use super::clock::nanos;
use super::config::{Config, Limit, Rate, Service};
use super::entry::{Horizons, is_suspect};
use super::flow::{Flow, Kind};
use super::judge::{self, estimates, freshest};
use super::prefix::Span;
use super::services::Services;
use super::suspicion::{Suspicion, Suspicions};
use super::tally::{Place, Seen, Tally};
use super::window::{HORIZONS, Moment};

/// Suspicions are judged as often as this at most, in nanoseconds, beside what samples of the shortest horizon decide.
const ROUND: u64 = 10_000_000;

/// Prefixes and services are judged by samples as often as this at most: each time, all hosts that explain them are gone through.
const PREFIX_REST: u64 = 5_000_000;

/// A suspicion without an alert that has not even half of its limit is given up after this.
const FORGET: u64 = 10_000_000_000;

/// Finds attacks by the traffic to each destination. See [the module](super) for how.
#[derive(Clone, Debug)]
pub struct Detector {
    pub(super) config: Config,
    pub(super) tally: Tally,
    pub(super) baselines: Baselines,
    pub(super) suspicions: Suspicions,
    /// Destinations with enough traffic for their baselines to matter.
    pub(super) notable: Vec<Place>,
    /// Samples that are not counted yet.
    pub(super) waiting: Vec<Seen>,
    /// To be judged when the sample is counted.
    pub(super) due: Vec<Place>,
    events: Vec<Event>,
    next_id: u64,
    /// When the last round and the last lesson were, in nanoseconds and seconds.
    round: u64,
    pub(super) second: u64,
    /// Whether there were samples since the last lesson.
    pub(super) is_fed: bool,
    /// Until when everything is learnt, from the first sample on.
    pub(super) learn_until: Option<u64>,
    pub(super) is_learning: bool,
}

impl Detector {
    /// Knows nothing yet.
    pub fn new(config: Config) -> Detector {
        let kinds = config.levels.len() + 2;
        Detector {
            tally: Tally::new(&config),
            baselines: Baselines::new(config.baselines, kinds, config.factor, config.growth),
            suspicions: Suspicions::new(config.alerts),
            notable: Vec::new(),
            waiting: Vec::new(),
            due: Vec::new(),
            events: Vec::new(),
            next_id: 1,
            round: 0,
            second: 0,
            is_fed: false,
            learn_until: None,
            is_learning: !config.learn.is_zero(),
            config,
        }
    }

    /// Time goes on. Gives what happened since the last call, in its order; ends and slow attacks are found here. To be
    /// called some twenty times a second; less often costs only latency.
    pub fn tick(&mut self, now: Duration) -> impl Iterator<Item = Event> + '_ {
        self.catch_up();
        self.tally.tick(now);
        let nanos = self.tally.clock.now();
        if nanos - self.round.min(nanos) >= ROUND || self.round == 0 {
            self.round = nanos;
            for slot in 0..self.suspicions.len() {
                self.refresh(slot);
                self.judge(slot);
            }
        }
        self.lesson();
        self.events.drain(..)
    }

    /// Alerts that have not ended, with what is known of them now.
    pub fn alerts(&self) -> impl Iterator<Item = Alert> + '_ {
        self.suspicions.iter().filter_map(|one| Some(one.told(one.alert.as_ref()?)))
    }

    /// The destinations with the most bits over the last ten seconds.
    pub fn top(&self, kind: Kind, count: usize) -> Vec<Flow> {
        self.tally.top(kind, count)
    }

    /// Traffic by destination.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// What is usual for a destination at this hour, if anything is known of it.
    pub fn usual(&self, victim: &Victim) -> Option<Rate> {
        let kind = self.tally.kind(victim)?;
        let spans = self.tally.place(victim).map(|place| self.tally.spans(place)).unwrap_or_default();
        self.usual_of(kind, victim, &spans)
    }

    /// From now on these are the destinations with a name. Those that were there before, with the same addresses, go on as they
    /// are; alerts about what has no such name any more end. What is usual for a name is kept in any case.
    pub fn serve(&mut self, services: Vec<Service>) {
        if services == self.config.services {
            return;
        }
        self.catch_up();
        self.config.services = services;
        let former = std::mem::replace(&mut self.tally.services, Services::new(&self.config));
        let slots = self.tally.services.inherit(former);
        let kind = self.tally.services_kind();
        let moved = |place: Place| match place.kind == kind {
            true => slots.get(place.slot as usize).copied().flatten().map(|slot| Place { kind, slot }),
            false => Some(place),
        };
        self.notable = self.notable.iter().filter_map(|place| moved(*place)).collect();
        self.tally.era += 1;
        for slot in 0..self.suspicions.len() {
            let Some(mut one) = self.suspicions.remove(slot) else { continue };
            match moved(one.place) {
                Some(place) => {
                    one.place = place;
                    let is_renamed = one.alert.is_some() && self.is_service(&one);
                    self.suspicions.put(slot, one);
                    if is_renamed {
                        self.end(slot);
                    }
                }
                None => self.told_over(&one),
            }
        }
    }

    /// Adds what another analyser counted ([`Tally::merge`] has the conditions). Sources and drops are those of this one's
    /// own samples. The answer is whether the two fit.
    pub fn absorb(&mut self, other: &Tally) -> bool {
        self.catch_up();
        if !self.tally.merge(other) {
            return false;
        }
        self.feed();
        for place in self.tally.suspects() {
            if let Some(slot) = self.suspect(place) {
                self.judge(slot);
            }
        }
        true
    }

    /// A person says that an alert is no attack but what will be usual from now on. Its highest rates are then usual at any
    /// hour, for its victim and the prefixes and services around it, and it ends. The answer is whether there is such an
    /// alert.
    pub fn accept(&mut self, id: u64) -> bool {
        self.catch_up();
        let Some(slot) = (0..self.suspicions.len()).find(|slot| self.has_alert(*slot, id)) else {
            return false;
        };
        let Some(one) = self.suspicions.at(slot) else { return false };
        let Some(alert) = &one.alert else { return false };
        let peak = Rate { packets: alert.packets_per_second.value, bits: alert.bits_per_second.value };
        let around = self.tally.around(&one.spans);
        for (kind, victim) in std::iter::once((one.place.kind, one.victim.clone())).chain(around) {
            self.baselines.raise(&victim, kind, self.config.floor_of(kind), peak);
        }
        self.tally.era += 1;
        self.end(slot);
        true
    }

    /// What was learnt, to be kept over a restart.
    pub fn learnt(&self) -> Learnt {
        self.baselines.learnt()
    }

    /// Takes what was learnt before a restart. What makes no sense is left out; the answer is how many destinations it was.
    pub fn recall(&mut self, learnt: Learnt) -> usize {
        self.catch_up();
        self.tally.era += 1;
        self.baselines.recall(learnt)
    }

    /// Numbers of alerts up to this one were given before a restart.
    pub fn number_behind(&mut self, last: u64) {
        self.next_id = self.next_id.max(last.saturating_add(1));
    }

    /// The last number of an alert that was given.
    pub fn last_id(&self) -> u64 {
        self.next_id - 1
    }

    pub(super) fn feed(&mut self) {
        self.is_fed = true;
        if self.is_learning && self.learn_until.is_none() {
            self.learn_until = Some(self.tally.clock.now().saturating_add(nanos(self.config.learn)));
        }
    }

    fn has_alert(&self, slot: usize, id: u64) -> bool {
        self.suspicions.at(slot).and_then(|one| one.alert.as_ref()).is_some_and(|alert| alert.id == id)
    }

    /// What an alert takes for a victim now, and what is usual for it.
    fn limit(&self, place: Place, victim: &Victim) -> (Limit, Option<Rate>) {
        let (floor, capacity) = self.config.bounds(place.kind, place.slot);
        if self.is_learning {
            let nothing = Rate { packets: f64::INFINITY, bits: f64::INFINITY };
            return (Limit::of(capacity.unwrap_or(nothing)), None);
        }
        let usual = self.usual_of(place.kind, victim, &self.tally.spans(place));
        (Limit::of(self.config.limit(floor, capacity, usual)), usual)
    }

    /// What is usual for a victim. For a service it is at least what is usual for its hosts together, as policies may give a name to
    /// what was there for long.
    fn usual_of(&self, kind: usize, victim: &Victim, spans: &[Span]) -> Option<Rate> {
        let own = self.baselines.usual(victim, kind);
        if kind != self.tally.services_kind() {
            return own;
        }
        let hosts = spans.iter().filter(|span| span.length == 128);
        let hosts = hosts.filter_map(|span| self.baselines.known(&Victim::Host(span.prefix().address())));
        let sum = hosts.reduce(|a, b| Rate { packets: a.packets + b.packets, bits: a.bits + b.bits });
        match (own, sum) {
            (Some(own), Some(sum)) => {
                Some(Rate { packets: own.packets.max(sum.packets), bits: own.bits.max(sum.bits) })
            }
            (own, sum) => own.or(sum),
        }
    }

    /// The suspicion of a place, if its windows give reason for one by what is usual for it.
    pub(super) fn suspect(&mut self, place: Place) -> Option<usize> {
        let entry = self.tally.entry(place)?;
        if let Some(slot) = entry.suspicion() {
            return Some(slot);
        }
        let victim = self.tally.victim(place)?;
        let (limit, usual) = self.limit(place, &victim);
        let (now, era, samples) = (self.tally.clock.moment(), self.tally.era, self.config.samples);
        let entry = self.tally.entry_mut(place)?;
        (entry.limit, entry.era) = (limit, era);
        if !is_suspect(&entry.horizons(&now), &limit, samples) {
            return None;
        }
        let spans = self.tally.spans(place);
        let mut suspicion = Suspicion::new(place, victim, spans, now.nanos);
        (suspicion.limit, suspicion.usual, suspicion.era) = (limit, usual, era);
        if let Some(weakest) = self.suspicions.weakest_if_full() {
            self.end(weakest);
        }
        let slot = self.suspicions.add(suspicion)?;
        self.tally.hold(place, Some(slot));
        Some(slot)
    }

    /// Looks up what is usual again when that may have changed.
    fn refresh(&mut self, slot: usize) {
        let Some(one) = self.suspicions.at(slot).filter(|one| one.era != self.tally.era) else { return };
        let (limit, usual) = self.limit(one.place, &one.victim);
        if let Some(one) = self.suspicions.at_mut(slot) {
            (one.limit, one.usual, one.era) = (limit, usual, self.tally.era);
        }
    }

    pub(super) fn judge(&mut self, slot: usize) {
        let now = self.tally.clock.now();
        let Some(mut one) = self.suspicions.remove(slot) else { return };
        let Some(entry) = self.tally.entry(one.place) else { return };
        let sums = entry.horizons(&Moment::at(now));
        let is_suspect = is_suspect(&sums, &one.limit, self.config.samples);
        if one.alert.is_some() {
            self.follow(&mut one, &sums);
        } else if let Some((level, sums)) = self.above(&mut one, &sums) {
            one.held = now;
            self.begin(&mut one, level, &sums);
        } else if is_suspect {
            one.held = now;
        }
        let patience = if one.alert.is_some() { nanos(self.config.quiet) } else { FORGET };
        let is_over = now - one.held >= patience;
        self.suspicions.put(slot, one);
        if is_over {
            self.end(slot);
        }
    }

    /// Whether an alert is due, for what.
    fn above(&self, one: &mut Suspicion, sums: &Horizons) -> Option<(usize, Horizons)> {
        if one.place.kind == 0 && !self.is_service(one) {
            return judge::above(sums, &one.limit, &self.config).map(|level| (level, *sums));
        }
        one.rest_until = self.tally.clock.now() + PREFIX_REST;
        if one.place.kind == 0 {
            return None;
        }
        carpet::above_unexplained(one, &self.suspicions, sums, &self.tally, &self.config)
    }

    /// Whether a service is this very host, and has its alerts.
    fn is_service(&self, one: &Suspicion) -> bool {
        one.place.kind == 0 && one.spans.first().is_some_and(|host| self.tally.services.is_one(host.key))
    }

    fn begin(&mut self, one: &mut Suspicion, level: usize, sums: &Horizons) {
        let (packets_per_second, bits_per_second) = estimates(&sums[level], level, self.config.sigmas);
        let shown = self.tally.clock.shown();
        let alert = Alert {
            id: self.next_id,
            victim: one.victim.clone(),
            prefixes: one.spans.iter().map(|span| span.prefix()).collect(),
            packets_per_second,
            bits_per_second,
            window: HORIZONS[level],
            samples: sums[level].samples,
            usual: one.usual,
            limit: one.limit.rate(),
            since: shown,
            first: self.first(one.place, level),
            sources: 0,
            dropped: 0.0,
        };
        self.next_id += 1;
        one.told = Rate { packets: packets_per_second.value, bits: bits_per_second.value };
        self.events.push(Event::Began(one.told(&alert)));
        one.alert = Some(alert);
    }

    /// When the window of a place had its first sample, by the samples' clock.
    fn first(&self, place: Place, level: usize) -> Duration {
        let now = self.tally.clock.moment();
        let first = self.tally.entry(place).and_then(|entry| entry.first(level, &now));
        let ago = now.nanos - first.unwrap_or(now.nanos).min(now.nanos);
        self.tally.clock.shown().saturating_sub(Duration::from_nanos(ago))
    }

    fn follow(&mut self, one: &mut Suspicion, sums: &Horizons) {
        if judge::holds(sums, &one.limit, &self.config) {
            one.held = self.tally.clock.now();
        }
        let Some(alert) = &mut one.alert else { return };
        let level = freshest(sums, self.config.samples);
        let (packets, bits) = estimates(&sums[level], level, self.config.sigmas);
        if packets.low > alert.packets_per_second.low {
            alert.packets_per_second = packets;
            (alert.window, alert.samples) = (HORIZONS[level], sums[level].samples);
        }
        if bits.low > alert.bits_per_second.low {
            alert.bits_per_second = bits;
        }
        if packets.low > 2.0 * one.told.packets || bits.low > 2.0 * one.told.bits {
            let (packets, bits) = (alert.packets_per_second.value, alert.bits_per_second.value);
            one.told = Rate { packets, bits };
            if let Some(alert) = &one.alert {
                self.events.push(Event::Grew(one.told(alert)));
            }
        }
    }

    fn end(&mut self, slot: usize) {
        let Some(one) = self.suspicions.remove(slot) else { return };
        self.tally.hold(one.place, None);
        self.told_over(&one);
    }

    fn told_over(&mut self, one: &Suspicion) {
        if let Some(alert) = &one.alert {
            self.events.push(Event::Ended(one.told(alert)));
        }
    }
}

//! What is usual, of the destinations that matter.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::Victim;
use super::config::Rate;
use super::shape::Shape;

/// Hours of which less than so many seconds were seen say nothing.
const SEEN_SECONDS: u32 = 300;

/// A search goes through all baselines.
const SEARCHES: u32 = 16;

/// The peaks of one destination, and the peak of the hour that is not over.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
struct Baseline {
    packets: Shape,
    bits: Shape,
    #[serde(skip)]
    peak: Rate,
}

/// What was learnt, to be kept over a restart. It can be written with any format of serde.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Learnt {
    victims: Vec<(Victim, Baseline)>,
    rest: Vec<Baseline>,
}

/// Baselines by destination, as many as there is room for. The rest of a kind shares one.
#[derive(Clone, Debug)]
pub(super) struct Baselines {
    own: HashMap<Victim, Baseline>,
    rest: Vec<Baseline>,
    room: usize,
    growth: f32,
    factor: f64,
    hour: u64,
    /// Seconds of the hour in which there were samples.
    seen: u32,
    /// How often room was looked for in this second.
    searches: u32,
}

/// A destination with what it takes to learn of it.
pub(super) struct Lesson<'a> {
    pub(super) victim: &'a Victim,
    /// Which of the shared ones is its.
    pub(super) kind: usize,
    pub(super) seen: Rate,
}

impl Baseline {
    fn usual(&self, hour: u64) -> Option<Rate> {
        let (packets, bits) = (self.packets.usual(hour)?, self.bits.usual(hour)?);
        Some(Rate { packets: packets.into(), bits: bits.into() })
    }

    fn learn(&mut self, hour: u64, base: Rate, growth: f32) {
        let peak = std::mem::take(&mut self.peak);
        self.packets.learn(hour, peak.packets as f32, base.packets as f32, growth);
        self.bits.learn(hour, peak.bits as f32, base.bits as f32, growth);
    }

    fn accept(&mut self, hour: u64) {
        let peak = std::mem::take(&mut self.peak);
        self.packets.accept(hour, peak.packets as f32);
        self.bits.accept(hour, peak.bits as f32);
    }

    fn see(&mut self, seen: Rate) {
        self.peak.packets = self.peak.packets.max(seen.packets);
        self.peak.bits = self.peak.bits.max(seen.bits);
    }

    fn is_sound(&self) -> bool {
        self.packets.is_sound() && self.bits.is_sound()
    }
}

impl Baselines {
    pub(super) fn new(room: usize, kinds: usize, factor: f64, growth: f64) -> Baselines {
        Baselines {
            own: HashMap::new(),
            rest: vec![Baseline::default(); kinds],
            room,
            growth: growth as f32,
            factor,
            hour: 0,
            seen: 0,
            searches: 0,
        }
    }

    /// What is usual for a destination at this time.
    pub(super) fn usual(&self, victim: &Victim, kind: usize) -> Option<Rate> {
        self.own.get(victim).unwrap_or(&self.rest[kind]).usual(self.hour)
    }

    /// Likewise, if something was learnt of this very destination.
    pub(super) fn known(&self, victim: &Victim) -> Option<Rate> {
        self.own.get(victim)?.usual(self.hour)
    }

    /// Takes note of a second in which there were samples. The answer is the hour that is over by it, with whether enough of
    /// it was seen.
    pub(super) fn turn(&mut self, hour: u64) -> Option<Over> {
        let over =
            (hour != self.hour).then_some(Over { hour: self.hour, is_known: self.seen >= SEEN_SECONDS });
        if over.is_some() {
            self.hour = hour;
            self.seen = 0;
        }
        self.seen += 1;
        self.searches = 0;
        over
    }

    /// Closes an hour. `floor` says below which rates a kind has no alerts: what cannot lift a limit above it may always
    /// be learnt.
    pub(super) fn close(&mut self, over: Over, floor: impl Fn(&Victim) -> Rate, floors: &[Rate]) {
        let Over { hour, is_known } = over;
        let base =
            |floor: Rate| Rate { packets: floor.packets / self.factor, bits: floor.bits / self.factor };
        let own = self.own.iter_mut().map(|(victim, baseline)| (floor(victim), baseline));
        for (floor, baseline) in own.chain(floors.iter().copied().zip(&mut self.rest)) {
            if is_known {
                baseline.learn(hour, base(floor), self.growth);
            } else {
                baseline.peak = Rate::default();
            }
        }
    }

    /// Closes an hour, whatever its peaks are.
    pub(super) fn accept_over(&mut self, over: Over) {
        for baseline in self.own.values_mut().chain(&mut self.rest) {
            baseline.accept(over.hour);
        }
    }

    /// Takes the peaks of this hour so far as they are.
    pub(super) fn accept(&mut self) {
        for baseline in self.own.values_mut().chain(&mut self.rest) {
            baseline.accept(self.hour);
        }
    }

    /// From now on this is usual for a destination.
    pub(super) fn raise(&mut self, victim: &Victim, kind: usize, floor: Rate, seen: Rate) {
        let baseline = self.baseline(victim, kind, floor);
        baseline.packets.raise(seen.packets as f32);
        baseline.bits.raise(seen.bits as f32);
    }

    pub(super) fn learn(&mut self, lesson: &Lesson<'_>, floor: Rate) {
        self.baseline(lesson.victim, lesson.kind, floor).see(lesson.seen);
    }

    /// Its own, or that of the rest. One that keeps no limit above its floor makes room for another.
    fn baseline(&mut self, victim: &Victim, kind: usize, floor: Rate) -> &mut Baseline {
        if !self.own.contains_key(victim) {
            if self.own.len() >= self.room && self.searches < SEARCHES {
                self.searches += 1;
                self.make_room(floor);
            }
            if self.own.len() >= self.room {
                return &mut self.rest[kind];
            }
        }
        self.own.entry(victim.clone()).or_default()
    }

    fn make_room(&mut self, floor: Rate) {
        let factor = self.factor;
        let is_needless = |baseline: &Baseline| {
            factor * f64::from(baseline.packets.largest()) <= floor.packets
                && factor * f64::from(baseline.bits.largest()) <= floor.bits
                && factor * baseline.peak.packets <= floor.packets
                && factor * baseline.peak.bits <= floor.bits
        };
        let needless = self.own.iter().find(|(_, baseline)| is_needless(baseline));
        if let Some(victim) = needless.map(|(victim, _)| victim.clone()) {
            self.own.remove(&victim);
        }
    }

    pub(super) fn learnt(&self) -> Learnt {
        let kept = |baseline: &Baseline| Baseline { peak: Rate::default(), ..baseline.clone() };
        let mut victims: Vec<_> = self.own.iter().map(|(victim, own)| (victim.clone(), kept(own))).collect();
        victims.sort_by(|(one, _), (other, _)| one.cmp(other));
        Learnt { victims, rest: self.rest.iter().map(kept).collect() }
    }

    /// Takes what was learnt before, as far as it is sound and there is room; the answer is how many destinations that were.
    pub(super) fn recall(&mut self, learnt: Learnt) -> usize {
        let sound = learnt.victims.into_iter().filter(|(_, baseline)| baseline.is_sound());
        let room = self.room.saturating_sub(self.own.len());
        let before = self.own.len();
        self.own.extend(sound.take(room));
        for (mine, kept) in self.rest.iter_mut().zip(learnt.rest) {
            if kept.is_sound() {
                *mine = kept;
            }
        }
        self.own.len() - before
    }
}

/// An hour that is over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Over {
    hour: u64,
    is_known: bool,
}

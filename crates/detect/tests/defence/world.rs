//! Traffic, an edge that samples it and does what is commanded, and a defence.

use crate::traffic::Maker;
use std::collections::BTreeMap;
use std::time::Duration;
use weir_compiler::eval::Evaluator;
use weir_compiler::ir::Verdict;
use weir_compiler::{Analysis, NoFiles, analyse};
use weir_detect::defence::{Defence, Matcher, What};
use weir_detect::life::{Mitigation, Written};
use weir_detect::mine::Protected;
use weir_detect::sample::{Fate, Sample};
use weir_detect::traffic::Service;

const ONE_IN: u32 = 100;
const TICK: Duration = Duration::from_millis(20);
const TICKS: u32 = 50;
/// What of a frame a sample shows.
const SHOWN: usize = 128;

/// Packets at an even rate.
#[derive(Clone, Copy)]
pub(crate) struct Flow<'a> {
    /// Packets a second.
    rate: f64,
    make: &'a dyn Fn(&mut Maker) -> Vec<u8>,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Good,
    Bad,
    /// Only samples of it come.
    Forged,
}

impl<'a> Flow<'a> {
    pub(crate) fn good(rate: f64, make: &'a dyn Fn(&mut Maker) -> Vec<u8>) -> Flow<'a> {
        Flow { rate, make, kind: Kind::Good }
    }

    pub(crate) fn bad(rate: f64, make: &'a dyn Fn(&mut Maker) -> Vec<u8>) -> Flow<'a> {
        Flow { rate, make, kind: Kind::Bad }
    }

    pub(crate) fn forged(rate: f64, make: &'a dyn Fn(&mut Maker) -> Vec<u8>) -> Flow<'a> {
        Flow { rate, make, kind: Kind::Forged }
    }
}

/// What became of packets of one kind, by their samples.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Fates {
    all: u64,
    dropped: u64,
}

impl Fates {
    /// Which share was dropped.
    pub(crate) fn dropped(&self) -> f64 {
        if self.all == 0 { 0.0 } else { self.dropped as f64 / self.all as f64 }
    }

    fn add(&mut self, fate: Fate) {
        self.all += 1;
        self.dropped += u64::from(fate == Fate::Dropped);
    }
}

pub(crate) struct World {
    pub(crate) defence: Defence,
    maker: Maker,
    pub(crate) now: Duration,
    edge: Analysis,
    hits: BTreeMap<String, u64>,
    /// What was told, but for drops.
    pub(crate) told: Vec<What>,
    owed: f64,
    pub(crate) good: Fates,
    pub(crate) bad: Fates,
    /// Who was attacked, as it was told.
    pub(crate) attacked: Vec<String>,
    /// The largest share of good traffic that was lost in one second.
    pub(crate) worst_second: f64,
}

impl World {
    pub(crate) fn new(protected: Protected) -> World {
        World::with(protected, Vec::new())
    }

    pub(crate) fn with(protected: Protected, services: Vec<Service>) -> World {
        let (mut traffic, mut life) = crate::config();
        (life.protected, traffic.services) = (protected, services);
        World {
            defence: Defence::new(traffic, life),
            maker: Maker::new(1),
            now: Duration::from_secs(1000),
            edge: analyse("edge", "", &NoFiles),
            hits: BTreeMap::new(),
            told: Vec::new(),
            owed: 0.0,
            good: Fates::default(),
            bad: Fates::default(),
            attacked: Vec::new(),
            worst_second: 0.0,
        }
    }

    /// The statements that stand.
    pub(crate) fn text(&self) -> String {
        self.defence.standing().map(Mitigation::text).collect()
    }

    /// Shares are of what comes from here on.
    pub(crate) fn forget(&mut self) {
        (self.good, self.bad, self.worst_second) = (Fates::default(), Fates::default(), 0.0);
    }

    pub(crate) fn jump(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    pub(crate) fn run(&mut self, seconds: u32, flows: &[Flow<'_>]) {
        for _ in 0..seconds {
            let before = self.good;
            for _ in 0..TICKS {
                self.samples(flows);
                self.defend();
            }
            let second =
                Fates { all: self.good.all - before.all, dropped: self.good.dropped - before.dropped };
            self.worst_second = self.worst_second.max(second.dropped());
        }
    }

    /// Those of a tick, in a random order.
    fn samples(&mut self, flows: &[Flow<'_>]) {
        let rate: f64 = flows.iter().map(|flow| flow.rate).sum();
        self.owed += rate / f64::from(ONE_IN * TICKS);
        let count = self.owed as u32;
        self.owed -= f64::from(count);
        let mut evaluator = Evaluator::new(&self.edge.policy);
        for number in 0..count {
            let mut drawn = self.maker.below(rate as u64) as f64;
            let chosen = flows.iter().find(|flow| {
                drawn -= flow.rate;
                drawn < 0.0
            });
            let Some(flow) = chosen.or(flows.last()) else { return };
            let frame = (flow.make)(&mut self.maker);
            let judged = evaluator.judge(&frame);
            let by = judged.by.map(|by| self.edge.policy.statements[by].name.as_str());
            let fate = if judged.verdict == Verdict::Drop { Fate::Dropped } else { Fate::Passed };
            match flow.kind {
                Kind::Good => self.good.add(fate),
                Kind::Bad => self.bad.add(fate),
                Kind::Forged => {}
            }
            let time = self.now + TICK * number / count;
            let header = &frame[..frame.len().min(SHOWN)];
            let (frame_len, one_in, statement) = (frame.len() as u32, ONE_IN, by.or(Some("default")));
            self.defence.observe(&Sample { time, header, frame_len, one_in, fate, statement });
        }
        for (statement, counter) in self.edge.policy.statements.iter().zip(&evaluator.counters) {
            *self.hits.entry(statement.name.clone()).or_default() += counter.packets * u64::from(ONE_IN);
        }
        self.now += TICK;
    }

    fn defend(&mut self) {
        self.defence.turn(self.now);
        let hits = &self.hits;
        self.defence.count(self.now, |name| Some(hits.get(name).copied().unwrap_or(0)));
        let commands = self.defence.commands(self.now);
        if !commands.is_empty() {
            self.edge = analyse("edge", &self.text(), &NoFiles);
            assert!(!self.edge.diagnostics.has_errors(), "{}", self.text());
            self.defence.done(self.now, &commands);
        }
        for event in self.defence.events() {
            if let What::Attack { victim, grew: false, .. } = &event.what {
                self.attacked.push(victim.clone());
            }
            self.told.push(event.what);
        }
    }

    /// A person writes another condition in the place of a mitigation.
    pub(crate) fn edit(&mut self, id: u64, in_shadow: bool, condition: &str) {
        let rest = format!("when {condition}");
        let written = Written { verb: "drop".into(), rest, in_shadow, spares: Protected::default() };
        let alone = analyse("edit", &format!("drop when {condition}"), &NoFiles).policy;
        let matcher = Matcher::new(move |sample| {
            let mut frame = sample.header.to_vec();
            frame.resize(sample.frame_len as usize, 0);
            Some(Evaluator::new(&alone).judge(&frame).verdict == Verdict::Drop)
        });
        assert!(self.defence.edit(self.now, id, &written, matcher));
        self.edge = analyse("edge", &self.text(), &NoFiles);
        assert!(!self.edge.diagnostics.has_errors(), "{}", self.text());
    }
}

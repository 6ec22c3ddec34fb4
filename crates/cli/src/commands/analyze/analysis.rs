//! Samples and time in, news out: alerts, and the statements that their samples give. No I/O, no clock.

use super::memory::{Kept, Known, Memory};
use super::totals::Totals;
use foldhash::HashMap;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;
use weir_detect::mine::{Budget, Destinations, Findings, Protected, Request, mine};
use weir_detect::sample::Sample;
use weir_detect::traffic::{Alert, Config, Detector, Event, Victim};
use weir_packet::layers::Layers;

/// How often time goes on, as the detector wants it.
const TICK: Duration = Duration::from_millis(20);
/// So many samples of an attack say enough; more would only cost time.
const ENOUGH: usize = 2000;
/// And after so long there will not be many more.
const PATIENCE: Duration = Duration::from_secs(2);
/// An attack may begin so long before it is enough for an alert.
const BEGINNING: Duration = Duration::from_secs(60);
/// Attacks whose samples are collected at a time; others wait.
const AT_ONCE: usize = 64;
/// Good samples that are compared with: the victim's, and others'.
const GOOD: usize = 4000;
/// Alerts that the summary remembers.
const REMEMBERED: usize = 1000;

/// What there is to say.
#[derive(Clone, Debug)]
pub(super) enum News {
    /// Of an alert.
    Event(Duration, Event),
    /// What its samples have in common.
    Found(Duration, u64, Box<Findings>, Victim),
}

/// An alert for the summary.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// As it was last.
    pub(super) alert: Alert,
    /// When it ended; nothing while it runs.
    pub(super) until: Option<Duration>,
    /// The names of the statements for it.
    pub(super) statements: Vec<String>,
}

/// An alert that runs.
#[derive(Debug)]
struct Open {
    victim: Destinations,
    alert: Alert,
    /// Samples since it began, and until when more are awaited.
    evidence: Option<(Vec<Kept>, Duration)>,
    /// Statements are to be found.
    is_wanting: bool,
    /// The conditions that were found last, if any were looked for.
    found: Option<Vec<String>>,
    statements: Vec<String>,
}

/// The analysis of a stream of samples.
#[derive(Debug)]
pub(super) struct Analysis {
    detector: Detector,
    memory: Memory,
    totals: Totals,
    open: BTreeMap<u64, Open>,
    /// Alerts about single hosts, to find them by.
    hosts: HashMap<IpAddr, u64>,
    /// The others.
    others: Vec<(Destinations, u64)>,
    rows: Vec<Row>,
    ticked: Option<Duration>,
    /// The first and the last sample.
    times: Option<(Duration, Duration)>,
    samples: u64,
    news: Vec<News>,
}

impl Analysis {
    pub(super) fn new(config: Config) -> Analysis {
        Analysis {
            memory: Memory::new(config.seed),
            detector: Detector::new(config),
            totals: Totals::default(),
            open: BTreeMap::new(),
            hosts: HashMap::default(),
            others: Vec::new(),
            rows: Vec::new(),
            ticked: None,
            times: None,
            samples: 0,
            news: Vec::new(),
        }
    }

    /// A sample of traffic that is known to be good: only statements are measured by it.
    pub(super) fn good(&mut self, sample: &Sample<'_>) {
        if let Some(to) = destination(sample) {
            self.memory.calmly(Kept::of(sample, to, Known::Good));
        }
    }

    /// A sample.
    pub(super) fn observe(&mut self, sample: &Sample<'_>) {
        self.tick(sample.time);
        self.samples += 1;
        let (first, _) = *self.times.get_or_insert((sample.time, sample.time));
        self.times = Some((first, sample.time));
        let Some(to) = self.detector.observe(sample) else { return };
        let weight = u64::from(sample.one_in.max(1));
        self.totals.add(to, weight, weight.saturating_mul(sample.frame_len.into()));
        let mut known = Known::Quiet;
        let around = self.others.iter().filter(|(victim, _)| victim.contains(to)).map(|(_, id)| id);
        for id in self.hosts.get(&to).into_iter().chain(around) {
            known = Known::Suspect;
            if let Some((evidence, _)) = self.open.get_mut(id).and_then(|open| open.evidence.as_mut())
                && evidence.len() < ENOUGH
            {
                evidence.push(Kept::of(sample, to, known));
            }
        }
        if self.memory.takes() {
            self.memory.keep(Kept::of(sample, to, known));
        }
    }

    /// Time goes on.
    pub(super) fn tick(&mut self, now: Duration) {
        if self.ticked.is_some_and(|ticked| now < ticked + TICK) {
            return;
        }
        if let Some(ticked) = self.ticked.replace(now) {
            self.memory.pace(now - ticked);
        }
        let events: Vec<Event> = self.detector.tick(now).collect();
        for event in events {
            self.event(now, event);
        }
        self.collect(now);
        self.mine(now, |open| match &open.evidence {
            Some((evidence, due)) => evidence.len() >= ENOUGH || now >= *due,
            None => false,
        });
    }

    /// There are no more samples: what is still to be found out is.
    pub(super) fn finish(&mut self) {
        let now = self.ticked.unwrap_or_default() + TICK;
        self.tick(now);
        self.mine(now, |open| open.evidence.is_some());
        self.totals.catch_up();
    }

    /// What happened since the last call, in its order.
    pub(super) fn news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    /// All alerts, those that run last.
    pub(super) fn rows(&self) -> Vec<Row> {
        let running = self.open.values().map(|open| open.row(None));
        self.rows.iter().cloned().chain(running).collect()
    }

    pub(super) fn totals(&self) -> &Totals {
        &self.totals
    }

    /// How many samples there were, and how many of them had no destination.
    pub(super) fn samples(&self) -> (u64, u64) {
        (self.samples, self.detector.tally().unread())
    }

    /// When the first and the last sample were taken.
    pub(super) fn times(&self) -> Option<(Duration, Duration)> {
        self.times
    }

    fn event(&mut self, now: Duration, event: Event) {
        let alert = event.alert().clone();
        match &event {
            Event::Began(_) => self.begin(alert),
            Event::Grew(_) => {
                if let Some(open) = self.open.get_mut(&alert.id) {
                    // What is being collected is of the larger attack, too.
                    (open.alert, open.is_wanting) = (alert, open.evidence.is_none());
                }
            }
            Event::Ended(_) => {
                let id = alert.id;
                self.mine(now, |open| open.alert.id == id);
                self.end(now, alert);
            }
        }
        self.news.push(News::Event(now, event));
    }

    fn begin(&mut self, alert: Alert) {
        let victim = Destinations::of(&alert);
        match &alert.victim {
            Victim::Host(address) => drop(self.hosts.insert(*address, alert.id)),
            Victim::Prefix(_) | Victim::Service(_) => self.others.push((victim.clone(), alert.id)),
        }
        let (found, statements) = (None, Vec::new());
        let open = Open { victim, evidence: None, is_wanting: true, found, statements, alert };
        self.open.insert(open.alert.id, open);
    }

    fn end(&mut self, now: Duration, alert: Alert) {
        let Some(mut open) = self.open.remove(&alert.id) else { return };
        self.hosts.retain(|_, id| *id != alert.id);
        self.others.retain(|(_, id)| *id != alert.id);
        open.alert = alert;
        if self.rows.len() < REMEMBERED {
            self.rows.push(open.row(Some(now)));
        }
    }

    /// Begins to collect the samples of attacks that want statements, as many at a time as there is room for.
    fn collect(&mut self, now: Duration) {
        let mut room =
            AT_ONCE - self.open.values().filter(|open| open.evidence.is_some()).count().min(AT_ONCE);
        for open in self.open.values_mut().filter(|open| open.is_wanting && open.evidence.is_none()) {
            if room == 0 {
                break;
            }
            room -= 1;
            open.is_wanting = false;
            let mut evidence = self.memory.suspect(&open.victim, open.alert.first);
            // The latest say most of what it is now.
            let old = evidence.len().saturating_sub(ENOUGH);
            open.evidence = Some((evidence.split_off(old), now + PATIENCE));
        }
    }

    /// Finds statements for those alerts whose samples are there.
    fn mine(&mut self, now: Duration, is_due: impl Fn(&Open) -> bool) {
        for open in self.open.values_mut().filter(|open| is_due(open)) {
            let Some((evidence, _)) = open.evidence.take() else { continue };
            let findings = findings(open, &evidence, &self.memory);
            let conditions: Vec<String> =
                findings.statements.iter().map(|statement| statement.condition.clone()).collect();
            // The same again is no news, and nothing does not take back something.
            let is_news =
                open.found.as_ref().is_none_or(|found| !conditions.is_empty() && *found != conditions);
            if is_news {
                open.statements =
                    findings.statements.iter().map(|statement| statement.name.clone()).collect();
                open.found = Some(conditions);
                let (id, victim) = (open.alert.id, open.alert.victim.clone());
                self.news.push(News::Found(now, id, Box::new(findings), victim));
            }
        }
    }
}

/// By all that came before the alert. Where that has too much of the attack in it, and what came a minute before has not,
/// it was the attack's beginning.
fn findings(open: &Open, evidence: &[Kept], memory: &Memory) -> Findings {
    let attack: Vec<Sample<'_>> = evidence.iter().map(Kept::sample).collect();
    let by = |until: Duration| {
        let (good, network) = memory.good(&open.victim, until, GOOD);
        let (protected, budget) = (&Protected::default(), Budget::default());
        let (attack, good, network) = (&attack[..], &good[..], &network[..]);
        mine(&Request { victim: &open.victim, attack, good, network, protected, budget })
    };
    let all = by(Duration::MAX);
    if all.covered >= 0.5 {
        return all;
    }
    let earlier = by(open.alert.first.saturating_sub(BEGINNING));
    if earlier.covered > all.covered { earlier } else { all }
}

impl Open {
    fn row(&self, until: Option<Duration>) -> Row {
        Row { alert: self.alert.clone(), until, statements: self.statements.clone() }
    }
}

fn destination(sample: &Sample<'_>) -> Option<IpAddr> {
    Some(Layers::of(sample.header)?.ip?.dst)
}

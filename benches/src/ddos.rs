//! From an attack's first packet to the first one that the right rule drops: on one machine, and by sFlow, an analyser, etcd
//! and an edge.
//!
//! `client – edge – server`: everyday traffic all the time, and one attack a round, all four in turn. Each round begins with a
//! defence that knows nothing. Times are of samples, so a drop counts when its first sample was taken (one machine), or when
//! that came to the analyser.

mod fleet;
mod local;

use crate::Failure;
use crate::report::{self, MitigationRow, Report};
use crate::rule;
use crate::rules::{eight_kinds, million_addresses};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use weir_compiler::NoFiles;
use weir_dataplane::{Instance, Request, Source, unload};
use weir_detect::defence::What;
use weir_kernel::clock::monotonic_ns;
use weir_lab::traffic::{Attack, Everyday, Kind, Route, Traffic};
use weir_lab::wire::{Counter, Flow, Pace, SendOptions, Sent, send};
use weir_lab::{Host, Lab, LabError, ready};

const POLICY: &str = include_str!("../../examples/ddos.weir");
const SAMPLED: &str = "sample all 1 in 100\n";
const CAPTURES: &str = "../shared/data/captures/attack";
const INSTANCE: &str = "bench-ddos";
/// Frames a second of an attack, and of everyday traffic.
const RATE: u64 = 50_000;
const EVERYDAY: u64 = 5_000;
const FIRST: Flow = Flow(100);
/// Everyday traffic alone, of which an edge has seen more than that, then the attack, of which the last part is its steady state.
const LEARN: Duration = Duration::from_secs(10);
const ATTACK: Duration = Duration::from_secs(5);
const STEADY: Duration = Duration::from_secs(2);

/// What a defence did, and when, by `CLOCK_MONOTONIC`.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<(u64, What)>>>);

impl Log {
    fn add(&self, time_ns: u64, what: What) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((time_ns, what));
    }

    /// When a rule against this attack was seen to drop first.
    fn dropping(&self, attack: &Attack) -> Option<u64> {
        let is_right = |name: &str| attack.words().iter().any(|word| name.contains(word));
        let log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        log.iter().find_map(|(time, what)| match what {
            What::Drops(named) if is_right(&named.name) => Some(*time),
            _ => None,
        })
    }
}

/// One round.
struct Round {
    /// Milliseconds; nothing if it did not come.
    dropping: Option<f64>,
    /// Of the attack in its steady state, and of everyday traffic: shares of 1.
    dropped: f64,
    lost: f64,
}

pub(crate) fn measure(report: &mut Report, rounds: usize) -> Result<(), Failure> {
    let recorded = Attack::recorded(Path::new(CAPTURES));
    let attacks = if recorded.is_empty() { Attack::synthetic() } else { recorded };
    let lab = ready::edge_lab(1)?;
    let row = |name, goal: (f64, Option<f64>), source: &Source, play: Play| -> Result<_, Failure> {
        let mut played = Vec::new();
        for attack in attacks.iter().cycle().take(rounds) {
            report::progress(&format!("{name}: {attack}"));
            played.push(play(&lab, source, attack)?);
        }
        let recorded = attacks[0].is_recorded();
        let rounds = played.iter().map(|round| (round.dropping, round.dropped, round.lost));
        Ok(MitigationRow::of(name, recorded, rounds, goal))
    };
    let example = Source::collect("examples/ddos.weir", POLICY, &NoFiles).0;
    // A rule is a reload, which takes time where the policy is large.
    for (name, source) in [
        ("one machine", &example),
        ("one machine, 10,000 rules", &many_rules()),
        ("one machine, a set of a million addresses", &large_set()),
    ] {
        report.mitigations.push(row(name, (500.0, Some(1000.0)), source, local::play)?);
    }
    match fleet::missing() {
        None => {
            let name = "sFlow, analyser, etcd, edge";
            report.mitigations.push(row(name, (1000.0, None), &example, fleet::play)?);
        }
        Some(missing) => report.absent.push(format!("attacks on a fleet: there is no `{missing}`")),
    }
    Ok(())
}

type Play = fn(&Lab, &Source, &Attack) -> Result<Round, Failure>;

/// Of addresses that nobody has, so that none of them takes a packet.
fn many_rules() -> Source {
    let (mut rules, _) = eight_kinds(10_000);
    for prefix in rules.iter_mut().flat_map(|rule| [&mut rule.source, &mut rule.target]) {
        prefix.0 |= if prefix.1 > 0 { 0xf000_0000 } else { 0 };
    }
    Source::collect("rules.weir", &format!("{SAMPLED}{}", rule::policy(&rules)), &NoFiles).0
}

fn large_set() -> Source {
    let rules = million_addresses();
    Source::collect("set.weir", &format!("{SAMPLED}{}", rules.policy), rules.files.as_ref()).0
}

/// The policy at the edge; it goes when this is dropped.
struct Edge(Instance);

impl Edge {
    fn load(lab: &Lab, source: &Source) -> Result<Edge, Failure> {
        let load = || {
            let request = Request::new(source.policy(), &["clients"]);
            Instance::load(&Request { instance: INSTANCE, ..request })
        };
        let (instance, _) = lab.host("edge")?.namespace().run(load)??;
        Ok(Edge(instance))
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        let _ = unload(self.0.name());
    }
}

/// The traffic of a round, beside a defence that tells in the log what it does.
fn traffic(lab: &Lab, attack: &Attack, log: &Log) -> Result<Round, Failure> {
    let (client, server) = (lab.host("client")?, lab.host("server1")?);
    let interface = client.interface("eth0")?;
    let route = Route::from(interface, server.interface("eth0")?.ipv4()?)?;
    let all = Counter::start(server, "eth0")?;
    let sending = |mut frames: Box<dyn Traffic + Send>, rate, time| {
        move || send(client, "eth0", frames.as_mut(), &SendOptions::new(Pace::PerSecond(rate), time))
    };
    let everyday = sending(Box::new(Everyday::new(route, 200, 7, FIRST)), EVERYDAY, LEARN + ATTACK);
    let flood = sending(attack.frames(interface, route)?, RATE, ATTACK);
    let (good, begin, steady) = thread::scope(|scope| {
        let everyday = scope.spawn(everyday);
        thread::sleep(LEARN);
        let (begin, start) = (monotonic_ns(), Instant::now());
        let flood = scope.spawn(flood);
        thread::sleep((ATTACK - STEADY).saturating_sub(start.elapsed()));
        let late = arrived(server, attack)?;
        joined(flood.join())?;
        Ok::<_, Failure>((joined(everyday.join())?, begin, late))
    })?;
    let received = all.stop()?;
    let good_arrived: u64 = Kind::ALL.iter().map(|kind| received.of(Everyday::flow(FIRST, *kind))).sum();
    let overflowed = u64::from(received.overflowed);
    Ok(Round {
        dropping: log.dropping(attack).map(|at| at.saturating_sub(begin) as f64 / 1e6),
        dropped: 1.0 - steady,
        lost: good.frames.saturating_sub(good_arrived + overflowed) as f64 / good.frames as f64,
    })
}

/// The share of an attack's frames that come through, over nearly all of what is left of it.
fn arrived(server: &Host, attack: &Attack) -> Result<f64, Failure> {
    let (counter, start) = (Counter::start(server, "eth0")?, Instant::now());
    thread::sleep(STEADY.mul_f64(0.8));
    let (time, received) = (start.elapsed(), counter.stop()?);
    Ok(attack.received(&received) as f64 / (RATE as f64 * time.as_secs_f64()))
}

fn joined(result: thread::Result<Result<Sent, LabError>>) -> Result<Sent, Failure> {
    Ok(result.map_err(|_| "a sender panicked")??)
}

/// A thread that does something until this is dropped.
struct Worker {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Worker {
    fn start(mut turn: impl FnMut() + Send + 'static) -> Worker {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        let work = move || {
            while !asked.load(Ordering::Relaxed) {
                turn();
            }
        };
        Worker { stop, thread: Some(thread::spawn(work)) }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().map(thread::JoinHandle::join);
    }
}

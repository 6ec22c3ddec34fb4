//! Frames dropped a second on veth pairs: Weir, bare XDP and other filters, each on a pair of its own.
//!
//! The kernel sends the frames itself: a program of ours draws each one's source and port and gives it back to the
//! interface (`XDP_TX` of live frames), whose other end runs the filter. With the receiver's NAPI on a thread it works
//! on another CPU; otherwise the sender's CPU does both ends, and the rate is that of both together.

pub(crate) mod generator;
mod peers;

use std::fs::File;
use std::io::{Read, Seek};
use weir_dataplane::{Instance, Policy, Request};
use weir_kernel::attach::{self, Attachment, Hook};
use weir_kernel::bench::{BenchOptions, bench};
use weir_kernel::load::{self, Loaded};
use weir_kernel::netlink::Interface;
use weir_kernel::program::Program;
use weir_kernel::run;
use weir_lab::{End, Host, HostSpec, Link, Topology};

use crate::Failure;
use crate::cases::TEN;
use crate::frames;
use crate::report::{Rate, Report, VethRow};
use crate::spread::Spread;
use crate::threads;
use generator::Generator;
use peers::{Absent, Peer};

/// Frames of one measurement: some milliseconds, so that what disturbs a filter disturbs the others of its turn.
const BURST: u32 = 100_000;

/// Turns for one round of the other cases: differences of a hundredth want many.
const TURNS: usize = 20;

/// Millions of frames a second: of each pair, in each turn.
type Rates = Vec<Vec<f64>>;

/// Different frames for the programs alone.
const ALONE: usize = 4_096;

/// Weir's simplest rule, and what the peers are told in their own words.
const SIMPLEST: &str = "drop discard when udp.dstport == 9\n";

/// The filtering end of each pair.
const INTERFACE: &str = "eth0";

/// Who drops the frames.
#[derive(Clone, Copy)]
enum Filter {
    Bare,
    Weir(&'static str, &'static str),
    Peer(Peer),
}

const FILTERS: &[(&str, Filter)] = &[
    ("bare XDP_DROP", Filter::Bare),
    ("Weir, simplest rule", Filter::Weir("bench-simplest", SIMPLEST)),
    ("Weir, the ten-line example", Filter::Weir("bench-ten", TEN)),
    ("xdp-filter, simplest rule", Filter::Peer(Peer::XdpFilter)),
    ("bpfilter, simplest rule", Filter::Peer(Peer::Bpfilter)),
];

/// A filter at work. Dropping it takes it away.
enum Running {
    Bare { _attachment: Attachment, _loaded: Loaded },
    Weir(Option<Instance>),
    Peer(Peer),
}

/// One pair with its filter and what was measured.
struct Pair<'a> {
    name: &'static str,
    host: &'a Host,
    sender: u32,
    /// `/proc/net/dev` of the filter's namespace, whoever reads it.
    counters: File,
    running: Option<Running>,
}

pub(crate) fn measure(report: &mut Report, rounds: usize) -> Result<(), Failure> {
    let lab = topology().build()?;
    let source = lab.host("source")?;
    let mut pairs = Vec::new();
    for (index, (name, filter)) in FILTERS.iter().enumerate() {
        let host = lab.host(&format!("sink{index}"))?;
        match start(host, *filter)? {
            Ok(running) => {
                let sender = source.interface(&format!("to{index}"))?.index;
                let counters = host.run(|| File::open("/proc/thread-self/net/dev"))??;
                pairs.push(Pair { name, host, sender, counters, running: Some(running) });
            }
            Err(Absent(why)) => report.absent.push(format!("{name}: {why}")),
        }
    }
    let generator = Generator::load()?;
    for pair in &pairs {
        pair.check()?;
    }
    let one_cpu = rounds_of(&pairs, source, &generator, rounds)?;
    let two_cpus = match threads(&pairs) {
        Ok(()) => Some(rounds_of(&pairs, source, &generator, rounds)?),
        Err(why) => {
            report.absent.push(format!("the veth pairs on two CPUs: {why}"));
            None
        }
    };
    for (index, pair) in pairs.into_iter().enumerate() {
        let rate = |rates: &Rates| Rate::of(&rates[index], &rates[0]);
        report.veth.push(pair.row(rate(&one_cpu), two_cpus.as_ref().map(rate))?);
    }
    Ok(())
}

/// `source` with an interface for each `sink`. Nobody else talks there.
fn topology() -> Topology {
    let topology = Topology::new().host(HostSpec::new("source"));
    (0..FILTERS.len()).fold(topology, |topology, index| {
        let sink = format!("sink{index}");
        let link = Link::new(End::new("source", format!("to{index}")), End::new(&sink, INTERFACE));
        topology.host(HostSpec::new(sink)).link(link)
    })
}

fn start(host: &Host, filter: Filter) -> Result<Result<Running, Absent>, Failure> {
    let answer = host.run(|| match filter {
        Filter::Bare => bare().map(Ok),
        Filter::Weir(instance, policy) => weir(instance, policy).map(Ok),
        Filter::Peer(peer) => {
            peer.stop(INTERFACE);
            Ok(peer.start(INTERFACE).map(|()| Running::Peer(peer)))
        }
    });
    answer?.map_err(Failure::from)
}

fn bare() -> Result<Running, String> {
    let loaded = load::load(&generator::drop_all(), load::Options::default()).map_err(told)?;
    let program = loaded.program(generator::DROP).expect("just loaded");
    let attachment = attach::attach(program, &interface()?, Hook::XdpNative).map_err(told)?;
    Ok(Running::Bare { _attachment: attachment, _loaded: loaded })
}

/// As `weir load` does it: with the root program in front that makes swaps possible.
fn weir(instance: &str, policy: &str) -> Result<Running, String> {
    let mut request = Request::new(Policy::new("bench.weir", policy), &[INTERFACE]);
    request.instance = instance;
    // A run that was killed may have left it behind; its namespace is gone.
    let _ = weir_dataplane::unload(instance);
    let (instance, _) = Instance::load(&request).map_err(told)?;
    Ok(Running::Weir(Some(instance)))
}

fn interface() -> Result<Interface, String> {
    Interface::named(INTERFACE).map_err(told)
}

fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Every pair in turn, again and again; each turn begins with another one, so that none is always behind the same.
fn rounds_of(
    pairs: &[Pair<'_>],
    source: &Host,
    generator: &Generator,
    rounds: usize,
) -> Result<Rates, Failure> {
    let rates = source.run(|| -> Result<Rates, String> {
        threads::go_first(threads::SENDER)?;
        let mut rates = vec![Vec::new(); pairs.len()];
        for turn in 0..rounds * TURNS {
            for index in 0..pairs.len() {
                let index = (turn + index) % pairs.len();
                rates[index].push(pairs[index].burst(generator)?);
            }
        }
        Ok(rates)
    })??;
    Ok(rates)
}

/// Moves every receiver to a kernel thread on the last CPU; the sender stays on the first.
fn threads(pairs: &[Pair<'_>]) -> Result<(), String> {
    if weir_kernel::maps::possible_cpus() < 2 {
        return Err("there is only one".to_owned());
    }
    pairs.iter().try_for_each(|pair| threads::thread_napi(pair.host.namespace().label(), INTERFACE))?;
    threads::napi(INTERFACE)?.into_iter().try_for_each(|pid| {
        threads::pin(pid, threads::receiver())?;
        threads::prefer(pid, 1)
    })
}

impl Pair<'_> {
    /// Millions of frames that the filter received a second; all of them are dropped, which [`Pair::check`] has seen.
    /// On a thread of the source's namespace.
    fn burst(&self, generator: &Generator) -> Result<f64, String> {
        let before = self.received()?;
        let each = generator.send(self.sender, BURST).map_err(told)?;
        let received = self.received()? - before;
        Ok(received as f64 / f64::from(BURST) / each.as_secs_f64() / 1e6)
    }

    fn received(&self) -> Result<u64, String> {
        let mut text = String::new();
        let mut counters = &self.counters;
        counters.rewind().and_then(|()| counters.read_to_string(&mut text)).map_err(told)?;
        let line = text.lines().find_map(|line| line.trim_start().strip_prefix(INTERFACE)?.strip_prefix(':'));
        let packets = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
        packets.ok_or_else(|| "the interface is not in /proc/net/dev".to_owned())
    }

    /// The program that sits on the interface.
    fn program(&self) -> Result<Program, Failure> {
        let program = self.host.run(|| -> Result<Program, String> {
            let occupants = attach::occupants(&interface()?).map_err(told)?;
            let native = occupants.iter().find(|occupant| occupant.hook == Hook::XdpNative);
            let occupant = native.ok_or("nothing sits there natively")?;
            Program::from_id(occupant.program_id).map_err(told)
        })?;
        Ok(program?)
    }

    /// All frames are dropped.
    fn check(&self) -> Result<(), Failure> {
        let program = self.program()?;
        for frame in frames(64) {
            let outcome = self.host.run(|| run::once(&program, &frame))??;
            if outcome.code != 1 {
                return Err(
                    format!("{}: a frame is not dropped, but answered {}", self.name, outcome.code).into()
                );
            }
        }
        Ok(())
    }

    fn row(mut self, one_cpu: Rate, two_cpus: Option<Rate>) -> Result<VethRow, Failure> {
        let program = self.program()?;
        let measured = bench(&program, &frames(ALONE), &BenchOptions::default());
        let alone = measured.map(|measured| Spread {
            middle: measured.net.median,
            low: measured.net.min,
            high: measured.net.max,
        });
        let running = self.running.take();
        self.host.run(|| drop(running))?;
        Ok(VethRow { name: self.name.to_owned(), two_cpus, one_cpu, alone: alone.ok() })
    }
}

impl Drop for Pair<'_> {
    /// Pins and peers outlive the namespace if nobody takes them away.
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            let _ = self.host.run(|| drop(running));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        match self {
            Self::Bare { .. } => {}
            Self::Weir(instance) => {
                let _ = instance.take().map(Instance::unload);
            }
            Self::Peer(peer) => peer.stop(INTERFACE),
        }
    }
}

/// What the generator sends, for measurements without a wire.
fn frames(count: usize) -> Vec<Vec<u8>> {
    frames::draw(count, |random| {
        let source = 0x7f00_0000 | random.below(1 << 24);
        generator::packet(source, random.port())
    })
}

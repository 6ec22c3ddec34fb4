//! What collectors of sFlow take of a CPU for a sample: Weir, and those that others wrote, on the same datagrams.
//!
//! Each runs on the last CPU, in a namespace that has nothing but a loopback, and gets datagrams from the first one as fast as
//! it takes them from its socket. What counts is the time of all its threads and processes, by the kernel's figure.

mod feed;
mod programs;

use std::net::Ipv4Addr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use weir_detect::sflow::{self, Tally};
use weir_detect::traffic::{Config, Detector};
use weir_lab::program::Program;
use weir_lab::{Host, HostSpec, Topology};

use crate::report::{CollectorRow, Report};
use crate::spread::{Ratio, Spread};
use crate::times::on_cpu;
use crate::{Failure, report, threads};
use feed::Feed;
use programs::{COLLECTORS, Collector, PATIENCE, Running};

/// Where they listen.
const PORT: u16 = 6343;

/// The first of the addresses that samples go to; all of them are in these 17 bits.
const NETWORK: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);
const NETWORK_LENGTH: u8 = 15;

/// Samples that a collector gets before it is measured, so that it knows all destinations, and while it is.
const WARM: usize = 500_000;
const SAMPLES: usize = 1_000_000;

/// Turns for one round of the other cases.
const TURNS: usize = 3;

/// Between two calls of the detector's clock.
const TICK: Duration = Duration::from_millis(20);

/// Until a collector has seen to what it took from its socket.
const SETTLE: Duration = Duration::from_millis(500);

/// Nanoseconds of a CPU for a sample, and which part of the samples never came to be counted.
struct Turn {
    cpu: f64,
    lost: f64,
}

pub(crate) fn measure(report: &mut Report, rounds: usize) -> Result<(), Failure> {
    if weir_kernel::maps::possible_cpus() < 2 {
        report.absent.push("collectors of sFlow: there is only one CPU".to_owned());
        return Ok(());
    }
    let (there, absent): (Vec<_>, Vec<_>) = COLLECTORS.into_iter().partition(|one| one.is_there());
    report.absent.extend(absent.iter().map(Collector::missing));
    if absent.iter().any(|one| one.name == COLLECTORS[0].name) {
        return Ok(());
    }
    let lab = Topology::new().host(HostSpec::new("collector")).build()?;
    let host = lab.host("collector")?;
    Program::run(host, &["ip", "link", "set", "lo", "up"], PATIENCE)?;
    let mut feed = Feed::new();
    let mut turns: Vec<Vec<Turn>> = there.iter().map(|_| Vec::new()).collect();
    let mut library = Vec::new();
    for _ in 0..rounds.div_ceil(TURNS) {
        for (collector, turns) in there.iter().zip(&mut turns) {
            report::progress(collector.name);
            turns.push(turn(host, collector, &mut feed)?);
        }
        library.push(in_process(&mut feed)?);
    }
    let first: Vec<f64> = turns[0].iter().map(|turn| turn.cpu).collect();
    let rows = there.iter().zip(&turns).map(|(one, turns)| row(one.name, one.does, turns, &first));
    report.collectors.extend(rows);
    let does = "reads, counts by host and network, gives alerts";
    report.collectors.push(row("Weir, as a library", does, &library, &first));
    Ok(())
}

fn row(name: &'static str, does: &'static str, turns: &[Turn], first: &[f64]) -> CollectorRow {
    let cpu: Vec<f64> = turns.iter().map(|turn| turn.cpu).collect();
    CollectorRow {
        name,
        does,
        samples: Spread::of(cpu.iter().map(|nanoseconds| 1e6 / nanoseconds).collect()),
        cpu: Spread::of(cpu.clone()),
        over_weir: Ratio::of(&cpu, first),
        lost: turns.iter().map(|turn| turn.lost).fold(0.0, f64::max),
    }
}

fn turn(host: &Host, collector: &Collector, feed: &mut Feed) -> Result<Turn, Failure> {
    let running = Running::start(host, collector, threads::receiver())?;
    let fed = host.run(|| -> Result<_, String> {
        let told = |failure: Failure| format!("`{}`: {failure}", collector.name);
        threads::pin(0, threads::SENDER)?;
        let warm = feed.send(WARM).map_err(told)?;
        sleep(SETTLE);
        let before = running.on_cpu().map_err(told)?;
        let sent = feed.send(SAMPLES).map_err(told)?;
        sleep(SETTLE);
        let cpu = running.on_cpu().map_err(told)? - before;
        Ok((warm, sent, cpu))
    })?;
    let (warm, sent, cpu) = fed?;
    let counted = running.end(host)?;
    let lost = 1.0 - counted as f64 / (warm + sent) as f64;
    Ok(Turn { cpu: cpu.as_nanos() as f64 / sent as f64, lost })
}

/// The same without sockets and processes.
fn in_process(feed: &mut Feed) -> Result<Turn, Failure> {
    let (mut detector, mut tally) = (Detector::new(Config::default()), Tally::default());
    let (start, mut ticked) = (Instant::now(), Duration::ZERO);
    let mut read = |samples: usize| -> Result<usize, Failure> {
        let mut found = 0;
        while found < samples {
            let now = start.elapsed();
            let (datagram, inside) = feed.next();
            sflow::samples(datagram, now, &mut tally, |sample| {
                detector.observe(&sample);
            })?;
            found += inside;
            if now >= ticked + TICK {
                ticked = now;
                detector.tick(now).for_each(drop);
            }
        }
        Ok(found)
    };
    read(WARM)?;
    let before = on_cpu();
    let found = read(SAMPLES)?;
    Ok(Turn { cpu: (on_cpu() - before) * 1e6 / found as f64, lost: 0.0 })
}

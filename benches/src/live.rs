//! What changes while a policy runs: one rule of ten thousand, one element of a million, and the million itself.

use std::time::{Duration, Instant};
use weir_dataplane::{Change, Instance, Lifetime, Policy, Report, Request};
use weir_lab::traffic::Random;
use weir_lab::{End, HostSpec, Link, Topology};

use crate::Failure;
use crate::report::TimeRow;
use crate::rule::{mask, prefix_text};
use crate::rules::{address, shapes};
use crate::spread::Spread;
use crate::times::on_cpu;

/// So long after another change the space beside the one in use is free without waiting for it.
const PAUSE: Duration = Duration::from_millis(3100);

const INSTANCE: &str = "bench-live";

pub(crate) fn measure(rounds: usize) -> Result<Vec<TimeRow>, Failure> {
    let ends = Link::new(End::new("edge", "eth0"), End::new("peer", "eth0"));
    let lab = Topology::new().host(HostSpec::new("edge")).host(HostSpec::new("peer")).link(ends).build()?;
    let (less, more) = (shapes(10_000).policy, shapes(10_001).policy);
    let reports = lab.host("edge")?.run(|| reports(rounds, &less, &more))??;
    let (filled, added) = lab.host("edge")?.run(|| elements(rounds))??;
    let row = |name, goal, of: fn(&Report) -> u64| {
        let wall: Vec<f64> = reports.iter().map(|report| of(report) as f64 / 1000.0).collect();
        TimeRow { name, wall: Spread::of(wall), cpu: None, goal }
    };
    Ok(vec![
        row("compile 10,000 rules, one more or less", 300.0, |report| report.compile_us),
        row("write their tables and note what runs", 1000.0, |report| report.load_us),
        row("take the tables up", 1.0, |report| report.swap_us),
        filled,
        added,
    ])
}

/// Filling a live set, texts and all, and adding to it.
fn elements(rounds: usize) -> Result<(TimeRow, TimeRow), String> {
    let _ = weir_dataplane::unload(INSTANCE);
    let told = |error: weir_dataplane::Error| error.to_string();
    let mut random = Random::new(17);
    let mut prefix = || {
        let length = 16 + random.below(17);
        prefix_text((address(&mut random) & mask(length), length))
    };
    let million: Vec<String> = (0..1_000_000).map(|_| prefix()).collect();
    let policy = Policy::new("bench.weir", "set listed : ip max 2M\ndrop listed when ip.src in listed\n");
    let request = Request { instance: INSTANCE, ..Request::new(policy, &["eth0"]) };
    let (instance, _) = Instance::load(&request).map_err(told)?;
    let mut set = instance.set("listed").map_err(told)?;
    let (mut filled, mut added) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        set.flush().map_err(told)?;
        filled.push(timed(|| set.add(&million, Lifetime::Declared)).map_err(told)?);
        for _ in 0..20 {
            let one = [prefix()];
            added.push(timed(|| set.add(&one, Lifetime::Declared)).map_err(told)?);
        }
    }
    instance.unload().map_err(told)?;
    let row = |name, times: Vec<(f64, f64)>, goal| {
        let (wall, cpu) = times.into_iter().unzip();
        TimeRow { name, wall: Spread::of(wall), cpu: Some(Spread::of(cpu)), goal }
    };
    let filled = row("fill a live set with 1,000,000 prefixes", filled, 3000.0);
    Ok((filled, row("one prefix more", added, 1.0)))
}

/// Milliseconds, and how many of them on a CPU.
fn timed<E>(work: impl FnOnce() -> Result<(), E>) -> Result<(f64, f64), E> {
    let (start, before) = (Instant::now(), on_cpu());
    work()?;
    Ok((start.elapsed().as_secs_f64() * 1000.0, on_cpu() - before))
}

fn reports(rounds: usize, less: &str, more: &str) -> Result<Vec<Report>, String> {
    // A run that was killed may have left it behind.
    let _ = weir_dataplane::unload(INSTANCE);
    let told = |error: weir_dataplane::Error| error.to_string();
    let request = Request { instance: INSTANCE, ..Request::new(Policy::new("bench.weir", less), &["eth0"]) };
    let (mut instance, _) = Instance::load(&request).map_err(told)?;
    let mut reports = Vec::new();
    for round in 0..rounds {
        std::thread::sleep(PAUSE);
        let text = if round % 2 == 0 { more } else { less };
        let report = instance.reload(&Policy::new("bench.weir", text)).map_err(told)?;
        if report.change != Change::Tables {
            return Err("one rule more took another program".into());
        }
        reports.push(report);
    }
    instance.unload().map_err(told)?;
    Ok(reports)
}

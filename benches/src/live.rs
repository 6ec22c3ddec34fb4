//! One rule more or less in a policy of ten thousand that runs.

use std::time::Duration;
use weir_dataplane::{Change, Instance, Policy, Report, Request};
use weir_lab::{End, HostSpec, Link, Topology};

use crate::Failure;
use crate::report::TimeRow;
use crate::rules::shapes;
use crate::spread::Spread;

/// So long after another change the space beside the one in use is free without waiting for it.
const PAUSE: Duration = Duration::from_millis(3100);

const INSTANCE: &str = "bench-live";

pub(crate) fn measure(rounds: usize) -> Result<Vec<TimeRow>, Failure> {
    let ends = Link::new(End::new("edge", "eth0"), End::new("peer", "eth0"));
    let lab = Topology::new().host(HostSpec::new("edge")).host(HostSpec::new("peer")).link(ends).build()?;
    let (less, more) = (shapes(10_000).policy, shapes(10_001).policy);
    let reports = lab.host("edge")?.run(|| reports(rounds, &less, &more))??;
    let row = |name, goal, of: fn(&Report) -> u64| {
        let wall: Vec<f64> = reports.iter().map(|report| of(report) as f64 / 1000.0).collect();
        TimeRow { name, wall: Spread::of(wall), cpu: None, goal }
    };
    Ok(vec![
        row("compile 10,000 rules, one more or less", 300.0, |report| report.compile_us),
        row("write their tables and note what runs", 1000.0, |report| report.load_us),
        row("take the tables up", 1.0, |report| report.swap_us),
    ])
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

//! `weir analyze`: attacks in captures, or in what sFlow agents send.

mod analysis;
mod captures;
mod memory;
mod rows;
mod show;
mod totals;

use crate::args::Analyze;
use crate::failure::{Exit, Failure, Outcome, failed, words};
use crate::printer::Printer;
use crate::stop::Stop;
use analysis::{Analysis, News};
use captures::Captures;
use rows::{Line, SummaryLine};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use weir_dataplane::protect;
use weir_detect::traffic::{Config, Rate};
use weir_fleet::listener::{Listener, Senders};

/// So many alerts have their statements written: the latest.
const ALERTS: usize = 1000;

/// What is shown, and where statements are written.
struct Report<'a> {
    args: &'a Analyze,
    printer: &'a mut Printer,
    /// By alert.
    policy: BTreeMap<u64, String>,
}

pub(super) fn run(args: &Analyze, printer: &mut Printer) -> Outcome {
    let mut analysis = Analysis::new(config(args, printer)?);
    for path in &args.good {
        let mut captures = Captures::new(args.one_in);
        let read = captures.read(path, &mut |sample| {
            analysis.good(sample);
            true
        });
        read.map_or(Ok(()), |why| Err(failed(why)))?;
    }
    let mut report = Report { args, printer, policy: BTreeMap::new() };
    match args.sflow_listen {
        Some(address) => listened(args, address, &mut analysis, &mut report),
        None => captured(args, &mut analysis, &mut report),
    }
}

fn config(args: &Analyze, printer: &mut Printer) -> Result<Config, Failure> {
    let mut config = Config::default();
    config.floor = Rate {
        packets: args.floor_packets.unwrap_or(config.floor.packets),
        bits: args.floor_bits.unwrap_or(config.floor.bits),
    };
    for level in &mut config.levels {
        level.floor = Rate { packets: 2.0 * config.floor.packets, bits: 2.0 * config.floor.bits };
    }
    if let Some(path) = &args.policy {
        let analysis = crate::policy::analyse(path, printer)?;
        let options = protect::Options { traffic: config.clone(), ..protect::Options::default() };
        config.services = options.services(&[("", &analysis.policy.services)]);
    }
    Ok(config)
}

fn captured(args: &Analyze, analysis: &mut Analysis, report: &mut Report<'_>) -> Outcome {
    let stop = Stop::on_signals()?;
    let mut captures = Captures::new(args.one_in);
    let mut broken = Vec::new();
    for path in args.captures.iter().filter(|_| !stop.asked()) {
        let mut trouble = None;
        let read = captures.read(path, &mut |sample| {
            analysis.observe(sample);
            trouble = report.news(analysis).err();
            trouble.is_none() && !stop.asked()
        });
        trouble.map_or(Ok(()), Err)?;
        broken.extend(read);
    }
    analysis.finish();
    if analysis.samples().0 > 0 || broken.is_empty() {
        report.finish(analysis, None)?;
    }
    if captures.not_ethernet > 0 {
        let frames = crate::units::counted(captures.not_ethernet, "frame");
        report.printer.warning(format!("{frames} have no ethernet form and were not looked at"));
    }
    match broken.pop() {
        None => Ok(Exit::Fine),
        Some(last) => {
            broken.iter().for_each(|error| report.printer.error(error));
            Err(failed(last))
        }
    }
}

fn listened(
    args: &Analyze,
    address: SocketAddr,
    analysis: &mut Analysis,
    report: &mut Report<'_>,
) -> Outcome {
    let stop = Stop::on_signals()?;
    let refused = |error: std::io::Error| failed(format!("cannot listen on `{address}`: {}", words(&error)));
    let mut listener = Listener::bind(address, Senders::of(&args.from)).map_err(refused)?;
    let bound = listener.address().map_err(refused)?;
    report.printer.say(format!("listening on {bound}; Ctrl-C ends it"));
    // Times of day that are never set back.
    let (epoch, start) = (SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(), Instant::now());
    let now = || epoch + start.elapsed();
    while !stop.asked() && args.duration.is_none_or(|time| start.elapsed() < time) {
        let read = listener.read(now, |sample| analysis.observe(&sample));
        if let (_, Some(told)) = read.map_err(refused)? {
            report.printer.warning(told);
        }
        analysis.tick(now());
        report.news(analysis)?;
    }
    analysis.finish();
    report.finish(analysis, Some(&listener))?;
    Ok(Exit::Fine)
}

impl Report<'_> {
    /// Shows what happened.
    fn news(&mut self, analysis: &mut Analysis) -> Result<(), Failure> {
        for news in analysis.news() {
            self.keep(&news);
            let start = analysis.times().map_or(Duration::ZERO, |(first, _)| first);
            match self.args.json {
                true => self.printer.json(&Line::of(&news))?,
                false => show::news(&news, start, self.printer)?,
            }
        }
        Ok(())
    }

    fn finish(&mut self, analysis: &mut Analysis, listener: Option<&Listener>) -> Result<(), Failure> {
        self.news(analysis)?;
        if let Some(path) = &self.args.output {
            write(path, &self.policy.values().map(String::as_str).collect::<String>(), self.printer)?;
        }
        match self.args.json {
            true => self.printer.json(&Line::Summary(SummaryLine::of(analysis, listener, self.args.top))),
            false => show::summary(analysis, listener, self.args.top, self.printer),
        }
    }

    /// Keeps what was found last for each alert, for the policy; each name says which alert it is of, as a policy has
    /// each name once.
    fn keep(&mut self, news: &News) {
        let News::Found(_, id, findings, _) = news else { return };
        if self.args.output.is_none() || findings.statements.is_empty() {
            return;
        }
        let limits = findings.left.iter().filter_map(|left| left.statement.as_ref());
        let texts = findings.statements.iter().chain(limits).map(|statement| {
            let (verb, name) = (&statement.verb, &statement.name);
            let (old, new) = (format!("{verb} {name} when "), format!("{verb} {name}_a{id} when "));
            statement.text(false).replacen(&old, &new, 1)
        });
        self.policy.insert(*id, texts.collect());
        if self.policy.len() > ALERTS {
            self.policy.pop_first();
        }
    }
}

fn write(path: &Path, policy: &str, printer: &mut Printer) -> Result<(), Failure> {
    if crate::files::is_standard(path) {
        return printer.text(policy);
    }
    std::fs::write(path, policy)
        .map_err(|error| failed(format!("cannot write `{}`: {}", path.display(), words(&error))))
}

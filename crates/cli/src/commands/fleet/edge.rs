//! `weir fleet edge`.

use super::{named, open, say};
use crate::args::fleet::FleetEdge;
use crate::commands::pool::Kept;
use crate::export;
use crate::failure::{Exit, Failure, Outcome};
use crate::printer::Printer;
use crate::running::{hook, told};
use crate::sampling::{Heard, Sampling};
use crate::stop::Stop;
use std::time::{Duration, Instant};
use weir_dataplane::export::Collectors;
use weir_dataplane::{Error, Instance, SampleKeeper};
use weir_fleet::Edge;
use weir_fleet::edge::{Event, Options};
use weir_kernel::netns::Namespace;

/// How long one wait for etcd may take.
const WAIT: Duration = Duration::from_millis(50);
/// Longer than that no mitigation stands without etcd.
const LONGEST: Duration = Duration::from_secs(3600);

/// What goes on beside the policy.
struct Beside {
    pools: Option<Kept>,
    sampling: Option<Sampling>,
    samples: SampleKeeper,
}

pub(super) fn run(args: &FleetEdge, printer: &mut Printer) -> Outcome {
    let stop = Stop::on_signals()?;
    let policy = args.policy.clone().unwrap_or_else(|| args.name.clone());
    named(&args.name)?;
    named(&policy)?;
    let options = Options {
        name: args.name.clone(),
        policy,
        instance: args.instance.clone(),
        interfaces: args.interfaces.clone(),
        hook: hook(args.mode),
        namespace: args.netns.as_deref().map(Namespace::find).transpose()?,
        never: args.never.clone(),
        idle: args.expire,
        longest: LONGEST,
        agent: agent(args, printer)?,
    };
    let mut edge = Edge::start(open(&args.etcd)?, options).map_err(|error| told(error, printer))?;
    let mut beside = edge.instance().map(|instance| Beside::start(instance, args, printer)).transpose()?;
    let start = Instant::now();
    while !stop.asked() && args.duration.is_none_or(|time| start.elapsed() < time) {
        let events = edge.turn(WAIT).map_err(|error| told(error, printer))?;
        for event in &events {
            say(event, args.json, printer)?;
        }
        // Another policy has other pools and samples.
        if events.iter().any(|event| matches!(event, Event::Runs { .. })) {
            drop(beside.take());
            beside = edge.instance().map(|instance| Beside::start(instance, args, printer)).transpose()?;
        }
        beside.as_mut().map_or(Ok(()), |beside| beside.turn(printer))?;
    }
    for line in beside.and_then(|beside| beside.sampling).map(Sampling::finish).unwrap_or_default() {
        printer.say(line);
    }
    if edge.instance().is_some() {
        printer.say(format!("the policy runs on: `weir unload -n {}` takes it away", args.instance));
    }
    Ok(Exit::Fine)
}

/// The address that collectors see.
fn agent(args: &FleetEdge, printer: &mut Printer) -> Result<Option<std::net::IpAddr>, Failure> {
    if args.sflow.agent.is_some() || args.sflow.collectors.is_empty() {
        return Ok(args.sflow.agent);
    }
    let collectors = Collectors::connect(&args.sflow.collectors).map_err(|error| told(error, printer))?;
    Ok(collectors.source())
}

impl Beside {
    fn start(instance: &Instance, args: &FleetEdge, printer: &mut Printer) -> Result<Beside, Failure> {
        let netns = args.netns.as_deref();
        let pools = Kept::start(instance, netns, printer)?;
        let exporter = export::exporter(&args.sflow, instance, netns, printer)?;
        let sampling = match exporter.map(|exporter| (instance.samples(), exporter)) {
            None => None,
            Some((Err(Error::NoSamples { .. }), _)) => {
                printer.warning(
                    "the policy samples nothing, so no analyser sees its traffic: add `sample all 1 in 100`",
                );
                None
            }
            Some((samples, exporter)) => {
                Some(Sampling::start(samples.map_err(|error| told(error, printer))?, Some(exporter), None)?)
            }
        };
        Ok(Beside { pools, sampling, samples: SampleKeeper::new(instance.clone()) })
    }

    fn turn(&mut self, printer: &mut Printer) -> Result<(), Failure> {
        let mut lines = self.pools.as_ref().map(Kept::events).unwrap_or_default();
        let adapted = self.samples.turn().map_err(|error| told(error, printer))?;
        lines.extend(adapted.iter().map(ToString::to_string));
        for heard in self.sampling.iter().flat_map(Sampling::heard) {
            if let Heard::Told(line) = heard {
                lines.push(line);
            }
        }
        lines.iter().for_each(|line| printer.say(line));
        Ok(())
    }
}

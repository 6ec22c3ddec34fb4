//! `weir fleet analyze`.

use super::{named, open, refused, say};
use crate::args::fleet::FleetAnalyze;
use crate::failure::{Exit, Failure, Outcome, failed, words};
use crate::printer::Printer;
use crate::protection::{Chronicle, forget, journal};
use crate::stop::Stop;
use crate::units::{counted, grouped};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Instant;
use weir_dataplane::protect;
use weir_detect::defence::Event;
use weir_fleet::Analyser;
use weir_fleet::analyser::{Options, What};
use weir_fleet::listener::{Listener, Senders};
use weir_telemetry::Hooks;

pub(super) fn run(args: &FleetAnalyze, printer: &mut Printer) -> Outcome {
    let stop = Stop::on_signals()?;
    named(&args.name)?;
    let cannot =
        |error: std::io::Error| failed(format!("cannot listen on `{}`: {}", args.listen, words(&error)));
    // Whom to read, etcd says.
    let listener = Listener::bind(args.listen, Senders::Listed(BTreeSet::new())).map_err(cannot)?;
    let bound = listener.address().map_err(cannot)?;
    let protect = protect::Options {
        never: args.never.clone(),
        from: args.from,
        idle: args.expire,
        ..protect::Options::default()
    };
    let options = Options {
        name: args.name.clone(),
        address: address(args, bound)?,
        agents: args.agents.clone(),
        protect,
        hold: args.hold,
    };
    let hooks = Hooks::start(&args.commands, &args.webhooks)?;
    let name = format!("analyser-{}", args.name);
    let file = args.journal.clone().unwrap_or_else(|| journal(&name));
    let file = (!args.no_journal).then_some(file.as_path());
    let (mut chronicle, memory) = Chronicle::start(&name, file, hooks)?;
    let mut analyser = Analyser::start(open(&args.etcd)?, listener, options).map_err(refused)?;
    analyser.recall(memory);
    printer.say(format!("listening on {bound}; Ctrl-C ends it"));
    let start = Instant::now();
    while !stop.asked() && args.duration.is_none_or(|time| start.elapsed() < time) {
        let mut met = Vec::new();
        for event in analyser.turn().map_err(refused)? {
            say(&event, args.json, printer)?;
            if let What::Defence(what) = event.what {
                met.push(Event { time_ns: event.time_ns, what });
            }
        }
        let evidence = analyser.evidence();
        chronicle.turn(&met, evidence, analyser.mitigations());
        if chronicle.is_forgetful() {
            chronicle.remember(analyser.memory());
        }
        chronicle.troubles().iter().for_each(|trouble| printer.warning(trouble));
    }
    chronicle.remember(analyser.memory());
    chronicle.finish().iter().for_each(|trouble| printer.warning(trouble));
    forget(&name);
    let listener = analyser.listener();
    let tally = &listener.tally;
    printer.say(format!(
        "{}, {}; {} came twice, {} are missing, {} of strangers, {} malformed",
        counted(tally.datagrams, "datagram"),
        counted(tally.flows + tally.discarded, "sample"),
        grouped(listener.again),
        grouped(listener.lost),
        grouped(listener.strange),
        grouped(tally.malformed),
    ));
    Ok(Exit::Fine)
}

/// Where the others reach it: they know it again by this.
fn address(args: &FleetAnalyze, bound: SocketAddr) -> Result<SocketAddr, Failure> {
    match args.address {
        Some(address) => Ok(address),
        None if bound.ip().is_unspecified() => Err(failed(format!("other analysers cannot reach `{bound}`"))
            .help("listen on one address, or say by which they reach it: `--address ADDR:PORT`")),
        None => Ok(bound),
    }
}

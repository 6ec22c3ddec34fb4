//! `weir fleet analyze`.

use super::{named, open, refused, say};
use crate::args::fleet::FleetAnalyze;
use crate::failure::{Exit, Failure, Outcome, failed, words};
use crate::metrics::{Analysing, Came, Own, analyser, serve};
use crate::printer::Printer;
use crate::protection::{Chronicle, forget, journal};
use crate::stop::Stop;
use crate::units::{counted, grouped};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use weir_dataplane::protect;
use weir_detect::defence::Event;
use weir_fleet::Analyser;
use weir_fleet::analyser::{Options, What};
use weir_fleet::listener::{Listener, Senders};
use weir_telemetry::{Hooks, Page};

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
    let now: Arc<Mutex<Analysing>> = Arc::default();
    let page = args.metrics.map(|address| serve_metrics(address, &name, &chronicle, &now)).transpose()?;
    if let Some(page) = &page {
        printer.say(format!("metrics at http://{}/metrics", page.address()));
    }
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
        *now.lock().unwrap_or_else(PoisonError::into_inner) =
            Analysing { leads: analyser.leads(), came: came(analyser.listener()) };
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
    let came = came(analyser.listener());
    printer.say(format!(
        "{}, {}; {} came twice, {} are missing, {} of strangers, {} malformed",
        counted(came.datagrams, "datagram"),
        counted(came.samples, "sample"),
        grouped(came.again),
        grouped(came.lost),
        grouped(came.strange),
        grouped(came.malformed),
    ));
    Ok(Exit::Fine)
}

fn came(listener: &Listener) -> Came {
    let tally = &listener.tally;
    Came {
        datagrams: tally.datagrams,
        samples: tally.flows + tally.discarded,
        lost: listener.lost,
        again: listener.again,
        strange: listener.strange,
        malformed: tally.malformed,
        unsent: listener.unsent,
    }
}

/// A page of what the analyser said last.
fn serve_metrics(
    address: SocketAddr,
    name: &str,
    chronicle: &Chronicle,
    now: &Arc<Mutex<Analysing>>,
) -> Result<Page, Failure> {
    let (journal, hooks) = chronicle.watch();
    let own = Own { journal: Some(journal), hooks, ..Own::default() };
    let (name, now) = (name.to_owned(), Arc::clone(now));
    serve(address, move || {
        let now = *now.lock().unwrap_or_else(PoisonError::into_inner);
        analyser(&name, now, &own)
    })
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

//! `weir run`: a policy for as long as somebody watches it.

use super::pool::Kept;
use super::top::snapshot;
use crate::args::Run;
use crate::export;
use crate::failure::{Exit, Failure, Outcome};
use crate::live::{Snapshot, Watch, watch};
use crate::metrics::{Collectors, Own, Source, page, serve};
use crate::printer::{Printer, statement_table};
use crate::protection::{self, Protection, lasting_name};
use crate::running::{self, rows, told};
use crate::sampling::{Heard, Sampling};
use crate::stop::Stop;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use weir_dataplane::{Instance, SampleKeeper, instance};
use weir_telemetry::{Hooks, Page};

/// Detaches, whatever happens.
struct Detach<'a>(&'a str);

pub(super) fn run(args: &Run, printer: &mut Printer) -> Outcome {
    let stop = Stop::on_signals()?;
    let hooks = Hooks::start(&args.hooks.commands, &args.hooks.webhooks)?;
    let (instance, _) = running::load_watched(&args.attach, printer)?;
    // Other commands find it under this name: `weir block` works on it too.
    let name = instance.name().to_owned();
    let detach = Detach(&name);
    printer.say(format!("attached to {} as `{name}`; Ctrl-C detaches", args.attach.interfaces.join(", ")));
    let how = Watch { every: Duration::from_secs(1), duration: args.duration, json: args.json };
    let kept = Kept::start(&instance, args.attach.netns.as_deref(), printer)?;
    let exporter = export::exporter(&args.sflow, &instance, args.attach.netns.as_deref(), printer)?;
    let journal = journal(args);
    let protection = Protection::start(&instance, &args.protect, journal.as_deref(), hooks, printer)?;
    let watches = protection.as_ref().map(Protection::watch);
    let sampling = match exporter.is_some() || protection.is_some() {
        true => {
            let read = instance.samples().map_err(|error| told(error, printer))?;
            Some(Sampling::start(read, exporter, protection)?)
        }
        false => None,
    };
    let collectors = sampling.as_ref().map(Sampling::collectors).unwrap_or_default();
    let metrics = args.metrics.map(|address| serve_metrics(address, args, &instance, watches, collectors));
    let metrics = metrics.transpose()?;
    if let Some(page) = &metrics {
        printer.say(format!("metrics at http://{}/metrics", page.address()));
    }
    let mut samples = SampleKeeper::new(instance.clone());
    let mut look = |printer: &mut Printer| {
        let mut events = kept.as_ref().map(Kept::events).unwrap_or_default();
        let adapted = samples.turn().map_err(|error| told(error, printer))?;
        events.extend(adapted.iter().map(ToString::to_string));
        for heard in sampling.iter().flat_map(Sampling::heard) {
            match heard {
                Heard::Event(event) if args.json => printer.json(&event)?,
                Heard::Event(event) => events.extend(event.to_string().lines().map(str::to_owned)),
                Heard::Trouble(trouble) => printer.warning(trouble),
                Heard::Told(line) if args.json => printer.warning(line),
                Heard::Told(line) => events.push(line),
            }
        }
        Ok(Snapshot { events, ..snapshot(&instance, printer)? })
    };
    let watched = watch(&mut look, how, &stop, printer);
    drop(kept);
    for told in sampling.map(Sampling::finish).unwrap_or_default() {
        printer.say(told);
    }
    protection::forget(&name);
    let summed = watched.and_then(|()| if args.json { Ok(()) } else { summary(&instance, printer) });
    detach.now().map_err(|error| told(error, printer))?;
    summed?;
    Ok(Exit::Fine)
}

/// A page of what this process runs. Its name is the same tomorrow, and so are the series.
fn serve_metrics(
    address: SocketAddr,
    args: &Run,
    instance: &Instance,
    watches: Option<(weir_journal::Watch, weir_telemetry::Watch)>,
    collectors: Collectors,
) -> Result<Page, Failure> {
    let (journal, hooks) = watches.unzip();
    let own = Own { journal, hooks: hooks.unwrap_or_default(), collectors };
    let (name, instance) = (lasting_name(&args.attach.policy), instance.clone());
    serve(address, move || {
        let live = own.journal.as_ref().map(weir_journal::Watch::live);
        page(&[Source { name: name.clone(), instance: instance.clone(), live, own: Some(own.clone()) }])
    })
}

/// Where what the protection meets is kept, if it is.
fn journal(args: &Run) -> Option<PathBuf> {
    let usual = || protection::journal(&lasting_name(&args.attach.policy));
    let file = args.keep.journal.clone().unwrap_or_else(usual);
    // Other commands may run elsewhere.
    (!args.keep.no_journal).then(|| std::path::absolute(&file).unwrap_or(file))
}

fn summary(instance: &Instance, printer: &mut Printer) -> Result<(), Failure> {
    let counters = instance.counters().map_err(|error| told(error, printer))?;
    printer.line("")?;
    printer.table(&statement_table(&rows(counters)))
}

impl Detach<'_> {
    fn now(self) -> Result<(), weir_dataplane::Error> {
        let name = self.0;
        std::mem::forget(self);
        instance::unload(name)
    }
}

impl Drop for Detach<'_> {
    fn drop(&mut self) {
        // Only a panic comes by here: there is nobody to tell of a second failure.
        let _ = instance::unload(self.0);
    }
}

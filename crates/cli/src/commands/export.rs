//! `--sflow`: samples and counters to collectors, beside what a command shows.

use crate::args::Sflow;
use crate::failure::{Failure, words};
use crate::printer::Printer;
use crate::running::told;
use crate::stop::Stop;
use crate::units::{counted, grouped};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;
use weir_dataplane::export::{CollectorStatus, Collectors, Dropped, Exporter};
use weir_dataplane::{Instance, Samples};
use weir_kernel::netns::Namespace;

/// How long one wait for samples may take.
const WAIT: Duration = Duration::from_millis(100);

/// Sends samples on a thread of its own, so that no screen makes them late.
pub(super) struct Exported {
    stop: Stop,
    thread: Option<JoinHandle<Vec<String>>>,
    events: Receiver<String>,
}

/// Where collectors are asked for.
pub(super) fn exporter(
    args: &Sflow,
    instance: &Instance,
    netns: Option<&str>,
    printer: &mut Printer,
) -> Result<Option<Exporter>, Failure> {
    if args.collectors.is_empty() {
        return Ok(None);
    }
    let collectors = Collectors::connect(&args.collectors).map_err(|error| told(error, printer))?;
    let dropped = if args.discarded { Dropped::Discarded } else { Dropped::Flows };
    let namespace = netns.map(Namespace::find).transpose()?;
    let exporter = Exporter::new(instance.clone(), collectors, args.agent, dropped, args.counters, namespace);
    exporter.map(Some).map_err(|error| told(error, printer))
}

/// Does what is due; what is to be said of it. Nothing that goes wrong here ends anything.
pub(super) fn turn(exporter: &mut Exporter) -> Vec<String> {
    let failed = exporter.turn().err().map(|error| format!("counters were not sent: {error}"));
    let gone = exporter.troubles().into_iter();
    let gone = gone.map(|(name, error)| format!("collector `{name}` gets nothing: {}", words(&error)));
    failed.into_iter().chain(gone).collect()
}

/// Sends the rest; what is to be said in the end.
pub(super) fn finish(exporter: &mut Exporter) -> Vec<String> {
    let status = exporter.finish();
    let refused = Some(exporter.refused()).filter(|refused| *refused > 0);
    let refused = refused.map(|refused| format!("{} fit into no datagram", counted(refused, "sample")));
    status.iter().map(collected).chain(refused).collect()
}

fn collected(status: &CollectorStatus) -> String {
    let sent = counted(status.sent, "datagram");
    let lost = match status.failed {
        0 => String::new(),
        failed => format!(", {} failed", grouped(failed)),
    };
    format!("sflow: {sent} to {}{lost}", status.name)
}

impl Exported {
    /// Nothing where no collectors are asked for.
    pub(super) fn start(
        args: &Sflow,
        instance: &Instance,
        netns: Option<&str>,
        printer: &mut Printer,
    ) -> Result<Option<Exported>, Failure> {
        let Some(exporter) = exporter(args, instance, netns, printer)? else { return Ok(None) };
        let samples = instance.samples().map_err(|error| told(error, printer))?;
        let (stop, (tell, events)) = (Stop::never_asked(), channel());
        let asked = stop.clone();
        let work = move || work(samples, exporter, &asked, &tell);
        let thread = std::thread::Builder::new().name("weir-sflow".into()).spawn(work)?;
        Ok(Some(Exported { stop, thread: Some(thread), events }))
    }

    /// What happened since the last look.
    pub(super) fn events(&self) -> Vec<String> {
        self.events.try_iter().collect()
    }

    /// Sends the rest, and says what became of all.
    pub(super) fn finish(mut self) -> Vec<String> {
        self.end()
    }

    fn end(&mut self) -> Vec<String> {
        self.stop.ask();
        self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or_default()
    }
}

impl Drop for Exported {
    fn drop(&mut self) {
        self.end();
    }
}

fn work(mut samples: Samples, mut exporter: Exporter, stop: &Stop, tell: &Sender<String>) -> Vec<String> {
    let mut trouble = None;
    loop {
        // Looked at before the last read, so that what was sampled until then is sent.
        let is_over = stop.asked();
        let wait = if is_over { Duration::ZERO } else { WAIT };
        let read = samples.read(wait, &mut |sample| exporter.sample(sample));
        let mut lines = turn(&mut exporter);
        // One that stays is told once.
        let error = read.err().map(|error| format!("samples are not read: {error}"));
        if error.is_some() && error != trouble {
            lines.extend(error.clone());
        }
        if error.is_some() {
            stop.sleep(WAIT);
        }
        trouble = error;
        if lines.into_iter().any(|line| tell.send(line).is_err()) || is_over {
            return finish(&mut exporter);
        }
    }
}

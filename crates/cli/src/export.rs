//! `--sflow`: samples and counters to collectors, beside what a command shows.

use crate::args::Sflow;
use crate::failure::{Failure, words};
use crate::printer::Printer;
use crate::running::told;
use crate::units::{counted, grouped};
use weir_dataplane::Instance;
use weir_dataplane::export::{CollectorStatus, Collectors, Dropped, Exporter};
use weir_kernel::netns::Namespace;

/// Where collectors are asked for.
pub(crate) fn exporter(
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
pub(crate) fn turn(exporter: &mut Exporter) -> Vec<String> {
    let failed = exporter.turn().err().map(|error| format!("counters were not sent: {error}"));
    let gone = exporter.troubles().into_iter();
    let gone = gone.map(|(name, error)| format!("collector `{name}` gets nothing: {}", words(&error)));
    failed.into_iter().chain(gone).collect()
}

/// Sends the rest; what is to be said in the end.
pub(crate) fn finish(exporter: &mut Exporter) -> Vec<String> {
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

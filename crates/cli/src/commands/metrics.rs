//! `weir metrics`: what runs, as Prometheus reads it.

use crate::args::Metrics;
use crate::failure::{Exit, Outcome};
use crate::metrics::{Source, page, serve};
use crate::printer::Printer;
use crate::protection;
use crate::running::{self, told};
use crate::stop::Stop;
use std::sync::Arc;
use std::time::Duration;
use weir_dataplane::{Instance, list_instances};

/// How often is looked whether it is over.
const LOOK: Duration = Duration::from_secs(3600);

pub(super) fn run(args: &Metrics, printer: &mut Printer) -> Outcome {
    let name = match &args.which.name {
        Some(_) => Some(running::open(&args.which, printer)?.name().to_owned()),
        None => {
            list_instances().map_err(|error| told(error, printer))?;
            None
        }
    };
    let Some(address) = args.listen else {
        printer.text(&page(&sources(name.as_deref())))?;
        return Ok(Exit::Fine);
    };
    let stop = Stop::on_signals()?;
    let served = serve(address, move || page(&sources(name.as_deref())))?;
    printer.say(format!("metrics at http://{}/metrics; Ctrl-C ends it", served.address()));
    while !stop.asked() {
        stop.sleep(LOOK);
    }
    Ok(Exit::Fine)
}

/// The policy of that name, or all that run at the moment.
fn sources(name: Option<&str>) -> Vec<Source> {
    let names = match name {
        Some(name) => vec![name.to_owned()],
        None => list_instances().unwrap_or_default(),
    };
    let source = |name: String| {
        let instance = Instance::open(&name).ok()?;
        let live = protection::running(&name).map(Arc::new);
        Some(Source { name, instance, live, own: None })
    };
    names.into_iter().filter_map(source).collect()
}

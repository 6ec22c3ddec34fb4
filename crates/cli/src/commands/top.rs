//! `weir top`: the rates of a running policy.

use super::pool::pool_line;
use crate::args::Top;
use crate::failure::{Exit, Failure, Outcome};
use crate::live::{Snapshot, Watch, watch};
use crate::printer::Printer;
use crate::running::{self, rows, told};
use crate::stop::Stop;
use weir_dataplane::Instance;

pub(super) fn run(args: &Top, printer: &mut Printer) -> Outcome {
    let stop = Stop::on_signals()?;
    let instance = running::open(&args.which, printer)?;
    let how = Watch { every: args.every, duration: args.duration, json: args.json };
    watch(&mut |printer| snapshot(&instance, printer), how, &stop, printer)?;
    Ok(Exit::Fine)
}

/// What an instance did so far.
pub(super) fn snapshot(instance: &Instance, printer: &mut Printer) -> Result<Snapshot, Failure> {
    let status = instance.status().map_err(|error| told(error, printer))?;
    let interfaces: Vec<&str> = status.attachments.iter().map(|at| at.interface.as_str()).collect();
    let title = format!("weir: {} on {} ({})", status.policy, interfaces.join(", "), status.hook);
    let pools = status.pools.iter().map(pool_line).collect();
    Ok(Snapshot {
        title,
        generation: status.generation,
        rows: rows(status.counters),
        pools,
        events: Vec::new(),
    })
}

//! `weir top`: the rates of a running policy.

use super::pool::pool_line;
use crate::args::Top;
use crate::failure::{Exit, Failure, Outcome};
use crate::live::{Snapshot, Watch, attack_lines, watch};
use crate::printer::Printer;
use crate::protection;
use crate::running::{self, rows, told};
use crate::stop::Stop;
use std::time::{SystemTime, UNIX_EPOCH};
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
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let live = protection::running(instance.name());
    let attacks = live.map(|live| attack_lines(&live, now.as_nanos() as u64)).unwrap_or_default();
    let pools = status.pools.iter().map(pool_line).collect();
    Ok(Snapshot {
        title,
        generation: status.generation,
        rows: rows(status.counters),
        attacks,
        pools,
        events: Vec::new(),
    })
}

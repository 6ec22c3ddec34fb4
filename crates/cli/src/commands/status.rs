//! `weir status`: what runs, where, and what it did.

use super::pool::pool_table;
use crate::args::Status;
use crate::failure::{Exit, Failure, Outcome};
use crate::judge::StatementRow;
use crate::printer::{Cell, Paint, Printer, Table, statement_table};
use crate::running::{rows, told};
use crate::units::{counted, duration, grouped};
use serde::Serialize;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use weir_dataplane::{
    Attached, Error, Instance, PoolStatus, SampleStatus, SetStatus, Statistics, list_instances,
};

#[derive(Serialize)]
struct Answer {
    instances: Vec<Running>,
}

#[derive(Serialize)]
struct Running {
    instance: String,
    policy: String,
    generation: u64,
    loaded_at: u64,
    program_id: u32,
    attachments: Vec<Attached>,
    capturing: Vec<String>,
    statements: Vec<StatementRow>,
    sets: Vec<SetStatus>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pools: Vec<PoolStatus>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    samples: Vec<SampleStatus>,
    statistics: Statistics,
}

pub(super) fn run(args: &Status, printer: &mut Printer) -> Outcome {
    let (instances, damaged) = look(args, printer)?;
    match args.json {
        true => printer.json(&Answer { instances })?,
        false => show_all(&instances, printer)?,
    }
    damaged.map_or(Ok(Exit::Fine), Err)
}

/// Those that run, and why another one could not be looked at.
fn look(args: &Status, printer: &mut Printer) -> Result<(Vec<Running>, Option<Failure>), Failure> {
    if let Some(name) = &args.which.name {
        let one = running(name).map_err(|error| told(error, printer))?;
        return Ok((vec![one], None));
    }
    let (mut instances, mut damaged) = (Vec::new(), None);
    for name in list_instances().map_err(|error| told(error, printer))? {
        match running(&name) {
            Ok(one) => instances.push(one),
            // Unloaded since the list was made.
            Err(Error::NoInstance { .. }) => {}
            Err(error) => damaged = Some(told(error, printer)),
        }
    }
    Ok((instances, damaged))
}

fn show_all(instances: &[Running], printer: &mut Printer) -> Result<(), Failure> {
    if instances.is_empty() {
        printer.say("no policy is running");
    }
    for (index, instance) in instances.iter().enumerate() {
        if index > 0 {
            printer.line("")?;
        }
        show(instance, printer)?;
    }
    Ok(())
}

fn running(name: &str) -> Result<Running, Error> {
    let status = Instance::open(name)?.status()?;
    Ok(Running {
        instance: status.instance,
        policy: status.policy,
        generation: status.generation,
        loaded_at: status.loaded_at,
        program_id: status.program_id,
        attachments: status.attachments,
        capturing: status.capturing,
        statements: rows(status.counters),
        sets: status.sets,
        pools: status.pools,
        samples: status.samples,
        statistics: status.statistics,
    })
}

fn show(running: &Running, printer: &mut Printer) -> Result<(), Failure> {
    let name = printer.painted(&running.instance, Paint::Bold);
    let age =
        age(running.loaded_at).map_or_else(String::new, |age| format!(", loaded {} ago", duration(age)));
    printer.line(format!("{name}: `{}`, generation {}{age}", running.policy, running.generation))?;
    for at in &running.attachments {
        let state = if at.active { "" } else { ": not there any more" };
        printer.line(format!("  on {} ({}){state}", at.interface, at.hook))?;
    }
    if !running.capturing.is_empty() {
        printer.line(format!("  captured from: {}", running.capturing.join(", ")))?;
    }
    printer.line("")?;
    printer.table(&statement_table(&running.statements))?;
    if !running.sets.is_empty() {
        printer.line("")?;
        printer.table(&set_table(&running.sets))?;
    }
    if !running.pools.is_empty() {
        printer.line("")?;
        printer.table(&pool_table(&running.pools))?;
    }
    if !running.samples.is_empty() {
        printer.line("")?;
        printer.table(&sample_table(&running.samples))?;
    }
    if running.statistics.evictions > 0 {
        let buckets = counted(running.statistics.evictions, "bucket");
        printer.warning(format!("limits gave up {buckets} that were still in use: raise their `max`"));
    }
    Ok(())
}

/// What statements sample, and how rarely.
fn sample_table(samples: &[SampleStatus]) -> Table {
    let mut table =
        Table::new(&["sample", ">1 in", ">declared", ">budget", ">bytes", ">of packets", ">taken", ">lost"]);
    for sample in samples {
        table.row(vec![
            sample.name.as_str().into(),
            Cell::right(grouped(sample.one_in.into())),
            Cell::right(grouped(sample.declared.into())),
            Cell::right(format!("{}/s", grouped(sample.budget))),
            Cell::right(sample.bytes.to_string()),
            Cell::right(grouped(sample.pool)),
            Cell::right(grouped(sample.taken)),
            Cell::right(grouped(sample.lost)),
        ]);
    }
    table
}

/// Sets that live in maps.
pub(super) fn set_table(sets: &[SetStatus]) -> Table {
    let mut table = Table::new(&["set", "type", ">elements", ">max", "changes"]);
    for set in sets {
        table.row(vec![
            set.name.as_str().into(),
            set.types.as_str().into(),
            Cell::right(grouped(set.elements)),
            Cell::right(set.max.map(grouped).unwrap_or_default()),
            if set.live { "while running" } else { "by reload" }.into(),
        ]);
    }
    table
}

fn age(since: u64) -> Option<Duration> {
    SystemTime::now().duration_since(UNIX_EPOCH + Duration::from_secs(since)).ok()
}

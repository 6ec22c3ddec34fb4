//! `weir pool`: backends of a running policy.

use crate::args::{
    Pool, PoolAction, PoolAdd, PoolBackend, PoolDrain, PoolList, PoolShow, PoolTend, PoolWeight,
};
use crate::failure::{Exit, Failure, Outcome};
use crate::printer::{Cell, Printer, Table};
use crate::running::{self, told};
use crate::stop::Stop;
use crate::units::{duration, grouped};
use serde::Serialize;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use weir_dataplane::pools::{CheckStatus, DRAIN, ThroughStatus};
use weir_dataplane::{BackendStatus, Error, Event, Instance, Keeper, LivePool, PoolStatus};
use weir_kernel::netns::Namespace;

/// How often a keeper looks what is due: a tenth of a check that is made often.
const TURN: Duration = Duration::from_millis(50);

pub(super) fn run(args: &Pool, printer: &mut Printer) -> Outcome {
    match &args.action {
        PoolAction::List(args) => list(args, printer),
        PoolAction::Show(args) => show(args, printer),
        PoolAction::Add(args) => add(args, printer),
        PoolAction::Remove(args) => on(args, printer, |pool, args| pool.remove(args.backend)),
        PoolAction::Drain(args) => drain(args, printer),
        PoolAction::Undrain(args) => on(args, printer, |pool, args| pool.undrain(args.backend)),
        PoolAction::Weight(args) => weigh(args, printer),
        PoolAction::Tend(args) => tend(args, printer),
    }
}

fn list(args: &PoolList, printer: &mut Printer) -> Outcome {
    let instance = running::open(&args.which, printer)?;
    let pools = instance.pools().map_err(|error| told(error, printer))?;
    match args.json {
        true => printer.json(&pools)?,
        false => printer.table(&pool_table(&pools))?,
    }
    Ok(Exit::Fine)
}

fn show(args: &PoolShow, printer: &mut Printer) -> Outcome {
    let instance = running::open(&args.which, printer)?;
    let pool = instance.pool(&args.pool).and_then(|pool| pool.status());
    let pool = pool.map_err(|error| told(error, printer))?;
    if args.json {
        printer.json(&pool)?;
        return Ok(Exit::Fine);
    }
    printer.table(&backend_table(&pool))?;
    let unreached = instance.unreached().map_err(|error| told(error, printer))?;
    for unreached in unreached.iter().filter(|unreached| unreached.pool == pool.name) {
        printer.warning(running::unreached(unreached));
    }
    if let Some(check) = &pool.check {
        printer.line(format!("\n{}", check_line(check)))?;
    }
    if pool.track == "all" {
        let (flows, most) = (grouped(pool.flows as u64), grouped(pool.max_flows.into()));
        printer.line(format!("\nall flows are remembered: {flows} now, of {most} at most"))?;
    }
    if pool.unsettled > 0 && pool.track == "all" {
        let (changed, slots) = (grouped(pool.unsettled as u64), grouped(pool.slots.into()));
        printer.line(format!("{changed} of {slots} slots changed lately"))?;
    } else if pool.unsettled > 0 {
        printer.line(format!(
            "\n{} of {} slots changed lately: {} flows there are remembered one by one, of {} at most",
            grouped(pool.unsettled as u64),
            grouped(pool.slots.into()),
            grouped(pool.flows as u64),
            grouped(pool.max_flows.into()),
        ))?;
    }
    if pool.moved > 0 {
        printer.line(format!(
            "\n{} flows that are known one by one had to move: their backend was down",
            grouped(pool.moved)
        ))?;
    }
    for nat in &pool.nat {
        printer.line(format!(
            "\n{}: {} of {} ports have a flow",
            nat.statement,
            grouped(nat.flows as u64),
            grouped(nat.max_flows)
        ))?;
    }
    Ok(Exit::Fine)
}

fn add(args: &PoolAdd, printer: &mut Printer) -> Outcome {
    on(&args.backend, printer, |pool, backend| pool.add(backend.backend, args.weight, args.mac))
}

fn drain(args: &PoolDrain, printer: &mut Printer) -> Outcome {
    on(&args.backend, printer, |pool, backend| pool.drain(backend.backend, args.duration.unwrap_or(DRAIN)))
}

fn weigh(args: &PoolWeight, printer: &mut Printer) -> Outcome {
    on(&args.backend, printer, |pool, backend| pool.weigh(backend.backend, args.weight))
}

/// Does something to a backend, and says what happened.
fn on(
    args: &PoolBackend,
    printer: &mut Printer,
    change: impl FnOnce(&LivePool, &PoolBackend) -> Result<Vec<Event>, Error>,
) -> Outcome {
    let instance = running::open(&args.which, printer)?;
    let events = instance.pool(&args.pool).and_then(|pool| change(&pool, args));
    for event in events.map_err(|error| told(error, printer))? {
        printer.say(format!("pool `{}`: {event}", args.pool));
    }
    Ok(Exit::Fine)
}

/// What happened, as a line of JSON.
#[derive(Serialize)]
struct Happened {
    /// Seconds since 1970.
    at: f64,
    pool: String,
    backend: String,
    what: String,
}

fn tend(args: &PoolTend, printer: &mut Printer) -> Outcome {
    let stop = Stop::on_signals()?;
    let instance = running::open(&args.which, printer)?;
    let mut keeper = keeper(instance, args.netns.as_deref(), printer)?;
    while !stop.asked() {
        for (pool, event) in keeper.turn().map_err(|error| told(error, printer))? {
            let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64());
            match args.json {
                true => {
                    let (backend, what) = (event.backend.to_string(), event.what.to_string());
                    printer.json(&Happened { at, pool, backend, what })?;
                }
                false => printer.line(format!("pool `{pool}`: {event}"))?,
            }
        }
        stop.sleep(TURN);
    }
    Ok(Exit::Fine)
}

/// Somebody who keeps an instance's pools, and makes probes in a namespace.
fn keeper(instance: Instance, netns: Option<&str>, printer: &mut Printer) -> Result<Keeper, Failure> {
    let start = || Keeper::start(instance);
    let started = match netns {
        None => start(),
        Some(namespace) => Namespace::find(namespace).and_then(|namespace| namespace.run(start))?,
    };
    started.map_err(|error| told(error, printer))
}

/// A thread that keeps an instance's pools until it is told to stop, and tells what happened.
pub(super) struct Kept {
    stop: Stop,
    thread: Option<std::thread::JoinHandle<()>>,
    events: std::sync::mpsc::Receiver<String>,
}

impl Kept {
    /// Nothing where there are no pools.
    pub(super) fn start(
        instance: &Instance,
        netns: Option<&str>,
        printer: &mut Printer,
    ) -> Result<Option<Kept>, Failure> {
        if instance.pools().map_err(|error| told(error, printer))?.is_empty() {
            return Ok(None);
        }
        let mut keeper = keeper(instance.clone(), netns, printer)?;
        let (tell, events) = std::sync::mpsc::channel();
        let stop = Stop::never_asked();
        let asked = stop.clone();
        let work = move || {
            while !asked.asked() {
                let lines: Vec<String> = match keeper.turn() {
                    Ok(events) => {
                        events.into_iter().map(|(pool, event)| format!("pool `{pool}`: {event}")).collect()
                    }
                    Err(error) => vec![format!("pools are not kept: {error}")],
                };
                if lines.into_iter().any(|line| tell.send(line).is_err()) {
                    return;
                }
                asked.sleep(TURN);
            }
        };
        let thread = std::thread::Builder::new().name("weir-pools".into()).spawn(work)?;
        Ok(Some(Kept { stop, thread: Some(thread), events }))
    }

    /// What happened since the last look.
    pub(super) fn events(&self) -> Vec<String> {
        self.events.try_iter().collect()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.stop.ask();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A pool in a line: `pool web: 3 of 4 up; 10.0.1.2 is down (status 503)`.
pub(super) fn pool_line(pool: &PoolStatus) -> String {
    let up = pool.backends.iter().filter(|backend| backend.state == "up").count();
    // Of one that is up there is a reason to tell, too, if nobody asks it any longer.
    let told = |backend: &&BackendStatus| backend.state != "up" || !backend.reason.is_empty();
    let others = pool.backends.iter().filter(told).map(|backend| {
        let why = if backend.reason.is_empty() { String::new() } else { format!(" ({})", backend.reason) };
        format!("{} is {}{why}", backend.backend, backend.state)
    });
    let mut parts = vec![format!("{up} of {} up", pool.backends.len())];
    parts.extend(others);
    if pool.track == "all" {
        parts.push(format!("all flows are remembered, {} now", grouped(pool.flows as u64)));
    } else if pool.unsettled > 0 {
        let (slots, flows) = (grouped(pool.unsettled as u64), grouped(pool.flows as u64));
        parts.push(format!("{slots} slots changed lately, {flows} flows remembered"));
    }
    format!("pool {}: {}", pool.name, parts.join("; "))
}

pub(super) fn pool_table(pools: &[PoolStatus]) -> Table {
    let mut table =
        Table::new(&["pool", ">backends", ">up", ">slots", ">changing", "remembers", ">flows", ">most"]);
    for pool in pools {
        let up = pool.backends.iter().filter(|backend| backend.state == "up" && backend.weight > 0).count();
        table.row(vec![
            pool.name.as_str().into(),
            Cell::right(pool.backends.len().to_string()),
            Cell::right(up.to_string()),
            Cell::right(grouped(pool.slots.into())),
            Cell::right(grouped(pool.unsettled as u64)),
            pool.track.into(),
            Cell::right(grouped(pool.flows as u64)),
            Cell::right(grouped(pool.max_flows.into())),
        ]);
    }
    table
}

fn backend_table(pool: &PoolStatus) -> Table {
    let mut table = Table::new(&[
        "backend", "state", ">weight", ">share", ">packets", ">bytes", ">flows", "for", "why", "next hop", "",
    ]);
    for backend in &pool.backends {
        let share = 100.0 * backend.slots as f64 / f64::from(pool.slots.max(1));
        let time = |ns: Option<u64>| ns.map(|ns| duration(Duration::from_nanos(ns))).unwrap_or_default();
        table.row(vec![
            backend.backend.as_str().into(),
            backend.state.into(),
            Cell::right(backend.weight.to_string()),
            Cell::right(format!("{share:.2} %")),
            Cell::right(grouped(backend.packets)),
            Cell::right(grouped(backend.bytes)),
            Cell::right(grouped(backend.flows)),
            Cell::from(time(backend.since_ns)),
            Cell::from(why(backend, time(backend.drain_ns))),
            Cell::from(next_hop(backend)),
            if backend.declared { "" } else { "added" }.into(),
        ]);
    }
    table
}

/// By which path probes go.
fn check_line(check: &CheckStatus) -> String {
    let CheckStatus { probe, port, through } = check;
    let port = port.map(|port| format!(" port {port}")).unwrap_or_default();
    let Some(ThroughStatus { statement, via, services }) = through else {
        return format!("`check {probe}` goes to the backends' own addresses{port}");
    };
    let services: Vec<String> = services.iter().map(ToString::to_string).collect();
    format!("`check {probe}` goes through `{statement}`, to {}{port} via {via}", services.join(" or "))
}

fn next_hop(backend: &BackendStatus) -> String {
    let hop = backend.mac.clone().unwrap_or_else(|| "by routes".to_owned());
    match &backend.inner_mac {
        Some(mac) => format!("{hop}, in a frame to {mac}"),
        None => hop,
    }
}

fn why(backend: &BackendStatus, drain: String) -> String {
    match backend.state {
        "draining" => format!("{drain} left"),
        _ => backend.reason.clone(),
    }
}

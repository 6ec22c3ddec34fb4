//! The live view of a running policy: on a terminal a screen, elsewhere a line each time.

mod attacks;
mod rates;
mod screen;

pub(crate) use attacks::lines as attack_lines;
pub(crate) use rates::{Rate, Rates};
pub(crate) use screen::Screen;

use crate::failure::Failure;
use crate::judge::StatementRow;
use crate::printer::Printer;
use crate::stop::Stop;
use crate::units::short;
use serde::Serialize;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

/// What runs at a moment.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    /// What is watched, in one line.
    pub(crate) title: String,
    /// Goes up with each reload.
    pub(crate) generation: u64,
    /// What the statements did.
    pub(crate) rows: Vec<StatementRow>,
    /// Attacks that go on, a line each.
    pub(crate) attacks: Vec<String>,
    /// How the pools are, likewise.
    pub(crate) pools: Vec<String>,
    /// What happened besides, since the last look.
    pub(crate) events: Vec<String>,
}

/// How to watch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watch {
    /// How often to look.
    pub(crate) every: Duration,
    /// When to stop, if not on a signal.
    pub(crate) duration: Option<Duration>,
    /// Lines of JSON instead of anything for people.
    pub(crate) json: bool,
}

#[derive(Serialize)]
struct Line<'a> {
    seconds: f64,
    statements: &'a [Rate],
}

/// Looks again and again, and shows what changed, until the time is over or somebody stops it.
pub(crate) fn watch(
    look: &mut dyn FnMut(&mut Printer) -> Result<Snapshot, Failure>,
    how: Watch,
    stop: &Stop,
    printer: &mut Printer,
) -> Result<(), Failure> {
    let start = Instant::now();
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    let terminal = io::stdout().is_terminal() && io::stdin().is_terminal() && !dumb && !how.json;
    let mut screen = if terminal { Some(Screen::open()?) } else { None };
    let mut rates = Rates::default();
    let first = look(printer)?;
    rates.add(start.elapsed(), first.generation, &first.rows);
    rates.set_attacks(first.attacks);
    rates.set_pools(first.pools);
    let mut title = first.title;
    loop {
        let next = start.elapsed() + how.every;
        let end = how.duration.map_or(next, |duration| duration.min(next));
        match &mut screen {
            Some(screen) => screen.show_until(&title, &rates, start, end, stop)?,
            None => stop.sleep(end.saturating_sub(start.elapsed())),
        }
        let over = how.duration.is_some_and(|duration| start.elapsed() >= duration);
        let snapshot = look(printer)?;
        title = snapshot.title;
        rates.add(start.elapsed(), snapshot.generation, &snapshot.rows);
        rates.set_attacks(snapshot.attacks);
        rates.set_pools(snapshot.pools);
        for event in snapshot.events {
            if screen.is_none() && !how.json {
                printer.line(&event)?;
            }
            rates.event(start.elapsed(), event);
        }
        if screen.is_none() && (over || !stop.asked()) {
            match how.json {
                true => {
                    printer.json(&Line { seconds: start.elapsed().as_secs_f64(), statements: rates.now() })?
                }
                false => printer.line(line(start.elapsed(), rates.now()))?,
            }
        }
        if over || stop.asked() {
            return Ok(());
        }
    }
}

/// `12 s  48.1k/s  amplification 40.2k/s, default 7.9k/s`: all that moves.
fn line(elapsed: Duration, rates: &[Rate]) -> String {
    // Counts and what is below a limit go on, and are counted again further down.
    let decided =
        |rate: &&Rate| !matches!(rate.action.as_str(), "count" | "limit" | "sample") && !rate.shadow;
    let all: f64 = rates.iter().filter(decided).map(|rate| rate.packets_per_s).sum();
    let over: f64 = rates.iter().filter_map(|rate| rate.over_per_s).sum();
    let moving = rates.iter().filter(|rate| rate.packets_per_s > 0.0).map(|rate| {
        let over = rate.over_per_s.filter(|over| *over > 0.0);
        let over = over.map_or_else(String::new, |over| format!(" ({}/s over)", short(over)));
        format!("{} {}/s{over}", rate.name, short(rate.packets_per_s))
    });
    let moving: Vec<String> = moving.collect();
    let moving = if moving.is_empty() { "quiet".to_owned() } else { moving.join(", ") };
    format!("{:>4.0} s  {:>6} packets/s  {moving}", elapsed.as_secs_f64(), short(all + over))
}

//! The analysis for people.

use super::analysis::{Analysis, News};
use super::rows::{addresses, answer};
use crate::failure::Failure;
use crate::printer::{Cell, Printer, Table};
use crate::units::{counted, duration, grouped, short};
use std::time::Duration;
use weir_detect::defence::with_addresses;
use weir_detect::mine::Findings;
use weir_detect::traffic::{Alert, Estimate, Event};
use weir_fleet::listener::Listener;

/// Alerts as lines, statements as they stand in a policy.
pub(super) fn news(news: &News, start: Duration, printer: &mut Printer) -> Result<(), Failure> {
    match news {
        News::Event(now, event) => {
            let text = match event {
                Event::Began(alert) => format!("began: {}", traffic(alert)),
                Event::Grew(alert) => format!("grew: {}", traffic(alert)),
                Event::Ended(alert) => format!("ended: {} had {}", victim(alert), rates(alert)),
            };
            printer.line(format!("{}  alert {} {text}", at(*now, start), event.alert().id))
        }
        News::Found(now, id, findings, victim) => {
            printer.line(format!("{}  alert {id}: {}", at(*now, start), found(findings)))?;
            let limits = findings.left.iter().filter_map(|left| left.statement.as_ref());
            for statement in findings.statements.iter().chain(limits) {
                printer.text(&statement.text(false))?;
            }
            for left in findings.left.iter().filter(|left| left.statement.is_none()) {
                let share = 100.0 * left.share;
                printer.line(format!(
                    "# {victim}: {}, {share:.1} % of the attack: {}",
                    left.cause,
                    answer(&left.answer).1
                ))?;
            }
            Ok(())
        }
    }
}

fn at(now: Duration, start: Duration) -> String {
    format!("{:>10.3} s", now.saturating_sub(start).as_secs_f64())
}

fn traffic(alert: &Alert) -> String {
    let limit = format!("limit {} packets/s, {} bit/s", short(alert.limit.packets), short(alert.limit.bits));
    let dropped = match (100.0 * alert.dropped).round() {
        0.0 => String::new(),
        percent => format!(", {percent:.0} % dropped"),
    };
    let (samples, window) = (counted(alert.samples.into(), "sample"), duration(alert.window));
    let sources = counted(alert.sources, "source");
    format!(
        "{} has {} ({samples} in {window}, about {sources}{dropped}; {limit})",
        victim(alert),
        rates(alert)
    )
}

/// A service with its addresses.
fn victim(alert: &Alert) -> String {
    with_addresses(&alert.victim.to_string(), &addresses(alert))
}

fn rates(alert: &Alert) -> String {
    let (packets, bits) = (estimate(alert.packets_per_second), estimate(alert.bits_per_second));
    format!("{packets} packets/s, {bits} bit/s")
}

/// With its standard deviation, where it has one.
fn estimate(rate: Estimate) -> String {
    match rate.error {
        0.0 => short(rate.value),
        error => format!("{} ± {}", short(rate.value), short(error)),
    }
}

fn found(findings: &Findings) -> String {
    let (attack, good) = (counted(findings.attack_samples as u64, "sample"), findings.good_samples);
    match findings.statements.len() {
        0 => format!("no statement, by {attack} and {} good ones", grouped(good as u64)),
        count => format!(
            "{} for {:.1} % of it, by {attack} and {} good ones",
            counted(count as u64, "statement"),
            100.0 * findings.covered,
            grouped(good as u64)
        ),
    }
}

/// Tables of the destinations with the most traffic and of all alerts.
pub(super) fn summary(
    analysis: &Analysis,
    listener: Option<&Listener>,
    most: usize,
    printer: &mut Printer,
) -> Result<(), Failure> {
    let (samples, unread) = analysis.samples();
    let Some((start, end)) = analysis.times() else {
        printer.line("no samples")?;
        return told(listener, printer);
    };
    let mut table = Table::new(&["destination", ">packets", ">bytes"]);
    for (to, total) in analysis.totals().top(most) {
        let cells = [grouped(total.packets), grouped(total.bytes)].map(Cell::right);
        table.row([Cell::from(to.to_string())].into_iter().chain(cells).collect());
    }
    printer.line("")?;
    printer.table(&table)?;
    let rows = analysis.rows();
    if !rows.is_empty() {
        let mut table = Table::new(&[
            ">alert",
            "victim",
            ">from",
            ">to",
            ">packets/s",
            ">bit/s",
            ">sources",
            "statements",
        ]);
        let seconds = |time: Duration| format!("{:.1} s", time.saturating_sub(start).as_secs_f64());
        for row in &rows {
            let alert = &row.alert;
            table.row(vec![
                Cell::right(alert.id.to_string()),
                alert.victim.to_string().into(),
                Cell::right(seconds(alert.since)),
                Cell::right(row.until.map_or("goes on".to_owned(), seconds)),
                Cell::right(estimate(alert.packets_per_second)),
                Cell::right(estimate(alert.bits_per_second)),
                Cell::right(grouped(alert.sources)),
                row.statements.join(", ").into(),
            ]);
        }
        printer.line("")?;
        printer.table(&table)?;
    }
    let time = duration(end.saturating_sub(start));
    let alerts = counted(rows.len() as u64, "alert");
    printer.line(format!("\n{} in {time}, {alerts}", counted(samples, "sample")))?;
    if unread > 0 {
        printer.note(format!("{} had no IP header that could be read", counted(unread, "sample")));
    }
    told(listener, printer)
}

fn told(listener: Option<&Listener>, printer: &mut Printer) -> Result<(), Failure> {
    let Some(listener) = listener else { return Ok(()) };
    let tally = &listener.tally;
    let counts =
        [(tally.malformed, "malformed"), (listener.lost, "lost on the way"), (listener.strange, "of others")];
    let told = counts.iter().filter(|(count, _)| *count > 0);
    let told: Vec<String> = told.map(|(count, what)| format!(", {} {what}", grouped(*count))).collect();
    printer.line(format!("{}{}", counted(tally.datagrams, "datagram"), told.concat()))
}

//! Attacks and mitigations for people.

use super::answer::since;
use crate::failure::Failure;
use crate::printer::{Cell, Printer, Table};
use crate::protection::Story;
use crate::units::{counted, duration, grouped, short};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use weir_detect::defence::with_addresses;
use weir_journal::{Attack, Mitigation, State, Step};

/// All attacks, a line each; of mitigations those that stand with their statements.
pub(super) fn all(story: &Story, printer: &mut Printer) -> Result<(), Failure> {
    printer.table(&attacks(&story.attacks))?;
    printer.line("")?;
    printer.table(&mitigations(&story.mitigations))?;
    let standing = story.mitigations.iter().filter(|one| one.state != State::Ended);
    statements(standing, printer)
}

/// One attack: what happened when, and all statements against it.
pub(super) fn one(story: &Story, printer: &mut Printer) -> Result<(), Failure> {
    for attack in &story.attacks {
        printer.line(format!(
            "attack {} on {}: {} packets/s or more, {:.1} Mbit/s, about {}",
            attack.id,
            with_addresses(&attack.victim, &attack.addresses),
            short(attack.packets_per_second as f64),
            attack.bits_per_second as f64 / 1e6,
            counted(attack.sources, "source"),
        ))?;
        printer.line("")?;
        printer.table(&timeline(attack, &story.mitigations))?;
    }
    printer.line("")?;
    printer.table(&mitigations(&story.mitigations))?;
    statements(story.mitigations.iter(), printer)
}

/// `2026-11-29T18:31:55.123Z`.
pub(super) fn time(at_ns: u64) -> String {
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_nanos(at_ns)).to_string()
}

fn attacks(attacks: &[Attack]) -> Table {
    let mut table = Table::new(&[
        "attack",
        "on",
        ">packets/s",
        ">Mbit/s",
        ">sources",
        "first packet",
        ">alert",
        ">rule",
        ">enforced",
        ">first drop",
        "lasted",
    ]);
    for attack in attacks {
        let until = |step: Step| {
            let moment = attack.timeline.iter().find(|moment| moment.step == step);
            Cell::right(moment.map_or_else(String::new, |moment| milliseconds(attack, moment.at_ns)))
        };
        table.row(vec![
            attack.id.to_string().into(),
            attack.victim.as_str().into(),
            Cell::right(short(attack.packets_per_second as f64)),
            Cell::right(format!("{:.1}", attack.bits_per_second as f64 / 1e6)),
            Cell::right(grouped(attack.sources)),
            time(attack.first_ns).into(),
            until(Step::Alert),
            until(Step::Rule),
            until(Step::Enforced),
            until(Step::FirstDrop),
            lasted(attack).into(),
        ]);
    }
    table
}

fn lasted(attack: &Attack) -> String {
    let time = |ns: u64| duration(Duration::from_millis(ns.saturating_sub(attack.first_ns) / 1_000_000));
    match attack.ended_ns {
        Some(ended) => time(ended),
        None => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            format!("goes on, {}", time(now.as_nanos() as u64))
        }
    }
}

fn timeline(attack: &Attack, mitigations: &[Mitigation]) -> Table {
    let mut table = Table::new(&["at", ">ms", "what", "mitigation"]);
    for moment in &attack.timeline {
        let of = moment.mitigation.map(|id| {
            let one = mitigations.iter().find(|one| one.id == id);
            one.map_or_else(|| id.to_string(), |one| one.name.clone())
        });
        table.row(vec![
            time(moment.at_ns).into(),
            Cell::right(milliseconds(attack, moment.at_ns)),
            moment.step.words().into(),
            of.unwrap_or_default().into(),
        ]);
    }
    table
}

fn milliseconds(attack: &Attack, at_ns: u64) -> String {
    format!("{} ms", grouped(since(attack, at_ns).round() as u64))
}

fn mitigations(mitigations: &[Mitigation]) -> Table {
    let mut table = Table::new(&["mitigation", "attack", "name", "is", ">packets", "why"]);
    for one in mitigations {
        table.row(vec![
            one.id.to_string().into(),
            one.attack.to_string().into(),
            one.name.as_str().into(),
            one.state_words().into(),
            Cell::right(grouped(one.hits)),
            one.why.clone().unwrap_or_default().into(),
        ]);
    }
    table
}

fn statements<'a>(of: impl Iterator<Item = &'a Mitigation>, printer: &mut Printer) -> Result<(), Failure> {
    for one in of {
        printer.line(format!("\n{}", one.text.trim_end()))?;
    }
    Ok(())
}

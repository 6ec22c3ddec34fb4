//! `weir set`: the contents of sets that change while running.

use super::status::set_table;
use crate::args::{Set, SetAction, SetElements, SetFlush, SetList};
use crate::failure::{Exit, Failure, Outcome};
use crate::files::read_text;
use crate::printer::{Cell, Printer, Progress, Table};
use crate::running::{self, told};
use crate::units::{counted, duration};
use std::time::Duration;
use weir_dataplane::{Filling, Lifetime, LiveElement};

pub(super) fn run(args: &Set, printer: &mut Printer) -> Outcome {
    match &args.action {
        SetAction::Add(args) => add(args, printer),
        SetAction::Del(args) => delete(args, printer),
        SetAction::List(args) => list(args, printer),
        SetAction::Flush(args) => flush(args, printer),
    }
}

/// The set's own timeout, unless the user says otherwise.
pub(super) fn lifetime(duration: Option<Duration>) -> Lifetime {
    duration.map_or(Lifetime::Declared, Lifetime::For)
}

fn add(args: &SetElements, printer: &mut Printer) -> Outcome {
    let instance = running::open(&args.which, printer)?;
    let mut set = instance.set(&args.set).map_err(|error| told(error, printer))?;
    let elements = elements(args)?;
    let mut bar: Option<(&str, Progress)> = None;
    let tell = &mut |now: Filling| {
        let same = bar.as_mut().filter(|(what, _)| *what == now.what);
        match same {
            Some((_, bar)) => bar.at(now.done as u64),
            None => bar = Some((now.what, printer.progress(now.what, Some(now.of as u64)))),
        }
    };
    let added = set.add_telling(&elements, lifetime(args.duration), tell);
    drop(bar);
    added.map_err(|error| told(error, printer))?;
    Ok(Exit::Fine)
}

/// Those of the command line, then those of the file.
fn elements(args: &SetElements) -> Result<Vec<String>, Failure> {
    let mut elements = args.elements.clone();
    if let Some(from) = &args.from {
        let text = read_text(from)?;
        let lines = text.lines().map(|line| line.split(['#', ';']).next().unwrap_or_default().trim());
        elements.extend(lines.filter(|line| !line.is_empty()).map(str::to_owned));
    }
    Ok(elements)
}

fn delete(args: &SetElements, printer: &mut Printer) -> Outcome {
    let instance = running::open(&args.which, printer)?;
    let mut set = instance.set(&args.set).map_err(|error| told(error, printer))?;
    let deleted = set.delete(&elements(args)?).map_err(|error| told(error, printer))?;
    if deleted == 0 {
        printer.note(format!("set `{}` had none of them", args.set));
        return Ok(Exit::No);
    }
    Ok(Exit::Fine)
}

fn list(args: &SetList, printer: &mut Printer) -> Outcome {
    let instance = running::open(&args.which, printer)?;
    let Some(name) = &args.set else {
        let sets = instance.sets().map_err(|error| told(error, printer))?;
        match args.json {
            true => printer.json(&sets)?,
            false => printer.table(&set_table(&sets))?,
        }
        return Ok(Exit::Fine);
    };
    let mut set = instance.set(name).map_err(|error| told(error, printer))?;
    let elements = set.list().map_err(|error| told(error, printer))?;
    match args.json {
        true => printer.json(&elements)?,
        false => printer.table(&element_table(&elements))?,
    }
    Ok(Exit::Fine)
}

fn element_table(elements: &[LiveElement]) -> Table {
    let mut table = Table::plain();
    for element in elements {
        let left = element.remaining_ns.map(|ns| format!("{} left", duration(Duration::from_nanos(ns))));
        table.row(vec![element.element.as_str().into(), Cell::from(left.unwrap_or_default())]);
    }
    table
}

fn flush(args: &SetFlush, printer: &mut Printer) -> Outcome {
    let instance = running::open(&args.which, printer)?;
    let mut set = instance.set(&args.set).map_err(|error| told(error, printer))?;
    let count = set.flush().map_err(|error| told(error, printer))?;
    printer.say(format!("set `{}` lost {}", args.set, counted(count, "element")));
    Ok(Exit::Fine)
}

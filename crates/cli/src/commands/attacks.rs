//! `weir attacks`: what a protected policy met, and what it does about it.

use crate::args::Attacks;
use crate::failure::{Exit, Failure, Outcome, failed, words};
use crate::printer::{Cell, Printer, Table};
use crate::protection::{Record, Wish, read, wish};
use crate::running;
use crate::units::{duration, grouped, short};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(super) fn run(args: &Attacks, printer: &mut Printer) -> Outcome {
    let instance = running::open(&args.which, printer)?;
    let name = instance.name();
    let cannot = |error| failed(format!("cannot read what `{name}` met: {}", words(&error)));
    let Some(record) = read(name).map_err(cannot)? else {
        return Err(
            failed(format!("`{name}` is not protected")).help("start it with `weir run POLICY --protect`")
        );
    };
    let wishes =
        [(args.pin, Wish::Pin as fn(u64) -> Wish), (args.unpin, Wish::Unpin), (args.forbid, Wish::Forbid)];
    let mut wished = false;
    for (id, of) in wishes.iter().filter_map(|(id, of)| Some(((*id)?, of))) {
        if !record.mitigations.iter().any(|told| told.id == id && told.state != "ended") {
            return Err(failed(format!("no mitigation {id} stands in `{name}`")));
        }
        let cannot = |error| failed(format!("cannot tell `{name}`: {}", words(&error)));
        wish(name, of(id)).map_err(cannot)?;
        wished = true;
    }
    match (wished, args.json) {
        (true, _) => printer.say("the protection does it with its next turn"),
        (false, true) => printer.json(&record)?,
        (false, false) => show(&record, printer)?,
    }
    Ok(Exit::Fine)
}

fn show(record: &Record, printer: &mut Printer) -> Result<(), Failure> {
    let mut table = Table::new(&["attack", "on", ">packets/s", ">Mbit/s", ">sources", "began", "lasted"]);
    for attack in &record.attacks {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let ago = |time: u64| duration(Duration::from_secs(now.saturating_sub(time)));
        let lasted =
            attack.ended.map(|ended| duration(Duration::from_secs(ended.saturating_sub(attack.began))));
        table.row(vec![
            attack.id.to_string().into(),
            attack.victim.as_str().into(),
            Cell::right(short(attack.packets_per_second as f64)),
            Cell::right(format!("{:.1}", attack.bits_per_second as f64 / 1e6)),
            Cell::right(grouped(attack.sources)),
            Cell::from(format!("{} ago", ago(attack.began))),
            lasted.unwrap_or_else(|| "goes on".to_owned()).into(),
        ]);
    }
    printer.table(&table)?;
    printer.line("")?;
    let mut table = Table::new(&["mitigation", "attack", "name", "is", ">packets", "why"]);
    for told in &record.mitigations {
        let state = if told.pinned { format!("{}, pinned", told.state) } else { told.state.clone() };
        table.row(vec![
            told.id.to_string().into(),
            told.attack.to_string().into(),
            told.name.as_str().into(),
            state.into(),
            Cell::right(grouped(told.hits)),
            told.why.clone().unwrap_or_default().into(),
        ]);
    }
    printer.table(&table)?;
    for told in record.mitigations.iter().filter(|told| told.state != "ended") {
        printer.line(format!("\n{}", told.text.trim_end()))?;
    }
    Ok(())
}

//! `weir attacks`: what a protected policy met, and what it does about it.

mod answer;
mod edit;
mod show;

use crate::args::Attacks;
use crate::failure::{Exit, Failure, Outcome, failed, words};
use crate::files;
use crate::printer::Printer;
use crate::protection::{Story, Wish, unread, wish};
use answer::Answer;
use std::path::Path;
use weir_journal::{Mitigation, State, read};

pub(super) fn run(args: &Attacks, printer: &mut Printer) -> Outcome {
    let mut story = match &args.journal {
        Some(file) => Story::read(file)?,
        None => Story::find(args.which.name.as_deref())?,
    };
    if let Some((id, output)) = args.capture.zip(args.write.as_deref()) {
        return capture(&story, id, output, printer);
    }
    if args.events {
        return events(&story, args.json, printer);
    }
    if grant(args, &story)? {
        printer.say("the protection does it with its next turn");
        if args.edit.is_none() {
            return Ok(Exit::Fine);
        }
    }
    if let Some(words) = &args.edit {
        return edit::run(words, &story, printer);
    }
    if let Some(id) = args.id {
        story.attacks.retain(|attack| attack.id == id);
        story.mitigations.retain(|one| one.attack == id);
        if story.attacks.is_empty() {
            return Err(failed(format!("no attack {id} is known")).help("`weir attacks` lists them"));
        }
    }
    match (args.json, args.id) {
        (true, _) => printer.json(&Answer::of(&story))?,
        (false, None) => show::all(&story, printer)?,
        (false, Some(_)) => show::one(&story, printer)?,
    }
    Ok(Exit::Fine)
}

/// Tells the protection what a person wants; whether there was something.
fn grant(args: &Attacks, story: &Story) -> Result<bool, Failure> {
    let wishes =
        [(args.pin, Wish::Pin as fn(u64) -> Wish), (args.unpin, Wish::Unpin), (args.forbid, Wish::Forbid)];
    let mut wished = false;
    for (id, of) in wishes.iter().filter_map(|(id, of)| Some(((*id)?, of))) {
        let (name, _) = standing(story, id)?;
        let cannot = |error| failed(format!("cannot tell `{name}`: {}", words(&error)));
        wish(name, &of(id)).map_err(cannot)?;
        wished = true;
    }
    Ok(wished)
}

/// A mitigation that stands, and where it does.
fn standing(story: &Story, id: u64) -> Result<(&str, &Mitigation), Failure> {
    let Some(name) = &story.running else {
        return Err(
            failed("nobody protects it now").help("start it with `weir run POLICY -i INTERFACE --protect`")
        );
    };
    let one = story.mitigations.iter().find(|one| one.id == id && one.state != State::Ended);
    Ok((name, one.ok_or_else(|| failed(format!("no mitigation {id} stands in `{name}`")))?))
}

fn capture(story: &Story, id: u64, output: &Path, printer: &mut Printer) -> Outcome {
    let file = story.file()?;
    let capture = read::capture(file, id).map_err(|error| unread(file, &error))?;
    let none = || failed(format!("there are no samples of a mitigation {id} in `{}`", file.display()));
    files::write(output, &capture.ok_or_else(none)?, printer)?;
    Ok(Exit::Fine)
}

fn events(story: &Story, json: bool, printer: &mut Printer) -> Outcome {
    let file = story.file()?;
    for logged in read::events(file).map_err(|error| unread(file, &error))? {
        match json {
            true => printer.json(&answer::Line::of(&logged))?,
            false => printer.line(format!("{}  {}", show::time(logged.at_ns), logged.text.trim_end()))?,
        }
    }
    Ok(Exit::Fine)
}

//! `weir attacks --edit`.

use super::standing;
use crate::editing::Typed;
use crate::failure::{Exit, Outcome, failed, words};
use crate::printer::Printer;
use crate::protection::{Story, edit};

/// `args` are the mitigation's number and, if it is given, the statement.
pub(super) fn run(args: &[String], story: &Story, printer: &mut Printer) -> Outcome {
    let number = args.first().map_or("", String::as_str);
    let id = number.parse().map_err(|_| {
        failed(format!("`{number}` is no number of a mitigation")).help("`weir attacks` lists them")
    })?;
    let (name, one) = standing(story, id)?;
    let Some(typed) = Typed::get(args.get(1).map(String::as_str), &one.text)? else {
        printer.say("nothing is changed");
        return Ok(Exit::Fine);
    };
    let told = edit(name, id, typed.text.clone())
        .map_err(|error| failed(format!("cannot tell `{name}`: {}", words(&error))))?;
    let Some(answer) = told else {
        return Err(failed(format!("`{name}` does not answer"))
            .help("`weir attacks` says whether it is done once it does"));
    };
    typed.answered(answer.refused.as_deref(), &answer.warnings, printer)?;
    printer.say(format!("`{}` is edited", one.name));
    if !answer.is_kept && story.journal.is_some() {
        printer.warning("the journal does not have it: it goes with the process that protects");
    }
    Ok(Exit::Fine)
}

//! `weir man`: a page for `weir` and one for each subcommand.

use crate::args::{Args, Man};
use crate::failure::{Exit, Failure, Outcome, failed, words};
use crate::printer::Printer;
use clap::{Command, CommandFactory};
use clap_mangen::Man as Page;
use std::fs;
use std::path::Path;

pub(super) fn run(args: &Man, printer: &mut Printer) -> Outcome {
    let directory = &args.directory;
    fs::create_dir_all(directory).map_err(|error| {
        failed(format!("cannot make directory `{}`: {}", directory.display(), words(&error)))
    })?;
    let mut command = Args::command();
    command.build();
    write_pages(&command, directory, printer)?;
    Ok(Exit::Fine)
}

fn write_pages(command: &Command, directory: &Path, printer: &mut Printer) -> Result<(), Failure> {
    let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    let path = directory.join(format!("{name}.1"));
    let mut page = Vec::new();
    Page::new(command.clone().name(name.clone())).render(&mut page)?;
    fs::write(&path, page)
        .map_err(|error| failed(format!("cannot write `{}`: {}", path.display(), words(&error))))?;
    printer.line(path.display().to_string())?;
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        write_pages(inner, directory, printer)?;
    }
    Ok(())
}

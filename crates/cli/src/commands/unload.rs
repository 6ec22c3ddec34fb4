//! `weir unload`: also of what is damaged, or was made by another version.

use crate::args::Unload;
use crate::failure::{Exit, Outcome};
use crate::printer::Printer;
use crate::running::{self, only_one};
use weir_dataplane::{instance, list_instances};

pub(super) fn run(args: &Unload, printer: &mut Printer) -> Outcome {
    let names = match (&args.which.name, args.all) {
        (Some(name), _) => vec![name.clone()],
        (None, true) => list_instances().map_err(|error| running::told(error, printer))?,
        (None, false) => vec![only_one(printer)?],
    };
    for name in &names {
        instance::unload(name).map_err(|error| running::told(error, printer))?;
        printer.line(format!("`{name}` is detached"))?;
    }
    Ok(Exit::Fine)
}

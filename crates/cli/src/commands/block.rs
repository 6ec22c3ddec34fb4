//! `weir block` and `weir unblock`: the set of addresses that an operator holds back by hand.

use super::set::lifetime;
use crate::args::{Block, Unblock, Which};
use crate::failure::{Exit, Failure, Outcome, failed};
use crate::printer::Printer;
use crate::running::{self, told};
use crate::units::counted;
use weir_dataplane::{Error, LiveSet};

pub(super) fn block(args: &Block, printer: &mut Printer) -> Outcome {
    let mut set = open(&args.which, &args.set, printer)?;
    set.add(&args.addresses, lifetime(args.duration)).map_err(|error| told(error, printer))?;
    printer.say(format!("blocked {}", args.addresses.join(", ")));
    Ok(Exit::Fine)
}

pub(super) fn unblock(args: &Unblock, printer: &mut Printer) -> Outcome {
    let mut set = open(&args.which, &args.set, printer)?;
    let deleted = set.delete(&args.addresses).map_err(|error| told(error, printer))?;
    if deleted == 0 {
        printer.note(format!("set `{}` had none of them", args.set));
        return Ok(Exit::No);
    }
    printer.say(format!("unblocked {}", counted(deleted, "element")));
    Ok(Exit::Fine)
}

fn open(which: &Which, set: &str, printer: &mut Printer) -> Result<LiveSet, Failure> {
    let instance = running::open(which, printer)?;
    instance.set(set).map_err(|error| match error {
        Error::NoSet { .. } | Error::NotLive { .. } => failed(format!(
            "the policy of `{}` has no set `{set}` that can change while running",
            instance.name()
        ))
        .help(format!(
            "add these two lines to it, the second one before what passes, and `weir reload` it:\n\n    \
             set {set} : ip timeout 10m max 64k\n    drop {set} when ip.src in {set}\n"
        )),
        error => told(error, printer),
    })
}

//! `weir fleet publish`.

use super::{named, reached, refused};
use crate::args::fleet::FleetPublish;
use crate::failure::{Exit, Failure, Outcome};
use crate::files::{read_policy, shown};
use crate::printer::Printer;
use weir_dataplane::{Files, Source};
use weir_fleet::policy::publish;

pub(super) fn run(args: &FleetPublish, printer: &mut Printer) -> Outcome {
    named(&args.name)?;
    let text = read_policy(&args.policy)?;
    let (source, analysis) = Source::collect(&shown(&args.policy), &text, &Files);
    printer.diagnostics(&analysis.diagnostics, &analysis.sources);
    if analysis.diagnostics.has_errors() {
        return Err(Failure::Refused);
    }
    let store = reached(&args.etcd)?;
    publish(&store, &args.name, &source).map_err(refused)?;
    printer.say(format!("policy `{}` is in etcd; `weir fleet show` says which edges run it", args.name));
    Ok(Exit::Fine)
}

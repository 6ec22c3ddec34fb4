use crate::args::Unload;
use crate::failure::{Outcome, failed};
use crate::printer::Printer;
pub(super) fn run(_: &Unload, _: &mut Printer) -> Outcome {
    Err(failed("not there yet"))
}

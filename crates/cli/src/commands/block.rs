use crate::args::{Block, Unblock};
use crate::failure::{Outcome, failed};
use crate::printer::Printer;
pub(super) fn block(_: &Block, _: &mut Printer) -> Outcome {
    Err(failed("not there yet"))
}
pub(super) fn unblock(_: &Unblock, _: &mut Printer) -> Outcome {
    Err(failed("not there yet"))
}

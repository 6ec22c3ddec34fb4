//! One file a subcommand.

mod analyze;
mod attacks;
mod bench;
mod block;
mod build;
mod capture;
mod check;
mod completions;
mod debug;
mod demo;
mod diff;
mod doctor;
mod explain;
mod fleet;
mod fmt;
mod import;
mod load;
mod man;
mod metrics;
mod pool;
mod reload;
mod replay;
mod run;
mod samples;
mod set;
mod status;
mod test;
mod top;
mod unload;

use crate::args::Command;
use crate::failure::Outcome;
use crate::printer::Printer;

/// Does what was asked.
pub(crate) fn run(command: &Command, printer: &mut Printer) -> Outcome {
    match command {
        Command::Check(args) => check::run(args, printer),
        Command::Fmt(args) => fmt::run(args, printer),
        Command::Explain(args) => explain::run(args, printer),
        Command::Build(args) => build::run(args, printer),
        Command::Replay(args) => replay::run(args, printer),
        Command::Test(args) => test::run(args, printer),
        Command::Diff(args) => diff::run(args, printer),
        Command::Bench(args) => bench::run(args, printer),
        Command::Run(args) => run::run(args, printer),
        Command::Load(args) => load::run(args, printer),
        Command::Reload(args) => reload::run(args, printer),
        Command::Unload(args) => unload::run(args, printer),
        Command::Status(args) => status::run(args, printer),
        Command::Top(args) => top::run(args, printer),
        Command::Set(args) => set::run(args, printer),
        Command::Pool(args) => pool::run(args, printer),
        Command::Block(args) => block::block(args, printer),
        Command::Unblock(args) => block::unblock(args, printer),
        Command::Capture(args) => capture::run(args, printer),
        Command::Samples(args) => samples::run(args, printer),
        Command::Analyze(args) => analyze::run(args, printer),
        Command::Attacks(args) => attacks::run(args, printer),
        Command::Fleet(args) => fleet::run(args, printer),
        Command::Doctor(args) => doctor::run(args, printer),
        Command::Demo(args) => demo::run(args, printer),
        Command::Completions(args) => completions::run(args, printer),
        Command::Metrics(args) => metrics::run(args, printer),
        Command::Man(args) => man::run(args, printer),
        Command::Import(args) => import::run(args, printer),
        Command::Debug(args) => debug::run(args, printer),
    }
}

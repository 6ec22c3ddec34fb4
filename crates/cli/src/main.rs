//! The `weir` command: [`args`] says what can be asked, a file of [`commands`] answers each, and
//! [`printer`] is the one place that prints.

mod args;
mod clock;
mod commands;
mod editing;
mod export;
mod failure;
mod files;
mod judge;
mod live;
mod metrics;
mod policy;
mod printer;
mod protection;
mod recording;
mod running;
mod sampling;
mod stop;
mod units;

use clap::Parser;
use std::process::ExitCode;

/// The detection's tables are read at random.
#[global_allocator]
static ALLOCATOR: weir_kernel::memory::Allocator = weir_kernel::memory::Allocator;

fn main() -> ExitCode {
    let args = args::Args::parse();
    let mut printer = printer::Printer::new(args.color);
    match commands::run(&args.command, &mut printer) {
        Ok(exit) => exit.into(),
        Err(failure) => printer.failure(&failure),
    }
}

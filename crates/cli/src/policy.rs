//! A policy's way from a file to something that can be used.

use crate::args::{For, ProgramHook};
use crate::failure::Failure;
use crate::files::{read_policy, shown};
use crate::printer::Printer;
use std::path::Path;
use weir_bpf::target::Target;
use weir_compiler::{Analysis, Compilation, Hook, Options};
use weir_dataplane::Files;

/// Reads and checks a policy. Its messages are told; with errors among them that is the end.
pub(crate) fn analyse(path: &Path, printer: &mut Printer) -> Result<Analysis, Failure> {
    let text = read_policy(path)?;
    let analysis = {
        let _waiting = printer.waiting("checking");
        weir_compiler::analyse(&shown(path), &text, &Files)
    };
    tell(&analysis, printer)?;
    Ok(analysis)
}

/// Compiles a policy. Its messages are told; with errors among them that is the end.
pub(crate) fn compile(path: &Path, options: &Options, printer: &mut Printer) -> Result<Compilation, Failure> {
    let text = read_policy(path)?;
    let compiled = {
        let _waiting = printer.waiting("compiling");
        weir_compiler::compile(&shown(path), &text, &Files, options)
    };
    match compiled {
        Ok(compilation) => {
            tell(&compilation.analysis, printer)?;
            Ok(compilation)
        }
        Err(analysis) => {
            tell(&analysis, printer)?;
            Err(Failure::Refused)
        }
    }
}

fn tell(analysis: &Analysis, printer: &mut Printer) -> Result<(), Failure> {
    printer.diagnostics(&analysis.diagnostics, &analysis.sources);
    match analysis.diagnostics.has_errors() {
        true => Err(Failure::Refused),
        false => Ok(()),
    }
}

/// What to compile for: the kernel that was asked for, or the one that runs here.
pub(crate) fn options(wanted: &For) -> Options {
    let target = match wanted.kernel {
        Some((major, minor)) => Target::for_kernel(major, minor),
        None => weir_kernel::probe::target(),
    };
    Options::new(target, hook(wanted.hook))
}

/// For what runs here.
pub(crate) fn this_kernel() -> Options {
    Options::new(weir_kernel::probe::target(), Hook::Xdp)
}

/// For what never leaves this process: the same everywhere, and nothing is probed.
pub(crate) fn newest() -> Options {
    Options::new(Target::newest(), Hook::Xdp)
}

fn hook(hook: ProgramHook) -> Hook {
    match hook {
        ProgramHook::Xdp => Hook::Xdp,
        ProgramHook::TcIngress => Hook::TcIngress,
        ProgramHook::TcEgress => Hook::TcEgress,
    }
}

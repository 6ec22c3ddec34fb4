//! Policies that run in the kernel, as the commands meet them.

use crate::args::{Attach, Mode, Reload, Which};
use crate::failure::{Failure, failed, words};
use crate::files::{read_policy, shown};
use crate::judge::StatementRow;
use crate::printer::Printer;
use std::path::Path;
use weir_dataplane::{
    Error, Files, Hook, Instance, Policy, Report, Request, StatementCounters, Unreached, instance,
    list_instances,
};
use weir_kernel::netns::Namespace;

/// The running policy that is meant: the one that is named, or the only one.
pub(crate) fn open(which: &Which, printer: &mut Printer) -> Result<Instance, Failure> {
    let name = match &which.name {
        Some(name) => name.clone(),
        None => only_one(printer)?,
    };
    Instance::open(&name).map_err(|error| told(error, printer))
}

/// The name of the policy that runs, if it is the only one.
pub(crate) fn only_one(printer: &mut Printer) -> Result<String, Failure> {
    let mut running = list_instances().map_err(|error| told(error, printer))?;
    match running.len() {
        1 => Ok(running.swap_remove(0)),
        0 => Err(failed("no policy is running").help("start one with `weir load POLICY -i INTERFACE`")),
        count => Err(failed(format!("{count} policies are running: {}", running.join(", ")))
            .help("say which: `--name NAME`")),
    }
}

/// Loads a policy under a name and attaches it.
pub(crate) fn load(args: &Attach, name: &str, printer: &mut Printer) -> Result<(Instance, Report), Failure> {
    let text = read_policy(&args.policy)?;
    let load = || {
        let policy = Policy { name: &shown(&args.policy), text: &text, loader: &Files };
        let interfaces: Vec<&str> = args.interfaces.iter().map(String::as_str).collect();
        let hook = hook(args.mode);
        Instance::load(&Request { instance: name, hook, ..Request::new(policy, &interfaces) })
    };
    let waiting = printer.waiting("loading");
    let loaded = match &args.netns {
        None => load(),
        Some(namespace) => Namespace::find(namespace).and_then(|namespace| namespace.run(load))?,
    };
    drop(waiting);
    let (instance, report) = loaded.map_err(|error| told(error, printer))?;
    warn(&report, printer);
    Ok((instance, report))
}

/// What does not keep a policy from running, and yet is most likely not meant.
fn warn(report: &Report, printer: &mut Printer) {
    printer.diagnostics(&report.warnings, &report.sources);
    for unreached in &report.unreached {
        printer.warning(self::unreached(unreached));
    }
}

/// A backend to which packets would not leave, and what mends it.
pub(crate) fn unreached(unreached: &Unreached) -> String {
    format!("{unreached}\n  help: {}", unreached.help())
}

/// Replaces a running policy.
pub(crate) fn reload(
    instance: &mut Instance,
    args: &Reload,
    printer: &mut Printer,
) -> Result<Report, Failure> {
    let text = read_policy(&args.policy)?;
    let policy = Policy { name: &shown(&args.policy), text: &text, loader: &Files };
    let waiting = printer.waiting("loading");
    let reloaded = match args.profile {
        true => instance.reload_with_profile(&policy),
        false => instance.reload(&policy),
    };
    drop(waiting);
    let report = reloaded.map_err(|error| told(error, printer))?;
    warn(&report, printer);
    Ok(report)
}

/// Detaches the policies that processes left which were to detach them, and were killed: their names are a prefix
/// and the process.
pub(crate) fn sweep(prefix: &str) {
    for name in list_instances().unwrap_or_default() {
        let process = name.strip_prefix(prefix).filter(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()));
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            // Another one may be at it already.
            let _ = instance::unload(&name);
        }
    }
}

/// What a refusal of the data plane means for the user. A policy's errors are shown where they are.
pub(crate) fn told(error: Error, printer: &mut Printer) -> Failure {
    if let Error::Policy(refused) = &error {
        printer.diagnostics(&refused.0.diagnostics, &refused.0.sources);
        return Failure::Refused;
    }
    let help = error.help().map(str::to_owned).or_else(|| needs_root(&error));
    let failure = match &error {
        Error::Io { action, path, source } => {
            failed(format!("cannot {action} `{}`: {}", path.display(), words(source)))
        }
        error => failed(error.to_string()),
    };
    match help {
        Some(help) => failure.help(help),
        None => failure,
    }
}

fn needs_root(error: &Error) -> Option<String> {
    let denied = match error {
        Error::Kernel(error) => error.is_permission(),
        Error::Io { source, .. } => source.kind() == std::io::ErrorKind::PermissionDenied,
        _ => false,
    };
    denied.then(|| "run as root, or with CAP_BPF and CAP_NET_ADMIN".to_owned())
}

/// Where a mode attaches.
pub(crate) fn hook(mode: Mode) -> Hook {
    match mode {
        Mode::Native => Hook::XdpNative,
        Mode::Generic => Hook::XdpGeneric,
        Mode::TcIngress => Hook::TcIngress,
        Mode::TcEgress => Hook::TcEgress,
    }
}

/// The counters in the shape of all answers.
pub(crate) fn rows(counters: Vec<StatementCounters>) -> Vec<StatementRow> {
    let row = |counter: StatementCounters| StatementRow {
        over: (counter.action == "limit").then_some(counter.over_packets),
        lost: counter.lost,
        unsent: counter.unsent,
        cookies: counter.cookies,
        name: counter.name,
        action: counter.action,
        packets: counter.packets,
        bytes: counter.bytes,
        shadow: counter.shadow,
    };
    counters.into_iter().map(row).collect()
}

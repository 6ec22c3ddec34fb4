//! Policies that run in the kernel, as the commands meet them.

use crate::args::{Attach, Mode, Reload, Which};
use crate::failure::{Failure, failed, words};
use crate::files::{read_policy, shown};
use crate::judge::StatementRow;
use crate::printer::Printer;
use crate::protection;
use std::path::Path;
use weir_dataplane::{
    Error, Files, Hook, Instance, Policy, Report, Request, StatementCounters, Unreached, instance,
    instances_at, list_instances,
};
use weir_kernel::attach::AttachError;
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

/// What policies are called that are attached for as long as a process watches them: this and the process.
const WATCHED: &str = "run-";

/// Loads a policy under a name and attaches it.
pub(crate) fn load(args: &Attach, name: &str, printer: &mut Printer) -> Result<(Instance, Report), Failure> {
    load_by(args, name, printer, Instance::load)
}

/// Loads a policy under a name of this process. What killed processes left where it is to be gives way as soon as
/// nothing else is against the new one, and what they left elsewhere goes on.
pub(crate) fn load_watched(args: &Attach, printer: &mut Printer) -> Result<(Instance, Report), Failure> {
    let name = format!("{WATCHED}{}", std::process::id());
    load_by(args, &name, printer, load_over_left)
}

fn load_over_left(request: &Request<'_>) -> Result<(Instance, Report), Error> {
    let mut loaded = Instance::load(request);
    if let Err(Error::Attach(AttachError::Busy { .. } | AttachError::OtherMode { .. })) = loaded {
        remove_left_at(request)?;
        loaded = Instance::load(request);
    }
    if loaded.is_ok() {
        // At tc it stands beside the new one, which runs in any case.
        let _ = remove_left_at(request);
    }
    loaded
}

fn load_by(
    args: &Attach,
    name: &str,
    printer: &mut Printer,
    by: fn(&Request<'_>) -> Result<(Instance, Report), Error>,
) -> Result<(Instance, Report), Failure> {
    let text = read_policy(&args.policy)?;
    let load = || {
        let policy = Policy { name: &shown(&args.policy), text: &text, loader: &Files };
        let interfaces: Vec<&str> = args.interfaces.iter().map(String::as_str).collect();
        let hook = hook(args.mode);
        by(&Request { instance: name, hook, ..Request::new(policy, &interfaces) })
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

/// Removes what killed `weir run`s left where this is to be loaded, and what is nowhere any more.
fn remove_left_at(request: &Request<'_>) -> Result<(), Error> {
    let in_the_way = instances_at(request.hook, &request.interfaces)?;
    let is_somewhere = |name: &str| {
        let attachments = Instance::open(name).and_then(|instance| instance.attachments());
        attachments.is_ok_and(|all| all.iter().any(|one| one.ifindex != 0))
    };
    remove_left(WATCHED, |name| in_the_way.iter().any(|one| one == name) || !is_somewhere(name));
    Ok(())
}

/// Detaches policies that processes left which were to detach them, and were killed: their names are a prefix and
/// the process.
pub(crate) fn remove_left(prefix: &str, which: impl Fn(&str) -> bool) {
    for name in list_instances().unwrap_or_default() {
        if is_left(prefix, &name) && which(&name) {
            // Another one may be at it already.
            let _ = instance::unload(&name);
        }
    }
    let running = list_instances().unwrap_or_default();
    let gone = |name: &String| is_left(prefix, name) && !running.contains(name);
    protection::names().iter().filter(|name| gone(name)).for_each(|name| protection::forget(name));
}

/// Whether the process that a name was made of is over.
fn is_left(prefix: &str, name: &str) -> bool {
    let process = name.strip_prefix(prefix).filter(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()));
    process.is_some_and(|process| !Path::new("/proc").join(process).exists())
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

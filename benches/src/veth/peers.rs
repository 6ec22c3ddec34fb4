//! Other filters, by their own commands, in the calling thread's namespace; and what only commands can do here.

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::{Pid, gettid};
use std::process::{Command, Stdio};

/// A filter that others wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    /// `$XDP_FILTER`, or `xdp-filter`.
    XdpFilter,
    /// `$BFCLI`, or `bfcli`.
    Bpfilter,
}

/// Why a peer is not measured.
pub(super) struct Absent(pub(super) String);

impl Peer {
    /// Loads it with the rule that it has the least work with: one port, and only the features for that.
    pub(super) fn start(self, interface: &str) -> Result<(), Absent> {
        let steps: Vec<Vec<String>> = match self {
            Self::XdpFilter => vec![
                words(&["load", "-m", "native", "-f", "udp", interface]),
                words(&["port", "-m", "dst", "-p", "udp", "9"]),
            ],
            Self::Bpfilter => {
                let index = weir_kernel::netlink::Interface::named(interface).map_err(absent)?.index;
                let rule = "rule meta.l4_proto eq udp udp.dport eq 9 counter DROP";
                let chain = format!("chain bench BF_HOOK_XDP{{ifindex={index}}} ACCEPT {rule}");
                vec![words(&["chain", "set", "--from-str", &chain])]
            }
        };
        steps.iter().try_for_each(|step| self.run(step)).inspect_err(|_| self.stop(interface))
    }

    /// Takes it away; what cannot be taken away goes with the namespace.
    pub(super) fn stop(self, interface: &str) {
        let step = match self {
            Self::XdpFilter => words(&["unload", interface]),
            Self::Bpfilter => words(&["chain", "flush", "--name", "bench"]),
        };
        let _ = self.run(&step);
    }

    fn run(self, arguments: &[String]) -> Result<(), Absent> {
        let (variable, usual) = match self {
            Self::XdpFilter => ("XDP_FILTER", "xdp-filter"),
            Self::Bpfilter => ("BFCLI", "bfcli"),
        };
        let command = std::env::var(variable).unwrap_or_else(|_| usual.to_owned());
        let output = Command::new(&command).args(arguments).stdin(Stdio::null()).output();
        let output = output.map_err(|error| {
            Absent(format!("`{command}` cannot be run ({error}); ${variable} may name another"))
        })?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(Absent(format!("`{command} {}` says: {}", arguments.join(" "), said.trim())))
    }
}

/// Lets the receiver of an interface run on a thread. sysfs shows the namespace that mounted it, hence `ip netns exec`.
pub(super) fn thread_napi(namespace: &str, interface: &str) -> Result<(), String> {
    let write = format!("echo 1 > /sys/class/net/{interface}/threaded");
    let output = Command::new("ip").args(["netns", "exec", namespace, "sh", "-c", &write]).output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Err(format!("`ip` cannot be run ({error})")),
    }
}

/// Keeps the kernel's threads for interfaces of that name on the last CPU.
pub(super) fn pin_napi_threads(interface: &str) -> Result<(), String> {
    let name = format!("napi/{interface}-");
    let mut found = 0;
    for entry in std::fs::read_dir("/proc").map_err(told)?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let command = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        if command.starts_with(&name) {
            pin(pid, weir_kernel::maps::possible_cpus() - 1)?;
            prefer(pid)?;
            found += 1;
        }
    }
    if found > 0 { Ok(()) } else { Err(format!("there is no thread `{name}…`")) }
}

/// Keeps the calling thread on the first CPU.
pub(super) fn pin_this_thread() -> Result<(), String> {
    pin(0, 0)?;
    prefer(gettid().as_raw())
}

/// Before everything else that wants its CPU: a burst is short, and a busy neighbour would be measured with it.
fn prefer(pid: i32) -> Result<(), String> {
    let status = Command::new("chrt").args(["--fifo", "--pid", "1", &pid.to_string()]).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err("`chrt` does not let threads go first".to_owned()),
        Err(error) => Err(format!("`chrt` cannot be run ({error})")),
    }
}

fn pin(pid: i32, cpu: usize) -> Result<(), String> {
    let mut set = CpuSet::new();
    set.set(cpu).map_err(told)?;
    sched_setaffinity(Pid::from_raw(pid), &set).map_err(told)
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn absent(error: impl std::fmt::Display) -> Absent {
    Absent(error.to_string())
}

fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}

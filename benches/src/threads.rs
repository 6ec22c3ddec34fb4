//! Which thread works where, and for how long: the kernel's threads for interfaces among them.

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::{Pid, gettid};
use std::process::Command;
use std::time::Duration;

/// The CPU of whoever sends.
pub(crate) const SENDER: usize = 0;

/// The CPU of what is measured.
pub(crate) fn receiver() -> usize {
    weir_kernel::maps::possible_cpus() - 1
}

/// Lets the receiver of an interface run on a thread. sysfs shows the namespace that mounted it, hence `ip netns exec`.
pub(crate) fn thread_napi(namespace: &str, interface: &str) -> Result<(), String> {
    let write = format!("echo 1 > /sys/class/net/{interface}/threaded");
    let output = Command::new("ip").args(["netns", "exec", namespace, "sh", "-c", &write]).output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Err(format!("`ip` cannot be run ({error})")),
    }
}

/// The kernel's threads for interfaces of that name, in whatever namespace.
pub(crate) fn napi(interface: &str) -> Result<Vec<i32>, String> {
    let name = format!("napi/{interface}-");
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").map_err(told)?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let command = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        if command.starts_with(&name) {
            found.push(pid);
        }
    }
    if found.is_empty() { Err(format!("there is no thread `{name}…`")) } else { Ok(found) }
}

/// Keeps the calling thread on a CPU, before everything else there.
pub(crate) fn go_first(cpu: usize) -> Result<(), String> {
    pin(0, cpu)?;
    prefer(gettid().as_raw(), 1)
}

/// Before everything else that wants its CPU, but for what has a higher rank: a burst is short, and a busy neighbour
/// would be measured with it.
pub(crate) fn prefer(pid: i32, rank: u8) -> Result<(), String> {
    schedule(pid, &["--fifo", "--pid", &rank.to_string()])
}

/// As any other thread.
pub(crate) fn do_not_prefer(pid: i32) -> Result<(), String> {
    schedule(pid, &["--other", "--pid", "0"])
}

fn schedule(pid: i32, how: &[&str]) -> Result<(), String> {
    let status = Command::new("chrt").args(how).arg(pid.to_string()).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err("`chrt` does not let threads go first".to_owned()),
        Err(error) => Err(format!("`chrt` cannot be run ({error})")),
    }
}

/// Keeps a thread on a CPU; 0 is the calling one.
pub(crate) fn pin(pid: i32, cpu: usize) -> Result<(), String> {
    let mut set = CpuSet::new();
    set.set(cpu).map_err(told)?;
    sched_setaffinity(Pid::from_raw(pid), &set).map_err(told)
}

/// How long threads were on a CPU until they last slept: the scheduler's own figure, in nanoseconds.
pub(crate) fn on_a_cpu(pids: &[i32]) -> Result<Duration, String> {
    let mut sum = 0;
    for pid in pids {
        let text = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).map_err(told)?;
        let first = text.split(' ').next().and_then(|word| word.parse::<u64>().ok());
        sum += first.ok_or("`schedstat` has another form")?;
    }
    Ok(Duration::from_nanos(sum))
}

/// Whether a command is in the path.
pub(crate) fn is_installed(command: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|path| path.join(command).is_file())
}

fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}

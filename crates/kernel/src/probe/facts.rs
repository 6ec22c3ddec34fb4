//! What `weir doctor` shows of the machine.

use std::fs;
use std::path::Path;

use super::Release;
use crate::maps::possible_cpus;
use crate::{pins, sysctl};

/// How a fact stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// As it should be.
    Good,
    /// It works, but less well.
    Warn,
    /// It does not work.
    Bad,
    /// It could not be found out.
    Unknown,
}

/// One row of `weir doctor`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// What it is about.
    pub name: &'static str,
    /// How it stands.
    pub state: State,
    /// What was found.
    pub detail: String,
    /// What to do about it, if anything.
    pub fix: Option<String>,
}

/// The facts about this machine that matter to Weir.
pub fn facts() -> Vec<Fact> {
    let facts: &[fn() -> Fact] = &[release, privileges, jit, bpffs, kernel_btf, cpus, statistics, probes];
    facts.iter().map(|fact| fact()).collect()
}

impl Fact {
    pub(super) fn good(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, state: State::Good, detail: detail.into(), fix: None }
    }

    pub(super) fn new(
        name: &'static str,
        state: State,
        detail: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { name, state, detail: detail.into(), fix: Some(fix.into()) }
    }

    pub(super) fn unknown(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, state: State::Unknown, detail: detail.into(), fix: None }
    }
}

fn release() -> Fact {
    let name = "kernel";
    let release = Release::current();
    match (release.major, release.minor) {
        (0, 0) => Fact::unknown(name, "no version in /proc/sys/kernel/osrelease"),
        // XDP links, which survive the process, came with 5.9.
        version if version < (5, 9) => {
            let detail = format!("{release}, older than 5.9");
            Fact::new(name, State::Bad, detail, "use a newer kernel: 5.15 and later are well served")
        }
        version if version < (5, 15) => {
            let detail = format!("{release}, older than 5.15");
            Fact::new(name, State::Warn, detail, "5.15 and later are well served")
        }
        _ => Fact::good(name, release.text),
    }
}

/// Bits of `include/uapi/linux/capability.h`, and what Weir needs them for.
const CAPABILITIES: [(u32, &str, &str); 4] = [
    (12, "CAP_NET_ADMIN", "attaching"),
    (21, "CAP_SYS_ADMIN", "namespaces, and objects by their ids"),
    (38, "CAP_PERFMON", "the verifier's pointer arithmetic"),
    (39, "CAP_BPF", "loading"),
];

fn privileges() -> Fact {
    let name = "privileges";
    let Some(bits) = effective_capabilities() else {
        return Fact::unknown(name, "no CapEff in /proc/self/status");
    };
    let has = |bit: u32| bits >> bit & 1 == 1;
    // Before 5.8, and still, CAP_SYS_ADMIN stands for CAP_BPF and CAP_PERFMON too.
    let missing: Vec<_> = CAPABILITIES
        .iter()
        .filter(|row| !(has(row.0) || (row.0 >= 38 && has(21))))
        .map(|row| format!("{} ({})", row.1, row.2))
        .collect();
    if missing.is_empty() {
        return Fact::good(name, "all that Weir asks for");
    }
    let only_admin = missing.len() == 1 && !has(21);
    let state = if only_admin { State::Warn } else { State::Bad };
    Fact::new(
        name,
        state,
        format!("without {}", missing.join(", ")),
        "run as root, or give the service these capabilities",
    )
}

pub(super) fn effective_capabilities() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

fn jit() -> Fact {
    let name = "JIT";
    match sysctl::read("net.core.bpf_jit_enable").as_deref() {
        Ok("0") => Fact::new(
            name,
            State::Warn,
            "off: programs are interpreted, many times slower",
            "`sysctl -w net.core.bpf_jit_enable=1`",
        ),
        Ok("2") => Fact::new(
            name,
            State::Warn,
            "on, and writes its code to the kernel's log",
            "`sysctl -w net.core.bpf_jit_enable=1`",
        ),
        Ok(_) => Fact::good(name, "on"),
        // Kernels with CONFIG_BPF_JIT_ALWAYS_ON may hide the switch.
        Err(error) => Fact::unknown(name, error.to_string()),
    }
}

fn bpffs() -> Fact {
    let name = "bpffs";
    match pins::find_bpffs() {
        Some(path) => Fact::good(name, format!("mounted at {}", path.display())),
        None => Fact::new(
            name,
            State::Bad,
            "not mounted: nothing can be pinned",
            format!("`mount -t bpf bpf {}`", pins::USUAL_MOUNT),
        ),
    }
}

fn kernel_btf() -> Fact {
    let name = "kernel BTF";
    let path = "/sys/kernel/btf/vmlinux";
    if Path::new(path).exists() {
        return Fact::good(name, path);
    }
    Fact::new(
        name,
        State::Warn,
        "not there: the kernel's own functions cannot be called",
        "use a kernel with CONFIG_DEBUG_INFO_BTF=y",
    )
}

fn cpus() -> Fact {
    let online = fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default();
    Fact::good("CPUs", format!("{} online, {} possible", online.trim(), possible_cpus()))
}

fn statistics() -> Fact {
    let name = "run statistics";
    match sysctl::read("kernel.bpf_stats_enabled").as_deref() {
        Ok("0") => Fact::good(name, "off"),
        Ok(_) => Fact::new(
            name,
            State::Warn,
            "on: about 70 ns more a packet",
            "`sysctl -w kernel.bpf_stats_enabled=0`",
        ),
        Err(error) => Fact::unknown(name, error.to_string()),
    }
}

fn probes() -> Fact {
    let name = "features";
    let probed = super::probe();
    let missing: Vec<_> = probed.target.missing().map(|row| row.name).collect();
    let text = if missing.is_empty() { "all".to_owned() } else { format!("without {}", missing.join(", ")) };
    match probed.guessed {
        Some(reason) => {
            let detail = format!("{text}; guessed from the version: {reason}");
            Fact { name, state: State::Unknown, detail, fix: Some("run as root to try them".to_owned()) }
        }
        None => Fact::good(name, text),
    }
}

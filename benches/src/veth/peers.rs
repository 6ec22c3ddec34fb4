//! Other filters, by their own commands, in the calling thread's namespace.

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

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn absent(error: impl std::fmt::Display) -> Absent {
    Absent(error.to_string())
}

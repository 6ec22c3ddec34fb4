//! What has to do with attacks.

use super::Which;
use crate::units::parse_duration;
use clap::Args as ClapArgs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// How a policy protects itself.
#[derive(Debug, Clone, Default, ClapArgs)]
pub(crate) struct Protect {
    /// Find attacks in the policy's samples, and add statements against them as long as they are needed
    #[arg(long)]
    pub(crate) protect: bool,
    /// The set of addresses that these statements never match as sources [default: `protected`, if the policy has it]
    #[arg(long = "protect-never", value_name = "SET", requires = "protect")]
    pub(crate) never: Option<String>,
    /// From how many packets a second to one address or service on there may be an attack [default: 20000]
    #[arg(long = "protect-from", value_name = "PACKETS", requires = "protect", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) from: Option<u64>,
    /// After how long without hits such a statement goes [default: 1m]
    #[arg(long = "protect-expire", value_name = "DURATION", requires = "protect", value_parser = parse_duration)]
    pub(crate) expire: Option<Duration>,
}

/// Where what a protection meets is kept.
#[derive(Debug, Clone, Default, ClapArgs)]
pub(crate) struct Keep {
    /// Keep attacks, samples of them, and what people and the detection know, in this file [default: /var/lib/weir/NAME.redb,
    /// where NAME is the policy's file without its extension]
    #[arg(long, value_name = "FILE", requires = "protect")]
    pub(crate) journal: Option<PathBuf>,
    /// Keep nothing of it
    #[arg(long, requires = "protect", conflicts_with = "journal")]
    pub(crate) no_journal: bool,
}

/// Whom a protection tells what happens.
#[derive(Debug, Clone, Default, ClapArgs)]
pub(crate) struct Hooks {
    /// Run this command for each event, with the event as JSON on its standard input and in variables WEIR_…; may be given
    /// several times
    #[arg(long = "on-attack", value_name = "COMMAND", requires = "protect")]
    pub(crate) commands: Vec<String>,
    /// Post each event as JSON to this address; may be given several times
    #[arg(long = "webhook", value_name = "URL", requires = "protect")]
    pub(crate) webhooks: Vec<String>,
}

/// `weir metrics`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Metrics {
    /// Only this policy, by the name it was loaded under
    #[command(flatten)]
    pub(crate) which: Which,
    /// Serve them here, under /metrics, instead of printing them
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) listen: Option<SocketAddr>,
}

/// `weir attacks`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Attacks {
    /// Only this attack, with its timeline and its statements
    #[arg(value_name = "ID")]
    pub(crate) id: Option<u64>,
    #[command(flatten)]
    pub(crate) which: Which,
    /// The journal in this file, whoever wrote it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["name", "pin", "unpin", "forbid", "edit"])]
    pub(crate) journal: Option<PathBuf>,
    /// Keep this mitigation, whatever is seen
    #[arg(long, value_name = "ID")]
    pub(crate) pin: Option<u64>,
    /// Let it live like the others again
    #[arg(long, value_name = "ID")]
    pub(crate) unpin: Option<u64>,
    /// Remove it, and never add the same again
    #[arg(long, value_name = "ID")]
    pub(crate) forbid: Option<u64>,
    /// Let another statement stand in its place, a `drop` or `limit` of the policy language; `-` reads it from standard input,
    /// without it $VISUAL or $EDITOR is opened
    #[arg(long, value_names = ["ID", "STATEMENT"], num_args = 1..=2, conflicts_with_all = ["id", "unpin", "forbid", "json"])]
    pub(crate) edit: Option<Vec<String>>,
    /// Print all that happened, a line each
    #[arg(long, conflicts_with_all = ["id", "capture", "pin", "unpin", "forbid", "edit"])]
    pub(crate) events: bool,
    /// Write the samples that this mitigation was found by, those of the attack and the good ones, as pcapng
    #[arg(long, value_name = "ID", requires = "write", conflicts_with_all = ["id", "pin", "unpin", "forbid", "edit", "json"])]
    pub(crate) capture: Option<u64>,
    /// Where to write them; `-` is standard output
    #[arg(short, long, value_name = "FILE", requires = "capture")]
    pub(crate) write: Option<PathBuf>,
    /// Print it as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

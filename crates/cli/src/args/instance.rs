//! Policies that run.

use super::{Hooks, Keep, Protect, Sflow};
use crate::units::parse_duration;
use clap::{Args as ClapArgs, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Where and how a program is attached.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Mode {
    /// XDP in the driver
    Native,
    /// XDP in the stack: works everywhere, about three times slower
    Generic,
    /// tc, packets that come in
    TcIngress,
    /// tc, packets that go out
    TcEgress,
}

/// Where a policy is attached.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct Attach {
    /// The policy
    pub(crate) policy: PathBuf,
    /// The interface to attach to; may be given several times
    #[arg(short, long = "interface", value_name = "IF", required = true)]
    pub(crate) interfaces: Vec<String>,
    /// Where and how to attach
    #[arg(long, default_value = "native")]
    pub(crate) mode: Mode,
    /// The network namespace of the interfaces: a name, a path or a process
    #[arg(long, value_name = "NAMESPACE")]
    pub(crate) netns: Option<String>,
}

/// Which running policy is meant.
#[derive(Debug, Clone, Default, ClapArgs)]
pub(crate) struct Which {
    /// The name it was loaded under; may be left out while only one runs
    #[arg(short, long, value_name = "NAME")]
    pub(crate) name: Option<String>,
}

/// `weir run`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) attach: Attach,
    #[command(flatten)]
    pub(crate) sflow: Sflow,
    #[command(flatten)]
    pub(crate) protect: Protect,
    #[command(flatten)]
    pub(crate) keep: Keep,
    #[command(flatten)]
    pub(crate) hooks: Hooks,
    /// Serve metrics for Prometheus here, under /metrics
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) metrics: Option<SocketAddr>,
    /// Stop after this time
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) duration: Option<Duration>,
    /// Print a line of JSON a second instead of the live view
    #[arg(long)]
    pub(crate) json: bool,
}

/// `weir load`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Load {
    #[command(flatten)]
    pub(crate) attach: Attach,
    /// A name for it, if more than one policy runs
    #[arg(short, long, default_value = weir_dataplane::DEFAULT_INSTANCE)]
    pub(crate) name: String,
    /// Print what was loaded as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `weir reload`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Reload {
    /// The policy
    pub(crate) policy: PathBuf,
    /// Lay the program out for the packets that were counted since it was loaded, or since the last profile
    #[arg(long)]
    pub(crate) profile: bool,
    #[command(flatten)]
    pub(crate) which: Which,
    /// Print what was loaded as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `weir unload`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Unload {
    #[command(flatten)]
    pub(crate) which: Which,
    /// Unload all of them
    #[arg(long, conflicts_with = "name")]
    pub(crate) all: bool,
}

/// `weir status`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Status {
    #[command(flatten)]
    pub(crate) which: Which,
    /// Print it as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `weir top`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Top {
    #[command(flatten)]
    pub(crate) which: Which,
    /// How often to look
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = parse_duration)]
    pub(crate) every: Duration,
    /// Stop after this time
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) duration: Option<Duration>,
    /// Print a line of JSON each time instead of the live view
    #[arg(long)]
    pub(crate) json: bool,
}

//! `weir pool …`.

use super::Which;
use crate::units::parse_duration;
use clap::{Args as ClapArgs, Subcommand};
use std::time::Duration;
use weir_dataplane::Endpoint;
use weir_dataplane::pools::{parse_endpoint, parse_mac};

/// `weir pool`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Pool {
    #[command(subcommand)]
    pub(crate) action: PoolAction,
}

/// What to do with a pool.
#[derive(Debug, Subcommand)]
pub(crate) enum PoolAction {
    /// List the pools
    List(PoolList),
    /// Show a pool's backends
    Show(PoolShow),
    /// Add a backend
    Add(PoolAdd),
    /// Take a backend out, and its flows from it
    Remove(PoolBackend),
    /// Give a backend no new flows, and take it out after a time
    Drain(PoolDrain),
    /// Give a backend that is draining new flows again
    Undrain(PoolBackend),
    /// Give a backend another part of new flows
    Weight(PoolWeight),
    /// Check backends and do what time brings, until Ctrl-C; `weir run` does it by itself
    Tend(PoolTend),
}

/// `weir pool list`.
#[derive(Debug, ClapArgs)]
pub(crate) struct PoolList {
    #[command(flatten)]
    pub(crate) which: Which,
    /// Print it as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `weir pool show`.
#[derive(Debug, ClapArgs)]
pub(crate) struct PoolShow {
    /// The pool
    pub(crate) pool: String,
    #[command(flatten)]
    pub(crate) which: Which,
    /// Print it as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// A backend of a pool.
#[derive(Debug, ClapArgs)]
pub(crate) struct PoolBackend {
    /// The pool
    pub(crate) pool: String,
    /// The backend, as policies write it: `10.0.0.1`, `10.0.0.1:80`, `[2001:db8::1]:80`
    #[arg(value_parser = backend)]
    pub(crate) backend: Endpoint,
    #[command(flatten)]
    pub(crate) which: Which,
}

/// `weir pool add`.
#[derive(Debug, ClapArgs)]
pub(crate) struct PoolAdd {
    #[command(flatten)]
    pub(crate) backend: PoolBackend,
    /// Its part of new flows
    #[arg(long, default_value = "1", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) weight: u16,
    /// Its MAC address: a fixed next hop, or where frames in VXLAN go
    #[arg(long, value_name = "MAC", value_parser = mac)]
    pub(crate) mac: Option<[u8; 6]>,
}

/// `weir pool drain`.
#[derive(Debug, ClapArgs)]
pub(crate) struct PoolDrain {
    #[command(flatten)]
    pub(crate) backend: PoolBackend,
    /// How long it keeps the flows that it has; ten minutes if left out
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) duration: Option<Duration>,
}

/// `weir pool weight`.
#[derive(Debug, ClapArgs)]
pub(crate) struct PoolWeight {
    #[command(flatten)]
    pub(crate) backend: PoolBackend,
    /// Its part of new flows; 0 for none
    pub(crate) weight: u16,
}

/// `weir pool tend`.
#[derive(Debug, ClapArgs)]
pub(crate) struct PoolTend {
    #[command(flatten)]
    pub(crate) which: Which,
    /// The network namespace in which backends are checked: a name, a path or a process
    #[arg(long, value_name = "NAMESPACE")]
    pub(crate) netns: Option<String>,
    /// Print what happens as lines of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

fn mac(text: &str) -> Result<[u8; 6], String> {
    parse_mac(text).ok_or_else(|| "the MAC address of one interface, such as `02:00:00:00:00:10`".to_owned())
}

fn backend(text: &str) -> Result<Endpoint, String> {
    parse_endpoint(text).ok_or_else(|| {
        "a backend such as `10.0.0.1`, `10.0.0.1:80` or `[2001:db8::1]:80` is expected".to_owned()
    })
}

//! `weir fleet …`.

use super::{Mode, Sflow};
use crate::units::parse_duration;
use clap::{Args, Subcommand};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// `weir fleet`.
#[derive(Debug, Args)]
pub(crate) struct Fleet {
    #[command(subcommand)]
    pub(crate) action: FleetAction,
}

/// What to do in a fleet.
#[derive(Debug, Subcommand)]
pub(crate) enum FleetAction {
    /// Run what etcd says, and say there what runs; Ctrl-C ends it and leaves the policy running
    Edge(Box<FleetEdge>),
    /// Find attacks in what all edges sample, and put statements against them into etcd
    Analyze(Box<FleetAnalyze>),
    /// Check a policy and put it into etcd, with the files that it names
    Publish(FleetPublish),
    /// Show edges, analysers, policies and mitigations
    Show(FleetShow),
    /// Keep a mitigation, whatever is seen
    Pin(FleetWish),
    /// Let another statement stand in a mitigation's place
    Edit(FleetEdit),
    /// Let a mitigation end again
    Unpin(FleetWish),
    /// End a mitigation, and never try anything against the same kind of attack on the same victim again
    Forbid(FleetWish),
    /// Allow again what was forbidden with that mitigation
    Allow(FleetWish),
}

/// Where etcd is, and who we are.
#[derive(Debug, Clone, Args)]
pub(crate) struct Etcd {
    /// A member of etcd, `http://HOST:PORT` or `https://HOST:PORT`; may be given several times
    #[arg(
        long = "etcd",
        value_name = "URL",
        env = "WEIR_ETCD",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:2379"
    )]
    pub(crate) endpoints: Vec<String>,
    /// What all keys of the fleet begin with
    #[arg(long = "etcd-prefix", value_name = "PREFIX", default_value = "/weir/")]
    pub(crate) prefix: String,
    /// The certificates that etcd's must be signed by
    #[arg(long = "etcd-ca", value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Our certificate for etcd
    #[arg(long = "etcd-cert", value_name = "FILE", requires = "key")]
    pub(crate) certificate: Option<PathBuf>,
    /// Its key
    #[arg(long = "etcd-key", value_name = "FILE", requires = "certificate")]
    pub(crate) key: Option<PathBuf>,
    /// The user that etcd knows us by; its password is in the environment, as `WEIR_ETCD_PASSWORD`
    #[arg(long = "etcd-user", value_name = "NAME")]
    pub(crate) user: Option<String>,
}

/// `weir fleet edge`.
#[derive(Debug, Args)]
pub(crate) struct FleetEdge {
    /// The edge's name in the fleet
    pub(crate) name: String,
    /// The name of its policy in etcd [default: the edge's]
    #[arg(long)]
    pub(crate) policy: Option<String>,
    /// The interface to attach to; may be given several times
    #[arg(short, long = "interface", value_name = "IF", required = true)]
    pub(crate) interfaces: Vec<String>,
    /// Where and how to attach
    #[arg(long, default_value = "native")]
    pub(crate) mode: Mode,
    /// The network namespace of the interfaces: a name, a path or a process
    #[arg(long, value_name = "NAMESPACE")]
    pub(crate) netns: Option<String>,
    /// The name of the instance, as other commands call it
    #[arg(short = 'n', long = "name", value_name = "NAME", default_value = "weir")]
    pub(crate) instance: String,
    /// The set of the policy whose addresses no mitigation takes as sources here [default: `protected`]
    #[arg(long, value_name = "SET")]
    pub(crate) never: Option<String>,
    /// Without etcd, a mitigation goes when it was hardly hit for so long
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = parse_duration)]
    pub(crate) expire: Duration,
    /// Stop after so long
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) duration: Option<Duration>,
    /// Print events as lines of JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) sflow: Sflow,
    #[command(flatten)]
    pub(crate) etcd: Etcd,
}

/// `weir fleet analyze`.
#[derive(Debug, Args)]
pub(crate) struct FleetAnalyze {
    /// The analyser's name in the fleet
    pub(crate) name: String,
    /// Where to listen for sFlow datagrams
    #[arg(long, value_name = "ADDR:PORT", default_value = "0.0.0.0:6343")]
    pub(crate) listen: SocketAddr,
    /// Where other analysers reach it, if it listens on every address
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) address: Option<SocketAddr>,
    /// An agent whose datagrams are read, beside the edges of the fleet; may be given several times
    #[arg(long = "agent", value_name = "ADDR")]
    pub(crate) agents: Vec<IpAddr>,
    /// The set in policies whose addresses mitigations never match as sources [default: `protected`]
    #[arg(long, value_name = "SET")]
    pub(crate) never: Option<String>,
    /// From how many packets a second to one address or service on there may be an attack [default: 20000]
    #[arg(long, value_name = "PACKETS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) from: Option<u64>,
    /// A mitigation goes when it was hardly hit for so long [default: 60s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) expire: Option<Duration>,
    /// For how long mitigations stand without any analyser
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = parse_duration)]
    pub(crate) hold: Duration,
    /// Keep attacks and samples of them in this file [default: /var/lib/weir/analyser-NAME.redb]
    #[arg(long, value_name = "FILE")]
    pub(crate) journal: Option<PathBuf>,
    /// Keep nothing of it
    #[arg(long, conflicts_with = "journal")]
    pub(crate) no_journal: bool,
    /// Run this command for each event of an attack, as `weir run` does; may be given several times
    #[arg(long = "on-attack", value_name = "COMMAND")]
    pub(crate) commands: Vec<String>,
    /// Post each event of an attack as JSON to this address; may be given several times
    #[arg(long = "webhook", value_name = "URL")]
    pub(crate) webhooks: Vec<String>,
    /// Serve metrics for Prometheus here, under /metrics
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) metrics: Option<SocketAddr>,
    /// Stop after so long
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) duration: Option<Duration>,
    /// Print events as lines of JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) etcd: Etcd,
}

/// `weir fleet publish`.
#[derive(Debug, Args)]
pub(crate) struct FleetPublish {
    /// The policy's name in etcd
    pub(crate) name: String,
    /// The policy
    pub(crate) policy: PathBuf,
    #[command(flatten)]
    pub(crate) etcd: Etcd,
}

/// `weir fleet show`.
#[derive(Debug, Args)]
pub(crate) struct FleetShow {
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) etcd: Etcd,
}

/// `weir fleet pin` and its like.
#[derive(Debug, Args)]
pub(crate) struct FleetWish {
    /// The mitigation's number
    pub(crate) id: u64,
    #[command(flatten)]
    pub(crate) etcd: Etcd,
}

/// `weir fleet edit`.
#[derive(Debug, Args)]
pub(crate) struct FleetEdit {
    /// The mitigation's number
    pub(crate) id: u64,
    /// A `drop` or `limit` of the policy language; `-` reads it from standard input, without it $VISUAL or $EDITOR is opened
    pub(crate) statement: Option<String>,
    #[command(flatten)]
    pub(crate) etcd: Etcd,
}

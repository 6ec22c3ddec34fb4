//! Everything that can be asked on the command line; the man pages are made from it too.

pub(crate) mod fleet;
mod instance;
mod policy;
mod pools;
mod protection;
mod samples;
mod sets;

pub(crate) use instance::{Attach, Load, Mode, Reload, Run, Status, Top, Unload, Which};
pub(crate) use policy::{
    Bench, Build, Check, Debug, Diff, Explain, Fmt, For, Import, ImportFormat, ProgramHook, Replay, Stage,
    Test,
};
pub(crate) use pools::{
    Pool, PoolAction, PoolAdd, PoolBackend, PoolDrain, PoolList, PoolShow, PoolTend, PoolWeight,
};
pub(crate) use protection::{Attacks, Hooks, Keep, Metrics, Protect};
pub(crate) use samples::{Analyze, Capture, Samples, Sflow};
pub(crate) use sets::{Block, Set, SetAction, SetElements, SetFlush, SetList, Unblock};

use crate::units::parse_duration;
use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

/// Compiles one policy file into one XDP or tc program, runs it, and proves what it does
#[derive(Debug, Parser)]
#[command(name = "weir", version, propagate_version = true, disable_help_subcommand = true)]
#[command(after_help = "Exit status: 0 fine, 1 the input says no, 2 it could not be done.")]
pub(crate) struct Args {
    /// When to use colours
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: ColorChoice,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// When output has colours.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check policies and say what is wrong with them
    Check(Check),
    /// Format policies
    Fmt(Fmt),
    /// Say how a policy is compiled: packet classes, structures, maps, cost
    Explain(Explain),
    /// Compile a policy to an eBPF object
    Build(Build),
    /// Judge captures by a policy, in user space
    Replay(Replay),
    /// Run the tests that policies carry
    Test(Test),
    /// Say whether two policies judge any packet differently, and show such packets
    Diff(Diff),
    /// Measure what a policy costs a packet, in the kernel
    Bench(Bench),
    /// Attach a policy, watch it, and detach it on Ctrl-C
    Run(Run),
    /// Run edges and analysers on many machines, joined by etcd
    Fleet(fleet::Fleet),
    /// Attach a policy and leave it running
    Load(Load),
    /// Replace a running policy without losing a packet or a counter
    Reload(Reload),
    /// Detach a running policy
    Unload(Unload),
    /// Show the counters and attachments of running policies
    Status(Status),
    /// Watch the rates of a running policy
    Top(Top),
    /// Show or change the sets of a running policy
    Set(Set),
    /// Show or change the pools of a running policy
    Pool(Pool),
    /// Put an address or prefix into the set of blocked ones
    Block(Block),
    /// Take an address or prefix out of the set of blocked ones
    Unblock(Unblock),
    /// Record the packets that a statement applied to
    Capture(Capture),
    /// Show what statements sample, as it comes
    Samples(Samples),
    /// Find attacks in captures, or in what sFlow agents send, and the statements against them
    Analyze(Analyze),
    /// Show the attacks that a protected policy met, and what it does about them
    Attacks(Attacks),
    /// Print what runs as metrics, or serve them for Prometheus
    Metrics(Metrics),
    /// Say what this machine can do, and what is in the way
    Doctor(Doctor),
    /// Build a small network, attack it, and show what the policy does
    Demo(Demo),
    /// Write a policy that does what another tool's rules do
    Import(Import),
    /// Print completions for a shell
    Completions(Completions),
    /// Write the man pages
    Man(Man),
    /// Print a stage of the compiler
    #[command(hide = true)]
    Debug(Debug),
}

/// `weir doctor`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Doctor {
    /// Also look at these interfaces
    #[arg(short, long = "interface", value_name = "IF")]
    pub(crate) interfaces: Vec<String>,
    /// Print it as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `weir demo` shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scene {
    /// Four attacks on an edge that knows of none
    Ddos,
}

/// `weir demo`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Demo {
    /// `ddos`: a policy without a rule, which finds its own; else one that was written for the attacks
    pub(crate) scene: Option<Scene>,
    /// Print the result as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// How long the attacks last, all together
    #[arg(long = "for", value_name = "DURATION", default_value = "16s", value_parser = parse_duration)]
    pub(crate) duration: Duration,
    /// `ddos`: captures of attacks to replay, instead of those in `../shared/data/captures/attack`; where there are none, the
    /// attacks are made up
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) captures: Option<PathBuf>,
    /// Play the traffic through the interpreter, even with the privileges for a network
    #[arg(long)]
    pub(crate) interpreter: bool,
}

/// `weir completions`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}

/// `weir man`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Man {
    /// Where to write the pages
    pub(crate) directory: PathBuf,
}

//! What is asked of a policy as text, without privileges.

use super::Which;
use crate::units::{parse_duration, parse_kernel};
use clap::{Args as ClapArgs, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

/// `weir check`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Check {
    /// Policies; `-` is standard input
    #[arg(required = true, value_name = "POLICY")]
    pub(crate) policies: Vec<PathBuf>,
    /// Print the messages as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `weir fmt`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Fmt {
    /// Policies, rewritten in place; `-`, or none, reads standard input and prints
    #[arg(value_name = "POLICY")]
    pub(crate) policies: Vec<PathBuf>,
    /// Change nothing: name the policies that would change, and exit with 1 if there are any
    #[arg(long)]
    pub(crate) check: bool,
}

/// Where a program will run.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct For {
    /// Compile for this kernel version, such as 5.15, instead of the one that runs here
    #[arg(long, value_name = "VERSION", value_parser = parse_kernel)]
    pub(crate) kernel: Option<(u16, u16)>,
    /// The hook that the program is made for
    #[arg(long, value_name = "HOOK", default_value = "xdp")]
    pub(crate) hook: ProgramHook,
}

/// What a program is made for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum ProgramHook {
    /// XDP
    Xdp,
    /// tc, packets that come in
    TcIngress,
    /// tc, packets that go out
    TcEgress,
}

/// `weir explain`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Explain {
    /// The policy; `-` is standard input. With a packet behind it, `flow` is the one that runs
    pub(crate) policy: PathBuf,
    /// A packet as tests write it, such as `tcp(ip.src=192.0.2.7, ip.dst=203.0.113.10, tcp.dstport=443)`: says which backend
    /// its flow gets, and why
    #[arg(conflicts_with = "asm")]
    pub(crate) packet: Option<String>,
    #[command(flatten)]
    pub(crate) which: Which,
    #[command(flatten)]
    pub(crate) target: For,
    /// Print the program, the policy's lines between the instructions
    #[arg(long)]
    pub(crate) asm: bool,
    /// Print it as JSON
    #[arg(long, conflicts_with = "asm")]
    pub(crate) json: bool,
}

/// `weir build`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Build {
    /// The policy; `-` is standard input
    pub(crate) policy: PathBuf,
    /// Where to write the object; `-` is standard output
    #[arg(short, long, value_name = "OBJECT")]
    pub(crate) output: PathBuf,
    #[command(flatten)]
    pub(crate) target: For,
    /// The program's name in the kernel
    #[arg(long, default_value = "weir")]
    pub(crate) name: String,
    /// Print what was built as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `weir replay`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Replay {
    /// The policy
    pub(crate) policy: PathBuf,
    /// Captures, pcap or pcapng; `-` is standard input
    #[arg(required = true, value_name = "CAPTURE")]
    pub(crate) captures: Vec<PathBuf>,
    /// Print the counts as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Also print the verdict of every frame
    #[arg(long)]
    pub(crate) frames: bool,
    /// Write the frames of each verdict to a capture in this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) write: Option<PathBuf>,
}

/// `weir test`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Test {
    /// Policies; `-` is standard input
    #[arg(required = true, value_name = "POLICY")]
    pub(crate) policies: Vec<PathBuf>,
    /// Print the results as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `weir diff`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Exit status: 0 equal, which is proven; 1 different; 2 it could not be done; \
                        3 no difference found, but equality is not proven.")]
pub(crate) struct Diff {
    /// The policy to compare with; `-` is standard input
    pub(crate) old: PathBuf,
    /// The policy that is compared; `-` is standard input
    pub(crate) new: PathBuf,
    /// Also tell where other statements count or decide, even with the same verdict
    #[arg(long)]
    pub(crate) counts: bool,
    /// Write the packets to a capture (pcapng), with what becomes of each as its comment
    #[arg(long, value_name = "FILE")]
    pub(crate) pcap: Option<PathBuf>,
    /// How many differences to show
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) most: usize,
    /// How many packets to try where nothing can be proven
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    pub(crate) tries: u64,
    /// Print the answer as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `weir bench`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Bench {
    /// The policy
    pub(crate) policy: PathBuf,
    /// Frames to measure with, pcap or pcapng; without, those of the policy's own tests
    pub(crate) capture: Option<PathBuf>,
    /// Print the results as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// How long one measurement takes at least
    #[arg(long, value_name = "DURATION", default_value = "100ms", value_parser = parse_duration)]
    pub(crate) at_least: Duration,
    /// Measurements of each case, of which the median counts
    #[arg(long, default_value_t = 5)]
    pub(crate) rounds: usize,
}

/// `weir import`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Import {
    /// What the other tool wrote: `iptables-save`, `nft -j list ruleset`, DE-CIX's ACLs, a list of addresses;
    /// `-` is standard input
    pub(crate) file: PathBuf,
    /// What the file is, instead of guessing by its content
    #[arg(long, value_name = "FORMAT")]
    pub(crate) from: Option<ImportFormat>,
    /// A chain that packets enter, as `NAME` or `TABLE/NAME`; may be given several times
    #[arg(long = "chain", value_name = "NAME")]
    pub(crate) chains: Vec<String>,
    /// The interface where the policy will be, to which rules about interfaces are held
    #[arg(short, long, value_name = "NAME")]
    pub(crate) interface: Option<String>,
    /// The sets of iptables' rules, as `ipset save` writes them
    #[arg(long, value_name = "FILE")]
    pub(crate) ipset: Option<PathBuf>,
    /// Where to write the policy; `-` is standard output
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    pub(crate) output: PathBuf,
    /// Print what became of the rules as JSON, the policy in it unless it is written to a file
    #[arg(long)]
    pub(crate) json: bool,
}

/// What can be imported.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum ImportFormat {
    /// What `iptables-save` writes
    Iptables,
    /// What `ip6tables-save` writes
    Ip6tables,
    /// What `nft -j list ruleset` writes
    Nft,
    /// DE-CIX's mined ACLs
    DeCix,
    /// Addresses, one a line
    List,
}

/// `weir debug`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Debug {
    /// Which stage
    pub(crate) stage: Stage,
    /// The policy; `-` is standard input
    pub(crate) policy: PathBuf,
    /// A pass to leave out; may be given several times, `all` leaves out all of them
    #[arg(long, value_name = "PASS")]
    pub(crate) without: Vec<String>,
    #[command(flatten)]
    pub(crate) target: For,
}

/// A stage of the compiler.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Stage {
    /// The syntax tree
    Ast,
    /// The plan
    Plan,
    /// The intermediate representation
    Ir,
    /// The program
    Bpf,
}

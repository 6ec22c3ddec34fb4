//! Everything that can be asked on the command line; the man pages are made from it too.

pub(crate) mod fleet;
mod protection;

pub(crate) use protection::{Attacks, Hooks, Keep, Metrics, Protect};

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::units::{parse_count, parse_duration, parse_kernel};
use weir_dataplane::Endpoint;
use weir_dataplane::pools::{parse_endpoint, parse_mac};
use weir_detect::sflow::PORT;

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

/// Where samples are sent.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct Sflow {
    /// Send what is sampled, and counters, to this collector as sFlow; may be given several times. The port is 6343 if left out
    #[arg(long = "sflow", value_name = "HOST[:PORT]", value_parser = collector)]
    pub(crate) collectors: Vec<String>,
    /// The address by which collectors know this agent, instead of the one that packets to the first collector leave from
    #[arg(long = "sflow-agent", value_name = "ADDR", requires = "collectors")]
    pub(crate) agent: Option<IpAddr>,
    /// How often counters of interfaces and statements are sent
    #[arg(
        long = "sflow-counters",
        value_name = "DURATION",
        default_value = "20s",
        value_parser = parse_duration,
        requires = "collectors"
    )]
    pub(crate) counters: Duration,
    /// Tell of dropped packets as discarded packets, which drop monitors read and nobody can scale, instead of flow samples
    #[arg(long = "sflow-discarded", requires = "collectors")]
    pub(crate) discarded: bool,
}

/// With sFlow's own port where none is named.
fn collector(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err(NO_COLLECTOR.to_owned());
    }
    if let Ok(address) = text.parse::<Ipv6Addr>() {
        return Ok(format!("[{address}]:{PORT}"));
    }
    match text.rsplit_once(':').filter(|_| !text.ends_with(']')) {
        None => Ok(format!("{text}:{PORT}")),
        Some((_, port)) if port.parse::<u16>().is_ok_and(|port| port != 0) => Ok(text.to_owned()),
        Some(_) => Err(NO_COLLECTOR.to_owned()),
    }
}

const NO_COLLECTOR: &str = "a collector such as `192.0.2.9`, `192.0.2.9:6343`, `[2001:db8::9]:6343` or `collector.example` is expected";

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

/// `weir set`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Set {
    #[command(subcommand)]
    pub(crate) action: SetAction,
}

/// What to do with a set.
#[derive(Debug, Subcommand)]
pub(crate) enum SetAction {
    /// Add elements to a set
    Add(SetElements),
    /// Take elements out of a set
    Del(SetElements),
    /// List the elements of a set, or the sets
    List(SetList),
    /// Take all elements out of a set that were added while running
    Flush(SetFlush),
}

/// `weir set add|del`.
#[derive(Debug, ClapArgs)]
pub(crate) struct SetElements {
    /// The set
    pub(crate) set: String,
    /// Elements as a policy writes them; a tuple as `(192.0.2.1, 53)`
    #[arg(required_unless_present = "from", value_name = "ELEMENT")]
    pub(crate) elements: Vec<String>,
    /// A file of elements, one a line, with comments behind `#` or `;`; `-` for standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) from: Option<PathBuf>,
    /// How long they stay, instead of the set's own timeout
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) duration: Option<Duration>,
    #[command(flatten)]
    pub(crate) which: Which,
}

/// `weir set list`.
#[derive(Debug, ClapArgs)]
pub(crate) struct SetList {
    /// The set; all sets with their sizes if left out
    pub(crate) set: Option<String>,
    #[command(flatten)]
    pub(crate) which: Which,
    /// Print it as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `weir set flush`.
#[derive(Debug, ClapArgs)]
pub(crate) struct SetFlush {
    /// The set
    pub(crate) set: String,
    #[command(flatten)]
    pub(crate) which: Which,
}

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

/// `weir block`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Block {
    /// Addresses or prefixes, of either family
    #[arg(required = true, value_name = "ADDR|PREFIX")]
    pub(crate) addresses: Vec<String>,
    /// How long they stay blocked, instead of the set's own timeout
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) duration: Option<Duration>,
    /// The set to put them into
    #[arg(long, default_value = "blocked")]
    pub(crate) set: String,
    #[command(flatten)]
    pub(crate) which: Which,
}

/// `weir unblock`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Unblock {
    /// Addresses or prefixes, of either family
    #[arg(required = true, value_name = "ADDR|PREFIX")]
    pub(crate) addresses: Vec<String>,
    /// The set to take them out of
    #[arg(long, default_value = "blocked")]
    pub(crate) set: String,
    #[command(flatten)]
    pub(crate) which: Which,
}

/// `weir capture`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Capture {
    /// The statement whose packets are recorded; may be given several times
    #[arg(long = "statement", value_name = "NAME", required = true)]
    pub(crate) statements: Vec<String>,
    /// Where to write them, as pcapng
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    #[command(flatten)]
    pub(crate) which: Which,
    /// Stop after this time
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) duration: Option<Duration>,
    /// Stop after this many packets
    #[arg(long, value_name = "N")]
    pub(crate) packets: Option<u64>,
}

/// `weir samples`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Samples {
    /// Only what this statement samples; may be given several times
    #[arg(long = "statement", value_name = "NAME")]
    pub(crate) statements: Vec<String>,
    /// Write them to this file as pcapng, instead of printing them; `-` is standard output
    #[arg(long, value_name = "FILE", conflicts_with_all = ["json", "collectors"])]
    pub(crate) pcap: Option<PathBuf>,
    /// Print each as a line of JSON, with its first bytes
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) sflow: Sflow,
    #[command(flatten)]
    pub(crate) which: Which,
    /// Stop after this time
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) duration: Option<Duration>,
    /// Stop after this many samples
    #[arg(long, value_name = "N")]
    pub(crate) packets: Option<u64>,
}

/// `weir analyze`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Analyze {
    /// Captures, pcap or pcapng; `-` is standard input
    #[arg(value_name = "CAPTURE", required_unless_present = "sflow_listen", conflicts_with = "sflow_listen")]
    pub(crate) captures: Vec<PathBuf>,
    /// Listen for sFlow datagrams here, instead of reading captures; the port is 6343 as a rule
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) sflow_listen: Option<SocketAddr>,
    /// Read only datagrams that come from this address; may be given several times
    #[arg(long, value_name = "AGENT", requires = "sflow_listen")]
    pub(crate) from: Vec<IpAddr>,
    /// Frames of captures were sampled, one in so many; those that `weir samples` recorded say it themselves
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) one_in: u32,
    /// A policy, whose services (the destinations of each `balance`) alerts call by their names
    #[arg(long, value_name = "POLICY")]
    pub(crate) policy: Option<PathBuf>,
    /// A capture of good traffic, which statements are to spare; may be given several times
    #[arg(long, value_name = "CAPTURE")]
    pub(crate) good: Vec<PathBuf>,
    /// Below so many packets a second nothing is an attack on a host; twice as many for its prefix [default: 20k]
    #[arg(long, value_name = "N", value_parser = parse_count)]
    pub(crate) floor_packets: Option<f64>,
    /// And below so many bits a second [default: 200M]
    #[arg(long, value_name = "N", value_parser = parse_count)]
    pub(crate) floor_bits: Option<f64>,
    /// How many destinations the summary shows
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) top: usize,
    /// Write all statements that were found to this file, as a policy; `-` is standard output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Stop listening after this time
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration, requires = "sflow_listen")]
    pub(crate) duration: Option<Duration>,
    /// Print lines of JSON
    #[arg(long)]
    pub(crate) json: bool,
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

#[cfg(test)]
mod tests {
    use super::collector;

    #[test]
    fn collectors_have_a_port() {
        for (text, name) in [
            ("192.0.2.9", "192.0.2.9:6343"),
            ("192.0.2.9:9995", "192.0.2.9:9995"),
            ("collector.example", "collector.example:6343"),
            ("2001:db8::9", "[2001:db8::9]:6343"),
            ("[2001:db8::9]", "[2001:db8::9]:6343"),
            ("[2001:db8::9]:9995", "[2001:db8::9]:9995"),
        ] {
            assert_eq!(collector(text).as_deref(), Ok(name));
        }
        assert!(["", "192.0.2.9:", "192.0.2.9:0", "host:65536"].iter().all(|text| collector(text).is_err()));
    }
}

//! Packets and samples of them, and where they go.

use super::Which;
use crate::units::{parse_count, parse_duration};
use clap::Args as ClapArgs;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use weir_detect::sflow::PORT;

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

//! The collectors: how each is started, and what it says of itself.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use weir_lab::Host;
use weir_lab::program::{Program, Scratch};

use super::feed::waiting;
use super::{NETWORK, NETWORK_LENGTH, PORT};
use crate::Failure;
use crate::threads::is_installed;

/// Where FastNetMon tells its counters.
const METRICS: u16 = 9209;

/// How long a collector may take to begin and to end.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// In this order; all are compared with the first, which is ours.
pub(super) const COLLECTORS: [Collector; 4] = [
    Collector {
        name: "weir analyze",
        does: "reads, counts by host and network, gives alerts, keeps samples for statements",
        package: "it is built by `cargo build --release -p weir-cli`",
        program: weir,
        command: |_| Ok(format!("{} analyze --sflow-listen 127.0.0.1:{PORT} --json", weir())),
        counted: Counted::AtItsEnd(|scratch| {
            let text = std::fs::read_to_string(scratch.path().join("log"))?;
            let last =
                text.lines().rfind(|line| line.contains("\"summary\"")).ok_or("there is no summary")?;
            let summary: serde_json::Value = serde_json::from_str(last)?;
            Ok(summary["samples"].as_u64().ok_or("the summary has no samples")?)
        }),
    },
    Collector {
        name: "sfcapd",
        does: "reads, writes a record for each sample",
        package: "Debian's `nfdump-sflow` has it",
        program: || "sfcapd".to_owned(),
        command: |scratch| {
            let flows = scratch.path().join("flows");
            std::fs::create_dir(&flows)?;
            Ok(format!("sfcapd -C none -b 127.0.0.1 -p {PORT} -w {}", flows.display()))
        },
        counted: Counted::AtItsEnd(|scratch| {
            let text = std::fs::read_to_string(scratch.path().join("log"))?;
            let flows = text.split("Flows: ").skip(1).filter_map(|rest| rest.split(',').next());
            Ok(flows.filter_map(|flows| flows.parse::<u64>().ok()).sum())
        }),
    },
    Collector {
        name: "sfacctd",
        does: "reads, sums by host, in two processes",
        package: "Debian's `pmacct` has it",
        program: || "sfacctd".to_owned(),
        command: |scratch| {
            let settings = format!(
                "daemonize: false\nsfacctd_ip: 127.0.0.1\nsfacctd_port: {PORT}\nplugins: print\n\
                 aggregate: dst_host\nprint_output: csv\nprint_output_file: {}\nprint_refresh_time: 3600\n\
                 print_cache_entries: 262147\nplugin_pipe_size: 67108864\nplugin_buffer_size: 65536\n",
                scratch.path().join("sums").display()
            );
            Ok(format!("sfacctd -f {}", scratch.write("settings", settings)?))
        },
        counted: Counted::AtItsEnd(|scratch| {
            let text = std::fs::read_to_string(scratch.path().join("sums"))?;
            let packets = text.lines().filter_map(|line| line.split(',').nth(1)?.parse::<u64>().ok());
            Ok(packets.sum())
        }),
    },
    Collector {
        name: "FastNetMon",
        does: "reads, counts by host, compares with limits each second (no bans)",
        package: "Debian's `fastnetmon` has it",
        program: || "fastnetmon".to_owned(),
        command: |scratch| {
            let networks = scratch.write("networks", format!("{NETWORK}/{NETWORK_LENGTH}\n"))?;
            let (nobody, at) = (scratch.write("nobody", "")?, scratch.path().display().to_string());
            let settings = format!(
                "disable_usage_report = on\nenable_ban = off\nenable_ban_ipv6 = off\n\
                 process_incoming_traffic = on\nprocess_outgoing_traffic = on\nnetworks_list_path = {networks}\n\
                 white_list_path = {nobody}\nmonitor_local_ip_addresses = off\nenable_connection_tracking = off\n\
                 mirror_afpacket = off\nnetflow = off\nsflow = on\nsflow_port = {PORT}\nsflow_host = 127.0.0.1\n\
                 enable_api = off\nprometheus = on\nprometheus_host = 127.0.0.1\nprometheus_port = {METRICS}\n\
                 cli_stats_file_path = {at}/stats\ncli_stats_ipv6_file_path = {at}/stats6\n"
            );
            let settings = scratch.write("settings", settings)?;
            Ok(format!("fastnetmon --configuration_file {settings} --log_file {at}/own --disable_pid_logic"))
        },
        counted: Counted::Asked(|| {
            let text = metrics()?;
            let name = "fastnetmon_total_simple_packets_processed ";
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            Ok(line.ok_or("there is no counter of packets")?.trim().parse()?)
        }),
    },
];

/// A collector of sFlow.
#[derive(Clone, Copy)]
pub(super) struct Collector {
    pub(super) name: &'static str,
    /// In words, for the table.
    pub(super) does: &'static str,
    package: &'static str,
    program: fn() -> String,
    /// What starts it in the foreground, with files that it needs.
    command: fn(&Scratch) -> Result<String, Failure>,
    counted: Counted,
}

/// How it tells how many samples it has counted.
#[derive(Clone, Copy)]
enum Counted {
    AtItsEnd(fn(&Scratch) -> Result<u64, Failure>),
    /// Where it runs.
    Asked(fn() -> Result<u64, Failure>),
}

impl Collector {
    pub(super) fn is_there(&self) -> bool {
        is_installed(&(self.program)())
    }

    pub(super) fn missing(&self) -> String {
        format!("`{}`: there is none; {}", self.name, self.package)
    }
}

/// The command, built beside this one.
fn weir() -> String {
    let own = std::env::current_exe().map(|path| path.with_file_name("weir"));
    own.unwrap_or_else(|_| PathBuf::from("weir")).display().to_string()
}

/// A collector at work.
pub(super) struct Running<'a> {
    collector: &'a Collector,
    program: Program,
    scratch: Scratch,
}

impl<'a> Running<'a> {
    pub(super) fn start(host: &Host, collector: &'a Collector, cpu: usize) -> Result<Running<'a>, Failure> {
        let scratch = Scratch::create()?;
        let (command, log) = ((collector.command)(&scratch)?, scratch.path().join("log"));
        let shell = format!("exec taskset -c {cpu} {command} > {} 2>&1", log.display());
        let program = Program::start(host, &["sh", "-c", &shell])?;
        let running = Running { collector, program, scratch };
        running.until("listens", || host.run(|| waiting().is_ok()).unwrap_or(false))?;
        // Its other processes and threads have to be there, too.
        sleep(Duration::from_secs(1));
        Ok(running)
    }

    /// How long all its threads and processes were on a CPU.
    pub(super) fn on_cpu(&self) -> Result<Duration, Failure> {
        let mut ticks = 0;
        for entry in std::fs::read_dir("/proc")?.flatten() {
            let Ok(text) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
            let Some(process) = Process::read(&text) else { continue };
            if process.id == self.program.id() || process.parent == self.program.id() {
                ticks += process.ticks;
            }
        }
        Ok(Duration::from_millis(ticks * 10))
    }

    /// Ends it; how many samples it has counted.
    pub(super) fn end(mut self, host: &Host) -> Result<u64, Failure> {
        match self.collector.counted {
            // It needs no end that it knows of, and FastNetMon dumps core on one.
            Counted::Asked(ask) => {
                let asked = host.run(|| ask().map_err(|failure| failure.to_string()))?;
                asked.map_err(|failure| self.told(failure).into())
            }
            Counted::AtItsEnd(read) => {
                kill(Pid::from_raw(self.program.id() as i32), Signal::SIGINT)?;
                let start = Instant::now();
                while self.program.ended()?.is_none() && start.elapsed() < PATIENCE {
                    sleep(Duration::from_millis(50));
                }
                read(&self.scratch).map_err(|failure| self.told(failure).into())
            }
        }
    }

    fn until(&self, what: &str, mut condition: impl FnMut() -> bool) -> Result<(), Failure> {
        let start = Instant::now();
        while !condition() {
            if start.elapsed() > PATIENCE {
                let log = std::fs::read_to_string(self.scratch.path().join("log")).unwrap_or_default();
                return Err(self.told(format!("it never {what}: {}", log.trim())).into());
            }
            sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn told(&self, what: impl std::fmt::Display) -> String {
        format!("`{}`: {what}", self.collector.name)
    }
}

/// What `/proc/…/stat` says: hundredths of a second, with those of children that have ended.
struct Process {
    id: u32,
    parent: u32,
    ticks: u64,
}

impl Process {
    fn read(text: &str) -> Option<Process> {
        let (id, rest) = text.split_once(' ')?;
        let fields: Vec<&str> = rest.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = fields.get(11..15)?.iter().filter_map(|field| field.parse::<u64>().ok()).sum();
        Some(Process { id: id.parse().ok()?, parent: fields.get(1)?.parse().ok()?, ticks })
    }
}

fn metrics() -> Result<String, Failure> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, METRICS))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

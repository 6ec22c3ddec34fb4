//! Our datagrams in tcpdump, and in collectors that listen on a port of the loopback interface.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use weir_detect::sflow::{Encoder, Form};

use super::common::{AGENT, UPTIME, datagram, flows, has, write_capture};

/// Source port, packets, bytes and input of the flow samples that [`flows`] makes, scaled by their rate.
const SCALED: [[&str; 4]; 3] =
    [["53", "1000", "1204000", "3"], ["123", "1000", "81000", "3"], ["1900", "1000", "64000", "3"]];

/// A collector that a test started, and what it listens on. It ends with the test.
struct Collector {
    child: Child,
    address: SocketAddr,
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Collector {
    /// Starts a program that listens on a port, of which `command` tells it.
    fn start(log: &Path, command: impl FnOnce(u16) -> Command) -> Collector {
        let address = free().local_addr().expect("an address");
        let mut command = command(address.port());
        let log = File::create(log).expect("a log");
        let (out, err) = (log.try_clone().expect("a log"), log);
        let child = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn().expect("starts");
        let collector = Collector { child, address };
        until("the collector listens", || UdpSocket::bind(address).is_err());
        collector
    }

    fn send(&self, datagrams: &[Vec<u8>]) {
        let socket = free();
        for datagram in datagrams {
            socket.send_to(datagram, self.address).expect("is sent");
        }
        until("the collector has read all", || waiting(self.address.port()) == Some(0));
        // It has taken the last one from its socket, and looks at it now.
        sleep(Duration::from_millis(300));
    }

    /// Asks it to end, and waits until it does.
    fn end(mut self) {
        let command = format!("kill -INT {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &command]).status().expect("sh runs").success());
        until("the collector ends", || self.child.try_wait().expect("a child").is_some());
    }
}

/// A socket on a port that nobody uses.
fn free() -> UdpSocket {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port")
}

/// Bytes that wait at a UDP port, by the kernel's table.
fn waiting(port: u16) -> Option<u64> {
    let table = std::fs::read_to_string("/proc/net/udp").expect("the table");
    let local = format!(":{port:04X}");
    let row =
        table.lines().find(|row| row.split_whitespace().nth(1).is_some_and(|at| at.ends_with(&local)))?;
    let (_, received) = row.split_whitespace().nth(4)?.split_once(':')?;
    u64::from_str_radix(received, 16).ok()
}

fn until(what: &str, condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    let mut condition = condition;
    while !condition() {
        assert!(begin.elapsed() < Duration::from_secs(20), "waited in vain: {what}");
        sleep(Duration::from_millis(20));
    }
}

/// A datagram with all kinds of samples, and one in the expanded form with the same flows.
fn both() -> [Vec<u8>; 2] {
    let mut expanded = Encoder::new(AGENT, 1).form(Form::Expanded);
    flows(&mut expanded);
    [datagram(Encoder::new(AGENT, 0)), expanded.finish(UPTIME).expect("a datagram").to_vec()]
}

#[test]
fn tcpdump_reads_every_sample() {
    if !has("tcpdump", "tcpdump_reads_every_sample") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("sflow.pcap");
    write_capture(&path, &both());
    let output = Command::new("tcpdump").args(["-n", "-v", "-r"]).arg(&path).output().expect("tcpdump runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    let there = [
        "192.0.2.1.40001 > 192.0.2.9.6343: sFlowv5, IPv4 agent 192.0.2.1, agent-id 0, seqnum 1, \
         uptime 90061001, samples 6, length 992",
        "flow sample (1), length 232, seqnum 1, type 0, idx 3, rate 1000, pool 123000, drops 7, \
         input 3 output 1073742082 records 3",
        "protocol Ethernet (1), length 1204, stripped bytes 4, header_size 128",
        "flow sample (1), length 136, seqnum 2, type 0, idx 3, rate 1000, pool 123000, drops 7, \
         input 3 output 4 records 1",
        "counter sample (2), length 108, seqnum 1, type 0, idx 3, records 1",
        "ifindex 3, iftype 6, ifspeed 25000000000, ifdirection 1 (full-duplex)",
        "In octets 1099511627781, unicast pkts 11, multicast pkts 12, broadcast pkts 13, discards 14",
        "Out octets 2199023255558, unicast pkts 21, multicast pkts 22, broadcast pkts 23, discards 24",
        "counter sample (2), length 96, seqnum 2, type 0, idx 3, records 2",
        "expanded flow sample (3), length 244, seqnum 1, type 0, idx 3, rate 1000, pool 123000, drops 7, \
         records 3",
    ];
    for line in there {
        assert!(lines.contains(&line), "{line}\nis not in\n{text}");
    }
    assert!(!text.contains("[|"), "something was cut or invalid:\n{text}");
}

#[test]
fn sfcapd_collects_scaled_flows() {
    let test = "sfcapd_collects_scaled_flows";
    if !has("sfcapd", test) || !has("nfdump", test) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (log, flows) = (folder.path().join("log"), folder.path().join("flows"));
    std::fs::create_dir(&flows).expect("a folder");
    let collector = Collector::start(&log, |port| {
        let mut command = Command::new("sfcapd");
        command.args(["-C", "none", "-b", "127.0.0.1", "-p", &port.to_string(), "-w"]).arg(&flows);
        command
    });
    collector.send(&both());
    collector.end();
    let log = std::fs::read_to_string(&log).expect("a log");
    let total = "Flows: 6, Packets: 6000, Bytes: 2698000, Sequence Errors: 0, Bad Packets: 0";
    assert!(log.contains(total), "{log}");
    let mut nfdump = Command::new("nfdump");
    nfdump.args(["-q", "-N", "-o", "fmt:%sp %pkt %byt %in %out %sa", "-R"]).arg(&flows);
    let output = nfdump.output().expect("nfdump runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows.len(), 6, "{text}");
    for (row, scaled) in rows.iter().zip(SCALED.iter().cycle()) {
        assert_eq!((&row[..4], row[5]), (&scaled[..], "198.51.100.7"), "{text}");
    }
    // The compact form's reason is shown as it is.
    assert_eq!((rows[0][4], rows[1][4]), ("258", "4"), "{text}");
}

#[test]
fn sfacctd_collects_scaled_flows() {
    let test = "sfacctd_collects_scaled_flows";
    if !has("sfacctd", test) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let collector = Collector::start(&at("log"), |port| {
        let settings = format!(
            "daemonize: false\nsfacctd_ip: 127.0.0.1\nsfacctd_port: {port}\nsfacctd_renormalize: true\n\
             plugins: print\naggregate: src_host, src_port, in_iface\nprint_output: csv\nprint_refresh_time: 1\n\
             print_output_file: {}\nprint_output_file_append: true\n",
            at("flows").display()
        );
        std::fs::write(at("settings"), settings).expect("settings");
        let mut command = Command::new("sfacctd");
        command.arg("-f").arg(at("settings"));
        command
    });
    // Its second process has to be there to count.
    until("the plugin runs", || text(&at("log")).contains("Purging cache - END"));
    collector.send(&both()[..1]);
    // Titles are no rows.
    let read = || -> Vec<String> {
        let rows = text(&at("flows")).lines().map(str::to_owned).collect::<Vec<_>>();
        rows.into_iter().filter(|row| row.starts_with(|first: char| first.is_ascii_digit())).collect()
    };
    until("the flows are written", || read().len() == SCALED.len());
    collector.end();
    let rows = read();
    let mut rows: Vec<Vec<&str>> = rows.iter().map(|row| row.split(',').collect()).collect();
    rows.sort_by_key(|row| SCALED.iter().position(|scaled| scaled[0] == row[2]));
    let expected = SCALED.map(|[port, packets, bytes, input]| [input, "198.51.100.7", port, packets, bytes]);
    assert_eq!(rows, expected);
}

#[test]
fn fastnetmon_reads_every_sample() {
    let test = "fastnetmon_reads_every_sample";
    if !has("fastnetmon", test) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let tells =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|free| free.local_addr()).expect("a port");
    let collector = Collector::start(&at("log"), |port| {
        let (networks, nobody) = (at("networks"), at("nobody"));
        std::fs::write(&networks, "198.51.100.0/24\n").expect("networks");
        std::fs::write(&nobody, "").expect("networks");
        let settings = format!(
            "disable_usage_report = on\nenable_ban = off\nenable_ban_ipv6 = off\nnetworks_list_path = {}\n\
             white_list_path = {}\nmonitor_local_ip_addresses = off\nmirror_afpacket = off\nnetflow = off\n\
             sflow = on\nsflow_host = 127.0.0.1\nsflow_port = {port}\nenable_api = off\nprometheus = on\n\
             prometheus_host = 127.0.0.1\nprometheus_port = {}\ncli_stats_file_path = {}\n\
             cli_stats_ipv6_file_path = {}\n",
            networks.display(),
            nobody.display(),
            tells.port(),
            at("stats").display(),
            at("stats6").display()
        );
        std::fs::write(at("settings"), settings).expect("settings");
        let mut command = Command::new("fastnetmon");
        command.arg("--configuration_file").arg(at("settings"));
        command.arg("--log_file").arg(at("own")).arg("--disable_pid_logic");
        command
    });
    until("it tells its counters", || TcpStream::connect(tells).is_ok());
    collector.send(&both());
    let said = asked(tells);
    let counter =
        |name: &str| said.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
    // Discarded packets and counters are beside them in the datagrams, which ends the reading of neither.
    let counters = ["fastnetmon_total_simple_packets_processed ", "fastnetmon_total_ipv4_packets "];
    assert_eq!(counters.map(counter), [Some(6), Some(6)], "{said}");
    assert_eq!(counter("fastnetmon_total_unparsed_packets "), Some(0), "{said}");
    // Not by a signal that it may handle, as it then dumps core.
    drop(collector);
}

/// What a program tells of its counters.
fn asked(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).expect("a connection");
    let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("is asked");
    let mut said = String::new();
    stream.read_to_string(&mut said).expect("an answer");
    said
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}
